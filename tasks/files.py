"""Folders that a person looks at, replaced as a whole."""

from __future__ import annotations

import shutil
import uuid
from pathlib import Path


def publish_folder(source: Path, target: Path) -> Path:
    """Copy a folder beside `target` and put it in its place; a reader sees the old one or the new one."""
    tag = uuid.uuid4().hex[:8]
    fresh, old = target.with_name(f"{target.name}.tmp-{tag}"), target.with_name(f"{target.name}.old-{tag}")
    shutil.copytree(source, fresh)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)
    return target
