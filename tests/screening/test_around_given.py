"""What a library knows of a formula in a search with a given space group, lattice or framework."""

from __future__ import annotations

import math
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.core import Lattice, Structure

from dao_core.crystal import Crystal
from dao_core.generate.constraints import Constraint
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator
from dao_core.library.known import KnownStructure
from dao_core.library.prior import KNOWN_SHARE
from dao_core.screening.around_given import GivenCells, cells_around, known_around
from dao_core.screening.given import GivenStructureError
from dao_core.screening.load_models import SearchModels
from dao_core.screening.proposed import KNOWN, Proposals
from dao_core.screening.search import search
from dao_core.screening.settings import SearchSettings
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import cesium_chloride, perovskite, rattled, rocksalt
from tests.helpers.potentials import emt
from tests.helpers.search_models import propose
from tests.helpers.structure_list import StructureList

ONE = {"n_generated": 0, "n_seeded": 0, "n_templates": 1}


@lru_cache(maxsize=1)
def generator() -> Generator:
    return Generator.load(settings=SamplerSettings(steps=3))


def listed(*crystals: Crystal) -> StructureList:
    entries = (
        KnownStructure(f"L-{i}", "the library", None, c, spacegroup_number(c), 0.0, None)
        for i, c in enumerate(crystals)
    )
    return StructureList("the library", tuple(entries))


def proposed(formula: str, library: StructureList | None, **settings: Any) -> Proposals:
    return propose(formula, SearchModels(emt(), generator(), None, None, library), SearchSettings(**ONE, **settings))


def from_spacegroup(number: int, lattice: Lattice, sites: dict[str, list[tuple[float, float, float]]]) -> Crystal:
    names = [symbol for symbol, points in sites.items() for _ in points]
    points = [point for own in sites.values() for point in own]
    full = Structure.from_spacegroup(number, lattice, names, points)
    return Crystal.from_pymatgen(full.get_primitive_structure())


def forsterite() -> Crystal:
    return from_spacegroup(62, Lattice.orthorhombic(10.2, 5.98, 4.76), {
        "Mg": [(0, 0, 0), (0.2774, 0.25, 0.9915)], "Si": [(0.094, 0.25, 0.4262)],
        "O": [(0.0913, 0.25, 0.7657), (0.447, 0.25, 0.2215), (0.1628, 0.0331, 0.2777)],
    })  # fmt: skip


def quartz(number: int) -> Crystal:
    third = 1 / 3 if number == 152 else 2 / 3
    return from_spacegroup(number, Lattice.hexagonal(4.91, 5.41), {
        "Si": [(0.47, 0, third)], "O": [(0.413, 0.267, 0.119 + third - 1 / 3 if number == 152 else 0.786)],
    })  # fmt: skip


def rutile() -> Crystal:
    return from_spacegroup(136, Lattice.tetragonal(4.59, 2.96), {"Ti": [(0, 0, 0)], "O": [(0.305, 0.305, 0)]})


def written(path: Path, crystal: Crystal) -> Path:
    path.write_text(crystal.to_cif())
    return path


def test_a_listed_structure_of_the_given_space_group_comes_first_with_its_id_and_prior() -> None:
    library = listed(rocksalt(), cesium_chloride())
    items = proposed("NaCl", library, max_atoms=2, given={"spacegroup": 221}).items
    assert [p.known.material_id for p in items if p.known is not None] == ["L-1"]
    assert (items[0].origin, items[0].given, items[0].held) == (KNOWN, "space group", False)
    assert items[0].log_prior == pytest.approx(math.log(KNOWN_SHARE))


@pytest.mark.parametrize(("number", "ids"), [(99, ["L-1"]), (139, ["L-0"]), (166, ["L-0", "L-1"]), (194, [])])
def test_a_listed_structure_of_more_symmetry_is_one_of_the_given_space_group(number: int, ids: list[str]) -> None:
    found = known_around(
        listed(rocksalt(), cesium_chloride()).structures, Constraint(spacegroup=number), GivenCells([])
    )
    assert [k.material_id for k, _ in found] == ids


def test_the_size_of_generated_cells_leaves_no_listed_structure_out() -> None:
    given = {"max_atoms": 28, "given": {"spacegroup": 62}}
    made = proposed("Mg2SiO4", listed(forsterite()), **given)
    assert [p.origin for p in made.items] == [KNOWN]
    assert len(made.not_tried) == 1
    assert "--generated-atoms 28 generates a cell that has them" in made.not_tried[0]
    with pytest.raises(GivenStructureError, match=r"Mg2SiO4: no sites of space group 62 .*--generated-atoms 28"):
        proposed("Mg2SiO4", None, **given)
    with pytest.raises(GivenStructureError, match="no cell of up to 7 atoms has them: give another space group"):
        proposed("Mg2SiO4", None, max_atoms=7, given={"spacegroup": 62})


