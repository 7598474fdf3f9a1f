"""Slurm against a fake one: submitted once, polled by job id, its failures told from the code's."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.artifacts import Ledger
from dao_core.dft.calculation import SCRATCH, RunLimits, calculate
from dao_core.dft.launch.base import LaunchError
from dao_core.dft.launch.slurm import JOB_FILE, SlurmLauncher, SlurmSettings
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.job import pw_job
from dao_core.dft.pw.write import write_input
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import INFRA, an_input


@pytest.fixture
def slurm_dir(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    folder = tmp_path / "slurm"
    folder.mkdir()
    monkeypatch.setenv("FAKE_SLURM_DIR", str(folder))
    return folder


@pytest.fixture
def launcher(settings: DftSettings, slurm_dir: Path) -> SlurmLauncher:
    assert slurm_dir.is_dir()
    commands = {
        n: f"{sys.executable} -I -S {INFRA / 'fake_slurm' / n}" for n in ("sbatch", "squeue", "sacct", "scancel")
    }
    return SlurmLauncher(settings, SlurmSettings(poll_seconds=0.1, unknown_limit=3, **commands))


def run(launcher: SlurmLauncher, library: PseudoLibrary, root: Path) -> tuple[str, str, list[str], int]:
    result = calculate(an_input(library, "scf"), launcher, Ledger(root), RunLimits(sleep=lambda _: None))
    return result.status, result.failure, [a.handler for a in result.actions], result.rounds


def test_job_runs_to_its_end(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], tmp_path: Path
) -> None:
    plan()
    assert run(launcher, library, tmp_path / "ledger") == ("done", "none", [], 1)


def test_failure_of_the_code_is_repaired(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], tmp_path: Path
) -> None:
    plan("scf_not_converged")
    assert run(launcher, library, tmp_path / "ledger") == ("done", "none", ["gentler_mixing"], 2)


@pytest.mark.parametrize(
    ("words", "handlers"),
    [
        ("refuse", ["resubmit"]),
        ("NODE_FAIL PREEMPTED", ["resubmit", "resubmit"]),
        ("OUT_OF_MEMORY", ["more_memory"]),
        ("TIMEOUT", ["shorter_max_seconds"]),
        ("down", []),
        ("forget", []),
    ],
)
def test_failure_of_the_scheduler_is_resubmitted(
    launcher: SlurmLauncher,
    library: PseudoLibrary,
    plan: Callable[..., Path],
    slurm_dir: Path,
    tmp_path: Path,
    words: str,
    handlers: list[str],
) -> None:
    plan()
    (slurm_dir / "plan").write_text("\n".join(words.split()))
    assert run(launcher, library, tmp_path / "ledger") == ("done", "none", handlers, len(handlers) + 1)


def test_scheduler_that_stays_broken_is_named_and_nothing_is_recorded(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], slurm_dir: Path, tmp_path: Path
) -> None:
    plan()
    (slurm_dir / "plan").write_text("\n".join(["NODE_FAIL"] * 9))
    status, failure, handlers, _ = run(launcher, library, tmp_path / "ledger")
    assert (status, failure, set(handlers)) == ("blocked", "scheduler", {"resubmit"})
    (slurm_dir / "plan").write_text("")
    assert run(launcher, library, tmp_path / "ledger")[0] == "done"


def test_job_outlives_its_worker_and_is_not_submitted_twice(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], slurm_dir: Path, tmp_path: Path
) -> None:
    plan()
    pw_input = an_input(library, "scf")
    ledger = Ledger(tmp_path / "ledger")
    folder = ledger.root / SCRATCH / pw_input.key() / "round_1"
    write_input(pw_input, folder)
    launcher.start(folder, pw_job(pw_input))  # the first worker submits and dies
    job = json.loads((folder / JOB_FILE).read_text())["job_id"]
    result = calculate(pw_input, launcher, ledger, RunLimits(sleep=lambda _: None))
    assert (result.status, result.rounds) == ("done", 1)
    assert [p.name for p in slurm_dir.iterdir() if p.is_dir()] == [job]


@pytest.mark.parametrize("state", ["REQUEUE_HOLD", "SIGNALING", "STOPPED", "SPECIAL_EXIT"])
def test_a_job_that_slurm_still_keeps_is_not_submitted_beside_itself(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], slurm_dir: Path, tmp_path: Path,
    state: str,
) -> None:  # fmt: skip
    plan()
    (slurm_dir / "plan").write_text("hold")
    pw_input, folder = an_input(library, "scf"), tmp_path / "round_1"
    write_input(pw_input, folder)
    launcher.start(folder, pw_job(pw_input))
    (slurm_dir / "1" / "state").write_text(state)
    assert launcher.started(folder)


def test_cancelled_job_counts_as_the_schedulers(
    launcher: SlurmLauncher, library: PseudoLibrary, plan: Callable[..., Path], slurm_dir: Path, tmp_path: Path
) -> None:
    plan()
    (slurm_dir / "plan").write_text("hold")
    pw_input, folder = an_input(library, "scf"), tmp_path / "round_1"
    write_input(pw_input, folder)
    launcher.start(folder, pw_job(pw_input))
    assert launcher.started(folder)
    launcher.cancel(folder)
    assert not launcher.started(folder)
    assert launcher.wait(folder, pw_job(pw_input)).kind == "scheduler"


def test_script_asks_for_what_the_input_needs(launcher: SlurmLauncher, library: PseudoLibrary) -> None:
    text = launcher.script(pw_job(replace(an_input(library), ranks=4, pools=2, memory_gb=8.0, wall_seconds=7200)))
    for line in ("#SBATCH --ntasks=4", "#SBATCH --time=120", "#SBATCH --mem=8192M", "srun -n 4", "-nk 2", "exit $code"):
        assert line in text


def test_no_slurm_is_said(settings: DftSettings, library: PseudoLibrary, tmp_path: Path) -> None:
    launcher = SlurmLauncher(settings, SlurmSettings(sbatch="no-such-sbatch"))
    with pytest.raises(LaunchError, match="no-such-sbatch not found"):
        launcher.start(tmp_path, pw_job(an_input(library)))
