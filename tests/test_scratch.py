"""Scratch folders go with the block, and with a process that a signal ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from dao_core.scratch import remove_scratch, scratch_folder


def test_a_scratch_folder_is_gone_after_its_block_or_when_asked() -> None:
    with scratch_folder("dao-test-") as first:
        assert first.name.startswith("dao-test-")
        (first / "part").write_text("1")
    assert not first.exists()
    with scratch_folder() as second, scratch_folder() as third:
        (second / "deep").mkdir()
        remove_scratch()
        assert not second.exists()
        assert not third.exists()


STOPPED = """
import os, sys
from dao_core.screening.search import Conductor
from flows.cli.main import main

def stopped(conductor, *_):
    (conductor.context.root / "part").write_text("1")
    print(conductor.context.root, flush=True)
    os.kill(os.getpid(), int(signal_number))

signal_number = sys.argv.pop(1)
Conductor.run = stopped
main()
"""


@pytest.mark.parametrize(("number", "status"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_search_that_is_stopped_leaves_no_folder(tmp_path: Path, number: signal.Signals, status: int) -> None:
    search = ("predict", "NaCl", "--generator", "none", "--judge", "none")
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, str(int(number)), *search], capture_output=True, text=True, check=False,
        timeout=120, env={**os.environ, "TMPDIR": str(tmp_path)},
    )  # fmt: skip
    assert done.returncode == status, done.stderr
    assert done.stdout.strip().startswith(str(tmp_path))
    assert "stopped; the command starts again from the beginning" in done.stderr
    assert list(tmp_path.glob("dao-*")) == []
