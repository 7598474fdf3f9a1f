"""Repairs of pw.x failures: pure functions `(input, parsed output) -> (new input, action)`.

One function a failure, in `handlers_ported` (the remedies of aiida-quantumespresso's PwBaseWorkChain, whose exit codes
stand beside the names in `failures`) and `handlers_extra` (ours). All memory is in `PwInput.history`, so a handler can
be tested without running anything.
"""

from __future__ import annotations

from dataclasses import replace

from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair import convergence as ported
from dao_core.dft.repair import resources as extra
from dao_core.dft.repair.actions import Handler, Repair, stop
from dao_core.dft.repair.failures import Failure


def handle(pw_input: PwInput, output: PwOutput, failure: Failure) -> Repair:
    """The repair for a failure: the input to run next, with the action added to its history."""
    new_input, action = HANDLERS[failure](pw_input, output)
    action = replace(action, failure=str(failure))
    return replace(new_input, restart=action.restart, history=(*pw_input.history, action)), action


def _give_up(handler: str, reason: str) -> Handler:
    def give_up(pw_input: PwInput, output: PwOutput) -> Repair:
        what = f"{output.routine}: {output.message}" if output.routine else output.message
        return stop(pw_input, handler, f"{reason} {what}".strip())

    return give_up


HANDLERS: dict[Failure, Handler] = {
    Failure.TOP_BAND_OCCUPIED: ported.more_bands,
    Failure.SCF_STUCK: ported.smaller_upscale,
    Failure.BFGS_HISTORY: ported.other_ionic_steps,
    Failure.DIAGONALIZATION: ported.other_diagonalization,
    Failure.MAX_SECONDS: ported.continue_run,
    Failure.STOPPED_IN_FORCES: extra.continue_from_charge,
    Failure.INTERRUPTED: ported.from_last_structure,
    Failure.FINAL_SCF_THRESHOLDS: ported.accept_final_scf,
    Failure.IONIC_NOT_CONVERGED: ported.more_ionic_steps,
    Failure.RADIAL_FFT: ported.larger_cell_factor,
    Failure.SCF_IN_RELAX: ported.gentler_mixing_in_relax,
    Failure.SCF_UNCONVERGED_ALLOWED: ported.accept_unconverged,
    Failure.SCF_NOT_CONVERGED: ported.gentler_mixing,
    Failure.KILLED_AT_WALLTIME: extra.shorter_max_seconds,
    Failure.UNREADABLE: extra.run_again,
    Failure.NO_G_VECTOR: extra.fewer_processes,
    Failure.DEXX_NEGATIVE: extra.tighter_scf,
    Failure.TOO_MANY_POOLS: extra.fewer_processes,
    Failure.CHARGE_WRONG: extra.smear_or_add_bands,
    Failure.SYMMETRY_BROKEN: extra.restore_symmetry,
    Failure.NO_OUTPUT: extra.run_again,
    Failure.HANGING: extra.restart_hanging,
    Failure.OUT_OF_MEMORY: extra.more_memory,
    Failure.SCHEDULER: extra.resubmit,
    Failure.DISK_FULL: _give_up("stop", "the disk is full; free space and run again"),
    Failure.PW_MISSING: _give_up("stop", "pw.x was not found; install it with infra/install_qe.sh or set `command`"),
    Failure.CRASHED: _give_up("stop", "pw.x stopped with an error that has no repair:"),
}
