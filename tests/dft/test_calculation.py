"""One calculation over time: resumed after its worker's death, never run twice, failures kept."""

from __future__ import annotations

import json
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.dft.calculation import OUTCOME, SCRATCH, STAGE, RunLimits, calculate
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.job import pw_job
from dao_core.dft.pw.result import PwResult, result_from_dict, result_to_dict
from dao_core.dft.pw.write import write_input
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import an_input, fake_output, scenarios, silicon

Plan = Callable[..., Path]


@pytest.fixture
def ledger(tmp_path: Path) -> Ledger:
    return Ledger(tmp_path / "ledger")


def launcher(settings: DftSettings) -> LocalLauncher:
    return LocalLauncher(settings, poll_seconds=0.02)


def runs(plan_path: Path) -> int:
    count = Path(f"{plan_path}.count")
    return int(count.read_text()) if count.exists() else 0


def test_dead_worker_is_continued_from_its_last_structure(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    plan()
    pw_input = an_input(library)
    folder = ledger.root / SCRATCH / pw_input.key() / "round_1"
    output, _ = fake_output(pw_input, "interrupted", folder)  # writes the input; the worker and pw.x died together
    module = scenarios()
    reply = module.SCENARIOS["interrupted"](module.read_job((folder / "espresso.pwi").read_text()))
    (folder / "espresso.pwo").write_text(reply.stdout)
    result = calculate(pw_input, launcher(settings), ledger)
    assert (result.status, result.rounds) == ("done", 2)
    assert [a.handler for a in result.actions] == ["from_last_structure"]
    second = json.loads((Path(result.directory) / "round_2" / "input.json").read_text())
    assert output.crystal is not None
    assert np.allclose(second["lattice"], output.crystal.lattice)


def test_run_that_finished_after_its_worker_died_is_read_not_repeated(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    path = plan()
    pw_input = an_input(library, "scf")
    folder = ledger.root / SCRATCH / pw_input.key() / "round_1"
    module = scenarios()
    job = module.read_job(write_input(pw_input, folder).read_text())
    (folder / "espresso.pwo").write_text(module.SCENARIOS["good"](job).stdout)
    result = calculate(pw_input, launcher(settings), ledger)
    assert (result.status, result.rounds, runs(path)) == ("done", 1, 0)


def test_running_pw_is_waited_for(library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger) -> None:
    path = plan("hanging")
    pw_input = replace(an_input(library, "scf"), wall_seconds=4.0)
    folder = ledger.root / SCRATCH / pw_input.key() / "round_1"
    write_input(pw_input, folder)
    orphan = launcher(settings)
    orphan.start(folder, pw_job(pw_input))
    other = launcher(settings)
    assert other.started(folder)
    result = calculate(pw_input, other, ledger)
    assert result.actions[0].failure == "killed_at_walltime"
    assert result.status == "done"
    assert runs(path) == 2
    assert not orphan.started(folder)


def test_blocked_calculation_is_not_recorded_and_goes_on_later(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    plan("max_seconds", "max_seconds")
    pw_input = an_input(library)
    first = calculate(pw_input, launcher(settings), ledger, RunLimits(max_rounds=2))
    assert (first.status, first.failure, first.rounds) == ("blocked", "max_seconds", 2)
    assert ledger.find(STAGE, pw_input.key()) is None
    second = calculate(pw_input, launcher(settings), ledger, RunLimits(max_rounds=2))
    assert (second.status, second.rounds) == ("done", 3)
    started = json.loads((Path(second.directory) / "round_3" / "input.json").read_text())
    assert not np.allclose(started["lattice"], pw_input.crystal.lattice)


def test_a_smearing_of_a_repair_is_known_to_the_call_that_goes_on(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    """Its energy is not the protocol's: a metal goes back to its own smearing, whenever the run was cut."""
    plan("smearing_stalls", "max_seconds", "crossing_bands")
    pw_input = an_input(library)
    first = calculate(pw_input, launcher(settings), ledger, RunLimits(max_rounds=2))
    assert first.status == "blocked"
    second = calculate(pw_input, launcher(settings), ledger, RunLimits(max_rounds=4))
    assert second.status == "done"
    last = max(Path(second.directory).glob("round_*"), key=lambda p: int(p.name.split("_")[1]))
    namelists = json.loads((last / "input.json").read_text())["namelists"]
    assert namelists["system"]["smearing"] == "cold"


def test_a_call_that_goes_on_knows_that_it_is_no_insulator(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    plan("bands_overlap", "max_seconds")
    insulator = settings.model_copy(update={"electronic_type": "insulator"})
    pw_input = build_input(silicon(), library, insulator, "vc-relax")
    assert calculate(pw_input, launcher(settings), ledger, RunLimits(max_rounds=2)).status == "blocked"
    result = calculate(pw_input, launcher(settings), ledger)
    assert result.status == "done"
    assert [a.handler for a in result.actions] == ["protocol_smearing"]


def test_failure_for_good_is_recorded_with_its_files(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    path = plan("crashed")
    pw_input = an_input(library, "scf")
    result = calculate(pw_input, launcher(settings), ledger)
    assert (result.status, result.failure) == ("failed", "crashed")
    assert "readpp" in result.message
    assert (Path(result.directory) / "round_1" / "CRASH").exists()
    note = json.loads((Path(result.directory) / "round_1" / OUTCOME).read_text())
    assert note["action"]["decision"] == "give_up"
    again = calculate(pw_input, launcher(settings), ledger)
    assert (again.failure, runs(path)) == ("crashed", 1)


def test_two_callers_run_once(library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger) -> None:
    path = plan()
    pw_input = an_input(library, "scf")
    with ThreadPoolExecutor(2) as pool:
        results = list(pool.map(lambda _: calculate(pw_input, launcher(settings), ledger), range(2)))
    assert [r.status for r in results] == ["done", "done"]
    assert runs(path) == 1


def test_scratch_goes_unless_it_is_wanted(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    plan()
    kept, gone = an_input(library, "scf"), an_input(library, "relax")
    calculate(kept, launcher(settings), ledger, RunLimits(keep_scratch=True))
    calculate(gone, launcher(settings), ledger)
    assert (ledger.root / SCRATCH / kept.key() / "out").is_dir()
    assert not (ledger.root / SCRATCH / gone.key()).exists()


def test_full_disk_is_a_status(library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger) -> None:
    path = plan()
    tight = settings.model_copy(update={"min_free_bytes": 10**18})
    result = calculate(an_input(library, "scf"), launcher(tight), ledger)
    assert (result.status, result.failure, runs(path)) == ("blocked", "disk_full", 0)
    assert "free" in result.message


def test_unwritable_ledger_is_a_status(library: PseudoLibrary, settings: DftSettings, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    result = calculate(an_input(library, "scf"), launcher(settings), Ledger(tmp_path / "file" / "ledger"))
    assert (result.status, result.failure) == ("blocked", "disk_full")


def test_restart_only_from_what_was_saved(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    plan("max_seconds")
    pw_input = an_input(library)
    result = calculate(pw_input, launcher(settings), ledger)
    second = (Path(result.directory) / "round_2" / "espresso.pwi").read_text()
    assert "restart_mode     = 'restart'" in second
    plan("max_seconds")
    other = an_input(library, "relax")
    monkeypatch.setattr("dao_core.dft.calculation._saved", lambda _: (False, False))
    result = calculate(other, launcher(settings), ledger)
    assert "restart_mode     = 'from_scratch'" in (Path(result.directory) / "round_2" / "espresso.pwi").read_text()


def test_json_form_gives_the_result_back(
    library: PseudoLibrary, settings: DftSettings, plan: Plan, ledger: Ledger
) -> None:
    plan("nstep")
    result = calculate(an_input(library), launcher(settings), ledger)
    content = json.loads(json.dumps(result_to_dict(result))) | {"directory": result.directory}
    again = result_from_dict(content)
    assert isinstance(again, PwResult)
    assert (again.energy, again.actions, again.forces) == (result.energy, result.actions, result.forces)
