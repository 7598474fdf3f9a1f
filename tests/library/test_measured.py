"""Measurements are counted for every description of the crystal that they gave, and for no other."""

from __future__ import annotations

from typing import Any

import pyarrow as pa
import pytest
from pymatgen.core import Lattice, Structure
from pymatgen.symmetry.analyzer import SpacegroupAnalyzer

from dao_core.crystal import Crystal
from dao_core.library.measured import measurements
from tests.helpers.structures import rocksalt


def row(
    name: str, crystal: Crystal, source: str = "amcsd", group: int = 225, above_hull: float | None = None
) -> dict[str, Any]:
    return {
        "material_id": name, "source": source, "spacegroup_number": group,
        "formula_reduced": crystal.formula_reduced, "lattice": crystal.lattice.ravel().tolist(),
        "frac_coords": crystal.frac_coords.ravel().tolist(), "atomic_numbers": crystal.atomic_numbers.tolist(),
        "e_above_hull": above_hull,
    }  # fmt: skip


def counted(structures: list[dict[str, Any]], more: list[dict[str, Any]]) -> list[int]:
    return measurements(pa.Table.from_pylist(structures), pa.Table.from_pylist([*structures, *more]))[0]


def moved(crystal: Crystal) -> Crystal:
    """The same crystal from another origin, its atoms in another order."""
    return Crystal(crystal.lattice, (crystal.frac_coords[::-1] + 0.3) % 1.0, crystal.atomic_numbers[::-1])


def test_each_measurement_counts_for_every_description_of_its_crystal() -> None:
    small, large = rocksalt(), Crystal(1.02 * rocksalt().lattice, rocksalt().frac_coords, rocksalt().atomic_numbers)
    double = Crystal.from_pymatgen(small.to_pymatgen() * (2, 1, 1))
    structures = [
        row("calculated", moved(small), "oqmd-icsd"),
        row("amcsd-1", small),
        row("twice", double, "oqmd-icsd"),
    ]
    assert counted(structures, [row("amcsd-2", large), row("amcsd-3", moved(large))]) == [3, 3, 3]


def test_the_stable_form_of_an_element_counts_as_measured_once() -> None:
    copper = Crystal.from_pymatgen(Structure.from_spacegroup("Fm-3m", Lattice.cubic(3.61), ["Cu"], [[0, 0, 0]]))
    strained = Crystal(1.02 * copper.lattice, copper.frac_coords, copper.atomic_numbers)
    structures = [row("calculated", strained, "oqmd-icsd"), row("other", rocksalt(), "oqmd-icsd")]
    assert counted(structures, [row("delta-elements-Cu", copper, "delta-elements")]) == [1, 0]


def test_the_commonest_name_of_the_measurements_is_the_mineral_s() -> None:
    names = ["amcsd-1-halite", "amcsd-2", "amcsd-3-halite", "amcsd-4-rock-salt"]
    structures = [row("calculated", rocksalt(), "oqmd-icsd"), row("other", rocksalt("K", "Cl"), "oqmd-icsd")]
    everything = [*structures, *(row(name, rocksalt()) for name in names)]
    assert measurements(pa.Table.from_pylist(structures), pa.Table.from_pylist(everything)) == (
        [4, 0],
        ["halite", None],
    )


def test_a_mineral_s_name_is_given_to_its_own_formula_only() -> None:
    """A synthetic relative stands under the name as well; of a name with two formulas of one entry each, neither."""
    salts = {"Na": rocksalt(), "K": rocksalt("K", "Cl"), "Rb": rocksalt("Rb", "Cl"), "Cs": rocksalt("Cs", "Cl")}
    structures = [row(name, crystal, "oqmd-icsd") for name, crystal in salts.items()]
    names = {
        "amcsd-1-halite": "Na",
        "amcsd-2-halite": "Na",
        "amcsd-3-halite": "K",
        "amcsd-4-x": "Rb",
        "amcsd-5-x": "Cs",
    }
    everything = [*structures, *(row(name, salts[salt]) for name, salt in names.items())]
    found = measurements(pa.Table.from_pylist(structures), pa.Table.from_pylist(everything))
    assert found == ([2, 1, 1, 1], ["halite", None, None, None])


def test_other_crystals_groups_and_formulas_count_apart() -> None:
    shifted = Crystal(rocksalt().lattice, [[0, 0, 0], [0.25, 0.25, 0.25]], rocksalt().atomic_numbers)
    structures = [
        row("salt", rocksalt(), "oqmd-icsd"),
        row("blende", shifted, "oqmd-icsd"),
        row("other group", rocksalt(), "oqmd-icsd", 1),
        row("other formula", rocksalt("K", "Cl"), "oqmd-icsd"),
    ]
    assert counted(structures, [row("amcsd-1", rocksalt()), row("amcsd-2", rocksalt())]) == [2, 0, 0, 0]


def test_left_and_right_handed_forms_are_one() -> None:
    quartz = Structure.from_spacegroup(
        "P3_121", Lattice.hexagonal(4.91, 5.40), ["Si", "O"], [[0.470, 0, 1 / 3], [0.413, 0.267, 0.119 + 1 / 3]]
    )
    left = Structure(quartz.lattice, quartz.species, quartz.frac_coords * [1, 1, -1])
    groups = [SpacegroupAnalyzer(s).get_space_group_number() for s in (quartz, left)]
    assert set(groups) == {152, 154}
    right, mirrored = (
        row(name, Crystal.from_pymatgen(s), source, group)
        for name, s, source, group in zip(("r", "amcsd-1"), (quartz, left), ("oqmd-icsd", "amcsd"), groups, strict=True)
    )
    assert counted([right], [mirrored]) == [1]


def test_what_was_measured_cold_does_not_count() -> None:
    cold = row("amcsd-2-halite-cold", rocksalt())
    assert counted([row("one", rocksalt(), "oqmd-icsd")], [cold, row("amcsd-3-halite", rocksalt())]) == [1]


@pytest.mark.parametrize("source", ["oqmd-icsd", "aflow-encyclopedia", "cod"])
def test_only_sources_that_tell_temperature_and_pressure_count(source: str) -> None:
    assert counted([row("one", rocksalt(), "oqmd-icsd")], [row("two", rocksalt(), source)]) == [0]


def test_what_was_measured_long_ago_counts_where_a_calculation_confirms_it() -> None:
    old = [row("amcsd-2-halite-old", rocksalt()), row("amcsd-3-halite", rocksalt())]
    for above, n in ((0.01, 2), (0.2, 1), (None, 1)):
        assert counted([row("one", rocksalt(), "oqmd-icsd", above_hull=above)], old) == [n]
