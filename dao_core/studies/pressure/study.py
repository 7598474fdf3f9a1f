"""The study of pressure: transitions of known phases, and a hydride's network in a given framework."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.evaluate.statistics import wilson
from dao_core.studies.left_out import library_content
from dao_core.studies.pressure.curves import crossing, enthalpy_curve
from dao_core.studies.pressure.hydride import ARMS, measure_arm, measure_phonons
from dao_core.studies.pressure.phases import TRANSITIONS, phase
from dao_core.studies.pressure.settings import PressureSettings
from dao_core.studies.study import Rows, Study

if TYPE_CHECKING:
    import pandas as pd

TOLERANCE = 0.3  # of the published pressure: the bar
PANELS = 4  # beside one another in the picture
HYDRIDE, PHONONS = "hydride", "phonons"


def prepare(settings: PressureSettings, folder: Path) -> dict[str, Any]:  # noqa: ARG001 - nothing is shared
    """The published pressures with their sources."""
    return {name: vars(TRANSITIONS[name]) for name in settings.transitions}


def parts(settings: PressureSettings, folder: Path) -> list[str]:  # noqa: ARG001 - nothing is shared
    """One part a transition and phase, one a way to the hydride, one for its phonons."""
    phases = [
        f"{name} {p}" for name in settings.transitions for p in (TRANSITIONS[name].below, TRANSITIONS[name].above)
    ]
    if settings.hydride.n:
        phases += [f"{HYDRIDE} {arm}" for arm in ARMS]
        phases += [PHONONS] if settings.hydride.phonon_atoms else []
    return phases


def measure(part: str, settings: PressureSettings, folder: Path) -> dict[str, Rows]:  # noqa: ARG001 - nothing is shared
    """An enthalpy curve, an arm of the hydride, or its phonons.

    Args:
        part: Of `parts`.
        settings: Of the study.
        folder: Not used.
    """
    from dao_core.energy.registry import load_potential
    from dao_core.energy.relaxation.relax import RelaxSettings

    if part == PHONONS:
        return {"phonons": measure_phonons(settings)}
    name, what = part.split(" ", 1)
    if name == HYDRIDE:
        return {"hydride": measure_arm(what, settings)}
    known = TRANSITIONS[name]
    rule = RelaxSettings(max_steps=settings.relax_steps, fmax=settings.fmax, stress_gpa=settings.stress_gpa)
    pressures = [f * known.gpa for f in settings.fractions]
    rows = enthalpy_curve(phase(known.formula, what), load_potential(settings.judge), pressures, rule)
    return {"curves": [{"transition": name, "phase": what, **row} for row in rows]}


def summarise(
    tables: Mapping[str, pd.DataFrame], settings: PressureSettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Transition pressures beside the published ones, and how often the hydride's network was found.

    Args:
        tables: `curves`, `hydride`, `phonons` of all parts.
        settings: Of the study.
        facts: Of `prepare`.
    """
    found = {name: _transition(tables["curves"], name) for name in settings.transitions}
    counted = [t for name, t in found.items() if TRANSITIONS[name].calculated]
    within = sum(bool(t["within"]) for t in counted)
    report: dict[str, Any] = {
        "transitions": found, "n_transitions": len(counted), "n_within": within, "tolerance": TOLERANCE,
        "sources": dict(facts), "seed": settings.seed,
    }  # fmt: skip
    if "hydride" in tables:
        report["hydride"] = {arm: _hydride(rows) for arm, rows in tables["hydride"].groupby("arm")}
    if "phonons" in tables:
        report["phonons"] = tables["phonons"].iloc[0].to_dict()
    return report


def _transition(curves: pd.DataFrame, name: str) -> dict[str, Any]:
    known = TRANSITIONS[name]
    own = curves[curves["transition"] == name].dropna(subset=["enthalpy_per_atom"])
    both = own[own["phase"] == known.below].merge(own[own["phase"] == known.above], on="gpa", suffixes=("", "_above"))
    out: dict[str, Any] = {"published_gpa": known.gpa, "gpa": None, "inside": False, "within": False,
                           "n_pressures": len(both)}  # fmt: skip
    if len(both) < 2:
        return {**out, "reason": "too few relaxations ended"}
    both = both.sort_values("gpa")
    gaps = both["enthalpy_per_atom_above"] - both["enthalpy_per_atom"]
    slopes = both["volume_per_atom_above"] - both["volume_per_atom"]
    gpa, inside = crossing(both["gpa"].tolist(), gaps.tolist(), slopes.tolist())
    if gpa is None:
        return {**out, "reason": "the curves don't approach one another"}
    error = gpa / known.gpa - 1
    return {**out, "gpa": round(gpa, 2), "inside": inside, "error": round(error, 3), "within": abs(error) <= TOLERANCE}


def _hydride(rows: pd.DataFrame) -> dict[str, Any]:
    made = rows[rows["rank"] >= 0]
    if made.empty:
        return {"n": 0, "found": 0, "reason": "nothing proposed"}
    n, hit = len(made), int(made["found"].sum())
    low, high = wilson(n_hit=hit, n=n)
    best = made["rms"].min()
    return {
        "n": n, "found": hit, "percent": 100 * hit / n, "interval": [100 * low, 100 * high],
        "best_rms": float(best) if hit else None, "cpu_seconds_each": float(made["cpu_seconds"].mean()),
        "reasons": made["reason"].value_counts().to_dict(),
    }  # fmt: skip


def plot(tables: Mapping[str, pd.DataFrame], report: Mapping[str, Any], folder: Path) -> None:
    """Enthalpy differences against pressure, one panel a transition.

    Args:
        tables: As for `summarise`.
        report: Its figures.
        folder: Gets `pressure.png`.
    """
    from matplotlib.figure import Figure

    names = list(report["transitions"])
    columns = min(len(names), PANELS)
    rows = -(-len(names) // columns)
    figure = Figure(figsize=(2.6 * columns, 2.8 * rows), layout="constrained")
    axes = figure.subplots(rows, columns, squeeze=False)
    for axis in axes.flat[len(names) :]:
        axis.remove()
    for axis, name in zip(axes.flat, names, strict=False):
        known, found = TRANSITIONS[name], report["transitions"][name]
        own = tables["curves"][tables["curves"]["transition"] == name].pivot_table(
            index="gpa", columns="phase", values="enthalpy_per_atom"
        )
        if {known.below, known.above} <= set(own.columns):
            axis.plot(own.index, 1000 * (own[known.above] - own[known.below]), marker="o")
        axis.axhline(0, color="0.6", linewidth=0.8)
        axis.axvline(known.gpa, color="C1", linestyle="--", label="published")
        if found["gpa"] is not None:
            axis.axvline(found["gpa"], color="C0", linestyle=":", label="judge")
        axis.set(title=f"{name}: {known.below}\nto {known.above}", xlabel="GPa")
    for axis in axes[:, 0]:
        axis.set_ylabel("enthalpy difference, meV/atom")
    axes[0, 0].legend()
    figure.savefig(folder / "pressure.png", dpi=130)


def inputs(settings: PressureSettings) -> dict[str, Any]:
    """What the results depend on beside the settings."""
    from dao_core.energy.registry import load_potential
    from dao_core.models.checkpoint_io import load_checkpoint

    found: dict[str, Any] = {"judge": load_potential(settings.judge).identity}
    if settings.hydride.n:
        found |= {
            "generator": load_checkpoint(settings.generator, kind="generator").identity,
            "library": library_content(settings.library),
        }
    return found


STUDY = Study("pressure", PressureSettings, prepare, parts, measure, summarise, plot, inputs)
