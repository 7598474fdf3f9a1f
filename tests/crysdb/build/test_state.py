from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from dao_core.crysdb.build.state import UpdateError, read_state, write_state
from dao_core.crysdb.schema import conform
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS


def put(root: Path, version: int, rows: int) -> None:
    table = conform(pa.table({"material_id": [str(i) for i in range(rows)]})).select(list(ENTRY_COLUMNS))
    table = table.append_column("publishable", pa.array([True] * rows))
    facts = {"version": version, "key": f"key{version}", "settings": "s"}
    write_state(root, entries=[table, table], aside=[table], facts=facts)


def test_the_newest_state_replaces_the_old(tmp_path: Path) -> None:
    put(tmp_path, 0, 3)
    put(tmp_path, 1, 5)
    state = read_state(tmp_path)
    assert (state.version, state.key, state.entries.num_rows, state.aside.num_rows) == (1, "key1", 10, 5)
    assert len([p for p in tmp_path.iterdir() if not p.is_symlink()]) == 1


def test_no_or_damaged_state_says_what_to_run(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="dao crysdb build"):
        read_state(tmp_path)
    put(tmp_path, 0, 3)
    (tmp_path / "state" / "entries.parquet").write_bytes(b"PAR1")
    with pytest.raises(UpdateError, match="dao crysdb build"):
        read_state(tmp_path)


def test_a_failed_write_keeps_the_old_one(tmp_path: Path) -> None:
    put(tmp_path, 0, 3)

    def tables():  # type: ignore[no-untyped-def]
        yield pa.table({"material_id": ["1"]})
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_state(tmp_path, entries=tables(), aside=[], facts={"version": 1, "key": "k", "settings": "s"})
    assert read_state(tmp_path).version == 0
    assert len(list(tmp_path.iterdir())) == 2


def test_a_kill_amid_the_same_version_again_keeps_the_old_state(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A rebuild that finds nothing new writes the state of the version that is there."""
    put(tmp_path, 0, 3)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(Path, "rename", killed)
    monkeypatch.setattr(Path, "symlink_to", killed)
    with pytest.raises(KeyboardInterrupt):
        put(tmp_path, 0, 3)
    assert read_state(tmp_path).entries.num_rows == 6
