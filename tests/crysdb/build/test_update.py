from __future__ import annotations

from functools import partial
from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.build.build import BuildStoppedError, build
from dao_core.crysdb.build.changes import Reading
from dao_core.crysdb.build.state import UpdateError
from dao_core.crysdb.build.update import update
from dao_core.crysdb.config import BuildConfig, GuardSettings
from dao_core.crysdb.schema import COLUMNS, CrysRecord, table_to_records
from dao_core.crysdb.sources.base import Refusal
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.dedup import DedupSettings
from dao_core.crysdb.steps.leakage import BenchmarkConfig
from dao_core.crysdb.steps.quarantine import QUARANTINE, read_quarantine
from dao_core.crysdb.table import CrysTable
from tests.helpers.records import ListSource, caesium_chloride, element, perovskite, record, rocksalt, salt_records

CONFIG = BuildConfig(
    clean=CleanSettings(min_atoms=2),
    benchmarks=(BenchmarkConfig(name="held", formulas=("SrTiO3",)),),
    shard_rows=50,
    workers=1,
    guards=GuardSettings(max_shrink=0.5),
)
PLAIN = [c for c in COLUMNS if c not in ("ingested_at", "lattice", "frac_coords", "atomic_numbers", "forces", "stress")]


def content(root: Path) -> dict[str, tuple[object, ...]]:
    out = {}
    for r in table_to_records(CrysTable(root / "table").read()):
        values = [getattr(r, c) for c in PLAIN]
        rounded = [round(v, 9) if isinstance(v, float) else str(v) for v in values]
        out[r.material_id] = (*rounded, r.lattice.round(9).tobytes())
    return out


def crowd(seed: int = 0) -> list[CrysRecord]:
    """Elements, binaries and ternaries in many shapes over one five-element space, energies by chance."""
    rng = np.random.default_rng(seed)
    symbols = ["Na", "K", "Cl", "O", "Ti"]
    rows = [record(f"e-{s}", element(s), -1.0) for s in symbols]
    for i, a in enumerate(symbols):
        for b in symbols[i + 1 :]:
            for k, shape in enumerate((rocksalt, caesium_chloride)):
                edge = 5.6 if k == 0 else 3.4
                rows.append(record(f"b-{a}{b}-{k}", shape(a, b, edge), float(rng.normal(-1.4, 0.3))))
                rows.append(record(f"b-{a}{b}-{k}-copy", shape(a, b, edge * 1.01), float(rng.normal(-1.3, 0.3))))
            for c in symbols:
                if c not in (a, b):
                    rows.append(record(f"t-{a}{b}{c}", perovskite(a, b, c), float(rng.normal(-1.5, 0.4))))
    return rows


def changed(rows: list[CrysRecord], seed: int) -> list[CrysRecord]:
    """Some energies moved up or down, some rows gone, some new, one structure exchanged, an element lowered."""
    rng = np.random.default_rng(seed)
    out = [CrysRecord(**vars(r)) for r in rows if rng.random() > 0.05 or r.n_atoms == 1]
    for r in out:
        if r.n_atoms > 1 and rng.random() < 0.15:
            r.energy_per_atom = (r.energy_per_atom or 0.0) + float(rng.normal(0, 0.6))
    if seed % 2:
        out[0].energy_per_atom = -1.2
    out[20].lattice = out[20].lattice * 1.1
    out.append(record("new-1", rocksalt("K", "O", 5.3), -2.4))
    out.append(record("new-2", perovskite("Sr"), -4.0))
    return out


@pytest.mark.parametrize("seed", [1, 2])
def test_update_gives_what_a_build_of_everything_gives(tmp_path: Path, seed: int) -> None:
    before, after = crowd(), changed(crowd(), seed)
    build(CONFIG, tmp_path / "updated", sources=[ListSource(before)])
    first = content(tmp_path / "updated")
    build(CONFIG, tmp_path / "fresh", sources=[ListSource(after)])
    report = update(CONFIG, tmp_path / "updated", sources=[ListSource(after)])
    assert report.version == 1
    assert content(tmp_path / "updated") == content(tmp_path / "fresh")
    # and once more, back to the beginning: rows that were set aside return
    update(CONFIG, tmp_path / "updated", sources=[ListSource(before)])
    assert content(tmp_path / "updated") == first


