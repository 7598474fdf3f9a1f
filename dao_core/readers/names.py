"""File names for structures: safe on every system, and no two alike."""

from __future__ import annotations

import re
from collections.abc import Iterable

LONGEST = 120  # bytes; file systems allow 255, and endings come on top
_RESERVED = {"con", "prn", "aux", "nul", *(f"{name}{i}" for name in ("com", "lpt") for i in range(1, 10))}


def distinct_names(names: Iterable[str]) -> list[str]:
    """Names that can stand as files in one folder, in the order given.

    Args:
        names: What the structures are called. Characters that a file system may refuse become `_`; of names that are
            then equal, capitals aside, the later ones get `_2`, `_3` and so on.

    Returns:
        As many names, each another one.
    """
    taken: set[str] = set()
    out = []
    for name in names:
        plain = re.sub(r"[^\w.+=@-]+", "_", name).strip("._").encode()[:LONGEST].decode(errors="ignore") or "structure"
        plain = f"{plain}_" if plain.lower() in _RESERVED else plain
        own, number = plain, 1
        while own.casefold() in taken:
            number += 1
            own = f"{plain}_{number}"
        taken.add(own.casefold())
        out.append(own)
    return out
