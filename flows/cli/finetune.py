"""`dao finetune ...`: DAO-P learns a property from a table of structures, and predicts it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table, working
from flows.cli.errors import fail, interruptible

app = typer.Typer(help="Fine-tune DAO-P on a property, and predict it.", no_args_is_help=True, rich_markup_mode=None)


@app.command("property")
def property_(
    data: Annotated[Path, typer.Argument(help="Parquet or CSV file of structures, or a CrysDB table folder.")],
    column: Annotated[str, typer.Option(help="Column of numbers to learn.")],
    config: Annotated[Path | None, typer.Option(help="YAML settings; default: the shipped ones.")] = None,
    log: Annotated[
        bool, typer.Option("--log", help="Learn the natural logarithm; all values must be positive.")
    ] = False,
    folds: Annotated[
        int | None,
        typer.Option(
            min=2, help="Folds, split by formula; each trains one model of the ensemble; default: as in the settings."
        ),
    ] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Also train the same network from scratch.")] = False,
    root: Annotated[
        Path, typer.Option(help="Folder of the run; after an interruption it continues with the next fold.")
    ] = Path("runs/finetune"),
) -> None:
    """Fine-tune DAO-P on a column of numbers and measure its error by cross-validation.

    Examples:  dao finetune property moduli.parquet --column bulk_modulus --log --compare
    """
    changes = {"column": column, **({"transform": "log"} if log else {}), **({"folds": folds} if folds else {})}
    with working(f"fine-tune {column}"):
        finetune_file(data, config, changes, root, compare=compare)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `dao finetune property` printed.")],
    files: Annotated[
        list[Path], typer.Argument(help="Structure files: CIF, extended xyz, POSCAR, JSON, CSV or Parquet.")
    ],
) -> None:
    """Predict a fine-tuned property of structures, with the spread of the ensemble.

    Example:  dao finetune predict runs/finetune/ledger/property-model/KEY/model a.cif b.cif
    """
    with working("predict"):
        status = predict_files(model, files)
    raise typer.Exit(status)


DEFAULT = "finetune-property.yaml"


def finetune_file(data: Path, config: Path | None, changes: Mapping[str, Any], root: Path, *, compare: bool) -> None:
    """Train all folds and print the out-of-fold error beside the mean's and, on request, that from scratch.

    Args:
        data: Parquet, CSV or a CrysDB table.
        config: YAML settings; those of the package if None.
        changes: Settings that override them.
        root: Folder of the run.
        compare: Whether the same network is trained from fresh weights too.

    Raises:
        PropertyError: The rows cannot be used.
        CheckpointError: The predictor to start from cannot be read.
    """
    from importlib.resources import files as package_files

    from dao_core.training.property_config import PropertySettings
    from tasks.config import load_config

    path = config or Path(str(package_files("configs") / DEFAULT))
    settings = load_config(path, PropertySettings, **changes)
    quiet_libraries()
    from tasks.finetuning import fold_stage, model_stage, rows_stage
    from tasks.run_log import record_command

    variants = [("fine-tuned", settings)]
    if compare and settings.start is not None:
        variants.append(("from scratch", _from_scratch(settings)))
    lines: list[tuple[object, ...]] = []
    hint = "the same command continues with the next fold"
    with interruptible(hint), record_command(root, f"finetune-{settings.column}"):
        rows = rows_stage(data, settings, str(root))
        print(f"rows: {rows.counts}")
        for name, variant in variants:
            folds = []
            for number in range(variant.folds):
                folds.append(fold_stage(number, rows, variant, str(root)))
                print(f"{name}, fold {number + 1} of {variant.folds}: {_fold(folds[-1].facts)}", flush=True)
            done = model_stage(rows, folds, variant, str(root))
            if not lines:
                lines.append(_line("mean of the training rows", done.facts["mean_baseline"], done.counts, None))
            lines.append(_line(name, done.facts, done.counts, str(done.file("model"))))
    columns = ("model", "MAE", "95 % interval", "median error", "R2", "n", "failed", "folder")
    table(f"{settings.column}: error on rows of formulas that the model never saw", columns, lines)


def _from_scratch(settings: Any) -> Any:
    """The same network with fresh weights."""
    from dao_core.models.checkpoint_io import load_checkpoint

    model = load_checkpoint(settings.start, kind="predictor").config["model"]
    return settings.model_validate({**settings.model_dump(), "start": None, "model": model})


def _fold(facts: Mapping[str, Any]) -> str:
    return (
        f"validation MAE {facts['validation_mae']:.4g} at epoch {facts['best_epoch']} of {facts['epochs']}, "
        f"{facts['seconds']} s"
    )


def _line(name: str, figures: Mapping[str, Any], counts: Mapping[str, int], folder: str | None) -> tuple[object, ...]:
    low, high = figures["interval"]
    r2 = figures["r2"]
    return (
        name,
        f"{figures['mae']:.4g}",
        f"{low:.4g} to {high:.4g}",
        f"{figures['median']:.4g}",
        None if r2 is None else f"{r2:.3f}",
        counts["n_ok"],
        counts["n_failed"],
        folder,
    )


def predict_files(model: Path, paths: Sequence[Path]) -> int:
    """Print the property of each file.

    Args:
        model: Folder of the model.
        paths: CIF or extxyz files.

    Returns:
        0, or 1 where at least one file has none.
    """
    from dao_core.energy.property import PropertyModel
    from dao_core.readers.base import Refusal
    from dao_core.readers.read import rows_of_files

    quiet_libraries()
    loaded = PropertyModel.load(model)
    rows: list[tuple[object, ...]] = []
    for _, row in rows_of_files(paths):
        if isinstance(row.value, Refusal):
            rows.append((row.where, None, None, None, f"unreadable: {row.value.reason}"))
            continue
        p = loaded.predict([row.value])[0]
        value, std = (None if x is None else f"{x:.4g}" for x in (p.value, p.std))
        note = "; ".join(filter(None, [p.reason, *row.notes])) or None
        rows.append((row.where, value, std, f"{p.n_members} of {len(loaded.networks)}" if p.n_members else None, note))
    if all(line[1] is None for line in rows):
        fail(f"none of {len(rows)} structures has a prediction; the first, {rows[0][0]}: {rows[0][-1]}")
    columns = ("file", loaded.column, "spread", "answers", "reason")
    # the column of the spread is there even where nothing fills it: one member alone has none, which is not 0
    shown = [(where, value, std or "-", *rest) for where, value, std, *rest in rows]
    title = f"{loaded.column} ({len(loaded.networks)} members)"
    table(title, columns, shown, values=[dict(zip(columns, row, strict=True)) for row in rows])
    return 1 if any(line[1] is None for line in rows) else 0
