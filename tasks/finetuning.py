"""Tasks of a property fine-tuning: the rows read and packed, one member for each fold, the model with its figures."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import StageRecord, content_key, file_sha256, write_atomic
from dao_core.code_version import code_version
from dao_core.training.property_config import PropertySettings
from tasks.crysdb import ledger_of, open_table
from tasks.prefect_api import task

PACKED, GROUPS, RESULT, REPORT, MODEL = "rows.npz", "groups.json", "result.json", "report.json", "model"


@task(name="read property rows")
def read_rows(data: Path, settings: PropertySettings, root: str) -> StageRecord:
    """Pack the usable rows once; counts say how many were refused.

    Args:
        data: Parquet, CSV or a CrysDB table.
        settings: Which column.
        root: Folder of the run.
    """
    return rows_stage(data, settings, root)


@task(name="train property fold")
def train_fold(fold: int, rows: StageRecord, settings: PropertySettings, root: str) -> StageRecord:
    """One member, trained without its fold, and its predictions there.

    Args:
        fold: Its number.
        rows: Of `read_rows`.
        settings: How.
        root: Folder of the run.
    """
    return fold_stage(fold, rows, settings, root)


@task(name="assemble property model")
def assemble(rows: StageRecord, folds: list[StageRecord], settings: PropertySettings, root: str) -> StageRecord:
    """All members in one folder, and the out-of-fold error beside the mean's.

    Args:
        rows: Of `read_rows`.
        folds: Of `train_fold`, in order.
        settings: How they were trained.
        root: Folder of the run.
    """
    return model_stage(rows, folds, settings, root)


def rows_stage(data: Path, settings: PropertySettings, root: str) -> StageRecord:
    """The ledger stage behind `read_rows`.

    Args:
        data: Parquet, CSV or a CrysDB table.
        settings: Which column.
        root: Folder of the run.

    Raises:
        PropertyError: There is nothing usable.
    """
    from dao_core.training.packed import PackedCrystals
    from dao_core.training.property_data import read_property

    def work(directory: Path) -> dict[str, Any]:
        rows = read_property(data, settings.column)
        PackedCrystals.from_crystals(rows.crystals, value=rows.labels.tolist()).save(directory / PACKED)
        write_atomic(directory / GROUPS, json.dumps(rows.groups))
        n_failed = sum(rows.refused.values())
        return {"counts": {"n_ok": len(rows.crystals), "n_failed": n_failed, **rows.refused}}

    key = content_key(
        data=str(data), identity=_identity(data), column=settings.column, code=code_version(read_property)
    )
    return ledger_of(root).run("property-rows", key, work)


def _identity(path: Path) -> str:
    """Hash of the content of a file, or of a table's newest version. Raises PropertyError where there is nothing."""
    from dao_core.energy.property import PropertyError

    if not path.exists():
        raise PropertyError(f"{path} does not exist: give a CrysDB table, a Parquet or a CSV file")
    return file_sha256(path) if path.is_file() else open_table(path).key


def fold_stage(fold: int, rows: StageRecord, settings: PropertySettings, root: str) -> StageRecord:
    """The ledger stage behind `train_fold`; a killed run repeats only the fold that was in work.

    Args:
        fold: Its number.
        rows: Of `rows_stage`.
        settings: How.
        root: Folder of the run.
    """
    from dao_core.models.checkpoint_io import load_checkpoint
    from dao_core.training.fit_property import PropertyData, finetune_fold
    from dao_core.training.packed import PackedCrystals

    def work(directory: Path) -> dict[str, Any]:
        groups = json.loads(rows.file(GROUPS).read_text())
        data = PropertyData(PackedCrystals.load(rows.file(PACKED)), groups)
        result = finetune_fold(data, fold, settings, directory / MODEL, card=_card(rows, settings))
        write_atomic(directory / RESULT, json.dumps(result))
        return {"counts": {"n": len(result["rows"])}, "facts": result["training"]}

    start = None if settings.start is None else load_checkpoint(settings.start, kind="predictor").identity
    key = content_key(rows=rows.key, fold=fold, settings=settings, start=start, code=code_version(finetune_fold))
    return ledger_of(root).run("property-fold", key, work)


def model_stage(rows: StageRecord, folds: list[StageRecord], settings: PropertySettings, root: str) -> StageRecord:
    """The ledger stage behind `assemble`.

    Args:
        rows: Of `rows_stage`.
        folds: Of `fold_stage`, in order.
        settings: How they were trained.
        root: Folder of the run.
    """
    from dao_core.evaluate.properties import property_errors
    from dao_core.training.fit_property import fold_of
    from dao_core.training.packed import PackedCrystals

    def work(directory: Path) -> dict[str, Any]:
        labels = PackedCrystals.load(rows.file(PACKED)).labels["value"].astype(np.float64)
        predicted = np.full(len(labels), np.nan)
        for number, record in enumerate(folds):
            result = json.loads(record.file(RESULT).read_text())
            predicted[result["rows"]] = result["predicted"]
            shutil.copytree(record.file(MODEL), directory / MODEL / f"fold-{number}")
        sides = fold_of(json.loads(rows.file(GROUPS).read_text()), settings.folds, settings.seed)
        trivial = np.array([labels[sides != s].mean() for s in sides])
        figures, n_ok, n_failed, _ = property_errors(predicted=predicted, labels=labels)
        mean = property_errors(predicted=trivial, labels=labels)[0]
        report = {"column": settings.column, "start": settings.start, **figures, "mean_baseline": mean}
        write_atomic(directory / REPORT, json.dumps(report, indent=1))
        return {"counts": {"n_ok": n_ok, "n_failed": n_failed}, "facts": report}

    key = content_key(folds=[f.key for f in folds], code=code_version(property_errors, fold_of))
    return ledger_of(root).run("property-model", key, work)


def _card(rows: StageRecord, settings: PropertySettings) -> str:
    lines = [
        f"# {settings.column}, fine-tuned from {settings.start or 'fresh weights'}",
        "",
        f"- {rows.counts['n_ok']} rows (ledger key {rows.key}), {settings.folds} folds by formula.",
        f"- Learned as {'natural logarithm, ' if settings.transform == 'log' else ''}z-score; predictions are in the "
        "column's own unit.",
        "- The licence of the rows is the user's to state. Elements outside the training data are refused.",
    ]
    return "\n".join(lines) + "\n"
