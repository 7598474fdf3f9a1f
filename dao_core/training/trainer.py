"""The training loop of every network: Lightning's, from the start or from where an earlier attempt stopped."""

from __future__ import annotations

import logging
import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from safetensors import SafetensorError

from dao_core.artifacts import content_key
from dao_core.models.checkpoint_io import weights_hash
from dao_core.training.checkpoint_plugin import SafetensorsIO, resume_path
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import RanksError, is_main_rank, trainer_options
from dao_core.training.job import VALIDATION, TrainingJob
from dao_core.training.packed import SizedBatches

if TYPE_CHECKING:
    import pytorch_lightning as pl

    from dao_core.training.module import DaoModule

BEST = "best"  # folder of the state with the smallest validation error


class ResumeError(RuntimeError):
    """A resume state that this version cannot read, or that is of another run; the message says what to do."""


def run_training(job: TrainingJob, config: TrainingConfig) -> dict[str, Any]:
    """Train until the configured end, continuing from `job.directory/last` where an earlier attempt left it.

    Args:
        job: Network, objective, data and folder.
        config: How.

    Returns:
        The facts of the run (none in a rank that isn't the first): steps, structures seen, seconds, last losses, with
        several ranks their number and the hash of the weights, with a validation its history. The job's network ends
        with the averaged weights, where there is a validation with those that it found best.

    Raises:
        ResumeError: The resume state cannot be read, or is of other data, another seed or other first weights.
        RanksError: A rank ended with an error.
        DivergedError: The gradients are no longer finite.
    """
    from dao_core.training.module import DaoModule

    job.directory.mkdir(parents=True, exist_ok=True)
    if not torch.cuda.is_available():
        torch.set_num_threads(config.threads)
    for name in ("pytorch_lightning.utilities.rank_zero", "lightning.pytorch.utilities.rank_zero"):
        logging.getLogger(name).setLevel(logging.ERROR)  # device lists and advertisements
    origin, resume = _origin(job, config), resume_path(job.directory)
    state = None if resume is None else _state_of(resume, origin)
    start = 0 if state is None else int(state["global_step"])
    batches = SizedBatches(
        job.data, batch_size=config.batch_size, seed=config.seed, max_pairs=config.max_pairs, start=start
    )
    module = DaoModule(job, config, batches, origin)
    if config.compile == "auto" and torch.cuda.is_available():
        job.network.compile(dynamic=True)  # in place: the names of the weights stay
    if state is None or not _is_over(state, config):
        try:
            _trainer(job, config).fit(
                module, ckpt_path=None if resume is None else str(job.directory / "last"), weights_only=True
            )
        except torch.multiprocessing.ProcessRaisedException as error:
            raise RanksError(f"{config.ranks} ranks ended: {last_error(str(error))}") from error
    return _finish(job, module, config.ranks * config.nodes) if is_main_rank() else {}


def _origin(job: TrainingJob, config: TrainingConfig) -> str:
    """What two attempts of one run share; rates, sizes and the end may change between them."""
    continued = config.start_from is not None and config.grow is None  # others begin with random numbers of the seed
    first = weights_hash(job.network) if continued else None
    return content_key(data=job.data.content_hash(), seed=config.seed, weights=first)


def _state_of(directory: Path, origin: str) -> dict[str, Any]:
    """The resume state of a run; older states don't say of which one they are."""
    state = read_state(directory)
    if state["dao"].get("origin", origin) != origin:
        raise ResumeError(
            f"the resume state {directory} is of other data, another seed or other first weights: "
            "name another folder, or remove that one to start anew"
        )
    return state


def _is_over(state: dict[str, Any], config: TrainingConfig) -> bool:
    """Whether the run that left a state had come to its end: one by seconds would take a step more each time."""
    return config.max_seconds is not None and state["dao"]["spent_s"] >= config.max_seconds


def _trainer(job: TrainingJob, config: TrainingConfig) -> pl.Trainer:
    """Lightning's trainer without its own logs and bars; it validates where the job does."""
    import pytorch_lightning as pl

    return pl.Trainer(
        max_steps=config.max_steps or -1,
        max_epochs=-1,
        accelerator="auto",
        **trainer_options(config),
        precision="32-true" if _precision(config) == "32" else "bf16-mixed",
        plugins=[SafetensorsIO()],
        logger=False,
        default_root_dir=job.directory,
        enable_checkpointing=job.validate is not None,
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
        limit_val_batches=1 if job.validate else 0,
        val_check_interval=job.validate_every if job.validate else None,
        check_val_every_n_epoch=None if job.validate else 1,
        callbacks=_callbacks(job, config),
    )


def _precision(config: TrainingConfig) -> str:
    if config.precision != "auto":
        return config.precision
    return "bf16-mixed" if torch.cuda.is_available() else "32"  # bf16 is sixty times slower on CPUs without it


def _callbacks(job: TrainingJob, config: TrainingConfig) -> list[Any]:
    from pytorch_lightning.callbacks import EarlyStopping, ModelCheckpoint

    from dao_core.training.run_log import TrainingLog

    log = TrainingLog(job.directory, every_s=15.0, checkpoint_every_s=config.checkpoint_every_s)
    if job.validate is None:
        return [log]
    return [
        log,
        EarlyStopping(VALIDATION, patience=job.patience, mode="min", check_finite=False),
        ModelCheckpoint(
            job.directory, BEST, VALIDATION, mode="min", save_weights_only=True, enable_version_counter=False
        ),
    ]


def _finish(job: TrainingJob, module: DaoModule, n_ranks: int) -> dict[str, Any]:
    """Put the averaged weights into the network and gather the facts, from the state that the (first) rank saved."""
    state = read_state(job.directory / "last")
    best = next(iter(sorted(job.directory.glob(f"{BEST}*"))), None) if job.validate else None
    weights = state["state_dict"] if best is None else read_state(best)["state_dict"]
    with torch.no_grad():
        for name, value in job.network.state_dict().items():  # buffers too: running statistics belong to the weights
            value.copy_(weights[f"average.module.{name}"])
    own = state["dao"]
    together = {"ranks": n_ranks, "weights": weights_hash(job.network)} if n_ranks > 1 else {}
    return {
        **together,
        **({"validations": module.validations} if job.validate else {}),
        "steps": int(state["global_step"]),
        "bad_steps": own["bad_steps"],
        "structures": own["structures"],
        "seconds": round(own["spent_s"], 1),
        "last_losses": own["last_losses"],
    }


def read_state(directory: Path) -> dict[str, Any]:
    """A resume state as Lightning wrote it.

    Args:
        directory: The state's folder; where a kill left only the one before, that is read.

    Raises:
        ResumeError: It cannot be read.
    """
    try:
        return SafetensorsIO().load_checkpoint(directory)
    except (OSError, ValueError, KeyError, TypeError, SafetensorError) as error:
        version = written_by(directory)
        raise ResumeError(
            f"the resume state {directory} of {version} cannot be read ({error!r}): remove the folder to start anew"
        ) from error


def written_by(directory: Path) -> str:
    """Which Lightning wrote a resume state, as far as its text can be searched."""
    try:
        text = (directory / "state.json").read_text(errors="replace")
    except OSError:
        return "an unknown version"
    found = re.search(r'"pytorch-lightning_version",\s*"([^"]+)"', text)
    return f"pytorch-lightning {found.group(1)}" if found else "an unknown version"


def last_error(text: str) -> str:
    """The line of a traceback that names the error."""
    lines = [line for line in text.splitlines() if re.match(r"[\w.]+(Error|Exception)\b", line)]
    return (lines or text.strip().splitlines() or ["no message"])[-1]
