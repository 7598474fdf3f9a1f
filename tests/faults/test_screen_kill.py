"""Kill -9 in every stage of `dao screen`: the same command repeats no finished piece and ends at the same answer."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

PROGRAM = '''
import contextlib, io, json, os, signal, sys, time
from pathlib import Path
from ase.calculators.emt import EMT
from dao_core.energy.adapters.ase import AsePotential
from dao_core.screening.load_models import SearchModels
from dao_core import artifacts
from dao_core.screening import context
from dao_core.screening.formulas import parse_formula
from dao_core.screening.candidate_table import load_candidates
from flows.cli.search_command import SearchCommand, run_search
from tests.helpers.search_models import models

# copper-gold alloys by EMT, judged by another EMT: real relaxations in milliseconds
MODELS = SearchModels(models().potential, None, models().templates, AsePotential(EMT, "judge"))
context.models_by_name = lambda _: MODELS
FORMULAS = [parse_formula(f) for f in ("CuAu", "Cu3Au", "Au3Cu")]
SETTINGS = {"max_atoms": 4, "n_generated": 0, "n_seeded": 0, "n_templates": 4,
            "relax": {"max_steps": 4, "batch_size": 2}, "judge": {"n_judged": 2, "relax": {"max_steps": 3}}}
ASKED = {"pressures_gpa": [0.0, 5.0], "n_pressure": 1, "relax": {"max_steps": 3}}

def forked(work):
    pid = os.fork()
    if pid == 0:
        with contextlib.redirect_stdout(io.StringIO()):
            work()
        os._exit(0)
    _, status = os.waitpid(pid, 0)
    return os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL

def run(out):
    command = SearchCommand("screen", SETTINGS, {}, diagnostics=ASKED, out=out, keep=True)
    run_search(FORMULAS, command, time.time())

def die_in(stage):
    """Die while the second piece of this stage (the first, where there is one only) is half-written."""
    plain, seen = artifacts.write_manifest, []
    def deadly(directory, *, stage: str, key: str, **facts):
        if stage == wanted:
            seen.append(key)
            if len(seen) == (1 if wanted in ("rank", "report") else 2):
                (directory / "half-written").write_bytes(b"x" * 1000)
                os.kill(os.getpid(), signal.SIGKILL)
        return plain(directory, stage=stage, key=key, **facts)
    wanted = stage
    artifacts.write_manifest = deadly

def manifests(out):
    return {str(p.relative_to(out)): p.stat().st_mtime_ns for p in out.glob("ledger/*/*/manifest.json")}

def answer(out):
    report = next(out.glob("ledger/report/*/candidates.parquet"))
    return [[c.id, c.energy_per_atom, c.crystal.lattice.tolist()] for c in load_candidates(report)]

base, found = Path(sys.argv[1]), {}
forked(lambda: run(base / "whole"))
for stage in ("propose", "relax", "judge", "rank", "pressure", "report"):
    out = base / stage
    def doomed():
        die_in(stage)
        run(out)
    killed = forked(doomed)
    before = manifests(out)
    forked(lambda: run(out))
    after = manifests(out)
    found[stage] = {
        "killed": killed, "kept": len(before), "repeated": [n for n in before if after[n] != before[n]],
        "same": answer(out) == answer(base / "whole"), "left": [str(p) for p in out.rglob("*.tmp-*")],
        "page": (out / "report" / "index.html").exists(),
    }
print(json.dumps(found))
'''


@pytest.fixture(scope="module")
def outcomes(tmp_path_factory: pytest.TempPathFactory) -> dict[str, dict[str, object]]:
    command = [sys.executable, "-c", PROGRAM, str(tmp_path_factory.mktemp("screen"))]
    done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=Path(__file__).parents[2])
    assert done.returncode == 0, done.stderr
    result: dict[str, dict[str, object]] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize("stage", ["propose", "relax", "judge", "rank", "pressure", "report"])
def test_killed_in_a_stage_and_continued(outcomes: dict[str, dict[str, object]], stage: str) -> None:
    seen = outcomes[stage]
    assert seen["killed"] is True
    assert seen["kept"]
    assert seen["repeated"] == []
    assert seen["same"] is True
    assert seen["left"] == []
    assert seen["page"] is True
