"""Conditions of the table of failures: small predicates on a run, of its input, its output and how it ended."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from dao_core.dft.launch.outcome import OutcomeKind, RunOutcome
from dao_core.dft.pw.convergence import (
    may_have_gap,
    occupations_are_whole,
    only_said_to_converge,
    other_smearing_tried,
    scf_has_stalled,
    smearing_is_non_monotonic,
    within_thresholds,
)
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput

OPEN_GAP = 1e-3  # eV, above the last digit that pw.x prints: below it the bands of fixed occupations touch
TOP_BAND_LIMIT = 0.005  # occupation of the highest band above which there are too few


@dataclass(frozen=True)
class Run:
    """One run of pw.x, over."""

    pw_input: PwInput
    output: PwOutput
    outcome: RunOutcome

    @property
    def succeeded(self) -> bool:
        """Whether pw.x says so in both ways. "JOB DONE." alone proves nothing: failures print it too."""
        return self.output.job_done and self.outcome.returncode == 0

    @property
    def ionic(self) -> bool:
        """Whether atoms were to move."""
        return self.pw_input.calculation in ("relax", "vc-relax")

    @property
    def may_end_unconverged(self) -> bool:
        """Whether the input allows an SCF that does not converge."""
        return self.pw_input.get("electrons", "scf_must_converge", True) is False


Condition = Callable[[Run], bool]


def ended(kind: OutcomeKind) -> Condition:
    """The launcher gave this outcome."""
    return lambda run: run.outcome.kind == kind


def stopped_with(*messages: str) -> Condition:
    """It did not succeed, and one of these messages stands in its output (a warning that was overcome is none)."""
    return lambda run: not run.succeeded and any(m in run.output.log for m in messages)


def any_of(*conditions: Condition) -> Condition:
    """One of several conditions holds."""
    return lambda run: any(condition(run) for condition in conditions)


def says(message: str) -> Condition:
    """The message stands in the output, however the run ended."""
    return lambda run: message in run.output.log


def stopped_in_forces(run: Run) -> bool:
    """A clean stop for want of time between the SCF and the forces."""
    cycles = run.output.cycles
    timed_out = "Maximum CPU time exceeded" in run.output.log
    return timed_out and bool(cycles) and cycles[-1].converged and not run.output.forces_complete


def scf_not_converged(run: Run) -> bool:
    """The last SCF ran out of iterations."""
    cycles = run.output.cycles
    return bool(cycles) and not cycles[-1].converged and "convergence NOT achieved after" in run.output.log


def scf_allowed_not_to_converge(run: Run) -> bool:
    """The last SCF did not converge, and the input says that this is allowed."""
    if scf_not_converged(run):
        return run.may_end_unconverged
    return finished(run) and only_said_to_converge(run.pw_input, run.output)


def scf_not_converged_in_relaxation(run: Run) -> bool:
    """An SCF of a relaxation, its final one included, did not converge."""
    if not run.ionic:
        return False
    if scf_not_converged(run):
        return True
    output = run.output
    return finished(run) and output.in_final_scf and not output.cycles[-1].converged


def smearing_stalls(run: Run) -> bool:
    """Close to its solution the SCF moves about, with a smearing that leaves the Fermi energy in a gap open."""
    ended_early = run.outcome.kind == "stuck" or "convergence NOT achieved after" in run.output.log
    smeared = smearing_is_non_monotonic(run.pw_input) and may_have_gap(run.pw_input, run.output)
    return ended_early and smeared and not other_smearing_tried(run.pw_input) and scf_has_stalled(run.output.cycles)


def other_smearing_counts(run: Run) -> bool:
    """It converged with the Gaussian smearing of a repair, whose width is part of this energy."""
    gaussian = run.pw_input.get("system", "smearing") == "gaussian" and other_smearing_tried(run.pw_input)
    return gaussian and finished(run) and not occupations_are_whole(run.output)


def bands_overlap(run: Run) -> bool:
    """With fixed occupations an empty band lies below a filled one: pw.x fills bands by number and says nothing."""
    fixed, edges = run.pw_input.get("system", "occupations") == "fixed", run.output.edges
    return fixed and edges is not None and edges[1] - edges[0] < OPEN_GAP


def finished(run: Run) -> bool:
    """It ran to its end and left an energy."""
    return run.output.job_done and bool(run.output.energies)


def nothing_written(run: Run) -> bool:
    """There is no output at all."""
    return run.output.text_length == 0


def crashed(run: Run) -> bool:
    """pw.x stopped with an error that no row before names."""
    return bool(run.output.routine)


def unreadable_values(run: Run) -> bool:
    """The last energy, forces or stress are stars or NaN, whatever else the run says."""
    return bool(run.output.unreadable)


def unreadable(run: Run) -> bool:
    """What was written is no output of pw.x, or has no energy although it ended well."""
    output = run.output
    eigenvalues_only = run.pw_input.calculation in ("nscf", "bands")
    return not output.started or (output.job_done and not output.energies and not eigenvalues_only)


def interrupted(run: Run) -> bool:
    """The output just ends."""
    return not run.output.job_done


def ions_not_converged(run: Run) -> bool:
    """The relaxation ended before its structure was relaxed."""
    return run.ionic and (run.output.nstep_reached or not run.output.relaxed)


def top_band_occupied(run: Run) -> bool:
    """With smearing, electrons reach into the highest band."""
    top = run.output.top_band_occupation if run.pw_input.calculation not in ("nscf", "bands") else None
    return run.pw_input.get("system", "occupations") == "smearing" and top is not None and top > TOP_BAND_LIMIT


def above_thresholds(run: Run) -> bool:
    """The final SCF of a relaxation exceeds the limits of force or stress."""
    return run.ionic and not within_thresholds(run.pw_input, run.output)
