"""What a round teaches: DAO-P learns the validated energies, DAO-G the structures close to the hull."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_generator import GeneratorData, fit_generator
from dao_core.training.fit_predictor import PredictorData, TrainingLabels, fit_predictor, pack_labelled
from dao_core.training.packed import PackedCrystals


@dataclass(frozen=True)
class Retraining:
    """From which checkpoint, for how many CPU seconds, with which seed."""

    start: str
    seconds: float
    seed: int


def tuned_predictor(records: Sequence[CrysRecord], how: Retraining, folder: Path) -> DaoPotential:
    """DAO-P after a short training on validated formation energies, as if they were on the scale of its own.

    A handful of rows cannot calibrate a spread: the predictor that is continued hands its own on.

    Args:
        records: Of CrysDB, with formation energies in eV/atom.
        how: From where, for how long.
        folder: Working folder.
    """
    from dao_core.energy.objective import EnergySettings

    n = len(records)
    labels = TrainingLabels(
        [float("nan") if r.formation_energy_per_atom is None else r.formation_energy_per_atom for r in records],
        [float("nan")] * n, [0] * n, [None] * n, [None] * n,
    )  # fmt: skip
    train = pack_labelled([r.crystal.niggli() for r in records], labels)
    config = TrainingConfig(
        start_from=how.start, energy=EnergySettings(noisy_share=0.0, forces=False, hull_weight=0.0), batch_size=8,
        learning_rate=3e-4, warmup_steps=0, ema_decay=0.95, max_seconds=how.seconds, clock="cpu", seed=how.seed,
    )  # fmt: skip
    about = Provenance({"name": "validated phases of the loop", "rows": n}, "# DAO-P, fine-tuned in the loop")
    fit_predictor(PredictorData(train, ["validated"], one_scale=True), config, folder, about)
    return DaoPotential.load(folder / "checkpoint")


def tuned_generator(crystals: Sequence[Crystal], how: Retraining, folder: Path, about: str) -> dict[str, Any]:
    """DAO-G's flow after a short training on some structures.

    Args:
        crystals: What it is to propose more of.
        how: From where, for how long.
        folder: Gets `checkpoint`.
        about: What the structures are, for the checkpoint's card.

    Returns:
        Steps, structures seen and CPU seconds.
    """
    from dao_core.models.checkpoint_io import load_checkpoint

    earlier = load_checkpoint(how.start, kind="generator").config
    config = TrainingConfig.model_validate({
        "start_from": how.start, "process": earlier["process"], "flow": earlier.get("flow", {}),
        "batch_size": int(np.clip(len(crystals), 1, 32)), "learning_rate": 1e-4, "warmup_steps": 20, "ema_decay": 0.99,
        "max_seconds": how.seconds, "clock": "cpu", "seed": how.seed,
    })  # fmt: skip
    data = GeneratorData(PackedCrystals.from_crystals([c.niggli() for c in crystals]))
    card = Provenance({"name": about, "rows": len(crystals)}, f"# DAO-G, fine-tuned on {about}")
    facts = fit_generator(data, config, folder, card)
    return {key: facts[key] for key in ("steps", "structures", "seconds")}
