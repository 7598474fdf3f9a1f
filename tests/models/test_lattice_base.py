"""The log-lattice and its base."""

from __future__ import annotations

import numpy as np
import torch
from scipy.spatial.transform import Rotation

from dao_core.crystal import CrystalBatch
from dao_core.models.lattice_base import LatticeBase, fit_atomic_volumes, lattice_from_log, log_lattice
from tests.helpers.networks import random_crystals


def test_round_trip_up_to_rotation() -> None:
    lattice = CrystalBatch.from_crystals(random_crystals(1, (2, 3, 4)), dtype=torch.float64).lattice
    again = lattice_from_log(log_lattice(lattice))
    torch.testing.assert_close(again @ again.transpose(1, 2), lattice @ lattice.transpose(1, 2))


def test_trace_is_log_volume_and_rotation_changes_nothing() -> None:
    lattice = CrystalBatch.from_crystals(random_crystals(2, (2, 3)), dtype=torch.float64).lattice
    s = log_lattice(lattice)
    torch.testing.assert_close(s[:, :3].sum(1), torch.linalg.det(lattice).abs().log())
    q = torch.tensor(Rotation.random(random_state=1).as_matrix())
    torch.testing.assert_close(log_lattice(lattice @ q), s)


def test_volumes_are_recovered_from_additive_data() -> None:
    rng = np.random.default_rng(0)
    truth = {3: 20.0, 8: 11.0, 22: 15.0}
    crystals = []
    for crystal in random_crystals(5, tuple(rng.integers(2, 8, 60))):
        numbers = rng.choice(list(truth), crystal.n_atoms)
        volume = sum(truth[z] for z in numbers)
        scale = (volume / crystal.volume) ** (1 / 3)
        crystals.append(crystal.replace(lattice=crystal.lattice * scale, atomic_numbers=numbers))
    fitted = fit_atomic_volumes(crystals)
    for z, volume in truth.items():
        assert abs(fitted[z] / volume - 1) < 0.1


def test_base_maps_to_normal_and_back() -> None:
    crystals = random_crystals(6, (2, 3, 4, 5, 6))
    base = LatticeBase.fit(crystals)
    batch = CrystalBatch.from_crystals(crystals, dtype=torch.float64)
    z = base.to_normal(batch.lattice, batch.atomic_numbers)
    again = base.to_lattice(z, batch.atomic_numbers)
    torch.testing.assert_close(torch.linalg.det(again), torch.linalg.det(batch.lattice).abs(), rtol=1e-5, atol=1e-4)
    torch.testing.assert_close(
        LatticeBase.from_state(base.state()).center(batch.atomic_numbers), base.center(batch.atomic_numbers)
    )
