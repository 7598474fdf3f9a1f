"""A file that ends in the middle of a number looks whole: 0.2 may have been 0.25."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dao_core.readers.base import UnreadableError

if TYPE_CHECKING:
    from gemmi.cif import Document

NO_END = "the last line has no end, so its last number may be cut: add a line break if the file is whole"
_WHOLE_NUMBER = re.compile(r"1(?:\.0*)?")  # of a full occupancy nothing is lost


def check_end(text: str, document: Document) -> None:
    """Raise UnreadableError where the last word of a text without a last line break is a number that is used.

    Args:
        text: A CIF text.
        document: The same, parsed.
    """
    if not text or text[-1].isspace():
        return
    item = list(document[-1])[-1]
    if item.pair is not None:
        tag, value = item.pair  # type: ignore[misc]
    elif item.loop is not None:
        tag, value = item.loop.tags[-1], item.loop.values[-1]
    else:
        return
    if tag.lower().endswith("occupancy") and _WHOLE_NUMBER.fullmatch(value):
        return
    used = tag.lower().startswith(("_atom_site", "_cell", "_space_group", "_symmetry", "_chemical_formula"))
    if used and re.search(r"\d|[+-]$|^\.$", value) and value[-1] not in "'\";":
        raise UnreadableError(NO_END)
