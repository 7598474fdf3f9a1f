"""Short trainings in a study: what is taught is learned, what is not stays."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.generate.sampler import Generator
from dao_core.studies.retraining import Retraining, tuned_generator, tuned_predictor


def rock_salt(edge: float) -> Crystal:
    half = edge / 2
    lattice = np.array([[0, half, half], [half, 0, half], [half, half, 0]])
    return Crystal(lattice, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([11, 17]))


def test_dao_p_comes_closer_to_the_energies_it_is_taught(tmp_path: Path) -> None:
    crystal, shipped = rock_salt(5.6), DaoPotential.load()
    untouched = shipped.predict([crystal])[0]
    before = untouched.formation_energy_per_atom
    target = before + 0.4
    record = CrysRecord.from_crystal(
        crystal, material_id="a", source="loop", functional="judge", formation_energy_per_atom=target
    )
    tuned = tuned_predictor([record] * 8, Retraining("predictor", 3.0, 0), tmp_path)
    after = tuned.predict([crystal])[0]
    assert abs(after.formation_energy_per_atom - target) < 0.5 * abs(before - target)
    assert after.std > 0.3 * untouched.std  # members that were taught the same eight rows agree far better than that
    assert tuned.scale.spread_factor == shipped.scale.spread_factor
    assert tuned.elements == shipped.elements
    assert shipped.predict([crystal])[0].formation_energy_per_atom == before


def test_dao_g_keeps_its_elements_and_its_process(tmp_path: Path) -> None:
    facts = tuned_generator([rock_salt(5.6), rock_salt(5.7)], Retraining("generator", 1.0, 0), tmp_path, "salt")
    assert facts["steps"] >= 1
    tuned, shipped = Generator.load(tmp_path / "checkpoint"), Generator.load("generator")
    assert set(tuned.elements) == set(shipped.elements)
    assert tuned.flow == shipped.flow
