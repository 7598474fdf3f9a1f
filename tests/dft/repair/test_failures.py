"""Every fabricated failure gets its own name, and a good run none."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Calculation
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.failures import classify
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import an_input, fake_output, scenarios, silicon

# scenario -> (calculation, failure)
EXPECTED = {
    "good": ("vc-relax", "none"),
    "top_band_occupied": ("scf", "top_band_occupied"),
    "scf_stuck": ("vc-relax", "scf_stuck"),
    "smearing_stalls": ("scf", "smearing_stalls"),
    "smearing_stalls_in_relax": ("vc-relax", "smearing_stalls"),
    "filled_bands": ("scf", "none"),
    "crossing_bands": ("scf", "none"),
    "bfgs_history": ("vc-relax", "bfgs_history"),
    "bfgs_history_converged": ("vc-relax", "bfgs_history"),
    "cholesky": ("scf", "diagonalization"),
    "too_many_bands": ("scf", "diagonalization"),
    "s_matrix": ("scf", "diagonalization"),
    "zhegvd": ("scf", "diagonalization"),
    "qr": ("scf", "diagonalization"),
    "eigenvectors": ("scf", "diagonalization"),
    "broyden": ("scf", "diagonalization"),
    "max_seconds": ("vc-relax", "max_seconds"),
    "stopped_in_forces": ("scf", "stopped_in_forces"),
    "interrupted": ("vc-relax", "interrupted"),
    "final_scf_thresholds": ("vc-relax", "final_scf_thresholds"),
    "nstep": ("vc-relax", "ionic_not_converged"),
    "radial_fft": ("vc-relax", "radial_fft"),
    "scf_in_relax": ("vc-relax", "scf_in_relax"),
    "scf_in_final": ("vc-relax", "scf_in_relax"),
    "scf_not_converged": ("scf", "scf_not_converged"),
    "killed_at_walltime": ("vc-relax", "killed_at_walltime"),
    "hanging": ("scf", "hanging"),
    "unreadable": ("scf", "unreadable"),
    "no_output": ("scf", "no_output"),
    "no_g_vector": ("scf", "no_g_vector"),
    "dexx_negative": ("scf", "dexx_negative"),
    "too_many_pools": ("scf", "too_many_pools"),
    "charge_wrong": ("scf", "charge_wrong"),
    "symmetry_broken": ("vc-relax", "symmetry_broken"),
    "out_of_memory": ("vc-relax", "out_of_memory"),
    "disk_full": ("scf", "disk_full"),
    "crashed": ("scf", "crashed"),
    "stars_in_energy": ("vc-relax", "unreadable_values"),
    "nan_in_forces": ("scf", "unreadable_values"),
    "stars_in_stress": ("scf", "unreadable_values"),
    "folder_removed": ("vc-relax", "folder_removed"),
    "folder_removed_while_working": ("scf", "folder_removed"),
}


OTHERS = {"scf_unconverged_allowed", "bands_overlap", "low_energy"}  # need an input of their own; no failure


def test_every_scenario_is_expected() -> None:
    assert set(EXPECTED) == set(scenarios().SCENARIOS) - OTHERS


@pytest.mark.parametrize("scenario", sorted(EXPECTED))
def test_name_of_each_failure(scenario: str, library: PseudoLibrary, tmp_path: Path) -> None:
    calculation, failure = EXPECTED[scenario]
    pw_input = an_input(library, calculation)
    output, outcome = fake_output(pw_input, scenario, tmp_path)
    assert classify(pw_input, output, outcome) == failure


def test_scheduler_and_missing_program_come_from_the_outcome(library: PseudoLibrary) -> None:
    pw_input = an_input(library)
    assert classify(pw_input, PwOutput(), RunOutcome("scheduler")) == "scheduler"
    assert classify(pw_input, PwOutput(), RunOutcome("missing")) == "pw_missing"


def test_unconverged_scf_is_only_accepted_where_the_input_says_so(library: PseudoLibrary, tmp_path: Path) -> None:
    allowed = an_input(library, "scf").with_values("electrons", scf_must_converge=False)
    output, outcome = fake_output(allowed, "scf_unconverged_allowed", tmp_path)
    assert output.job_done
    assert output.cycles[-1].converged  # so pw.x says
    assert classify(allowed, output, outcome) == "scf_unconverged_allowed"


@pytest.mark.parametrize("calculation", ["scf", "vc-relax"])
def test_fixed_occupations_of_bands_that_overlap_are_no_result(
    calculation: Calculation, library: PseudoLibrary, tmp_path: Path
) -> None:
    settings = DftSettings(electronic_type="insulator")
    fixed = build_input(silicon(), library, settings, calculation)
    output, outcome = fake_output(fixed, "bands_overlap", tmp_path)
    assert output.edges == (6.0018, 5.7412)
    assert classify(fixed, output, outcome) == "bands_overlap"
    smeared = an_input(library, calculation)
    assert classify(smeared, output, outcome) == "none"
    gapped = replace(output, edges=(5.7412, 6.0018))
    assert classify(fixed, gapped, outcome) == "none"


def test_job_done_with_a_bad_exit_code_is_not_success(library: PseudoLibrary, tmp_path: Path) -> None:
    pw_input = an_input(library)
    output, outcome = fake_output(pw_input, "nstep", tmp_path)
    assert output.job_done
    assert classify(pw_input, output, outcome) != "none"


def test_warning_that_was_overcome_is_no_failure(library: PseudoLibrary, tmp_path: Path) -> None:
    pw_input = an_input(library, "scf")
    output, _ = fake_output(pw_input, "good", tmp_path)
    with_warning = PwOutput(**{**vars(output), "log": "some nodes have no k-points"})
    assert classify(pw_input, with_warning, RunOutcome("exited", 0)) == "none"
