"""Every failure once more, through a fake pw.x that is really started: survived, or ended with its own name."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dao_core.artifacts import Ledger
from dao_core.dft.calculation import STAGE, RunLimits, calculate
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Calculation
from dao_core.dft.pw.result import PwResult
from dao_core.dft.repair.failures import FAILURES, classify
from dao_core.dft.settings import DftSettings
from tests.dft.conftest import library, plan, settings  # noqa: F401 - fixtures
from tests.helpers.fake_pw import INFRA, fake_output, silicon

Replay = Callable[..., PwResult]


@pytest.fixture
def replay(
    library: PseudoLibrary,  # noqa: F811
    settings: DftSettings,  # noqa: F811
    plan: Callable[..., Path],  # noqa: F811
    tmp_path: Path,
) -> Replay:
    """replay(calculation, *scenarios): the result of a calculation in which pw.x fails in that order."""

    def run(calculation: Calculation, *names: str, insulator: bool = False, **changes: Any) -> PwResult:
        plan(*names)
        used = settings.model_copy(update={"electronic_type": "insulator" if insulator else "metal", **changes})
        monitor = 0.05 if "scf_stuck" in names else 20.0
        launcher = LocalLauncher(used, poll_seconds=0.02, monitor_seconds=monitor)
        pw_input = build_input(silicon(), library, used, calculation)
        return calculate(pw_input, launcher, Ledger(tmp_path / "ledger"), RunLimits(sleep=lambda _: None))

    return run


# calculation, failures in sequence, handlers expected
SURVIVED: list[tuple[Calculation, list[str], list[str]]] = [
    ("scf", ["top_band_occupied"], ["more_bands"]),
    ("vc-relax", ["scf_stuck"], ["smaller_upscale"]),
    ("scf", ["smearing_stalls", "good"], ["gaussian_smearing", "fixed_occupations"]),
    ("scf", ["smearing_stalls", "crossing_bands"], ["gaussian_smearing", "own_smearing"]),
    ("vc-relax", ["bfgs_history"], ["smaller_trust_radius"]),
    ("vc-relax", ["bfgs_history", "bfgs_history"], ["smaller_trust_radius", "damped_cell"]),
    ("relax", ["bfgs_history"], ["damped_ions"]),
    ("scf", ["cholesky"], ["other_diagonalization"]),
    ("scf", ["too_many_bands", "s_matrix"], ["other_diagonalization"] * 2),
    ("scf", ["zhegvd"], ["other_diagonalization"]),
    ("scf", ["qr"], ["other_diagonalization"]),
    ("scf", ["eigenvectors"], ["other_diagonalization"]),
    ("scf", ["broyden"], ["other_diagonalization"]),
    ("vc-relax", ["max_seconds", "max_seconds"], ["continue_run"] * 2),
    ("scf", ["stopped_in_forces"], ["continue_from_charge"]),
    ("vc-relax", ["interrupted"], ["from_last_structure"]),
    ("vc-relax", ["nstep"], ["more_ionic_steps"]),
    ("vc-relax", ["radial_fft"], ["larger_cell_factor"]),
    ("vc-relax", ["scf_in_relax"], ["gentler_mixing_in_relax"]),
    ("vc-relax", ["scf_in_final"], ["gentler_mixing_in_relax"]),
    ("scf", ["scf_not_converged"] * 4, ["gentler_mixing"] * 4),
    ("scf", ["unreadable"], ["run_again"]),
    ("scf", ["no_output"], ["run_again"]),
    ("scf", ["dexx_negative"], ["tighter_scf"]),
    ("scf", ["charge_wrong"], ["more_bands_for_charge"]),
    ("vc-relax", ["symmetry_broken", "symmetry_broken"], ["symmetrise", "no_symmetry"]),
    ("vc-relax", ["out_of_memory"], ["more_memory"]),
    ("vc-relax", ["stars_in_energy"], ["run_again"]),
    ("scf", ["nan_in_forces"], ["run_again"]),
    ("scf", ["stars_in_stress"], ["run_again"]),
    ("vc-relax", ["interrupted", "cholesky", "radial_fft", "nstep"],
     ["from_last_structure", "other_diagonalization", "larger_cell_factor", "more_ionic_steps"]),
]  # fmt: skip


@pytest.mark.parametrize(("calculation", "names", "handlers"), SURVIVED)
def test_survived(replay: Replay, calculation: Calculation, names: list[str], handlers: list[str]) -> None:
    result = replay(calculation, *names)
    assert result.status == "done", result.message
    assert [a.handler for a in result.actions] == handlers
    assert result.rounds == len(names) + 1
    assert result.energy is not None
    inputs = sorted(Path(result.directory).glob("round_*/input.json"))
    assert len(inputs) == result.rounds  # failures are kept beside the success
    for path, action in zip(inputs[1:], result.actions, strict=True):
        sections = json.loads(path.read_text())["namelists"]
        values = {k: v for section in sections.values() for k, v in section.items()}
        for name, change in action.changes.items():
            if name in values and isinstance(change, list):
                assert change[1] in (values[name], pytest.approx(values[name])) or path != inputs[-1]


def test_stalled_insulator_is_done_after_one_change_of_smearing(replay: Replay) -> None:
    result = replay("scf", "smearing_stalls", "filled_bands")
    assert [a.handler for a in result.actions] == ["gaussian_smearing"]
    assert (result.status, result.rounds) == ("done", 2)


@pytest.mark.parametrize("scenario", ["charge_wrong", "bands_overlap"])
def test_no_insulator_is_smeared_as_the_protocol_says(replay: Replay, scenario: str) -> None:
    result = replay("scf", scenario, insulator=True, protocol="stringent")
    assert [a.handler for a in result.actions] == ["protocol_smearing"]
    assert result.status == "done"
    system = json.loads((Path(result.directory) / "round_2" / "input.json").read_text())["namelists"]["system"]
    protocol = DftSettings(protocol="stringent").resolved_protocol()
    assert (system["smearing"], system["degauss"]) == (protocol.smearing, protocol.degauss)


@pytest.mark.parametrize(
    ("scenario", "handler"),
    [("bfgs_history_converged", "accept_converged"), ("final_scf_thresholds", "accept_final_scf")],
)
def test_accepted_with_a_word(replay: Replay, scenario: str, handler: str) -> None:
    result = replay("vc-relax", scenario)
    assert result.status == "accepted"
    assert [a.handler for a in result.actions] == [handler]
    assert result.message


def test_killed_at_the_wall_time_goes_on_from_the_last_structure(replay: Replay) -> None:
    result = replay("vc-relax", "killed_at_walltime", wall_seconds=4.0)
    assert [a.handler for a in result.actions] == ["shorter_max_seconds"]
    assert result.status == "done"


def test_hanging_is_noticed(replay: Replay) -> None:
    result = replay("scf", "hanging", stall_seconds=3.0)
    assert [a.handler for a in result.actions] == ["restart_hanging"]
    assert result.status == "done"


@pytest.mark.parametrize("how", ["folder_removed", "folder_removed_while_working"])
def test_removed_folder_is_computed_anew_and_never_a_result(replay: Replay, how: str, tmp_path: Path) -> None:
    result = replay("vc-relax", how)
    assert (result.status, result.failure) == ("done", "none")
    assert [a.handler for a in result.actions] == ["start_anew"]
    result = replay("scf", *[how] * 9)
    assert (result.status, result.failure) == ("blocked", "folder_removed")
    assert Ledger(tmp_path / "ledger").find(STAGE, result.key) is None
    assert replay("scf").status == "done"


# calculation, failures, status, failure
ENDED: list[tuple[Calculation, list[str], str, str]] = [
    ("scf", ["scf_not_converged"] * 9, "failed", "scf_not_converged"),
    ("vc-relax", ["max_seconds"] * 9, "blocked", "max_seconds"),
    ("scf", ["cholesky"] * 9, "failed", "diagonalization"),
    ("scf", ["disk_full"], "blocked", "disk_full"),
    ("scf", ["crashed"], "failed", "crashed"),
    ("scf", ["unreadable"] * 2, "blocked", "unreadable"),
    ("vc-relax", ["stars_in_energy"] * 2, "blocked", "unreadable_values"),
    ("scf", ["no_output"] * 2, "blocked", "no_output"),
    ("vc-relax", ["out_of_memory"] * 9, "blocked", "out_of_memory"),
    ("scf", ["no_g_vector"], "failed", "no_g_vector"),
    ("scf", ["too_many_pools"], "failed", "too_many_pools"),
    ("scf", ["dexx_negative"] * 2, "failed", "dexx_negative"),
]


@pytest.mark.parametrize(("calculation", "names", "status", "failure"), ENDED)
def test_ended_with_its_own_name(
    replay: Replay, calculation: Calculation, names: list[str], status: str, failure: str
) -> None:
    result = replay(calculation, *names)
    assert (result.status, result.failure) == (status, failure)
    assert result.rounds <= 5
    assert result.message
    assert sorted(Path(result.directory).glob("round_*/espresso.pwi"))


def test_the_benchmark_has_a_row_for_every_failure_that_has_a_repair(
    settings: DftSettings,  # noqa: F811
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder = INFRA.parent / "benchmarks"
    monkeypatch.syspath_prepend(str(folder))
    spec = importlib.util.spec_from_file_location("qe_faults", folder / "qe_faults.py")
    assert spec is not None
    assert spec.loader is not None
    benchmark = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(benchmark)
    named = {"scheduler", "smearing_counts"}  # Slurm's own words, and the second run after a stall
    for kind, names in benchmark.ROWS.values():
        pw_input = benchmark.prepared(kind, settings)
        for name in names if kind != "scf-slurm" else ():
            named.add(classify(pw_input, *fake_output(pw_input, name, tmp_path / kind / name)))
    assert {failure.name for failure in FAILURES} - named == set(benchmark.WITHOUT_REPAIR)
