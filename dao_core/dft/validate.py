"""First principles decide: scf, vc-relax and final scf of one crystal, its formation energy and place on QE's own hull.

`validate_crystal` never raises for what a calculation, a machine or an input does wrong; the status says it.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Literal

import numpy as np

from dao_core.artifacts import ArtifactError, Ledger
from dao_core.crystal import Crystal
from dao_core.dft.chain import ProgramError
from dao_core.dft.hubbard import (
    UnknownVersionError,
    hubbard_label,
    hubbard_values,
    response_elements,
    without_value,
)
from dao_core.dft.hull import DftEntry, add_entry, element_energies, missing_references, on_hull
from dao_core.dft.launch.base import Launcher
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.launch.version import installed_version
from dao_core.dft.linear_response import response_u
from dao_core.dft.magnetism.moments import MomentReport, without_moment
from dao_core.dft.magnetism.search import OrderingResult, moment_report, search_orderings
from dao_core.dft.pseudo.library import MissingElementError, PseudopotentialError, find_library
from dao_core.dft.pw.input import CutoffError, InputError, PwInput
from dao_core.dft.pw.result import PwResult
from dao_core.dft.repair.failures import BY_NAME
from dao_core.dft.session import Session, StageFailedError, StageSummary, functional_label, need
from dao_core.dft.settings import DftSettings, ProtocolFileError
from dao_core.dft.symmetry import LOOSE, symmetrised
from dao_core.matching import same
from dao_core.units import GPA_PER_EV_A3

ValidationStatus = Literal[
    "validated", "missing_pseudopotential", "invalid_structure", "invalid_settings", "pw_missing", "disk_full",
    "scheduler_failed", "out_of_memory", "timeout", "not_converged", "code_failed", "folder_removed",
]  # fmt: skip

# repairs of the occupations, of which a user of the energy should hear
OCCUPATION_WORDS = {
    "smearing_stalls -> gaussian_smearing": "Gaussian smearing, for with cold smearing the SCF stalled",
    "smearing_counts -> fixed_occupations": "then fixed occupations, for there is a gap",
    "smearing_counts -> own_smearing": "then its own smearing again, for it is a metal",
    "charge_wrong -> protocol_smearing": "the protocol's smearing, for it is no insulator",
    "bands_overlap -> protocol_smearing": "the protocol's smearing, for bands overlap: it is no insulator",
}


@dataclass(frozen=True)
class ValidationResult:
    """What first principles say about one crystal.

    Energies in eV/atom at the level `functional`; `formation_energy_per_atom` and `e_above_hull` are None where an
    element has no reference (`missing_references`). `relaxation_energy_per_atom` is what vc-relax gained (negative),
    and `volume_change` the relative change of the volume. `dao_error` is DAO's formation energy minus QE's.
    `ordering` names the lowest of the magnetic `orderings`, `moments` are those of the final SCF, `hubbard` is U in eV.
    """

    formula: str
    status: ValidationStatus
    message: str
    crystal_input: Crystal
    functional: str = ""
    failure: str = ""
    crystal: Crystal | None = None
    energy_per_atom: float | None = None
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    missing_references: tuple[str, ...] = ()
    relaxation_energy_per_atom: float | None = None
    volume_change: float | None = None
    same_structure: bool | None = None
    dao_formation_energy_per_atom: float | None = None
    dao_error: float | None = None
    pressure_gpa: float | None = None
    max_force: float | None = None
    total_magnetization: float | None = None
    code_version: str = ""
    key: str = ""
    final: PwResult | None = None
    stages: tuple[StageSummary, ...] = ()
    wall_seconds: float = 0.0
    material_id: str | None = None
    ordering: str = ""
    orderings: tuple[OrderingResult, ...] = ()
    moments: MomentReport | None = None
    hubbard: Mapping[str, float] = field(default_factory=dict)

    @property
    def ok(self) -> bool:
        """Whether there is a relaxed structure with an energy."""
        return self.status == "validated"


@dataclass(frozen=True)
class ValidationRun:
    """What the validations of one run share.

    Attributes:
        settings: Protocol, program, limits.
        root: Folder of the ledger that keeps every calculation.
        launcher: Where the programs run; by default on this machine.
        references: Element structures by symbol, preferred to the built-in ones.
    """

    settings: DftSettings
    root: str | Path
    launcher: Launcher | None = None
    references: Mapping[str, Crystal] = field(default_factory=dict)


def validate_crystal(
    crystal: Crystal,
    run: ValidationRun,
    *,
    material_id: str | None = None,
    dao_formation_energy_per_atom: float | None = None,
) -> ValidationResult:
    """Take one crystal through pw.x. Repeating a call continues or reuses what is in the ledger.

    Never raises for a failure of input, code, machine or scheduler: the status names it.

    Args:
        crystal: The structure; it is brought to its primitive cell first.
        run: Settings, ledger, launcher and element structures.
        material_id: The candidate that the result belongs to.
        dao_formation_energy_per_atom: The model's answer (eV/atom), for the comparison.

    Returns:
        Energies, relaxed structure and every stage on the way.
    """
    begin = time.monotonic()
    settings = run.settings
    base = ValidationResult(
        crystal.formula_reduced, "code_failed", "", crystal, material_id=material_id,
        dao_formation_energy_per_atom=dao_formation_energy_per_atom,
    )  # fmt: skip
    try:
        library = find_library(settings.pseudo_dir)
        library.select(set(crystal.symbols))
        launcher = run.launcher or LocalLauncher(settings)
        settings = _with_version(settings, crystal, launcher)
        session = Session(settings, library, Ledger(run.root), launcher)
        start = symmetrised(crystal, LOOSE, primitive=True) or crystal
        if settings.hubbard == "hp":
            session.settings = settings = with_response(session, start)
        hubbard = hubbard_values(start, settings.hubbard, settings.hubbard_u)
        label = functional_label(library, settings, hubbard)
        first = session.build(start, "scf")  # every mistake of the input shows here, before anything runs
    except MissingElementError as error:
        return replace(base, status="missing_pseudopotential", message=str(error))
    except (CutoffError, PseudopotentialError, ProtocolFileError, UnknownVersionError) as error:
        return replace(base, status="invalid_settings", message=str(error))
    except InputError as error:
        return replace(base, status="invalid_structure", message=str(error))
    except ProgramError as error:
        status = BY_NAME[error.failure].status if error.failure in BY_NAME else "code_failed"
        return replace(base, status=status, message=f"U from linear response: {error}")
    base = replace(base, functional=label, hubbard=hubbard)
    try:
        result = _stages(session, first, base, run.references)
    except StageFailedError as stop:
        status = BY_NAME[stop.result.failure].status
        message = f"{stop.stage}: {stop.result.failure}: {stop.result.message}"
        result = replace(base, status=status, message=message, failure=stop.result.failure, crystal=stop.result.crystal)
    except ArtifactError as error:
        result = replace(base, status="disk_full", message=str(error))
    return replace(result, stages=tuple(session.stages), wall_seconds=round(time.monotonic() - begin, 2))


def _with_version(settings: DftSettings, crystal: Crystal, launcher: Launcher) -> DftSettings:
    """Settings that know the version of pw.x where its input depends on it.

    Raises UnknownVersionError where pw.x runs elsewhere and can't be asked here; run here, its absence shows anyway.
    """
    responding = settings.hubbard == "hp" and response_elements(crystal)
    if settings.qe_version or not (responding or hubbard_values(crystal, settings.hubbard, settings.hubbard_u)):
        return settings
    version = installed_version(settings.command)
    if version is None and not isinstance(launcher, LocalLauncher):
        raise UnknownVersionError(
            f"{settings.command} can't be asked here for its version, and before 7.1 it reads U in another form: "
            "give the version that the jobs will run (--qe-version 7.3, or qe_version in the settings)"
        )
    return settings.model_copy(update={"qe_version": version})


def with_response(session: Session, crystal: Crystal) -> DftSettings:
    """Settings with U from the crystal's own response, unless the user gave all of it. Raises ProgramError."""
    settings = session.settings
    if set(response_elements(crystal)) <= set(settings.hubbard_u):
        return settings
    found = response_u(session, session.build(crystal, "scf"))
    return settings.model_copy(update={"hubbard_u": {**found, **settings.hubbard_u}})


