"""`dao status` and `dao runs ...`: what runs, what failed and why, how to continue. Reads files only, no server."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import typer

from flows.cli.errors import fail

app = typer.Typer(help="Look at single runs.", no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[Path, typer.Option(help="Folder that holds the runs.")]


def status(root: Root = Path("runs")) -> None:
    """List runs: state, stages done, what failed and why, and the command that continues.

    Example:  dao status --root runs
    """
    from flows.cli.console import table
    from tasks.progress import read_progress
    from tasks.run_log import find_runs

    runs = find_runs(root)
    if not runs:
        print(f"no runs below {root}/ (start one: dao campaign configs/campaign-demo.yaml)")
        return
    columns = ("id", "state", "stage", "done", "progress", "started", "why")
    table(f"runs below {root}/", columns, [_line(s, read_progress(folder)) for folder, s in runs])
    for _, state in runs:
        if state["status"] in ("interrupted", "failed"):
            print(f"continue {state['id']}: {state['command']}")


def _line(state: dict[str, Any], under_way: list[dict[str, Any]]) -> tuple[object, ...]:
    stages = state.get("stages", {})
    done = sum(entry.get("status") == "done" for entry in stages.values())
    open_stage = next((name for name, entry in stages.items() if entry.get("status") != "done"), None)
    progress = "; ".join(_far(p) for p in under_way) if state["status"] == "running" else ""
    return (
        state["id"],
        state["status"],
        open_stage,
        done,
        progress or None,
        state.get("started"),
        state.get("error"),
    )


def _far(progress: dict[str, Any]) -> str:
    left = progress["seconds_left"]
    share = f"{progress['done']:.0f}/{progress['total']:.0f} {progress['unit']}"
    return share + ("" if left is None else f", {left} s left")


@app.command()
def show(run_id: Annotated[str, typer.Argument(help="Id, or its beginning.")], root: Root = Path("runs")) -> None:
    """Show one run: every stage with its time, counts and files.

    Example:  dao runs show demo
    """
    from flows.cli.console import table
    from tasks.metrics import cost
    from tasks.run_log import find_run

    folder, state = find_run(root, run_id)
    print(f"{state['id']}: {state['status']}, attempt {state['attempts']}, started {state['started']}, in {folder}")
    rows = [
        (name, e.get("status"), e.get("seconds"), ", ".join(f"{v} {k}" for k, v in e.get("counts", {}).items()),
         f"{figures['structures_per_s']:.3g}" if (figures := cost(e)) else None, e.get("error") or e.get("path"))
        for name, e in state.get("stages", {}).items()
    ]  # fmt: skip
    table("stages", ("stage", "state", "seconds", "counts", "structures/s", "files or reason"), rows)
    if state.get("error"):
        print(f"failed: {state['error']}")
    if state["status"] in ("interrupted", "failed"):
        print(f"continue: {state['command']}")


@app.command("list")
def list_runs(root: Root = Path("runs")) -> None:
    """The same list as `dao status`.

    Example:  dao runs list
    """
    status(root)


@app.command()
def sweep(root: Root = Path("runs")) -> None:
    """Tell the Prefect server at PREFECT_API_URL which of its running flow runs have no process any more.

    The server does the same by itself when a heartbeat is missing for some minutes (see `dao deploy`).

    Example:  dao runs sweep
    """

    sweep_runs(root)


OPEN = ("RUNNING", "PENDING", "CANCELLING")


def sweep_runs(root: Path) -> int:
    """Mark the interrupted runs below `root` as crashed where the server still calls them running; how many."""
    from tasks.run_log import find_runs

    if not os.environ.get("PREFECT_API_URL"):
        fail("PREFECT_API_URL is not set: without a server of its own nothing has to be told")
    import tasks.prefect_api  # noqa: F401 - Prefect's settings stand before it is imported

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
