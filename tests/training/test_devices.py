"""The CUDA code path without a GPU: losses on another device than the CPU mix nothing, bf16 keeps the numbers.

The device is torch's `meta`: it has shapes and no values, and refuses an operation that mixes it with CPU tensors just
as CUDA would. What needs values (neighbour searches, assignment) is switched off here.
"""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from torch import Tensor, nn

from dao_core.crystal import CrystalBatch
from dao_core.energy.predictor import DaoPotential, residual_members, strained
from dao_core.energy.scale import EnergyScale, composition_fractions
from dao_core.generate.diffusion import diffusion_loss
from dao_core.generate.flow_matching import FlowPath, FlowSettings, Seeds, flow_loss, training_base
from dao_core.generate.sampler import Generator, SampleStart
from dao_core.models.build import build_network, parse_model_config
from dao_core.models.checkpoint_io import Checkpoint
from dao_core.models.geometry import edge_distances, gram, neighbor_edges
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, GeneratorObjective
from dao_core.training.packed import PackedCrystals
from tests.helpers.networks import random_crystals

PLAIN = {"kind": "crysformer", "width": 32, "n_blocks": 2, "n_heads": 4, "n_frequencies": 4, "time_dim": 16}
CSPNET = {"kind": "cspnet", "width": 32, "n_blocks": 2, "n_frequencies": 4, "time_dim": 16}
META = torch.device("meta")


def network(config: dict[str, object], n_energies: int = 0) -> nn.Module:
    torch.manual_seed(0)
    return build_network(parse_model_config({**config, "n_energies": n_energies}))


def elsewhere() -> CrystalBatch:
    numbers = torch.ones(2, 4, dtype=torch.long, device=META)
    return CrystalBatch(torch.empty(2, 3, 3, device=META), torch.empty(2, 4, 3, device=META), numbers)


def base() -> LatticeBase:
    return LatticeBase(torch.full((101,), 20.0), torch.zeros(6), torch.ones(6))


def test_the_stand_in_refuses_what_cuda_refuses() -> None:
    with pytest.raises(RuntimeError, match="meta"):
        torch.ones(3) + torch.ones(3, device=META)


@pytest.mark.parametrize("config", [PLAIN, CSPNET], ids=["crysformer", "cspnet"])
def test_generator_losses_stay_on_one_device(config: dict[str, object]) -> None:
    net, data, rng = network(config).to(META), elsewhere(), torch.Generator()
    loss = diffusion_loss(net, data, rng)["loss"]
    loss.backward()
    assert loss.device == META
    settings, has = FlowSettings(assign=False), torch.ones(2, dtype=torch.bool, device=META)
    start = training_base(data, Seeds(has, has, data), FlowPath(base(), settings), rng)
    loss = flow_loss(net, start, data, FlowPath(base(), settings), rng)["loss"]
    loss.backward()
    assert loss.device == META


def test_templates_join_a_batch_on_another_device() -> None:
    crystals = [c.niggli() for c in random_crystals(0, (4, 4))]
    structures, templates = PackedCrystals.from_crystals(crystals), PackedCrystals.from_crystals(crystals)
    templates.atom_labels["target_frac"] = templates.frac_coords
    templates.cell_labels["target_lattice"] = templates.lattice.reshape(-1, 9)
    data = GeneratorData(structures, templates, torch.tensor([[0], [1]]))
    config = TrainingConfig(flow={"assign": False, "seeded_share": 1.0}, max_steps=1)
    batch = structures.gather(np.array([0, 1])).to(META)
    losses = GeneratorObjective(config, base(), data)(network(PLAIN).to(META), batch, torch.Generator())
    assert losses["loss"].device == META


def test_energies_stay_on_one_device() -> None:
    data = elsewhere()
    members, hull = residual_members(network(PLAIN, 5).to(META), data.lattice, data.frac_coords, data.atomic_numbers)
    assert members.device == hull.device == composition_fractions(data.atomic_numbers).device == META


