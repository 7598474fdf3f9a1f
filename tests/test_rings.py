"""The house: flows -> tasks -> dao_core, the order of the rooms inside dao_core, and no work at import time."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from graphlib import CycleError, TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
RINGS = ("flows", "tasks", "dao_core")
ROOMS = (
    "elements", "units", "settings_error", "settings_file", "crystal", "artifacts", "scratch", "code_version",
    "package_data", "hull", "matching", "readers", "models", "crysdb", "generate", "library", "energy", "training",
    "evaluate", "dft", "screening", "studies", "api", "command",
)  # fmt: skip
HEAVY = {"torch", "pymatgen", "prefect", "chgnet", "pytorch_lightning", "mp_api", "optimade", "dask", "distributed"}
SOURCES = sorted(p for ring in RINGS for p in (ROOT / ring).rglob("*.py"))


def imports(path: Path) -> Iterator[tuple[str, int, bool]]:
    """(module, line, at module level) of every import, type-checking blocks left out of the module level."""
    tree = ast.parse(path.read_text(), filename=str(path))
    guarded = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.If) and "TYPE_CHECKING" in ast.dump(block.test)
        for node in ast.walk(block)
    }
    inside = {
        id(node)
        for block in ast.walk(tree)
        if isinstance(block, ast.FunctionDef | ast.AsyncFunctionDef)
        for node in ast.walk(block)
    }
    for node in ast.walk(tree):
        top = id(node) not in guarded and id(node) not in inside
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno, top) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno}: use absolute imports"
            assert node.module is not None
            yield node.module, node.lineno, top
            if (ROOT / node.module.replace(".", "/")).is_dir():  # "from dao_core import crystal"
                yield from ((f"{node.module}.{alias.name}", node.lineno, top) for alias in node.names)


def ring(path: Path) -> str:
    return path.relative_to(ROOT).parts[0]


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_imports_point_inward(path: Path) -> None:
    outer = RINGS[: RINGS.index(ring(path))]
    wrong = [f"line {line}: {name}" for name, line, _ in imports(path) if name.split(".")[0] in outer]
    if ring(path) == "dao_core":
        wrong += [f"line {line}: {n}" for n, line, _ in imports(path) if n.split(".")[0] in ("prefect", "prefect_dask")]
    assert not wrong, f"{path.relative_to(ROOT)} imports outward: {wrong}"


def test_no_circles() -> None:
    """Imports inside functions count too: a circle broken that way is still a circle."""
    names = {".".join(p.relative_to(ROOT).with_suffix("").parts): p for p in SOURCES}
    graph = {name: {n for n, _, _ in imports(path)} & names.keys() for name, path in names.items()}
    sorter = TopologicalSorter(graph)
    try:
        sorter.prepare()
    except CycleError as error:
        pytest.fail(f"a circle of imports: {' -> '.join(error.args[1])}")


def room(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if len(parts) > 1 and parts[0] == "dao_core" and parts[1] in ROOMS else None


@pytest.mark.parametrize("path", [p for p in SOURCES if ring(p) == "dao_core"], ids=lambda p: str(p.relative_to(ROOT)))
def test_rooms_import_only_rooms_above(path: Path) -> None:
    here = room(".".join(path.relative_to(ROOT).with_suffix("").parts))
    if here is None:
        assert path.name == "__init__.py", f"{path} is outside the rooms of DESIGN section 2"
        return
    for name, line, _ in imports(path):
        there = room(name)
        if there is None or there == here:
            continue
        assert ROOMS.index(there) < ROOMS.index(here), f"{path.relative_to(ROOT)}:{line}: {here} imports {there}"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(ROOT)))
def test_files_and_functions_stay_small(path: Path) -> None:
    text = path.read_text()
    assert len(text.splitlines()) <= 400, f"{path.relative_to(ROOT)} is longer than 400 lines: split it"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and node.end_lineno is not None:
            length = node.end_lineno - node.lineno + 1
            assert length <= 80, f"{path.relative_to(ROOT)}:{node.lineno}: {node.name} has {length} lines, at most 80"


MANY_PARAMETERS = 5


def test_few_functions_have_more_than_five_parameters() -> None:
    """Beyond five a settings object or a run context says what belongs together; the commands of Typer are exempt."""
    from flows.cli.main import app

    commands = {c.callback for group in (app, *(g.typer_instance for g in app.registered_groups))
                for c in group.registered_commands}  # fmt: skip
    exempt = {(Path(c.__code__.co_filename).resolve(), c.__name__) for c in commands}  # type: ignore[union-attr]
    many = []
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and (path, node.name) not in exempt:
                arguments = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                if sum(a.arg not in ("self", "cls") for a in arguments) > 5:
                    many.append(f"{path.relative_to(ROOT)}: {node.name}")
    assert len(many) <= MANY_PARAMETERS, f"{len(many)} functions have more than five parameters: {many}"


def test_the_cli_imports_nothing_heavy() -> None:
    """Follows module-level imports from flows/cli/main.py through our own files: `dao --help` must stay instant."""
    seen: set[str] = set()
    todo = ["flows.cli.main"]
    while todo:
        module = todo.pop()
        path = ROOT / (module.replace(".", "/") + ".py")
        path = path if path.exists() else ROOT / module.replace(".", "/") / "__init__.py"
        if module in seen or not path.exists():
            continue
        seen.add(module)
        for name, line, top in imports(path):
            if not top:
                continue
            assert name.split(".")[0] not in HEAVY, (
                f"{path.relative_to(ROOT)}:{line}: {name} at the top slows `dao --help`"
            )
            if name.split(".")[0] in RINGS:
                todo.append(name)
    assert "flows.cli.main" in seen
