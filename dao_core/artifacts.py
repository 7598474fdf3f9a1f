"""The ledger: content-addressed stage directories that are whole or absent.

A stage writes into `<root>/<stage>/<key>.tmp-<uuid>`, every file is synced, the manifest with the SHA-256 of each file
is written last, and the directory is renamed into place. A stage is done exactly when its manifest exists and verifies;
whatever a scheduler says about it is only news.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import json
import math
import os
import shutil
import uuid
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any
from uuid import UUID

import numpy as np

MANIFEST = "manifest.json"
PUBLISHED = "files.json"
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EROFS)


class ArtifactError(RuntimeError):
    """A stage directory that is missing, damaged or cannot be written; the message says what to do."""


class ForeignFileError(RuntimeError):
    """A file of somebody else where one of ours would go; the message names it and what to do."""


def content_key(**parts: Any) -> str:
    """Short hash of JSON-like values: the name of a result by what it was made from (inputs, config, code version)."""
    text = json.dumps(parts, sort_keys=True, default=_plain, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()[:20]


def _plain(value: Any) -> Any:
    """A value JSON does not know, as one it does; only kinds whose text is the same in every process."""
    if hasattr(value, "model_dump"):  # pydantic
        return value.model_dump(mode="json")
    if isinstance(value, Path | date | UUID):
        return str(value)
    if isinstance(value, set | frozenset):
        return sorted(value)
    if hasattr(value, "tolist"):  # numpy scalars and arrays
        return value.tolist()
    raise TypeError(f"{type(value).__name__} has no stable text for a content key: pass its plain values")


def file_sha256(path: Path) -> str:
    """SHA-256 of a file, read in blocks."""
    digest = hashlib.sha256()
    with path.open("rb") as handle:
        for block in iter(lambda: handle.read(1 << 20), b""):
            digest.update(block)
    return digest.hexdigest()


@dataclass(frozen=True)
class StageRecord:
    """What a finished stage hands to the next one: a path and what is known about it, never the data."""

    stage: str
    key: str
    path: str
    counts: dict[str, int] = field(default_factory=dict)
    facts: dict[str, Any] = field(default_factory=dict)

    def file(self, name: str) -> Path:
        """Path of one of the stage's files."""
        return Path(self.path) / name


class Ledger:
    """Stage directories below one root."""

    def __init__(self, root: str | Path) -> None:
        self.root = Path(root)

    def directory(self, stage: str, key: str) -> Path:
        """Where a stage is, or will be."""
        return self.root / stage / key

    def find(self, stage: str, key: str) -> StageRecord | None:
        """Look for a finished stage.

        Args:
            stage: Name of the stage.
            key: What its result depends on.

        Returns:
            Its record, or None; a damaged directory counts as absent (`run` sets it aside).
        """
        try:
            return verify(self.directory(stage, key))
        except ArtifactError:
            return None

    def run(self, stage: str, key: str, work: Callable[[Path], Mapping[str, Any] | None]) -> StageRecord:
        """Return the finished stage, or do the work once and record it.

        Two processes with the same key do the work once: the second waits on a file lock that the kernel drops if the
        first dies.

        Args:
            stage: Name of the stage, a folder of the ledger.
            key: What the result depends on, as a hash (see `content_key`).
            work: Called with an empty directory to fill; may return {"counts": {...}, "facts": {...}} for the manifest.

        Returns:
            The record of the stage, verified.
        """
        done = self.find(stage, key)
        if done is not None:
            return done
        with self._lock(stage, key):
            done = self.find(stage, key)
            if done is not None:
                return done
            return self._write(stage, key, work)

    def _write(self, stage: str, key: str, work: Callable[[Path], Mapping[str, Any] | None]) -> StageRecord:
        for stale in (self.root / stage).glob(f"{key}.tmp-*"):  # left by a killed process; we hold the lock
            shutil.rmtree(stale, ignore_errors=True)
        temporary = self.root / stage / f"{key}.tmp-{uuid.uuid4().hex[:12]}"
        try:
            temporary.mkdir(parents=True)
            facts = dict(work(temporary) or {})
            write_manifest(temporary, stage=stage, key=key, **facts)
            final = self.directory(stage, key)
            if final.exists():  # `find` refused it, and only the holder of the lock may move it
                final.rename(final.with_name(f"{key}.damaged-{uuid.uuid4().hex[:8]}"))
            temporary.rename(final)
            _sync_directory(self.root / stage)
        except OSError as error:
            shutil.rmtree(temporary, ignore_errors=True)
            if error.errno not in _NO_ROOM:
                raise  # the work's own trouble (a missing input, say) keeps its type
            raise ArtifactError(f"stage {stage}: {error}; free space below {self.root}, then run it again") from error
        except BaseException:
            shutil.rmtree(temporary, ignore_errors=True)
            raise
        return verify(self.directory(stage, key), deep=False)

    @contextmanager
    def _lock(self, stage: str, key: str) -> Iterator[None]:
        folder = self.root / stage
        try:
            folder.mkdir(parents=True, exist_ok=True)
            handle = (folder / f"{key}.lock").open("w")
        except OSError as error:
            raise ArtifactError(f"cannot write below {self.root}: {error}") from error
        with handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def write_manifest(directory: Path, *, stage: str, key: str, **facts: Any) -> None:
    """Sync every file of a stage directory and write its manifest last: a manifest means that the stage is whole.

    Args:
        directory: Filled by the stage.
        stage: Name of the stage.
        key: What its result depends on.
        **facts: More entries of the manifest, such as counts.
    """
    files = {}
    for path in sorted(p for p in directory.rglob("*") if p.is_file() and p.name != MANIFEST):
        _sync_file(path)
        files[str(path.relative_to(directory))] = {"sha256": file_sha256(path), "bytes": path.stat().st_size}
    text = json.dumps({"stage": stage, "key": key, "files": files, **facts}, indent=1, sort_keys=True, default=str)
    write_atomic(directory / MANIFEST, text)
    _sync_directory(directory)


