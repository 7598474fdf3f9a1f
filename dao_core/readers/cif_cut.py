"""A file that ends in the middle of a word looks whole: 0.2 may have been 0.25, C may have been Co."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from dao_core.readers.base import UnreadableError

if TYPE_CHECKING:
    from gemmi.cif import Document

NO_END = "the last line has no end, so its last number may be cut: add a line break if the file is whole"
WORD_WITHOUT_END = "the last line has no end, so its last word may be cut: add a line break if the file is whole"
_WHOLE_NUMBER = re.compile(r"1(?:\.0*)?")  # of a full occupancy nothing is lost
_WORDS = re.compile(
    r"_atom_site[_.](?:label|type_symbol)|_(?:space_group|symmetry)\S*name_(?:h-m|hall)\S*|_chemical_formula\S*", re.I
)


def check_end(text: str, document: Document) -> None:
    """Raise UnreadableError where the last word of a text without a last line break is one that is used.

    Args:
        text: A CIF text.
        document: The same, parsed.
    """
    if not text or text[-1].isspace():
        return
    item = next(reversed(list(document[-1])), None)
    if item is None:  # a block's name alone
        return
    if item.pair is not None:
        tag, value = item.pair  # type: ignore[misc]
    elif item.loop is not None:
        tag, value = item.loop.tags[-1], item.loop.values[-1]
    else:
        return
    if tag.lower().endswith("occupancy") and _WHOLE_NUMBER.fullmatch(value):
        return
    if value[-1] in "'\";":
        return
    used = tag.lower().startswith(("_atom_site", "_cell", "_space_group", "_symmetry", "_chemical_formula"))
    if used and re.search(r"\d|[+-]$|^\.$", value):
        raise UnreadableError(NO_END)
    if _WORDS.fullmatch(tag):
        raise UnreadableError(WORD_WITHOUT_END)
