"""The house in figures: circles, upward imports, parameters, docstrings, lines, start-up; this checkout beside another.

    git worktree add ../before b90917e
    python benchmarks/house.py --before ../before --tests-green 2412 --demo

Everything but the start-up and the demo is read from the sources with `ast`, so the other checkout needs no environment
of its own. Each side starts at the entry point that its own pyproject.toml names, in the same environment and an empty
folder, once without being counted (it compiles) and then in turns whose order alternates. Start-up is the median of the
wall time and of the processor time, which other work on the machine disturbs less. `--record` appends the rows.
"""

from __future__ import annotations

import argparse
import ast
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
import tokenize
import tomllib
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path
from typing import Any

from bars import record_bar

ROOT = Path(__file__).resolve().parents[1]
RINGS = ("flows", "tasks", "dao_core")
MOST_PARAMETERS = 5
NO_CODE = (tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE, tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER,
           tokenize.ENCODING)  # fmt: skip
Times = tuple[float, float]  # seconds of wall and of processor


def sources(root: Path) -> dict[str, Path]:
    """Python files of the three rings by module name."""
    files = sorted(p for ring in RINGS for p in (root / ring).rglob("*.py"))
    return {".".join(p.relative_to(root).with_suffix("").parts).removesuffix(".__init__"): p for p in files}


def imports(tree: ast.Module, known: set[str]) -> Iterator[str]:
    """Modules of the project that a file imports, inside functions too."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            inner = {f"{node.module}.{alias.name}" for alias in node.names} & known
            yield from inner or {node.module}


def circles(graph: dict[str, set[str]]) -> int:
    """How many circles stand in the graph: one is broken and the rest looked at again."""
    graph, count = {k: set(v) for k, v in graph.items()}, 0
    while True:
        try:
            TopologicalSorter(graph).prepare()
        except CycleError as error:
            count += 1
            after, before = error.args[1][0], error.args[1][1]
            graph[before].discard(after)
        else:
            return count


def upward(graph: dict[str, set[str]]) -> int:
    """Imports from a ring further out."""
    rank = {ring: i for i, ring in enumerate(RINGS)}
    return sum(rank[there.split(".")[0]] < rank[here.split(".")[0]] for here, all_ in graph.items() for there in all_)


def functions(tree: ast.Module) -> Iterator[tuple[ast.FunctionDef | ast.AsyncFunctionDef, bool, bool]]:
    """(function, whether it is a method, whether it is public) for every function at the top of a file or a class."""
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node, False, not node.name.startswith("_")
        elif isinstance(node, ast.ClassDef):
            for inner in node.body:
                if isinstance(inner, ast.FunctionDef | ast.AsyncFunctionDef):
                    yield inner, True, not node.name.startswith("_") and not inner.name.startswith("_")


def n_parameters(node: ast.FunctionDef | ast.AsyncFunctionDef, *, method: bool) -> int:
    """Parameters that a caller may give."""
    names = [a.arg for a in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)]
    return len(names) - (method and bool(names) and names[0] in ("self", "cls"))


def is_command(node: ast.FunctionDef | ast.AsyncFunctionDef) -> bool:
    """Whether Typer makes a command of it: its parameters are the options that a user types."""
    parts = [*node.decorator_list, *(a.annotation for a in (*node.args.args, *node.args.kwonlyargs) if a.annotation)]
    return any(word in ast.unparse(part) for part in parts for word in ("typer.", ".command"))


def code_lines(path: Path, tree: ast.Module) -> int:
    """Lines that hold code: no blank lines, comments or docstrings."""
    with path.open("rb") as handle:
        tokens = [t for t in tokenize.tokenize(handle.readline) if t.type not in NO_CODE]
    lines = {line for t in tokens for line in range(t.start[0], t.end[0] + 1)}
    for node in ast.walk(tree):
        if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant) and isinstance(node.value.value, str):
            lines -= set(range(node.lineno, (node.end_lineno or node.lineno) + 1))
    return len(lines)


def figures(root: Path) -> dict[str, Any]:
    """What can be read from the sources of a checkout."""
    files = sources(root)
    trees = {name: ast.parse(path.read_text(encoding="utf-8")) for name, path in files.items()}
    graph = {name: set(imports(tree, set(files))) & set(files) for name, tree in trees.items()}
    everything = [
        (f"{name}.{node.name}", node, method, public)
        for name, tree in trees.items()
        for node, method, public in functions(tree)
    ]
    counted = [e for e in everything if not (e[0].startswith("flows.cli") and is_command(e[1]))]
    many = [name for name, node, method, _ in counted if n_parameters(node, method=method) > MOST_PARAMETERS]
    return {
        "circles": circles(graph),
        "upward": upward(graph),
        "many_parameters": len(many),
        "without_docstring": sum(public and ast.get_docstring(node) is None for _, node, _, public in everything),
        "lines": sum(len(path.read_text(encoding="utf-8").splitlines()) for path in files.values()),
        "code_lines": sum(code_lines(files[name], tree) for name, tree in trees.items()),
        "which": many,
    }


def command(root: Path) -> list[str]:
    """What the console script `dao` of a checkout runs."""
    module, function = tomllib.loads((root / "pyproject.toml").read_text())["project"]["scripts"]["dao"].split(":")
    return [sys.executable, "-c", f"from {module} import {function}; {function}()"]


def seconds(root: Path, arguments: list[str]) -> tuple[float, float]:
    """Wall and processor time of the `dao` command of a checkout."""
    environment = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1"}
    environment.pop("PYTHONDONTWRITEBYTECODE", None)  # an installed command is compiled once
    with tempfile.TemporaryDirectory() as folder:
        before, begin = os.times(), time.perf_counter()
        subprocess.run([*command(root), *(a.replace("@", str(root)) for a in arguments)], cwd=folder, env=environment,
                       check=True, capture_output=True)  # fmt: skip
        wall, after = time.perf_counter() - begin, os.times()
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return wall, cpu


def side_by_side(before: Path, arguments: list[str], runs: int) -> tuple[list[Times], list[Times]]:
    """Times of (the other checkout, this one), which take turns so that the machine's mood meets both."""
    sides: dict[Path, list[Times]] = {before: [], ROOT: []}
    for turn in range(runs):
        for root in (before, ROOT) if turn % 2 == 0 else (ROOT, before):
            sides[root].append(seconds(root, arguments))
    return sides[before], sides[ROOT]


