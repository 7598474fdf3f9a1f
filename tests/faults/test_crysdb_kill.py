"""Kill -9 in every stage of a build, a full disk, two builders: the next build ends at the same content.

One child imports everything once and forks for each case; the killed one is a real process that dies by SIGKILL.
"""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import json, os, resource, signal, sys
from pathlib import Path
import pyarrow, deltalake, moyopy, scipy.spatial, pymatgen.analysis.structure_matcher
from dao_core import artifacts
from dao_core.crysdb.build import build as module
from dao_core.crysdb.build import state
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.table import CrysTable, TableBusyError, TableError
from tests.helpers.records import ListSource, salt_records, record, perovskite

CONFIG = BuildConfig(clean=CleanSettings(min_atoms=2), shard_rows=4, workers=1)

def die():
    os.kill(os.getpid(), signal.SIGKILL)

def build(root, rows=None):
    return module.build(CONFIG, root, sources=[ListSource(rows or salt_records())])

def forked(work):
    """(died by SIGKILL, what work returned) of a forked process."""
    read, write = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.close(read)
        try:
            out = work()
        except Exception as error:
            out = {"error": type(error).__name__, "text": str(error)}
        os.write(write, json.dumps(out).encode())
        os._exit(0)
    os.close(write)
    text = b"".join(iter(lambda: os.read(read, 65536), b""))
    os.close(read)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL, json.loads(text) if text else None

def kill_in_stage(stage):
    plain = artifacts.write_manifest
    def deadly(directory, *, stage: str, key: str, **facts):
        if stage == wanted:
            (directory / "half-written").write_bytes(b"x" * 1000)
            die()
        return plain(directory, stage=stage, key=key, **facts)
    wanted = stage
    artifacts.write_manifest = deadly

def kill_around(owner, name, after):
    plain = getattr(owner, name)
    def deadly(*args, **kwargs):
        if after:
            plain(*args, **kwargs)
        die()
    setattr(owner, name, deadly)

def one(root, prepare):
    def doomed():
        prepare()
        build(root)
        return "survived"
    def resumed():
        report = build(root)
        rows = CrysTable(root / "table").read().num_rows
        left = [str(p) for p in root.rglob("*") if ".tmp" in p.name]
        return {"hash": report.content_hash, "version": report.version, "rows": rows, "left": left}
    killed, _ = forked(doomed)
    return {"killed": killed, **forked(resumed)[1]}

def limited(root):
    """A second build whose files may not grow beyond 1.5 kB: every write of a shard fails as on a full disk."""
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    build(root, salt_records() + [record("more", perovskite("Ba"), -7.0)])

def limited_commit(root):
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1500, 1500))
    table = CrysTable(root / "table")
    with table.writer():
        table.publish(table.read(version=0))

def second_builder(root):
    with CrysTable(root / "table").writer():
        return forked(lambda: build(root).version)[1]

def main(root):
    out = {"whole": forked(lambda: {"hash": build(root / "whole").content_hash})[1]}
    for stage in ("ingest", "clean", "standardise", "dedup", "hull", "benchmarks", "leaks", "assemble"):
        out[stage] = one(root / stage, lambda: kill_in_stage(stage))
    for name, owner, what in (("publish", CrysTable, "publish"), ("state", module, "write_state")):
        for after in (False, True):
            out[f"{name} {'after' if after else 'before'}"] = one(
                root / f"{name}-{after}", lambda: kill_around(owner, what, after)
            )
    whole = root / "whole"
    out["disk"] = forked(lambda: limited(whole))[1]
    out["disk at the commit"] = forked(lambda: limited_commit(whole))[1]
    table = CrysTable(whole / "table")
    out["after the disk"] = forked(
        lambda: {"hash": build(whole).content_hash, "version": table.version, "rows": table.read().num_rows}
    )[1]
    out["two"] = second_builder(whole)
    print(json.dumps(out))

main(Path(sys.argv[1]))
'''


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict]:
    folder = tmp_path_factory.mktemp("kill")
    run = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", PROGRAM, str(folder)],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[2],
    )
    assert run.returncode == 0, run.stderr[-2000:]
    return dict(json.loads(run.stdout.splitlines()[-1]))


STAGES = ["ingest", "clean", "standardise", "dedup", "hull", "benchmarks", "leaks", "assemble"]
COMMITS = ["publish before", "publish after", "state before", "state after"]


@pytest.mark.parametrize("where", [*STAGES, *COMMITS])
def test_killed_build_ends_at_the_same_content(outcome: dict[str, dict], where: str) -> None:
    case = outcome[where]
    assert case["killed"], "the build was not killed: the case tests nothing"
    assert case["hash"] == outcome["whole"]["hash"]
    assert case["version"] == 0  # never published twice
    assert case["rows"] == 4
    assert case["left"] == []


def test_full_disk_says_so_and_keeps_the_last_version(outcome: dict[str, dict]) -> None:
    assert outcome["disk"]["error"] == "ArtifactError"
    assert "free space" in outcome["disk"]["text"]
    assert outcome["disk at the commit"]["error"] == "TableError"
    assert "last version is intact" in outcome["disk at the commit"]["text"]
    assert outcome["after the disk"] == {"hash": outcome["whole"]["hash"], "version": 0, "rows": 4}


def test_the_second_builder_is_refused(outcome: dict[str, dict]) -> None:
    assert outcome["two"]["error"] == "TableBusyError"
    assert "another process" in outcome["two"]["text"]
