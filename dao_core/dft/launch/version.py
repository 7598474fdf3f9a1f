"""Which version of Quantum ESPRESSO is installed; inputs of 6.7 and 7.x differ."""

from __future__ import annotations

import re
import subprocess
import tempfile

from dao_core.dft.launch.base import environment, program_words

ASK_SECONDS = 60.0


def installed_version(pw_command: str, program: str = "pw.x") -> str | None:
    """The version that a program prints on an empty input, such as "6.7MaX"; None where it can't be run here.

    Args:
        pw_command: The command of pw.x, beside which the program lies.
        program: The program to ask.
    """
    with tempfile.TemporaryDirectory(prefix="dao-qe-") as folder:
        try:
            done = subprocess.run(
                [*program_words(pw_command, program), "-in", "/dev/null"], cwd=folder, capture_output=True, text=True,
                check=False, stdin=subprocess.DEVNULL, timeout=ASK_SECONDS, env=environment(), errors="replace",
            )  # fmt: skip
        except (OSError, subprocess.TimeoutExpired):
            return None
    match = re.search(r"Program \S+ v\.(\S+)", done.stdout)
    return match.group(1) if match else None
