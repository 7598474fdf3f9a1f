"""One rank of a distributed training: `python -m dao_core.training.rank_worker JOB` runs its call."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import CALL
from dao_core.training.packed import PackedCrystals


def _load(job: Path, stored: dict[str, Any]) -> Any:
    kind, value = next(iter(stored.items()))
    readers: dict[str, Callable[[], Any]] = {
        "crystals": lambda: PackedCrystals.load(job / value),
        "tensor": lambda: torch.from_numpy(np.load(job / value, allow_pickle=False)),
        "path": lambda: Path(value),
        "value": lambda: value,
    }
    return readers[kind]()


def main(job: Path) -> None:
    """One rank: the call that `fit_in_ranks` wrote."""
    from dao_core.training.fit_generator import fit_generator
    from dao_core.training.fit_predictor import fit_predictor

    call = json.loads((job / CALL).read_text())
    options = {name: _load(job, stored) for name, stored in call["options"].items()}
    fits: dict[str, Callable[..., Any]] = {"generator": fit_generator, "predictor": fit_predictor}
    config = TrainingConfig.model_validate(call["config"])
    facts = fits[call["fit"]](options.pop("data"), config, Path(call["directory"]), **options)
    (job / f"facts-{int(os.environ['RANK']):05d}.json").write_text(json.dumps(facts))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
