from __future__ import annotations

import json
from pathlib import Path

import pytest

from dao_core.crysdb.build.assemble import IMPLAUSIBLE
from dao_core.crysdb.build.build import BuildReport, BuildStoppedError, build
from dao_core.crysdb.config import BuildConfig, FilesConfig, GuardSettings
from dao_core.crysdb.schema import CrysRecord, table_to_records
from dao_core.crysdb.sources.base import Refusal, SourceError
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.dedup import DedupSettings
from dao_core.crysdb.steps.energies import HullSettings
from dao_core.crysdb.table import CrysTable
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.hull.table import read_hull
from tests.helpers.records import ListSource, caesium_chloride, perovskite, record, rocksalt, salt_records

CONFIG = BuildConfig(clean=CleanSettings(min_atoms=2), shard_rows=4, workers=1)


def rows_of(root: Path, version: int | None = None) -> dict[str, CrysRecord]:
    return {r.material_id: r for r in table_to_records(CrysTable(root / "table").read(version=version))}


def test_one_build_end_to_end(tmp_path: Path) -> None:
    bad = record("flat", rocksalt(), -3.0)
    bad.lattice = bad.lattice * 0.0
    source = ListSource([*salt_records(), bad, Refusal("row 8", "unreadable"), record("test-salt", rocksalt(), -1.0)])
    report = build(CONFIG, tmp_path, sources=[source])
    assert report.adds_up
    assert report.sources["test"] == {
        "n_in": 9,
        "n_refused": 3,
        "n_dropped": 2,
        "n_published": 4,
        "functional": "PBE",
        "version": "1",
    }
    assert report.refused == {"less than 1 A^3 per atom": 1, "unreadable": 1, "id given twice": 1}
    assert report.dropped == {"fewer than 2 atoms": 2}
    rows = rows_of(tmp_path)
    assert rows["test-salt"].e_above_hull == 0.0
    assert rows["test-salt"].formation_energy_per_atom == pytest.approx(-3.4 + 1.55)
    assert rows["test-salt"].is_stable is True
    assert rows["test-cscl"].e_above_hull == pytest.approx(0.1)
    assert rows["test-cscl"].is_stable is False
    assert rows["test-salt-copy"].duplicate_of == "test-salt"
    assert rows["test-salt"].duplicate_of is None
    assert rows["test-perovskite"].e_above_hull is None  # no Sr, Ti, O: never invented
    assert rows["test-perovskite"].is_stable is None
    assert rows["test-perovskite"].spacegroup_number == 221
    assert report.views["all"] == 3
    assert report.agreement["test"]["n"] == 1
    assert report.agreement["test"]["max"] == 0.0
    assert json.loads((tmp_path / "report.json").read_text())["version"] == 0


