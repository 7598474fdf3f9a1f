"""Starting a flow from the command line: settings checked first, the engine chosen, one line at the end."""

from __future__ import annotations

import importlib.util
import logging
from importlib.resources import files
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.console import explain, fail, quiet_libraries
from tasks.config import CampaignConfig, Profile, Workers, load_config
from tasks.preflight import preflight

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner


def run_campaign(path: Path, root: Path | None, profile: str | None = None) -> None:
    """Run or continue the campaign of a settings file and say where the report is."""
    changes: dict[str, Any] = {} if root is None else {"root": root}
    if profile is not None:
        changes["workers"] = load_profile(profile).workers.model_dump()
    config = load_config(path, CampaignConfig, **changes)
    quiet_libraries()
    preflight(config)
    from flows.campaign import campaign

    command = f"dao campaign {path}" + ("" if root is None else f" --root {root}")
    command += "" if profile is None else f" --profile {profile}"
    one_line_errors()
    ready = campaign.with_options(task_runner=task_runner(config.workers))
    ready(config, command)
    print(f"report: {(config.root / 'report' / 'index.html').resolve()}")
    print(f"stages: dao runs show {config.name} --root {config.root.parent}")


def load_profile(name: str) -> Profile:
    """A profile by name (of those in configs/) or by file."""
    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        folder = Path(str(files("configs")))
        path = folder / f"profile-{name}.yaml"
        if not path.exists():
            known = ", ".join(sorted(p.stem.removeprefix("profile-") for p in folder.glob("profile-*.yaml")))
            fail(f"--profile {name}: use one of {known}, or a YAML file")
    return load_config(path, Profile)


class _OneLine(logging.Filter):
    """Prefect logs a traceback for every error; for those that `explain` knows the message is enough."""

    def filter(self, record: logging.LogRecord) -> bool:
        if record.exc_info and record.exc_info[1] is not None:
            message = explain(record.exc_info[1])
            if message is not None:
                record.msg, record.args, record.exc_info, record.exc_text = message, (), None, None
        return True


def one_line_errors() -> None:
    """Keep tracebacks of faults of the program, shorten mistakes of the user."""
    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_OneLine())


def task_runner(workers: Workers) -> TaskRunner[Any]:
    """Threads in this process, or Dask: a local cluster, the scheduler at `address`, or Slurm jobs."""
    if workers.engine == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=workers.workers)
    from prefect_dask import DaskTaskRunner

    if workers.address is not None:
        return DaskTaskRunner(address=workers.address)
    if workers.engine == "slurm":
        if importlib.util.find_spec("dask_jobqueue") is None:
            fail("workers.engine: slurm needs the package dask-jobqueue: pip install 'dao-csp[slurm]'")
        options = {**workers.slurm, "processes": 1}
        return DaskTaskRunner(
            cluster_class="dask_jobqueue.SLURMCluster",
            cluster_kwargs=options,
            adapt_kwargs={"minimum": 0, "maximum": workers.workers},
        )
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers.workers, "threads_per_worker": 1})
