"""Fan-outs: the same results on threads and on Dask processes by settings alone, errors by shard, sizes of tasks."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tasks.config import Workers
from tasks.events import EVENTS, write_event
from tasks.workers import EngineError, RunStage, ShardLog, batch_size, let_reports_catch_up, task_runner
from tests.server.services import Server, running

SCRIPT = """
import json, os, sys
from pathlib import Path

from dao_core.artifacts import Ledger, StageRecord, content_key
from tasks.config import Workers
from tasks.prefect_api import flow, task
from tasks.run_log import RunLog


@task(name="square", retries=1)
def square(number, root):
    def work(directory):
        with open(f"{root}/log", "a") as log:
            log.write(f"{number} {os.getpid()}\\n")
        if number == 5 and not Path(root, "failed").exists():
            Path(root, "failed").touch()
            raise ValueError("five, once")
        if number == 3 and "killed" in root and not Path(root, "killed").exists():
            Path(root, "killed").touch()
            os.kill(os.getpid(), 9)
        if number == 7 and "broken" in root:
            raise ValueError("seven, always")
        (directory / "out").write_text(str(number**2))
        return {"counts": {"n_asked": 1, "n_ok": 1, "n_failed": 0}}
    return Ledger(root).run("square", content_key(n=number), work)


@flow
def run(root, workers):
    with RunLog(root, name="run", command="again", workers=workers).watch() as log:
        out = log.step_each("squares", square, range(12), root)
        log.finish("completed")
    return [int(r.file("out").read_text()) for r in out]


if __name__ == "__main__":
    job = {"queue": "normal", "cores": 1, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}
    if sys.argv[2] == "slurm":
        import tasks.slurm_workers
        tasks.slurm_workers.LOOK_SECONDS = 0.5
    kinds = {"threads": Workers(workers=2), "dask": Workers(engine="dask", workers=2),
             "slurm": Workers(engine="slurm", workers=1, slurm=job)}
    print(json.dumps([os.getpid(), run(sys.argv[1], kinds[sys.argv[2]])]))
