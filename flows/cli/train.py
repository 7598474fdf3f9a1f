"""`dao train`: the generator's two stages and the energy model, on a view of CrysDB."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import typer

from flows.cli.console import live_progress, quiet_libraries
from flows.cli.errors import interruptible

app = typer.Typer(
    help="Train the generator DAO-G (stage 1, then stage 2) and the energy model DAO-P.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Config = Annotated[Path, typer.Argument(help="YAML settings, such as configs/train-laptop.yaml.")]
Table = Annotated[Path, typer.Option(help="CrysDB table to train on.")]
Version = Annotated[int | None, typer.Option(help="Version of the table; default: the newest.")]
Root = Annotated[Path, typer.Option(help="Folder of the run; after an interruption the same command continues there.")]
TABLE, ROOT = Path("runs/crysdb/table"), Path("runs/train")


@app.command()
def stage1(config: Config, table: Table = TABLE, version: Version = None, root: Root = ROOT) -> None:
    """Train the generator DAO-G, stage 1: on all leak-free structures, stable and unstable.

    Example:  dao train stage1 configs/train-laptop.yaml --table runs/crysdb/table
    """
    train("stage1", Training(config, table, version, root))


@app.command()
def predictor(config: Config, table: Table = TABLE, version: Version = None, root: Root = ROOT) -> None:
    """Train the energy model DAO-P on leak-free structures and frames of relaxations.

    Example:  dao train predictor configs/train-predictor-laptop.yaml --table runs/crysdb/table
    """
    train("predictor", Training(config, table, version, root))


@app.command()
def stage2(
    config: Config,
    start: Annotated[Path, typer.Option(help="Checkpoint folder of stage 1.")],
    table: Table = TABLE,
    version: Version = None,
    root: Root = ROOT,
) -> None:
    """Train the generator DAO-G, stage 2: on relaxed structures, starting from a checkpoint of stage 1.

    Example:  dao train stage2 configs/train-laptop.yaml --start runs/train/ledger/train-generator/KEY/checkpoint
    """
    train("stage2", Training(config, table, version, root, start))


@dataclass(frozen=True)
class Training:
    """What a command trains: the settings file, the table and its version, the folder, the earlier checkpoint."""

    config: Path
    table: Path
    version: int | None
    root: Path
    start: Path | None = None


def train(stage: Literal["stage1", "predictor", "stage2"], asked: Training) -> None:
    """Train and print where the checkpoint is. Raises CheckpointError, TableError and TrainingDataError."""
    from dao_core.models.checkpoint_io import resolve
    from dao_core.training.config import TrainingConfig
    from tasks.config import load_config
    from tasks.run_log import record_command

    settings = load_config(asked.config, TrainingConfig)
    quiet_libraries()
    from tasks.crysdb import open_table
    from tasks.preflight import check_training
    from tasks.training import fit_generator_stage, fit_predictor_stage

    table, root = open_table(asked.table, asked.version), str(asked.root)
    check_training("settings", settings)
    hint = "the same command continues at the last checkpoint"
    with interruptible(hint), record_command(asked.root, f"train-{stage}") as run, live_progress():
        if stage == "predictor":
            done = run.step("train DAO-P", fit_predictor_stage, table, settings, root)
        else:
            view: Literal["leak_free", "relaxed"] = "leak_free" if stage == "stage1" else "relaxed"
            # absolute, because it becomes text in the settings, where a bare name is a checkpoint that ships
            start = None if asked.start is None else resolve(asked.start).absolute()
            options: dict[str, Any] = {"view": view, "start_from": start}
            done = run.step(f"train DAO-G, {stage}", fit_generator_stage, table, settings, root, **options)
    print(f"checkpoint: {done.file('checkpoint')}")
    for name, value in done.facts.items():
        print(f"{name}: {value}")
