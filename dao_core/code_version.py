"""The version of the code behind a result: a hash over everything that a function imports, computed and never set.

A stage of the ledger puts it into its key, so that a result made by other code is never taken for one of today's.
"""

from __future__ import annotations

import ast
import hashlib
import inspect
from collections.abc import Callable, Iterator
from functools import lru_cache
from pathlib import Path
from types import ModuleType
from typing import Any

PACKAGE = "dao_core"
ROOT = Path(__file__).resolve().parent
_DOCUMENTED = (ast.Module, ast.ClassDef, ast.FunctionDef, ast.AsyncFunctionDef)
NOT_DATA = {".md"}  # cards say where data come from; no result depends on them


def code_version(*targets: ModuleType | Callable[..., Any] | type) -> str:
    """Hash the source that functions, classes or modules of dao_core run through, and the data files they read.

    Of the module that defines a target only the imports count that the target uses, itself or through neighbours in
    the module; from there on a module counts with all that it imports, inside functions too. Comments, docstrings,
    pages and model checkpoints are not in it: the identity of a checkpoint belongs into the key beside this version.

    Args:
        *targets: What makes the result: `code_version(fit_predictor)`.

    Returns:
        16 hexadecimal digits, the same in every process and on every Python version.

    Raises:
        ValueError: A target is not part of dao_core.
    """
    return _version(frozenset(map(_entry, targets)))


def _entry(target: ModuleType | Callable[..., Any] | type) -> tuple[str, str | None]:
    """Module and name of a target; the name is None where the whole module is meant."""
    if isinstance(target, ModuleType):
        module, name = target.__name__, None
    else:
        made = inspect.unwrap(target)
        module, name = getattr(made, "__module__", ""), getattr(made, "__qualname__", "").split(".")[0]
    if _path(module) is None:
        raise ValueError(f"{target!r} is not part of {PACKAGE}: only code of {PACKAGE} has a version")
    return module, name


@lru_cache(maxsize=256)
def _version(entries: frozenset[tuple[str, str | None]]) -> str:
    modules = {module for module, _ in entries}
    for entry in entries:
        modules |= _reached(_imports_of(*entry))
    digest = hashlib.sha256()
    for name in sorted(modules):
        digest.update(f"{name}\0{_content(name)}\0".encode())
    return digest.hexdigest()[:16]


def _reached(start: frozenset[str]) -> set[str]:
    """Every module of the package that one can get to from some."""
    seen: set[str] = set()
    todo = set(start)
    while todo:
        name = todo.pop()
        seen.add(name)
        todo |= _imports_of(name, None) - seen
    return seen


def _path(module: str) -> Path | None:
    """Source file of a module of the package; None for others, and for the package itself, which computes nothing."""
    if not module.startswith(f"{PACKAGE}."):
        return None
    place = ROOT.joinpath(*module.split(".")[1:])
    return next((p for p in (place.with_suffix(".py"), place / "__init__.py") if p.is_file()), None)


@lru_cache(maxsize=1024)
def _tree(module: str) -> ast.Module:
    path = _path(module)
    assert path is not None, module
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


@lru_cache(maxsize=1024)
def _imports_of(module: str, symbol: str | None) -> frozenset[str]:
    """Modules of the package that a module imports, or only those that one name defined in it makes use of."""
    tree = _tree(module)
    defined = _definitions(tree)
    if symbol not in defined:
        return frozenset(_imported(tree))
    bound = {
        alias.asname or alias.name.split(".")[0]: statement
        for statement in tree.body
        if isinstance(statement, ast.Import | ast.ImportFrom)
        for alias in statement.names
    }
    seen, todo, found = set(), {symbol}, set()
    while todo:
        name = todo.pop()
        seen.add(name)
        if name in bound:
            found |= set(_imported(bound[name], only=name))
        for node in defined.get(name, ()):
            found |= set(_imported(node))
            todo |= {n.id for n in ast.walk(node) if isinstance(n, ast.Name)} - seen
    return frozenset(found)


def _definitions(tree: ast.Module) -> dict[str, list[ast.stmt]]:
    """Statements at the top of a module by the names that they bind."""
    defined: dict[str, list[ast.stmt]] = {}
    for statement in tree.body:
        if isinstance(statement, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            defined.setdefault(statement.name, []).append(statement)
        elif not isinstance(statement, ast.Import | ast.ImportFrom):
            for node in ast.walk(statement):
                if isinstance(node, ast.Name) and isinstance(node.ctx, ast.Store):
                    defined.setdefault(node.id, []).append(statement)
    return defined


def _imported(tree: ast.AST, *, only: str | None = None) -> Iterator[str]:
    """Names of the package's modules that are imported below a node; a program started by its name counts too."""
    if isinstance(tree, ast.If) and "TYPE_CHECKING" in ast.dump(tree.test):
        return
    if isinstance(tree, ast.Import):
        yield from (a.name for a in tree.names if _path(a.name) is not None and only in (None, a.asname, PACKAGE))
    elif isinstance(tree, ast.ImportFrom) and tree.module:
        for alias in tree.names:
            if only in (None, alias.asname or alias.name):
                inner = f"{tree.module}.{alias.name}"  # "from dao_core.models import noise" imports the module
                yield from (name for name in (tree.module, inner) if _path(name) is not None)
    elif isinstance(tree, ast.Constant) and isinstance(tree.value, str) and _path(tree.value) is not None:
        yield tree.value
    for child in ast.iter_child_nodes(tree):
        yield from _imported(child)


@lru_cache(maxsize=1024)
def _content(module: str) -> str:
    """Hash of a module's code and of the files in `data/` of its folder, or of the next one up, if it reads them."""
    path, tree = _path(module), _tree(module)
    assert path is not None, module
    digest = hashlib.sha256(_code(path.read_text(encoding="utf-8"), tree).encode())
    if any(isinstance(n, ast.Constant) and n.value == "data" for n in ast.walk(tree)):
        for file in _data_files(path.parent):
            digest.update(str(file.relative_to(ROOT)).encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def _data_files(folder: Path) -> list[Path]:
    while ROOT in folder.parents:
        if (folder / "data").is_dir():
            return sorted(p for p in (folder / "data").iterdir() if p.is_file() and p.suffix not in NOT_DATA)
        folder = folder.parent
    return []


def _code(text: str, tree: ast.Module) -> str:
    """The source without docstrings, empty lines and lines that are only a comment: text for people changes nothing."""
    lines = text.splitlines()
    dropped = {n for n, line in enumerate(lines, 1) if not line.strip() or line.lstrip().startswith("#")}
    for node in ast.walk(tree):  # within a string "#" begins no comment
        if isinstance(node, ast.Constant | ast.JoinedStr) and node.end_lineno != node.lineno:
            dropped -= set(range(node.lineno + 1, (node.end_lineno or node.lineno) + 1))
    for node in ast.walk(tree):
        if isinstance(node, _DOCUMENTED) and node.body and ast.get_docstring(node, clean=False) is not None:
            text_node = node.body[0]
            dropped |= set(range(text_node.lineno, (text_node.end_lineno or text_node.lineno) + 1))
    return "\n".join(line for n, line in enumerate(lines, 1) if n not in dropped)
