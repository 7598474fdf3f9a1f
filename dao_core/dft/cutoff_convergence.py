"""How converged an element's pseudopotential is at each cutoff: energy, pressure and seconds against the highest one.

Forces and stresses of a plane-wave basis converge later than energies: the pressure says whether a relaxed cell can be
trusted at a cutoff.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.element_references import element_reference
from dao_core.dft.pseudo.library import LEVELS
from dao_core.dft.pw.input import InputError
from dao_core.dft.session import Session
from dao_core.units import GPA_PER_EV_A3

BEYOND = 1.25  # the highest cutoff, in those that the library calls high
CONVERGED = 0.001  # eV/atom


@dataclass(frozen=True)
class CutoffPoint:
    """One SCF: energy above the last cutoff's (eV/atom), pressure less the last one's (GPA), why there are none."""

    ecutwfc: float
    name: str = ""
    energy_difference_per_atom: float | None = None
    pressure_difference_gpa: float | None = None
    seconds: float = 0.0
    message: str = ""


@dataclass(frozen=True)
class ConvergenceReport:
    """The cutoffs of one element, lowest first; the last one is what the others are compared with."""

    element: str
    points: tuple[CutoffPoint, ...]

    @property
    def converged_at(self) -> float | None:
        """The lowest cutoff (Ry) from which on every energy lies within `CONVERGED`; None where only the last does."""
        found = None
        for point in reversed(self.points[:-1]):
            difference = point.energy_difference_per_atom
            if difference is None or abs(difference) > CONVERGED:
                break
            found = point.ecutwfc
        return found


def cutoff_convergence(
    session: Session, element: str, cutoffs: Sequence[float] = (), references: Mapping[str, Crystal] | None = None
) -> ConvergenceReport:
    """SCFs of an element's solid (or molecule) at rising cutoffs, at the protocol's k-points; stages of the ledger.

    Args:
        session: Settings, library, ledger, launcher.
        element: Its symbol.
        cutoffs: In Ry; by default the library's low, normal and high, and a quarter more.
        references: Structures by element, preferred to the built-in ones.

    Returns:
        The report; an SCF that failed is a point with a message.

    Raises:
        InputError: No structure of the element is known.
        PseudopotentialError: The library has no file or states no cutoff.
    """
    reference = element_reference(element, references)
    if reference is None:
        raise InputError(f"no structure of {element} is built in: give one with --reference")
    names = library_cutoffs(session, element) if not cutoffs else dict.fromkeys(sorted(set(cutoffs)), "")
    ratio = _ratio(session, element)
    rows: list[tuple[CutoffPoint, float | None, float | None]] = []
    for cutoff, name in names.items():
        settings = session.settings.model_copy(update={"ecutwfc": cutoff, "ecutrho": ratio * cutoff})
        own = Session(settings, session.library, session.ledger, session.launcher, session.stages)
        result = own.do(f"{element} at {cutoff:g} Ry", own.build(reference.crystal, "scf"))
        energy = result.energy / reference.crystal.n_atoms if result.ok and result.energy is not None else None
        stress = None if result.stress is None else float(-np.trace(np.array(result.stress)) / 3 * GPA_PER_EV_A3)
        rows.append((CutoffPoint(cutoff, name, seconds=result.wall_seconds, message=result.message), energy, stress))
    return ConvergenceReport(element, _against_last(rows))


def library_cutoffs(session: Session, element: str) -> dict[float, str]:
    """Cutoffs (Ry) to look at by what the library calls them, and one beyond the highest."""
    found: dict[float, str] = {}
    for level in LEVELS:
        cutoff = session.library.cutoffs([element], level)[0]
        found[cutoff] = f"{found[cutoff]}, {level}" if cutoff in found else level
    return {**found, round(BEYOND * max(found), 1): "reference"}


def _ratio(session: Session, element: str) -> float:
    """The density's cutoff over that of the wavefunctions, as the library has it; 4 where it states none."""
    pseudo = session.library.select([element])[element]
    return pseudo.ecutrho[-1] / pseudo.ecutwfc[-1] if pseudo.ecutrho and pseudo.ecutwfc else 4.0


def _against_last(rows: Sequence[tuple[CutoffPoint, float | None, float | None]]) -> tuple[CutoffPoint, ...]:
    _, last_energy, last_pressure = rows[-1]
    return tuple(
        CutoffPoint(
            p.ecutwfc, p.name, _difference(energy, last_energy), _difference(pressure, last_pressure), p.seconds,
            p.message,
        )
        for p, energy, pressure in rows
    )  # fmt: skip


def _difference(value: float | None, reference: float | None) -> float | None:
    return None if value is None or reference is None else value - reference
