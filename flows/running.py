"""Starting a flow from the command line: settings checked first, the engine chosen, one line at the end."""

from __future__ import annotations

import logging
import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.console import explain, fail, quiet_libraries
from tasks.config import CampaignConfig, Workers, load_config

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner

MIN_FREE_BYTES = 500_000_000


def run_campaign(path: Path, root: Path | None) -> None:
    """Run or continue the campaign of a settings file and say where the report is."""
    changes = {} if root is None else {"root": root}
    config = load_config(path, CampaignConfig, **changes)
    check_disk(config.root)
    quiet_libraries()
    from flows.campaign import campaign

    command = f"dao campaign {path}" + ("" if root is None else f" --root {root}")
    one_line_errors()
    ready = campaign.with_options(task_runner=task_runner(config.workers))
    ready(config, command)
    print(f"report: {(config.root / 'report' / 'index.html').resolve()}")
    print(f"stages: dao runs show {config.name} --root {config.root.parent}")


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


def check_disk(root: Path) -> None:
    """Refuse to start where the run could not write."""
    try:
        root.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        fail(f"root: cannot make the folder {root} ({error.strerror}): name another one with --root")
    free = shutil.disk_usage(root).free
    if free < MIN_FREE_BYTES:
        fail(f"root: {free / 1e6:.0f} MB free below {root}, {MIN_FREE_BYTES / 1e6:.0f} MB are needed: free some space")


def task_runner(workers: Workers) -> TaskRunner[Any]:
    """Threads in this process, or Dask: a local cluster, or the scheduler at `address`."""
    if workers.engine == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=workers.workers)
    from prefect_dask import DaskTaskRunner

    if workers.address is not None:
        return DaskTaskRunner(address=workers.address)
    return DaskTaskRunner(cluster_kwargs={"n_workers": workers.workers, "threads_per_worker": 1})
