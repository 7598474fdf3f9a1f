"""The calculations of one validation: settings, library, ledger and launcher in one place, and a note of each stage."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

from dao_core.artifacts import Ledger, content_key
from dao_core.crystal import Crystal
from dao_core.dft.calculation import RunLimits, calculate
from dao_core.dft.hubbard import hubbard_label
from dao_core.dft.launch.base import Launcher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.convergence import smearing_is_non_monotonic
from dao_core.dft.pw.input import Action, Calculation, PwInput
from dao_core.dft.pw.result import PwResult
from dao_core.dft.repair.failures import describe
from dao_core.dft.repair.scf import GAUSSIAN, SMEARED, smeared
from dao_core.dft.settings import DftSettings


@dataclass(frozen=True)
class StageSummary:
    """One calculation of a validation, in short; `directory` holds its files."""

    name: str
    status: str
    failure: str
    message: str
    rounds: int
    actions: tuple[str, ...]
    wall_seconds: float
    directory: str


@dataclass
class Session:
    """What one validation needs at hand.

    `occupations` holds, by formula, the repairs of a calculation's occupations: the next ones start with them.
    """

    settings: DftSettings
    library: PseudoLibrary
    ledger: Ledger
    launcher: Launcher
    stages: list[StageSummary] = field(default_factory=list)
    occupations: dict[str, tuple[Action, ...]] = field(default_factory=dict)

    def do(self, name: str, pw_input: PwInput) -> PwResult:
        """One calculation, noted."""
        limits = RunLimits(self.settings.max_rounds, self.settings.keep_scratch)
        result = calculate(pw_input, self.launcher, self.ledger, limits)
        self._learn(pw_input.crystal, result)
        actions = tuple(describe(a) for a in result.actions)
        summary = StageSummary(
            name,
            result.status,
            result.failure,
            result.message,
            result.rounds,
            actions,
            result.wall_seconds,
            result.directory,
        )
        self.stages.append(summary)
        return result

    def note(self, name: str, seconds: float, directory: str) -> None:
        """A finished stage other than a calculation of pw.x, with the seconds that it took when it was done."""
        self.stages.append(StageSummary(name, "done", "", "", 1, (), seconds, directory))

    def build(self, crystal: Crystal, calculation: Calculation, moments: Sequence[float] | None = None) -> PwInput:
        """Input of a calculation by the session's settings.

        Args:
            crystal: The structure.
            calculation: Such as "vc-relax".
            moments: Bohr magnetons an atom; they make an ordering.

        Returns:
            The input.
        """
        pw_input = build_input(crystal, self.library, self.settings, calculation, moments)
        for action in self.occupations.get(crystal.formula_reduced, ()):
            if action.handler == SMEARED and pw_input.get("system", "occupations") == "fixed":
                pw_input = replace(smeared(pw_input), history=(*pw_input.history, action))
            elif action.handler == GAUSSIAN and smearing_is_non_monotonic(pw_input):
                _, smearing = action.changes["smearing"]
                pw_input = pw_input.with_values("system", smearing=smearing)
                pw_input = replace(pw_input, history=(*pw_input.history, action))
        return pw_input

    def _learn(self, crystal: Crystal, result: PwResult) -> None:
        """Keep what helped with the occupations, so that the crystal's next calculation need not fail first."""
        helped = [a for a in result.actions if a.handler == SMEARED][-1:]
        helped += [a for a in [a for a in result.actions if "smearing" in a.changes][-1:] if a.handler == GAUSSIAN]
        if result.ok and helped:
            self.occupations[crystal.formula_reduced] = tuple(helped)


class StageFailedError(Exception):
    """A stage has no usable result; `result` says why."""

    def __init__(self, stage: str, result: PwResult) -> None:
        super().__init__(result.message)
        self.stage = stage
        self.result = result


def need(run: Session, name: str, pw_input: PwInput) -> tuple[PwResult, Crystal, float]:
    """Run a calculation that must have a result.

    Args:
        run: The session.
        name: Of the calculation, for the record.
        pw_input: What pw.x gets.

    Returns:
        (result, last structure, energy in eV).

    Raises:
        StageFailedError: It has none.
    """
    result = run.do(name, pw_input)
    if not result.ok or result.crystal is None or result.energy is None:
        raise StageFailedError(name, result)
    return result, result.crystal, result.energy


# of a protocol: ways to the same energy, and what is computed beside it
NOT_IN_ENERGIES = {
    "mixing_beta", "electron_maxstep", "nstep",
    "dos_kpoint_factor", "path_density", "phonon_threshold", "displacement", "supercell_length",
    "response_grid",
}  # fmt: skip


def stated_cutoffs(row: Mapping[str, Any]) -> list[Any]:
    """Cutoffs of a pseudopotential as its table states them: the same file with others gives other energies."""
    return [row[name] for name in ("cutoff_hartree", "ecutwfc", "ecutrho") if name in row]


def functional_label(library: PseudoLibrary, settings: DftSettings, hubbard: Mapping[str, float] | None = None) -> str:
    """What the energies are: functional, code, pseudopotentials, protocol and magnetism by name, and a hash of them.

    Only equal labels share a hull. The hash covers the content of the protocol, cutoffs, occupations, spin and the
    checksums of the pseudopotentials, so that a file that is edited starts a hull of its own.

    Args:
        library: Pseudopotentials.
        settings: Of the calculations.
        hubbard: U of one crystal, eV by element: its energy meets no energy without.

    Returns:
        The label.
    """
    parts = [library.functional, "QE", library.label, settings.protocol]
    if settings.ecutwfc:
        parts.append(f"ecut{settings.ecutwfc:g}")
    if settings.electronic_type != "metal":
        parts.append(settings.electronic_type)
    parts.append(magnetism_label(settings))
    if settings.pressure_gpa:
        parts.append(f"{settings.pressure_gpa:g}GPa")
    # since fixed occupations are checked for bands that overlap, and a metal is smeared as the protocol says
    checked = {"fixed_occupations": "checked"} if settings.electronic_type == "insulator" else {}
    content = content_key(
        protocol=settings.resolved_protocol().model_dump(exclude=NOT_IN_ENERGIES),
        cutoffs=[settings.ecutwfc, settings.ecutrho],
        electronic_type=settings.electronic_type,
        spin=[settings.spin, settings.orderings, settings.max_orderings, settings.max_magnetic_cell],
        pressure_gpa=settings.pressure_gpa,
        pseudopotentials={element: [row["sha256"], *stated_cutoffs(row)] for element, row in library.table.items()},
        **checked,
    )
    return "|".join([*parts, content[:8], *([hubbard_label(hubbard)] if hubbard else [])])


def magnetism_label(settings: DftSettings) -> str:
    """How magnetism is treated, as part of the name of an energy: an ordering that was never tried may lie lower."""
    if settings.spin != "auto":
        return f"spin-{settings.spin}"
    return "collinear" if settings.orderings == "enumerate" else settings.orderings