@pytest.mark.parametrize("wrong", [{"b-NaCl-0": -9.0}, {"e-Na": -20.0}, {"t-NaKCl": -60.0, "b-KO-1": -8.0}], ids=str)
def test_energies_that_cannot_be_right_come_and_go_as_in_a_build(tmp_path: Path, wrong: dict[str, float]) -> None:
    before = crowd()
    after = [CrysRecord(**vars(r)) for r in before]
    for r in after:
        r.energy_per_atom = wrong.get(r.material_id, r.energy_per_atom)
    build(CONFIG, tmp_path / "updated", sources=[ListSource(before)])
    first = content(tmp_path / "updated")
    build(CONFIG, tmp_path / "fresh", sources=[ListSource(after)])
    update(CONFIG, tmp_path / "updated", sources=[ListSource(after)])
    assert content(tmp_path / "updated") == content(tmp_path / "fresh")
    assert read_quarantine(tmp_path / "updated" / QUARANTINE) == read_quarantine(tmp_path / "fresh" / QUARANTINE)
    assert {name for _, name in read_quarantine(tmp_path / "fresh" / QUARANTINE)} == set(wrong)
    update(CONFIG, tmp_path / "updated", sources=[ListSource(before)])
    assert content(tmp_path / "updated") == first


def test_only_what_changed_is_written(tmp_path: Path) -> None:
    rows = crowd()
    build(CONFIG, tmp_path, sources=[ListSource(rows)])
    after = [CrysRecord(**vars(r)) for r in rows]
    index = next(i for i, r in enumerate(after) if r.material_id == "t-NaKCl")
    after[index].energy_per_atom = 0.5 + (after[index].energy_per_atom or 0.0)
    report = update(CONFIG, tmp_path, sources=[ListSource(after)])
    assert (report.n_changed, report.n_new, report.n_gone, report.n_same) == (1, 0, 0, len(rows) - 1)
    assert report.n_written + report.n_deleted <= 5


def test_nothing_new_is_no_version(tmp_path: Path) -> None:
    build(CONFIG, tmp_path, sources=[ListSource(crowd())])
    report = update(CONFIG, tmp_path, sources=[ListSource(crowd())])
    assert (report.version, report.n_written, report.n_same) == (0, 0, len(crowd()))


def test_a_copy_of_a_row_that_is_not_published_stands_for_itself(tmp_path: Path) -> None:
    far = record("far", rocksalt(), -3.5, e_above_hull_source=1.5)  # lowest of its bucket, but its source sets it aside
    before = [*salt_records(), far]
    build(CONFIG, tmp_path / "updated", sources=[ListSource(before)])
    after = [*before, record("more", rocksalt(), -3.45)]
    update(CONFIG, tmp_path / "updated", sources=[ListSource(after)])
    build(CONFIG, tmp_path / "fresh", sources=[ListSource(after)])
    assert content(tmp_path / "updated") == content(tmp_path / "fresh")
    assert "far" not in content(tmp_path / "updated")


def test_a_source_that_knows_no_dates_is_read_whole_whatever_is_asked(tmp_path: Path) -> None:
    rows = salt_records()
    build(CONFIG, tmp_path / "a", sources=[ListSource(rows)])
    report = update(CONFIG, tmp_path / "a", sources=[ListSource(rows[:-1])], reading=Reading(since="2031-01-01"))
    assert report.n_gone == 1

    class Dated(ListSource):
        knows_dates = True

    report = update(CONFIG, tmp_path / "a", sources=[Dated(rows[:-2])], reading=Reading(since="2031-01-01"))
    assert report.n_gone == 0


def test_an_id_of_two_sources_goes_from_one_to_the_other_as_in_a_fresh_build(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"guards": GuardSettings(max_shrink=1.0, allow=("b",))})
    mine, scan = salt_records(), {"source": "b", "functional": "SCAN"}
    other = [record("x", rocksalt("K", "O", 5.3), -2.4, **scan), record("y", rocksalt("K", "S", 6.1), -2.0, **scan)]
    with_x = [*mine, record("x", rocksalt("Na", "F", 4.7), -2.9)]
    steps = [  # a source gets the other's id, loses it again, and is alone at last
        [ListSource(mine), ListSource(other, "b", "SCAN")],
        [ListSource(with_x), ListSource(other, "b", "SCAN")],
        [ListSource(mine), ListSource(other, "b", "SCAN")],
        [ListSource(mine)],
    ]
    build(config, tmp_path / "updated", sources=steps[0])
    for i, sources in enumerate(steps[1:]):
        update(config, tmp_path / "updated", sources=sources)
        build(config, tmp_path / f"fresh{i}", sources=sources)
        assert content(tmp_path / "updated") == content(tmp_path / f"fresh{i}")


