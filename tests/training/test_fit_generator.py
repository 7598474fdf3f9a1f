"""Training: it learns, a killed run resumes to the same weights, and no pickle is written."""

from __future__ import annotations

import itertools
import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from dao_core.energy.predictor import DaoPotential
from dao_core.generate.sampler import Generator, UnseenElementError
from dao_core.models.build import build_network
from dao_core.models.checkpoint_io import CheckpointError, load_checkpoint
from dao_core.settings_error import SettingsError
from dao_core.training.average import averaged_model
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.fit_predictor import PredictorData, TrainingLabels, fit_predictor, pack_labelled
from dao_core.training.job import Objective, TrainingJob
from dao_core.training.module import DivergedError
from dao_core.training.packed import Batch, PackedCrystals
from dao_core.training.trainer import ResumeError, run_training
from tests.helpers.networks import random_crystals
from tests.helpers.training import TINY, data, train

RESUME_B90917E = Path(__file__).parent / "data" / "resume_b90917e"


def weights(directory: Path) -> dict[str, torch.Tensor]:
    return load_checkpoint(directory / "checkpoint", kind="generator").network.state_dict()


def test_loss_falls_and_samples_are_reproducible(tmp_path: Path) -> None:
    facts = train(tmp_path, max_steps=60)
    assert facts["steps"] == 60
    rows = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert rows[-1]["step"] == 60
    generator = Generator.load(tmp_path / "checkpoint")
    first = [p.crystal for p in generator.propose(_seen(generator), 5, seed=5)]
    again = [p.crystal for p in generator.propose(_seen(generator), 3, seed=5)]
    assert all(c is not None for c in again)
    for a, b in zip(first[:3], again, strict=True):  # more samples in the batch change none of the others
        np.testing.assert_allclose(a.lattice, b.lattice, atol=1e-4)
    with pytest.raises(UnseenElementError, match="Fm"):
        generator.propose({"Fm": 1}, 1, seed=0)


def _seen(generator: Generator) -> dict[str, int]:
    from dao_core.elements import SYMBOLS

    return {SYMBOLS[z]: 1 for z in sorted(generator.elements)[:2]}


SCRIPT = """
import sys
from pathlib import Path
from tests.helpers.training import train
train(Path(sys.argv[1]), max_steps=40, checkpoint_every_s=0.01)
"""


@pytest.mark.slow
def test_killed_run_resumes_to_the_same_weights(tmp_path: Path) -> None:
    train(tmp_path / "whole", max_steps=40)
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    root = Path(__file__).parents[2]
    process = subprocess.Popen([sys.executable, "-c", SCRIPT, str(tmp_path / "killed")], cwd=root, env=env)
    state = tmp_path / "killed" / "last" / "state.json"
    while process.poll() is None and not state.exists():  # kill as soon as there is something to resume from
        os.sched_yield()
    process.send_signal(signal.SIGKILL)
    process.wait()
    assert not (tmp_path / "killed" / "checkpoint").exists()
    train(tmp_path / "killed", max_steps=40)
    whole, resumed = weights(tmp_path / "whole"), weights(tmp_path / "killed")
    for name, weight in whole.items():
        torch.testing.assert_close(resumed[name], weight, rtol=0, atol=1e-6)


def test_resume_state_is_not_pickle(tmp_path: Path) -> None:
    train(tmp_path, max_steps=3)
    assert {p.name for p in (tmp_path / "last").iterdir()} == {"state.safetensors", "state.json"}


def test_a_training_of_b90917e_goes_on_to_the_weights_that_it_would_have_had(tmp_path: Path) -> None:
    model = {"kind": "cspnet", "width": 8, "n_blocks": 1, "n_frequencies": 2, "time_dim": 8}
    config = TrainingConfig.model_validate(
        {"model": model, "process": "diffusion", "batch_size": 4, "max_steps": 8, "warmup_steps": 2,
         "learning_rate": 1e-3, "checkpoint_every_s": 1000}
    )  # fmt: skip
    shutil.copytree(RESUME_B90917E / "last", tmp_path / "last")
    rows = PackedCrystals.from_crystals([c.niggli() for c in random_crystals(0, (2, 3, 4) * 2)])
    facts = fit_generator(GeneratorData(rows), config, tmp_path, Provenance({}, ""))
    assert (facts["steps"], facts["structures"]) == (8, 24)
    expected = load_checkpoint(RESUME_B90917E / "checkpoint", kind="generator").network.state_dict()
    for name, weight in weights(tmp_path).items():
        torch.testing.assert_close(weight, expected[name], rtol=0, atol=1e-6)


