"""`dao runs sweep`: flow runs whose process is gone are marked crashed on the server."""

from __future__ import annotations

import os
from pathlib import Path
from uuid import UUID

from flows.console import fail
from tasks.journal import find_runs

OPEN = ("RUNNING", "PENDING", "CANCELLING")


def sweep_runs(root: Path) -> int:
    """Mark the interrupted runs below `root` as crashed where the server still calls them running; how many."""
    if not os.environ.get("PREFECT_API_URL"):
        fail("PREFECT_API_URL is not set: without a server of its own nothing has to be told")
    import tasks.engine  # noqa: F401 - Prefect's settings stand before it is imported

    from prefect.client.orchestration import get_client  # isort: skip
    from prefect.exceptions import ObjectNotFound  # isort: skip
    from prefect.states import Crashed  # isort: skip

    told = 0
    with get_client(sync_client=True) as client:
        for folder, state in find_runs(root):
            if state["status"] != "interrupted" or not state.get("flow_run_id"):
                continue
            run = UUID(state["flow_run_id"])
            try:
                known = client.read_flow_run(run).state
            except ObjectNotFound:
                continue  # of another server
            if known is not None and known.type.value in OPEN:
                message = f"its process on {state.get('host')} is gone; continue with: {state['command']}"
                client.set_flow_run_state(run, Crashed(message=message), force=True)
                print(f"crashed: {state['id']} in {folder}; continue: {state['command']}")
                told += 1
    print(f"{told} of the server's running flow runs had no process")
    return told
