"""A library without some compositions: what benchmarks search in, so that no answer is looked up."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dao_core.artifacts import content_key, write_atomic
from dao_core.crysdb.table import CrysTable
from dao_core.library.build import use_stage, write_stage
from dao_core.library.folder import CRYSDB, Library, LibraryError

EXCLUDED = "of a composition that was excluded"


@dataclass(frozen=True)
class ExcludedLibrary:
    """The other library and what was taken out.

    Attributes:
        library: Without any structure of the compositions.
        n_asked: Different compositions that were to go.
        formulas: Those of them that the library held.
        material_ids: The rows that went.
    """

    library: Library
    n_asked: int
    formulas: tuple[str, ...]
    material_ids: tuple[str, ...]

    def __str__(self) -> str:
        held, gone = len(self.formulas), len(self.material_ids)
        return f"{gone} structures of {held} compositions taken out ({self.n_asked} asked, the others are not in it)"


def exclude_compositions(library: Library, formulas: Iterable[str], target: str | Path) -> ExcludedLibrary:
    """Make a library without every structure of some compositions; the table, the templates, the known structures.

    The hull distances of the remaining rows stay those of the whole hull. Prototypes that ship with pymatgen carry
    structures of their own in the index: those of the compositions go too, wherever their elements are theirs.

    Args:
        library: The whole one; it stays as it is.
        formulas: Compositions in any spelling.
        target: Folder of the new library; use it with the environment variable DAO_LIBRARY.

    Returns:
        The new library and what was taken out.

    Raises:
        LibraryError: The target is the library itself.
    """
    import pyarrow as pa
    import pyarrow.compute as pc
    from pymatgen.core import Composition

    root = Path(target).expanduser()
    if root.resolve() == library.folder.resolve():
        raise LibraryError(f"{root} is the library itself: name another folder")
    unwanted = {Composition(f).reduced_formula for f in formulas}
    whole = library.table().read(version=library.table_version)
    gone = pc.is_in(whole["formula_reduced"], value_set=pa.array(sorted(unwanted), type=pa.string()))
    out, kept = whole.filter(gone), whole.filter(pc.invert(gone))
    content = content_key(content=library.content, without=sorted(unwanted))
    table = CrysTable(root / CRYSDB / "table")
    with table.writer():
        version = table.publish(kept, facts={"content_hash": content, "without": len(unwanted)})
    _write_report(library, root, version, Counter(out["source"].to_pylist()))
    key = write_stage(root, version, content, library.sources, without=frozenset(unwanted))
    made = use_stage(root, version, content, library.sources, key=key)
    names = tuple(sorted(set(out["formula_reduced"].to_pylist())))
    return ExcludedLibrary(made, len(unwanted), names, tuple(out["material_id"].to_pylist()))


def _write_report(library: Library, root: Path, version: int, gone: Mapping[str, int]) -> None:
    """The whole library's counts with what went of each source; nothing where these are unknown."""
    from dao_core.crysdb.build.build import REPORT

    report = library.build_report()
    if report is None:
        return
    for name, counts in report["sources"].items():
        n = gone.get(name, 0)
        counts |= {"n_published": counts["n_published"] - n, "n_dropped": counts["n_dropped"] + n}
    dropped = {EXCLUDED: sum(gone.values()), **report["dropped"]}
    write_atomic(root / CRYSDB / REPORT, json.dumps({**report, "version": version, "dropped": dropped}, indent=1))
