"""DAO-P's loss: its noisy structures lie where those of the generator lie."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from dao_core.crystal import CrystalBatch
from dao_core.energy.objective import EnergyObjective, EnergySettings
from dao_core.energy.predictor import N_ENERGIES
from dao_core.energy.scale import EnergyScale
from dao_core.generate.flow_matching import FlowPath, FlowSettings, Seeds, interpolate, training_base
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase
from tests.helpers.networks import random_crystals


class Watched(nn.Module):
    """Answers zero to everything and keeps the coordinates and times that it was asked at."""

    def forward(self, _: Tensor, frac_coords: Tensor, numbers: Tensor, t: Tensor) -> Outputs:
        self.asked = (frac_coords, t)
        b, n = numbers.shape
        coords, matrix, log = torch.zeros(b, n, 3), torch.zeros(b, 3, 3), torch.zeros(b, 6)
        return Outputs(coords, matrix, log, torch.zeros(b, N_ENERGIES), torch.zeros(b, n, 1))


@pytest.mark.parametrize("assign", [True, False])
def test_energies_along_the_flow_are_learned_on_the_generator_s_paths(assign: bool) -> None:
    crystals = [c.replace(atomic_numbers=np.full(c.n_atoms, 14)) for c in random_crystals(4, (8, 6, 7))]
    data, base = CrystalBatch.from_crystals(crystals), LatticeBase.fit(crystals)
    network, scale = Watched(), EnergyScale(np.zeros((1, 101)), ["a"], 1.0, 0.0, 1.0)
    objective = EnergyObjective(EnergySettings(assign=assign), scale, base)
    objective._along_flow(network, data, torch.Generator().manual_seed(1))
    unseeded = torch.zeros(3, dtype=torch.bool)
    path = FlowPath(base, FlowSettings(assign=assign))
    start = training_base(data, Seeds(unseeded, unseeded), path, torch.Generator().manual_seed(1))
    frac, t = network.asked
    torch.testing.assert_close(frac, interpolate(start, data, base, t)[0].frac_coords)


def test_a_new_training_assigns_as_the_generator_does() -> None:
    assert EnergySettings().model_dump()["assign"] is FlowSettings().assign is True
