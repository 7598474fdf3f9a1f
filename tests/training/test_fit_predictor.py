"""Training DAO-P: which held-out rows calibrate it, and what a continued predictor keeps of the one before."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.models.checkpoint_io import load_checkpoint
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_predictor import PredictorData, TrainingLabels, adapted_scale, fit_predictor, pack_labelled
from dao_core.training.job import TrainingJob
from dao_core.training.packed import PackedCrystals
from tests.helpers.benchmark_targets import rocksalt
from tests.helpers.networks import random_crystals
from tests.helpers.training import TINY

SMALL = {"kind": "local", "width": 16, "n_blocks": 1}


def labelled(crystals: list[Crystal], energies: list[float], sources: list[int]) -> PackedCrystals:
    n = len(crystals)
    return pack_labelled(crystals, TrainingLabels(energies, [0.0] * n, sources, [None] * n, [None] * n))


def trained(data: PredictorData, folder: Path, **changes: object) -> dict[str, Any]:
    config = TrainingConfig(**{**TINY, "max_steps": 1, "learning_rate": 1e-9, **changes})
    return fit_predictor(data, config, folder, Provenance({}, "# test"))


def salts(n: int) -> list[Crystal]:
    return [rocksalt(3, 9 + k, 4.0 + 0.1 * k) for k in range(n)]


def test_only_the_reference_calibrates(tmp_path: Path) -> None:
    held = salts(12)
    both = labelled(held * 2, [0.1] * 12 + [0.7] * 12, [0] * 12 + [1] * 12)
    alone = labelled(held, [0.1] * 12, [0] * 12)
    train = labelled(random_crystals(0, (2, 3)), [0.0, 0.1], [0, 1])
    facts = [trained(PredictorData(train, ["a", "b"], v), tmp_path / str(len(v)), model=SMALL) for v in (both, alone)]
    assert facts[0]["validation_mae_eV_per_atom"] == facts[1]["validation_mae_eV_per_atom"]
    assert load_checkpoint(tmp_path / "24/checkpoint").config["calibration"]["n"] == 12
    crystals, labels = PredictorData(train, ["a", "b"], both, one_scale=True).held_out()
    assert (len(crystals), len(labels)) == (24, 24)  # on one scale all of them say how far it is off


NEEDLE = Crystal(np.diag([0.2, 0.2, 100.0]), [[0, 0, 0]], np.array([1]))  # no predictor sees all its neighbours


def test_a_held_out_cell_without_a_prediction_does_not_spoil_the_calibration(tmp_path: Path) -> None:
    held = labelled([*salts(12), NEEDLE], [0.1] * 13, [0] * 13)
    facts = trained(PredictorData(labelled(salts(3), [0.0] * 3, [0] * 3), ["a"], held), tmp_path, model=SMALL)
    assert np.isfinite(facts["validation_mae_eV_per_atom"])
    predictor = DaoPotential.load(tmp_path / "checkpoint")
    assert predictor.checkpoint.config["calibration"]["n"] == 12
    assert np.isfinite(predictor.predict(salts(1))[0].std)


def test_a_row_without_a_prediction_does_not_spoil_the_scale() -> None:
    data = PredictorData(labelled([*salts(60), NEEDLE], [0.1] * 61, [0] * 61), ["mine"])
    assert np.isfinite(adapted_scale(load_checkpoint("predictor"), data).baseline).all()


def test_a_predictor_that_learns_forces_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """torch.compile lacks the second derivatives that the loss of forces needs."""
    asked = []

    def run(_job: TrainingJob, config: TrainingConfig) -> dict[str, Any]:
        asked.append(config.compile)
        return {}

    monkeypatch.setattr("dao_core.training.fit_predictor.run_training", run)
    pair = salts(2)
    forces = [np.zeros((2, 3))] * 2
    moved = pack_labelled(pair, TrainingLabels([0.0] * 2, [0.0] * 2, [0] * 2, forces, [np.zeros((3, 3))] * 2))
    for k, (rows, energy) in enumerate(
        [(labelled(pair, [0.0] * 2, [0] * 2), {}), (moved, {}), (moved, {"forces": False})]
    ):
        trained(PredictorData(rows, ["a"]), tmp_path / str(k), model=SMALL, energy=energy)
    assert asked == ["auto", "never", "auto"]


def test_without_a_row_of_the_reference_nothing_is_calibrated(tmp_path: Path) -> None:
    held = labelled(salts(2), [0.7, float("nan")], [1, 0])
    train = labelled(random_crystals(0, (2, 3)), [0.0, 0.1], [0, 1])
    facts = trained(PredictorData(train, ["a", "b"], held), tmp_path, model=SMALL)
    assert "no row of the reference is held out" in facts["calibration"]
    assert "validation_mae_eV_per_atom" not in facts


@pytest.mark.parametrize("n_held", [0, 3])
def test_a_predictor_continued_on_few_formulas_keeps_its_spread_and_its_domain(n_held: int, tmp_path: Path) -> None:
    shipped, salt = DaoPotential.load("predictor"), rocksalt(11, 17, 5.64)
    alloys = [rocksalt(29, z, 4.6) for z in (47, 79)]
    held = labelled(salts(n_held), [0.0] * n_held, [0] * n_held) if n_held else None
    data = PredictorData(labelled(alloys, [0.0, 0.1], [0, 0]), ["EMT"], held, one_scale=True)
    facts = trained(data, tmp_path, start_from="predictor")
    assert facts["calibration"].startswith(f"that of {shipped.identity}: {n_held} formulas")
    tuned = DaoPotential.load(tmp_path / "checkpoint")
    assert tuned.predict([salt])[0].std == pytest.approx(shipped.predict([salt])[0].std, rel=1e-2)
    assert tuned.scale.spread_floor == shipped.scale.spread_floor
    assert tuned.error_model is not None
    assert tuned.checkpoint.config["calibration"]["made_on"] == shipped.identity
    assert tuned.outside(salt) is None
    assert tuned.domain is not None
    assert shipped.domain is not None
    assert tuned.domain.elements == shipped.domain.elements
    assert tuned.domain.density == shipped.domain.density


def test_enough_formulas_calibrate_a_continued_predictor_anew(tmp_path: Path) -> None:
    held = salts(12)
    data = PredictorData(labelled(salts(2), [0.0, 0.1], [0, 0]), ["a"], labelled(held, [0.5] * 12, [0] * 12))
    trained(data, tmp_path / "first", model=SMALL)
    facts = trained(data, tmp_path / "second", start_from=str(tmp_path / "first/checkpoint"))
    assert "validation_mae_eV_per_atom" in facts
    assert "made_on" not in load_checkpoint(tmp_path / "second/checkpoint").config["calibration"]


def test_a_domain_that_is_not_known_stays_unknown(tmp_path: Path) -> None:
    data = PredictorData(labelled(salts(3), [0.0, 0.1, 0.2], [0, 0, 0]), ["a"])
    trained(data, tmp_path / "first", model=SMALL)
    path = tmp_path / "first/checkpoint/config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({k: v for k, v in config.items() if k != "domain"}))  # as b90917e wrote it
    trained(data, tmp_path / "second", start_from=str(path.parent))
    assert DaoPotential.load(tmp_path / "second/checkpoint").domain is None


def test_a_new_domain_is_wider_by_the_new_rows(tmp_path: Path) -> None:
    first = PredictorData(labelled(salts(3), [0.0, 0.1, 0.2], [0, 0, 0]), ["a"])
    trained(first, tmp_path / "first", model=SMALL)
    dense = [rocksalt(3, 9, 3.0)]
    again = PredictorData(labelled(dense, [0.5], [0]), ["a"])
    trained(again, tmp_path / "second", start_from=str(tmp_path / "first/checkpoint"))
    before, after = (DaoPotential.load(tmp_path / name / "checkpoint") for name in ("first", "second"))
    assert before.outside(dense[0]) is not None
    assert after.outside(dense[0]) is None
    assert before.domain is not None
    assert after.domain is not None
    assert after.domain.density[0] == before.domain.density[0]
    assert after.domain.volumes == before.domain.volumes
