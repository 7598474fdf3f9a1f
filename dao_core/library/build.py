"""From the collected sources to a library: one CrysDB, its structures by formula, one template index."""

from __future__ import annotations

import fcntl
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import ArtifactError, Ledger, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.build.build import BuildStoppedError, build
from dao_core.crysdb.config import BuildConfig, GuardSettings
from dao_core.crysdb.sources.records import RecordsSource
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.dedup import DedupSettings
from dao_core.crysdb.table import CrysTable
from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.generate.templates.aflow import aflow_index, learned_elements
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.store import save_index
from dao_core.library.collect import Collected, collected, discard, in_order, publish, source_file
from dao_core.library.folder import (
    CRYSDB,
    LEDGER,
    STAGE,
    STRUCTURES,
    Library,
    LibraryError,
    LibrarySource,
    format_version,
    open_library,
    write_library_manifest,
)
from dao_core.library.known import LARGEST_KNOWN
from dao_core.library.measured import measurements
from dao_core.library.plausible import plausible_sources
from dao_core.matching.same import MatchSettings

if TYPE_CHECKING:
    import pyarrow as pa

MAX_E_ABOVE_HULL = 0.5  # eV/atom; beyond it a structure is an artefact of its calculation rather than an example
LOCK = "build.lock"
# Repeats of one relaxation are nearly equal; looser tolerances spend minutes on polytypes, which are no repeats.
SAME = MatchSettings(ltol=0.05, stol=0.1, angle_tol=2.0)
COLUMNS = (
    "material_id", "source", "license", "formula_reduced", "spacegroup_number", "n_atoms",
    "atomic_numbers", "lattice", "frac_coords", "e_above_hull", "e_above_hull_source",
    "formation_energy_per_atom_source", "duplicate_of", "relaxation", "leaks_into", "is_stable",
)  # fmt: skip