def test_a_duplicate_whose_representative_leaves_the_table_stands_for_itself_and_goes_back(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"dedup": DedupSettings(across_sources=True)})
    rows = [*salt_records(), record("r", rocksalt("K", "O", 5.3), -2.4), record("k", element("K"), -1.0),
            record("o", element("O"), -1.0)]  # fmt: skip
    twin = record("twin", rocksalt("K", "O", 5.31), None, source="b", functional="none")
    low = record("low", caesium_chloride("K", "O", 3.3), -4.5)
    steps = [[*rows], [*rows, low], [*rows]]
    build(config, tmp_path / "updated", sources=[ListSource(steps[0]), ListSource([twin], "b", "none")])
    assert content(tmp_path / "updated")["twin"][PLAIN.index("duplicate_of")] == "r"
    for i, mine in enumerate(steps[1:]):
        sources = [ListSource(mine), ListSource([twin], "b", "none")]
        update(config, tmp_path / "updated", sources=sources)
        build(config, tmp_path / f"fresh{i}", sources=sources)
        assert content(tmp_path / "updated") == content(tmp_path / f"fresh{i}")


def test_changed_forces_are_a_change(tmp_path: Path) -> None:
    rows = salt_records()
    build(CONFIG, tmp_path, sources=[ListSource(rows)])
    moved = [CrysRecord(**vars(r)) for r in rows]
    salt = next(r for r in moved if r.material_id == "test-salt")
    salt.forces = np.full((salt.n_atoms, 3), 0.01)
    later = ListSource(moved)
    later.version = "2"  # another reading
    assert update(CONFIG, tmp_path, sources=[later]).n_changed == 1


def test_another_licence_is_a_change(tmp_path: Path) -> None:
    rows = salt_records()
    build(CONFIG, tmp_path, sources=[ListSource(rows)])
    freed = [CrysRecord(**vars(r)) for r in rows]
    next(r for r in freed if r.material_id == "test-salt").license = "CC0-1.0"
    later = ListSource(freed)
    later.version = "2"  # another reading
    assert update(CONFIG, tmp_path, sources=[later]).n_changed == 1
    published = table_to_records(CrysTable(tmp_path / "table").read())
    assert {r.license for r in published if r.material_id == "test-salt"} == {"CC0-1.0"}


def test_two_sources_of_one_name_are_one_in_the_accounts(tmp_path: Path) -> None:
    """As the rows of a table that come back, one source a functional and release."""
    low = [record("b-low", rocksalt("K", "O", 5.3), -2.4, functional="SCAN"), record("b-k", element("K"), -1.0)]
    sources = [ListSource(salt_records()), ListSource(low, functional="SCAN")]
    report = build(CONFIG, tmp_path, sources=sources)
    assert report.sources["test"] == {
        "n_in": 8, "n_refused": 0, "n_dropped": 3, "n_published": 5, "functional": "PBE, SCAN", "version": "1",
    }  # fmt: skip
    assert build(CONFIG, tmp_path, sources=sources).version == 0
    assert update(CONFIG, tmp_path, sources=sources).n_same == 8


def test_a_source_that_went_once_is_gone_for_good(tmp_path: Path) -> None:
    other = [record("x", rocksalt("K", "O", 5.3), -2.4, source="b"), record("y", rocksalt("K", "S", 6.1), source="b")]
    build(CONFIG, tmp_path, sources=[ListSource(salt_records()), ListSource(other, "b")])
    alone = [ListSource(salt_records())]
    with pytest.raises(BuildStoppedError, match="source b is gone"):
        update(CONFIG, tmp_path, sources=alone)
    update(CONFIG.model_copy(update={"guards": GuardSettings(allow=("b",))}), tmp_path, sources=alone)
    assert update(CONFIG, tmp_path, sources=alone).n_gone == 0
    build(CONFIG, tmp_path, sources=alone)


def broken(rows: list[CrysRecord], version: str) -> ListSource:
    """As many rows as before, none of which can be read."""
    source = ListSource([Refusal(r.material_id, "unreadable") for r in rows])
    source.version = version
    return source