def test_a_potential_computes_on_its_own_device_and_leaves_the_checkpoint_alone() -> None:
    scale = EnergyScale(np.zeros((1, 101)), ["test"], 0.5, 0.1, 0.2)
    config = {"energy_scale": scale.state(), "elements": [1], "sha256": "none"}
    checkpoint = Checkpoint(network(PLAIN, 5), "predictor", config, Path("made here"))
    potential = DaoPotential(checkpoint, device=META)
    assert {p.device for p in potential.network.parameters()} == {META}
    assert all(x.device == META for x in potential.evaluate(elsewhere()))
    assert all(p.requires_grad and p.device.type == "cpu" for p in checkpoint.network.parameters())


class Asked(nn.Module):
    """A network that notes where it is asked, and answers from there."""

    def __init__(self, inner: nn.Module) -> None:
        super().__init__()
        self.inner, self.devices = inner, set[str]()

    def forward(self, *given: Tensor) -> Outputs:
        self.devices |= {x.device.type for x in (*given, *self.inner.parameters())}
        out: Outputs = self.inner(*given)
        assert out.coords.device == META
        return Outputs(*(torch.zeros(getattr(out, f.name).shape) for f in fields(out)))  # meta has no values to return


@pytest.mark.parametrize("process", ["flow", "diffusion"])
def test_a_sampler_on_the_cpu_asks_its_network_on_another_device(process: str) -> None:
    config = {
        "process": process, "lattice_base": base().state(), "flow": FlowSettings().model_dump(), "sha256": "none",
        "elements": [11, 17], "max_atoms": 4, "sampler": {"steps": 2, "diffusion_steps": 2},
    }  # fmt: skip
    asked = Asked(network(PLAIN))
    generator = Generator(Checkpoint(asked, "generator", config, Path("made here")), device=META)
    made = generator.sample([SampleStart(np.array([11, 17]), 0)])
    assert asked.devices == {"meta"}
    assert len(made) == 1


def gradients(net: nn.Module, data: CrystalBatch, *, bf16: bool) -> tuple[float, Tensor]:
    rng = torch.Generator().manual_seed(1)
    net.zero_grad()
    settings, has = FlowSettings(), torch.zeros(len(data), dtype=torch.bool)
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=bf16):
        start = training_base(data, Seeds(has, has), FlowPath(base(), settings), rng)
        loss = flow_loss(net, start, data, FlowPath(base(), settings), rng)["loss"]
    loss.backward()
    flat = torch.cat([p.grad.flatten() for p in net.parameters() if p.grad is not None])
    return float(loss.detach()), flat


def test_cells_keep_full_precision_in_bf16() -> None:
    data = CrystalBatch.from_crystals([c.niggli() for c in random_crystals(0, (4, 6, 8, 10))])
    strain = torch.full_like(data.lattice, 0.01)
    index, shift = neighbor_edges(data.lattice, data.frac_coords, data.mask, 4.0)

    def quantities() -> list[Tensor]:
        z = base().to_normal(data.lattice, data.atomic_numbers)
        distances = edge_distances(data.lattice, data.frac_coords, index, shift)
        edges = neighbor_edges(data.lattice, data.frac_coords, data.mask, 4.0)[0]
        return [
            gram(data.lattice),
            z,
            base().to_lattice(z, data.atomic_numbers),
            distances,
            strained(data, strain),
            edges,
        ]

    exact = quantities()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert (data.lattice @ data.lattice).dtype == torch.bfloat16
        rounded = quantities()
    for a, b in zip(exact, rounded, strict=True):
        assert torch.equal(a, b)


@pytest.mark.parametrize("name", ["train-tiny", "train-laptop"])
def test_bf16_keeps_loss_and_gradient(name: str) -> None:
    config = TrainingConfig(**yaml.safe_load((Path(__file__).parents[2] / f"configs/{name}.yaml").read_text()))
    torch.manual_seed(0)
    net = build_network(config.model)
    for p in net.parameters():  # zero-initialised gates would hide the blocks
        if not p.any():
            nn.init.normal_(p, std=0.02)
    data = CrystalBatch.from_crystals([c.niggli() for c in random_crystals(0, (4, 6, 8, 10))])
    exact, direction = gradients(net, data, bf16=False)
    rounded, turned = gradients(net, data, bf16=True)
    assert torch.isfinite(turned).all()
    assert rounded == pytest.approx(exact, rel=0.02)
    assert float(torch.cosine_similarity(direction, turned, dim=0)) > 0.99
    assert float(turned.norm() / direction.norm()) == pytest.approx(1.0, rel=0.05)
