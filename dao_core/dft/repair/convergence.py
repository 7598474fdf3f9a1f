"""Repairs after aiida-quantumespresso's `PwBaseWorkChain`, one function a failure."""

from __future__ import annotations

import math
from dataclasses import replace

from dao_core.dft.pw.input import PwInput, Restart
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.actions import Repair, at_last_structure, go, stop, times
from dao_core.dft.repair.failures import within_thresholds
from dao_core.dft.symmetry import n_symmetries, rattled

DIAGONALIZATIONS = ("david", "paro", "cg")
MIXING_FACTOR = 0.8
UPSCALE_FACTOR = 0.3
TRUST_RADIUS_MIN, TRUST_RADIUS_FLOOR = 1e-3, 1e-4
FEW_SYMMETRIES = 5


def more_bands(pw_input: PwInput, output: PwOutput) -> Repair:
    """With smearing the highest band is occupied: 5 % more bands, at least 4, from the charge density."""
    bands = output.n_bands or pw_input.get("system", "nbnd")
    if not bands:
        return stop(pw_input, "more_bands", "the number of bands is not in the output")
    nbnd = bands + max(math.ceil(0.05 * bands), 4)
    new = at_last_structure(pw_input, output).with_values("system", nbnd=nbnd)
    return go(new, "more_bands", "charge", nbnd=[bands, nbnd])


def smaller_upscale(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The SCF accuracy is stuck inside a relaxation: tighten less from step to step (`upscale` x 0.3, at least 1)."""
    old = float(pw_input.get("ions", "upscale", 100.0))
    if old <= 1.0:
        return stop(pw_input, "smaller_upscale", "upscale is 1 already and the SCF is still stuck")
    new = max(1.0, UPSCALE_FACTOR * old)
    return go(pw_input.with_values("ions", upscale=new), "smaller_upscale", "full", upscale=[old, new])


def other_ionic_steps(pw_input: PwInput, output: PwOutput) -> Repair:
    """BFGS failed twice in a row: accept if converged all the same; else rattle, damp, or take smaller steps."""
    if within_thresholds(pw_input, output):
        note = "forces and stress are within the thresholds although BFGS stopped"
        return stop(at_last_structure(pw_input, output), "accept_converged", note, "accept")
    moved = at_last_structure(pw_input, output)
    return _relax_steps(moved) if pw_input.calculation == "relax" else _cell_steps(moved)


def _relax_steps(moved: PwInput) -> Repair:
    symmetries = n_symmetries(moved.crystal)
    if symmetries < FEW_SYMMETRIES:
        if times(moved, "rattle"):
            return stop(moved, "rattle", "BFGS failed again after a rattle")
        new = replace(moved, crystal=rattled(moved.crystal))
        for past in moved.history:  # the stuck-SCF repair may have lowered the user's upscale
            if past.handler == "smaller_upscale":
                first = past.changes["upscale"][0]
                new = new.with_values("ions", upscale=None if first == 100.0 else first)
                break
        return go(new, "rattle", "charge", sigma_angstrom=0.01, symmetries=symmetries)
    if moved.get("ions", "ion_dynamics") == "damp":
        return stop(moved, "damped_ions", "the damped dynamics failed too")
    return go(moved.with_values("ions", ion_dynamics="damp"), "damped_ions", "charge", ion_dynamics=["bfgs", "damp"])


def _cell_steps(moved: PwInput) -> Repair:
    old = float(moved.get("ions", "trust_radius_min", TRUST_RADIUS_MIN))
    if old > TRUST_RADIUS_FLOOR * (1 + 1e-9):
        new = moved.with_values("ions", trust_radius_ini=old, trust_radius_min=0.1 * old)
        return go(new, "smaller_trust_radius", "charge", trust_radius_min=[old, 0.1 * old])
    if moved.get("ions", "ion_dynamics") == "damp":
        return stop(moved, "damped_cell", "the damped dynamics failed too")
    new = moved.with_values("ions", ion_dynamics="damp").with_values("cell", cell_dynamics="damp-w")
    return go(new, "damped_cell", "charge", ion_dynamics=["bfgs", "damp"], cell_dynamics=["bfgs", "damp-w"])


def other_diagonalization(pw_input: PwInput, output: PwOutput) -> Repair:
    """The iterative diagonalisation broke down: the next one not tried yet."""
    current = pw_input.get("electrons", "diagonalization", "david")
    tried = {current} | {a.changes["diagonalization"][0] for a in pw_input.history if "diagonalization" in a.changes}
    left = [d for d in DIAGONALIZATIONS if d not in tried]
    if not left:
        return stop(pw_input, "other_diagonalization", f"every diagonalisation failed: {', '.join(sorted(tried))}")
    new = at_last_structure(pw_input, output).with_values("electrons", diagonalization=left[0])
    return go(new, "other_diagonalization", "scratch", diagonalization=[current, left[0]])


def continue_run(pw_input: PwInput, output: PwOutput) -> Repair:
    """A clean stop at `max_seconds`: continue from everything that was saved."""
    return go(at_last_structure(pw_input, output), "continue_run", "full", ionic_steps=output.ionic_steps)


def from_last_structure(pw_input: PwInput, output: PwOutput) -> Repair:
    """Interrupted: the last structure, from scratch, since charge and wavefunctions may be half-written."""
    new = at_last_structure(pw_input, output)
    return go(new, "from_last_structure", "scratch", structures=len(output.crystals))


def accept_final_scf(pw_input: PwInput, output: PwOutput) -> Repair:
    """vc-relax converged, but on the final cell's own basis the thresholds are exceeded: accept and say so."""
    note = "the final SCF on the new basis exceeds the force or stress threshold"
    return stop(at_last_structure(pw_input, output), "accept_final_scf", note, "accept")


def more_ionic_steps(pw_input: PwInput, output: PwOutput) -> Repair:
    """Not converged within `nstep`: go on from the last structure and charge density."""
    return go(at_last_structure(pw_input, output), "more_ionic_steps", "charge", ionic_steps=output.ionic_steps)


def larger_cell_factor(pw_input: PwInput, output: PwOutput) -> Repair:
    """The cell grew out of the radial tables: `cell_factor` x 2, last structure, from scratch."""
    old = float(pw_input.get("cell", "cell_factor", 2.0))
    new = at_last_structure(pw_input, output).with_values("cell", cell_factor=2 * old)
    return go(new, "larger_cell_factor", "scratch", cell_factor=[old, 2 * old])


def _gentler_mixing(pw_input: PwInput, handler: str, restart: Restart) -> Repair:
    old = float(pw_input.get("electrons", "mixing_beta", 0.7))
    new = round(MIXING_FACTOR * old, 6)
    return go(pw_input.with_values("electrons", mixing_beta=new), handler, restart, mixing_beta=[old, new])


def gentler_mixing_in_relax(pw_input: PwInput, output: PwOutput) -> Repair:
    """The SCF failed inside a relaxation: `mixing_beta` x 0.8 at the last structure, from scratch."""
    return _gentler_mixing(at_last_structure(pw_input, output), "gentler_mixing_in_relax", "scratch")


def gentler_mixing(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The SCF did not converge: `mixing_beta` x 0.8 and on from where it was."""
    return _gentler_mixing(pw_input, "gentler_mixing", "full")


def accept_unconverged(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The input allows an unconverged SCF (`scf_must_converge = .false.`): accepted, and marked so for ever."""
    return stop(pw_input, "accept_unconverged", "SCF not converged, allowed by scf_must_converge", "accept")