@pytest.mark.parametrize("since", [None, "2031-01-01"])
def test_rows_that_cannot_be_read_any_more_stop_an_update_as_a_build(tmp_path: Path, since: str | None) -> None:
    rows = salt_records()
    build(CONFIG, tmp_path, sources=[ListSource(rows)])
    for run in (build, partial(update, reading=Reading(since=since))):
        with pytest.raises(BuildStoppedError, match="shrank from 6 to 0 sound rows"):
            run(CONFIG, tmp_path, sources=[broken(rows, "2")])
    with pytest.raises(BuildStoppedError, match="shrank from 6 to 1 rows"):
        update(CONFIG, tmp_path, sources=[ListSource(rows[:1])], reading=Reading(since=since))
    assert CrysTable(tmp_path / "table").version == 0


def test_a_build_after_an_update_counts_as_the_update_did(tmp_path: Path) -> None:
    config = CONFIG.model_copy(update={"guards": GuardSettings(max_shrink=0.05)})
    other = [record("x", rocksalt("K", "O", 5.3), -2.4, source="b"), *salt_records(source="b")]
    copies = [CrysRecord(**{**vars(r), "source": "b"}) for r in salt_records()]  # ids that the first source has
    build(config, tmp_path, sources=[ListSource(salt_records()), ListSource(other, "b")])
    flat = record("flat", rocksalt("K", "S", 6.1), float("nan"), source="b")
    more = [*other, *copies, flat, Refusal("x", "unreadable"), record("y", rocksalt("K", "F", 5.4), -2.9, source="b")]
    sources = [ListSource(salt_records()), ListSource(more, "b")]
    report = update(config, tmp_path, sources=sources)
    after = build(config, tmp_path / "fresh", sources=sources)
    names = ("n_in", "n_refused", "n_dropped", "n_published")
    assert {s: [report.sources[s][n] for n in names] for s in ("test", "b")} == {
        s: [after.sources[s][n] for n in names] for s in ("test", "b")
    }
    build(config, tmp_path, sources=sources)  # not stopped by its guards


def test_partial_takes_nothing_as_gone(tmp_path: Path) -> None:
    build(CONFIG, tmp_path, sources=[ListSource(crowd())])
    delta = [record("new-1", rocksalt("K", "O", 5.3), -2.4)]
    report = update(CONFIG, tmp_path, sources=[ListSource(delta)], reading=Reading(partial=True))
    assert (report.n_gone, report.n_new) == (0, 1)
    build(CONFIG, tmp_path / "fresh", sources=[ListSource([*crowd(), *delta])])
    assert content(tmp_path) == content(tmp_path / "fresh")


def test_a_source_that_is_read_alone_keeps_its_rank_among_those_before_it(tmp_path: Path) -> None:
    """Its rows neither take the ids of earlier sources nor stand for their structures, as in a fresh build."""
    config = CONFIG.model_copy(update={"dedup": DedupSettings(across_sources=True)})
    scan = {"source": "b", "functional": "SCAN"}
    mine = [record("mine", rocksalt(edge=5.65), -3.0, **scan), record("test-cscl", rocksalt("K", "O"), -2.4, **scan)]
    later = [CrysRecord(**vars(r)) for r in salt_records()]
    for r in later:  # all rows of the first source are other ones before the second is read alone
        r.license = "CC0-1.0"
    first = [ListSource(salt_records()), ListSource([], "b", "SCAN")]
    changed = ListSource(later)
    changed.version = "2"
    build(config, tmp_path / "updated", sources=first)
    update(config, tmp_path / "updated", sources=[changed, first[1]])
    update(config, tmp_path / "updated", sources=[ListSource(mine, "b", "SCAN")], reading=Reading(partial=True))
    build(config, tmp_path / "fresh", sources=[ListSource(later), ListSource(mine, "b", "SCAN")])
    assert content(tmp_path / "updated") == content(tmp_path / "fresh")
    assert content(tmp_path / "updated")["mine"][PLAIN.index("duplicate_of")] == "test-salt"


def test_refusals(tmp_path: Path) -> None:
    with pytest.raises(UpdateError, match="dao crysdb build"):
        update(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    build(CONFIG, tmp_path, sources=[ListSource(salt_records())])
    other = CONFIG.model_copy(update={"symprec": 0.01})
    with pytest.raises(UpdateError, match="settings"):
        update(other, tmp_path, sources=[ListSource(salt_records())])
    with pytest.raises(BuildStoppedError, match="shrank"):
        update(CONFIG, tmp_path, sources=[ListSource(salt_records()[:2])])
    with pytest.raises(BuildStoppedError, match="changed its functional from PBE to SCAN"):
        update(CONFIG, tmp_path, sources=[ListSource(salt_records("SCAN"), functional="SCAN")])
    assert CrysTable(tmp_path / "table").version == 0
