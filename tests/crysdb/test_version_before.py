"""A small database that commit b90917e built and updated (synthetic crystals, tests/assets) is read by today's code."""

from __future__ import annotations

import tarfile
from pathlib import Path

import pytest

from dao_core.crysdb.build.build import build
from dao_core.crysdb.build.changes import Reading
from dao_core.crysdb.build.state import read_state
from dao_core.crysdb.build.update import update
from dao_core.crysdb.card import write_card
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.doctor import examine, healthy
from dao_core.crysdb.export import write_extxyz
from dao_core.crysdb.query import query
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from dao_core.hull.label import EnergyLabel
from dao_core.hull.table import read_hull
from tests.helpers.records import ListSource, record, rocksalt, salt_records

ASSET = Path(__file__).parents[1] / "assets" / "crysdb-b90917e.tar.gz"
CONFIG = BuildConfig(clean=CleanSettings(min_atoms=2), shard_rows=4, workers=1)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    with tarfile.open(ASSET) as archive:
        archive.extractall(tmp_path / "crysdb", filter="data")
    return tmp_path / "crysdb"


def test_rows_versions_and_facts_are_read(root: Path) -> None:
    table = CrysTable(root / "table")
    assert table.version == 1
    assert table.facts()["sources"]["test"]["n_published"] == 5
    rows = {r.material_id: r for r in table.records("all")}
    assert rows["test-cscl"].e_above_hull == pytest.approx(0.1)
    assert rows["test-salt"].crystal.formula_reduced == "NaCl"
    assert len(table.read(version=0)) == 4
    assert query(table, "SELECT count(*) n FROM crysdb_leak_free").to_pylist() == [{"n": 4}]


def test_doctor_card_and_export_take_it(root: Path, tmp_path: Path) -> None:
    findings = examine(root)
    assert healthy(findings), findings
    assert "test|PBE|total" in write_card(root, tmp_path / "card").read_text()
    assert write_extxyz(CrysTable(root / "table").batches(), tmp_path / "all.extxyz") == 5


def test_its_hulls_are_read(root: Path) -> None:
    label = EnergyLabel("PBE", source="test")
    hull = read_hull(root / "hulls.parquet", label)
    assert hull.e_above_hull({11: 1, 17: 1}, -3.3, label=label) == pytest.approx(0.1)


def test_an_update_goes_on_from_it_and_a_build_takes_its_place(root: Path) -> None:
    assert read_state(root).version == 1
    rows = [*salt_records(), record("test-KCl", rocksalt("K", "Cl", 6.3), -3.2)]
    source = ListSource([*rows, record("test-LiF", rocksalt("Li", "F", 4.0), -4.8)])
    report = update(CONFIG, root, sources=[source], reading=Reading(partial=True))
    assert report.n_new == 1  # the others count as changed once: their hashes are without the licence
    assert update(CONFIG, root, sources=[source], reading=Reading(partial=True)).n_same == 8
    assert build(CONFIG, root, sources=[source]).sources["test"]["n_published"] == 6
    assert {r.material_id for r in CrysTable(root / "table").records("all")} >= {"test-salt", "test-LiF"}
