"""Torch's default dtype belongs to the process: what another model made of it must not reach ours, nor ours it."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest
import torch

from dao_core.energy.potential import PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.generate.constraints import Constraint
from dao_core.generate.diffusion import sample_diffusion
from dao_core.generate.flow_matching import base_sample
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator
from dao_core.generate.symmetry.generator import SymmetryGenerator
from dao_core.models.build import build_network
from dao_core.models.default_dtype import default_dtype
from tests.helpers.networks import TINY
from tests.helpers.structures import perovskite, rocksalt

PEROVSKITE = {"Sr": 1, "Ti": 1, "O": 3}


@pytest.fixture
def double() -> Iterator[None]:
    """What a foreign model leaves behind."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    assert torch.get_default_dtype() == torch.float64  # nobody changes it for others either
    torch.set_default_dtype(before)


def test_the_default_is_put_back_after_errors_too() -> None:
    def fail() -> None:
        with default_dtype(torch.float64):
            assert torch.get_default_dtype() == torch.float64
            torch.set_default_dtype(torch.float16)
            raise ValueError("a model failed")

    before = torch.get_default_dtype()
    with pytest.raises(ValueError, match="a model failed"):
        fail()
    assert torch.get_default_dtype() == before


@pytest.mark.usefixtures("double")
def test_the_predictor_loads_and_computes() -> None:
    potential = DaoPotential.load()
    (result,) = potential.compute([rocksalt()])
    assert isinstance(result, PotentialResult)
    assert potential.predict([rocksalt()])[0].formation_energy_per_atom == pytest.approx(result.energy / 2, abs=1e-5)


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("method", ["ode", "sde"])
@pytest.mark.parametrize("given", [None, Constraint(lattice=np.eye(3) * 3.9), Constraint(spacegroup=221)])
def test_the_generator_samples(method: str, given: Constraint | None) -> None:
    generator = Generator.load(settings=SamplerSettings(steps=2, seeded_steps=2, method=method))  # type: ignore[arg-type]
    seeds = [("seed", perovskite())] if given is None else []
    proposals = generator.propose(PEROVSKITE, 2, 0, seeds, constraint=given)
    assert all(p.crystal is not None for p in proposals)


@pytest.mark.usefixtures("double")
def test_a_diffusion_samples() -> None:
    numbers = torch.tensor([[38, 22, 8, 8, 8]])
    network = build_network(TINY).eval()
    batch = sample_diffusion(network, numbers, [np.random.default_rng(0)], steps=3)
    assert batch.frac_coords.dtype == torch.float32
    assert base_sample(numbers, torch.Generator().manual_seed(0)).z.dtype == torch.float32


@pytest.mark.usefixtures("double")
@pytest.mark.parametrize("seed", [None, 0])
def test_the_symmetry_model_proposes(seed: int | None) -> None:
    assert SymmetryGenerator.load().propose(PEROVSKITE, 3, seed=seed).items