def test_notes_of_the_rows_are_counted_and_shown(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    from flows.cli.crysdb import show_report

    frame = rocksalt().to_extxyz().replace('pbc="T T T"', "REF_energy=-6.8")
    (tmp_path / "f.xyz").write_text(frame + frame)
    files = FilesConfig(name="mine", paths=(tmp_path / "f.xyz",), functional="PBE")
    report = build(CONFIG.model_copy(update={"sources": (files,), "benchmarks": ()}), tmp_path / "db")
    assert list(report.notes.values()) == [2]
    show_report(tmp_path / "db")
    assert "noted: 2 x REF_energy is not read: if it is this structure's" in capsys.readouterr().out


def test_hulls_are_left_for_others_with_their_label(tmp_path: Path) -> None:
    report = build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    assert report.hull["labels"] == ["total energy, test PBE"]
    label = EnergyLabel("PBE", source="test")
    hull = read_hull(tmp_path / "hulls.parquet", label)
    assert hull.e_above_hull({11: 1, 17: 1}, -3.3, label=label) == pytest.approx(0.1)
    assert [e.id for e, _ in hull.decompose({11: 1, 17: 1}).phases] == ["test-salt"]
    with pytest.raises(ForeignEnergyError):
        hull.e_above_hull({11: 1, 17: 1}, -3.3, label=EnergyLabel("chgnet"))


def test_formation_energies_get_a_hull_and_the_report_names_the_elements_at_zero(tmp_path: Path) -> None:
    rows = [
        record("salt", rocksalt(), formation_energy_per_atom_source=-2.0, e_above_hull_source=0.0),
        record("cscl", caesium_chloride(), formation_energy_per_atom_source=-1.95, e_above_hull_source=0.3),
    ]
    report = build(CONFIG, tmp_path, sources=[ListSource(rows)])
    found = rows_of(tmp_path)
    assert found["cscl"].e_above_hull == pytest.approx(0.05)
    assert (found["salt"].is_stable, found["cscl"].is_stable) == (True, False)  # the source knows rows that we don't
    assert report.hull["elements_at_zero"] == {"formation energy, test PBE": ["Na", "Cl"]}
    assert report.agreement["test"]["max"] == pytest.approx(0.25)


def test_an_energy_that_no_compound_can_have_is_dropped_and_spoils_no_hull(tmp_path: Path) -> None:
    rows = [*salt_records(), record("wrong", caesium_chloride(edge=3.5), -19.0)]
    report = build(CONFIG, tmp_path, sources=[ListSource(rows)])
    assert report.adds_up
    assert report.dropped[IMPLAUSIBLE] == 1
    found = rows_of(tmp_path)
    assert "wrong" not in found
    assert found["test-salt"].e_above_hull == 0.0


def test_a_formation_hull_without_anything_to_hold_it_against_is_not_claimed(tmp_path: Path) -> None:
    rows = [record("salt", rocksalt(), formation_energy_per_atom_source=-2.0)]
    report = build(CONFIG, tmp_path, sources=[ListSource(rows)])
    assert (rows_of(tmp_path)["salt"].e_above_hull, rows_of(tmp_path)["salt"].is_stable) == (None, None)
    assert report.hull["n_without_hull"] == 1
    config = CONFIG.model_copy(update={"hull": HullSettings(elements_at_zero=True)})
    build(config, tmp_path, sources=[ListSource(rows)])
    assert rows_of(tmp_path)["salt"].e_above_hull == 0.0


def test_sources_keep_their_own_hulls_and_ids(tmp_path: Path) -> None:
    other = salt_records(functional="SCAN", source="other")
    for r in other:
        r.energy_per_atom = (r.energy_per_atom or 0.0) - 5.0
    other.append(record("test-salt", perovskite(), -1.0, source="other", functional="SCAN"))
    report = build(CONFIG, tmp_path, sources=[ListSource(salt_records()), ListSource(other, "other", "SCAN")])
    assert report.adds_up
    rows = rows_of(tmp_path)
    assert rows["other-cscl"].e_above_hull == pytest.approx(0.1)
    assert rows["other-salt"].duplicate_of is None  # never across hulls by default
    assert report.refused["id already used by source test"] == 1
    assert rows["test-salt"].source == "test"


def test_a_row_whose_id_an_earlier_source_has_changes_nothing_of_that_one(tmp_path: Path) -> None:
    """Everything after the reading knows a row by its id: the other one's duplicate would be taken for this one's."""
    first = [record("1", rocksalt(), -3.4)]
    copies = [
        record("2", rocksalt("K", "O", 5.3), -2.4, source="b", functional="SCAN"),
        record("1", rocksalt("K", "O", 5.3), -2.3, source="b", functional="SCAN"),
    ]
    for across in (False, True):
        root = tmp_path / str(across)
        config = CONFIG.model_copy(update={"dedup": DedupSettings(across_sources=across)})
        build(config, root, sources=[ListSource(first), ListSource(copies, "b", "SCAN")])
        rows = rows_of(root)
        assert {name: (r.source, r.duplicate_of) for name, r in rows.items()} == {"1": ("test", None), "2": ("b", None)}


def test_duplicates_across_sources_on_request(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"dedup": DedupSettings(across_sources=True)})
    other = [record("o", rocksalt(), -99.0, source="other", functional="SCAN")]
    build(config, tmp_path, sources=[ListSource(salt_records()), ListSource(other, "other", "SCAN")])
    assert rows_of(tmp_path)["o"].duplicate_of == "test-salt"


def test_too_far_above_the_hull_is_dropped_and_pointers_stay_true(tmp_path: Path) -> None:
    high = [*salt_records(), record("high", caesium_chloride(edge=3.8), -1.0), record("twin", caesium_chloride(), None)]
    report = build(CONFIG, tmp_path, sources=[ListSource(high)])
    rows = rows_of(tmp_path)
    assert "high" not in rows
    assert report.dropped["1 eV/atom or more above the hull"] == 1
    assert all(r.duplicate_of in (None, *rows) for r in rows.values())


