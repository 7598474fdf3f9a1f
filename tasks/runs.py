"""How every flow begins: what cannot work is refused, the journal is opened, the engine chosen."""

from __future__ import annotations

from tasks.config import RunSettings
from tasks.engine import flow_run_id
from tasks.journal import Journal
from tasks.preflight import preflight


def start_run(config: RunSettings, command: str) -> Journal:
    """The journal of a run; `command` is what continues it. Raises PreflightError naming every key and its remedy."""
    preflight(config)
    return Journal(config.root, name=config.name, command=command, flow_run_id=flow_run_id(), workers=config.workers)
