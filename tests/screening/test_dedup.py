from __future__ import annotations

import math

import numpy as np

from dao_core.crystal import Crystal
from dao_core.screening.dedup import deduplicate
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rattled, rocksalt


def known(id: str, crystal: Crystal, energy: float | None, **fields: object):
    return candidate(id, crystal, energy, spacegroup_after=spacegroup_number(crystal), **fields)


def test_the_lowest_energy_is_kept_with_the_count() -> None:
    double = Crystal.from_pymatgen(rocksalt().to_pymatgen().make_supercell([1, 1, 2], in_place=False))
    items = [known("b", rocksalt(length=5.7), -3.10), known("a", double, -3.12), known("c", cesium_chloride(), -3.05)]
    merged = deduplicate(items)
    assert [(c.id, c.n_merged, c.merged_ids) for c in merged] == [("a", 2, ("b",)), ("c", 1, ())]


def test_order_of_input_does_not_matter() -> None:
    items = [known(f"{i}", rocksalt(length=5.6 + 0.01 * i), -3.0 - 0.001 * (i % 3)) for i in range(6)]
    items += [known("x", cesium_chloride(), -2.9)]
    first = deduplicate(items)
    second = deduplicate(items[::-1])
    assert [(c.id, c.n_merged, sorted(c.merged_ids)) for c in first] == [
        (c.id, c.n_merged, sorted(c.merged_ids)) for c in second
    ]


def test_merging_again_changes_nothing_and_counts_add_up() -> None:
    items = [known(f"{i}", rocksalt(length=5.6), -3.0) for i in range(4)]
    once = deduplicate(items)
    again = deduplicate([*once, known("late", rocksalt(), -2.9995)])
    assert again[0].n_merged == 5
    assert set(again[0].merged_ids) == {"1", "2", "3", "late"}


def test_other_space_group_with_another_energy_is_another_polymorph() -> None:
    broken = rattled(rocksalt(), 0.05)
    items = [known("high", rocksalt(), -3.00), known("low", broken, -3.05)]
    assert items[0].spacegroup_after != items[1].spacegroup_after
    assert len(deduplicate(items)) == 2
    near = [items[0], items[1].replace(energy_per_atom=-3.0005)]
    assert len(deduplicate(near)) == 1


def test_another_formula_never_merges_and_failures_stay_apart() -> None:
    items = [known("a", rocksalt(), -3.0), known("b", rocksalt("K", "Cl", 6.3), -3.0)]
    items += [known("f", rocksalt(), None, relaxation_status="potential_failed")]
    merged = deduplicate(items)
    assert [c.id for c in merged] == ["a", "b", "f"]
    assert np.all([c.n_merged == 1 for c in merged])


def test_the_most_probable_way_to_a_structure_counts() -> None:
    found = deduplicate(
        [
            candidate("a", rocksalt(), -3.0, log_prior=math.log(0.2)),
            candidate("b", rocksalt(), -2.9, log_prior=math.log(0.3)),
            candidate("c", rocksalt(), -2.8),
            candidate("d", cesium_chloride(), -2.7),
        ]
    )
    assert found[0].log_prior == math.log(0.3)
    assert found[1].log_prior is None


def test_the_more_probable_of_two_similar_structures_stands_for_both() -> None:
    """A wrong structure of lower energy must not swallow a right one that merely looks like it."""
    double = rocksalt().to_pymatgen().make_supercell([2, 1, 1], in_place=False)
    right = Crystal.from_pymatgen(double)
    other = rattled(right, 0.35, seed=1)
    items = [known("right", right, -3.00, log_prior=-0.5), known("low", other, -3.001, log_prior=-4.0)]
    merged = deduplicate(items)
    assert merged[0].id == "right"
    ended_there = known("refined", rattled(right, 0.01), -3.02, log_prior=-4.0, spacegroup_before=1)
    same = deduplicate([items[0], ended_there.replace(spacegroup_after=items[0].spacegroup_after)])
    assert [(c.id, c.log_prior) for c in same] == [("refined", -0.5)]


