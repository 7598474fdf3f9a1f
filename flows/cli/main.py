"""The `dao` command. Everything heavy is imported inside the commands: `dao --help` answers at once."""

from __future__ import annotations

import copy
import io
import os
import sys
from collections.abc import Sequence
from typing import Any

import typer

from flows.cli import (
    benchmark,
    campaign,
    crysdb,
    deploy,
    finetune,
    library,
    predict,
    relax,
    runs,
    screen,
    study,
    train,
    validate,
)
from flows.cli.console import json_output, quiet_libraries
from flows.cli.errors import fail, interruptible
from tasks.error_line import explain

app = typer.Typer(
    name="dao",
    help="Predict crystal structures: from a chemical formula to ranked structures.\n\n"
    "First steps:  dao predict SrTiO3    dao campaign configs/campaign-demo.yaml    dao COMMAND --help\n\n"
    "With --json, every command that prints a table prints it as JSON. Exit codes: 0 done; 1 done, but some results\n"
    "are missing; 2 a mistake in what was typed; 130 stopped by Ctrl-C; 143 stopped by SIGTERM.",
    no_args_is_help=True,
    rich_markup_mode=None,  # rich's help would take half of the start-up time
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110},
)
app.add_typer(crysdb.app, name="crysdb")
app.add_typer(library.app, name="library")
app.add_typer(train.app, name="train")
app.add_typer(finetune.app, name="finetune")
app.add_typer(runs.app, name="runs")
app.add_typer(validate.app, name="validate")
app.add_typer(benchmark.app, name="benchmark")
for command in (
    predict.predict,
    screen.screen,
    relax.relax,
    campaign.campaign,
    study.study,
    runs.status,
    deploy.deploy,
):
    app.command()(command)


@app.callback()
def _dao() -> None:
    """Without a callback Typer would take a part with one command for that command."""


def needed(arguments: Sequence[str]) -> typer.Typer:
    """The part of `app` that a command line needs: to declare every option of every command takes a third of the start.

    Args:
        arguments: What was typed after `dao`.

    Returns:
        The named command alone; where there is none or `--help`, all commands without their options; for anything else
        (completion, a mistyped name) all of `app`.
    """
    first = arguments[0] if arguments else "--help"
    part = copy.copy(app)
    if first in ("-h", "--help") and "_DAO_COMPLETE" not in os.environ:
        part.registered_commands = [_without_options(c) for c in app.registered_commands]
        part.registered_groups = [_without_commands(g) for g in app.registered_groups]
        return part
    part.registered_commands = [c for c in app.registered_commands if c.callback and c.callback.__name__ == first]
    part.registered_groups = [g for g in app.registered_groups if g.name == first]
    return part if part.registered_commands or part.registered_groups else app


def _without_options(command: Any) -> Any:
    def stand_in() -> None: ...

    stand_in.__name__, stand_in.__doc__ = command.callback.__name__, command.callback.__doc__
    bare = copy.copy(command)
    bare.callback = stand_in
    return bare


def _without_commands(group: Any) -> Any:
    bare = copy.copy(group)
    bare.typer_instance = copy.copy(group.typer_instance)
    bare.typer_instance.registered_commands, bare.typer_instance.registered_groups = [], []
    return bare


def main() -> None:
    """Entry point of the console script: user errors become one line and status 2, faults keep their traceback.

    Exit codes: 0 done; 1 done, but something that was asked for could not be had (no structure, a failed check); 2 a
    mistake of the user; 130 ended by Ctrl-C; 143 ended by SIGTERM.
    """
    # Before torch is imported: two threads of one process spin against anything else that runs (8x slower, measured).
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    os.environ.setdefault("SPGLIB_WARNING", "OFF")  # spglib prints to stderr for every structure it gives up on
    quiet_libraries()  # before the first formula: pymatgen warns of the elements in it
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # a file's name need not be UTF-8, and stderr does the same
    try:
        with interruptible("the same command starts again, with what was finished"), json_output(sys.argv):
            needed(sys.argv[1:])()
    except Exception as error:
        message = explain(error)
        if message is None:
            raise
        fail(message)


if __name__ == "__main__":
    main()
