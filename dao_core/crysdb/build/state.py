"""What an update must know besides the table: every row that took part in a hull, and the rows set aside."""

from __future__ import annotations

import json
import shutil
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import write_atomic
from dao_core.crysdb.schema import schema
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS

if TYPE_CHECKING:
    import pyarrow as pa

STATE = "state"
ENTRIES = "entries.parquet"  # ENTRY_COLUMNS and `publishable` of all sound rows, published or not
ASIDE = "aside.parquet"  # whole rows too far above the hull: a hull that falls may bring them back


class UpdateError(RuntimeError):
    """An update is not possible from here; the message says what to run instead."""


@dataclass(frozen=True)
class State:
    """The state beside a version: its tables, the settings it was made with, and a key that names it."""

    version: int
    key: str
    settings: str
    entries: pa.Table
    aside: pa.Table


def write_state(
    root: Path, *, entries: Path | Iterable[pa.Table], aside: Path | Iterable[pa.Table], facts: dict[str, Any]
) -> None:
    """Replace the state below a folder; a reader (or a kill) sees the old one or the new one.

    Args:
        root: Folder of the database.
        entries: Rows of the hulls, or a file of them.
        aside: Rows that are not published, or a file of them.
        facts: What the state was made from.
    """
    import pyarrow.parquet as pq

    # a name of its own: what `state` leads to stays until it leads here, even where it is of the same version
    folder = root / f"{STATE}-{facts['version']}-{facts['key'][:12]}-{uuid.uuid4().hex[:8]}"
    folder.mkdir(parents=True)
    try:
        for name, data in ((ENTRIES, entries), (ASIDE, aside)):
            if isinstance(data, Path):
                shutil.copyfile(data, folder / name)
                continue
            writer = None
            for table in data:
                writer = writer or pq.ParquetWriter(folder / name, table.schema, compression="zstd")
                writer.write_table(table)
            if writer is not None:
                writer.close()
        write_atomic(folder / "state.json", json.dumps(facts))
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    _point(root, folder)


def _point(root: Path, target: Path) -> None:
    """Make `state` lead to a folder, then remove the others."""
    link = root / f"{STATE}.link-{uuid.uuid4().hex[:8]}"
    link.symlink_to(target.name)
    link.replace(root / STATE)
    for old in root.glob(f"{STATE}-*"):
        if old != target:
            shutil.rmtree(old, ignore_errors=True)


def read_state(root: Path) -> State:
    """The state below `root`. Raises UpdateError where there is none or it is damaged."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    folder = root / STATE
    try:
        facts = json.loads((folder / "state.json").read_text())
        entries, aside = _with_all_columns(pq.read_table(folder / ENTRIES)), pq.read_table(folder / ASIDE)
    except (OSError, ValueError, pa.ArrowInvalid) as error:
        raise UpdateError(f"no usable state at {folder} ({error}): run `dao crysdb build` once") from error
    return State(facts["version"], facts["key"], facts["settings"], entries, aside)


def _with_all_columns(entries: pa.Table) -> pa.Table:
    """Entries with today's columns, null where the version before had none of that name."""
    import pyarrow as pa

    for name in set(ENTRY_COLUMNS) - set(entries.column_names):
        entries = entries.append_column(name, pa.nulls(entries.num_rows, schema().field(name).type))
    return entries.select([*ENTRY_COLUMNS, "publishable"])
