"""Twenty random kill -9 of flow, worker and server in one campaign: the same content as an undisturbed run.

python benchmarks/survive_kills.py --kills 20 --seed 0
A small campaign (copper-gold alloys, energies of ASE's EMT) runs as a deployment, by a process worker, against a
Prefect server (on PostgreSQL where it is installed). First undisturbed; then again from nothing while a random one
of flow, worker and server is killed after a random time of work, put back, and the deployment started again where no
flow is left. Compared are the keys of all ledger stages (a key holds the content of what came before) and the SHA-256
of every network, relaxed shard, candidate list (without what each took) and CIF file. A kill is survived when the
campaign goes on after it.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bars import machine, record_bar

from dao_core.artifacts import MANIFEST, content_key
from tasks.run_log import read_state
from tests.helpers.small_runs import TRAINING, campaign_settings
from tests.server.services import Postgres, Server, Service, Worker, cli, postgres_bin, running, wait_for

COMPARED = ("model.safetensors", "rows.parquet", ".cif")
TARGETS = ("flow", "worker", "server")


def settings(folder: Path, root: Path) -> dict[str, Any]:
    """A campaign of a few minutes: longer trainings that save often, many small shards, more formulas."""
    base = campaign_settings(folder)
    training = {**TRAINING, "max_steps": 120, "checkpoint_every_s": 1.0}
    relaxation = {**base["relaxation"], "max_structures": 24, "shard_size": 1}
    formulas = ["CuAu", "Cu3Au", "CuAu3"]
    return {**base, "root": str(root), "name": root.name, "stage1": training, "predictor": training,
            "stage2": training, "relaxation": relaxation, "formulas": formulas}  # fmt: skip


def content(root: Path) -> dict[str, str]:
    """Stage keys, and hashes of the files that hold results, by stage."""
    found: dict[str, str] = {}
    for path in sorted(root.glob(f"ledger/*/*/{MANIFEST}")):
        manifest = json.loads(path.read_text())
        stage = f"{manifest['stage']}/{manifest['key']}"
        found[stage] = str(manifest.get("facts", {}).get("content_hash", ""))
        for name, entry in manifest["files"].items():
            if name.endswith("candidates.parquet"):
                found[f"{stage}/{name}"] = without_times(path.parent / name)
            elif name.endswith(COMPARED):
                found[f"{stage}/{name}"] = entry["sha256"]
    return found


def without_times(path: Path) -> str:
    """Hash of a candidates' table without what each took."""
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    kept = table.select([name for name in table.column_names if name != "cost"])
    return content_key(rows=[{k: repr(v) for k, v in row.items()} for row in kept.to_pylist()])


class Campaign:
    """The deployment's runs in one folder."""

    def __init__(self, server: Server, config: dict[str, Any]) -> None:
        self.server, self.config, self.root = server, config, Path(config["root"])
        self.starts = 0

    def start(self) -> None:
        """The same command again: silent runs are swept, then the deployment is run."""
        self.sweep()
        done = cli(self.server, "prefect", "deployment", "run", "campaign/campaign", "--params",
                   json.dumps({"config": self.config}))  # fmt: skip
        if done.returncode:
            raise RuntimeError(done.stdout + done.stderr)
        self.starts += 1

    def sweep(self) -> None:
        cli(self.server, "flows.cli.main", "runs", "sweep", "--root", str(self.root.parent))

    def state(self) -> dict[str, Any]:
        return read_state(self.root) or {}

    def completed(self) -> bool:
        return self.state().get("status") == "completed"

    def working(self) -> int | None:
        """The pid of the flow while it works."""
        state = self.state()
        return int(state["pid"]) if state.get("status") == "running" else None


def disturb(campaign: Campaign, services: dict[str, Service], kills: int, seed: int) -> list[str]:
    """Kill until the number is reached or the campaign has completed; what was killed at which stage."""
    rng = random.Random(seed)
    log: list[str] = []
    while len(log) < kills:
        if campaign.state().get("status") != "running":
            if campaign.completed():
                break
            campaign.start()
        pid = wait_for("the flow's next attempt", lambda: campaign.working() or campaign.completed(), 600)
        if pid is True:
            break
        time.sleep(rng.uniform(0.2, 4.0))
        target = rng.choice(TARGETS)
        stage = next((n for n, e in campaign.state().get("stages", {}).items() if e["status"] == "running"), "between")
        service = services.get(target)
        victim = pid if service is None else service.process.pid if service.process else pid
        with contextlib.suppress(ProcessLookupError):
            os.kill(victim, signal.SIGKILL)  # this process alone: a flow outlives its worker
            log.append(f"{target} in {stage}")
            print(f"kill {len(log)}: {log[-1]}", flush=True)
        if service is not None and service.process is not None:
            service.process.wait()
            service.start()
        else:
            wait_for("the flow's end", lambda: campaign.state().get("status") != "running", 60)
    return log


def finish(campaign: Campaign, tries: int = 5) -> None:
    """Let it run to its end."""
    for _ in range(tries):
        if campaign.completed():
            return
        if campaign.state().get("status") != "running":
            campaign.start()
            wait_for("the next attempt", lambda: campaign.state().get("status") in ("running", "completed"), 600)
        wait_for("the end of the campaign", lambda: campaign.state().get("status") != "running", 1800)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    begin = time.perf_counter()
    with tempfile.TemporaryDirectory(prefix="kills-", ignore_cleanup_errors=True) as name:
        folder = Path(name)
        database = Postgres(folder) if postgres_bin() else None
        server = Server(folder, database.url if database else None)
        worker = Worker(folder, server)
        first = [s for s in (database, server) if s is not None]
        with running(*first):
            print(cli(server, "flows.cli.main", "deploy").stdout, flush=True)
            with running(worker):
                # one after the other at one path: the path of the database is part of the ranking's key
                config = settings(folder, folder / "runs" / "campaign")
                calm = Campaign(server, config)
                finish(calm)
                completed, expected = calm.completed(), content(calm.root)
                calm.root.rename(folder / "undisturbed")
                print(f"undisturbed: {time.perf_counter() - begin:.0f} s", flush=True)
                wild = Campaign(server, config)
                log = disturb(wild, {"worker": worker, "server": server}, args.kills, args.seed)
                finish(wild)
                completed, found = completed and wild.completed(), content(wild.root)
    differ = sorted(k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k))
    for key in differ:
        print(f"differs: {key}")
    same = completed and not differ and bool(expected)
    counts = {t: sum(line.startswith(t) for line in log) for t in TARGETS}
    extra = {"killed": counts, "starts": wild.starts, "compared": len(expected), "differ": len(differ),
             "seconds": round(time.perf_counter() - begin)}  # fmt: skip
    value = [len(log) if same else 0, len(log)]
    print(json.dumps({"figure": value, "n": len(log), "seed": args.seed, **extra, "machine": machine()}))
    if args.kills < 20:
        return  # a trial
    record_bar(
        issue="orchestration",
        row=2,
        what="random kill -9 of flow, worker and server in one campaign with the content of an undisturbed run",
        value=value,
        bar=[20, 20],
        met=same and len(log) >= 20,
        n=len(log),
        **extra,
        interval="exact; every stage key and the SHA-256 of networks, relaxed shards, candidates and CIF files",
        command=f"python benchmarks/survive_kills.py --kills {args.kills} --seed {args.seed}",
        seed=args.seed,
        machine=machine(),
    )


if __name__ == "__main__":
    main()