def verify(directory: str | Path, *, deep: bool = True) -> StageRecord:
    """Check a stage directory against its manifest.

    Args:
        directory: Of a finished stage.
        deep: Whether the SHA-256 of every file is computed; otherwise only names and sizes are compared.

    Returns:
        The record that the manifest holds.

    Raises:
        ArtifactError: A file is missing or differs; the message names the first one.
    """
    directory = Path(directory)
    try:
        manifest = json.loads((directory / MANIFEST).read_text())
        listed = manifest["files"].items()
        record = StageRecord(
            manifest["stage"], manifest["key"], str(directory), manifest.get("counts", {}), manifest.get("facts", {})
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise ArtifactError(
            f"{directory} has no readable manifest ({error}); delete it and run the stage again"
        ) from error
    for name, entry in listed:
        path = directory / name
        if (
            not path.exists()
            or path.stat().st_size != entry["bytes"]
            or (deep and file_sha256(path) != entry["sha256"])
        ):
            raise ArtifactError(f"{path} is missing or was changed; delete {directory} and run the stage again")
    return record


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """A file that appears under its name only when it is whole, for those who write it piece by piece.

    Args:
        path: The file; what was there stays until the block has ended without an error.

    Yields:
        The path to write to, in the same folder.
    """
    temporary = path.with_name(f"{path.name}.tmp-{uuid.uuid4().hex[:8]}")
    try:
        yield temporary
        _sync_file(temporary)
        temporary.replace(path)
    except BaseException:
        temporary.unlink(missing_ok=True)
        raise


def write_atomic(path: Path, data: str | bytes) -> None:
    """Write a file so that a reader sees the old content or the new, never half of it."""
    with written_whole(path) as temporary:
        temporary.write_bytes(data.encode() if isinstance(data, str) else data)


def _sync_file(path: Path) -> None:
    with path.open("rb") as handle:
        os.fsync(handle.fileno())


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def plain(value: Any) -> Any:
    """Numpy and mappings as plain JSON values; a non-finite number becomes None, anything else its text."""
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (list, tuple, set, frozenset)):
        return [plain(v) for v in value]
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, (bool, str)) or value is None:
        return value
    if isinstance(value, (int, np.integer)):
        return int(value)
    if isinstance(value, (float, np.floating)):
        return float(value) if math.isfinite(value) else None
    if isinstance(value, Decimal):
        return plain(int(value) if value.is_finite() and value == value.to_integral_value() else float(value))
    return str(value)


def published(target: Path) -> list[str]:
    """Names of the files that `publish_into` brought into a folder. Raises ForeignFileError for a list not of ours."""
    remembered = target / PUBLISHED
    if not remembered.exists():
        return []
    try:
        names = json.loads(remembered.read_text())
    except ValueError:
        names = None
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ForeignFileError(f"{remembered} is not of this program: move it away, or name another folder")
    return names


def refuse_foreign(target: Path, names: Iterable[str], own: Iterable[str]) -> None:
    """See that files can be written into a folder without taking the place of others there.

    Args:
        target: The folder; it need not exist.
        names: Of the files.
        own: Those that may be replaced.

    Raises:
        ForeignFileError: One is there already and somebody else's.
    """
    foreign = [target / name for name in sorted(set(names) - set(own)) if (target / name).exists()]
    if target.exists() and not target.is_dir():
        foreign = [target]
    if foreign:
        raise ForeignFileError(f"{foreign[0]} is not of this program: move it away, or name another folder")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """One process or thread at a time works on the files of a folder; the lock dies with its holder.

    Args:
        folder: It exists; a file will do.
    """
    handle = os.open(folder, os.O_RDONLY)
    try:
        with suppress(OSError):  # NFS locks no folder: there two at the same moment can meet
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield
    finally:
        os.close(handle)


def publish_into(source: Path, target: Path, own: Iterable[str] = ()) -> Path:
    """Bring the files of a folder into another that may hold more than them; what an earlier one left there goes.

    What was brought is remembered in `files.json` there, so that a smaller report leaves no file of a larger one and
    nobody else's file is touched.

    Args:
        source: Folder whose files are brought.
        target: Folder that gets them.
        own: Files there that count as brought although they aren't remembered.

    Returns:
        The target.

    Raises:
        ForeignFileError: One would take the place of a file that was not brought; nothing is changed then.
    """
    if not target.exists():
        target.mkdir(parents=True, exist_ok=True)
    with locked(target):  # of two at once the second waits, and replaces all of the first
        return _publish_into(source, target, own)


def _publish_into(source: Path, target: Path, own: Iterable[str]) -> Path:
    names = sorted(str(p.relative_to(source)) for p in source.rglob("*") if p.is_file())
    earlier = {*published(target), *own}
    refuse_foreign(target, names, earlier)
    # first, so that after a kill amid the files those that are there already are known
    write_atomic(target / PUBLISHED, json.dumps(sorted({*earlier, *names}), indent=0))
    for name in names:
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        write_atomic(target / name, (source / name).read_bytes())
    inside = target.resolve()
    for name in earlier - set(names):
        path = (target / name).resolve()
        if inside in path.parents:
            path.unlink(missing_ok=True)
    write_atomic(target / PUBLISHED, json.dumps(names, indent=0))
    return target
