"""What can be asked of the best candidates besides their energy: phonons, and the order under pressure, as stages."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.energy.potential import Potential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.screening.analysis.phonons import PhononError, PhononSettings, phonon_gate
from dao_core.screening.analysis.pressure import transitions, with_enthalpies
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates

PHONONS, PRESSURE = "phonons-1", "pressure-1"
JUDGED, FOUND = "judged.parquet", "found.parquet"


class DiagnosticsSettings(BaseModel):
    """Stages that are off until asked for. Both look at the lowest candidates of each formula."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phonons: bool = False
    n_phonons: int = Field(2, ge=1, description="candidates a formula whose vibrations are computed")
    phonon: PhononSettings = Field(default_factory=PhononSettings)
    phonon_potential: str = Field(
        "", description="whose forces: dao, chgnet, a DAO-P folder; default: the search's own"
    )
    pressures_gpa: tuple[float, ...] = ()
    n_pressure: int = Field(6, ge=1, description="candidates a formula that are relaxed at each pressure")
    relax: RelaxSettings = Field(default_factory=lambda: RelaxSettings(max_steps=100))

    @field_validator("pressures_gpa")
    @classmethod
    def _finite(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if any(not -50.0 <= p <= 1000.0 for p in value):
            raise ValueError("pressures are in GPa, between -50 and 1000")
        return tuple(sorted(set(value)))

    @property
    def active(self) -> bool:
        """Whether anything is asked for."""
        return self.phonons or bool(self.pressures_gpa)


def chosen(candidates: Sequence[Candidate], n: int) -> dict[str, list[Candidate]]:
    """The first `n` usable candidates of each formula, in rank order."""
    out: dict[str, list[Candidate]] = {}
    for c in candidates:
        if c.usable and len(out.setdefault(c.formula, [])) < n:
            out[c.formula].append(c)
    return {formula: group for formula, group in out.items() if group}


def phonon_targets(candidates: Sequence[Candidate], settings: DiagnosticsSettings) -> list[str]:
    """Ids of the candidates whose phonons are wanted."""
    if not settings.phonons:
        return []
    return [c.id for group in chosen(candidates, settings.n_phonons).values() for c in group]


def pressure_targets(candidates: Sequence[Candidate], settings: DiagnosticsSettings) -> list[str]:
    """Formulas that are taken under pressure."""
    return list(chosen(candidates, settings.n_pressure)) if settings.pressures_gpa else []


def phonon_forces(settings: DiagnosticsSettings, potential: Potential) -> Potential:
    """Whose forces make the phonons.

    Args:
        settings: May name a potential.
        potential: The search's own.

    Returns:
        The named one, else the search's own.

    Raises:
        PhononError: Its forces have not passed a test of vibrations.
    """
    if settings.phonon_potential:
        from dao_core.energy.registry import load_potential

        potential = load_potential(settings.phonon_potential)
    refusal: str | None = getattr(potential, "phonon_refusal", None)
    if refusal is not None:
        raise PhononError(refusal)
    return potential


def phonon_stage(
    ledger: Ledger,
    ranked: Path,
    name: str,
    potential: Potential,
    settings: DiagnosticsSettings,
    forces: Potential | None = None,
) -> StageRecord:
    """Phonons of one candidate of a file of ranked ones; an imaginary mode is followed to a new candidate.

    `forces` (default: what the settings name, else `potential`) makes the forces. With another one than the search's
    the candidate is relaxed with it first, and what a mode led to is relaxed with `potential` again, so that its energy
    can be ranked with the others.
    """
    candidate = next(c for c in load_candidates(ranked) if c.id == name)
    pull = forces or phonon_forces(settings, potential)

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        start = [candidate] if pull.identity == potential.identity else _moved_to([candidate], pull, settings.relax)
        gated, found = phonon_gate(start, pull, settings.phonon, settings.relax)
        if pull.identity != potential.identity:
            found = _moved_to(found, potential, settings.relax)
        extras = gated[0].extras if "phonons" in gated[0].extras else _not_computed(gated[0], pull)
        seconds = time.monotonic() - begin
        judged = [candidate.replace(extras=extras, cost={**candidate.cost, "phonons_s": seconds})]
        save_candidates(judged, directory / JUDGED)
        save_candidates(found, directory / FOUND)
        stable = judged[0].extras["phonons"]["stable"]
        counts = {"n_asked": 1, "n_ok": int(stable is not None), "n_failed": int(stable is None), "n_found": len(found)}
        return {"counts": counts, "facts": {"seconds": seconds, "kind": "phonons"}}

    key = content_key(
        code=PHONONS,
        structure=_content([candidate]),
        potential=potential.identity,
        forces=pull.identity,
        settings=settings.phonon.model_dump(),
        relax=settings.relax.model_dump(),
    )
    return ledger.run("phonons", key, work)


def _moved_to(candidates: Sequence[Candidate], potential: Potential, settings: RelaxSettings) -> list[Candidate]:
    """The candidates relaxed with a potential, and with its energies."""
    results = relax([c.crystal for c in candidates], potential, settings) if candidates else []
    return [
        c.replace(
            crystal=r.crystal,
            energy_per_atom=r.energy_per_atom,
            relaxation_status=str(r.status),
            energy_identity=potential.identity,
        )
        for c, r in zip(candidates, results, strict=True)
    ]


def _not_computed(candidate: Candidate, potential: Potential) -> dict[str, Any]:
    reason = f"the relaxation with {potential.identity} ended {candidate.relaxation_status}"
    facts = {"potential": potential.identity, "stable": None, "followed_to": None, "reason": reason}
    return {**candidate.extras, "phonons": facts}


def pressure_stage(
    ledger: Ledger, ranked: Path, formula: str, potential: Potential, settings: DiagnosticsSettings
) -> StageRecord:
    """Enthalpies of one formula's lowest candidates at each pressure."""
    group = chosen(load_candidates(ranked), settings.n_pressure)[formula]

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        judged = with_enthalpies(group, potential, settings.pressures_gpa, settings.relax)
        seconds = time.monotonic() - begin
        judged = [c.replace(cost={**c.cost, "pressure_s": seconds / len(judged)}) for c in judged]
        save_candidates(judged, directory / JUDGED)
        save_candidates([], directory / FOUND)
        entries = [e["enthalpy_per_atom"] for c in judged for e in c.extras["pressure"]]
        n_ok = sum(e is not None for e in entries)
        changes = [f"{t.formula}: {t.below} gives way to {t.above} at {t.gpa:.1f} GPa" for t in transitions(judged)]
        counts = {"n_asked": len(entries), "n_ok": n_ok, "n_failed": len(entries) - n_ok}
        return {"counts": counts, "facts": {"seconds": seconds, "kind": "pressure", "transitions": changes}}

    key = content_key(
        code=PRESSURE,
        structures=_content(group),
        potential=potential.identity,
        pressures=settings.pressures_gpa,
        relax=settings.relax.model_dump(),
    )
    return ledger.run("pressure", key, work)


def _content(candidates: Sequence[Candidate]) -> list[Any]:
    return [
        [c.id, c.energy_per_atom, c.crystal.lattice.tolist(), c.crystal.frac_coords.tolist(), c.crystal.symbols]
        for c in candidates
    ]


def merge_diagnoses(
    candidates: Sequence[Candidate], records: Sequence[StageRecord]
) -> tuple[list[Candidate], list[Candidate]]:
    """(the candidates with what the stages said of them, new candidates that were found on the way)."""
    extras: dict[str, Mapping[str, Any]] = {}
    cost: dict[str, Mapping[str, float]] = {}
    found: list[Candidate] = []
    for record in records:
        for c in load_candidates(record.file(JUDGED)):
            extras[c.id] = {**extras.get(c.id, {}), **c.extras}
            cost[c.id] = {**cost.get(c.id, {}), **c.cost}
        found += load_candidates(record.file(FOUND))
    judged = [
        c.replace(extras={**c.extras, **extras[c.id]}, cost={**c.cost, **cost[c.id]}) if c.id in extras else c
        for c in candidates
    ]
    return judged, found


def diagnosis_notes(records: Sequence[StageRecord]) -> list[str]:
    """What the page says about the stages as a whole: transitions under pressure, modes that were followed."""
    notes = [line for r in records for line in r.facts.get("transitions", [])]
    followed = sum(r.counts.get("n_found", 0) for r in records)
    if followed:
        words = "a lower structure" if followed == 1 else f"{followed} lower structures"
        notes.append(f"Imaginary modes led to {words}, ranked with the others.")
    return notes
