"""DAO-P: derivatives against finite differences, batch independence, named failures, scaling and calibration."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal, CrystalBatch
from dao_core.energy.objective import EnergyObjective, EnergySettings, bootstrap_weights, exponential_loss
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.predictor import N_ENERGIES, DaoPotential, Prediction
from dao_core.energy.scale import EnergyRows, EnergyScale
from dao_core.energy.uncertainty import calibrate
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointContent, load_checkpoint, save_checkpoint
from dao_core.models.lattice_base import LatticeBase
from dao_core.training.fit_predictor import TrainingLabels, element_fractions, pack_labelled
from dao_core.training.packed import Batch
from tests.helpers.networks import CORRECTED, random_crystals
from tests.helpers.structures import in_skewed_cell, rocksalt, rutile


@pytest.fixture
def potential(tmp_path: Path) -> DaoPotential:
    torch.manual_seed(0)
    config = CORRECTED.model_copy(update={"n_energies": N_ENERGIES})
    network = build_network(config)
    for p in network.parameters():
        torch.nn.init.normal_(p, std=0.3)
    scale = EnergyScale(np.linspace(-1, 1, 101)[None, :], ["test"], 0.5, 0.1, 0.2)
    extra = {"energy_scale": scale.state(), "elements": list(range(1, 95))}
    save_checkpoint(tmp_path, network.state_dict(), CheckpointContent("predictor", config.model_dump(), extra, ""))
    return DaoPotential(load_checkpoint(tmp_path), dtype=torch.float64)


def energy(potential: DaoPotential, crystal: Crystal) -> float:
    result = potential.compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    return result.energy


def test_forces_are_the_negative_gradient(potential: DaoPotential) -> None:
    crystal = random_crystals(0, (4,))[0]
    result = potential.compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    h, inverse = 1e-4, np.linalg.inv(crystal.lattice)
    for atom in range(2):
        for axis in range(3):
            step = np.zeros((4, 3))
            step[atom, axis] = h
            up = energy(potential, crystal.replace(frac_coords=crystal.frac_coords + step @ inverse))
            down = energy(potential, crystal.replace(frac_coords=crystal.frac_coords - step @ inverse))
            numeric = -(up - down) / (2 * h)
            assert result.forces[atom, axis] == pytest.approx(numeric, rel=1e-4, abs=1e-6 * np.abs(result.forces).max())


def test_stress_is_the_strain_derivative_over_volume(potential: DaoPotential) -> None:
    crystal = random_crystals(1, (3,))[0]
    result = potential.compute([crystal])[0]
    assert isinstance(result, PotentialResult)
    h = 1e-5
    for i, j in ((0, 0), (1, 2), (2, 2)):
        strain = np.zeros((3, 3))
        strain[i, j] += h / 2
        strain[j, i] += h / 2
        up = energy(potential, crystal.replace(lattice=crystal.lattice @ (np.eye(3) + strain)))
        down = energy(potential, crystal.replace(lattice=crystal.lattice @ (np.eye(3) - strain)))
        numeric = (up - down) / (2 * h) / crystal.volume
        assert result.stress[i, j] == pytest.approx(numeric, rel=1e-4, abs=1e-6 * np.abs(result.stress).max())


def test_result_is_the_same_alone_and_in_a_batch(potential: DaoPotential) -> None:
    crystals = random_crystals(2, (2, 6, 3))
    together = potential.compute(crystals)
    for crystal, result in zip(crystals, together, strict=True):
        alone = potential.compute([crystal])[0]
        assert isinstance(alone, PotentialResult)
        assert isinstance(result, PotentialResult)
        assert result.energy == pytest.approx(alone.energy, abs=1e-10)
        np.testing.assert_allclose(result.forces, alone.forces, atol=1e-9)


def test_unseen_element_fails_alone(potential: DaoPotential) -> None:
    good = random_crystals(3, (2,))[0]
    bad = good.replace(atomic_numbers=[98, 8])
    first, second = potential.compute([bad, good])
    assert isinstance(first, PotentialFailure)
    assert "98" in first.reason
    assert isinstance(second, PotentialResult)


@pytest.mark.parametrize("shear", [1, 4, 50, 10_000])
def test_a_crystal_has_one_energy_whatever_its_cell(shear: int) -> None:
    shipped, crystals = DaoPotential.load(), [rocksalt(), rutile()]
    skewed = [in_skewed_cell(c, shear) for c in crystals]
    for crystal, plain, other in zip(crystals, shipped.compute(crystals), shipped.compute(skewed), strict=True):
        assert isinstance(plain, PotentialResult)
        assert isinstance(other, PotentialResult)
        assert other.energy / crystal.n_atoms == pytest.approx(plain.energy / crystal.n_atoms, abs=1e-5)
        np.testing.assert_allclose(other.forces, plain.forces, atol=1e-4)
        np.testing.assert_allclose(other.stress, plain.stress, atol=1e-5)
    for plain_one, other_one in zip(shipped.predict(crystals), shipped.predict(skewed), strict=True):
        assert other_one.formation_energy_per_atom == pytest.approx(plain_one.formation_energy_per_atom, abs=1e-5)
        assert other_one.std == pytest.approx(plain_one.std, rel=1e-3)


def test_a_cell_in_which_neighbors_are_missed_fails_alone() -> None:
    shipped = DaoPotential.load()
    needle = Crystal(np.diag([0.2, 0.2, 100.0]), [[0, 0, 0]], np.array([1]))
    lost, found = shipped.compute([needle, rocksalt()])
    assert isinstance(lost, PotentialFailure)
    assert "too flat or skewed" in lost.reason
    assert isinstance(found, PotentialResult)
    unknown, known = shipped.predict([needle, rocksalt()])
    assert np.isnan(unknown.formation_energy_per_atom)
    assert known.formation_energy_per_atom == pytest.approx(found.energy / 2, abs=1e-5)
    first, second = shipped.cautious_energies([needle, rocksalt()])
    assert first == np.inf
    assert np.isfinite(second)


def test_a_linear_algebra_error_fails_alone(potential: DaoPotential, monkeypatch: pytest.MonkeyPatch) -> None:
    good, bad = random_crystals(3, (2, 2))
    evaluate = potential.evaluate

    def raising(batch: CrystalBatch) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
        if any(np.allclose(lattice, bad.lattice) for lattice in batch.lattice.numpy()):
            raise torch.linalg.LinAlgError("the input matrix is singular")
        return evaluate(batch)

    monkeypatch.setattr(potential, "evaluate", raising)
    first, second = potential.compute([bad, good])
    assert isinstance(first, PotentialFailure)
    assert "singular" in first.reason
    assert isinstance(second, PotentialResult)


def two_sources(unstable: float) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """The same compounds twice: source 1 has 0.6 eV more per oxygen, and every second row `unstable` higher."""
    rng = np.random.default_rng(0)
    fractions = np.zeros((4000, 101))
    for row in fractions:
        row[rng.choice([3, 8, 22, 38], 2, replace=False)] = 0.5
    source = rng.integers(0, 2, 4000)
    hull = np.where((source == 1) & (np.arange(4000) % 2 == 0), unstable, 0.0)
    energies = fractions @ rng.normal(size=101) + 0.6 * (source == 1) * fractions[:, 8] + hull
    return fractions, energies + 0.01 * rng.normal(size=4000), source, hull


def test_scale_recovers_source_offsets() -> None:
    fractions, energies, source, hull = two_sources(unstable=0.0)
    scale = EnergyScale.fit(EnergyRows(fractions, energies, source, hull, ["a", "b"]))
    difference = scale.baseline[1] - scale.baseline[0]
    assert difference[8] == pytest.approx(0.6, abs=0.1)
    assert scale.residual_std < 0.1
    assert EnergyScale.from_state(scale.state()).hull_mean == pytest.approx(0.0)


def test_instability_of_a_source_is_no_offset() -> None:
    fractions, energies, source, hull = two_sources(unstable=0.8)
    scale = EnergyScale.fit(EnergyRows(fractions, energies, source, hull, ["a", "b"]))
    difference = scale.baseline[1] - scale.baseline[0]
    assert difference[8] == pytest.approx(0.6, abs=0.1)
    assert abs(difference[22]) < 0.1
    unknown = EnergyScale.fit(EnergyRows(fractions, energies, source, np.full(4000, np.nan), ["a", "b"]))
    assert np.abs(unknown.baseline[1] - unknown.baseline[0]).max() == 0.0  # nothing to tell them apart by


def test_exponential_loss_has_its_minimum_at_the_boltzmann_average() -> None:
    labels = torch.tensor([0.0, 2.0])
    best = -torch.log(torch.exp(-labels).mean())
    losses = [float(exponential_loss(e.expand(2), labels)) for e in (best - 0.05, best, best + 0.05)]
    assert losses[1] < losses[0]
    assert losses[1] < losses[2]


def test_unlabelled_rows_train_nothing_but_the_flow() -> None:
    crystals = random_crystals(4, (3, 4))
    nan = float("nan")
    data = pack_labelled(
        crystals, TrainingLabels([nan, nan], [nan, nan], [0, 0], [None, np.zeros((4, 3))], [None, np.zeros((3, 3))])
    )  # fmt: skip
    scale = EnergyScale.fit(EnergyRows(element_fractions(data), np.zeros(2), np.zeros(2, int), np.full(2, nan), ["a"]))
    network = build_network(CORRECTED.model_copy(update={"n_energies": N_ENERGIES}))
    objective = EnergyObjective(EnergySettings(noisy_share=0.0), scale, LatticeBase.fit(crystals))
    batch: Batch = data.gather(np.arange(2))
    losses = objective(network, batch, torch.Generator().manual_seed(0))
    assert "energy" not in losses
    assert torch.isfinite(losses["forces"])
    assert torch.isfinite(losses["loss"])
    energies = EnergyObjective(EnergySettings(noisy_share=0.0, forces=False), scale, LatticeBase.fit(crystals))
    energies(network, batch, torch.Generator().manual_seed(0))["loss"].backward()  # nothing to learn is no error


def test_bootstrap_weights_differ_between_members_and_repeat() -> None:
    rows = torch.arange(5000)
    weights = bootstrap_weights(rows, 4)
    assert torch.equal(weights, bootstrap_weights(rows, 4))
    assert (weights.mean(0) - 1).abs().max() < 0.1
    assert (weights[:, 0] != weights[:, 1]).float().mean() > 0.4


def test_calibration_recovers_a_known_error_size() -> None:
    rng = np.random.default_rng(0)
    spread = rng.uniform(0.01, 0.1, 3000)
    labels = rng.laplace(scale=3 * spread / np.sqrt(2))
    predictions = [Prediction(0.0, float(s), 0.0) for s in spread]
    report = calibrate(predictions=predictions, labels=labels)
    assert report.factor == pytest.approx(3.0, rel=0.15)
    assert 0.7 < report.coverage["1.0 std"] < 0.82  # Laplace: 75.7 %


@pytest.mark.parametrize("process", ["flow", "diffusion"])
def test_noisy_structures_train_energies_along_either_process(process: str) -> None:
    crystals = random_crystals(4, (3, 4, 5))
    data = pack_labelled(
        crystals, TrainingLabels([0.0, 0.1, 0.2], [0.0, 0.1, 0.3], [0, 0, 0], [None] * 3, [None] * 3)
    )  # fmt: skip
    scale = EnergyScale.fit(
        EnergyRows(element_fractions(data), np.zeros(3), np.zeros(3, int), np.array([0.0, 0.1, 0.3]), ["a"])
    )
    torch.manual_seed(0)
    network = build_network(CORRECTED.model_copy(update={"n_energies": N_ENERGIES}))
    settings = EnergySettings(noisy_share=1.0, process=process)  # type: ignore[arg-type]
    objective = EnergyObjective(settings, scale, LatticeBase.fit(crystals))
    losses = objective(network, data.gather(np.arange(3)), torch.Generator().manual_seed(0))
    assert {"flow", "noisy"} <= set(losses)
    assert "energy" not in losses  # no structure was left undisturbed
    losses["loss"].backward()
    assert all(torch.isfinite(p.grad).all() for p in network.parameters() if p.grad is not None)
