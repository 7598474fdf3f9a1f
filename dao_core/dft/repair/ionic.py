"""Remedies for atoms and cell: steps of the relaxation, the final basis, symmetry."""

from __future__ import annotations

from dataclasses import replace

from dao_core.dft.pw.convergence import within_thresholds
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.actions import Repair, at_last_structure, go, stop, times
from dao_core.dft.symmetry import n_symmetries, rattled, symmetrised

TRUST_RADIUS_MIN, TRUST_RADIUS_FLOOR = 1e-3, 1e-4
FEW_SYMMETRIES = 5


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


def more_ionic_steps(pw_input: PwInput, output: PwOutput) -> Repair:
    """Not converged within `nstep`: go on from the last structure and charge density."""
    return go(at_last_structure(pw_input, output), "more_ionic_steps", "charge", ionic_steps=output.ionic_steps)


def larger_cell_factor(pw_input: PwInput, output: PwOutput) -> Repair:
    """The cell grew out of the radial tables: `cell_factor` x 2, last structure, from scratch."""
    old = float(pw_input.get("cell", "cell_factor", 2.0))
    new = at_last_structure(pw_input, output).with_values("cell", cell_factor=2 * old)
    return go(new, "larger_cell_factor", "scratch", cell_factor=[old, 2 * old])


def accept_final_scf(pw_input: PwInput, output: PwOutput) -> Repair:
    """vc-relax converged, but on the final cell's own basis the thresholds are exceeded: accept and say so."""
    note = "the final SCF on the new basis exceeds the force or stress threshold"
    return stop(at_last_structure(pw_input, output), "accept_final_scf", note, "accept")


def restore_symmetry(pw_input: PwInput, output: PwOutput) -> Repair:
    """A cell step broke a symmetry that pw.x still assumes: re-symmetrise, next time give symmetry up."""
    moved = at_last_structure(pw_input, output)
    clean = symmetrised(moved.crystal)
    if clean is not None and not times(pw_input, "symmetrise"):
        return go(replace(moved, crystal=clean), "symmetrise", "scratch", symprec=0.01)
    if moved.get("system", "nosym") is not True:
        return go(moved.with_values("system", nosym=True), "no_symmetry", "scratch", nosym=[False, True])
    return stop(moved, "no_symmetry", "symmetry is off already")
