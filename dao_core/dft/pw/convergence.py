"""Whether a run has come to its end, in numbers: thresholds of forces and stress, an SCF that no longer improves."""

from __future__ import annotations

import numpy as np

from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput, ScfCycle
from dao_core.units import BOHR, EV_PER_RY, GPA_PER_EV_A3, KBAR_PER_GPA

STUCK_AFTER, STUCK_WINDOW = 25, 12  # iterations of one SCF cycle, and those in which nothing got better
STALLED_BELOW = 1e-4  # Ry: an SCF that stays above is far from its solution, which no kind of smearing mends
# smearing functions that don't rise from 0 to 1 alone: in a gap the number of electrons fixes no single Fermi energy
NON_MONOTONIC = frozenset({
    "cold", "marzari-vanderbilt", "m-v", "mv", "methfessel-paxton", "m-p", "mp",
})  # fmt: skip
WHOLE = 1e-3  # how far an occupation may be from 0 or 1 for smearing to leave the energy alone (below 1 meV a state)


def within_thresholds(pw_input: PwInput, output: PwOutput) -> bool:
    """Whether the last forces (and, with a variable cell, the stress) are below the input's own limits.

    The stress component by component, as pw.x has it: a cell pulled along an axis and pressed across it may have no
    pressure.
    """
    if output.max_force is None or output.max_force > pw_input.get("control", "forc_conv_thr", 1e-3) * EV_PER_RY / BOHR:
        return False
    if pw_input.calculation != "vc-relax":
        return True
    if output.stress is None:
        return False
    target = pw_input.get("cell", "press", 0.0) / KBAR_PER_GPA
    left = output.stress * GPA_PER_EV_A3 + target * np.eye(3)  # tension is positive, pressure the other way round
    return bool(np.abs(left).max() <= pw_input.get("cell", "press_conv_thr", 0.5) / KBAR_PER_GPA)


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


def smearing_is_non_monotonic(pw_input: PwInput) -> bool:
    """Whether occupations are smeared by a function under which the Fermi energy of a gapped crystal is ambiguous."""
    smeared = pw_input.get("system", "occupations") == "smearing"
    return smeared and str(pw_input.get("system", "smearing", "")).lower() in NON_MONOTONIC


def other_smearing_tried(pw_input: PwInput) -> bool:
    """Whether a repair has changed the smearing before."""
    return any("smearing" in action.changes for action in pw_input.history)


def scf_has_stalled(cycles: tuple[ScfCycle, ...]) -> bool:
    """Whether the running SCF cycle came close to its solution and then moved about there.

    Its accuracy is below `STALLED_BELOW`, and `STUCK_WINDOW` iterations did not halve the best earlier one, after at
    least `STUCK_AFTER`. With cold smearing this is what pw.x does when the Fermi energy jumps between places in a gap.
    """
    if not cycles or cycles[-1].converged or len(cycles[-1].accuracies) < STUCK_AFTER:
        return False
    accuracies = cycles[-1].accuracies
    before = min(accuracies[:-STUCK_WINDOW])
    return before < STALLED_BELOW and min(accuracies[-STUCK_WINDOW:]) > 0.5 * before


def may_have_gap(pw_input: PwInput, output: PwOutput) -> bool:
    """Whether the electrons can fill whole bands: an even number of them, or spin polarisation."""
    n = output.n_electrons
    return pw_input.get("system", "nspin", 1) == 2 or (n is not None and abs(n / 2 - round(n / 2)) < WHOLE)


def occupations_are_whole(output: PwOutput) -> bool:
    """Whether every band is full or empty, so that smearing adds nothing to the energy."""
    return all(min(abs(x), abs(1 - x)) < WHOLE for point in output.occupations for x in point)


def has_gap(pw_input: PwInput, output: PwOutput) -> bool:
    """Whether the same bands are filled at every k-point, each spin for itself."""
    spins = 2 if pw_input.get("system", "nspin", 1) == 2 else 1
    filled = [sum(x > 0.5 for x in point) for point in output.occupations]
    size = len(filled) // spins
    return size > 0 and all(len(set(filled[s * size : (s + 1) * size])) == 1 for s in range(spins))