def _stages(
    run: Session, first: PwInput, base: ValidationResult, references: Mapping[str, Crystal] | None
) -> ValidationResult:
    search = search_orderings(run, first.crystal)
    moments = None if search.lowest is None else search.lowest.moments
    if search.lowest is None or search.energy_per_atom is None:
        _, start, energy = need(run, "scf", first)
        before = energy / start.n_atoms
    else:
        start, before = search.lowest.crystal, search.energy_per_atom
    _, relaxed, _ = need(run, "vc-relax", run.build(start, "vc-relax", moments))
    final, relaxed, energy = need(run, "final scf", run.build(relaxed, "scf", moments))
    result = replace(
        base,
        crystal=relaxed,
        energy_per_atom=energy / relaxed.n_atoms,
        relaxation_energy_per_atom=energy / relaxed.n_atoms - before,
        volume_change=relaxed.volume / start.volume - 1,
        same_structure=same.same_crystal(base.crystal_input, relaxed, same.LOOSE),
        ordering="" if search.lowest is None else search.lowest.label,
        orderings=search.results,
        moments=None if moments is None else moment_report(moments, final),
        total_magnetization=final.total_magnetization,
        code_version=final.version,
        key=final.key,
        final=final,
    )
    result = _on_hull(run, result, references)
    pressure, force = _residuals(final)
    message = _message(run, result, search.note)
    return replace(result, status="validated", message=message, pressure_gpa=pressure, max_force=force)


