"""The lowest magnetic ordering of a crystal, by an SCF of each; all of them are reported."""

from __future__ import annotations

from dataclasses import dataclass

from dao_core.crystal import Crystal
from dao_core.dft.magnetism.moments import MomentReport, magnetic_elements, moment_changes
from dao_core.dft.magnetism.orderings import Ordering, Orderings, enumerate_orderings
from dao_core.dft.pw.result import PwResult
from dao_core.dft.session import Session, StageFailedError


@dataclass(frozen=True)
class OrderingResult:
    """One ordering as computed; energy in eV/atom, None where its SCF failed (`message` says why)."""

    label: str
    kind: str
    n_atoms: int
    energy_per_atom: float | None
    moments: MomentReport
    message: str = ""


@dataclass(frozen=True)
class MagneticSearch:
    """What was computed: all orderings, the lowest one, and what a limit left out."""

    results: tuple[OrderingResult, ...] = ()
    lowest: Ordering | None = None
    energy_per_atom: float | None = None
    note: str = ""


def possible_orderings(run: Session, crystal: Crystal) -> Orderings:
    """The orderings that the settings ask for; none for a crystal without a magnetic element."""
    settings = run.settings
    moments = {} if settings.spin == "none" else magnetic_elements(crystal)
    if not moments:
        return Orderings((), 0)
    if settings.orderings == "ferromagnetic":
        return enumerate_orderings(crystal, moments, max_cell=1, max_orderings=1)
    return enumerate_orderings(
        crystal, moments, max_cell=settings.max_magnetic_cell, max_orderings=settings.max_orderings
    )


def search_orderings(run: Session, crystal: Crystal) -> MagneticSearch:
    """An SCF of every ordering.

    Args:
        run: The session; each SCF is a stage of its ledger.
        crystal: Primitive cell at its starting structure.

    Raises:
        StageFailedError: No ordering has an energy.
    """
    orderings = possible_orderings(run, crystal)
    if not orderings.kept:
        return MagneticSearch()
    results, energies, failed = [], {}, None
    for ordering in orderings.kept:
        result = run.do(f"scf, {ordering.label}", run.build(ordering.crystal, "scf", ordering.moments))
        energy = result.energy / ordering.crystal.n_atoms if result.ok and result.energy is not None else None
        report = moment_report(ordering.moments, result)
        message = report.warning(ordering.crystal.symbols) if energy is not None else result.message
        results.append(OrderingResult(ordering.label, ordering.kind, ordering.crystal.n_atoms, energy, report, message))
        if energy is None:
            failed = result
        else:
            energies[ordering.label] = (energy, ordering)
    if not energies:
        assert failed is not None
        raise StageFailedError("scf of the magnetic orderings", failed)
    energy, lowest = min(energies.values(), key=lambda pair: pair[0])
    return MagneticSearch(tuple(results), lowest, energy, orderings.note)


def moment_report(start: tuple[float, ...], result: PwResult) -> MomentReport:
    """Starting and final moments of a calculation side by side."""
    final = result.site_moments
    changes = moment_changes(start, final) if final is not None and len(final) == len(start) else ()
    return MomentReport(start, final, result.total_magnetization, result.absolute_magnetization, changes)
