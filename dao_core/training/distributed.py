"""Training with several processes: the same `fit_*` call in every rank that torchrun starts, averaged by DDP.

One rank a GPU over NCCL, or CPU processes over gloo. The call travels as files (JSON, npz), never as pickle.
"""

from __future__ import annotations

import ctypes
import hashlib
import json
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import torch

from dao_core.training.config import TrainingConfig
from dao_core.training.packed import PackedCrystals

CALL = "call.json"


class RanksError(RuntimeError):
    """A training whose ranks ended with an error; the message holds the first error."""


def in_rank() -> bool:
    """Whether this process is one of several that train together."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_main_rank() -> bool:
    """The one that writes checkpoints, also where there is only one."""
    return not in_rank() or os.environ["RANK"] == "0"


def trainer_options() -> dict[str, Any]:
    """Devices, nodes and strategy for Lightning: of the ranks that torchrun started, or of this process alone."""
    if not in_rank():
        return {"devices": 1}
    from pytorch_lightning.strategies import DDPStrategy

    world, local = int(os.environ["WORLD_SIZE"]), int(os.environ["LOCAL_WORLD_SIZE"])
    backend = "nccl" if torch.cuda.is_available() else "gloo"
    strategy = DDPStrategy(process_group_backend=backend, find_unused_parameters=True)
    return {"devices": local, "num_nodes": world // local, "strategy": strategy}


def weights_hash(network: torch.nn.Module) -> str:
    """Hash of a network's parameters: ranks that trained together have the same."""
    digest = hashlib.sha256()
    for name, p in sorted(network.named_parameters()):
        digest.update(name.encode() + p.detach().cpu().numpy().tobytes())
    return digest.hexdigest()[:20]


def fit_in_ranks(fit: str, data: PackedCrystals, config: TrainingConfig, directory: Path, **options: Any) -> Any:
    """Run `fit` ("generator" or "predictor") in `config.ranks` processes; its facts. Raises RanksError."""
    job = directory / "job"
    shutil.rmtree(job, ignore_errors=True)
    job.mkdir(parents=True)
    plain = {name: _store(job, name, value) for name, value in {"data": data, **options}.items()}
    call = {"fit": fit, "config": config.model_dump(mode="json"), "directory": str(directory), "options": plain}
    (job / CALL).write_text(json.dumps(call))
    lines: list[str] = []
    child = subprocess.Popen(
        _command(config, job), stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, start_new_session=True,
        preexec_fn=_end_with_parent,
    )  # fmt: skip
    try:
        for line in child.stdout or []:
            lines = [*lines[-300:], line]
            print(line, end="", flush=True)
        status = child.wait()
    finally:
        if child.poll() is None:  # Ctrl-C: torchrun ends its ranks when it is told to
            os.killpg(child.pid, signal.SIGTERM)
            child.wait()
    if status:
        errors = [line for line in lines if re.match(r"(\[rank\d+\]: )?[\w.]+(Error|Exception)\b", line)]
        said = "".join(errors[:1] or lines[-20:]).strip()
        raise RanksError(f"{config.ranks} ranks ended with status {status}: {said}")
    all_facts = [json.loads(path.read_text()) for path in sorted(job.glob("facts-*.json"))]
    if len({f["weights"] for f in all_facts}) != 1:
        raise RanksError(f"the {len(all_facts)} ranks in {job} end with different weights: the network is not trained")
    shutil.rmtree(job)
    return all_facts[0]


def _end_with_parent() -> None:
    """On Linux: a killed parent takes its ranks along, so that the next attempt has the folder to itself."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(1, int(signal.SIGTERM))  # PR_SET_PDEATHSIG


def _command(config: TrainingConfig, job: Path) -> list[str]:
    where = ["--standalone"]
    if config.nodes > 1:
        where = ["--nnodes", str(config.nodes), "--rdzv-backend", "c10d", "--rdzv-endpoint", str(config.rendezvous)]
    torchrun = [sys.executable, "-m", "torch.distributed.run", *where, "--nproc-per-node", str(config.ranks)]
    return [*shlex.split(config.launch), *torchrun, "-m", "dao_core.training.rank_worker", str(job)]


def _store(job: Path, name: str, value: Any) -> Any:
    if isinstance(value, PackedCrystals):
        value.save(job / f"{name}.npz")
        return {"crystals": f"{name}.npz"}
    if isinstance(value, torch.Tensor):
        np.save(job / f"{name}.npy", value.numpy())
        return {"tensor": f"{name}.npy"}
    if isinstance(value, Path):
        return {"path": str(value)}
    return {"value": value}
