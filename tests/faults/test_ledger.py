"""The ledger under real accidents: killed processes, full disks, two runs at once."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import textwrap
from pathlib import Path

import pytest

from dao_core.artifacts import ArtifactError, Ledger


def python(code: str, *args: str) -> subprocess.Popen[str]:
    """A child interpreter running `code`, its output readable line by line."""
    command = [sys.executable, "-c", textwrap.dedent(code), *args]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


KILLED_WHERE = {
    "in the work": "ledger.run('s', 'k', lambda d: ((d / 'a').write_text('x'), stop()))",
    "before the manifest": "art.write_manifest = lambda *a, **k: stop(); ledger.run('s', 'k', work)",
    "between manifest and rename": "art.Path.rename = lambda *a: stop(); ledger.run('s', 'k', work)",
}


@pytest.mark.parametrize("where", KILLED_WHERE)
def test_sigkill_leaves_no_half_stage_and_the_same_command_continues(tmp_path: Path, where: str) -> None:
    code = f"""
    import os, signal, sys
    import dao_core.artifacts as art

    def stop(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGKILL)

    def work(directory):
        (directory / 'a').write_text('x')

    ledger = art.Ledger(sys.argv[1])
    {KILLED_WHERE[where]}
    """
    child = python(code, str(tmp_path))
    child.communicate(timeout=60)
    assert child.returncode == -signal.SIGKILL
    ledger = Ledger(tmp_path)
    assert ledger.find("s", "k") is None
    assert list((tmp_path / "s").glob("k.tmp-*")), "the kill came too late to test anything"

    def work(directory: Path) -> dict[str, dict[str, int]]:
        (directory / "a").write_text("whole")
        return {"counts": {"rows": 1}}

    record = ledger.run("s", "k", work)  # the dead process's lock is gone with it
    assert record.file("a").read_text() == "whole"
    assert sorted(p.name for p in (tmp_path / "s").iterdir()) == ["k", "k.lock"]


def test_two_runs_at_once_do_the_work_once(tmp_path: Path) -> None:
    code = """
    import sys
    from dao_core.artifacts import Ledger

    def work(directory):
        with open(sys.argv[1] + '/log', 'a') as log:
            log.write('worked\\n')
        print('working', flush=True)
        sys.stdin.readline()
        (directory / 'a').write_text('x')

    print('done', Ledger(sys.argv[1]).run('s', 'k', work).key, flush=True)
    """
    command = [sys.executable, "-c", textwrap.dedent(code), str(tmp_path)]
    first, second = (
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(2)
    )
    for child in (first, second):  # both before waiting for either: whichever holds the lock must be let go
        assert child.stdin is not None
        child.stdin.write("go\n")
        child.stdin.flush()
    outputs = [child.communicate(timeout=60)[0] for child in (first, second)]
    assert first.returncode == second.returncode == 0
    assert (tmp_path / "log").read_text() == "worked\n"
    assert sum("working" in out for out in outputs) == 1
    assert all("done k" in out for out in outputs)


def test_two_readers_of_a_damaged_stage_do_not_move_the_mended_one(tmp_path: Path) -> None:
    """A reader never renames: only the holder of the lock sets a damaged directory aside."""
    ledger = Ledger(tmp_path)

    def work(directory: Path) -> None:
        (directory / "a").write_text("x")

    path = Path(ledger.run("s", "k", work).path)
    (path / "a").write_text("damaged")
    assert ledger.find("s", "k") is None
    assert path.exists()


def test_full_disk_is_named_and_leaves_nothing(tmp_path: Path) -> None:
    """RLIMIT_FSIZE makes the kernel refuse the bytes, as a full disk does."""
    code = """
    import resource, signal, sys
    from dao_core.artifacts import ArtifactError, Ledger

    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, 1000))
    try:
        Ledger(sys.argv[1]).run('s', 'k', lambda d: (d / 'a').write_bytes(b'0' * 5000) and None)
    except ArtifactError as error:
        print(error)
    """
    child = python(code, str(tmp_path))
    out, err = child.communicate(timeout=60)
    assert child.returncode == 0, err
    assert "free space below" in out
    assert [p.name for p in (tmp_path / "s").iterdir()] == ["k.lock"]


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_no_space_left_from_the_kernel(tmp_path: Path) -> None:
    def fill(_: Path) -> None:
        with Path("/dev/full").open("wb", buffering=0) as handle:
            handle.write(b"x")

    with pytest.raises(ArtifactError, match="free space below"):
        Ledger(tmp_path).run("s", "k", fill)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_unwritable_root(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="cannot write below"):
        Ledger(tmp_path / "runs").run("s", "k", lambda _: None)


def test_root_below_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(ArtifactError, match="cannot write below"):
        Ledger(tmp_path / "file" / "runs").run("s", "k", lambda _: None)
