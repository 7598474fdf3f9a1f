"""SIGTERM at random moments of build, screen and validate: ended within 10 s, no traceback, the same command completes.

    python benchmarks/survive_sigterm.py --work DIR [--n 20] [--record]

Each round starts a command as a user types it, in a new folder, sends SIGTERM to it alone after a random time, and then
runs the same command to its end. The moments are drawn from the time that the undisturbed command takes, its start
included; one at which it had ended is drawn again. `validate` needs pw.x and `dao validate setup`.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from bars import record_bar

ROOT = Path(__file__).resolve().parents[1]
DAO = [sys.executable, "-c", "from flows.cli.main import main; main()"]
ENDED_WITHIN, LONGEST = 10.0, 600.0
TRIES = 10  # draws of a moment at which the command still runs
SILICON = """data_Si
_cell_length_a 3.867
_cell_length_b 3.867
_cell_length_c 3.867
_cell_angle_alpha 60
_cell_angle_beta 60
_cell_angle_gamma 60
_symmetry_space_group_name_H-M 'P1'
loop_
_atom_site_label
_atom_site_type_symbol
_atom_site_fract_x
_atom_site_fract_y
_atom_site_fract_z
Si1 Si 0 0 0
Si2 Si 0.25 0.25 0.25
"""


def commands() -> dict[str, list[str]]:
    """The commands under test, as typed in the folder of their round."""
    return {
        "build": ["crysdb", "build", "--root", "db"],
        "screen": ["screen", "NaCl", "MgO", "-n", "6", "--out", "run"],
        "validate": ["validate", "run", "si.cif", "--no-elements", "--no-compare", "--root", "dft"],
    }


def prepared(folder: Path) -> Path:
    """A new folder for a round."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    (folder / "si.cif").write_text(SILICON)
    return folder


def started(arguments: list[str], folder: Path) -> subprocess.Popen[str]:
    """The command in a process of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    with (folder / "log").open("w") as log:
        return subprocess.Popen([*DAO, *arguments], cwd=folder, env=environment, text=True, stdout=log, stderr=log)


def undisturbed(arguments: list[str], folder: Path) -> float:
    """Seconds of the whole command."""
    begin = time.monotonic()
    if started(arguments, folder).wait(timeout=LONGEST) not in (0, 1):
        raise SystemExit(f"{' '.join(arguments)} does not run: {(folder / 'log').read_text()[-500:]}")
    return time.monotonic() - begin


def disturbed(arguments: list[str], folder: Path, moment: float) -> dict[str, Any] | None:
    """What SIGTERM after `moment` seconds does; None where the command had ended by itself."""
    process = started(arguments, folder)
    try:
        process.wait(timeout=moment)
    except subprocess.TimeoutExpired:
        pass
    else:
        return None
    process.send_signal(signal.SIGTERM)
    begin = time.monotonic()
    try:
        status = process.wait(timeout=6 * ENDED_WITHIN)
    except subprocess.TimeoutExpired:
        process.kill()
        status = None
    seconds = time.monotonic() - begin
    log = (folder / "log").read_text()
    again = started(arguments, folder).wait(timeout=LONGEST)
    after = (folder / "log").read_text()
    traceback = next((text for text in (log, after) if "Traceback" in text), None)
    good = seconds <= ENDED_WITHIN and status in (143, -signal.SIGTERM) and traceback is None and again in (0, 1)
    return {"moment": round(moment, 2), "seconds": round(seconds, 2), "status": status, "again": again, "good": good,
            **({} if good else {"log": (traceback or log)[-1500:]})}  # fmt: skip


def main() -> None:
    """Measure, print one JSON line last, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="folder for the rounds; emptied")
    parser.add_argument("--n", type=int, default=20, help="moments, spread over the commands")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", nargs="*", default=None, help="of the commands only these")
    parser.add_argument("--record", action="store_true")
    options = parser.parse_args()
    rng = random.Random(options.seed)
    chosen = {k: v for k, v in commands().items() if options.only is None or k in options.only}
    whole = {k: undisturbed(v, prepared(options.work / k)) for k, v in chosen.items()}
    print(json.dumps({"seconds undisturbed": {k: round(v, 1) for k, v in whole.items()}}), flush=True)
    rounds: list[dict[str, Any]] = []
    for i in range(options.n):
        name = list(chosen)[i % len(chosen)]
        for _ in range(TRIES):
            folder = prepared(options.work / name)
            out = disturbed(chosen[name], folder, rng.uniform(0.5, whole[name]))
            if out is not None:
                rounds.append({"command": name, **out})
                print(json.dumps(rounds[-1]), flush=True)
                break
    good = sum(r["good"] for r in rounds)
    line = {
        "row": 4, "what": "SIGTERM at random moments of build, screen, validate: ended within 10 s, no traceback, the "
        "same command completes", "value": [good, len(rounds)], "bar": [20, 20], "n": len(rounds), "seed": options.seed,
        "met": good == len(rounds) >= 20, "interval": f"longest {max(r['seconds'] for r in rounds):.1f} s",
        "command": "python benchmarks/survive_sigterm.py",
    }  # fmt: skip
    if options.record:
        record_bar(issue="faults", **line)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
