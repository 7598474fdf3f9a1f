"""Each repair as a pure function on a fabricated output: what changes, from where it restarts, when it stops."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Action, Calculation, PwInput
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.failures import FAILURES, classify
from dao_core.dft.repair.failures import repair as repaired
from dao_core.dft.settings import DftSettings, ProtocolName
from tests.helpers.fake_pw import an_input, fake_output, silicon

Repaired = tuple[PwInput, Action, PwOutput]
Repairing = Callable[..., Repaired]


@pytest.fixture
def repair(library: PseudoLibrary, tmp_path: Path) -> Repairing:
    """repair(scenario, calculation, prepare) -> (new input, action, output)."""

    def do(scenario: str, calculation: Calculation = "vc-relax", start: PwInput | None = None) -> Repaired:
        pw_input = start or an_input(library, calculation)
        output, outcome = fake_output(pw_input, scenario, tmp_path / scenario)
        new, action = repaired(pw_input, output, classify(pw_input, output, outcome))
        return new, action, output

    return do


def test_names_are_unique_and_limits_say_why_they_end() -> None:
    names = [failure.name for failure in FAILURES]
    assert len(set(names)) == len(names)
    assert all(bool(failure.exhausted) == (failure.tries is not None) for failure in FAILURES)


# scenario, calculation, restart, {(section, key): value}
REMEDIES: list[tuple[str, Calculation, str, dict[tuple[str, str], Any]]] = [
    ("top_band_occupied", "scf", "charge", {("system", "nbnd"): 12}),
    ("scf_stuck", "vc-relax", "full", {("ions", "upscale"): 30.0}),
    ("smearing_stalls", "scf", "charge", {("system", "smearing"): "gaussian", ("system", "occupations"): "smearing"}),
    ("smearing_stalls_in_relax", "vc-relax", "scratch", {("system", "smearing"): "gaussian"}),
    ("bfgs_history", "vc-relax", "charge", {("ions", "trust_radius_min"): 1e-4, ("ions", "trust_radius_ini"): 1e-3}),
    ("bfgs_history", "relax", "charge", {("ions", "ion_dynamics"): "damp"}),
    ("cholesky", "scf", "scratch", {("electrons", "diagonalization"): "paro"}),
    ("broyden", "scf", "scratch", {("electrons", "diagonalization"): "paro"}),
    ("max_seconds", "vc-relax", "full", {}),
    ("stopped_in_forces", "scf", "charge", {}),
    ("interrupted", "vc-relax", "scratch", {}),
    ("nstep", "vc-relax", "charge", {}),
    ("radial_fft", "vc-relax", "scratch", {("cell", "cell_factor"): 4.0}),
    ("scf_in_relax", "vc-relax", "scratch", {("electrons", "mixing_beta"): 0.32}),
    ("scf_not_converged", "scf", "full", {("electrons", "mixing_beta"): 0.32}),
    ("killed_at_walltime", "vc-relax", "scratch", {("control", "max_seconds"): 32832.0}),
    ("hanging", "scf", "scratch", {}),
    ("dexx_negative", "scf", "scratch", {("electrons", "conv_thr"): pytest.approx(8e-11)}),
    ("charge_wrong", "scf", "scratch", {("system", "nbnd"): 10}),
    ("symmetry_broken", "vc-relax", "scratch", {}),
]


@pytest.mark.parametrize(("scenario", "calculation", "restart", "values"), REMEDIES)
def test_remedy(
    repair: Repairing, scenario: str, calculation: Calculation, restart: str, values: dict[tuple[str, str], Any]
) -> None:
    new, action, _ = repair(scenario, calculation)
    assert action.decision == "retry"
    assert new.restart == action.restart == restart
    assert new.history[-1] == action
    for (section, key), value in values.items():
        assert new.get(section, key) == value


@pytest.mark.parametrize(
    "scenario",
    ["max_seconds", "interrupted", "nstep", "radial_fft", "scf_in_relax", "bfgs_history", "killed_at_walltime"],
)
def test_ionic_repairs_go_on_from_the_last_structure(repair: Repairing, scenario: str) -> None:
    new, _, output = repair(scenario)
    assert output.crystal is not None
    assert np.allclose(new.crystal.lattice, output.crystal.lattice)
    assert not np.allclose(new.crystal.lattice, silicon().lattice)


def test_bfgs_that_is_converged_already_is_accepted(repair: Repairing) -> None:
    _, action, _ = repair("bfgs_history_converged")
    assert (action.decision, action.handler) == ("accept", "accept_converged")


def test_bfgs_of_a_cell_goes_to_damped_dynamics_and_then_stops(repair: Repairing) -> None:
    new, _, _ = repair("bfgs_history")
    new, action, _ = repair("bfgs_history", start=new)
    assert action.handler == "damped_cell"
    assert (new.get("ions", "ion_dynamics"), new.get("cell", "cell_dynamics")) == ("damp", "damp-w")
    _, action, _ = repair("bfgs_history", start=new)
    assert action.decision == "give_up"


def test_bfgs_without_symmetry_is_rattled_once_with_the_users_upscale(
    repair: Repairing, library: PseudoLibrary
) -> None:
    crooked = silicon().replace(frac_coords=[[0.013, 0.007, 0.002], [0.25, 0.25, 0.25]])
    lattice = crooked.lattice + np.array([[0, 0.1, 0], [0.05, 0, 0], [0, 0, 0.07]])
    start = an_input(library, "relax", crooked.replace(lattice=lattice)).with_values("ions", upscale=30.0)
    lowered = Action("smaller_upscale", "scf_stuck", "retry", "full", {"upscale": [60.0, 30.0]})
    new, action, output = repair("bfgs_history", start=replace(start, history=(lowered,)))
    assert action.handler == "rattle"
    assert new.get("ions", "upscale") == 60.0
    assert output.crystal is not None
    shift = new.crystal.frac_coords - output.crystal.frac_coords
    moved = (shift - np.round(shift)) @ new.crystal.lattice
    assert 0 < np.abs(moved).max() < 0.06
    _, action, _ = repair("bfgs_history", start=new)
    assert action.decision == "give_up"


def test_diagonalisations_are_tried_in_turn(repair: Repairing) -> None:
    seen, new = [], None
    for scenario in ("cholesky", "zhegvd", "qr"):
        new, action, _ = repair(scenario, "scf", new)
        seen.append((new.get("electrons", "diagonalization"), action.decision))
    assert seen == [("paro", "retry"), ("cg", "retry"), ("cg", "give_up")]


def test_upscale_at_one_gives_up(repair: Repairing, library: PseudoLibrary) -> None:
    _, action, _ = repair("scf_stuck", start=an_input(library).with_values("ions", upscale=1.0))
    assert action.decision == "give_up"


def test_artefact_of_the_final_basis_is_accepted_and_said(repair: Repairing) -> None:
    _, action, _ = repair("final_scf_thresholds")
    assert action.decision == "accept"
    assert "final SCF" in action.note


def test_pools_and_ranks_shrink_before_giving_up(repair: Repairing, library: PseudoLibrary) -> None:
    new = replace(an_input(library, "scf"), ranks=4, pools=2)
    decisions = []
    for scenario in ("too_many_pools", "no_g_vector", "no_g_vector"):
        new, action, _ = repair(scenario, "scf", new)
        decisions.append((new.ranks, new.pools, action.decision))
    assert decisions == [(4, 1, "retry"), (1, 1, "retry"), (1, 1, "give_up")]


@pytest.mark.parametrize("scenario", ["charge_wrong", "bands_overlap"])
@pytest.mark.parametrize("protocol", ["fast", "balanced", "stringent"])
def test_no_insulator_gets_the_smearing_of_its_protocol(
    repair: Repairing, library: PseudoLibrary, scenario: str, protocol: ProtocolName
) -> None:
    """The input becomes that of a metal, and so does its energy: those of one protocol meet."""
    build = partial(build_input, silicon(), library, calculation="scf")
    fixed = build(settings=DftSettings(protocol=protocol, electronic_type="insulator"))
    new, action, _ = repair(scenario, "scf", fixed)
    assert (action.failure, action.handler) == (scenario, "protocol_smearing")
    metal = build(settings=DftSettings(protocol=protocol))
    assert new.key() == metal.key()
    assert action.changes["degauss"] == metal.get("system", "degauss")


def test_without_the_protocol_s_smearing_none_is_made_up(repair: Repairing, library: PseudoLibrary) -> None:
    """An input that was written before it was kept there."""
    fixed = an_input(library, "scf").with_values("system", occupations="fixed", smearing=None, degauss=None)
    _, action, _ = repair("charge_wrong", "scf", replace(fixed, smearing={}))
    assert action.decision == "give_up"
    assert "use metal" in action.note


def stalled(repair: Repairing) -> PwInput:
    """An input with the Gaussian smearing that a stalled SCF gets."""
    return repair("smearing_stalls", "scf")[0]


def test_other_smearing_that_leaves_bands_whole_is_a_good_run(repair: Repairing, tmp_path: Path) -> None:
    pw_input = stalled(repair)
    assert classify(pw_input, *fake_output(pw_input, "filled_bands", tmp_path)) == "none"


def test_small_gap_goes_without_smearing_and_with_the_moment_that_it_had(repair: Repairing) -> None:
    new, action, _ = repair("good", "scf", stalled(repair))
    assert (action.failure, action.handler, new.restart) == ("smearing_counts", "fixed_occupations", "charge")
    system = new.namelists["system"]
    assert system["occupations"] == "fixed"
    assert not {"smearing", "degauss", "tot_magnetization"} & set(system)
    polarised = stalled(repair).with_values("system", nspin=2)
    output = PwOutput(
        text_length=1, started=True, job_done=True, energies=(-1.0,), occupations=((1.0, 0.9), (0.9, 0.1)),
        total_magnetization=1.99,
    )  # fmt: skip
    new, action = repaired(polarised, output, classify(polarised, output, RunOutcome("exited", 0)))
    assert (action.handler, new.get("system", "tot_magnetization")) == ("fixed_occupations", 2.0)


def test_metal_keeps_its_smearing_and_gets_gentler_mixing(repair: Repairing) -> None:
    new, action, _ = repair("crossing_bands", "scf", stalled(repair))
    assert (action.handler, new.get("system", "smearing")) == ("own_smearing", "cold")
    assert new.get("electrons", "mixing_beta") == pytest.approx(0.32)
    _, action, _ = repair("smearing_stalls", "scf", new)
    assert (action.failure, action.handler) == ("scf_not_converged", "gentler_mixing")  # no second try of it


def test_odd_electrons_without_spin_and_fixed_occupations_are_not_taken_for_a_stalled_insulator(
    library: PseudoLibrary, tmp_path: Path
) -> None:
    pw_input = an_input(library, "scf")
    output, outcome = fake_output(pw_input, "smearing_stalls", tmp_path)
    odd = replace(output, n_electrons=9.0)
    assert classify(pw_input, odd, outcome) == "scf_not_converged"
    assert classify(pw_input.with_values("system", nspin=2), odd, outcome) == "smearing_stalls"
    fixed = pw_input.with_values("system", occupations="fixed", smearing=None, degauss=None)
    assert classify(fixed, output, outcome) == "scf_not_converged"


def test_broken_symmetry_is_restored_then_switched_off(repair: Repairing) -> None:
    new, action, _ = repair("symmetry_broken")
    assert action.handler == "symmetrise"
    new, action, _ = repair("symmetry_broken", start=new)
    assert (action.handler, new.get("system", "nosym")) == ("no_symmetry", True)
    _, action, _ = repair("symmetry_broken", start=new)
    assert action.decision == "give_up"


def test_scheduler_failures_are_resubmitted_unchanged_with_growing_delay(library: PseudoLibrary) -> None:
    start = new = an_input(library)
    delays = []
    for _ in range(3):
        new, action = repaired(new, PwOutput(), "scheduler")
        assert action.decision == "resubmit"
        assert new.namelists == start.namelists
        delays.append(action.changes["delay_seconds"])
    assert delays == sorted(set(delays))
    _, action = repaired(new, PwOutput(), "scheduler")
    assert action.decision == "give_up"


def test_memory_grows_only_at_the_second_kill(repair: Repairing) -> None:
    new, action, _ = repair("out_of_memory")
    assert (new.memory_gb, action.decision) == (None, "resubmit")
    new, _, _ = repair("out_of_memory", start=new)
    assert new.memory_gb == 8.0
    _, action, _ = repair("out_of_memory", start=new)
    assert action.decision == "give_up"


def test_nothing_written_is_tried_once_more_unless_atoms_overlap(repair: Repairing, library: PseudoLibrary) -> None:
    new, action, _ = repair("no_output", "scf")
    assert action.decision == "resubmit"
    _, action, _ = repair("unreadable", "scf", new)
    assert action.decision == "give_up"
    overlapping = silicon().replace(frac_coords=[[0.24, 0.25, 0.25], [0.25, 0.25, 0.25]])
    _, action, _ = repair("no_output", "scf", replace(an_input(library, "scf"), crystal=overlapping))
    assert action.decision == "give_up"
    assert "overlap" in action.note


@pytest.mark.parametrize(("scenario", "words"), [("disk_full", "free space"), ("crashed", "readpp: file Si.upf")])
def test_what_cannot_be_repaired_says_what_to_do(repair: Repairing, scenario: str, words: str) -> None:
    _, action, _ = repair(scenario, "scf")
    assert action.decision == "give_up"
    assert words in action.note


def test_accepting_an_unconverged_scf_is_marked(repair: Repairing, library: PseudoLibrary) -> None:
    allowed = an_input(library, "scf").with_values("electrons", scf_must_converge=False)
    _, action, _ = repair("scf_unconverged_allowed", "scf", allowed)
    assert (action.decision, action.handler) == ("accept", "accept_unconverged")