def rows(now: dict[str, Any], then: dict[str, Any], tests: int | None) -> Iterator[dict[str, Any]]:
    """The bars that need no clock."""
    structure = [now["circles"], now["upward"]]
    yield {"row": 1, "what": "circles of imports; imports that run upward", "value": structure, "bar": [0, 0],
           "met": structure == [0, 0]}  # fmt: skip
    n = now["many_parameters"]
    yield {"row": 2, "what": "functions with more than five parameters, outside Typer commands", "value": n, "bar": 5,
           "met": n <= 5, "note": f"{then['many_parameters']} before"}  # fmt: skip
    n = now["without_docstring"]
    yield {"row": 3, "what": "public functions without a docstring", "value": n, "bar": 0, "met": n == 0,
           "note": f"{then['without_docstring']} before; the style is ruff's to check"}  # fmt: skip
    yield {"row": 4, "what": "lines of Python in dao_core + tasks + flows", "value": now["lines"], "bar": then["lines"],
           "met": now["lines"] < then["lines"],
           "note": f"lines of code alone: {now['code_lines']}, {then['code_lines']} before"}  # fmt: skip
    if tests is not None:
        yield {"row": 5, "what": "tests that are green", "value": tests, "bar": "all", "met": True}


def timed_row(row: int, what: str, old: list[Times], new: list[Times]) -> dict[str, Any]:
    """A bar of seconds: neither median, of wall or of processor time, is more than 2 % above that of before."""
    before, now = ([statistics.median(t[i] for t in side) for i in (0, 1)] for side in (old, new))
    walls = [t[0] for t in new]
    return {"row": row, "what": f"{what}: wall, processor", "value": [round(x, 3) for x in now],
            "bar": [round(x, 3) for x in before],
            "met": all(n <= 1.02 * b for n, b in zip(now, before, strict=True)),
            "n": len(new), "interval": [round(min(walls), 2), round(max(walls), 2)]}  # fmt: skip


def main() -> None:
    """Measure, print, and record where asked."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--before", type=Path, required=True, help="checkout of b90917e")
    parser.add_argument("--tests-green", type=int, help="tests that passed, by a run of the whole suite")
    parser.add_argument("--runs", type=int, default=9, help="starts of each checkout")
    parser.add_argument("--demo", action="store_true", help="the demo campaign too, once in each checkout")
    parser.add_argument("--record", action="store_true", help="append the rows to results/bars.jsonl")
    options = parser.parse_args()
    now, then = figures(ROOT), figures(options.before.resolve())
    out = list(rows(now, then, options.tests_green))
    side_by_side(options.before.resolve(), ["--help"], 1)  # compiles both
    times = side_by_side(options.before.resolve(), ["--help"], options.runs)
    out.append(timed_row(6, "seconds of `dao --help`, median, side by side with b90917e", *times))
    if options.demo:
        times = side_by_side(options.before.resolve(), ["campaign", "@/configs/campaign-demo.yaml"], 1)
        out.append(timed_row(7, "seconds of `make demo`, side by side with b90917e", *times))
    for name in now["which"]:
        print(f"more than {MOST_PARAMETERS} parameters: {name}")
    for row in out:
        if options.record:
            record_bar(issue="house", command="python benchmarks/house.py", **row)
        print(json.dumps(row))
    print(json.dumps({"now": {k: v for k, v in now.items() if k != "which"},
                      "before": {k: v for k, v in then.items() if k != "which"}}))  # fmt: skip


if __name__ == "__main__":
    main()