"""


ROOT = Path(__file__).parents[2]
FAKE_SLURM = ROOT / "infra" / "fake_slurm"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """One standing server for the scripts of this file."""
    standing = Server(tmp_path_factory.mktemp("server"))
    with running(standing):
        yield standing.url


def run(root: Path, engine: str, server: str | None, plan: str = "") -> subprocess.CompletedProcess[str]:
    """The script in a process of its own; without a server it starts Prefect's ephemeral one. `plan` is Slurm's."""
    root.mkdir(exist_ok=True)
    script = root / "script.py"
    script.write_text(SCRIPT)
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(root / "home"), "PYTHONPATH": str(ROOT)}
    environment |= {"FAKE_SLURM_DIR": str(root / "slurm"), "PATH": f"{FAKE_SLURM}:{os.environ['PATH']}"}
    environment |= {} if server is None else {"PREFECT_API_URL": server}
    (root / "slurm").mkdir()
    (root / "slurm" / "plan").write_text(plan)
    return subprocess.run(
        [sys.executable, str(script), str(root), engine], capture_output=True, text=True, env=environment, timeout=500,
        check=False,
    )  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("engine", ["threads", "dask", "slurm"])
def test_the_same_flow_on_any_engine(tmp_path: Path, server: str, engine: str) -> None:
    if engine == "slurm":
        pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")
    done = run(tmp_path / engine, engine, None if engine == "dask" else server)  # its workers must find the ephemeral
    assert done.returncode == 0, done.stderr[-3000:]
    own, squares = json.loads(done.stdout.splitlines()[-1])
    assert squares == [i**2 for i in range(12)]
    work = [line.split() for line in (tmp_path / engine / "log").read_text().splitlines()]
    assert sorted(int(n) for n, _ in work) == sorted([*range(12), 5])  # only the failed shard was repeated
    pids = {int(pid) for _, pid in work}
    assert (own in pids) is (engine == "threads")
    assert len(pids) == (2 if engine == "dask" else 1)
    jobs = list((tmp_path / engine / "slurm").glob("*/state"))  # that sbatch got
    assert len(jobs) == (engine == "slurm"), done.stderr[-6000:]
    events = [json.loads(line) for line in (tmp_path / engine / EVENTS).read_text().splitlines()]
    shards = [e for e in events if e["message"] == "shard done" and e["stage"] == "squares"]
    assert {e["shard"] for e in shards} == set(range(12))
    assert len({e["run"] for e in shards}) == 1
    assert [e["error"] for e in events if e["message"] == "shard failed"] == ["ValueError: five, once"]
    assert not list((tmp_path / engine / "progress").glob("*"))


@pytest.mark.slow
def test_slurm_jobs_that_never_bring_a_worker_are_asked_for_again(tmp_path: Path, server: str) -> None:
    pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")
    done = run(tmp_path / "slurm", "slurm", server, plan="refuse NODE_FAIL")
    assert done.returncode == 0, done.stderr[-3000:]
    assert json.loads(done.stdout.splitlines()[-1])[1] == [i**2 for i in range(12)]
    assert "job was refused by sbatch; another is asked for (1 in a row)" in done.stderr
    assert "job 1 ended before it had started: NODE_FAIL; another is asked for (2 in a row)" in done.stderr
    assert {p.parent.name for p in (tmp_path / "slurm" / "slurm").glob("*/state")} == {"1", "2"}


@pytest.mark.slow
def test_a_slurm_that_never_starts_a_worker_ends_the_run(tmp_path: Path, server: str) -> None:
    pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")
    done = run(tmp_path / "slurm", "slurm", server, plan="NODE_FAIL " * 20)
    assert done.returncode == 1
    assert "EngineError: 5 Slurm jobs in a row brought no Dask worker; the last one's job 5 ended before" in done.stderr
    assert json.loads((tmp_path / "slurm" / "run.json").read_text())["status"] == "failed"


@pytest.mark.slow
def test_a_killed_dask_worker_loses_only_what_it_was_doing(tmp_path: Path, server: str) -> None:
    done = run(tmp_path / "killed", "dask", server)
    assert done.returncode == 0, done.stderr[-3000:]
    own, squares = json.loads(done.stdout.splitlines()[-1])
    assert squares == [i**2 for i in range(12)]
    work = sorted(int(line.split()[0]) for line in (tmp_path / "killed" / "log").read_text().splitlines())
    assert work == sorted([*range(12), 3, 5])
    assert own


@pytest.mark.slow
def test_a_shard_that_always_fails_stops_the_run_after_the_others(tmp_path: Path, server: str) -> None:
    done = run(tmp_path / "broken", "threads", server)
    assert done.returncode == 1
    assert "seven, always" in done.stderr
    finished = list((tmp_path / "broken" / "square").glob("*/manifest.json"))
    assert len(finished) == 11
    state = json.loads((tmp_path / "broken" / "run.json").read_text())
    assert (state["status"], state["error"]) == ("failed", "ValueError: seven, always")


@pytest.mark.parametrize("workers", [1, 2, 16])
def test_tasks_shrink_towards_the_end(workers: int) -> None:
    left, sizes = 1000, []
    while left:
        sizes.append(batch_size(left, workers))
        left -= sizes[-1]
    assert max(sizes) == sizes[0] <= 64
    assert sizes == sorted(sizes, reverse=True)
    assert sizes[-1] == 1
    assert len(sizes) < 1000 / 5
    assert sum(sizes) == 1000


def test_finished_shards_of_unfinished_tasks_are_counted(tmp_path: Path) -> None:
    run_stage = RunStage(str(tmp_path), "run-1", "relax")
    write_event(tmp_path, "run-1", "shard done", stage="relax", shard=0)  # of an earlier attempt
    log = ShardLog(run_stage)
    assert log.ended() == 0
    write_event(tmp_path, "run-1", "shard done", stage="relax", shard=1)
    write_event(tmp_path, "run-1", "shard done", stage="other", shard=1)
    with (tmp_path / EVENTS).open("a") as half:
        half.write('{"stage": "relax", "shard": 2')
    assert log.ended() == 1
    with (tmp_path / EVENTS).open("a") as half:
        half.write(', "seconds": 1}\n')
    assert log.ended() == 2


def test_an_address_means_that_cluster() -> None:
    runner = task_runner(Workers(engine="dask", address="tls://nowhere:8786"))
    assert runner.address == "tls://nowhere:8786"  # type: ignore[attr-defined]


def test_slurm_without_its_package_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda _: None)
    with pytest.raises(EngineError, match=r"pip install 'dao-csp\[slurm\]'"):
        task_runner(Workers(engine="slurm"))


def test_slurm_s_options_come_from_the_settings() -> None:
    pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")
    slurm = {"queue": "gpu", "cores": 8, "memory": "32GB", "walltime": "01:00:00"}
    runner: Any = task_runner(Workers(engine="slurm", workers=16, slurm=slurm))
    assert slurm.items() <= runner.cluster_kwargs.items()
    assert (runner.cluster_kwargs["processes"], runner.cluster_kwargs["death_timeout"]) == (1, 300)
    assert (runner.adapt_kwargs["minimum"], runner.adapt_kwargs["maximum"]) == (0, 16)
    patient = task_runner(Workers(engine="slurm", slurm={**slurm, "death_timeout": 7}))
    assert patient.cluster_kwargs["death_timeout"] == 7  # type: ignore[attr-defined]


def test_tasks_wait_for_a_slow_server_but_not_for_a_dead_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import queue
    import threading
    from types import SimpleNamespace

    from prefect.events.worker import EventsWorker

    waiting: queue.Queue[int] = queue.Queue()
    for i in range(50):
        waiting.put(i)
    monkeypatch.setattr(EventsWorker, "instance", classmethod(lambda _: SimpleNamespace(_queue=waiting)))
    let_reports_catch_up(limit=20, seconds=0.0)  # nobody takes them
    assert waiting.qsize() == 50
    taker = threading.Thread(target=lambda: [waiting.get() for _ in range(40)])
    taker.start()
    let_reports_catch_up(limit=20, seconds=60)
    assert waiting.qsize() <= 20
    taker.join()
