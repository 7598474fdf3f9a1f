"""Whether a run has come to its end, in numbers: thresholds of forces and stress, an SCF that no longer improves."""

from __future__ import annotations

from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput, ScfCycle
from dao_core.units import BOHR, EV_PER_RY, KBAR_PER_GPA

STUCK_AFTER, STUCK_WINDOW = 25, 12  # iterations of one SCF cycle, and those in which nothing got better


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


def only_said_to_converge(pw_input: PwInput, output: PwOutput) -> bool:
    """Whether pw.x claims a convergence that it doesn't have.

    With `scf_must_converge = .false.` pw.x 6.7 says "convergence has been achieved" at the last iteration whatever the
    accuracy is, and exits with 0: only the number tells.

    Args:
        pw_input: With the threshold.
        output: Of the run.

    Returns:
        Whether it does.
    """
    if pw_input.get("electrons", "scf_must_converge", True) is not False or not output.cycles:
        return False
    accuracies = output.cycles[-1].accuracies
    return bool(accuracies) and accuracies[-1] > pw_input.get("electrons", "conv_thr", 1e-6)


def scf_is_stuck(cycles: tuple[ScfCycle, ...]) -> bool:
    """Whether the running SCF cycle of a relaxation (not its first) has stopped improving.

    Its accuracy has not gone below the best earlier value for `STUCK_WINDOW` iterations, after at least `STUCK_AFTER`.
    """
    if len(cycles) < 2 or cycles[-1].converged or len(cycles[-1].accuracies) < STUCK_AFTER:
        return False
    accuracies = cycles[-1].accuracies
    return min(accuracies[-STUCK_WINDOW:]) >= min(accuracies[:-STUCK_WINDOW])
