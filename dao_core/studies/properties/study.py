"""The study of properties: does what DAO-P has learned from energies help where few labels are known?"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.studies.properties.folds import FOLDS, MP_LABELS, fold_file, packed, read_folds, separated, shortened
from dao_core.studies.properties.models import MODELS, Fitted, Folds, fit_cgcnn, fit_dao, fit_trees
from dao_core.studies.properties.settings import TARGETS, PropertyStudySettings
from dao_core.studies.study import Rows, Study, StudyError, identity_of
from dao_core.training.packed import PackedCrystals
from dao_core.training.property_config import PropertySettings

if TYPE_CHECKING:
    import pandas as pd

LEAST_VALIDATION = 20


def prepare(settings: PropertyStudySettings, folder: Path) -> dict[str, Any]:
    """Read and separate the folds of every target, and pack those rows that are used.

    Args:
        settings: Of the study.
        folder: Gets a packed file a target and fold.

    Returns:
        By target: rows of each fold, how many are used, and why others were refused or dropped.

    Raises:
        StudyError: There are fewer training rows than the smallest size.
        PropertyError: A column is missing or nothing usable is left.
    """
    limits = {"train": settings.sizes[-1], "val": settings.n_validation, "test": settings.n_test}
    facts: dict[str, Any] = {}
    for target in settings.targets:
        facts[target] = {}
        for name, rows in separated(read_folds(settings.data, target, settings.max_atoms)).items():
            used = shortened(rows, limits[name], settings.seed)
            packed(used).save(_file(folder, target, name))
            facts[target][name] = {"rows": len(rows.crystals), "used": len(used.crystals), "dropped": rows.refused}
        if facts[target]["train"]["used"] < settings.sizes[0]:
            raise StudyError(f"{facts[target]['train']['used']} training rows of {target}: lower `sizes`")
    return facts


def _file(folder: Path, target: str, fold: str) -> Path:
    return folder / f"{target}-{fold}.npz"


def parts(settings: PropertyStudySettings, folder: Path) -> list[str]:  # noqa: ARG001 - nothing is shared
    """A part a target and size, the largest size of all targets first: it decides."""
    return [f"{target} {size}" for size in reversed(settings.sizes) for target in settings.targets]


def measure(part: str, settings: PropertyStudySettings, folder: Path) -> dict[str, Rows]:
    """Train each model on some rows of one target and predict its test rows.

    Args:
        part: Target and number of training rows.
        settings: Of the study.
        folder: Of `prepare`.

    Returns:
        Tables `errors` (a row a model and test structure, absolute error in the target's unit) and `trainings`.
    """
    target, size = part.rsplit(" ", 1)[0], int(part.rsplit(" ", 1)[1])
    folds = _folds(folder, target, size)
    truth = folds.test.labels["value"].astype(np.float64)
    errors: Rows = []
    trainings: Rows = []
    for name, fit in _models(target, size, settings).items():
        begin = time.process_time()
        fitted = fit(folds)
        spent = round(time.process_time() - begin, 2)
        about = {"target": target, "size": size, "model": name}
        off = np.abs(fitted.predicted - truth)
        errors += [{**about, "row": i, "error": float(e) if np.isfinite(e) else None} for i, e in enumerate(off)]
        facts = {k: v for k, v in fitted.training.items() if k != "history"}
        trainings.append({**about, "train_rows": len(folds.train), "cpu_seconds": spent, **facts})
    return {"errors": errors, "trainings": trainings}


def _folds(folder: Path, target: str, size: int) -> Folds:
    """Rows of a part: the validation rows are at most a quarter of the training rows."""
    train, validation, test = (PackedCrystals.load(_file(folder, target, name)) for name in FOLDS)
    n_held = min(len(validation), max(LEAST_VALIDATION, size // 4))
    return Folds(train.take(np.arange(min(size, len(train)))), validation.take(np.arange(n_held)), test)


def _models(target: str, size: int, settings: PropertyStudySettings) -> dict[str, Callable[[Folds], Fitted]]:
    from dao_core.models.checkpoint_io import load_checkpoint

    seconds = max(settings.least_seconds, settings.seconds * size / settings.sizes[-1])
    tuned = PropertySettings.model_validate({
        "column": target, "transform": TARGETS[target].transform, "start": settings.checkpoint,
        "max_seconds": seconds, "max_epochs": 1000, "batch_size": settings.batch_size, "seed": settings.seed,
    })  # fmt: skip
    network = load_checkpoint(settings.checkpoint, kind="predictor").config["model"]
    fresh = PropertySettings.model_validate({**tuned.model_dump(), "start": None, "model": network})
    graph = fresh.model_copy(update={"head_learning_rate": settings.cgcnn_learning_rate})
    return {
        "fine-tuned": lambda folds: fit_dao(folds, tuned),
        "from scratch": lambda folds: fit_dao(folds, fresh),
        "cgcnn": lambda folds: fit_cgcnn(folds, graph),
        "trees": lambda folds: fit_trees(folds, tuned.transform, settings.seed),
    }


def summarise(
    tables: Mapping[str, pd.DataFrame], settings: PropertyStudySettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Mean absolute errors by target, size and model, and the fine-tuned model's advantage at the largest size.

    Args:
        tables: `errors` and `trainings` of all parts.
        settings: Of the study.
        facts: Of `prepare`.
    """
    errors, trainings = tables["errors"], tables["trainings"]
    targets = {
        target: _target(errors[errors["target"] == target], TARGETS[target].unit)
        for target in settings.targets
        if (errors["target"] == target).any()
    }
    spent = trainings.groupby(["size", "model"], sort=False)[["cpu_seconds", "epochs"]].mean().round(1).reset_index()
    return {
        "targets": targets,
        "n_targets": len(targets),
        "n_best": sum(t["best"] for t in targets.values()),
        "n_clearly_best": sum(t["clearly_best"] for t in targets.values()),
        "mean_training": spent.to_dict("records"),
        "data": dict(facts),
        "seed": settings.seed,
    }


def _target(errors: pd.DataFrame, unit: str) -> dict[str, Any]:
    sizes = sorted(errors["size"].unique().tolist())
    curves = {
        model: [_figure(size, errors[(errors["model"] == model) & (errors["size"] == size)]) for size in sizes]
        for model in MODELS
    }
    at_largest = errors[errors["size"] == errors["size"].max()]
    largest = at_largest.pivot_table(index="row", columns="model", values="error").dropna()
    less = {m: (largest["fine-tuned"] - largest[m]).to_numpy() for m in MODELS[1:]}
    gaps = {m: {"mean": float(d.mean()), "interval": bootstrap_mean(values=d)} for m, d in less.items()}
    return {
        "unit": unit,
        "curves": curves,
        "n": len(largest),
        "fine_tuned_less": gaps,
        "best": all(d.mean() < 0 for d in less.values()),
        "clearly_best": all(bootstrap_mean(values=d)[1] < 0 for d in less.values()),
    }


def _figure(size: int, rows: pd.DataFrame) -> dict[str, Any]:
    values = rows["error"].dropna().to_numpy()
    return {
        "size": size, "mae": float(values.mean()), "interval": list(bootstrap_mean(values=values)), "n_ok": len(values),
        "n_failed": len(rows) - len(values),
    }  # fmt: skip


def plot(tables: Mapping[str, pd.DataFrame], report: Mapping[str, Any], folder: Path) -> None:  # noqa: ARG001
    """Learning curves, a panel a target.

    Args:
        tables: Not used.
        report: The figures.
        folder: Gets `properties.png`.
    """
    from matplotlib.figure import Figure

    n = len(report["targets"])
    figure = Figure(figsize=(3.2 * n, 3), layout="constrained")
    for axis, (name, target) in zip(figure.subplots(1, n, squeeze=False)[0], report["targets"].items(), strict=True):
        for i, model in enumerate(MODELS):
            curve = target["curves"][model]
            x = [p["size"] * 1.04**i for p in curve]  # beside one another, or the bars hide one another
            y = np.array([p["mae"] for p in curve])
            ends = np.array([p["interval"] for p in curve]).T
            axis.errorbar(x, y, np.abs(ends - y), marker="o", ms=3, capsize=2, label=model)
        axis.set(xscale="log", yscale="log", title=name.replace("_", " "), xlabel="training rows")
        axis.set_ylabel(f"MAE, {target['unit']}")
        sizes = [p["size"] for p in target["curves"][MODELS[0]]]
        axis.set_xticks(sizes, [str(size) for size in sizes])
        axis.set_xticks([], minor=True)
    figure.axes[0].legend(fontsize="small")
    figure.savefig(folder / "properties.png", dpi=130)


def inputs(settings: PropertyStudySettings) -> dict[str, Any]:
    """What the results depend on beside the settings."""
    from dao_core.models.checkpoint_io import load_checkpoint

    files = {fold_file(settings.data, target, fold) for target in settings.targets for fold in FOLDS}
    if any(TARGETS[target].source == "mp" for target in settings.targets):
        files.add(settings.data / MP_LABELS)
    return {
        "files": identity_of(sorted(files)),
        "predictor": load_checkpoint(settings.checkpoint, kind="predictor").identity,
    }


STUDY = Study("properties", PropertyStudySettings, prepare, parts, measure, summarise, plot, inputs)
