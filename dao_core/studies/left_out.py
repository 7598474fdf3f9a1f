"""Templates for a composition from an index that may know the composition itself: its own entries are left out."""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.elements import atomic_number
from dao_core.studies.study import StudyError

if TYPE_CHECKING:
    from dao_core.generate.templates.index import TemplateHit, TemplateIndex

STRIDE = 1000  # above any atomic number


def own_entries(index: TemplateIndex, cell: Mapping[str, int]) -> list[str]:
    """Ids of the entries that have the cell content itself, whatever their structure.

    An entry of the same composition with another number of formula units cannot become a template of this cell, so
    leaving these out leaves out all that the index knows of the composition. What the index has learned about
    elements as a whole (which replace one another, how large they are) stays.

    Args:
        index: Of all known structures.
        cell: Symbol to atoms of the cell.
    """
    counts = tuple(sorted(n for n in cell.values() if n > 0))
    bucket = index.buckets.get(counts)
    if bucket is None:
        return []
    wanted = np.sort([STRIDE * n + atomic_number(s) for s, n in cell.items() if n > 0])
    have = np.sort(STRIDE * np.array(bucket.counts)[None, :] + bucket.elements, axis=1)  # (M, S)
    return [index.ids[int(bucket.members[i])] for i in np.flatnonzero((have == wanted[None, :]).all(axis=1))]


def query_without(index: TemplateIndex, cell: Mapping[str, int], k: int) -> tuple[list[TemplateHit], int]:
    """The k best templates of a cell content among entries of other compositions, and how many own ones there were.

    Args:
        index: Of all known structures.
        cell: Symbol to atoms of the cell.
        k: At most so many.
    """
    own = own_entries(index, cell)
    return index.query(dict(cell), k, own), len(own)


@lru_cache(maxsize=1)
def library_templates(folder: str | None) -> TemplateIndex:
    """The template index of a library.

    Args:
        folder: Of the library; none: the installed one.

    Raises:
        StudyError: There is none.
    """
    return _library(folder).templates()


def library_content(folder: str | None) -> str:
    """Hash of a library's rows. Raises StudyError where there is no library."""
    return str(_library(folder).content)


@lru_cache(maxsize=1)
def _library(folder: str | None) -> Any:
    from dao_core.library.folder import open_library

    library = open_library(folder)
    if library is None:
        raise StudyError("no library of known structures: run `dao library install`, or name its folder (library)")
    return library
