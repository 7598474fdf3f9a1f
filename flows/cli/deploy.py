"""`dao deploy`: the flows as deployments on a Prefect server."""

from __future__ import annotations

import os
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.errors import fail

if TYPE_CHECKING:
    from dao_core.crysdb.config import BuildConfig


def deploy(
    chain: Annotated[
        bool,
        typer.Option(
            "--chain", help="Start pretraining after each new CrysDB version, and validation after each screening."
        ),
    ] = False,
    silence: Annotated[
        float, typer.Option(min=90, help="Seconds without a heartbeat after which a run counts as crashed.")
    ] = 180.0,
    pool: Annotated[str, typer.Option(help="Type of the work pool, if it is new: process or kubernetes.")] = "process",
    crysdb: Annotated[
        Path | None,
        typer.Option(
            help="YAML settings of the database that is rebuilt and updated on schedule; default: those that the "
            "server has, on a new one the sample's."
        ),
    ] = None,
) -> None:
    """Register the work pool, deployments, schedules and automations with the Prefect server at PREFECT_API_URL.

    Examples:  dao deploy    dao deploy --chain --crysdb configs/crysdb-full.yaml
    """
    if pool not in ("process", "kubernetes"):
        fail(f"--pool {pool}: use process or kubernetes")
    database = None if crysdb is None else {"crysdb": crysdb_settings(crysdb)}
    register_deployments(chain=chain, silence_seconds=silence, pool=pool, database=database)


def crysdb_settings(path: Path) -> dict[str, Any]:
    """The settings of a database as plain values; relative paths in them count from the worker's DAO_HOME.

    Raises what reading and checking them raises; ends with one line where they hold a key.
    """
    from dao_core.crysdb.config import BuildConfig
    from flows.cli.crysdb import config_path
    from tasks.config import load_config

    config = load_config(config_path(path), BuildConfig)
    _refuse_keys(config, str(path))
    settings: dict[str, Any] = config.model_dump(mode="json", exclude_unset=True)
    return settings


def _refuse_keys(config: BuildConfig, where: str) -> None:
    """A server shows its parameters to anybody who reaches it, and would get the key's mask instead of the key."""
    for i, source in enumerate(config.sources):
        if getattr(source, "api_key", None) is not None:
            fail(
                f"{where}: sources.{i}.api_key: a schedule keeps no key: leave it out and set MP_API_KEY where the "
                "worker runs, or name a Prefect Secret block that holds it (api_key_block)"
            )


DATABASE = "rebuild-crysdb/rebuild-crysdb"


def kept_database() -> dict[str, Any] | None:
    """Parameters of the scheduled database as the server at PREFECT_API_URL has them, None where it has none.

    Ends with one line where this version cannot use them.
    """
    from pydantic import ValidationError

    import tasks.prefect_api  # noqa: F401 - Prefect's settings stand before it is imported
    from dao_core.settings_error import explain_settings
    from tasks.config import RebuildConfig

    from prefect.client.orchestration import get_client  # isort: skip
    from prefect.exceptions import ObjectNotFound  # isort: skip

    with get_client(sync_client=True) as client:
        try:
            kept: dict[str, Any] | None = client.read_deployment_by_name(DATABASE).parameters.get("config")
        except ObjectNotFound:
            return None
    if kept is not None:
        where = f"the settings of {DATABASE} on the server"
        try:
            _refuse_keys(RebuildConfig.model_validate(kept).crysdb, where)
        except ValidationError as error:
            fail(f"{where} do not fit this version ({explain_settings(error)}): give yours anew with --crysdb FILE")
    return kept


SILENCE = "dao: a run without a heartbeat has crashed"


HEARTBEAT = "prefect.flow-run.heartbeat"


ENDED = tuple(f"prefect.flow-run.{state}" for state in ("Completed", "Failed", "Cancelled", "Crashed", "Paused"))


def register_deployments(
    *, chain: bool, silence_seconds: float, pool: str = "process", database: dict[str, Any] | None = None
) -> None:
    """Make the server know the flows. Repeating it changes what changed; without `chain` events start nothing.

    Without `database` the scheduled one keeps the parameters that the server has: every start of a server comes here.

    Raises PreflightError where no server of this version answers.
    """
    if not os.environ.get("PREFECT_API_URL"):
        fail("PREFECT_API_URL is not set: start a server (make server) and export what it prints")
    import tempfile

    from flows.deployments import deployments, prefect_yaml
    from tasks.preflight import check_server

    check_server()
    database = database or kept_database()
    _work_pool(pool)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "prefect.yaml"
        path.write_text(prefect_yaml(chain=chain, database=database))
        _prefect("--no-prompt", "deploy", "--all", "--prefect-file", str(path))
    crash_on_silence(silence_seconds)
    for d in deployments():
        when = d.cron or (f"after {d.after['expect'][0]}" if d.after and chain else "on demand")
        print(f"{d.entrypoint.split(':')[1].replace('_', '-')}/{d.name}: queue {d.queue}, {when}")
    print(f"start one: prefect deployment run campaign/campaign; silent runs are crashed after {silence_seconds:.0f} s")


def crash_on_silence(seconds: float) -> None:
    """The automation that self-hosted servers lack: a running flow without a sign of life is marked crashed."""
    import tasks.prefect_api  # noqa: F401 - Prefect's settings stand before it is imported

    from prefect.automations import Automation  # isort: skip
    from prefect.events.actions import ChangeFlowRunState  # isort: skip
    from prefect.events.schemas.automations import EventTrigger, Posture  # isort: skip
    from prefect.states import StateType  # isort: skip

    message = f"no heartbeat for {seconds:.0f} s: its process is gone; run it again, finished stages are kept"
    wanted: dict[str, Any] = {
        "name": SILENCE,
        "description": "A killed worker or a dead machine can't say that its runs have ended.",
        "trigger": EventTrigger(
            match={"prefect.resource.id": "prefect.flow-run.*"},
            for_each={"prefect.resource.id"},
            after={HEARTBEAT},
            expect={HEARTBEAT, *ENDED},
            posture=Posture.Proactive,
            threshold=1,
            within=timedelta(seconds=seconds),
        ),
        "actions": [ChangeFlowRunState(name="Crashed", state=StateType.CRASHED, message=message)],
    }
    try:
        found: Any = Automation.read(name=SILENCE)
    except ValueError:
        Automation(**wanted).create()
        return
    for key, value in wanted.items():
        setattr(found, key, value)
    found.update()


def _work_pool(kind: str) -> None:
    """The pool: processes on the workers' machines, or a Kubernetes job a run. One that is there stays as it is."""
    from flows.deployments import POOL, ROOT

    known = subprocess.run(_command("work-pool", "inspect", POOL), capture_output=True, check=False)
    if known.returncode == 0:
        return
    template = ROOT / "infra" / "kubernetes" / "job-template.json"
    extra = ("--base-job-template", str(template)) if kind == "kubernetes" else ()
    _prefect("work-pool", "create", POOL, "--type", kind, *extra)


def _command(*arguments: str) -> list[str]:
    return [sys.executable, "-m", "prefect", *arguments]


def _prefect(*arguments: str) -> None:
    """One of Prefect's own commands; its output only where it fails."""
    from flows.deployments import ROOT

    done = subprocess.run(_command(*arguments), capture_output=True, text=True, cwd=ROOT, check=False)
    if done.returncode:
        fail(f"prefect {' '.join(arguments[:3])} failed: {(done.stderr or done.stdout)[-500:]}")
