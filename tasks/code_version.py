"""What a stage's result depends on besides its inputs: the code that made it."""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

import dao_core


def _files(room: Path) -> list[Path]:
    kept = (p for p in room.rglob("*") if p.is_file() and (p.suffix == ".py" or p.parent.name == "data"))
    return sorted(kept)


@lru_cache(maxsize=32)
def code_hash(*rooms: str) -> str:
    """Hash of the source and the `data` of some rooms of dao_core: what changes results, unlike a changed page.

    Checkpoints are not in it, their identity belongs in a key of its own. Raises ValueError for a room that does not
    exist.
    """
    root = Path(dao_core.__file__).parent
    digest = hashlib.sha256()
    for room in sorted(rooms):
        files = [root / f"{room}.py"] if (root / f"{room}.py").exists() else _files(root / room)
        if not files:
            raise ValueError(f"dao_core has no room {room!r}")
        for path in files:
            digest.update(str(path.relative_to(root)).encode() + b"\0" + path.read_bytes())
    return digest.hexdigest()[:16]
