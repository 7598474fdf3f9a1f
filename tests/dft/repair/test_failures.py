"""Every fabricated failure gets its own name, and a good run none."""

from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.output import PwOutput, ScfCycle
from dao_core.dft.repair.failures import Failure, RunOutcome, classify, scf_is_stuck
from tests.helpers.fake_pw import an_input, fake_output, scenarios

# scenario -> (calculation, failure)
EXPECTED = {
    "good": ("vc-relax", Failure.NONE),
    "top_band_occupied": ("scf", Failure.TOP_BAND_OCCUPIED),
    "scf_stuck": ("vc-relax", Failure.SCF_STUCK),
    "bfgs_history": ("vc-relax", Failure.BFGS_HISTORY),
    "bfgs_history_converged": ("vc-relax", Failure.BFGS_HISTORY),
    "cholesky": ("scf", Failure.DIAGONALIZATION),
    "too_many_bands": ("scf", Failure.DIAGONALIZATION),
    "s_matrix": ("scf", Failure.DIAGONALIZATION),
    "zhegvd": ("scf", Failure.DIAGONALIZATION),
    "qr": ("scf", Failure.DIAGONALIZATION),
    "eigenvectors": ("scf", Failure.DIAGONALIZATION),
    "broyden": ("scf", Failure.DIAGONALIZATION),
    "max_seconds": ("vc-relax", Failure.MAX_SECONDS),
    "stopped_in_forces": ("scf", Failure.STOPPED_IN_FORCES),
    "interrupted": ("vc-relax", Failure.INTERRUPTED),
    "final_scf_thresholds": ("vc-relax", Failure.FINAL_SCF_THRESHOLDS),
    "nstep": ("vc-relax", Failure.IONIC_NOT_CONVERGED),
    "radial_fft": ("vc-relax", Failure.RADIAL_FFT),
    "scf_in_relax": ("vc-relax", Failure.SCF_IN_RELAX),
    "scf_in_final": ("vc-relax", Failure.SCF_IN_RELAX),
    "scf_not_converged": ("scf", Failure.SCF_NOT_CONVERGED),
    "killed_at_walltime": ("vc-relax", Failure.KILLED_AT_WALLTIME),
    "hanging": ("scf", Failure.HANGING),
    "unreadable": ("scf", Failure.UNREADABLE),
    "no_output": ("scf", Failure.NO_OUTPUT),
    "no_g_vector": ("scf", Failure.NO_G_VECTOR),
    "dexx_negative": ("scf", Failure.DEXX_NEGATIVE),
    "too_many_pools": ("scf", Failure.TOO_MANY_POOLS),
    "charge_wrong": ("scf", Failure.CHARGE_WRONG),
    "symmetry_broken": ("vc-relax", Failure.SYMMETRY_BROKEN),
    "out_of_memory": ("vc-relax", Failure.OUT_OF_MEMORY),
    "disk_full": ("scf", Failure.DISK_FULL),
    "crashed": ("scf", Failure.CRASHED),
}


def test_every_scenario_is_expected() -> None:
    assert set(EXPECTED) == set(scenarios().SCENARIOS) - {"scf_unconverged_allowed"}  # needs an input that allows it


@pytest.mark.parametrize("scenario", sorted(EXPECTED))
def test_name_of_each_failure(scenario: str, library: PseudoLibrary, tmp_path: Path) -> None:
    calculation, failure = EXPECTED[scenario]
    pw_input = an_input(library, calculation)
    output, outcome = fake_output(pw_input, scenario, tmp_path)
    assert classify(pw_input, output, outcome) is failure


def test_scheduler_and_missing_program_come_from_the_outcome(library: PseudoLibrary) -> None:
    pw_input = an_input(library)
    assert classify(pw_input, PwOutput(), RunOutcome("scheduler")) is Failure.SCHEDULER
    assert classify(pw_input, PwOutput(), RunOutcome("missing")) is Failure.PW_MISSING


def test_unconverged_scf_is_only_accepted_where_the_input_says_so(library: PseudoLibrary, tmp_path: Path) -> None:
    allowed = an_input(library, "scf").with_values("electrons", scf_must_converge=False)
    output, outcome = fake_output(allowed, "scf_unconverged_allowed", tmp_path)
    assert output.job_done
    assert output.cycles[-1].converged  # so pw.x says
    assert classify(allowed, output, outcome) is Failure.SCF_UNCONVERGED_ALLOWED


def test_job_done_with_a_bad_exit_code_is_not_success(library: PseudoLibrary, tmp_path: Path) -> None:
    pw_input = an_input(library)
    output, outcome = fake_output(pw_input, "nstep", tmp_path)
    assert output.job_done
    assert classify(pw_input, output, outcome) is not Failure.NONE


def test_warning_that_was_overcome_is_no_failure(library: PseudoLibrary, tmp_path: Path) -> None:
    pw_input = an_input(library, "scf")
    output, _ = fake_output(pw_input, "good", tmp_path)
    with_warning = PwOutput(**{**vars(output), "signs": frozenset({"pools"})})
    assert classify(pw_input, with_warning, RunOutcome("exited", 0)) is Failure.NONE


def test_stuck_needs_a_later_cycle_without_progress() -> None:
    good, flat = ScfCycle((1e-2, 1e-9), True), ScfCycle((1e-3,) * 40, False)
    falling = ScfCycle(tuple(10.0**-i for i in range(1, 31)), False)
    assert scf_is_stuck((good, flat))
    assert not scf_is_stuck((flat,))
    assert not scf_is_stuck((good, falling))
    assert not scf_is_stuck((good, ScfCycle((1e-3,) * 10, False)))
