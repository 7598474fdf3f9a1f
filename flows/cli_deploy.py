"""`dao deploy`: the flows as deployments on a Prefect server."""

from __future__ import annotations

from typing import Annotated

import typer


def deploy(
    chain: Annotated[
        bool, typer.Option("--chain", help="A published CrysDB version starts pretraining, a screening validation.")
    ] = False,
    silence: Annotated[
        float, typer.Option(min=90, help="Seconds without a heartbeat after which a run counts as crashed.")
    ] = 180.0,
    pool: Annotated[str, typer.Option(help="Type of a new work pool: process, or kubernetes.")] = "process",
) -> None:
    """Register work pool, deployments, schedules and automations with the server at PREFECT_API_URL.

    Examples:  dao deploy    dao deploy --chain
    """
    from flows.console import fail
    from flows.deploying import deploy as run

    if pool not in ("process", "kubernetes"):
        fail(f"--pool {pool}: use process or kubernetes")
    run(chain=chain, silence_seconds=silence, pool=pool)
