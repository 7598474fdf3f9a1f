"""`dao finetune ...`: DAO-P learns a property from a table of structures, and predicts it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

app = typer.Typer(help="Fine-tune DAO-P on a property.", no_args_is_help=True, rich_markup_mode=None)


@app.command("property")
def property_(
    data: Annotated[Path, typer.Argument(help="Parquet or CSV file, or a CrysDB table folder.")],
    column: Annotated[str, typer.Option(help="The scalar column to learn.")],
    config: Annotated[Path | None, typer.Option(help="YAML settings; default: those of the package.")] = None,
    log: Annotated[bool, typer.Option("--log", help="Learn the natural logarithm (positive values).")] = False,
    folds: Annotated[int | None, typer.Option(min=2, help="Parts by formula; each gives one member.")] = None,
    compare: Annotated[bool, typer.Option("--compare", help="Train the same network from scratch too.")] = False,
    root: Annotated[Path, typer.Option(help="Folder of the run; a killed one continues with the next fold.")] = Path(
        "runs/finetune"
    ),
) -> None:
    """Fine-tune DAO-P on a scalar column: folds by formula, a new head, early stopping.

    Examples:  dao finetune property moduli.parquet --column bulk_modulus --log --compare
    """
    from flows.finetuning import finetune_file

    changes = {"column": column, **({"transform": "log"} if log else {}), **({"folds": folds} if folds else {})}
    finetune_file(data, config, changes, root, compare=compare)


@app.command()
def predict(
    model: Annotated[Path, typer.Argument(help="Folder that `dao finetune property` printed.")],
    files: Annotated[list[Path], typer.Argument(help="CIF or extxyz files.")],
) -> None:
    """Predict the fine-tuned property of structures; the spread is that of the members.

    Example:  dao finetune predict runs/finetune/ledger/property-model/KEY/model a.cif b.cif
    """
    from flows.finetuning import predict_files

    raise typer.Exit(predict_files(model, files))
