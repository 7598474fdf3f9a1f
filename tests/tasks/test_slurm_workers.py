"""Dask workers as Slurm jobs: when lost jobs end a run, and when it goes on waiting."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass

import pytest

pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")

from tasks import slurm_workers
from tasks.slurm_workers import LOST_LIMIT, SlurmWorkers


@dataclass(eq=False)
class Job:
    job_id: str | None


class Queue:
    """A cluster whose scheduler nobody reports to, and its jobs' states; None: refused by sbatch."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.states: dict[str, str] = {}
        monkeypatch.setattr(slurm_workers, "job_state", self.states.get)
        self.cluster = SlurmWorkers.__new__(SlurmWorkers)
        self.cluster.status = None
        self.cluster.workers, self.cluster._created, self.cluster.scheduler_info = {}, set(), {"workers": {}}
        self.cluster._silent, self.cluster._came, self.cluster._since, self.cluster._lost = {}, set(), {}, 0

    def submit(self, *states: str | None) -> None:
        for state in states:
            number = str(len(self.states))
            self.states[number] = state or ""
            self.cluster.workers[f"w{number}"] = Job(number if state else None)

    def look(self) -> str | None:
        asyncio.run(self.cluster.replace_lost())
        return self.cluster.given_up


@pytest.fixture
def queue(monkeypatch: pytest.MonkeyPatch) -> Queue:
    return Queue(monkeypatch)


def test_a_burst_of_refusals_counts_once(queue: Queue) -> None:
    queue.submit(*[None] * 16)
    assert queue.look() is None
    assert queue.cluster.workers == {}


def test_jobs_that_wait_their_turn_keep_the_run_alive(queue: Queue) -> None:
    """A limit of submitted jobs: ten wait in the queue, six are refused at every look."""
    queue.submit(*["PENDING"] * 10)
    for _ in range(4 * LOST_LIMIT):
        queue.submit(*[None] * 6)
        assert queue.look() is None
    assert len(queue.cluster.workers) == 10


def test_jobs_that_die_in_turns_end_the_run(queue: Queue) -> None:
    """Two workers are wanted; whenever one job has died, the other is young and runs."""
    queue.submit("RUNNING")
    for i in range(LOST_LIMIT):
        assert queue.look() is None
        queue.submit("RUNNING")
        queue.states[str(i)] = "FAILED"
    assert "5 Slurm jobs in a row brought no Dask worker; the last one's job 4 ended" in (queue.look() or "")


def test_a_worker_that_reports_starts_the_count_anew(queue: Queue) -> None:
    for _ in range(LOST_LIMIT - 1):
        queue.submit(None)
        assert queue.look() is None
    queue.cluster.scheduler_info = {"workers": {"tcp": {"name": "other"}}}
    queue.submit(None)
    assert queue.look() is None
