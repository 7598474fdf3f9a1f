"""Dask workers as Slurm jobs, asked for again where a job ends before its worker has reported to the scheduler.

dask-jobqueue replaces a worker that was there and went, but waits for ever for one that never came: sbatch was
refused, the node failed while the job began, the worker gave up waiting for a slow file system. The run then stands
still without a word.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from dask_jobqueue import SLURMCluster
from tornado.ioloop import PeriodicCallback

from dao_core.dft.launch.slurm import RUNNING, SlurmSettings, job_state

LOOK_SECONDS = 30.0  # how often Slurm is asked about jobs whose worker has not come
LOST_LIMIT = 5  # looks in a row at which jobs had ended without a worker, before the run stops and says so

log = logging.getLogger(__name__)


class SlurmWorkers(SLURMCluster):  # type: ignore[misc]
    """SLURMCluster that replaces jobs whose worker never came. `given_up` holds the reason once too many were lost."""

    given_up: str | None = None

    async def _start(self) -> None:
        self._silent: dict[str, int] = {}  # looks in a row without an answer about a job
        self._came: set[str] = set()  # jobs whose worker was there: dask-jobqueue sees to those
        self._lost = 0
        self._since: dict[str, int] = {}  # losses before a job that waits or runs was first seen
        await super()._start()
        self._patrol = PeriodicCallback(self.replace_lost, 1000 * LOOK_SECONDS)
        self._patrol.start()

    async def _close(self) -> None:
        if hasattr(self, "_patrol"):
            self._patrol.stop()
        await super()._close()

    async def replace_lost(self) -> None:
        """Forget jobs that ended before their worker came: the adaptive scaling then submits others in their place."""
        if self.given_up is not None:
            return
        here = {str(w["name"]) for w in self.scheduler_info["workers"].values()}
        if here:
            self._lost, self._since = 0, {}
        lost, before = "", self._lost
        for name, job in list(self.workers.items()):
            if any(w == name or w.startswith(f"{name}-") for w in here):
                self._came.add(job.job_id)
            if job.job_id in self._came:
                continue
            how = await self._ended(job)
            if how is None or self.workers.get(name) is not job:
                self._since.setdefault(job.job_id, before)
                continue
            del self.workers[name]
            self._created.discard(job)  # closing the cluster fails on one that never began
            # one a look: a burst of refusals, as at a limit of submitted jobs, says no more than a single one
            self._lost, lost = self._lost + (not lost), how
            log.warning("A Dask worker's %s; another is asked for (%d in a row)", how, self._lost)
        # a job that has outlasted the others is waiting for its turn, and may still bring a worker
        waits = any(self._lost - self._since.get(job.job_id, self._lost) >= LOST_LIMIT for job in self.workers.values())
        if lost and self._lost >= LOST_LIMIT and not waits:
            self.given_up = f"{self._lost} Slurm jobs in a row brought no Dask worker; the last one's {lost}"

    async def _ended(self, job: Any) -> str | None:
        """How a job without a worker came to its end, or None while it waits or runs."""
        if job.job_id is None:  # a cluster keeps a job only after sbatch has answered
            return "job was refused by sbatch"
        state = await asyncio.to_thread(job_state, job.job_id)
        silent = self._silent[job.job_id] = 0 if state else self._silent.get(job.job_id, 0) + 1
        if state in RUNNING or (state is None and silent < SlurmSettings().unknown_limit):
            return None
        return f"job {job.job_id} ended before it had started: {state or 'Slurm does not know it'}"
