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
    from tasks.progress import read_progress

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
    from flows.console import table
    from tasks.journal import find_run
    from tasks.metrics import cost

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
    from flows.sweeping import sweep_runs

    sweep_runs(root)