def build_library(
    root: Path,
    *,
    added: Collected | None = None,
    removed: str | None = None,
    workers: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> Library:
    """Build the library of what was collected in a folder; until the end the last one stays in use.

    While another process builds it, this one waits: each counts with what the other has added.

    Args:
        root: The library's folder.
        added: One more source, or another reading of one; it counts as collected when the build has succeeded.
        removed: Name of a source that goes, then too.
        workers: Processes.
        log: Called with a line for each step.

    Returns:
        The new library.

    Raises:
        LibraryError: Nothing was collected.
        TableError, ArtifactError: No room, no permission, or another process writes the table.
    """
    with _alone(root, log):
        return _built(root, added, removed, workers, log)


@contextmanager
def _alone(root: Path, log: Callable[[str], None]) -> Iterator[None]:
    """One process at a time reads what was collected, builds and names the new library; the lock dies with it."""
    try:
        root.mkdir(parents=True, exist_ok=True)
        handle = (root / LOCK).open("a")
    except OSError as error:
        raise ArtifactError(f"cannot write below {root}: {error}") from error
    with handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            log(f"waiting: another process builds the library in {root}")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def _built(
    root: Path, added: Collected | None, removed: str | None, workers: int, log: Callable[[str], None]
) -> Library:
    present = {s.name: s for s in collected(root) if s.name != removed}
    rows = {name: source_file(root, name) for name in present}
    if added is not None:
        present[added.source.name], rows[added.source.name] = added.source, added.rows
    sources = in_order(present.values())
    if not sources:
        raise LibraryError(f"{root} holds no source: run `dao library install` or `dao library add`")
    opened = plausible_sources([RecordsSource(rows[s.name]) for s in sources])
    try:
        report = build(_settings(root, sources, workers), root / CRYSDB, sources=opened, log=log)
    except BuildStoppedError as error:
        raise LibraryError(str(error)) from error
    for reason, n in report.refused.items():  # rows that were read all right, such as one with another source's id
        log(f"refused {n} x {reason}")
    key = write_stage(root, report.version, report.content_hash, sources)
    if added is not None:
        publish(added, root)
    if removed is not None:
        discard(removed, root)
    library = use_stage(root, report.version, report.content_hash, sources, key=key)
    log(f"library: {library.n_structures} structures, {library.stage.counts['templates']} templates")
    return library


def _settings(root: Path, sources: Sequence[LibrarySource], workers: int) -> BuildConfig:
    table = CrysTable(root / CRYSDB / "table")
    # a build that was cut before its end, or one without a source that was removed, may have published others
    before = table.facts().get("sources", {}) if table.exists else {}
    return BuildConfig(
        sources=(),
        clean=CleanSettings(min_atoms=1, max_atoms=LARGEST_KNOWN, max_e_above_hull=1e3),
        dedup=DedupSettings(match=SAME, across_sources=True),
        benchmarks=(),
        guards=GuardSettings(allow=(*(s.name for s in sources), *before)),
        workers=workers,
    )


def write_stage(
    root: Path, version: int, content: str, sources: Sequence[LibrarySource], *, without: frozenset[str] = frozenset()
) -> str:
    """Structures by formula and the template index of a table's version; the last library stays in use.

    Args:
        root: The library's folder, with the table in it.
        version: Of the table.
        content: Hash of its rows.
        sources: Where they came from.
        without: Reduced formulas that the prototypes that ship must not have either.

    Returns:
        The key of the stage.

    Raises:
        ArtifactError: No room or no permission.
    """
    key = content_key(content=content, code=code_version(template_index, structure_rows), format=format_version())

    def work(directory: Path) -> dict[str, Any]:
        rows = structure_rows(CrysTable(root / CRYSDB / "table"), version)
        write_structures(rows, directory / STRUCTURES)
        names = ", ".join(s.name for s in sources)
        index = template_index(rows, source=f"library of {names} ({content})", without=without)
        save_index(index, directory)
        return {"counts": {"structures": rows.num_rows, "templates": len(index)}}

    return Ledger(root / LEDGER).run(STAGE, key, work).key


def use_stage(root: Path, version: int, content: str, sources: Sequence[LibrarySource], *, key: str) -> Library:
    """Make a stage that `write_stage` wrote the library of a folder."""
    write_library_manifest(root, table_version=version, content=content, key=key, sources=sources)
    library = open_library(root)
    assert library is not None
    return library


def structure_rows(table: CrysTable, version: int) -> pa.Table:
    """Each structure of a CrysDB table once, with its distance from its own source's hull, sorted by formula.

    Args:
        table: The library's database.
        version: Version of it.

    Returns:
        The rows; `e_above_hull` (eV/atom) is the larger of ours and the source's own, at least zero, because missing
        rows shorten distances; `n_measured` says how often a structure was measured at ordinary conditions, and
        `mineral` its name.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    from dao_core.crysdb.steps.energies import known_distance
    from dao_core.crysdb.views import select_view

    everything = table.read(columns=COLUMNS, version=version)
    rows = select_view(everything, "all")
    distance = known_distance(rows["e_above_hull"], rows["e_above_hull_source"])
    distance = pc.max_element_wise(distance, pa.scalar(0.0), skip_nulls=False)
    rows = rows.set_column(rows.column_names.index("e_above_hull"), "e_above_hull", distance)
    counts, minerals = measurements(rows, everything)
    rows = rows.append_column("n_measured", pa.array(counts, pa.int32()))
    rows = rows.append_column("mineral", pa.array(minerals, pa.string()))
    dropped = ["duplicate_of", "relaxation", "leaks_into", "is_stable", "e_above_hull_source"]
    return rows.drop_columns(dropped).sort_by([("formula_reduced", "ascending"), ("material_id", "ascending")])


def write_structures(rows: pa.Table, path: Path) -> None:
    """Small row groups, so that one formula is read without the others."""
    import pyarrow.parquet as pq

    pq.write_table(rows, path, row_group_size=1_000, compression="zstd")


def template_index(rows: pa.Table, *, source: str, without: frozenset[str] = frozenset()) -> TemplateIndex:
    """The index over rows near the hull and over the prototypes that ship, with the element statistics that ship.

    Args:
        rows: As `structure_rows` gives them.
        source: What the index says of its origin.
        without: Reduced formulas to leave out.

    Returns:
        The index.
    """
    prototypes = zip(aflow_index().ids, aflow_index().crystals, strict=True)
    shipped = ((f"AFLOW {i}", c) for i, c in prototypes if c.formula_reduced not in without)
    index = TemplateIndex.build([*_near_hull(rows), *shipped], source=source)
    log_odds, volumes = learned_elements()
    return replace(index, log_odds=log_odds, atomic_volumes=volumes)


def _near_hull(rows: pa.Table) -> Iterator[tuple[str, Crystal]]:
    import pyarrow.compute as pc

    near = rows.filter(pc.less_equal(pc.fill_null(rows["e_above_hull"], 0.0), MAX_E_ABOVE_HULL))
    yield from crystals_of(near)


def crystals_of(rows: pa.Table) -> Iterator[tuple[str, Crystal]]:
    """(id, structure) of each row that is a crystal."""
    import numpy as np

    for batch in rows.select(["material_id", "lattice", "frac_coords", "atomic_numbers"]).to_batches(2_000):
        for row in batch.to_pylist():
            lattice, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
            try:
                yield row["material_id"], Crystal(lattice, frac, np.array(row["atomic_numbers"]))
            except InvalidCrystalError:
                continue
