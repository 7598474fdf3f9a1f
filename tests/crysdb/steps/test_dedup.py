from __future__ import annotations

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.dedup import DEDUP_COLUMNS, DedupSettings, buckets_of, duplicates, members_of
from dao_core.crysdb.steps.keys import key_columns
from dao_core.crystal import Crystal
from dao_core.matching.same import Member
from tests.helpers.records import caesium_chloride, perovskite, record, rocksalt
from tests.helpers.structures import peroxide


def twins_of(records: list[CrysRecord], settings: DedupSettings | None = None) -> dict[str, str]:
    settings = settings or DedupSettings()
    table = key_columns(records_to_table(records))
    buckets = buckets_of(table.select(list(DEDUP_COLUMNS)), settings)

    def load(rows: list[int]) -> dict[int, Member]:
        return dict(zip(rows, members_of(table.take(rows)), strict=True))

    return duplicates(buckets, load, settings)


def test_the_lowest_energy_stands_for_the_others() -> None:
    rows = [record("high", rocksalt(), -3.2), record("low", rocksalt(), -3.4), record("none", rocksalt())]
    assert twins_of(rows) == {"high": "low", "none": "low"}
    assert twins_of(rows[::-1]) == twins_of(rows)


def test_a_conventional_cell_is_the_duplicate_of_its_primitive_one() -> None:
    conventional = peroxide(y=0.27)
    primitive = Crystal.from_pymatgen(conventional.to_pymatgen().get_primitive_structure(tolerance=0.01))
    assert twins_of([record("a", primitive, -1.0), record("b", conventional, -1.0)]) == {"b": "a"}


def test_equal_energies_fall_to_the_first_name() -> None:
    assert twins_of([record("b", rocksalt(), -3.0), record("a", rocksalt(), -3.0)]) == {"b": "a"}


def test_corrections_count_in_the_order() -> None:
    rows = [
        record("raw-lower", rocksalt(), -3.5, energy_correction_per_atom=0.0),
        record("corrected-lower", rocksalt(), -3.4, energy_correction_per_atom=-0.5),
    ]
    assert twins_of(rows) == {"raw-lower": "corrected-lower"}


def test_polymorphs_formulas_and_frames_stay_apart() -> None:
    rows = [
        record("salt", rocksalt(), -3.4),
        record("cscl", caesium_chloride(), -3.3),
        record("other", rocksalt("K", "Cl", 6.3), -3.3),
        record("frame", rocksalt(), -3.39, relaxation="frame"),
    ]
    assert twins_of(rows) == {}


def test_hulls_stay_apart_unless_told() -> None:
    rows = [record("a", rocksalt(), -3.4), record("b", rocksalt(), -9.0, functional="SCAN")]
    assert twins_of(rows) == {}
    assert twins_of(rows, DedupSettings(across_sources=True)) == {"a": "b"}


def test_same_key_but_another_structure_is_no_duplicate() -> None:
    """Two tetragonal cells with the same letters; only matching sees that the axis ratio differs."""
    flat = rocksalt().replace(lattice=rocksalt().lattice @ np.diag([1, 1, 0.75]))
    tall = rocksalt().replace(lattice=rocksalt().lattice @ np.diag([1, 1, 1.5]))
    table = key_columns(records_to_table([record("flat", flat), record("tall", tall)]))
    assert len(set(table["structure_key"].to_pylist())) == 1
    assert twins_of([record("flat", flat, -3.0), record("tall", tall, -3.1)]) == {}


def test_supercells_and_moved_copies_are_found() -> None:
    from dao_core.crystal import Crystal

    bigger = perovskite().to_pymatgen()
    bigger.make_supercell([2, 1, 1])
    rows = [
        record("cell", perovskite(), -7.0),
        record("supercell", Crystal.from_pymatgen(bigger), -6.9),
        record("moved", perovskite().replace(frac_coords=perovskite().frac_coords + 0.37), -6.95),
    ]
    assert twins_of(rows) == {"supercell": "cell", "moved": "cell"}


@pytest.mark.parametrize("workers", [1, 2])
def test_many_buckets_over_processes(workers: int) -> None:
    pairs = [("Na", "Cl"), ("K", "Cl"), ("Li", "F")]
    rows = [record(f"{a}{b}{i}", rocksalt(a, b), -3.0 - i) for a, b in pairs for i in range(3)]
    table = key_columns(records_to_table(rows))
    buckets = buckets_of(table.select(list(DEDUP_COLUMNS)), DedupSettings())

    def load(wanted: list[int]) -> dict[int, Member]:
        return dict(zip(wanted, members_of(table.take(wanted)), strict=True))

    found = duplicates(buckets, load, DedupSettings(), workers=workers)
    assert found == {f"{a}{b}{i}": f"{a}{b}2" for a, b in pairs for i in (0, 1)}
