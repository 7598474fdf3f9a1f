from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.crysdb.build.build import build
from dao_core.crysdb.card import write_card
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.doctor import Finding, examine, healthy
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable, TableError, write_records
from tests.helpers.records import ListSource, record, rocksalt, salt_records

CONFIG = BuildConfig(clean=CleanSettings(min_atoms=2), workers=1)


@pytest.fixture
def built(tmp_path: Path) -> Path:
    build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    return tmp_path


def failed(root: Path) -> dict[str, Finding]:
    return {f.check: f for f in examine(root) if f.status == "failed"}


def test_a_fresh_build_is_healthy(built: Path) -> None:
    lines: list[str] = []
    assert healthy(examine(built), log=lines.append)
    assert any("4 ids, each once" in line for line in lines)


def test_no_table(tmp_path: Path) -> None:
    assert "dao crysdb build" in failed(tmp_path)["table"].detail


def test_one_changed_byte_in_a_readable_file_is_found_and_not_made_good_by_a_build(built: Path) -> None:
    import pyarrow.parquet as pq

    path = CrysTable(built / "table").files()[0]
    rows = pq.read_table(path)
    energies = rows["energy_per_atom"].to_pylist()
    changed = rows.set_column(rows.schema.get_field_index("energy_per_atom"), "energy_per_atom",
                              [[e if e is None else e - 0.01 for e in energies]])  # fmt: skip
    pq.write_table(changed, path)
    assert path.name in failed(built)["files"].detail
    with pytest.raises(TableError, match=path.name):
        build(CONFIG, built, sources=[ListSource(salt_records())])
    assert path.name in failed(built)["files"].detail


def test_files_of_an_unknown_writer_are_a_warning_until_the_next_build(built: Path) -> None:
    (built / "table.sha256.json").unlink()
    assert {f.check: f.status for f in examine(built)}["files"] == "warning"
    build(CONFIG, built, sources=[ListSource(salt_records())])
    assert {f.check: f.status for f in examine(built)}["files"] == "ok"


@pytest.mark.parametrize("how", ["truncated", "pointer", "gone"])
def test_damaged_files(built: Path, how: str) -> None:
    path = CrysTable(built / "table").files()[0]
    data = path.read_bytes()
    if how == "gone":
        path.unlink()
    else:
        path.write_bytes(data[:-100] if how == "truncated" else b"version https://git-lfs.github.com/spec/v1\n")
    assert path.name in failed(built)["files"].detail


def test_damaged_stage_is_a_warning(built: Path) -> None:
    victim = next((built / "ledger" / "clean").glob("*/rows.parquet"))
    victim.write_bytes(victim.read_bytes() + b"x")
    findings = {f.check: f for f in examine(built)}
    assert findings["ledger"].status == "warning"
    assert "rows.parquet" in findings["ledger"].detail


@pytest.mark.parametrize(
    ("rows", "check"),
    [
        ([record("a", rocksalt()), record("a", rocksalt())], "ids"),
        ([record("a", rocksalt(), duplicate_of="lost")], "duplicates"),
        ([record("a", rocksalt(), e_above_hull=-0.1)], "e_above_hull not below zero"),
        ([record("a", rocksalt(), e_above_hull=0.5, is_stable=True)], "is_stable agrees"),
        ([record("a", rocksalt(), formation_energy_per_atom=-99.0)], "formation energy"),
    ],
)
def test_wrong_values_are_found(tmp_path: Path, rows: list[CrysRecord], check: str) -> None:
    write_records(tmp_path / "table", rows)
    assert check in failed(tmp_path)


def test_outside_coordinates_and_flat_cells(tmp_path: Path) -> None:
    outside, flat = record("a", rocksalt()), record("b", rocksalt())
    outside.frac_coords = outside.frac_coords + 3.0
    flat.lattice = flat.lattice * 1e-3
    write_records(tmp_path / "table", [outside, flat])
    assert {"coordinates in [0, 1)", "volume per atom"} <= set(failed(tmp_path))


def test_counts_against_what_the_build_said(tmp_path: Path) -> None:
    said = {"sources": {"test": {"n_published": 7}}}
    write_records(tmp_path / "table", salt_records(), facts=said)
    assert "7" in failed(tmp_path)["counts"].detail


def test_the_card_tells_sources_licences_accounts_and_hulls(built: Path, tmp_path: Path) -> None:
    text = write_card(built, tmp_path / "card").read_text()
    assert (tmp_path / "card" / "distributions.png").read_bytes().startswith(b"\x89PNG")
    for expected in (
        "version 0",
        "| test | 1 | PBE | 4 |",
        "| test | 6 | 0 | 2 | 4 |",
        "total energy, test PBE",
        "superconductors",
    ):
        assert expected in text, expected


def test_a_card_needs_a_table(tmp_path: Path) -> None:
    with pytest.raises(TableError, match="dao crysdb build"):
        write_card(tmp_path, tmp_path / "card")
