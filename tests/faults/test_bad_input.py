"""What models do with bad input: a warning, a refusal by name, or one named failure while the batch goes on."""

from __future__ import annotations

import json
import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from dao_core.crystal import Crystal
from dao_core.energy.predictor import N_ENERGIES, DaoPotential
from dao_core.energy.relaxation.relax import RelaxationStatus, RelaxSettings, relax
from dao_core.energy.scale import EnergyScale
from dao_core.generate.constraints import Constraint, ConstraintError
from dao_core.generate.flow_matching import FlowSettings
from dao_core.generate.sampler import Generator, SampleStart, UnseenElementError, numbers_of
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointContent, CheckpointError, save_checkpoint
from dao_core.models.config import CrysformerConfig, LocalConfig
from dao_core.models.heads import Outputs
from dao_core.models.lattice_base import LatticeBase

NETWORK = CrysformerConfig(
    width=16, n_blocks=1, n_heads=2, n_frequencies=2, time_dim=8, normalized_gram=True, distances=True, n_radial=4
)


@pytest.fixture
def generator_folder(tmp_path: Path) -> Path:
    return write_generator(tmp_path, "flow")


def write_generator(tmp_path: Path, process: str) -> Path:
    torch.manual_seed(0)
    base = LatticeBase(torch.full((101,), 20.0), torch.zeros(6), torch.full((6,), 0.1))
    extra = {"process": process, "flow": FlowSettings().model_dump(), "lattice_base": base.state(),
             "elements": [11, 17], "max_atoms": 4, "sampler": {"steps": 3, "diffusion_steps": 3}}  # fmt: skip
    content = CheckpointContent("generator", NETWORK.model_dump(), extra, "")
    save_checkpoint(tmp_path / "generator", build_network(NETWORK).state_dict(), content)
    return tmp_path / "generator"


@pytest.fixture
def potential(tmp_path: Path) -> DaoPotential:
    torch.manual_seed(0)
    config = LocalConfig(width=8, n_blocks=1, n_radial=6, time_dim=8, cutoff=3.0, n_energies=N_ENERGIES)
    scale = EnergyScale(np.zeros((1, 101)), ["test"], 0.01, 0.1, 0.2)
    extra = {"energy_scale": scale.state(), "elements": [11, 17]}
    content = CheckpointContent("predictor", config.model_dump(), extra, "")
    save_checkpoint(tmp_path / "predictor", build_network(config).state_dict(), content)
    return DaoPotential.load(tmp_path / "predictor")


def grid(*shape: int, number: int = 11, edge: float = 3.2) -> Crystal:
    """A supercell of the simple cubic cell."""
    axes = [np.arange(n) / n for n in shape]
    frac = np.stack(np.meshgrid(*axes, indexing="ij"), axis=-1).reshape(-1, 3)
    return Crystal(np.diag(shape) * edge, frac, np.full(len(frac), number))


def test_more_atoms_than_trained_is_warned_about(generator_folder: Path) -> None:
    generator = Generator.load(generator_folder)
    with pytest.warns(UserWarning, match="6 atoms a cell, trained on at most 4: expect worse structures"):
        assert len(generator.propose({"Na": 3, "Cl": 3}, 1, seed=0)) == 1
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        generator.propose({"Na": 2, "Cl": 2}, 1, seed=0)


def test_an_element_never_seen_is_refused_with_a_remedy(generator_folder: Path) -> None:
    with pytest.raises(UnseenElementError, match="the generator never saw Cs, Sr: use templates, or train on data"):
        Generator.load(generator_folder).propose({"Cs": 1, "Na": 1, "Sr": 1}, 1, seed=0)


class Poisoned(nn.Module):
    """The network, but a lattice of `value` for structures that hold only chlorine."""

    def __init__(self, network: nn.Module, value: float) -> None:
        super().__init__()
        self.network, self.value = network, value

    def forward(self, lattice: torch.Tensor, frac: torch.Tensor, numbers: torch.Tensor, *rest: torch.Tensor) -> Outputs:
        out: Outputs = self.network(lattice, frac, numbers, *rest)
        bad = ((numbers == 17) | (numbers == 0)).all(dim=1)
        out.lattice_log = out.lattice_log.masked_fill(bad.view(-1, 1), self.value)
        out.lattice_matrix = out.lattice_matrix.masked_fill(bad.view(-1, 1, 1), self.value)
        return out


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e9])
@pytest.mark.parametrize("process", ["flow", "diffusion"])
def test_a_diverging_sample_fails_alone(tmp_path: Path, process: str, value: float) -> None:
    generator = Generator.load(write_generator(tmp_path, process))
    starts = [SampleStart(numbers_of(c), i) for i, c in enumerate(({"Na": 2}, {"Cl": 2}, {"Cl": 1, "Na": 1}))]
    sound = generator.sample(starts)
    generator.network = Poisoned(generator.network, value)
    first, poisoned, last = generator.sample(starts)
    assert poisoned.crystal is None
    assert "NaN" in poisoned.reason
    for a, b in ((first, sound[0]), (last, sound[2])):
        assert a.reason == b.reason  # an untrained diffusion makes huge cells, refused for their volume
        assert process == "diffusion" or not a.reason
        if a.crystal is not None and b.crystal is not None:
            np.testing.assert_allclose(a.crystal.lattice, b.crystal.lattice)


