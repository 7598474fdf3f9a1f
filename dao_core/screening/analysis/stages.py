"""What can be asked of the best candidates besides their energy: phonons, and the order under pressure, as stages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from dao_core.energy.potential import Potential, label_of
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.screening.analysis.phonons import PhononError, phonon_gate
from dao_core.screening.analysis.pressure import transitions, with_enthalpies
from dao_core.screening.analysis.settings import DiagnosticsSettings
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.context import SearchContext, Stage
from dao_core.screening.given import GivenStructure, GivenStructureError
from dao_core.screening.load_models import SearchModels
from dao_core.screening.proposed import KNOWN
from dao_core.screening.ranking import by_formula, deciding_identity
from dao_core.screening.relaxing import prior_of_end
from dao_core.screening.symmetry import spacegroup_symbol

JUDGED, FOUND = "judged.parquet", "found.parquet"


def chosen(candidates: Sequence[Candidate], n: int) -> dict[str, list[Candidate]]:
    """The first relaxed candidates of each formula, in rank order, of those whose energies decide.

    Args:
        candidates: Ranked.
        n: Most of each formula.

    Returns:
        Reduced formula -> candidates.
    """
    out = {}
    for formula, group in by_formula(candidates).items():
        identity = deciding_identity(group)
        usable = [c for c in group if c.usable and c.energy_identity == identity]
        if usable:
            out[formula] = usable[:n]
    return out


def phonon_targets(candidates: Sequence[Candidate], settings: DiagnosticsSettings) -> list[str]:
    """Ids of the candidates whose phonons are wanted."""
    if not settings.phonons:
        return []
    return [c.id for group in chosen(candidates, settings.n_phonons).values() for c in group]


def pressure_targets(candidates: Sequence[Candidate], settings: DiagnosticsSettings) -> list[str]:
    """Formulas that are taken under pressure."""
    return list(under_pressure(candidates, settings)) if settings.pressures_gpa else []


def under_pressure(candidates: Sequence[Candidate], settings: DiagnosticsSettings) -> dict[str, list[Candidate]]:
    """The first candidates of each formula, and what pressure favours: as many of the densest known structures.

    A dense phase may lie so high without pressure that nobody asked the judge about it (tin's beta form for silicon).

    Args:
        candidates: Ranked.
        settings: How many of each, at which pressures.

    Returns:
        Reduced formula -> candidates.
    """
    out = chosen(candidates, settings.n_pressure)
    if max(settings.pressures_gpa, default=0.0) <= 0:
        return out
    groups = by_formula(candidates)
    for formula, first in out.items():
        ids = {c.id for c in first}
        known = [c for c in groups[formula] if c.origin == KNOWN and not c.rejected and c.id not in ids]
        dense = sorted(known, key=lambda c: c.crystal.volume / c.crystal.n_atoms)
        out[formula] = [*first, *dense[: settings.n_pressure]]
    return out


def check_given(given: GivenStructure, settings: DiagnosticsSettings) -> None:
    """Raises GivenStructureError where pressure would change a cell, or soft modes move atoms, that are to stay."""
    if not given.hold or given.kind not in ("framework", "lattice"):
        return
    if settings.pressures_gpa:
        raise GivenStructureError(f"pressure changes the cell, which the given {given.kind} keeps: let it go (--free)")
    if settings.phonons and given.kind == "framework" and settings.phonon.follow:
        raise GivenStructureError("a soft mode moves the atoms that the given framework keeps: let them go (--free)")


def phonon_forces(models: SearchModels, settings: DiagnosticsSettings) -> Potential:
    """Whose forces make the phonons: what the settings name, else what ranks the candidates.

    Args:
        models: Of the search.
        settings: Of the diagnostics.

    Returns:
        The potential.

    Raises:
        PhononError: Its forces have not passed a test of vibrations.
    """
    potential = models.decides
    if settings.phonon_potential:
        from dao_core.energy.registry import load_potential

        potential = load_potential(settings.phonon_potential)
    refusal: str | None = getattr(potential, "phonon_refusal", None)
    if refusal is not None:
        raise PhononError(refusal)
    return potential


def phonon_stage(name: str, ranked: str, context: SearchContext) -> StageRecord:
    """Phonons of one candidate; an imaginary mode is followed to a new candidate.

    Args:
        name: Id of the candidate.
        ranked: File of ranked candidates.
        context: Of the search.

    Returns:
        The record of the stage.
    """
    candidate = next(c for c in load_candidates(ranked) if c.id == name)
    models, given = context.loaded, context.settings.given
    settings = context.diagnostics.model_copy(update={"relax": given.relaxation(context.diagnostics.relax)})
    potential, forces = models.decides, phonon_forces(models, settings)

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        gated, found = gate(candidate, potential, forces, settings)
        gated = gated.replace(cost={**gated.cost, "phonons_s": time.monotonic() - begin})
        save_candidates([gated], directory / JUDGED)
        save_candidates(found, directory / FOUND)
        stable = gated.extras["phonons"]["stable"]
        counts = {"n_asked": 1, "n_ok": int(stable is not None), "n_failed": int(stable is None), "n_found": len(found)}
        return {"counts": counts, "facts": {"kind": "phonons"}}

    def parts() -> dict[str, Any]:
        return {
            "structure": _content([candidate]),
            "potential": potential.identity,
            "forces": forces.identity,
            "settings": settings.phonon.model_dump(),
            "relax": settings.relax.model_dump(),
        }

    return Stage("phonons", (gate,), parts).run(context, work)


def gate(
    candidate: Candidate, potential: Potential, forces: Potential, settings: DiagnosticsSettings
) -> tuple[Candidate, list[Candidate]]:
    """What a candidate's vibrations say of it, and the lower structures that imaginary modes lead to.

    Where the forces are not those of its energy the candidate is relaxed with them first, and what a mode led to is
    relaxed with `potential` again, so that its energy can be ranked with the others.

    Args:
        candidate: With an energy.
        potential: Ranks the candidates.
        forces: Makes the forces.
        settings: Size of the supercell and of the displacements.
    """
    own = forces.identity == candidate.energy_identity
    start = [candidate] if own else _moved_to([candidate], forces, settings.relax)
    gated, found = phonon_gate(start, forces, settings.phonon, settings.relax)
    if forces.identity != potential.identity:
        found = _moved_to(found, potential, settings.relax)
    extras = gated[0].extras if "phonons" in gated[0].extras else _not_computed(gated[0], forces)
    return candidate.replace(extras=extras), found


def _moved_to(candidates: Sequence[Candidate], potential: Potential, settings: RelaxSettings) -> list[Candidate]:
    """The candidates relaxed with a potential, and with its energies."""
    results = relax([c.crystal for c in candidates], potential, settings) if candidates else []
    label = label_of(potential)
    return [
        c.replace(
            crystal=r.crystal,
            energy_per_atom=r.energy_per_atom,
            relaxation_status=str(r.status),
            energy_identity=label.made_by,
            energy_kind=label.kind,
        )
        for c, r in zip(candidates, results, strict=True)
    ]


def _not_computed(candidate: Candidate, potential: Potential) -> dict[str, Any]:
    reason = f"the relaxation with {potential.identity} ended {candidate.relaxation_status}"
    facts = {"potential": potential.identity, "stable": None, "followed_to": None, "reason": reason}
    return {**candidate.extras, "phonons": facts}


def pressure_stage(formula: str, ranked: str, context: SearchContext) -> StageRecord:
    """Enthalpies of one formula's lowest and densest candidates at each pressure, in the energies that rank them.

    Args:
        formula: Reduced.
        ranked: File of ranked candidates.
        context: Of the search.

    Returns:
        The record of the stage.
    """
    settings, potential = context.diagnostics, context.loaded.decides
    group = under_pressure(load_candidates(ranked), settings)[formula]

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        pressed = with_enthalpies(group, potential, settings.pressures_gpa, settings.relax)
        seconds = time.monotonic() - begin
        pressed = [c.replace(cost={**c.cost, "pressure_s": seconds / len(pressed)}) for c in pressed]
        save_candidates(pressed, directory / JUDGED)
        save_candidates([], directory / FOUND)
        entries = [e["enthalpy_per_atom"] for c in pressed for e in c.extras["pressure"]]
        n_ok = sum(e is not None for e in entries)
        names = {c.id: _shown(c) for c in pressed}
        changes = [
            f"{t.formula}: {names[t.below]} gives way to {names[t.above]} at {t.gpa:.1f} GPa"
            for t in transitions(pressed)
        ]
        counts = {"n_asked": len(entries), "n_ok": n_ok, "n_failed": len(entries) - n_ok}
        return {"counts": counts, "facts": {"kind": "pressure", "transitions": changes}}

    def parts() -> dict[str, Any]:
        return {
            "structures": _content(group),
            "potential": potential.identity,
            "pressures": settings.pressures_gpa,
            "relax": settings.relax.model_dump(),
        }

    return Stage("pressure", (with_enthalpies,), parts).run(context, work)


def _shown(c: Candidate) -> str:
    group = c.spacegroup_after or c.spacegroup_before
    return f"{spacegroup_symbol(group)} ({group}, {c.id})" if group else c.id


def _content(candidates: Sequence[Candidate]) -> list[Any]:
    return [
        [c.id, c.energy_per_atom, c.crystal.lattice.tolist(), c.crystal.frac_coords.tolist(), c.crystal.symbols]
        for c in candidates
    ]


def merge_diagnoses(
    candidates: Sequence[Candidate], records: Sequence[StageRecord]
) -> tuple[list[Candidate], list[Candidate]]:
    """Put what the stages of diagnostics found beside the candidates.

    Args:
        candidates: Ranked.
        records: Of `phonon_stage` and `pressure_stage`.

    Returns:
        (the candidates with what was found of them, new candidates that were found on the way).
    """
    parents = {c.id: c for c in candidates}
    extras: dict[str, Mapping[str, Any]] = {}
    cost: dict[str, Mapping[str, float]] = {}
    found: list[Candidate] = []
    for record in records:
        for c in load_candidates(record.file(JUDGED)):
            extras[c.id] = {**extras.get(c.id, {}), **c.extras}
            cost[c.id] = {**cost.get(c.id, {}), **c.cost}
        found += [_of(parents.get(c.provenance.get("parent", "")), c) for c in load_candidates(record.file(FOUND))]
    judged = [
        c.replace(extras={**c.extras, **extras[c.id]}, cost={**c.cost, **cost[c.id]}) if c.id in extras else c
        for c in candidates
    ]
    return judged, found


def _of(parent: Candidate | None, c: Candidate) -> Candidate:
    """A new candidate with what this run knows of its parent: the stage may be of a run with other priors."""
    if parent is None:
        return c
    return c.replace(log_prior=prior_of_end(parent), judged=parent.judged, display_formula=parent.display_formula)


def diagnosis_notes(records: Sequence[StageRecord]) -> list[str]:
    """What the page says about the stages as a whole: transitions under pressure, modes that were followed."""
    notes = [line for r in records for line in r.facts.get("transitions", [])]
    followed = sum(r.counts.get("n_found", 0) for r in records)
    if followed:
        words = "a lower structure" if followed == 1 else f"{followed} lower structures"
        notes.append(f"Imaginary modes led to {words}, ranked with the others.")
    return notes