def test_a_resume_state_that_cannot_be_read_says_who_wrote_it(tmp_path: Path) -> None:
    shutil.copytree(RESUME_B90917E / "last", tmp_path / "last")
    (tmp_path / "last" / "state.safetensors").write_bytes(b"cut")
    with pytest.raises(ResumeError, match=r"of pytorch-lightning 2\.6\.6 cannot be read .* to start anew"):
        train(tmp_path, max_steps=5)


@pytest.mark.parametrize("other", ["data", "seed", "weights"])
def test_a_run_never_goes_on_from_the_state_of_another(tmp_path: Path, other: str) -> None:
    for number in (1, 2):
        train(tmp_path / f"start-{number}", max_steps=1, seed=number)
    rows = PackedCrystals.from_crystals([c.niggli() for c in random_crystals(5, (2, 3) * 4)])
    first: dict[str, Any] = {**TINY, "max_steps": 2, "seed": 1, "start_from": str(tmp_path / "start-1/checkpoint")}
    changes: dict[str, Any] = {"seed": 2} if other == "seed" else {"start_from": str(tmp_path / "start-2/checkpoint")}
    second = first if other == "data" else {**first, **changes}
    fit_generator(GeneratorData(rows), TrainingConfig(**first), tmp_path / "run", Provenance({}, ""))
    again = {**first, "max_steps": 3, "learning_rate": 1e-4}  # the end and the rate may change
    assert fit_generator(GeneratorData(rows), TrainingConfig(**again), tmp_path / "run", Provenance({}, ""))
    with pytest.raises(ResumeError, match="of other data, another seed or other first weights: name another folder"):
        fit_generator(
            GeneratorData(data() if other == "data" else rows), TrainingConfig(**{**second, "max_steps": 4}),
            tmp_path / "run", Provenance({}, ""),
        )  # fmt: skip


def test_a_run_that_is_over_takes_no_further_step(tmp_path: Path) -> None:
    seconds: dict[str, Any] = {k: v for k, v in TINY.items() if k != "max_steps"} | {"max_seconds": 0.2}
    facts = [
        fit_generator(GeneratorData(data()), TrainingConfig(**seconds), tmp_path, Provenance({}, "")) for _ in range(2)
    ]
    assert facts[0] == facts[1]


def test_a_loss_is_averaged_over_the_batches_that_have_it(tmp_path: Path) -> None:
    calls = itertools.count(1)

    def objective(network: nn.Module, _batch: Batch, _rng: torch.Generator) -> dict[str, torch.Tensor]:
        loss = {"loss": 0.0 * torch.stack([p.sum() for p in network.parameters()]).sum()}
        return loss if next(calls) % 4 else {**loss, "forces": torch.tensor(3.0)}

    config = TrainingConfig(**{**TINY, "max_steps": 8})
    run_training(TrainingJob(build_network(config.model), objective, data(), tmp_path), config)
    (row,) = [json.loads(line) for line in (tmp_path / "history.jsonl").read_text().splitlines()]
    assert row["forces"] == 3.0


def test_diffusion_and_cspnet_train_too(tmp_path: Path) -> None:
    model = {"kind": "cspnet", "width": 16, "n_blocks": 1, "n_frequencies": 2, "time_dim": 8}
    facts = train(tmp_path, model=model, process="diffusion", max_steps=3)
    assert facts["steps"] == 3


def test_a_continued_training_remembers_what_it_continues(tmp_path: Path) -> None:
    train(tmp_path / "first", max_steps=3)
    small = PackedCrystals.from_crystals([c.niggli() for c in random_crystals(1, (2, 2))])
    config = TrainingConfig(**{**TINY, "max_steps": 2})
    start = tmp_path / "first/checkpoint"
    again = config.model_copy(update={"start_from": str(start)})
    fit_generator(GeneratorData(small), again, tmp_path / "second", Provenance({}, ""))
    facts = load_checkpoint(tmp_path / "second/checkpoint").config
    assert facts["max_atoms"] == 4  # of the first data: no false warnings
    assert [run["steps"] for run in facts["earlier_training"]] == [3]
    assert facts["training"]["steps"] == 2
    other = TrainingConfig(**{**TINY, "max_steps": 2, "process": "diffusion", "start_from": str(start)})
    with pytest.raises(CheckpointError, match="was trained by flow, the settings ask for diffusion"):
        fit_generator(GeneratorData(small), other, tmp_path / "third", Provenance({}, ""))


