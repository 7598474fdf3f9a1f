"""`dao benchmark`: the scripts of the checkout's `benchmarks/`, each alone in a process of its own."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from flows.console import fail, table

FOLDER = Path(__file__).resolve().parents[1] / "benchmarks"


def run_benchmark(name: str | None, arguments: Sequence[str]) -> int:
    """List the benchmarks, or run one and return its status."""
    scripts = {p.stem: p for p in sorted(FOLDER.glob("*.py")) if '__name__ == "__main__"' in p.read_text()}
    if not scripts:
        fail(f"no benchmarks at {FOLDER}: they belong to a checkout, not to an installed package")
    if name is None:
        table("benchmarks", ("name", "what"), [(stem, _headline(path)) for stem, path in scripts.items()])
        return 0
    if name not in scripts:
        fail(f"no benchmark {name!r}: use one of {', '.join(scripts)}")
    return subprocess.run([sys.executable, str(scripts[name]), *arguments], check=False).returncode


def _headline(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]
