"""The one table of pw.x failures: how each is recognised, what is done about it, how often, what it means in the end.

A new failure is one row here (and a remedy in `scf`, `ionic` or `machine` where none fits). Rows are tried from the
top; the first that applies names the run. The numbers beside the names are the exit codes of aiida-quantumespresso.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Literal

from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pw.input import Action, PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair import conditions, ionic, machine, scf
from dao_core.dft.repair.actions import Remedy, Repair, give_up
from dao_core.dft.repair.conditions import Condition, Run, any_of, ended, says, stopped_with

NONE = "none"
FailedStatus = Literal[
    "pw_missing", "disk_full", "scheduler_failed", "out_of_memory", "timeout", "not_converged", "code_failed",
    "folder_removed",
]  # fmt: skip


@dataclass(frozen=True)
class Failure:
    """One row.

    Attributes:
        name: Its name in results and messages.
        when: Recognises it.
        remedy: A pure function from input and output to the next input and an action.
        final: Whether giving up on it is a result of the calculation, recorded for good. The machine's faults and what
            only needs more time are not: the next call goes on.
        status: What a validation that ends with it is called.
        tries: How often the remedy may be used in one call; None where it knows its own end.
        exhausted: Why no more is tried, after `tries`.
    """

    name: str
    when: Condition
    remedy: Remedy
    final: bool
    status: FailedStatus = "code_failed"
    tries: int | None = None
    exhausted: str = ""


FAILURES: tuple[Failure, ...] = (
    # how the launcher saw it end
    Failure("pw_missing", ended("missing"), give_up("a program of Quantum ESPRESSO was not found; install it with "
            "infra/install_qe.sh or set `command`"), final=False, status="pw_missing"),
    Failure("scheduler", ended("scheduler"), machine.resubmit, final=False, status="scheduler_failed",  # 100-119
            tries=3, exhausted="the scheduler failed four times"),
    Failure("folder_removed", ended("folder_removed"), machine.start_anew, final=False, status="folder_removed",
            tries=2, exhausted="the folder of the calculation was removed three times"),
    Failure("disk_full",
            any_of(ended("disk_full"), stopped_with("No space left on device", "Disk quota exceeded")),
            give_up("the disk is full; free space and run again"), final=False, status="disk_full"),
    Failure("out_of_memory",  # 120
            any_of(ended("out_of_memory"), stopped_with("Cannot allocate memory", "oom-kill")), machine.more_memory,
            final=False, status="out_of_memory", tries=2,
            exhausted="killed for memory three times; use a smaller cell or a larger node"),
    Failure("smearing_stalls", conditions.smearing_stalls, scf.gaussian_smearing, final=True, status="not_converged"),
    Failure("scf_stuck", ended("stuck"), scf.smaller_upscale, final=True, status="not_converged"),
    Failure("hanging", ended("stalled"), machine.restart_hanging, final=False, status="timeout",
            tries=1, exhausted="hung twice"),
    # errors that pw.x names
    Failure("diagonalization",  # 462-468
            stopped_with("problems computing cholesky", "too many bands are not converged",
                         "S matrix not positive definite", "zhegvd failed", "[Q, R] = qr(X, 0) failed",
                         "eigenvectors failed to converge", "Error in routine broyden", "from broyden"),
            scf.other_diagonalization, final=True),
    Failure("radial_fft", stopped_with("Not enough space allocated for radial FFT"),  # 542
            ionic.larger_cell_factor, final=True),
    Failure("no_g_vector", stopped_with("probably because G_par is NOT"), machine.fewer_processes, final=True),  # 360
    Failure("dexx_negative", stopped_with("dexx is negative"), scf.tighter_scf, final=True,  # 461
            tries=1, exhausted="dexx is negative with a tighter SCF too"),
    Failure("too_many_pools", stopped_with("some nodes have no k-points"), machine.fewer_processes, final=True),  # 481
    Failure("charge_wrong", stopped_with("charge is wrong"), scf.smear_or_add_bands, final=True),  # 531
    Failure("symmetry_broken",  # 541
            stopped_with("not orthogonal operation", "symmetry operation is non orthogonal"),
            ionic.restore_symmetry, final=True),
    # ends without an error
    Failure("unreadable_values", conditions.unreadable_values, machine.run_again, final=False,
            tries=1, exhausted="twice stars or NaN among the last numbers"),
    Failure("stopped_in_forces", conditions.stopped_in_forces, scf.continue_from_charge, final=False,  # 400
            status="timeout"),
    Failure("max_seconds", says("Maximum CPU time exceeded"), machine.continue_run, final=False,  # 400
            status="timeout"),
    Failure("bfgs_history", says("history already reset at previous step"), ionic.other_ionic_steps,  # 520, 521
            final=True, status="not_converged"),
    Failure("bands_overlap", conditions.bands_overlap, scf.smear_or_add_bands, final=True),
    Failure("scf_unconverged_allowed", conditions.scf_allowed_not_to_converge, scf.accept_unconverged,  # 710
            final=True),
    Failure("scf_in_relax", conditions.scf_not_converged_in_relaxation, scf.gentler_mixing_in_relax,  # 510, 511
            final=True, status="not_converged"),
    Failure("scf_not_converged", conditions.scf_not_converged, scf.gentler_mixing, final=True,  # 410
            status="not_converged"),
    Failure("killed_at_walltime", ended("timeout"), machine.shorter_max_seconds, final=False,  # 340
            status="timeout"),
    Failure("no_output", conditions.nothing_written, machine.run_again, final=False,  # 301-305, 320-322
            tries=1, exhausted="twice without a readable output"),
    Failure("crashed", conditions.crashed, give_up("pw.x stopped with an error that has no repair:"), final=True),
    Failure("unreadable", conditions.unreadable, machine.run_again, final=False,  # 350
            tries=1, exhausted="twice without a readable output"),
    Failure("interrupted", conditions.interrupted, machine.from_last_structure, final=False),  # 503
    # runs that say that all is well
    Failure("smearing_counts", conditions.other_smearing_counts, scf.own_occupations, final=True,
            status="not_converged"),
    Failure("ionic_not_converged", conditions.ions_not_converged, ionic.more_ionic_steps, final=True,  # 500, 502
            status="not_converged"),
    Failure("top_band_occupied", conditions.top_band_occupied, scf.more_bands, final=True),  # 0, sanity check
    Failure("final_scf_thresholds", conditions.above_thresholds, ionic.accept_final_scf, final=True),  # 501
)  # fmt: skip
BY_NAME = {failure.name: failure for failure in FAILURES}


def classify(pw_input: PwInput, output: PwOutput, outcome: RunOutcome) -> str:
    """Name the failure of a run.

    Args:
        pw_input: What pw.x got.
        output: What it wrote.
        outcome: How the process ended.

    Returns:
        A name of the table of failures, `NONE` for a good run.
    """
    run = Run(pw_input, output, outcome)
    return next((failure.name for failure in FAILURES if failure.when(run)), NONE)


def repair(pw_input: PwInput, output: PwOutput, name: str) -> Repair:
    """The input to run next and the action that explains it, which is added to the input's history.

    Args:
        pw_input: The input that failed, with the repairs before.
        output: What the run wrote.
        name: The failure, as `classify` names it.

    Returns:
        The next input with the restart that it needs, or the decision to stop.
    """
    failure = BY_NAME[name]
    used = sum(BY_NAME[a.failure].remedy is failure.remedy for a in pw_input.history if a.failure in BY_NAME)
    if failure.tries is not None and used >= failure.tries:
        new_input, action = give_up(failure.exhausted, failure.remedy.__name__)(pw_input, output)
    else:
        new_input, action = failure.remedy(pw_input, output)
    action = replace(action, failure=name)
    return replace(new_input, restart=action.restart, history=(*pw_input.history, action)), action


def is_final(name: str) -> bool:
    """Whether giving up on this failure is a result; what the machine is to blame for is none."""
    return BY_NAME[name].final


def describe(action: Action) -> str:
    """One repair in a line: failure -> handler."""
    return f"{action.failure} -> {action.handler}"