def test_again_is_the_same_version_and_reads_nothing(tmp_path: Path) -> None:
    first = build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    source = ListSource(salt_records())
    second = build(CONFIG, tmp_path, sources=[source])
    assert (second.version, second.content_hash) == (first.version, first.content_hash)
    assert source.read == 0


def test_shards_and_processes_do_not_change_the_result(tmp_path: Path) -> None:
    values = salt_records() + salt_records(source="more", functional="PBE")
    for r in values:
        r.source = "test"
    found, hashes = set(), set()
    for i, (shard_rows, workers) in enumerate([(3, 1), (100, 1), (3, 2)]):
        config = CONFIG.model_copy(update={"shard_rows": shard_rows, "workers": workers})
        hashes.add(build(config, tmp_path / str(i), sources=[ListSource(values)]).content_hash)
        rows = rows_of(tmp_path / str(i))
        found.add(tuple((k, v.e_above_hull, v.duplicate_of, v.structure_key) for k, v in sorted(rows.items())))
    assert len(found) == len(hashes) == 1


def test_other_shards_of_the_same_content_are_no_new_version(tmp_path: Path) -> None:
    first = build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    again = build(CONFIG.model_copy(update={"shard_rows": 2}), tmp_path, sources=[ListSource(salt_records())])
    assert (again.version, again.content_hash) == (first.version, first.content_hash) == (0, again.content_hash)


def test_only_changed_shards_are_done_again(tmp_path: Path) -> None:
    build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    kept = {p.name for p in (tmp_path / "ledger" / "standardise").iterdir() if p.is_dir()}
    stricter = CONFIG.model_copy(update={"clean": CleanSettings(min_atoms=2, max_e_above_hull=0.05)})
    report = build(stricter, tmp_path, sources=[ListSource(salt_records())])
    assert {p.name for p in (tmp_path / "ledger" / "standardise").iterdir() if p.is_dir()} == kept
    assert report.version == 1
    assert "test-cscl" not in rows_of(tmp_path)
    assert "test-cscl" in rows_of(tmp_path, version=0)


def test_empty_source_publishes_an_empty_table(tmp_path: Path) -> None:
    report = build(CONFIG, tmp_path, sources=[ListSource([])])
    assert report.adds_up
    assert CrysTable(tmp_path / "table").read().num_rows == 0


def test_settings_without_any_source_build_nothing(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="the settings name no source"):
        build(CONFIG.model_copy(update={"sources": ()}), tmp_path)
    assert not CrysTable(tmp_path / "table").exists


@pytest.mark.parametrize("what", ["shrinks", "functional", "gone"])
def test_guards_stop_before_publishing(tmp_path: Path, what: str) -> None:
    build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    sources = {
        "shrinks": [ListSource(salt_records()[:5])],
        "functional": [ListSource(salt_records("SCAN"), functional="SCAN")],
        "gone": [ListSource([record("x", rocksalt(), -3.0, source="new")], "new")],
    }[what]
    with pytest.raises(BuildStoppedError, match=r"guards\.allow"):
        build(CONFIG, tmp_path, sources=sources)
    assert CrysTable(tmp_path / "table").version == 0
    allowed = CONFIG.model_copy(update={"guards": GuardSettings(allow=("test",))})
    assert build(allowed, tmp_path, sources=sources).version == 1


def test_report_adds_up_is_able_to_fail() -> None:
    tally = {"n_in": 5, "n_refused": 1, "n_dropped": 1, "n_published": 2}
    empty: dict[str, int] = {}
    report = BuildReport(0, "", {"s": tally}, empty, empty, empty, {}, {}, [], {}, empty)
    assert not report.adds_up
    tally["n_published"] = 3
    assert report.adds_up


def test_the_sample_builds(tmp_path: Path) -> None:
    report = build(BuildConfig(clean=CleanSettings(min_atoms=1), workers=1), tmp_path)
    assert report.adds_up
    assert report.hull["n_without_hull"] == 0
    assert report.views["forces/structure"] > 1000
    assert rows_of(tmp_path)
