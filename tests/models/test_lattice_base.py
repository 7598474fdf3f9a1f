"""The log-lattice and its base."""

from __future__ import annotations

import torch
from scipy.spatial.transform import Rotation

from dao_core.crystal import CrystalBatch
from dao_core.models.lattice_base import LatticeBase, lattice_from_log, log_lattice
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
