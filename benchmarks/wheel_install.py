"""Does the wheel install into an empty environment of each Python, how much does it bring, and is its answer right?

python benchmarks/wheel_install.py --pythons python3.11=torch==2.13.0 python3.12 python3.13 --record
Builds the wheel from this checkout, makes a new environment for each interpreter, installs the wheel alone (no extra)
and asks it for NaCl with neither library nor judge: rock salt has to come first. Sizes are of site-packages without
torch and what torch itself requires, with and without compiled files. After an interpreter's `=` comes what of torch is
installed first, such as a CPU build; without it PyPI's wheel is taken, on Linux with 3 GB of CUDA libraries.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from bars import machine, record_bar

ROOT = Path(__file__).resolve().parents[1]
ROCK_SALT = 225
# run inside the new environment: distributions beside torch's own, and their sizes in MB
SIZES = """
import json, re
from importlib.metadata import distribution, distributions
def name_of(text): return re.split(r"[ ;<>=!~\\[(]", text, maxsplit=1)[0].lower().replace("_", "-")
todo, torch = ["torch"], set()
while todo:
    name = todo.pop()
    if name in torch: continue
    try: found = distribution(name)
    except Exception: continue
    torch.add(name)
    todo += [name_of(r) for r in found.requires or [] if "extra ==" not in r]
cuda = ("nvidia-", "cuda-", "triton")  # what torch asks for through extras of its own requirements
own = [d for d in distributions() if (n := name_of(d.metadata["Name"])) not in torch | {"pip", "setuptools", "dao-csp"}
       and not n.startswith(cuda)]
sizes = {"files": 0, "compiled": 0}
for d in own:
    for f in d.files or []:
        path = f.locate()
        if path.is_file(): sizes["compiled" if path.suffix == ".pyc" else "files"] += path.stat().st_size
print(json.dumps([len(own), round(sizes["files"] / 1e6), round(sizes["compiled"] / 1e6)]))
"""


def run(*command: str | Path, cwd: Path | None = None) -> str:
    """Standard output of a command that has to succeed; an environment of its own, without library and judge."""
    environment = {k: v for k, v in os.environ.items() if k not in {"PYTHONPATH", "VIRTUAL_ENV"}}
    environment |= {"DAO_LIBRARY": "/nonexistent", "OMP_NUM_THREADS": "1", "PYTHONNOUSERSITE": "1"}
    done = subprocess.run([str(c) for c in command], cwd=cwd, env=environment, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"{' '.join(map(str, command))} failed:\n{done.stdout[-1500:]}{done.stderr[-3000:]}")
    return done.stdout


def try_wheel(python: str, wheel: Path, folder: Path) -> dict[str, object]:
    """Install the wheel for one interpreter and ask it for NaCl."""
    python, _, torch_first = python.partition("=")
    version = run(python, "-c", "import sys; print('%d.%d' % sys.version_info[:2])").strip()
    venv = folder / version
    run(python, "-m", "venv", venv)
    pip = (venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", "--no-cache-dir")
    if torch_first:
        run(*pip, torch_first)
    run(*pip, wheel)
    packages, files, compiled = json.loads(run(venv / "bin/python", "-c", SIZES))
    work = folder / f"{version}-work"
    work.mkdir()
    answer = json.loads(run(venv / "bin/dao", "predict", "NaCl", "--json", cwd=work))
    best = answer["tables"][-1]["rows"][0]
    torch = run(venv / "bin/python", "-c", "import torch; print(torch.__version__)").strip()
    subprocess.run(["rm", "-rf", str(venv)], check=True)
    return {"python": version, "torch": torch, "packages": packages, "MB": files + compiled, "compiled_MB": compiled,
            "right": best["spacegroup_after"] == ROCK_SALT and best["energy_per_atom"] is not None}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pythons", nargs="+", default=[sys.executable])
    parser.add_argument("--record", action="store_true", help="append the rows to results/bars.jsonl")
    args = parser.parse_args()
    results = []
    with tempfile.TemporaryDirectory(prefix="wheel-") as temporary:
        folder = Path(temporary)
        run(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", folder, ROOT)
        wheel = next(folder.glob("dao_csp-*.whl"))
        for python in args.pythons:
            results.append(try_wheel(python, wheel, folder))
            print(results[-1], flush=True)
    n_right = sum(bool(r["right"]) for r in results)
    if args.record:
        line = {"issue": "people", "n": len(results), "seed": None, "interval": None, "each": results,
                "command": "python benchmarks/wheel_install.py --pythons ..."}  # fmt: skip
        record_bar(**line, row=1, what="Python versions on which the wheel installs into an empty environment and "
                   "dao predict NaCl is right", value=n_right, bar=3, met=n_right >= 3)  # fmt: skip
        size = [max(int(str(r[k])) for r in results) for k in ("packages", "MB")]
        record_bar(**line, row=2, what="packages that pip install dao-csp brings beside torch and what torch itself "
                   "requires, and their installed size in MB with compiled files", value=size, bar=[70, 600],
                   met=size[0] <= 70 and size[1] <= 600)  # fmt: skip
    print(json.dumps({"figure": n_right, "n": len(results), "seed": None, "each": results, "machine": machine()}))


if __name__ == "__main__":
    main()
