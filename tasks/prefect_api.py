"""Prefect as this project uses it: the one place that sets it up, and the one that tasks and flows import it from.

Prefect reads its settings while it is imported, so the defaults below have to stand in the environment before that;
this module is the single exception to "no work at import". Values that the user has set are left alone.
"""

from __future__ import annotations

import os

DEFAULTS = {
    "DO_NOT_TRACK": "1",
    "PREFECT_SERVER_ANALYTICS_ENABLED": "false",  # otherwise error lines on a machine without network
    # The ephemeral server starts in 14-24 s, in minutes on an overloaded machine; Prefect's own limit of 20 s raises.
    "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "600",
    # SQLite answers "database is locked" after 10 s where the disk or the processor is busy.
    "PREFECT_SERVER_DATABASE_TIMEOUT": "60",
    "PREFECT_SERVER_DATABASE_CONNECTION_TIMEOUT": "60",
    "PREFECT_CLIENT_CSRF_SUPPORT_ENABLED": "false",  # a second round trip a request that protects browsers only
    "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "60",  # `dao deploy` lets the server call a run crashed after 180 s of silence
    "PREFECT_TASKS_DEFAULT_NO_CACHE": "true",  # the ledger decides what is done; hashing every input costs time
}
for _name, _value in DEFAULTS.items():
    os.environ.setdefault(_name, _value)

from prefect import flow, get_run_logger, task  # noqa: E402
from prefect.artifacts import (  # noqa: E402
    create_markdown_artifact,
    create_progress_artifact,
    create_table_artifact,
    update_progress_artifact,
)
from prefect.context import FlowRunContext, TaskRunContext  # noqa: E402
from prefect.events import emit_event  # noqa: E402

__all__ = [
    "FlowRunContext",
    "create_markdown_artifact",
    "create_progress_artifact",
    "create_table_artifact",
    "emit_event",
    "flow",
    "flow_run_id",
    "get_run_logger",
    "in_run",
    "task",
    "update_progress_artifact",
]


def flow_run_id() -> str | None:
    """Id of the flow run around us, None outside of one."""
    context = FlowRunContext.get()
    return str(context.flow_run.id) if context and context.flow_run else None


def in_run() -> bool:
    """Whether a flow or task run is around us: only there are logs and artifacts sent to a server."""
    return FlowRunContext.get() is not None or TaskRunContext.get() is not None
