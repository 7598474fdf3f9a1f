"""Where the tasks of a fan-out run: threads here, Dask processes, Slurm jobs. The tasks stay the same.

Many small shards share one Prefect task: on Dask a task run costs about 0.3 s (a context, a client, states), which is
nothing beside thirty shards and a third of a shard of one second.
"""

from __future__ import annotations

import asyncio
import importlib.util
import json
import logging
import queue
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tasks.config import Workers
from tasks.dask_security import local_options, slurm_options
from tasks.events import EVENTS, write_event
from tasks.prefect_api import FlowRunContext, flow_run_id, get_run_logger, task

if TYPE_CHECKING:
    from prefect.task_runners import TaskRunner
    from prefect.tasks import Task

MAX_BATCH = 64  # shards a task at most: a lost worker loses one
ROUNDS = 2  # every worker has this many more batches before it: they shrink towards the end and end together
MAX_REPORTS, CATCH_UP_SECONDS = 500, 10.0  # see let_reports_catch_up
SLOW_START_SECONDS = 300  # a Slurm worker may take this long to import its packages and reach the scheduler
IDLE_SECONDS = 300  # a Slurm job is given back after this long without work: the next one would queue again
LOOK_SECONDS = 2.0  # how often finished shards of unfinished batches are counted


class EngineError(RuntimeError):
    """The engine of the settings is not installed, or its workers never come; the message says what to do or see."""


@dataclass(frozen=True)
class RunStage:
    """Which run and stage a shard belongs to: the ids in the structured log."""

    root: str
    run: str
    stage: str


@dataclass(frozen=True)
class FanOut:
    """One task for many items: `work(item, *args)` for each. `batch` fixes how many shards share a Prefect task."""

    work: Task[Any, Any]
    items: Sequence[Any]
    args: Sequence[Any]
    run_stage: RunStage
    batch: int | None = None

    def submission(self, first: int, size: int) -> tuple[Task[Any, Any], dict[str, Any]]:
        """The Prefect task of the shards from `first` on, and its parameters."""
        last = first + size
        title = f"{self.run_stage.stage} {first + 1}-{last} of {len(self.items)}"
        parameters = {"work": self.work, "first": first, "items": list(self.items[first:last]), "args": self.args,
                      "run_stage": self.run_stage}  # fmt: skip
        return batch_task(self.work, title), parameters


@task(name="shards")
def run_batch(
    work: Task[Any, Any], first: int, items: Sequence[Any], args: Sequence[Any], run_stage: RunStage
) -> list[Any]:
    """Run a task for each item. One that fails doesn't stop the others; the first error is raised at the end.

    Args:
        work: The task.
        first: Number of the first item.
        items: Its first argument, one a call.
        args: The arguments that follow.
        run_stage: Records each.

    Returns:
        What the task returns for each item, in order.
    """
    out, errors = [], []
    for number, item in enumerate(items, start=first):
        begin = time.monotonic()
        try:
            result = work.fn(item, *args)
        except Exception as error:  # noqa: BLE001 - raised below, when the other shards have had their turn
            errors.append(error)
            status = "failed"
            facts: dict[str, Any] = {"error": f"{type(error).__name__}: {error}"[:300]}
        else:
            out.append(result)
            status = "done"
            facts = {"key": str(getattr(result, "key", ""))}
        seconds = round(time.monotonic() - begin, 3)
        write_event(
            run_stage.root,
            run_stage.run,
            f"shard {status}",
            stage=run_stage.stage,
            shard=number,
            seconds=seconds,
            **facts,
        )
        get_run_logger().debug("%s %s, shard %s %s in %s s", run_stage.run, run_stage.stage, number, status, seconds)
    if errors:
        errors[0].add_note(f"{len(errors)} of {len(items)} shards from {first} on failed")
        raise errors[0]
    return out


class WorkerPool:
    """The workers of one flow run, started with its first fan-out and ended with the flow."""

    def __init__(self, workers: Workers | None = None) -> None:
        self.workers = workers or Workers()
        self._runner: TaskRunner[Any] | None = None
        self._open = ExitStack()

    def close(self) -> None:
        """End the workers. What they were doing is lost, what they finished is in the ledger."""
        client = getattr(self._runner, "_client", None)  # Dask's
        if client is not None and client.status == "running":
            client.run(flush_reports)
        self._runner = None
        self._open.close()

    def each(self, fan_out: FanOut, *, on_done: Callable[[int, int], None] = lambda _done, _of: None) -> list[Any]:
        """Run the task of a fan-out for every item and wait for all of them.

        Args:
            fan_out: The task, its items, and the stage they belong to.
            on_done: Called with (shards ended, shards in all) whenever that may have changed.

        Returns:
            The results in the order of the items.

        Raises:
            EngineError: The workers are not installed or never come.
            Exception: The first error of a shard, when all have ended.
        """
        n = len(fan_out.items)
        if not n:
            return []
        if self._runner is None:
            self._runner = self._open.enter_context(task_runner(self.workers))
        results: dict[int, list[Any]] = {}
        errors: list[Exception] = []
        ended = 0
        log = ShardLog(fan_out.run_stage)
        for first, size, future in self._run(self._runner, fan_out):
            if future is not None:
                ended += size
                try:
                    results[first] = future.result()
                except Exception as error:  # noqa: BLE001 - raised below, when the other batches have ended
                    errors.append(error)
            forget_results()
            on_done(max(ended, min(log.ended(), n)), n)
        if errors:
            raise errors[0]
        return [result for first in sorted(results) for result in results[first]]

    def _run(self, runner: TaskRunner[Any], fan_out: FanOut) -> Iterator[tuple[int, int, Any]]:
        """(first shard, shards, future) of each batch that has ended, and (0, 0, None) now and then while none has.

        A few more than are worked on are queued.
        """
        ended: queue.SimpleQueue[Any] = queue.SimpleQueue()
        open_: dict[Any, tuple[int, int]] = {}
        position, n = 0, len(fan_out.items)
        while position < n or open_:
            let_reports_catch_up()
            if reason := getattr(getattr(runner, "_cluster", None), "given_up", None):  # see SlurmWorkers
                raise EngineError(reason)
            while position < n and len(open_) < 2 * self.workers.workers + 2:
                size = min(n - position, fan_out.batch or batch_size(n - position, self.workers.workers))
                with reachable_server(self.workers):
                    future = runner.submit(*fan_out.submission(position, size))
                open_[future.task_run_id] = (position, size)
                future.add_done_callback(ended.put)
                position += size
            try:
                future = ended.get(timeout=LOOK_SECONDS)
            except queue.Empty:
                yield 0, 0, None
            else:
                yield *open_.pop(future.task_run_id), future


