"""Do structures that DAO-G generates help DAO-P to learn critical temperatures? Folds by composition, paired arms."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.evaluate.statistics import bootstrap_mean
from dao_core.studies.polymorphs.compositions import leaks_into_training
from dao_core.studies.retraining import Retraining, tuned_generator
from dao_core.studies.study import Rows, StudyError
from dao_core.studies.superconductors.added import add_structures, proposers
from dao_core.studies.superconductors.crystals import CRYSTALS, reference
from dao_core.studies.superconductors.settings import SuperconductorSettings, TcSettings
from dao_core.studies.superconductors.tc_data import read_compositions, read_measured
from dao_core.training.packed import PackedCrystals
from dao_core.training.property_config import PropertySettings

if TYPE_CHECKING:
    import pandas as pd

ALONE, ADDED = "measured", ("generated", "templates")
ARMS = (ALONE, *ADDED)
MEASURED_FILE, STRUCTURES_FILE = "measured.npz", "learned.parquet"
PUBLISHED_K = {"Zr16Pd8O4": 2.73, "Zr16Rh8O4": 3.73}
PART = "log Tc"


def prepare_tc(settings: SuperconductorSettings, tc: TcSettings, folder: Path) -> dict[str, Any]:
    """Read the temperatures, fine-tune DAO-G, add structures to the compositions that have none.

    Args:
        settings: Of the study.
        tc: Of this part of it.
        folder: Gets the packed rows and the fine-tuned generator.

    Returns:
        Counts of what is used and why other rows are not, the leak audit of all that is learned from.

    Raises:
        StudyError: There is too little data, or the audit finds a held-out composition.
    """
    from dao_core.energy.predictor import DaoPotential

    held_out = {reference(name).formula_reduced for name in CRYSTALS}
    rows, left = read_measured(settings.data, tc.max_atoms, held_out)
    order = np.random.default_rng(settings.seed).permutation(len(rows))[: tc.limit or None]
    used = [rows[int(i)] for i in order]
    known = {row.crystal.formula_reduced for row in rows} | held_out
    compositions, not_added = read_compositions(settings.data, tc.max_atoms, known)
    shuffled = np.random.default_rng(settings.seed).permutation(len(compositions))
    how = Retraining(settings.generator, tc.generator_seconds, settings.seed)
    crystals = [row.crystal for row in used]  # their temperatures are not looked at
    training = tuned_generator(crystals, how, folder / "generator", "superconductors with a structure")
    arms = proposers(folder / "generator", settings, tc)
    added, counts = add_structures(
        (compositions[int(i)] for i in shuffled), arms, DaoPotential.load(tc.predictor), tc
    )  # fmt: skip
    if not added:
        raise StudyError(f"no composition of {len(compositions)} got a structure from every arm: {counts}")
    measured = PackedCrystals.from_crystals(
        [row.crystal for row in used], value=[float(np.log(row.tc)) for row in used]
    )
    measured.save(folder / MEASURED_FILE)
    for arm, packed in added.items():
        packed.save(folder / f"{arm}.npz")
    return {
        "measured": {"rows": len(rows), "used": len(used), "left_out": left},
        "compositions": {"rows": len(compositions), "left_out": not_added, **counts},
        "generator_training": training,
        "leak_audit": audited([measured, *added.values()], held_out, folder),
    }


def audited(sets: list[PackedCrystals], held_out: set[str], folder: Path) -> list[dict[str, Any]]:
    """The leak audit of all rows that DAO-G's and DAO-P's fine-tuning see.

    Args:
        sets: The rows.
        held_out: Reduced formulas that must not be among them.
        folder: Gets the structures that are audited.

    Returns:
        The audit's table.

    Raises:
        StudyError: A held-out composition is among them.
    """
    import pandas as pd

    crystals = [packed.crystal(i) for packed in sets for i in range(len(packed))]
    pd.DataFrame({
        "material_id": [f"row {i}" for i in range(len(crystals))],
        "atomic_numbers": [c.atomic_numbers for c in crystals],
        "lattice": [c.lattice.ravel() for c in crystals],
        "frac_coords": [c.frac_coords.ravel() for c in crystals],
    }).to_parquet(folder / STRUCTURES_FILE)  # fmt: skip
    seen, table = leaks_into_training(folder / STRUCTURES_FILE, held_out, "critical temperatures")
    if seen:
        raise StudyError(f"held-out compositions among the rows of critical temperatures: {', '.join(sorted(seen))}")
    return table


def tc_parts(tc: TcSettings) -> list[str]:
    """A part a fold and seed, all folds of a seed first."""
    return [f"{PART} fold {fold} seed {seed}" for seed in tc.seeds for fold in range(tc.folds)]


def measure_tc(part: str, settings: SuperconductorSettings, tc: TcSettings, folder: Path) -> dict[str, Rows]:
    """Train every arm without one fold and predict that fold and the held-out crystals.

    Args:
        part: Of `tc_parts`.
        settings: Of the study.
        tc: Of this part of it.
        folder: Of `prepare_tc`.

    Returns:
        Tables `tc_errors` (absolute error of ln Tc, a row a structure and arm) and `tc_held_out` (ln Tc predicted).
    """
    words = part.split()
    fold, seed = int(words[3]), int(words[5])
    measured = PackedCrystals.load(folder / MEASURED_FILE)
    train, validation, rows = fold_rows(measured, fold, tc, settings.seed)
    truth = measured.labels["value"][rows].astype(np.float64)
    tested = [measured.crystal(int(i)) for i in rows]
    held_out = {name: reference(name) for name in settings.crystals if name in PUBLISHED_K}
    out: dict[str, Rows] = {"tc_errors": [], "tc_held_out": []}
    for arm in ARMS:
        added = (
            train if arm == ALONE else PackedCrystals.concatenate([train, PackedCrystals.load(folder / f"{arm}.npz")])
        )
        epochs = max(1, round(tc.epochs * len(train) / len(added)))
        predicted = _predictions((added, validation), _settings(tc, seed, epochs), [*tested, *held_out.values()])
        about = {"fold": fold, "seed": seed, "arm": arm}
        error = np.abs(predicted[: len(rows)] - truth)
        out["tc_errors"] += [{**about, "row": int(i), "error": float(e)} for i, e in zip(rows, error, strict=True)]
        out["tc_held_out"] += [
            {**about, "crystal": n, "ln_tc": float(v)} for n, v in zip(held_out, predicted[len(rows) :], strict=True)
        ]
    return out


def fold_rows(
    data: PackedCrystals, fold: int, tc: TcSettings, seed: int
) -> tuple[PackedCrystals, PackedCrystals, np.ndarray]:
    """Training and validation rows of a fold, and the numbers of the rows that it holds out, whole compositions each.

    Args:
        data: All measured rows.
        fold: Which.
        tc: Number of folds.
        seed: Of the cut: the same for every seed of the trainings.
    """
    from dao_core.training.fit_property import PropertyData, fold_of

    groups = [data.crystal(i).formula_reduced for i in range(len(data))]
    cut = _settings(tc, seed, 1)
    train, validation = PropertyData(data, groups).split(fold, cut)
    return train, validation, np.flatnonzero(fold_of(groups, tc.folds, seed) == fold)


def _settings(tc: TcSettings, seed: int, epochs: int) -> PropertySettings:
    return PropertySettings(
        column="ln_tc", start=tc.predictor, folds=tc.folds, batch_size=tc.batch_size, max_epochs=epochs,
        patience=epochs, seed=seed,
    )  # fmt: skip


def _predictions(rows: tuple[PackedCrystals, PackedCrystals], settings: PropertySettings, crystals: list[Any]) -> Any:
    from dao_core.studies.properties.models import Folds, fit_dao

    asked = PackedCrystals.from_crystals(crystals, value=[0.0] * len(crystals))
    return fit_dao(Folds(rows[0], rows[1], asked), settings).predicted


def summarise_tc(tables: Mapping[str, pd.DataFrame], facts: Mapping[str, Any]) -> dict[str, Any]:
    """Errors by arm, paired differences over compositions, temperatures of the held-out crystals.

    Args:
        tables: `tc_errors` and `tc_held_out` of the parts that are done.
        facts: Of `prepare_tc`.
    """
    errors = tables["tc_errors"]
    by_row = errors.pivot_table(index="row", columns="arm", values="error")  # mean over seeds
    arms = {arm: _mean(by_row[arm].to_numpy()) for arm in ARMS}
    less = {arm: _mean((by_row[arm] - by_row[ALONE]).to_numpy()) for arm in ADDED}
    seeds = errors.groupby(["seed", "arm"])["error"].mean().unstack().round(4)  # noqa: PD010 - one value a cell
    return {
        "mae_ln_tc": arms,
        "less_than_measured_alone": less,
        "by_seed": {str(seed): row for seed, row in seeds.to_dict("index").items()},
        "n": len(by_row),
        "held_out": _held_out(tables["tc_held_out"]),
        "data": dict(facts),
    }


def _mean(values: np.ndarray) -> dict[str, Any]:
    return {"mean": float(values.mean()), "interval": bootstrap_mean(values=values)}


def _held_out(rows: pd.DataFrame) -> dict[str, Any]:
    """Geometric mean over the members of an arm, and the factor of their spread."""
    out: dict[str, Any] = {}
    for name in dict.fromkeys(rows["crystal"]) if len(rows) else ():
        values = {arm: rows[(rows["crystal"] == name) & (rows["arm"] == arm)]["ln_tc"] for arm in ARMS}
        predicted = {
            arm: {"kelvin": float(np.exp(v.mean())), "factor": float(np.exp(v.std(ddof=0))), "members": len(v)}
            for arm, v in values.items()
        }
        out[str(name)] = {"published_kelvin": PUBLISHED_K[str(name)], **predicted}
    return out
