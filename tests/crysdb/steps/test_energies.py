from __future__ import annotations

import numpy as np
import pyarrow as pa
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS, HullSettings, hull_results, known_distance
from dao_core.hull.label import EnergyLabel
from tests.helpers.records import caesium_chloride, element, record, rocksalt, salt_records

TOTAL, FORMATION = EnergyLabel("PBE", source="test"), EnergyLabel("PBE", "formation", source="test")


def results(rows: list[CrysRecord], **settings: object) -> dict[EnergyLabel, tuple[np.ndarray, np.ndarray]]:
    """label -> (formation, above) by row."""
    table = records_to_table(rows).select(list(ENTRY_COLUMNS))
    out = {}
    for r in hull_results(table, HullSettings(**settings)):  # type: ignore[arg-type]
        assert len(r.rows) == len(r.e_above_hull)
        out[r.made.hull.label] = (r.formation_energy_per_atom, r.e_above_hull)
    return out


def test_one_hull_for_each_source_and_functional() -> None:
    rows = salt_records() + salt_records("SCAN") + salt_records(source="other")
    assert set(results(rows)) == {TOTAL, EnergyLabel("SCAN", source="test"), EnergyLabel("PBE", source="other")}


def test_corrections_make_another_hull_and_raw_rows_stay_out() -> None:
    rows = [
        record("Na", element("Na"), -1.3, energy_correction_per_atom=0.0),
        record("Cl", element("Cl"), -1.8, energy_correction_per_atom=0.0),
        record("salt", rocksalt(), -3.0, energy_correction_per_atom=-0.6),
        record("raw", caesium_chloride(), -3.4),
    ]
    formation, above = results(rows)[EnergyLabel("PBE", "total", corrected=True, source="test")]
    assert formation[2] == pytest.approx(-3.6 + 1.55)
    assert above[2] == 0.0
    assert np.isnan(above[3])


def test_formation_energies_where_there_are_no_total_ones() -> None:
    rows = [
        record("Na", element("Na"), formation_energy_per_atom_source=0.0),
        record("Cl", element("Cl"), formation_energy_per_atom_source=0.1),
        record("salt", rocksalt(), formation_energy_per_atom_source=-2.0),
        record("cscl", caesium_chloride(), formation_energy_per_atom_source=-1.9),
        record("none", rocksalt()),
    ]
    formation, above = results(rows)[FORMATION]
    assert above[:4] == pytest.approx([0.0, 0.1, 0.0, 0.1])
    assert formation[2] == -2.0
    assert np.isnan(above[4])


def test_elements_of_formation_energies_are_at_zero_by_definition_or_left_out_on_request() -> None:
    rows = [
        record("salt", rocksalt(), formation_energy_per_atom_source=-2.0),
        record("up", caesium_chloride("K", "O"), formation_energy_per_atom_source=0.3),
    ]
    assert np.isnan(results(rows)[FORMATION][1]).all()  # nothing shows what rows are missing
    assert results(rows, elements_at_zero=True)[FORMATION][1] == pytest.approx([0.0, 0.3])
    rows[0].e_above_hull_source = 0.0
    assert results(rows)[FORMATION][1] == pytest.approx([0.0, 0.3])
    assert np.isnan(results(rows, elements_at_zero=False)[FORMATION][1]).all()


def test_total_energies_never_get_an_element_that_has_no_row() -> None:
    assert np.isnan(results([record("salt", rocksalt(), -3.4)])[TOTAL][1]).all()


def test_the_larger_of_two_hull_distances_counts() -> None:
    ours, theirs = pa.chunked_array([[0.0, 0.2, None, None]]), pa.chunked_array([[0.5, -0.1, 0.3, None]])
    assert known_distance(ours, theirs).to_pylist() == [0.5, 0.2, 0.3, None]


def test_total_energies_can_be_set_aside() -> None:
    rows = [record("salt", rocksalt(), -3.4, formation_energy_per_atom_source=-2.0)]
    assert set(results(rows, energy="formation")) == {FORMATION}
