"""The study of the loop: what do rounds of proposing, validating and retraining find for each validation?"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import bootstrap_mean, wilson
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.studies.left_out import library_content
from dao_core.studies.loop.known import STRUCTURES, audit_system, known_phases
from dao_core.studies.loop.phases import PhaseTable
from dao_core.studies.loop.rounds import Models, Run
from dao_core.studies.loop.settings import ARMS, LoopSettings
from dao_core.studies.loop.validation import load_validator
from dao_core.studies.study import Rows, Study, StudyError, identity_of

if TYPE_CHECKING:
    import pandas as pd

KNOWN, CALCULATIONS = "known.json", "calculations"
FORMATION = EnergyLabel("validated", "formation")


def prepare(settings: LoopSettings, folder: Path) -> dict[str, Any]:
    """Audit that the system was held out, and validate the elements and compounds of two elements.

    Args:
        settings: Of the study.
        folder: Gets their energies.

    Returns:
        The audit's counts, how many phases are known, and the formation energies of the known hull.

    Raises:
        StudyError: A model has learned from the system, or an element has no energy.
    """
    audit = audit_system(settings.data, settings.system, settings.trained_on, settings.left_out_of_training)
    phases, too_large = known_phases(settings.data, settings.system, settings.known_atoms)
    validator = load_validator(settings, folder / CALCULATIONS)
    results = validator.validate([crystal for _, crystal in phases])
    rows = [_row(name, *r) for (name, _), r in zip(phases, results, strict=True) if r is not None]
    elements = {row["numbers"][0] for row in rows if len(set(row["numbers"])) == 1}
    if len(elements) < len(settings.system):
        raise StudyError(
            f"only {len(elements)} elements of {'-'.join(settings.system)} have an energy: more judge_steps"
        )
    (folder / KNOWN).write_text(json.dumps(rows))
    with TemporaryDirectory(prefix="loop-known-") as scratch:
        hull = PhaseTable(Path(scratch) / "crysdb", validator.label, read_known(folder)).hull()
    return {
        "held_out": {"rows_of_the_system": audit, "left_out_of_training": list(settings.left_out_of_training)},
        "known": len(rows), "without_energy": len(phases) - len(rows), "too_large": too_large,
        "validator": str(validator.label),
        "known_hull": [_entry(hull, e) for e in hull.phases(above=False)],
    }  # fmt: skip


def _row(name: str, crystal: Crystal, energy: float) -> dict[str, Any]:
    return {
        "id": name, "numbers": crystal.atomic_numbers.tolist(), "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(), "energy_per_atom": energy,
    }  # fmt: skip


def _entry(hull: Hull, entry: HullEntry) -> dict[str, Any]:
    formation = hull.formation_energy_per_atom(entry.counts, entry.energy_per_atom, label=hull.label)
    return {"formula": entry.formula, "formation_energy_per_atom": formation}


def read_known(folder: Path) -> list[tuple[str, Crystal, float]]:
    """The known phases as `prepare` left them: id, structure, total energy in eV/atom.

    Args:
        folder: Of `prepare`.
    """
    return [
        (r["id"], Crystal(np.array(r["lattice"]), np.array(r["frac_coords"]), np.array(r["numbers"])),
         r["energy_per_atom"])
        for r in json.loads((folder / KNOWN).read_text())
    ]  # fmt: skip


def parts(settings: LoopSettings, folder: Path) -> list[str]:  # noqa: ARG001 - nothing is shared
    """A part an arm and seed, all arms of a seed first."""
    return [f"{arm} seed {seed}" for seed in settings.seeds for arm in settings.arms]


def measure(part: str, settings: LoopSettings, folder: Path) -> dict[str, Rows]:
    """All rounds of one arm and seed, in a CrysDB of its own.

    Args:
        part: Of `parts`.
        settings: Of the study.
        folder: Of `prepare`.

    Returns:
        Table `validations`.
    """
    arm, seed = part.split(" seed ")
    validator = load_validator(settings, folder / CALCULATIONS)
    with TemporaryDirectory(prefix="loop-") as scratch:
        phases = PhaseTable(Path(scratch) / "crysdb", validator.label, read_known(folder))
        run = Run(settings, arm, int(seed), phases, validator, Models.load(settings), Path(scratch))
        return {"validations": run.rounds()}


def summarise(tables: Mapping[str, pd.DataFrame], settings: LoopSettings, facts: Mapping[str, Any]) -> dict[str, Any]:
    """Hits within some distance of the final hull for each validation, by arm, and paired over the seeds.

    The final hull is that of all arms and seeds together: one yardstick for all.

    Args:
        tables: `validations` of the parts that are done.
        settings: Of the study.
        facts: Of `prepare`.
    """
    rows = with_final_hull(tables["validations"], facts["known_hull"])
    hit = rows["above_final_hull"] <= settings.hit_above_hull
    arms = {arm: _arm(rows[rows["arm"] == arm], hit) for arm in settings.arms if (rows["arm"] == arm).any()}
    shares = hit.groupby([rows["arm"], rows["seed"]]).mean()
    paired = {arm: _paired(shares, arm) for arm in arms if arm != "loop"} if "loop" in arms else {}
    return {
        "system": "-".join(sorted(settings.system)),
        "arms": arms,
        "loop_less": paired,
        "growth": [_growth(rows, arm, facts["known_hull"]) for arm in arms],
        "final_hull": _on_hull(rows, facts["known_hull"]),
        "seeds": sorted(int(s) for s in rows["seed"].unique()),
        "data": dict(facts),
        "seed": settings.seed,
    }


def with_final_hull(rows: pd.DataFrame, known: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    """The validations with the distance of each to the hull of all of them, eV/atom; NaN where it has no energy.

    Args:
        rows: Of `measure`.
        known: Formation energies of the phases that were known.
    """
    hull = _hull(rows, known)
    above = [
        np.nan if energy is None or energy != energy
        else hull.e_above_hull(_counts(formula), float(energy), label=FORMATION)
        for formula, energy in zip(rows["formula"], rows["formation_energy_per_atom"], strict=True)
    ]  # fmt: skip
    return rows.assign(above_final_hull=np.array(above, dtype=float))


def _hull(rows: pd.DataFrame, known: Sequence[Mapping[str, Any]]) -> Hull:
    entries = [HullEntry(_counts(e["formula"]), float(e["formation_energy_per_atom"])) for e in known]
    done = rows.dropna(subset=["formation_energy_per_atom"])
    validated = zip(done["formula"], done["formation_energy_per_atom"], done["id"], strict=True)
    entries += [HullEntry(_counts(formula), float(energy), name) for formula, energy, name in validated]
    return Hull.from_entries(entries, FORMATION, elements_at_zero=True)


def _counts(formula: str) -> dict[int, int]:
    from dao_core.elements import atomic_number
    from dao_core.screening.formulas import parse_formula

    return {atomic_number(symbol): n for symbol, n in parse_formula(formula).unit.items()}


def _arm(rows: pd.DataFrame, hit: pd.Series) -> dict[str, Any]:
    own = hit.loc[rows.index]
    n, hits = len(own), int(own.sum())
    low, high = wilson(n_hit=hits, n=n)
    error = (rows["predicted_above_hull"] - rows["above_hull_then"]).abs()
    by_round = own.groupby(rows["round"]).mean()
    return {
        "validations": n, "without_energy": int(rows["formation_energy_per_atom"].isna().sum()), "hits": hits,
        "hits_per_validation": hits / n, "interval": [low, high], "by_round": by_round.round(3).tolist(),
        "prediction_mae_by_round": error.groupby(rows["round"]).mean().round(3).tolist(),
        "mean_offered": float(rows["offered"].mean()),
    }  # fmt: skip


def _paired(shares: pd.Series, other: str) -> dict[str, Any]:
    """The loop's share of hits less another arm's, over the seeds that both have."""
    first, second = shares["loop"], shares[other]
    both = first.index.intersection(second.index)
    gaps = (first[both] - second[both]).to_numpy()
    total = float(second[both].mean())
    return {
        "mean": float(gaps.mean()), "interval": bootstrap_mean(values=gaps), "n_seeds": len(gaps),
        "times": float(first[both].mean()) / total if total else None,
    }  # fmt: skip


def _growth(rows: pd.DataFrame, arm: str, known: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """How far what an arm has validated so far pushes the hull down, mean over seeds, by round.

    The mean is over the compositions that any arm has validated: the same for all of them.
    """
    own, formulas = rows[rows["arm"] == arm], sorted(set(rows["formula"]))
    numbers = sorted(int(n) for n in own["round"].unique())
    deepening = []
    for number in numbers:
        so_far = own[own["round"] <= number]
        each = [deepened(so_far[so_far["seed"] == seed], known, formulas) for seed in own["seed"].unique()]
        deepening.append(float(np.mean(each)))
    return {"arm": arm, "rounds": [n + 1 for n in numbers], "deepening": deepening}


def deepened(rows: pd.DataFrame, known: Sequence[Mapping[str, Any]], formulas: Sequence[str]) -> float:
    """How far validated phases push the hull down, mean over some compositions, eV/atom.

    Args:
        rows: The validated phases.
        known: Formation energies of the phases that were known.
        formulas: The compositions.
    """
    before, after = _hull(rows[:0], known), _hull(rows, known)
    counts = [_counts(formula) for formula in formulas]
    return float(np.mean([before.decompose(c).energy_per_atom - after.decompose(c).energy_per_atom for c in counts]))


def _on_hull(rows: pd.DataFrame, known: Sequence[Mapping[str, Any]]) -> list[str]:
    hull = _hull(rows, known)
    elements = {z for e in known for z in _counts(e["formula"])}
    return [HullEntry(counts, 0.0).formula for counts in hull.stable(elements)]


def plot(tables: Mapping[str, pd.DataFrame], report: Mapping[str, Any], folder: Path) -> None:  # noqa: ARG001
    """Hits for each validation by arm and round, and how the hull grows.

    Args:
        tables: Not used.
        report: The figures.
        folder: Gets `loop.png`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3), layout="constrained")
    left, right = figure.subplots(1, 2)
    look = {arm: {"marker": m, "linestyle": s} for arm, m, s in zip(ARMS, "osx", ("-", "--", ":"), strict=True)}
    for name, arm in report["arms"].items():
        left.plot(range(1, len(arm["by_round"]) + 1), arm["by_round"], label=name, **look[name])
    left.set(xlabel="round", ylabel="hits per validation", ylim=(0, 1), title=report["system"])
    left.legend(fontsize="small")
    for line in report["growth"]:
        right.plot(line["rounds"], [1000 * x for x in line["deepening"]], label=line["arm"], **look[line["arm"]])
    right.set(xlabel="round", ylabel="hull pushed down, meV/atom")
    for axis in (left, right):
        axis.xaxis.get_major_locator().set_params(integer=True)
    figure.savefig(folder / "loop.png", dpi=130)


def inputs(settings: LoopSettings) -> dict[str, Any]:
    """What the results depend on beside the settings."""
    from dao_core.energy.registry import load_potential
    from dao_core.models.checkpoint_io import load_checkpoint

    by_judge = settings.validator == "judge"
    names = {*settings.trained_on, *settings.left_out_of_training, STRUCTURES}
    return {
        "files": identity_of([settings.data / name for name in sorted(names)]),
        "library": library_content(settings.library),
        "generator": load_checkpoint(settings.generator, kind="generator").identity,
        "predictor": load_checkpoint(settings.predictor, kind="predictor").identity,
        "validator": load_potential(settings.judge).identity
        if by_judge
        else str(load_validator(settings, Path(CALCULATIONS)).label),  # only its label is asked for
    }


STUDY = Study("loop", LoopSettings, prepare, parts, measure, summarise, plot, inputs)
