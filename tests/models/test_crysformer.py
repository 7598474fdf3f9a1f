"""Crysformer: the published size, its symmetries, and the factored pair attention against the plain formula."""

from __future__ import annotations

import math

import pytest
import torch
from pydantic import ValidationError
from scipy.spatial.transform import Rotation

from dao_core.crystal import CrystalBatch
from dao_core.models.build import build_network
from dao_core.models.config import CrysformerConfig, CspnetConfig, LocalConfig, ModelConfig
from dao_core.models.crysformer import Crysformer, PairAttention
from dao_core.models.heads import Outputs, parameter_count
from tests.helpers.networks import CORRECTED, TINY, random_crystals

LOCAL = LocalConfig(width=16, n_blocks=2, n_radial=6, time_dim=8)
NETWORKS: list[ModelConfig] = [TINY, CORRECTED, CspnetConfig(width=16, n_blocks=2, n_frequencies=3, time_dim=8), LOCAL]


def run(config: ModelConfig, batch: CrystalBatch) -> Outputs:
    torch.manual_seed(0)
    network = build_network(config.model_copy(update={"n_energies": 2})).double()
    for p in network.parameters():  # zero-initialised gates would hide every dependence
        torch.nn.init.normal_(p, std=0.3)
    with torch.no_grad():
        t = torch.linspace(0.2, 0.8, len(batch), dtype=torch.float64)
        return network(batch.lattice, batch.frac_coords, batch.atomic_numbers, t)


@pytest.mark.parametrize("config", [CrysformerConfig, CspnetConfig, LocalConfig])
def test_a_time_embedding_of_odd_size_is_refused(config: type[CrysformerConfig | CspnetConfig | LocalConfig]) -> None:
    """It is made of sines and cosines in pairs."""
    with pytest.raises(ValidationError, match="time_dim"):
        config(time_dim=15)


def test_published_size() -> None:
    assert round(parameter_count(Crysformer(CrysformerConfig())) / 1e6, 1) == 25.2


def test_factored_attention_equals_the_published_formula() -> None:
    torch.manual_seed(1)
    width, heads, pair = 8, 2, 5
    layer = PairAttention(width, heads, pair).double()
    x = torch.randn(1, 3, width, dtype=torch.float64)
    e = torch.randn(1, 3, 3, pair, dtype=torch.float64)
    mask = torch.tensor([[True, True, False]])
    q, k, v = layer.qkv(x).view(3, 3, heads, 4).unbind(1)
    g = layer.pair(e).view(3, 3, heads, 4)
    expected = torch.zeros(2, heads, 4, dtype=torch.float64)
    for i in range(2):
        for h in range(heads):
            s = torch.stack([q[i, h] @ (k[j, h] + g[i, j, h]) / math.sqrt(4) for j in range(2)]).softmax(0)
            expected[i, h] = sum(s[j] * (v[j, h] + g[i, j, h]) for j in range(2))
    torch.testing.assert_close(layer(x, e, mask)[0, :2], layer.out(expected.flatten(1)))


@pytest.mark.parametrize("config", NETWORKS)
def test_rotation(config: ModelConfig, batch: CrystalBatch) -> None:
    q = torch.tensor(Rotation.random(random_state=0).as_matrix())
    rotated = run(config, CrystalBatch(batch.lattice @ q, batch.frac_coords, batch.atomic_numbers))
    plain = run(config, batch)
    torch.testing.assert_close(rotated.coords, plain.coords)
    torch.testing.assert_close(rotated.lattice_matrix @ batch.lattice @ q, plain.lattice_matrix @ batch.lattice @ q)
    torch.testing.assert_close(rotated.energies, plain.energies)


@pytest.mark.parametrize("config", NETWORKS)
def test_periodic_translation(config: ModelConfig, batch: CrystalBatch) -> None:
    moved = batch.frac_coords + torch.tensor([0.37, -1.2, 2.9], dtype=torch.float64)
    shifted = run(config, CrystalBatch(batch.lattice, moved, batch.atomic_numbers))
    plain = run(config, batch)
    torch.testing.assert_close(shifted.coords, plain.coords)
    torch.testing.assert_close(shifted.lattice_log, plain.lattice_log)


@pytest.mark.parametrize("config", NETWORKS)
def test_permutation_of_atoms(config: ModelConfig, batch: CrystalBatch) -> None:
    order = torch.tensor([4, 2, 0, 1, 3])
    permuted = run(config, CrystalBatch(batch.lattice, batch.frac_coords[:, order], batch.atomic_numbers[:, order]))
    plain = run(config, batch)
    torch.testing.assert_close(permuted.coords, plain.coords[:, order])
    torch.testing.assert_close(permuted.energies, plain.energies)


@pytest.mark.parametrize("config", NETWORKS)
def test_padding_and_batch_mates_change_nothing(config: ModelConfig) -> None:
    crystals = random_crystals()
    together = run(config, CrystalBatch.from_crystals(crystals, dtype=torch.float64))
    padded = run(config, CrystalBatch.from_crystals(crystals, pad_to=9, dtype=torch.float64))
    torch.testing.assert_close(together.coords[0, :2], padded.coords[0, :2])
    torch.testing.assert_close(together.energies, padded.energies)
    assert (padded.coords[0, 2:] == 0).all()
