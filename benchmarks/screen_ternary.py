"""`dao screen` for a ternary system: 10 formulas, 20 candidates each, killed with SIGKILL half-way and continued.

python benchmarks/screen_ternary.py --work DIR [--system Sr-Ti-O] [--crysdb TABLE] [--no-kill] [--record]

The command as a user types it, in a process of its own. Wall and CPU seconds of all attempts together are reported; a
piece counts as repeated when a manifest that stood before the kill was written again.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import signal
import subprocess
import sys
import time
from itertools import combinations
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bars import machine
from qe_common import record

N_FORMULAS, N, BAR_SECONDS = 10, 20, 900.0


def formulas_of(system: str) -> list[str]:
    """The ten smallest charge-balanced formulas with all three elements, then of its binaries."""
    from dao_core.screening.select_formulas import SystemRequest, formulas_in_system

    pairs = ["-".join(pair) for pair in combinations(system.split("-"), 2)]
    found = [f for part in (system, *pairs) for f in formulas_in_system(SystemRequest(part)).formulas]
    return list(dict.fromkeys(f.reduced for f in found))[:N_FORMULAS]


def manifests(work: Path) -> dict[str, int]:
    """Finished stages and when each was written."""
    return {str(p.relative_to(work)): p.stat().st_mtime_ns for p in work.glob("ledger/*/*/manifest.json")}


def attempt(command: list[str], work: Path, *, kill_after: int | None) -> tuple[int, str]:
    """Run the command; with `kill_after`, SIGKILL it once so many pieces are relaxed. (exit status, its output)."""
    with (work.parent / f"{work.name}.log").open("w") as log:
        child = subprocess.Popen(
            command, stdout=log, stderr=subprocess.STDOUT, env={**os.environ, "OMP_NUM_THREADS": "1"}
        )
        while kill_after is not None and child.poll() is None:
            if len(list(work.glob("ledger/relax/*/manifest.json"))) >= kill_after:
                child.send_signal(signal.SIGKILL)
                break
            time.sleep(0.2)
        status = child.wait()
    return status, (work.parent / f"{work.name}.log").read_text()


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="emptied first")
    parser.add_argument("--system", default="Sr-Ti-O")
    parser.add_argument("--crysdb", type=Path, default=None, help="CrysDB table for the hull and for novelty")
    parser.add_argument("--no-kill", action="store_true")
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/bars.jsonl")
    args = parser.parse_args()
    shutil.rmtree(args.work, ignore_errors=True)
    args.work.mkdir(parents=True)
    formulas = formulas_of(args.system)
    command = [sys.executable, "-m", "flows.cli.main", "screen", *formulas, "--n", str(N), "--out", str(args.work)]
    command += ["--crysdb", str(args.crysdb)] if args.crysdb else []
    before_load, begin = os.getloadavg()[0], time.perf_counter()
    killed = None
    kept: dict[str, int] = {}
    if not args.no_kill:
        killed, _ = attempt(command, args.work, kill_after=N_FORMULAS // 2)
        kept = manifests(args.work)
    status, output = attempt(command, args.work, kill_after=None)
    wall = time.perf_counter() - begin
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    after = manifests(args.work)
    repeated = [name for name, written in kept.items() if after.get(name) != written]
    summary = output.strip().splitlines()[-1] if output.strip() else ""
    counts = {k: int(v) for v, k in (p.split() for p in summary.split(";")[0].split(", "))} if status == 0 else {}
    ok = status == 0 and not repeated and (args.no_kill or killed == -signal.SIGKILL)
    line = {
        "row": 1,
        "what": f"dao screen, {args.system}: {len(formulas)} formulas, {N} candidates each, killed and continued",
        "value": [round(wall), round(usage.ru_utime + usage.ru_stime), len(repeated)],
        "units": "wall s, CPU s, pieces repeated", "pieces_kept": len(kept), "counts": counts,
        "hull": args.crysdb is not None,
        "bar": "<= 900 s on 2 cores, resumable after kill -9 without repeating finished candidates",
        "met": ok and wall <= BAR_SECONDS, "n": counts.get("n_asked", 0), "formulas": formulas,
        "interval": f"single run, load {before_load:.1f} before and {os.getloadavg()[0]:.1f} after", "seed": 0,
        "command": f"python benchmarks/screen_ternary.py --work DIR --system {args.system} --record",
        "machine": machine(),
    }  # fmt: skip
    if args.record:
        record(**line)
    else:
        print(json.dumps(line))
    if not ok:
        print(output, file=sys.stderr)
    return 0 if ok else 1


if __name__ == "__main__":
    sys.exit(main())
