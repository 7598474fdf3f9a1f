"""The user's library of known structures: where it lies, what is in it, and whether it is whole."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import ArtifactError, StageRecord, verify, write_atomic

if TYPE_CHECKING:
    from dao_core.crysdb.table import CrysTable
    from dao_core.generate.templates.index import TemplateIndex

LIBRARY_VARIABLE = "DAO_LIBRARY"
MANIFEST = "library.json"
FORMAT = 3
CRYSDB, LEDGER, STAGE = "crysdb", "ledger", "library"
STRUCTURES = "structures.parquet"  # in the stage, beside the template index


class LibraryError(RuntimeError):
    """A library that cannot be used or built; the message says what to do. What was there before is untouched."""


@dataclass(frozen=True)
class LibrarySource:
    """One source of the library.

    Attributes:
        name: As in CrysDB's column `source`.
        description: What it is, for people.
        license: Of the data.
        origin: Where it was read from (a package and its version, an address, a file).
        n_read: Rows read; n_refused of them were not taken.
        reasons: The commonest reasons of refusals with their counts.
        revision: Of the program's reading of it: `dao library install` reads one of an older revision anew.
        notes: The commonest notes on what was understood rather than read, with their counts.
    """

    name: str
    description: str
    license: str | None
    origin: str
    n_read: int
    n_refused: int
    reasons: dict[str, int] = field(default_factory=dict)
    revision: int = 1
    notes: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Library:
    """A whole library: a version of a CrysDB table, its structures by formula and the template index over them.

    `stage` is the verified stage folder with `STRUCTURES` and the index; `content` a hash of all rows, part of keys.
    """

    folder: Path
    table_version: int
    content: str
    stage: StageRecord
    sources: tuple[LibrarySource, ...]

    @property
    def structures_file(self) -> Path:
        """All its structures once, sorted by formula."""
        return self.stage.file(STRUCTURES)

    @property
    def n_structures(self) -> int:
        """Different structures."""
        return self.stage.counts["structures"]

    def build_report(self) -> dict[str, Any] | None:
        """What the build of its table counted (`crysdb.build.build.BuildReport`).

        Returns:
            Rows in and published by source, and how many were refused or dropped for each reason; None where no report
            of this version of the table is there.
        """
        from dao_core.crysdb.build.build import REPORT

        try:
            report: dict[str, Any] = json.loads((self.folder / CRYSDB / REPORT).read_text())
            return report if report["version"] == self.table_version else None
        except (OSError, ValueError, KeyError, TypeError):
            return None

    def table(self) -> CrysTable:
        """The CrysDB table; read it at `table_version`."""
        from dao_core.crysdb.table import CrysTable

        return CrysTable(self.folder / CRYSDB / "table")

    def templates(self) -> TemplateIndex:
        """The index over its structures near the hull, in the order that ships with the program.

        Raises:
            TemplateIndexError: The index is of another version of the program: `dao library install` builds it anew.
        """
        from dao_core.generate.templates.ranker import Ranker
        from dao_core.generate.templates.store import load_index

        return replace(load_index(self.stage.path), ranker=Ranker.shipped())


def library_folder(folder: str | Path | None = None) -> Path:
    """Where the library lies: `folder`, else $DAO_LIBRARY, else dao/library below $XDG_DATA_HOME (~/.local/share)."""
    chosen = folder or os.environ.get(LIBRARY_VARIABLE)
    if chosen:
        return Path(chosen).expanduser()
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "dao" / "library"


def open_library(folder: str | Path | None = None) -> Library | None:
    """The installed library, every file checked against its SHA-256.

    Args:
        folder: Another folder than the user's own.

    Returns:
        The library, or None where none was ever installed.

    Raises:
        LibraryError: It is cut, altered, or of another version of the program.
    """
    root = library_folder(folder)
    try:
        text = (root / MANIFEST).read_text()
    except FileNotFoundError:
        return None
    except OSError as error:
        raise LibraryError(f"the library in {root} is not readable: {error}") from error
    try:
        manifest: dict[str, Any] = json.loads(text)
        if manifest["format"] != format_version():
            raise LibraryError(
                f"the library in {root} has format {manifest['format']}, this program reads {format_version()}: "
                "run `dao library install`"
            )
        stage = verify(root / LEDGER / STAGE / manifest["key"])
        sources = tuple(LibrarySource(**s) for s in manifest["sources"])
        return Library(root, int(manifest["table_version"]), str(manifest["content"]), stage, sources)
    except (ArtifactError, ValueError, KeyError, TypeError) as error:
        raise LibraryError(f"the library in {root} is damaged ({error}): run `dao library install`") from error


def format_version() -> str:
    """Formats of the library and of the template index in it: another one is built anew."""
    from dao_core.generate.templates.store import FORMAT as INDEX_FORMAT

    return f"{FORMAT}, index {INDEX_FORMAT}"


def usable_library(folder: str | Path | None = None) -> tuple[Library | None, str | None]:
    """The library, or None with the reason why a search goes without it."""
    try:
        library = open_library(folder)
    except LibraryError as error:
        return None, str(error)
    if library is None:
        # a folder that was named may be mistyped: then it is the answer
        there = f" in {library_folder(folder)}" if folder or os.environ.get(LIBRARY_VARIABLE) else ""
        return (
            None,
            f"no library is installed{there}: only the prototypes that pymatgen carries are searched (dao library)",
        )
    return library, None


def write_library_manifest(
    root: Path, *, table_version: int, content: str, key: str, sources: Sequence[LibrarySource]
) -> None:
    """Make a built stage the library of a folder; written last, in one move.

    Args:
        root: Folder of the library.
        table_version: Version of its database.
        content: Hash of what was built.
        key: Key of the stage in the library's ledger.
        sources: What it was made from, with licences.
    """
    manifest = {
        "format": format_version(),
        "table_version": table_version,
        "content": content,
        "key": key,
        "sources": [asdict(s) for s in sources],
    }
    write_atomic(root / MANIFEST, json.dumps(manifest, indent=1))
