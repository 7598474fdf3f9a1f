"""Starting a flow from the command line: settings checked first, the engine chosen, one line at the end."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import live_progress, quiet_libraries
from flows.cli.errors import fail, interruptible
from tasks.error_line import explain

if TYPE_CHECKING:
    from logging import LogRecord

    from tasks.config import Profile


def run_campaign(path: Path, root: Path | None, profile: str | None = None) -> None:
    """Run or continue the campaign of a settings file and say where the report is."""
    from tasks.config import CampaignConfig, load_config
    from tasks.preflight import preflight
    from tasks.run_log import find_runs

    changes: dict[str, Any] = {} if root is None else {"root": root}
    if profile is not None:
        changes["workers"] = load_profile(profile).workers.model_dump()
    config = load_config(path, CampaignConfig, **changes)
    quiet_libraries()
    preflight(config)
    from flows.campaign import campaign

    options = {"--root": root, "--profile": profile}
    given = [word for name, value in options.items() if value is not None for word in (name, str(value))]
    command = shlex.join(["dao", "campaign", str(path), *given])
    one_line_errors()
    with live_progress():
        campaign(config, command)
    print(f"report: {(config.root / 'report' / 'index.html').resolve()}")
    for folder, state in find_runs(config.root.parent):
        if folder == config.root and state.get("pid") == os.getpid():  # another one may work in the same folder
            # by its id: campaigns with other roots may have the same name
            print(f"stages: dao runs show {state['id']} --root {shlex.quote(str(config.root.parent))}")


def load_profile(name: str) -> Profile:
    """A profile by name (of those in configs/) or by file."""
    from importlib.resources import files

    from tasks.config import Profile, load_config

    path = Path(name)
    if path.suffix not in (".yaml", ".yml"):
        folder = Path(str(files("configs")))
        path = folder / f"profile-{name}.yaml"
        if not path.exists():
            known = ", ".join(sorted(p.stem.removeprefix("profile-") for p in folder.glob("profile-*.yaml")))
            fail(f"--profile {name}: use one of {known}, or a YAML file")
    return load_config(path, Profile)


def _one_line(record: LogRecord) -> bool:
    """Shorten a record: Prefect logs a traceback for every error, but where `explain` knows it one line is enough."""
    if record.exc_info and record.exc_info[1] is not None:
        message = explain(record.exc_info[1])
        if message is not None:
            record.msg, record.args, record.exc_info, record.exc_text = message, (), None, None
    return True


def one_line_errors() -> None:
    """Keep tracebacks of faults of the program, shorten mistakes of the user."""
    import logging

    for name in ("prefect.flow_runs", "prefect.task_runs"):
        logging.getLogger(name).addFilter(_one_line)


def campaign(
    config: Annotated[Path, typer.Argument(help="YAML settings, such as configs/campaign-demo.yaml.")],
    root: Annotated[Path | None, typer.Option(help="Folder of the run; default: the one in the settings.")] = None,
    profile: Annotated[
        str | None,
        typer.Option(help="Machine to run on: laptop, workstation, slurm, kubernetes, or a YAML file; default: here."),
    ] = None,
) -> None:
    """Build the database, train the models, screen and report, all in one; continues where it was interrupted.

    Example:  dao campaign configs/campaign-demo.yaml
    """
    with interruptible("the same command continues with the stage that was running"):
        run_campaign(config, root, profile)
