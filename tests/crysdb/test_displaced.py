from __future__ import annotations

from pathlib import Path

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.displaced import displacements
from dao_core.crysdb.doctor import examine
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from tests.helpers.records import ListSource, caesium_chloride, element, perovskite, record, rocksalt, salt_records

CONFIG = BuildConfig(clean=CleanSettings(min_atoms=2), shard_rows=4, workers=1)


def test_what_a_wrong_energy_would_have_pushed_away_is_listed(tmp_path: Path) -> None:
    rows = [*salt_records(), record("KCl", rocksalt("K", "Cl"), -3.3), record("K", element("K"), -1.1)]
    wrong = [record("wrong", caesium_chloride(edge=3.5), -9.0), record("odd", perovskite(edge=4.4), -90.0)]
    build(CONFIG, tmp_path, sources=[ListSource([*rows, *wrong])])
    ids = {r.material_id for r in CrysTable(tmp_path / "table").records()}
    assert ids >= {"test-salt", "test-cscl", "KCl"}
    assert not ids & {"wrong", "odd"}
    found = {d.quarantined.entry.id: set(d.ids) for d in displacements(tmp_path)}
    assert found["wrong"] == {"test-salt", "test-salt-copy", "test-cscl"}  # KCl has another system
    assert found["odd"] == set()  # nothing of it has a hull
    finding = next(f for f in examine(tmp_path) if f.check == "quarantine")
    assert finding.status == "warning"
    assert "wrong (NaCl): its formation energy" in finding.detail
    assert "it would have displaced" in finding.detail


def test_a_duplicate_of_a_quarantined_row_has_the_next_one_as_its_representative(tmp_path: Path) -> None:
    copies = [record(f"copy-{i}", rocksalt(edge=5.64 + 0.001 * i), -3.39 + 0.001 * i) for i in range(2)]
    rows = [*salt_records(), *copies, record("wrong", rocksalt(), -9.0)]
    build(CONFIG, tmp_path, sources=[ListSource(rows)])
    twins = {r.material_id: r.duplicate_of for r in CrysTable(tmp_path / "table").records() if r.duplicate_of}
    table = CrysTable(tmp_path / "table").read(["material_id", "duplicate_of"]).to_pylist()
    assert {r["material_id"]: r["duplicate_of"] for r in table if r["duplicate_of"]} == {
        "test-salt-copy": "test-salt", "copy-0": "test-salt", "copy-1": "test-salt"}  # fmt: skip
    assert not twins


def test_a_database_without_wrong_energies_is_told_so(tmp_path: Path) -> None:
    build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    assert list(displacements(tmp_path)) == []
    assert next(f for f in examine(tmp_path) if f.check == "quarantine").status == "ok"
