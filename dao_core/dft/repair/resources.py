"""Repairs for failures that aiida-quantumespresso leaves unhandled, and for machines and schedulers."""

from __future__ import annotations

import math
from dataclasses import replace

from dao_core.dft.pw.build import check_distances
from dao_core.dft.pw.input import InputError, PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.actions import Repair, at_last_structure, go, stop, times
from dao_core.dft.symmetry import symmetrised

MAX_SECONDS_FACTOR = 0.8
MAX_RESUBMITS = 3


def continue_from_charge(pw_input: PwInput, output: PwOutput) -> Repair:
    """Stopped between the SCF and the forces: nothing to resume there, but the charge density is converged."""
    return go(at_last_structure(pw_input, output), "continue_from_charge", "charge")


def shorter_max_seconds(pw_input: PwInput, output: PwOutput) -> Repair:
    """Killed at the wall time: from the last structure, asking pw.x to stop by itself earlier."""
    old = float(pw_input.get("control", "max_seconds", 0.95 * pw_input.wall_seconds))
    new = round(MAX_SECONDS_FACTOR * old, 1)
    moved = at_last_structure(pw_input, output).with_values("control", max_seconds=new)
    return go(moved, "shorter_max_seconds", "scratch", max_seconds=[old, new])


def fewer_processes(pw_input: PwInput, _output: PwOutput) -> Repair:
    """Too many pools, or G-vectors lost between ranks: half the pools, then one rank."""
    if pw_input.pools > 1:
        pools = pw_input.pools // 2
        return go(replace(pw_input, pools=pools), "fewer_processes", "scratch", pools=[pw_input.pools, pools])
    if pw_input.ranks > 1:
        return go(replace(pw_input, ranks=1), "fewer_processes", "scratch", ranks=[pw_input.ranks, 1])
    return stop(pw_input, "fewer_processes", "one rank and one pool already")


def smear_or_add_bands(pw_input: PwInput, output: PwOutput) -> Repair:
    """ "charge is wrong": a metal treated as an insulator needs smearing; with smearing, more bands, once."""
    if pw_input.get("system", "occupations") != "smearing":
        new = pw_input.with_values("system", occupations="smearing", smearing="cold", degauss=0.0275)
        return go(at_last_structure(new, output), "smearing", "scratch", occupations=["fixed", "smearing"])
    if times(pw_input, "more_bands_for_charge") or not output.n_bands:
        return stop(pw_input, "more_bands_for_charge", "the charge is still wrong with more bands")
    nbnd = math.ceil(1.2 * output.n_bands)
    new = at_last_structure(pw_input, output).with_values("system", nbnd=nbnd)
    return go(new, "more_bands_for_charge", "scratch", nbnd=[output.n_bands, nbnd])


def restore_symmetry(pw_input: PwInput, output: PwOutput) -> Repair:
    """A cell step broke a symmetry that pw.x still assumes: re-symmetrise, next time give symmetry up."""
    moved = at_last_structure(pw_input, output)
    clean = symmetrised(moved.crystal)
    if clean is not None and not times(pw_input, "symmetrise"):
        return go(replace(moved, crystal=clean), "symmetrise", "scratch", symprec=0.01)
    if moved.get("system", "nosym") is not True:
        return go(moved.with_values("system", nosym=True), "no_symmetry", "scratch", nosym=[False, True])
    return stop(moved, "no_symmetry", "symmetry is off already")


def tighter_scf(pw_input: PwInput, _output: PwOutput) -> Repair:
    """Negative exact-exchange change: it is noise of a loose SCF, so a tenfold tighter one, once."""
    if times(pw_input, "tighter_scf"):
        return stop(pw_input, "tighter_scf", "dexx is negative with a tighter SCF too")
    old = float(pw_input.get("electrons", "conv_thr", 1e-6))
    return go(
        pw_input.with_values("electrons", conv_thr=0.1 * old), "tighter_scf", "scratch", conv_thr=[old, 0.1 * old]
    )


def run_again(pw_input: PwInput, output: PwOutput) -> Repair:
    """Nothing, or nothing readable, was written: once more, unless the structure itself is the reason."""
    try:
        check_distances(pw_input.crystal)
    except InputError as error:
        return stop(pw_input, "run_again", str(error))
    if times(pw_input, "run_again"):
        return stop(pw_input, "run_again", f"twice without a readable output {output.message}".strip())
    return go(at_last_structure(pw_input, output), "run_again", "scratch", decision="resubmit")


def restart_hanging(pw_input: PwInput, output: PwOutput) -> Repair:
    """The output stopped growing: once more from the last structure, then give up."""
    if times(pw_input, "restart_hanging"):
        return stop(pw_input, "restart_hanging", "hung twice")
    return go(at_last_structure(pw_input, output), "restart_hanging", "scratch")


def resubmit(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The scheduler failed, not the code: unchanged, with growing delay, at most three times."""
    done = times(pw_input, "resubmit")
    if done >= MAX_RESUBMITS:
        return stop(pw_input, "resubmit", f"the scheduler failed {done + 1} times")
    return go(pw_input, "resubmit", pw_input.restart, decision="resubmit", delay_seconds=30 * 4**done)


def more_memory(pw_input: PwInput, output: PwOutput) -> Repair:
    """Killed for memory: as it was (the node may have been crowded), then with twice the memory, then stop."""
    moved, done = at_last_structure(pw_input, output), times(pw_input, "more_memory")
    if done == 0:
        return go(moved, "more_memory", "scratch", decision="resubmit", delay_seconds=30)
    if done == 1:
        memory = 2 * (pw_input.memory_gb or 4.0)
        new = replace(moved, memory_gb=memory, pools=1)
        return go(new, "more_memory", "scratch", decision="resubmit", memory_gb=[pw_input.memory_gb, memory])
    return stop(pw_input, "more_memory", "killed for memory three times; use a smaller cell or a larger node")
