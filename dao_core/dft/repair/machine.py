"""Remedies for machines, schedulers and limits of time: the calculation itself is not at fault."""

from __future__ import annotations

from dataclasses import replace

from dao_core.dft.pw.build import check_distances
from dao_core.dft.pw.input import InputError, PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.actions import Repair, at_last_structure, go, stop, times

MAX_SECONDS_FACTOR = 0.8


def continue_run(pw_input: PwInput, output: PwOutput) -> Repair:
    """A clean stop at `max_seconds`: continue from everything that was saved."""
    return go(at_last_structure(pw_input, output), "continue_run", "full", ionic_steps=output.ionic_steps)


def from_last_structure(pw_input: PwInput, output: PwOutput) -> Repair:
    """Interrupted: the last structure, from scratch, since charge and wavefunctions may be half-written."""
    new = at_last_structure(pw_input, output)
    return go(new, "from_last_structure", "scratch", structures=len(output.crystals))


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


def start_anew(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The work folder was removed under the program: unchanged, from scratch."""
    return go(pw_input, "start_anew", "scratch", decision="resubmit")


def run_again(pw_input: PwInput, output: PwOutput) -> Repair:
    """Nothing, or nothing readable, was written: once more, unless the structure itself is the reason."""
    try:
        check_distances(pw_input.crystal)
    except InputError as error:
        return stop(pw_input, "run_again", str(error))
    return go(at_last_structure(pw_input, output), "run_again", "scratch", decision="resubmit")


def restart_hanging(pw_input: PwInput, output: PwOutput) -> Repair:
    """The output stopped growing: once more from the last structure."""
    return go(at_last_structure(pw_input, output), "restart_hanging", "scratch")


def resubmit(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The scheduler failed, not the code: unchanged, with growing delay."""
    delay = 30 * 4 ** times(pw_input, "resubmit")
    return go(pw_input, "resubmit", pw_input.restart, decision="resubmit", delay_seconds=delay)


def more_memory(pw_input: PwInput, output: PwOutput) -> Repair:
    """Killed for memory: as it was (the node may have been crowded), then with twice the memory."""
    moved = at_last_structure(pw_input, output)
    if not times(pw_input, "more_memory"):
        return go(moved, "more_memory", "scratch", decision="resubmit", delay_seconds=30)
    memory = 2 * (pw_input.memory_gb or 4.0)
    new = replace(moved, memory_gb=memory, pools=1)
    return go(new, "more_memory", "scratch", decision="resubmit", memory_gb=[pw_input.memory_gb, memory])