def _on_hull(run: Session, result: ValidationResult, references: Mapping[str, Crystal] | None) -> ValidationResult:
    """Record the energy and place it on the hull of its own level; elements have no U, so with U there is none.

    Under pressure enthalpies decide, which energies without the work of compression are not: there is no hull either.
    """
    crystal, energy = result.crystal, result.energy_per_atom
    assert crystal is not None
    assert energy is not None
    if run.settings.pressure_gpa:
        return result
    entry = DftEntry(result.functional, crystal, energy, result.key, parent_id=result.material_id)
    add_entry(run.ledger, entry)
    if not result.hubbard:
        element_energies(run, result.functional, crystal, references)
    formation, above = on_hull(run.ledger, result.functional, crystal, energy)
    dao = result.dao_formation_energy_per_atom
    return replace(
        result,
        formation_energy_per_atom=formation,
        e_above_hull=above,
        missing_references=() if result.hubbard else missing_references(run.ledger, result.functional, crystal),
        dao_error=None if dao is None or formation is None else dao - formation,
    )


def _message(run: Session, result: ValidationResult, note: str) -> str:
    """Everything about a validated crystal that its user should hear."""
    words = [f"{s.name}: {s.message}" for s in run.stages if s.status == "accepted"]
    for action, said in OCCUPATION_WORDS.items():
        if names := [s.name for s in run.stages if action in s.actions]:
            words.append(f"{', '.join(names)}: {said}")
    if result.orderings:
        words.append(f"lowest of {len(result.orderings)} magnetic orderings: {result.ordering}")
    if result.moments is not None and result.crystal is not None:
        words.append(result.moments.warning(result.crystal.symbols))
    words.append(note)
    words.append(run.library.below_hint(result.crystal_input.symbols, run.settings.ecutwfc))
    if run.settings.pressure_gpa:
        words.append(f"relaxed at {run.settings.pressure_gpa:g} GPa: no formation energy, the energy is without pV")
    if run.settings.spin == "auto" and (unknown := without_moment(result.crystal_input)):
        words.append(f"no starting moment is known for {', '.join(unknown)}: computed without their spin")
    if result.hubbard:
        words.append(f"{hubbard_label(result.hubbard)}: no formation energy, elements are computed without U")
    if missing := without_value(result.crystal_input, run.settings.hubbard, run.settings.hubbard_u):
        words.append(f"no U is known for {', '.join(missing)}")
    return "; ".join(w for w in words if w)


def _residuals(final: PwResult) -> tuple[float, float | None]:
    """What pressure (GPa) and force (eV/angstrom) are left."""
    stress = np.zeros((3, 3)) if final.stress is None else np.array(final.stress)
    force = None if final.forces is None else float(np.abs(final.forces).max())
    return float(-np.trace(stress) / 3 * GPA_PER_EV_A3), force
