"""Files that a user adds to the library: a name and ids of its own for each, whatever the files are called."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator
from pathlib import Path

from dao_core.artifacts import content_key
from dao_core.crysdb.config import FilesConfig
from dao_core.crysdb.sources.base import SourceItem
from dao_core.crysdb.sources.files import FileSource
from dao_core.library.folder import LibraryError, LibrarySource

PREFIX = "file-"


class AddedFiles(FileSource):
    """A file or folder of structures whose rows share no id with another source.

    A database knows a row by its id alone, and `a/POSCAR` and `b/POSCAR`, or the numbered rows of two tables, have the
    same one: the source's name goes before an id that is taken.
    """

    def __init__(self, config: FilesConfig, taken: Collection[str]) -> None:
        super().__init__(config.paths, config.options())
        self._taken = frozenset(taken)

    def fingerprint(self) -> str:
        """Hash of the files' content and of the ids that are taken. Raises SourceError for a missing file."""
        return content_key(files=super().fingerprint(), taken=sorted(self._taken))

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        """Every row after `cursor`, as FileSource gives it, but for its id."""
        for item in super().iter_records(since, cursor):
            if item.record is not None and item.record.material_id in self._taken:
                item.record.material_id = self._free(item.record.material_id)
            yield item

    def _free(self, own: str) -> str:
        """An id that nobody has, for a row whose own one is taken."""
        label = self.name.removeprefix(PREFIX)
        options = [label] if f"-{label}".endswith(f"-{own}") else []
        options += [f"{label}-{own}", f"{self.name}-{own}"]
        return next((name for name in options if name not in self._taken), options[-1])


def files_config(path: Path, present: Iterable[LibrarySource]) -> FilesConfig:
    """A path as a source: under the name that it has in the library, else one that no other path has.

    Args:
        path: A file or folder.
        present: The library's sources.

    Returns:
        The source's settings; the name is that of the file, after those of its folders as far as others have it.

    Raises:
        LibraryError: All of these names are taken.
    """
    path = path.expanduser().resolve()
    known = {s.name: Path(s.origin).expanduser().resolve() for s in present if s.name.startswith(PREFIX)}
    name = next((name for name, origin in known.items() if origin == path), None)
    name = name or next((name for name in _names(path) if name not in known), None)
    if name is None:
        raise LibraryError(f"the library has another file of the name of {path}: rename it")
    return FilesConfig(name=name, paths=(path,), functional=name)


def _names(path: Path) -> Iterator[str]:
    """`file-POSCAR`, `file-b-POSCAR`, `file-a-b-POSCAR` of /a/b/POSCAR."""
    label = path.name if path.is_dir() else Path(path.name.removesuffix(".gz")).stem
    parts = [*path.parent.parts[1:], label]
    for first in range(len(parts) - 1, -1, -1):
        yield PREFIX + (re.sub(r"[^A-Za-z0-9_.-]+", "-", "-".join(parts[first:])) or "files")
