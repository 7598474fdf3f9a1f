from __future__ import annotations

import numpy as np
import pytest

from dao_core.hull.hull import Hull, HullCoverageError, HullEntry, count_atoms, fractions, reduce_counts
from dao_core.hull.label import EnergyLabel, ForeignEnergyError

NA, CL, OX = 11, 17, 8
ME = EnergyLabel("me")
FORMATION = EnergyLabel("f", "formation")


def entries_of(pairs: list[tuple[dict[int, int], float]]) -> list[HullEntry]:
    return [HullEntry(counts, energy, f"e{i}") for i, (counts, energy) in enumerate(pairs)]


def salt_hull() -> Hull:
    pairs = [({NA: 1}, -1.3), ({CL: 1}, -1.8), ({CL: 2}, -1.75), ({NA: 1, CL: 1}, -3.4), ({NA: 3, CL: 1}, -2.2)]
    return Hull.from_entries(entries_of(pairs), ME)


def test_binary_by_hand() -> None:
    hull = salt_hull()
    assert hull.e_above_hull({NA: 2, CL: 2}, -3.4, label=ME) == 0.0
    assert hull.e_above_hull({NA: 1, CL: 1}, -3.3, label=ME) == pytest.approx(0.1)
    # halfway between Na and NaCl by composition 3:1 -> formation -1.85 * 0.5
    assert hull.e_above_hull({NA: 3, CL: 1}, -2.2, label=ME) == pytest.approx(-2.2 + 1.425 + 0.925)
    assert hull.e_above_hull({CL: 4}, -1.75, label=ME) == pytest.approx(0.05)
    assert hull.stable({NA, CL}) == [{NA: 1, CL: 1}]


def test_below_the_hull_is_negative() -> None:
    assert salt_hull().e_above_hull({NA: 1, CL: 1}, -3.6, label=ME) == pytest.approx(-0.2)


def test_missing_element_gives_none_never_a_number() -> None:
    hull = salt_hull()
    assert hull.e_above_hull({NA: 1, OX: 1}, -5.0, label=ME) is None
    assert hull.system((NA, OX)) is None
    assert hull.stable((NA, OX)) == []


def test_other_energies_are_refused() -> None:
    with pytest.raises(ForeignEnergyError, match="'total energy, other'"):
        salt_hull().e_above_hull({NA: 1, CL: 1}, -3.4, label=EnergyLabel("other"))


def test_formation_energies_need_their_elements_unless_told() -> None:
    entries = [({NA: 1, CL: 1}, -1.85), ({NA: 1}, 0.02)]
    strict = Hull.from_entries(entries_of(entries), FORMATION)
    assert strict.e_above_hull({NA: 1, CL: 1}, -1.85, label=FORMATION) is None
    told = Hull.from_entries(entries_of(entries), FORMATION, elements_at_zero=True)
    assert told.e_above_hull({NA: 1, CL: 1}, -1.8, label=FORMATION) == pytest.approx(0.05)
    # an element's own row above zero lies above the hull: zero is the definition
    assert told.e_above_hull({NA: 1}, 0.02, label=FORMATION) == pytest.approx(0.02)


def test_adding_an_entry_moves_the_hull_of_larger_systems() -> None:
    entries = [({z: 1}, 0.0) for z in (NA, CL, OX)] + [({NA: 1, CL: 1, OX: 1}, -0.5)]
    hull = Hull.from_entries(entries_of(entries), ME)
    before = hull.e_above_hull({NA: 1, CL: 1, OX: 1}, -0.5, label=ME)
    assert before == 0.0
    assert hull.add(HullEntry({NA: 1, CL: 1}, -3.0))
    assert not hull.add(HullEntry({NA: 1, CL: 1}, -2.0))
    assert hull.e_above_hull({NA: 1, CL: 1, OX: 1}, -0.5, label=ME) == pytest.approx(1.5)


def test_no_compounds_means_a_flat_hull() -> None:
    hull = Hull.from_entries(entries_of([({NA: 1}, -1.0), ({CL: 1}, -2.0)]), ME)
    assert hull.e_above_hull({NA: 1, CL: 1}, -1.5, label=ME) == 0.0
    assert hull.e_above_hull({NA: 1}, -1.0, label=ME) == 0.0


def test_reduced_counts_and_fractions() -> None:
    assert reduce_counts({CL: 4, NA: 2}) == ((NA, CL), (1, 2))
    assert fractions({CL: 3, NA: 1}, (NA, CL)).tolist() == [0.25, 0.75]
    assert count_atoms(np.array([17, 11, 17])) == {NA: 1, CL: 2}


def test_decomposition_names_the_competing_phases_with_their_fractions() -> None:
    hull = salt_hull()
    found = hull.decompose({NA: 5, CL: 3})
    assert found.energy_per_atom == pytest.approx(0.75 * -3.4 + 0.25 * -1.3)
    assert [(e.id, e.formula) for e, _ in found.phases] == [("e3", "NaCl"), ("e0", "Na")]
    assert [w for _, w in found.phases] == pytest.approx([0.75, 0.25])
    assert str(found) == "0.75 NaCl + 0.25 Na"
    assert str(hull.decompose({NA: 2, CL: 2})) == "NaCl"
    assert str(hull.decompose({CL: 1})) == "Cl2"


def test_a_decomposition_needs_every_element() -> None:
    with pytest.raises(HullCoverageError, match=r"total energy, me has no elemental reference for O"):
        salt_hull().decompose({NA: 1, OX: 1})


def test_references_given_are_not_moved_by_a_lower_entry() -> None:
    entries = entries_of([({NA: 1}, -1.6), ({CL: 1}, -1.8), ({NA: 1, CL: 1}, -3.4)])
    hull = Hull.from_entries(entries, ME, references=[HullEntry({NA: 1}, -1.3), HullEntry({CL: 1}, -1.8)])
    assert hull.formation_energy_per_atom({NA: 1, CL: 1}, -3.4, label=ME) == pytest.approx(-1.85)
    assert hull.e_above_hull({NA: 1}, -1.6, label=ME) == pytest.approx(-0.3)


def test_phases_are_the_lowest_of_each_formula_within_some_elements() -> None:
    hull = salt_hull()
    hull.add(HullEntry({NA: 1, CL: 3}, -1.0, "high"))
    assert [e.id for e in hull.phases()] == ["e0", "e1", "e3", "e4", "high"]
    assert [e.id for e in hull.phases(above=False)] == ["e0", "e1", "e3", "e4"]
    assert [e.id for e in hull.phases([NA])] == ["e0"]
    hull.add(HullEntry({NA: 2, CL: 6}, -3.0, "low"))  # the same formula, now below the elements
    assert [e.id for e in hull.phases()] == ["e0", "e1", "e3", "e4", "low"]
    assert len(hull) == 5