@pytest.mark.parametrize("value", [torch.nan, torch.inf, 1e9, 1e30])
@pytest.mark.parametrize("given", ["template", "space group"])
def test_a_diverging_sample_that_keeps_a_symmetry_fails_alone(generator_folder: Path, given: str, value: float) -> None:
    generator = Generator.load(generator_folder)
    cells = [grid(1, 1, 2, number=11), grid(1, 1, 2, number=17)]
    if given == "template":
        starts = [SampleStart(c.atomic_numbers, i, c, f"grid {i}") for i, c in enumerate(cells)]
    else:
        starts = [SampleStart(c.atomic_numbers, i, constraint=Constraint(spacegroup=2)) for i, c in enumerate(cells)]
    generator.network = Poisoned(generator.network, value)
    sound, poisoned = generator.sample(starts)
    assert sound.crystal is not None
    assert poisoned.crystal is None
    assert "NaN" in poisoned.reason


def test_a_checkpoint_of_another_kind_or_damaged_is_refused_by_name(generator_folder: Path) -> None:
    with pytest.raises(CheckpointError, match="generator holds a 'generator' model, a 'predictor' is needed"):
        DaoPotential.load(generator_folder)
    weights = generator_folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match=r"model\.safetensors is damaged"):
        Generator.load(generator_folder)
    with pytest.raises(CheckpointError, match="nowhere is not a checkpoint"):
        Generator.load(generator_folder.parent / "nowhere")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"sha256": None}, r"model\.safetensors is damaged"),
        ({"model": {"kind": "oracle"}}, r"config\.json is damaged"),
        ({"lattice_base": {"volumes": [1.0], "mean": [0.0], "std": [1.0]}}, r"config\.json is damaged \(ValueError"),
        ({"max_atoms": None}, r"config\.json is damaged"),
    ],
)
def test_a_damaged_configuration_is_refused_by_name(
    generator_folder: Path, change: dict[str, object], said: str
) -> None:
    path = generator_folder / "config.json"
    config = json.loads(path.read_text())
    for damaged in ({**config, **change}, {k: v for k, v in config.items() if k not in change}):
        path.write_text(json.dumps(damaged))
        with pytest.raises(CheckpointError, match=said.partition(" \\(")[0]):
            Generator.load(generator_folder)
    path.write_text("[]")
    with pytest.raises(CheckpointError, match="is no checkpoint configuration"):
        Generator.load(generator_folder)


def test_templates_are_refused_by_a_diffusion_and_not_ignored(tmp_path: Path) -> None:
    generator = Generator.load(write_generator(tmp_path, "diffusion"))
    with pytest.raises(ConstraintError, match="templates need a generator trained by flow matching"):
        generator.propose({"Na": 1}, 0, 0, templates=[("t", grid(1, 1, 1))])


def test_each_bad_structure_ends_with_its_status_and_the_batch_goes_on(potential: DaoPotential) -> None:
    overlapping = Crystal(np.eye(3) * 6, np.array([[0, 0, 0], [0.02, 0, 0]]), np.array([11, 17]))
    alien = grid(1, 1, 1, number=92)
    crystals = [overlapping, grid(1, 1, 1), alien, grid(10, 10, 4), grid(2, 2, 2)]
    settings = RelaxSettings(max_steps=2)
    results = relax(crystals, potential, settings)
    assert results[0].status == RelaxationStatus.REJECTED_DISTANCE
    assert results[0].crystal is overlapping
    assert results[2].status == RelaxationStatus.POTENTIAL_FAILED
    assert "atomic numbers [92]" in results[2].reason
    for i in (1, 3, 4):  # 1, 400 and 8 atoms
        assert results[i].energy_per_atom is not None
        alone = relax([crystals[i]], potential, settings)[0]
        assert results[i].status == alone.status
        assert results[i].energy_per_atom == pytest.approx(alone.energy_per_atom, abs=1e-5)


def test_a_network_that_returns_nan_fails_by_name(potential: DaoPotential) -> None:
    for p in potential.network.parameters():
        nn.init.constant_(p, float("nan"))
    result = relax([grid(1, 1, 1), grid(2, 2, 2)], potential, RelaxSettings(max_steps=2))
    assert [r.status for r in result] == [RelaxationStatus.POTENTIAL_FAILED] * 2
    assert all("NaN" in r.reason for r in result)
