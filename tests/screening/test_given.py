"""A search with something given: a gold framework that asks for its copper, a lattice, a space group."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.generate.constraints import ConstraintError
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator
from dao_core.readers.read import read_one
from dao_core.screening.given import GivenStructure, GivenStructureError, fitting_cells
from dao_core.screening.held_atoms import HeldPotential, restored
from dao_core.screening.load_models import SearchModels
from dao_core.screening.search import search
from dao_core.screening.settings import SearchSettings
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.potentials import emt
from tests.helpers.search_models import propose
from tests.helpers.small_runs import crystals

GOLD = Crystal(np.diag([3.9, 3.9, 3.8]), np.array([[0, 0, 0], [0.5, 0.5, 0]]), np.array([79, 79]))
SMALL = SearchSettings(
    max_atoms=8, n_generated=2, n_seeded=1, n_templates=1, relax=RelaxSettings(max_steps=8, batch_size=4)
)


@lru_cache(maxsize=1)
def models() -> SearchModels:
    return SearchModels(emt(), Generator.load(settings=SamplerSettings(steps=6)), None)


@pytest.fixture
def framework(tmp_path: Path) -> Path:
    path = tmp_path / "au.cif"
    path.write_text(GOLD.to_cif())
    return path


def test_the_framework_stays_through_relaxation_symmetry_and_merging(framework: Path) -> None:
    settings = SMALL.model_copy(update={"given": GivenStructure(framework=framework)})
    kept = settings.given.constraint()
    assert kept is not None
    assert kept.framework is not None
    outcome = search(["CuAu"], models(), settings)
    assert outcome.info.n_asked == 4
    for c in outcome.candidates:
        assert c.crystal.composition == {"Au": 2, "Cu": 2}
        assert c.crystal.lattice.tobytes() == kept.framework.lattice.tobytes()
        assert c.crystal.frac_coords[:2].tobytes() == kept.framework.frac_coords.tobytes()
        assert c.crystal.symbols == ["Au", "Au", "Cu", "Cu"]
        assert c.given == "framework"
        assert c.held
    relaxed = [c for c in outcome.candidates if c.usable]
    assert relaxed
    assert all(c.provenance["initial_energy_per_atom"] >= c.energy_per_atom for c in relaxed)


def test_without_hold_the_whole_structure_relaxes(framework: Path) -> None:
    settings = SMALL.model_copy(update={"given": GivenStructure(framework=framework, hold=False)})
    outcome = search(["CuAu"], models(), settings)
    relaxed = [c for c in outcome.candidates if c.usable and c.relaxed]  # not the starts that are kept beside them
    volumes = [c.crystal.volume / c.crystal.n_atoms for c in relaxed]
    assert volumes
    assert all(abs(v - GOLD.volume / 4) > 1e-3 for v in volumes)


def test_a_part_of_the_file_by_element(tmp_path: Path) -> None:
    path = tmp_path / "alloy.cif"
    path.write_text(crystals(6)[2].to_cif())
    kept = GivenStructure(framework=path, keep=("Au",)).constraint()
    assert kept is not None
    assert kept.framework is not None
    assert set(kept.framework.symbols) == {"Au"}
    with pytest.raises(GivenStructureError, match="has no Pt to keep: it holds"):
        GivenStructure(framework=path, keep=("Pt",)).constraint()


def test_a_framework_of_other_elements_is_refused_by_name(framework: Path) -> None:
    constraint = GivenStructure(framework=framework).constraint()
    assert constraint is not None
    with pytest.raises(GivenStructureError, match="the formula has no Au, which the framework holds"):
        fitting_cells([{"Na": 1, "Cl": 1}], constraint)


def test_a_space_group_is_kept_by_every_structure() -> None:
    settings = SMALL.model_copy(update={"given": GivenStructure(spacegroup=225), "max_atoms": 2})
    outcome = search(["AlNi"], models(), settings)
    assert {c.spacegroup_after for c in outcome.candidates if c.usable} == {225}
    assert all(spacegroup_number(p.crystal) == 225 for p in propose("AlNi", models(), settings).items)


def test_a_space_group_takes_the_cells_that_it_can_hold() -> None:
    constraint = GivenStructure(spacegroup=136).constraint()
    assert constraint is not None
    cells = [{"Ti": n, "O": 2 * n} for n in (1, 2, 3, 4)]
    assert fitting_cells(cells, constraint) == [cells[1], cells[3]]
    with pytest.raises(GivenStructureError, match="no sites of space group 136 hold"):
        fitting_cells(cells[:1], constraint)


def test_a_lattice_chooses_the_cell_that_fills_it(tmp_path: Path) -> None:
    path = tmp_path / "cell.cif"
    path.write_text(GOLD.replace(lattice=np.diag([3.9, 3.9, 4.2])).to_cif())
    constraint = GivenStructure(lattice=path).constraint()
    assert constraint is not None
    volumes = [0.0] * 120
    volumes[29], volumes[79] = 12.0, 17.0
    cells = [{"Cu": n, "Au": n} for n in (1, 2, 3)]
    assert fitting_cells(cells, constraint, volumes) == [{"Cu": 2, "Au": 2}]
    settings = SMALL.model_copy(update={"given": GivenStructure(lattice=path)})
    made = propose("CuAu", models(), settings).items
    assert {p.crystal.lattice.tobytes() for p in made} == {constraint.lattice.tobytes()}  # type: ignore[union-attr]


def perovskite(tmp_path: Path) -> Path:
    sites = np.array([[0, 0, 0], [0.5, 0.5, 0.5], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    path = tmp_path / "srtio3.cif"
    path.write_text(Crystal(3.95 * np.eye(3), sites + 0.2, np.array([38, 22, 8, 8, 8])).to_cif())
    return path


@pytest.mark.parametrize("given", ["lattice", "framework", "space group"])
def test_the_symmetry_model_suggests_what_is_left_open(given: str, tmp_path: Path) -> None:
    path = perovskite(tmp_path)
    kinds = {
        "lattice": GivenStructure(lattice=path),
        "framework": GivenStructure(framework=path, keep=("Ti", "O")),
        "space group": GivenStructure(spacegroup=221),
    }
    items = propose("SrTiO3", models(), SMALL.model_copy(update={"given": kinds[given]})).items
    assert items[0].origin == "symmetry"
    assert items[0].given == given
    assert items[0].provenance["label"] == "221 Sr:a Ti:b O:c"
    assert spacegroup_number(items[0].crystal) == 221
    if given != "space group":
        assert items[0].held
        np.testing.assert_array_equal(items[0].crystal.lattice, read_one(path).lattice)


def test_a_lattice_that_no_suggestion_has_is_told(tmp_path: Path) -> None:
    path = tmp_path / "long.cif"
    path.write_text(GOLD.replace(lattice=np.diag([2.0, 2.5, 13.0])).to_cif())
    made = propose("CuAu", models(), SMALL.model_copy(update={"given": GivenStructure(lattice=path)}))
    assert any("fits the given lattice" in reason for reason in made.refused)
    assert {p.origin for p in made.items} == {"de novo"}


def test_what_does_not_fit_is_told(framework: Path, tmp_path: Path) -> None:
    bound = SMALL.model_copy(update={"given": GivenStructure(framework=framework), "max_atoms": 2})
    with pytest.raises(GivenStructureError, match="no cell of up to 2 atoms holds the framework"):
        propose("CuAu", models(), bound)
    with pytest.raises(GivenStructureError, match=r"missing\.cif is not a file"):
        GivenStructure(framework=tmp_path / "missing.cif").constraint()
    (tmp_path / "bad.cif").write_text("nonsense")
    with pytest.raises(GivenStructureError, match=r"bad\.cif: none of the formats"):
        GivenStructure(lattice=tmp_path / "bad.cif").constraint()
    with pytest.raises(ConstraintError, match="give one of"):
        GivenStructure(lattice=framework, spacegroup=2).constraint()
    with pytest.raises(GivenStructureError, match="needs the generator"):
        propose("CuAu", SearchModels(emt(), None, None), bound)


def test_the_fingerprint_follows_the_content_of_the_file(framework: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy.cif"
    copy.write_text(framework.read_text())
    assert GivenStructure(framework=copy).fingerprint() == GivenStructure(framework=framework).fingerprint()
    copy.write_text(GOLD.replace(lattice=4.1 * np.eye(3)).to_cif())
    assert GivenStructure(framework=copy).fingerprint() != GivenStructure(framework=framework).fingerprint()
    assert GivenStructure().fingerprint() == {}


def test_held_atoms_feel_no_force_and_keep_their_energy(framework: Path) -> None:
    crystal = GOLD.replace(frac_coords=GOLD.frac_coords + np.diag([0.02, 0.03, 0])[:2])
    plain, held = emt().compute([crystal])[0], HeldPotential(emt(), 1).compute([crystal])[0]
    assert held.energy == plain.energy  # type: ignore[union-attr]
    assert np.abs(held.forces[:1]).max() == 0  # type: ignore[union-attr]
    np.testing.assert_array_equal(held.forces[1:], plain.forces[1:])  # type: ignore[union-attr]
    constraint = GivenStructure(framework=framework).constraint()
    assert constraint is not None
    back = restored(crystal, constraint)
    np.testing.assert_array_equal(back.frac_coords, constraint.framework.frac_coords)  # type: ignore[union-attr]
