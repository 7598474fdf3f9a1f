from __future__ import annotations

import os
import subprocess
import sys

from tasks.processes import process_start


def test_process_start_tells_the_living_from_the_dead() -> None:
    child = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    assert process_start(child.pid) is not None
    child.kill()
    child.wait()
    assert process_start(child.pid) is None
    assert process_start(os.getpid()) is not None
