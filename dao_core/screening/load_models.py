"""The models of a search by name: what ships with the package, a checkpoint folder, or another potential."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import TYPE_CHECKING

from dao_core.energy.registry import load_potential

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates.index import TemplateIndex
    from dao_core.screening.search import SearchModels


def load_generator(name: str = "dao") -> Generator | None:
    """`dao` (shipped), `none`, or a DAO-G checkpoint folder. Raises CheckpointError."""
    if name == "none":
        return None
    from dao_core.generate.sampler import Generator

    return Generator.load("generator" if name == "dao" else name)


def load_templates(name: str = "auto") -> TemplateIndex | None:
    """`auto`, `none`, a CrysDB table, or the folder of a saved index.

    `auto` is the index of the user's library, or the prototypes that ship where there is no usable library. The index
    over a table is built once a version and kept in the ledger beside the table. Raises TemplateIndexError.
    """
    if name == "none":
        return None
    from dao_core.crysdb.table import CrysTable
    from dao_core.generate.templates.aflow import aflow_index
    from dao_core.generate.templates.index import TemplateIndexError
    from dao_core.generate.templates.store import load_index

    if name == "auto":
        from dao_core.library.folder import usable_library

        library, problem = usable_library()
        if library is None:
            warnings.warn(str(problem), stacklevel=2)  # a user reads it as one line; the search goes on
        return aflow_index() if library is None else library.templates()
    table = CrysTable(name)
    if not table.exists:
        if not (Path(name) / "index.json").exists():
            raise TemplateIndexError(f"{name} is neither a CrysDB table nor a template index: correct the path")
        return load_index(name)
    from dao_core.artifacts import Ledger
    from dao_core.generate.templates.from_crysdb import crysdb_templates

    return load_index(crysdb_templates(table, Ledger(table.path.parent / "ledger")).path)


def load_search_models(*, generator: str = "dao", potential: str = "dao", templates: str = "auto") -> SearchModels:
    """Everything a search works with, by name."""
    from dao_core.screening.search import SearchModels

    return SearchModels(load_potential(potential), load_generator(generator), load_templates(templates))
