"""The stages of a CrysDB build that are many small pieces: on the run's workers, on as many machines as it has.

They leave their results in the database's ledger, on a disk that all workers see; the build finds them there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from dao_core.artifacts import Ledger, StageRecord
from dao_core.crysdb.config import BuildConfig
from tasks.crysdb import can_continue
from tasks.engine import task
from tasks.secrets import open_sources

if TYPE_CHECKING:
    from dao_core.crysdb.sources.base import Source
    from tasks.journal import Journal


@task(name="ingest sources", retries=3, retry_delay_seconds=[10, 60, 300], retry_condition_fn=can_continue)
def ingest_sources(config: BuildConfig, folder: str) -> list[StageRecord]:
    """Read every source into shards; whole shards that are there are not read again.

    Raises TableBusyError at once where another build is writing this database.
    """
    from dao_core.crysdb.build import ingest_all
    from dao_core.crysdb.table import CrysTable

    with CrysTable(Path(folder) / "table").writer():
        sources: Sequence[Source] = open_sources(config)
        return [shard for shards in ingest_all(sources, Ledger(Path(folder) / "ledger"), config) for shard in shards]


@task(name="prepare a shard", retries=1)
def prepare_shard(shard: StageRecord, config: BuildConfig, folder: str) -> list[StageRecord]:
    """Clean and standardise one shard: [cleaned, standardised]."""
    from dao_core.crysdb import stages

    root = Path(folder) / "ledger"
    return list(stages.prepare_shard(shard, root=root, settings=config.clean, symprec=config.symprec))


def prepare_crysdb(run: Journal, config: BuildConfig, folder: str) -> None:
    """Ingest here, then clean and standardise the shards on the run's workers.

    With `threads` the shards are left to the build, which has processes of its own (`workers` of its settings).
    """
    if run.workers is None or run.workers.engine == "threads":
        return
    shards = run.step("ingest", ingest_sources, config, folder)
    run.step_each("clean and standardise", prepare_shard, shards, config, folder)
