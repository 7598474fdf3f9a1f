"""What can be known to go wrong before a run starts: refused at once, naming the key and the remedy."""

from __future__ import annotations

import importlib.util
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from urllib.parse import urlsplit

from dao_core.artifacts import ForeignFileError
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.settings import MaterialsProjectConfig
from dao_core.energy.registry import DEFAULT_JUDGE, PotentialNameError, load_judge
from dao_core.models.checkpoint_io import CheckpointError
from dao_core.screening.report.publish import check_place
from dao_core.training.config import TrainingConfig
from tasks.config import (
    BenchmarkConfig,
    CampaignConfig,
    FinetuneConfig,
    HandOff,
    PretrainConfig,
    RebuildConfig,
    RelaxDatasetConfig,
    RunSettings,
    ScreenConfig,
    SearchPlan,
    ValidateConfig,
    Workers,
)
from tasks.prefect_api import flow_run_id
from tasks.run_log import RunLog

MIN_FREE_BYTES = 500_000_000
PINNED_SERVER = "3.8"


class PreflightError(ValueError):
    """Settings that are valid but can't run on this machine; the message lists every key with its remedy."""


def preflight(config: RunSettings) -> None:
    """Raise PreflightError listing everything that would stop the run later."""
    problems = [*_root(config.root), *_server(), *_workers(config.workers)]
    if isinstance(config, PretrainConfig | RebuildConfig):
        problems += _sources(config.crysdb)
    if isinstance(config, PretrainConfig):
        problems += _table("table", config.table)
        for name in ("stage1", "predictor", "stage2"):
            problems += _gpu(name, getattr(config, name))
    if isinstance(config, SearchPlan):
        problems += [*_report(config.root), *_searched(config)]
    if isinstance(config, ScreenConfig | RelaxDatasetConfig):
        problems += _table("crysdb", config.crysdb)
    if isinstance(config, ValidateConfig) and not config.candidates.is_file():
        problems.append(f"candidates: {config.candidates} is not there: name a screening's report/candidates.parquet")
    if isinstance(config, BenchmarkConfig | FinetuneConfig) and not config.data.exists():
        problems.append(f"data: {config.data} is not there: correct the path")
    if isinstance(config, CampaignConfig | ScreenConfig | ValidateConfig):
        problems += _pw(config.handoff)
    if problems:
        raise PreflightError("; ".join(problems))


def check_server() -> None:
    """Raise PreflightError unless a server of this version answers at PREFECT_API_URL."""
    if problems := list(_server()):
        raise PreflightError("; ".join(problems))


def check_training(name: str, config: TrainingConfig) -> None:
    """Raise PreflightError where this machine cannot train as the settings say."""
    if problems := list(_gpu(name, config)):
        raise PreflightError("; ".join(problems))


def _table(key: str, path: Path | None) -> Iterator[str]:
    if path is not None and not path.exists():
        yield f"{key}: no table at {path}: build one (dao crysdb build) or correct the path"


def _workers(workers: Workers) -> Iterator[str]:
    if workers.engine == "slurm" and importlib.util.find_spec("dask_jobqueue") is None:
        yield "workers.engine: slurm needs the package dask-jobqueue: pip install 'dao-csp[slurm]'"
    if workers.engine == "slurm" and shutil.which("sbatch") is None:
        yield "workers.engine: slurm, but there is no sbatch here: run it on a login node, or use threads or dask"


def _root(root: Path) -> Iterator[str]:
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        yield f"root: cannot make the folder {root} ({error.strerror}): name another one with --root"
        return
    free = shutil.disk_usage(root).free
    if free < MIN_FREE_BYTES:
        yield f"root: {free / 1e6:.0f} MB free below {root}, {MIN_FREE_BYTES / 1e6:.0f} MB are needed: free some space"


def _report(root: Path) -> Iterator[str]:
    try:
        check_place(root / "report")
    except ForeignFileError as error:
        yield f"root: {error} with --root"


def _searched(config: SearchPlan) -> Iterator[str]:
    """What a campaign would ask for only after its trainings."""
    if config.file is not None and not config.file.is_file():
        yield f"file: {config.file} is not there: correct the path"
    if isinstance(config, CampaignConfig) and config.judge != DEFAULT_JUDGE:
        try:
            load_judge(config.judge)
        except (PotentialNameError, CheckpointError) as error:
            yield f"judge: {error}"


def _sources(config: BuildConfig) -> Iterator[str]:
    for i, source in enumerate(config.sources):
        for path in source.paths if isinstance(source, FilesConfig) else ():
            if not path.exists():
                yield f"crysdb.sources.{i}.paths: {path} is not there: correct the path"
        if isinstance(source, MaterialsProjectConfig) and (source.api_key or not source.api_key_block):
            from dao_core.crysdb.sources.materials_project import api_key

            try:
                api_key(source)
            except SourceError as error:
                yield f"crysdb.sources.{i}: {error}"


def _gpu(name: str, config: TrainingConfig) -> Iterator[str]:
    if config.precision != "bf16-mixed":
        return
    import torch

    if not torch.cuda.is_available():
        yield f"{name}.precision: bf16-mixed needs a CUDA device and none is visible: use auto, or run on a GPU machine"


def _pw(handoff: HandOff) -> Iterator[str]:
    for path in handoff.references if handoff.when != "never" else ():
        if not path.is_file():
            yield f"handoff.references: {path} is not there: correct the path"
    command = handoff.settings.command.split()[0]
    if handoff.slurm is not None:
        if handoff.when != "never" and shutil.which(handoff.slurm.sbatch.split()[0]) is None:
            yield "handoff.slurm: there is no sbatch here: run it on a login node, or leave handoff.slurm out"
    elif handoff.when == "always" and shutil.which(command) is None:
        yield f"handoff.when: always, but {command} is not installed: install Quantum ESPRESSO or use auto"


def _server() -> Iterator[str]:
    """A server of another minor version may refuse what this client sends."""
    import httpx

    url = os.environ.get("PREFECT_API_URL")
    if not url:
        return
    try:
        version = httpx.get(f"{url.rstrip('/')}/admin/version", timeout=10).json()
    except (httpx.HTTPError, ValueError) as error:
        kind, host = type(error).__name__, urlsplit(url).netloc
        yield f"PREFECT_API_URL: no Prefect server answers at {host} ({kind}): start it or unset the variable"
        return
    if not str(version).startswith(f"{PINNED_SERVER}."):
        yield f"PREFECT_API_URL: the server is version {version}, this client {PINNED_SERVER}: use one version on both"


def start_run(config: RunSettings, command: str) -> RunLog:
    """Check what a run needs and open its log.

    Args:
        config: Of the run.
        command: What continues it.

    Returns:
        The log.

    Raises:
        PreflightError: Something is missing; the message names every key and its remedy.
    """
    preflight(config)
    return RunLog(config.root, name=config.name, command=command, flow_run_id=flow_run_id(), workers=config.workers)
