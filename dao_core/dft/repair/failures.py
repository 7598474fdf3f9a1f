"""Give what happened a name: from the input, the parsed output and how the process ended to one `Failure`."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Literal

from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput, ScfCycle
from dao_core.units import BOHR, EV_PER_RY, KBAR_PER_GPA

OutcomeKind = Literal[
    "exited", "timeout", "stalled", "stuck", "missing", "scheduler", "out_of_memory", "disk_full", "lost"
]
TOP_BAND_LIMIT = 0.005
STUCK_AFTER, STUCK_WINDOW = 25, 12  # iterations of one SCF cycle, and those in which nothing got better


@dataclass(frozen=True)
class RunOutcome:
    """How a launched pw.x ended, whatever it wrote. `note` is for people."""

    kind: OutcomeKind
    returncode: int | None = None
    note: str = ""


class Failure(StrEnum):
    """Every way a run can end. The numbers are the exit codes that aiida-quantumespresso gives the same failures."""

    NONE = "none"
    TOP_BAND_OCCUPIED = "top_band_occupied"  # 0, sanity check
    SCF_STUCK = "scf_stuck"  # monitor
    BFGS_HISTORY = "bfgs_history"  # 520, 521
    DIAGONALIZATION = "diagonalization"  # 462-468
    MAX_SECONDS = "max_seconds"  # 400
    STOPPED_IN_FORCES = "stopped_in_forces"  # 400, after the SCF and before the forces
    INTERRUPTED = "interrupted"  # 503
    FINAL_SCF_THRESHOLDS = "final_scf_thresholds"  # 501
    IONIC_NOT_CONVERGED = "ionic_not_converged"  # 500, 502
    RADIAL_FFT = "radial_fft"  # 542
    SCF_IN_RELAX = "scf_in_relax"  # 510, 511
    SCF_UNCONVERGED_ALLOWED = "scf_unconverged_allowed"  # 710
    SCF_NOT_CONVERGED = "scf_not_converged"  # 410
    KILLED_AT_WALLTIME = "killed_at_walltime"  # 340
    UNREADABLE = "unreadable"  # 350
    NO_G_VECTOR = "no_g_vector"  # 360
    DEXX_NEGATIVE = "dexx_negative"  # 461
    TOO_MANY_POOLS = "too_many_pools"  # 481
    CHARGE_WRONG = "charge_wrong"  # 531
    SYMMETRY_BROKEN = "symmetry_broken"  # 541
    NO_OUTPUT = "no_output"  # 301-305, 320-322
    HANGING = "hanging"
    OUT_OF_MEMORY = "out_of_memory"  # 120
    SCHEDULER = "scheduler"  # 100-119
    DISK_FULL = "disk_full"
    PW_MISSING = "pw_missing"
    CRASHED = "crashed"  # an error of pw.x that is none of the above


_BY_OUTCOME: dict[str, Failure] = {
    "missing": Failure.PW_MISSING,
    "scheduler": Failure.SCHEDULER,
    "out_of_memory": Failure.OUT_OF_MEMORY,
    "disk_full": Failure.DISK_FULL,
    "stuck": Failure.SCF_STUCK,
    "stalled": Failure.HANGING,
}
_BY_SIGN: dict[str, Failure] = {
    "disk_full": Failure.DISK_FULL,
    "out_of_memory": Failure.OUT_OF_MEMORY,
    "diagonalization": Failure.DIAGONALIZATION,
    "radial_fft": Failure.RADIAL_FFT,
    "g_par": Failure.NO_G_VECTOR,
    "dexx": Failure.DEXX_NEGATIVE,
    "pools": Failure.TOO_MANY_POOLS,
    "charge_wrong": Failure.CHARGE_WRONG,
    "symmetry_broken": Failure.SYMMETRY_BROKEN,
    "bfgs_history": Failure.BFGS_HISTORY,
}


def classify(pw_input: PwInput, output: PwOutput, outcome: RunOutcome) -> Failure:
    """The failure of a run, `Failure.NONE` for a good one. "JOB DONE." alone proves nothing: failures print it too."""
    if outcome.kind in _BY_OUTCOME:
        return _BY_OUTCOME[outcome.kind]
    if not (output.job_done and outcome.returncode == 0):
        for sign, failure in _BY_SIGN.items():
            if sign in output.signs:
                return failure
    ionic = pw_input.calculation != "scf"
    if "max_seconds" in output.signs:
        return Failure.STOPPED_IN_FORCES if _in_forces(output) else Failure.MAX_SECONDS
    if "bfgs_history" in output.signs:
        return Failure.BFGS_HISTORY
    if output.cycles and not output.cycles[-1].converged and "scf_not_converged" in output.signs:
        if pw_input.get("electrons", "scf_must_converge", True) is False:
            return Failure.SCF_UNCONVERGED_ALLOWED
        return Failure.SCF_IN_RELAX if ionic else Failure.SCF_NOT_CONVERGED
    return _unfinished(output, outcome) or _finished(pw_input, output)


def _in_forces(output: PwOutput) -> bool:
    return bool(output.cycles) and output.cycles[-1].converged and not output.forces_complete


def _unfinished(output: PwOutput, outcome: RunOutcome) -> Failure | None:
    if outcome.kind == "timeout":
        return Failure.KILLED_AT_WALLTIME
    if output.text_length == 0:
        return Failure.NO_OUTPUT
    if output.routine:
        return Failure.CRASHED
    if not output.started:
        return Failure.UNREADABLE
    if not output.job_done:
        return Failure.INTERRUPTED
    return None


def _only_said_to_converge(pw_input: PwInput, output: PwOutput) -> bool:
    """With `scf_must_converge = .false.` pw.x 6.7 says "convergence has been achieved" at the last iteration whatever
    the accuracy is, and exits with 0: only the number tells."""
    if pw_input.get("electrons", "scf_must_converge", True) is not False or not output.cycles:
        return False
    accuracies = output.cycles[-1].accuracies
    return bool(accuracies) and accuracies[-1] > pw_input.get("electrons", "conv_thr", 1e-6)


def _finished(pw_input: PwInput, output: PwOutput) -> Failure:
    if not output.energies:
        return Failure.UNREADABLE
    if _only_said_to_converge(pw_input, output):
        return Failure.SCF_UNCONVERGED_ALLOWED
    if pw_input.calculation != "scf":
        if output.nstep_reached or not output.relaxed:
            return Failure.IONIC_NOT_CONVERGED
        if output.in_final_scf and not output.cycles[-1].converged:
            return Failure.SCF_IN_RELAX
    smeared = pw_input.get("system", "occupations") == "smearing"
    if smeared and output.top_band_occupation is not None and output.top_band_occupation > TOP_BAND_LIMIT:
        return Failure.TOP_BAND_OCCUPIED
    if pw_input.calculation != "scf" and not within_thresholds(pw_input, output):
        return Failure.FINAL_SCF_THRESHOLDS
    return Failure.NONE


def within_thresholds(pw_input: PwInput, output: PwOutput) -> bool:
    """Whether the last forces (and, with a variable cell, the stress) are below the input's own limits."""
    if output.max_force is None or output.max_force > pw_input.get("control", "forc_conv_thr", 1e-3) * EV_PER_RY / BOHR:
        return False
    if pw_input.calculation != "vc-relax":
        return True
    if output.pressure is None:
        return False
    target = pw_input.get("cell", "press", 0.0) / KBAR_PER_GPA
    return abs(output.pressure - target) <= pw_input.get("cell", "press_conv_thr", 0.5) / KBAR_PER_GPA


def scf_is_stuck(cycles: tuple[ScfCycle, ...]) -> bool:
    """Whether the running SCF cycle of a relaxation (not its first) has stopped improving: its accuracy has not gone
    below the best earlier value for `STUCK_WINDOW` iterations, after at least `STUCK_AFTER`."""
    if len(cycles) < 2 or cycles[-1].converged or len(cycles[-1].accuracies) < STUCK_AFTER:
        return False
    accuracies = cycles[-1].accuracies
    return min(accuracies[-STUCK_WINDOW:]) >= min(accuracies[:-STUCK_WINDOW])
