"""The `dao` command as a process."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path


def dao(*arguments: str, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "flows.cli.main", *arguments]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120, check=False)
