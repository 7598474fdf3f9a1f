"""`dao status` and `dao runs`: what runs, what failed and why, how to continue. They read files and need no server."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.errors import fail

app = typer.Typer(help="Look at single runs; `dao status` lists all.", no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[
    Path | None, typer.Option(help="Folder that holds the runs.", show_default="runs/ and the current folder")
]

FROM_THE_BEGINNING = ("predict", "relax")  # commands that keep nothing of a run that was stopped


def status(root: Root = None) -> None:
    """List all runs: their state, the stages done, what failed and why, and the command that goes on or starts again.

    Examples:  dao status    dao status --root /shared/runs --json
    """
    from flows.cli.console import printable, table
    from tasks.progress import read_progress
    from tasks.run_files import broken_states
    from tasks.run_log import find_runs

    if root is not None and not root.is_dir():
        fail(f"--root {root} is {'a file' if root.exists() else 'not there'}: name the folder that holds the runs")
    runs = find_runs(root)
    where = "runs/ and this folder" if root is None else f"{root}/"
    columns = ("id", "state", "stage", "done", "progress", "started", "why")
    rows = [_line(state, read_progress(folder)) for folder, state in runs]
    broken = broken_states(root)
    rows += [(str(path.parent), "unreadable", None, None, None, None, _why_broken(path, why)) for path, why in broken]
    if not rows:
        print(f"no runs below {where} (start one: dao campaign configs/campaign-demo.yaml)")
        return
    folders = [{"folder": str(folder), "command": state["command"]} for folder, state in runs]
    folders += [{"folder": str(path.parent), "command": None} for path, _ in broken]
    values = [dict(zip(columns, row, strict=True)) | more for row, more in zip(rows, folders, strict=True)]
    table(f"runs below {where}", columns, rows, values=values)
    for _, state in runs:
        if state["status"] in ("interrupted", "failed"):
            how, command = _way_on(state)
            print(printable(f"{state['id']}, to {how}: {command}"))


def _way_on(state: dict[str, Any]) -> tuple[str, str]:
    """What can be done with a run that didn't end well, "continue" or "start again", and what to type for it here."""
    command = str(state["command"])
    how = "start again" if command.split()[1:2] and command.split()[1] in FROM_THE_BEGINNING else "continue"
    typed_in = state.get("typed_in")
    elsewhere = typed_in is not None and typed_in != str(Path.cwd())  # paths in it may be relative
    return how, f"cd {shlex.quote(typed_in)} && {command}" if typed_in is not None and elsewhere else command


def _why_broken(path: Path, why: str) -> str:
    return f"{path.name} can't be read ({why}): move it away, and the command that made it goes on or starts again"


def _line(state: dict[str, Any], under_way: list[dict[str, Any]]) -> tuple[object, ...]:
    stages = state.get("stages", {})
    done = sum(entry.get("status") == "done" for entry in stages.values())
    open_stage = next((name for name, entry in stages.items() if entry.get("status") != "done"), None)
    progress = "; ".join(_share(p) for p in under_way) if state["status"] == "running" else ""
    return (
        state["id"],
        state["status"],
        open_stage,
        done,
        progress or None,
        state.get("started"),
        state.get("error"),
    )


def _share(progress: dict[str, Any]) -> str:
    left = progress["seconds_left"]
    share = f"{progress['done']:.0f}/{progress['total']:.0f} {progress['unit']}"
    return share + ("" if left is None else f", {left} s left")


@app.command()
def show(
    run_id: Annotated[str, typer.Argument(help="Id of the run, or the beginning of it.")], root: Root = None
) -> None:
    """Show the stages of one run with their times, counts and files.

    Example:  dao runs show demo
    """
    from flows.cli.console import printable, table
    from tasks.metrics import cost
    from tasks.run_log import find_run

    folder, state = find_run(root, run_id)
    print(f"{state['id']}: {state['status']}, attempt {state['attempts']}, started {state['started']}, in {folder}")
    rows = [
        (name, e.get("status"), e.get("seconds"), ", ".join(f"{v} {k}" for k, v in e.get("counts", {}).items()),
         f"{figures['structures_per_s']:.3g}" if (figures := cost(e)) else None, e.get("error") or e.get("path"))
        for name, e in state.get("stages", {}).items()
    ]  # fmt: skip
    table("stages", ("stage", "state", "seconds", "counts", "structures/s", "files or reason"), rows,
          values=[{"stage": name, **entry} for name, entry in state.get("stages", {}).items()])  # fmt: skip
    if state.get("error"):
        print(f"failed: {state['error']}")
    if state["status"] in ("interrupted", "failed"):
        how, command = _way_on(state)
        print(printable(f"to {how}: {command}"))


@app.command()
def sweep(root: Root = None) -> None:
    """Mark flow runs as crashed on the Prefect server at PREFECT_API_URL if their process is gone.

    The server does so itself when a run has sent no heartbeat for some minutes (see `dao deploy`).

    Example:  dao runs sweep
    """
    sweep_runs(root)


OPEN = ("RUNNING", "PENDING", "CANCELLING")


def sweep_runs(root: Path | None) -> int:
    """Mark the interrupted runs below `root` as crashed where the server still calls them running; how many."""
    from tasks.run_log import find_runs

    if not os.environ.get("PREFECT_API_URL"):
        fail("PREFECT_API_URL is not set: a run without a server needs no sweep")
    from uuid import UUID

    import tasks.prefect_api  # noqa: F401 - Prefect's settings stand before it is imported

    from prefect.client.orchestration import get_client  # isort: skip
    from prefect.exceptions import ObjectNotFound  # isort: skip
    from prefect.states import Crashed  # isort: skip

    crashed = 0
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
                crashed += 1
    print(f"{crashed} of the server's running flow runs had no process")
    return crashed