def test_what_the_library_says_of_a_structure_stays_with_it() -> None:
    mine = known("t", rocksalt(), -3.1, log_prior=-2.0)
    listed = known("k", rocksalt(), None, log_prior=-0.1, relaxation_status="not_relaxed", origin="known",
                   library="L", library_id="L-1", library_e_above_hull=0.0)  # fmt: skip
    merged = deduplicate([mine, listed])
    assert [(c.id, c.library_id, c.origin, c.energy_per_atom) for c in merged] == [("t", "L-1", "known", -3.1)]


def test_what_one_library_lists_twice_stays_apart_until_it_is_relaxed() -> None:
    waiting = {"origin": "known", "library": "L", "relaxation_status": "not_relaxed", "log_prior": -1.0}
    listed = [known(f"k{i}", rocksalt(), None, library_id=f"L-{i}", **waiting) for i in range(2)]
    assert len(deduplicate(listed)) == 2
    foreign = listed[1].replace(library="M")
    assert len(deduplicate([listed[0], foreign])) == 1
    relaxed = [c.replace(relaxation_status="converged", energy_per_atom=-3.0, energy_identity="e") for c in listed]
    assert len(deduplicate(relaxed)) == 1


def tetragonal(c_over_a: float) -> Crystal:
    """Barium titanate's perovskite, stretched; at 1 it is cubic."""
    cubic = perovskite("Ba", "Ti", length=4.0)
    stretched = cubic.lattice * np.array([1.0, 1.0, c_over_a])
    return cubic.replace(lattice=stretched)


def test_listed_structures_of_other_space_groups_are_not_one_before_they_are_relaxed() -> None:
    """The library lists several phases of BaTiO3 that differ by less than the tolerances, each with its own id."""
    waiting = {"origin": "known", "relaxation_status": "not_relaxed"}
    cubic = known("c", tetragonal(1.0), None, log_prior=-1.0, library="L", library_id="L-1", **waiting)
    drawn_out = known(
        "t", tetragonal(1.03), None, log_prior=-2.0, library="M", library_id="M-1", n_measured=3, **waiting
    )
    assert (cubic.spacegroup_after, drawn_out.spacegroup_after) == (221, 123)
    found = deduplicate([cubic, drawn_out])
    assert [(c.library_id, c.n_measured) for c in found] == [("L-1", 0), ("M-1", 3)]
    guess = known("g", tetragonal(1.02), -3.0, log_prior=-0.5, origin="de novo", relaxation_status="not_relaxed")
    with_guess = deduplicate([cubic, drawn_out, guess])  # joins the one of its own space group and takes its shape
    assert {c.library_id: (c.spacegroup_after, c.n_merged) for c in with_guess} == {"L-1": (221, 1), "M-1": (123, 2)}
    guesses = [guess, guess.replace(id="h", crystal=cubic.crystal, spacegroup_after=221)]
    assert len(deduplicate(guesses)) == 1


def test_left_and_right_handed_space_groups_are_one() -> None:
    right = known("r", rattled(rocksalt(), 0.0), None, relaxation_status="not_relaxed").replace(spacegroup_after=152)
    left = right.replace(id="l", spacegroup_after=154, library_id="L-1", library="L", origin="known")
    assert len(deduplicate([right, left])) == 1


def test_what_is_listed_keeps_its_own_structure_until_somebody_relaxed_it() -> None:
    waiting = {"origin": "known", "relaxation_status": "not_relaxed"}
    measured = known("a", rocksalt(length=5.4), None, log_prior=-0.5, library="M", library_id="M-1", **waiting)
    listed = known("b", rocksalt(length=5.7), None, log_prior=-1.0, library="L", library_id="L-1",
                   library_e_above_hull=0.0, **waiting)  # fmt: skip
    (found,) = deduplicate([measured, listed])
    assert (found.library_id, found.crystal) == ("L-1", listed.crystal)