def test_a_listed_structure_beyond_the_size_limit_is_told_only_if_it_has_the_space_group() -> None:
    made = proposed("Mg2SiO4", listed(forsterite()), max_atoms=14, given={"spacegroup": 2})
    assert any("--max-atoms 28 takes it" in note for note in made.not_tried)
    assert all(p.origin != KNOWN for p in made.items)
    other = proposed("Mg2SiO4", listed(forsterite()), max_atoms=14, given={"spacegroup": 139})
    assert not any("known structure" in note for note in other.not_tried)


def test_of_a_listed_structure_the_mirror_image_may_have_the_space_group() -> None:
    left, right = quartz(154), quartz(152)
    assert (spacegroup_number(left), spacegroup_number(right)) == (154, 152)
    ((_, crystal),) = known_around(listed(left).structures, Constraint(spacegroup=152), GivenCells([]))
    assert spacegroup_number(crystal) == 152


def test_a_listed_structure_that_has_its_symmetry_only_roughly_is_moved_to_have_it() -> None:
    crystal = rattled(perovskite(), 0.01)
    entry = KnownStructure("L-0", "the library", None, crystal, 221, 0.0, None)
    assert spacegroup_number(crystal) < 221
    ((_, moved),) = known_around([entry], Constraint(spacegroup=221), GivenCells([]))
    assert spacegroup_number(moved) == 221


@pytest.mark.parametrize("kind", ["lattice", "framework"])
def test_a_listed_structure_is_found_in_what_was_cut_from_it(kind: str, tmp_path: Path) -> None:
    path = written(tmp_path / "rutile.cif", rutile())
    given = {"framework": path, "keep": ("Ti",)} if kind == "framework" else {"lattice": path}
    larger = rutile().replace(lattice=1.02 * rutile().lattice)
    made = proposed("TiO2", listed(larger), max_atoms=6, given=given)
    first = made.items[0]
    assert (first.origin, first.given, first.held) == (KNOWN, kind, True)
    assert first.known is not None
    assert first.known.material_id == "L-0"
    assert spacegroup_number(first.crystal) == 136
    assert first.crystal.volume == pytest.approx(rutile().volume, rel=1e-3)  # a CIF file has rounded numbers
    assert not made.refused


def test_a_search_in_a_given_space_group_ranks_what_the_library_knows() -> None:
    alloy, other = cesium_chloride("Cu", "Au", 3.1), rocksalt("Cu", "Au", 5.0)
    models = SearchModels(emt(), generator(), None, None, listed(alloy, other))
    outcome = search(["CuAu"], models, SearchSettings(**ONE, max_atoms=2, given={"spacegroup": 221}))
    assert [c.library_id for c in outcome.candidates if c.origin == KNOWN] == ["L-0"]
    assert outcome.candidates[0].library_id == "L-0"


def test_a_lattice_that_is_filled_too_thinly_or_thickly_is_refused_with_the_option(tmp_path: Path) -> None:
    salt = Structure.from_spacegroup("Fm-3m", Lattice.cubic(5.64), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    big = written(tmp_path / "big.cif", Crystal.from_pymatgen(salt * (2, 2, 2)))
    huge = written(tmp_path / "huge.cif", Crystal.from_pymatgen(salt * (3, 3, 3)))
    flat = written(tmp_path / "flat.cif", rocksalt().replace(lattice=np.diag([2.0, 2.0, 3.0])))
    library = listed(rocksalt())
    for path, more, message in (
        (big, {"max_atoms": 20}, "has room for about 64 atoms, .* nearest has 20: --max-atoms 64 fills it"),
        (big, {"z": 8}, "has room for about 64 atoms, .* nearest has 16: --z 32 fills it"),
        (huge, {}, "has room for about 216 atoms, .* give a smaller lattice, as cells of more than 200"),
        (flat, {}, "has room for about 1 atoms.* nearest has 2: give a larger lattice"),
    ):
        with pytest.raises(GivenStructureError, match=f"NaCl: the given lattice {message}"):
            proposed("NaCl", library, **more, given={"lattice": path})


def test_a_lattice_takes_the_content_of_the_listed_structure_that_has_it() -> None:
    """By the usual volumes of the elements alone it would be one formula unit less."""
    salt, volumes = rocksalt(), [30.0] * 100
    constraint, cells = Constraint(lattice=2 * salt.lattice), [{"Na": z, "Cl": z} for z in range(1, 11)]
    settings = SearchSettings()
    assert cells_around(cells, constraint, volumes, settings, 20).cells == [{"Na": 6, "Cl": 6}]
    known = listed(salt).structures
    assert cells_around(cells, constraint, volumes, settings, 20, known).cells == [{"Na": 8, "Cl": 8}]
    dense = listed(cesium_chloride(length=3.55)).structures  # neither the lattice nor quite the volume
    assert cells_around(cells, constraint, volumes, settings, 20, dense).cells == [{"Na": 8, "Cl": 8}]