def test_a_continued_generator_keeps_the_path_of_its_weights(tmp_path: Path) -> None:
    noise = {"seed_coord_noise": 0.004, "seeded_share": 0.25}
    train(tmp_path / "first", max_steps=1, flow=noise)
    start = str(tmp_path / "first/checkpoint")
    before = load_checkpoint(start).config["flow"]
    train(tmp_path / "same", max_steps=1, start_from=start)
    assert load_checkpoint(tmp_path / "same/checkpoint").config["flow"] == before
    train(tmp_path / "named", max_steps=1, start_from=start, flow={"seeded_share": 1.0})
    assert load_checkpoint(tmp_path / "named/checkpoint").config["flow"] == {**before, "seeded_share": 1.0}
    with pytest.raises(CheckpointError, match=r"synthetic_lattice_noise 0\.06, .* ask for 0\.1: leave it out"):
        train(tmp_path / "other", max_steps=1, start_from=start, flow={"synthetic_lattice_noise": 0.1})


def test_settings_that_would_do_nothing_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="grow adds to trained weights: name them in start_from"):
        TrainingConfig(max_steps=1, grow={"tensor_width": 4})
    for name, value in (("grow", {"tensor_width": 4}), ("reference", "PBE")):
        with pytest.raises(SettingsError, match=f"{name} is a setting of predictors"):
            train(tmp_path, max_steps=1, start_from="generator", **{name: value})
    with pytest.raises(SettingsError, match="predict cells, which a local network cannot"):
        train(tmp_path, max_steps=1, model={"kind": "local", "width": 8, "n_blocks": 1})


def poisoned(every: int) -> Objective:
    """A loss on all weights that is NaN at every so-manieth step."""
    calls = itertools.count(1)

    def objective(network: nn.Module, _batch: Batch, _rng: torch.Generator) -> dict[str, torch.Tensor]:
        size = sum((p**2).sum() for p in network.parameters())
        return {"loss": torch.as_tensor(size) * (torch.nan if next(calls) % every == 0 else 1.0)}

    return objective


def test_a_bad_batch_is_dropped_and_counted_and_many_end_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = TrainingConfig(**{**TINY, "max_steps": 8})
    network = build_network(config.model)
    assert run_training(TrainingJob(network, poisoned(3), data(), tmp_path / "some"), config)["bad_steps"] == 2
    assert all(torch.isfinite(p).all() for p in network.parameters())
    monkeypatch.setattr("dao_core.training.module.MAX_BAD_STEPS", 4)
    with pytest.raises(DivergedError, match="4 steps in a row without a finite gradient, the last is step 3"):
        run_training(TrainingJob(build_network(config.model), poisoned(1), data(), tmp_path / "all"), config)


def test_a_negative_seed_is_refused() -> None:
    with pytest.raises(ValueError, match="greater than or equal to 0"):
        TrainingConfig(max_steps=1, seed=-1)


def test_a_run_without_an_end_is_refused() -> None:
    with pytest.raises(ValueError, match="max_steps or max_seconds"):
        TrainingConfig()


def test_average_forgets_the_start() -> None:
    module = torch.nn.Linear(1, 1, bias=False)
    torch.nn.init.zeros_(module.weight)
    average = averaged_model(module, 0.999)
    average.update_parameters(module)
    torch.nn.init.ones_(module.weight)
    for _ in range(100):
        average.update_parameters(module)
    assert average.module.weight.item() > 0.9
    assert not average.module.weight.requires_grad


def test_shipped_weights_continue_whatever_network_the_settings_name(tmp_path: Path) -> None:
    train(tmp_path, max_steps=1, learning_rate=1e-9, start_from="generator")
    shipped, continued = (load_checkpoint(p, kind="generator") for p in ("generator", tmp_path / "checkpoint"))
    assert continued.config["model"] == shipped.config["model"]
    assert "CC BY 4.0" in (tmp_path / "checkpoint" / "card.md").read_text()  # the licence of the data goes along
    assert set(continued.config["elements"]) >= set(shipped.config["elements"])  # what it knew is not forgotten
    for name, value in shipped.network.state_dict().items():
        torch.testing.assert_close(continued.network.state_dict()[name], value, atol=1e-6, rtol=0)


