"""`dao status` and `dao runs ...`: what runs, what failed and why, how to continue. Reads files only, no server."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

app = typer.Typer(help="Look at single runs.", no_args_is_help=True, rich_markup_mode=None)
Root = Annotated[Path, typer.Option(help="Folder that holds the runs.")]


def status(root: Root = Path("runs")) -> None:
    """List runs: state, stages done, what failed and why, and the command that continues.

    Example:  dao status --root runs
    """
    from flows.console import table
    from tasks.journal import find_runs

    runs = find_runs(root)
    if not runs:
        print(f"no runs below {root}/ (start one: dao campaign configs/campaign-demo.yaml)")
        return
    table(f"runs below {root}/", ("id", "state", "stage", "done", "started", "why"), [_line(s) for _, s in runs])
    for _, state in runs:
        if state["status"] in ("interrupted", "failed"):
            print(f"continue {state['id']}: {state['command']}")


def _line(state: dict[str, Any]) -> tuple[object, ...]:
    stages = state.get("stages", {})
    done = sum(entry.get("status") == "done" for entry in stages.values())
    open_stage = next((name for name, entry in stages.items() if entry.get("status") != "done"), None)
    return state["id"], state["status"], open_stage, done, state.get("started"), state.get("error")


@app.command()
def show(run_id: Annotated[str, typer.Argument(help="Id, or its beginning.")], root: Root = Path("runs")) -> None:
    """Show one run: every stage with its time, counts and files.

    Example:  dao runs show demo
    """
    from flows.console import table
    from tasks.journal import find_run

    folder, state = find_run(root, run_id)
    print(f"{state['id']}: {state['status']}, attempt {state['attempts']}, started {state['started']}, in {folder}")
    rows = [
        (name, e.get("status"), e.get("seconds"), ", ".join(f"{v} {k}" for k, v in e.get("counts", {}).items()),
         e.get("error") or e.get("path"))
        for name, e in state.get("stages", {}).items()
    ]  # fmt: skip
    table("stages", ("stage", "state", "seconds", "counts", "files or reason"), rows)
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
