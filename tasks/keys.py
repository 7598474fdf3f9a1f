"""What a stage's result depends on besides its inputs: the code that made it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import dao_core


@lru_cache(maxsize=32)
def code_hash(*rooms: str) -> str:
    """Hash of the source of some rooms of dao_core: a changed algorithm makes a new result, a changed page does not.

    Raises ValueError for a room that does not exist.
    """
    root = Path(dao_core.__file__).parent
    digest = hashlib.sha256()
    for room in sorted(rooms):
        files = [root / f"{room}.py"] if (root / f"{room}.py").exists() else sorted((root / room).rglob("*.py"))
        if not files:
            raise ValueError(f"dao_core has no room {room!r}")
        for path in files:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