def test_a_continued_predictor_takes_labels_of_another_scale(tmp_path: Path) -> None:
    few = np.array([3, 8, 12, 22])
    crystals = [
        c.niggli().replace(atomic_numbers=few[c.atomic_numbers % 4]) for c in random_crystals(3, (2, 3, 4) * 50)
    ]
    shipped = DaoPotential.load("predictor")
    offset = np.linspace(-1.0, 1.0, 101)  # an element's reference energy in the other scheme, eV/atom
    labels = [p.formation_energy_per_atom + offset[c.atomic_numbers].mean() for c, p in
              zip(crystals, shipped.predict(crystals), strict=True)]  # fmt: skip
    unknown = [None] * len(crystals)
    packed = pack_labelled(
        crystals, TrainingLabels(labels, [0.0] * len(crystals), [0] * len(crystals), unknown, unknown)
    )
    config = TrainingConfig(**{**TINY, "max_steps": 1, "learning_rate": 1e-9, "start_from": "predictor"})
    fit_predictor(PredictorData(packed, ["mine"]), config, tmp_path, Provenance({}, "# test"))
    found = DaoPotential.load(tmp_path / "checkpoint").predict(crystals)
    error = np.abs([p.formation_energy_per_atom - e for p, e in zip(found, labels, strict=True)])
    before = np.abs([p.formation_energy_per_atom - e for p, e in zip(shipped.predict(crystals), labels, strict=True)])
    assert error.mean() < 0.3 * before.mean()
    continued = DaoPotential.load(tmp_path / "checkpoint")
    assert continued.domain is not None
    assert continued.outside(crystals[0].replace(lattice=0.4 * crystals[0].lattice)) is not None


def test_labels_on_one_scale_get_no_corrections(tmp_path: Path) -> None:
    crystals = [c.niggli().replace(atomic_numbers=np.full(c.n_atoms, 29)) for c in random_crystals(3, (2, 3, 4) * 30)]
    shipped = DaoPotential.load("predictor")
    labels = [p.formation_energy_per_atom + 1.0 for p in shipped.predict(crystals)]  # unstable, not counted otherwise
    unknown = [None] * len(crystals)
    packed = pack_labelled(
        crystals, TrainingLabels(labels, [0.0] * len(crystals), [1] * len(crystals), unknown, unknown)
    )
    data = PredictorData(packed, ["a", "b"], one_scale=True)
    config = TrainingConfig(**{**TINY, "max_steps": 1, "learning_rate": 1e-9, "start_from": "predictor"})
    fit_predictor(data, config, tmp_path, Provenance({}, ""))
    scale = DaoPotential.load(tmp_path / "checkpoint").scale
    assert scale.sources == ["a", "b"]
    np.testing.assert_array_equal(scale.baseline, np.repeat(shipped.scale.baseline[:1], 2, axis=0))


def test_a_continued_predictor_can_grow(tmp_path: Path) -> None:
    crystals = [c.niggli().replace(atomic_numbers=np.full(c.n_atoms, 29)) for c in random_crystals(3, (2, 3, 4))]
    unknown = [None] * 3
    packed = pack_labelled(crystals, TrainingLabels([-0.5, 0.0, 0.5], [0.0] * 3, [0] * 3, unknown, unknown))
    data, local = PredictorData(packed, ["mine"], one_scale=True), {"kind": "local", "width": 16, "n_blocks": 1}
    first = TrainingConfig(**{**TINY, "max_steps": 1, "model": local})
    fit_predictor(data, first, tmp_path / "first", Provenance({}, ""))
    small = tmp_path / "first" / "checkpoint"
    labels = [p.formation_energy_per_atom for p in DaoPotential.load(small).predict(crystals)]
    more = {"max_steps": 1, "learning_rate": 1e-9, "start_from": str(small), "grow": {"tensor_width": 4}}
    fit_predictor(data, TrainingConfig(**{**TINY, **more}), tmp_path / "second", Provenance({}, ""))
    larger = load_checkpoint(tmp_path / "second" / "checkpoint")
    assert larger.config["model"]["tensor_width"] == 4
    np.testing.assert_allclose(
        [p.formation_energy_per_atom for p in DaoPotential(larger).predict(crystals)], labels, atol=1e-4
    )
