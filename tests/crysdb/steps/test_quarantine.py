from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.compositions import Compositions
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS, HullSettings, hull_values, make_hull
from dao_core.crysdb.steps.quarantine import (
    QUARANTINE,
    far_from_its_formula,
    in_quarantine,
    read_quarantine,
    write_quarantine,
)
from dao_core.crystal import crystal_from_symbols
from tests.helpers.records import caesium_chloride, element, record, rocksalt, salt_records


def made(rows: list[CrysRecord]) -> tuple[dict[str, str], dict[str, float]]:
    """Reasons and hull distances by id."""
    table = records_to_table(rows).select(list(ENTRY_COLUMNS))
    hull = make_hull(table, HullSettings())
    _, above = hull_values(table, hull)
    reasons = {q.entry.id: q.reason for q in hull.quarantine.values()}
    return reasons, dict(zip(table["material_id"].to_pylist(), above.tolist(), strict=True))


def formation(name: str, crystal: object, value: float) -> CrysRecord:
    return record(name, crystal, formation_energy_per_atom_source=value, e_above_hull_source=0.0)  # type: ignore[arg-type]


def test_a_formation_energy_below_what_its_elements_can_give_makes_no_hull() -> None:
    rows = [formation("true", rocksalt(), -2.1), formation("wrong", caesium_chloride(), -9.45)]
    reasons, above = made(rows)
    assert reasons == {
        "wrong": "its formation energy of -9.45 eV/atom is below -3.50, the least that Na and Cl can have"
    }
    assert above["true"] == 0.0
    assert np.isnan(above["wrong"])


def test_a_total_energy_is_judged_by_its_formation_energy() -> None:
    reasons, above = made([*salt_records(), record("wrong", caesium_chloride(edge=3.5), -6.0)])
    assert set(reasons) == {"wrong"}
    assert above["test-salt"] == 0.0


def test_elements_of_formation_energies_stay_at_zero_whatever_lower_row_there_is() -> None:
    rows = [formation("Na", element("Na"), -0.05), formation("low", element("Na"), -0.6),
            formation("Cl", element("Cl"), 0.0), formation("salt", rocksalt(), -2.1)]  # fmt: skip
    table = records_to_table(rows).select(list(ENTRY_COLUMNS))
    hull = make_hull(table, HullSettings())
    assert hull.hull.references.energies == {11: 0.0, 17: 0.0}
    assert {q.entry.id for q in hull.quarantine.values()} == {"low"}
    values, above = hull_values(table, hull)
    assert values.tolist() == [-0.05, -0.6, 0.0, -2.1]
    assert above[[0, 2, 3]].tolist() == [0.0, 0.0, 0.0]


def test_a_validated_candidate_is_no_reference_but_a_relaxed_entry_may_be() -> None:
    rows = salt_records()
    candidate = record("low", element("Na", 3.9), -1.35, parent_id="candidate-7")
    table = records_to_table([*rows, candidate]).select(list(ENTRY_COLUMNS))
    assert make_hull(table, HullSettings()).hull.references.energies[11] == -1.3
    candidate.relaxation = "converged"
    table = records_to_table([*rows, candidate]).select(list(ENTRY_COLUMNS))
    assert make_hull(table, HullSettings()).hull.references.energies[11] == -1.35


def test_a_reference_that_leaves_no_compound_is_not_believed() -> None:
    rows = [*salt_records(), record("NaBr", rocksalt("Na", "Br"), -3.0), record("Br", element("Br"), -1.6),
            record("KCl", rocksalt("K", "Cl"), -3.3), record("K", element("K"), -1.1)]  # fmt: skip
    assert made(rows)[0] == {}
    reasons, above = made([*rows, record("sodium", element("Na", 4.1), -8.0)])
    assert set(reasons) == {"sodium"}
    assert "leaves all 2 compounds of Na unstable" in reasons["sodium"]
    assert above["test-salt"] == 0.0


def test_a_reference_is_believed_where_its_compounds_are_dilute_or_fall_apart() -> None:
    """Lead hardly dissolves in iron: its few atoms cost more than 2 eV each, and the alloys little an atom."""
    places = np.array([[i, j, k] for i in range(4) for j in range(2) for k in range(2)]) / [4, 2, 2]

    def alloy(name: str, n_lead: int) -> CrysRecord:
        symbols = ["Fe"] * (16 - n_lead) + ["Pb"] * n_lead
        crystal = crystal_from_symbols(np.diag([11.6, 5.8, 5.8]), symbols, places)
        return record(name, crystal, ((16 - n_lead) * -8.0 + n_lead * (2.3 - 3.5)) / 16)

    rows = [record("fe", element("Fe"), -8.0), record("pb", element("Pb"), -3.5), alloy("one", 1), alloy("two", 2)]
    reasons, above = made(rows)
    assert reasons == {}
    assert above["one"] == pytest.approx(2.3 / 16)


def test_of_structures_of_one_formula_the_one_far_from_the_others_is_wrong() -> None:
    rows = [record("a", rocksalt(), -4.0), record("b", caesium_chloride(), -4.1), record("c", rocksalt(edge=6), -812.3)]
    table = records_to_table(rows)
    energy = np.array([-4.0, -4.1, -812.3])
    assert set(far_from_its_formula(energy, Compositions(table))) == {2}
    # of two, the one that is less like the rest of the source
    two = [*rows[1:], record("d", rocksalt("K", "Cl"), -800.0), record("e", rocksalt("K", "Br"), -700.0)]
    energies = np.array([-4.1, -812.3, -800.0, -700.0])
    assert set(far_from_its_formula(energies, Compositions(records_to_table(two)))) == {0}


def test_unknown_energies_are_not_judged() -> None:
    assert made([record("a", rocksalt()), record("b", rocksalt())])[0] == {}


def test_a_written_quarantine_is_read_again(tmp_path: Path) -> None:
    table = records_to_table([*salt_records(), record("wrong", rocksalt(edge=6), -9.0)]).select(list(ENTRY_COLUMNS))
    quarantine = make_hull(table, HullSettings()).quarantine
    assert read_quarantine(tmp_path / QUARANTINE) == {}
    write_quarantine(tmp_path / QUARANTINE, quarantine.values())
    assert read_quarantine(tmp_path / QUARANTINE) == quarantine
    assert in_quarantine(table, quarantine).tolist() == [False] * 6 + [True]
    assert not in_quarantine(table, {("other", "wrong"): next(iter(quarantine.values()))}).any()


@pytest.mark.shared
def test_real_energies_are_believed(shared_data: Path) -> None:
    """Of 52,666 published formation energies of the Materials Project three are not (see hull/plausible.py)."""
    import pyarrow.parquet as pq

    from dao_core.crysdb.steps.quarantine import too_low

    columns = ["material_id", "atomic_numbers", "formation_energy_per_atom"]
    table = pq.read_table(shared_data / "mp_structures.parquet", columns=columns)
    formulas = [str(sorted(z)) for z in table["atomic_numbers"].to_pylist()]
    import pyarrow as pa

    table = table.append_column("formula_reduced", pa.array(formulas))
    energy = np.array(table["formation_energy_per_atom"].to_pylist(), dtype=float)
    assert 0 < len(too_low(energy, Compositions(table))) <= 3