def test_a_known_structure_stays_known_when_a_guess_that_is_likelier_leads_there() -> None:
    """A library without its energy: its own prior, to which finding one adds, is kept; with one, the higher counts."""
    fields = {"origin": "known", "library": "test", "library_id": "t-1", "relaxation_status": "not_relaxed"}
    measured = candidate("k", rocksalt(), None, log_prior=-5.1, **fields)
    guess = candidate("g", rocksalt(), -3.0, origin="de novo", log_prior=-5.0)
    (found,) = deduplicate([measured, guess])
    assert (found.id, found.n_merged, found.origin, found.library_id) == ("g", 2, "known", "t-1")
    assert found.known_without_energy
    assert found.log_prior == -5.1
    (listed,) = deduplicate([measured.replace(library_e_above_hull=0.01), guess])
    assert (listed.origin, listed.log_prior) == ("known", -5.0)
    assert not listed.known_without_energy


def test_of_a_structure_listed_with_and_without_an_energy_the_one_with_it_counts() -> None:
    """Chalcopyrite's P-4m2 stands in two sources: the one without an energy must not hide that it lies high."""
    fields = {"origin": "known", "library": "test", "relaxation_status": "converged", "judged": True}
    measured = candidate("m", rocksalt(), -3.0, log_prior=-1.5, library_id="t-1", n_measured=2, **fields)
    listed = candidate("l", rocksalt(), -3.0, log_prior=-3.7, library_id="t-2", library_e_above_hull=0.11, **fields)
    for order in ([measured, listed], [listed, measured]):
        (found,) = deduplicate(order)
        assert (found.library_id, found.log_prior, found.n_measured) == ("t-2", -3.7, 2)
        assert not found.known_without_energy


def test_of_equal_energies_the_most_symmetric_description_is_shown() -> None:
    """A likelier description that just misses the symmetry: its prior stays, the structure is shown as what it is."""
    broken = rattled(rocksalt(), 0.03)
    crooked, exact = (known(i, c, -3.0005 if i == "c" else -3.0) for i, c in (("c", broken), ("e", rocksalt())))
    assert exact.spacegroup_after == 225 != crooked.spacegroup_after
    (found,) = deduplicate([crooked.replace(log_prior=-1.0), exact.replace(log_prior=-2.0)])
    assert (found.id, found.spacegroup_after, found.log_prior) == ("e", 225, -1.0)
    clearly_lower = crooked.replace(log_prior=-1.0, energy_per_atom=-3.05, spacegroup_after=225)
    (found,) = deduplicate([clearly_lower, exact.replace(log_prior=-2.0)])
    assert found.id == "c"


def test_what_the_library_lists_is_shown_though_a_guess_of_that_energy_is_more_symmetric() -> None:
    """KNbO3 is listed in Amm2; a guess that ends in R3m, 0.1 meV/atom lower and as close, has not that form."""
    listed = known("k", rattled(rocksalt(), 0.03), -3.0, origin="known", library="L", library_id="L-1", log_prior=-1.0)
    guess = known("g", rocksalt(), -3.0001, origin="de novo", log_prior=-2.0)
    (found,) = deduplicate([listed, guess])
    assert (found.id, found.library_id, found.merged_ids) == ("k", "L-1", ("g",))


def test_what_equals_a_member_of_another_space_group_than_the_first_joins() -> None:
    """The first is judged, the last was only relaxed: their energies can't be compared, but the second is its equal."""
    first = known("f", rattled(rocksalt(), 0.03), -3.0, log_prior=-1.0)
    second = known("s", rocksalt(), -3.0005, log_prior=-2.0)
    last = known("l", rocksalt(), -0.5, energy_identity="another", log_prior=-3.0)
    (found,) = deduplicate([first, second, last])
    assert set(found.merged_ids) | {found.id} == {"f", "s", "l"}