class ShardLog:
    """Counts the shards of a stage that have ended since now, in the run's structured log."""

    def __init__(self, run_stage: RunStage) -> None:
        self._path, self._stage = Path(run_stage.root) / EVENTS, json.dumps(run_stage.stage)
        self._at = self._path.stat().st_size if self._path.exists() else 0
        self._count = 0

    def ended(self) -> int:
        """Shards so far, those that failed too; a retried shard counts again."""
        if not self._path.exists():
            return 0
        with self._path.open("rb") as handle:
            handle.seek(self._at)
            text = handle.read()
        whole = text[: text.rfind(b"\n") + 1]
        self._at += len(whole)
        mark = f'"stage": {self._stage}, "shard": '.encode()
        self._count += sum(mark in line for line in whole.splitlines())
        return self._count


def let_reports_catch_up(limit: int = MAX_REPORTS, seconds: float = CATCH_UP_SECONDS) -> None:
    """Wait while too many state changes of this process have not reached the server.

    Prefect keeps them in memory without bound: a server slower than the tasks would fill it. One that is gone must
    not stop the work, hence the limit of time.

    Args:
        limit: State changes that may be under way.
        seconds: Longest wait.
    """
    from prefect.events.worker import EventsWorker

    waiting = getattr(EventsWorker.instance(), "_queue", None)  # nothing public says how many there are
    end = time.monotonic() + seconds
    while waiting is not None and waiting.qsize() > limit and time.monotonic() < end:
        time.sleep(0.05)


def forget_results() -> None:
    """Prefect keeps the state and result of every task run of a flow to draw who used whose; thousands of shards that
    all go to the next stage make that drawing no better.
    """
    context = FlowRunContext.get()
    if context is not None:
        context.run_results.clear()


async def flush_reports() -> None:
    """Send what a worker process still has to say to the server (states, logs) before it is ended."""
    await asyncio.to_thread(_drain)


def _drain() -> None:
    from prefect.events.worker import EventsWorker
    from prefect.logging.handlers import APILogWorker

    EventsWorker.drain_all(timeout=5)
    APILogWorker.drain_all(timeout=5)


def batch_size(left: int, workers: int) -> int:
    """Shards of the next task: smaller towards the end, so that the workers finish together."""
    return max(1, min(MAX_BATCH, left // (ROUNDS * workers)))


def batch_task(work: Task[Any, Any], title: str) -> Task[Any, Any]:
    """`run_batch` under the name and with the retries of `work`. Shards that were done are found in the ledger."""
    return run_batch.with_options(
        name=work.name,
        task_run_name=title.replace("{", "(").replace("}", ")"),
        retries=work.retries,
        retry_delay_seconds=work.retry_delay_seconds,
        retry_condition_fn=work.retry_condition_fn,
    )


def task_runner(workers: Workers) -> TaskRunner[Any]:
    """Threads here, or Dask: a local cluster, the scheduler at `address`, or Slurm jobs. Raises EngineError."""
    if workers.engine == "threads":
        from prefect.task_runners import ThreadPoolTaskRunner

        return ThreadPoolTaskRunner(max_workers=workers.workers)
    from prefect_dask import DaskTaskRunner

    logging.getLogger("distributed").setLevel(logging.WARNING)
    if workers.address is not None:
        return DaskTaskRunner(address=workers.address)
    if workers.engine == "slurm":
        if importlib.util.find_spec("dask_jobqueue") is None:
            raise EngineError("workers.engine: slurm needs the package dask-jobqueue: pip install 'dao-csp[slurm]'")
        from tasks.slurm_workers import SlurmWorkers

        return DaskTaskRunner(
            cluster_class=SlurmWorkers,
            cluster_kwargs={"processes": 1, "death_timeout": SLOW_START_SECONDS, **slurm_options(workers)},
            adapt_kwargs={"minimum": 0, "maximum": workers.workers, "interval": "1s", "wait_count": IDLE_SECONDS},
        )
    return DaskTaskRunner(cluster_kwargs=local_options(workers))


@contextmanager
def reachable_server(workers: Workers) -> Iterator[None]:
    """Tell worker processes the address of this flow's own ephemeral server: without it each would start another."""
    from prefect.settings import PREFECT_API_URL, temporary_settings

    if workers.engine == "threads" or PREFECT_API_URL.value() or flow_run_id() is None:
        yield
        return
    from prefect.server.api.server import SubprocessASGIServer

    with temporary_settings({PREFECT_API_URL: SubprocessASGIServer().api_url}):
        yield
