"""The template index over CrysDB: its rows near the hull that leak into no benchmark, and AFLOW's prototypes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.generate.templates.aflow import aflow_index, learned_elements
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.ranker import Ranker
from dao_core.generate.templates.store import save_index
from dao_core.units import NEAR_HULL

if TYPE_CHECKING:
    from dao_core.crysdb.table import CrysTable

MAX_ATOMS = 64
TEACHES = 5_000  # rows from which on a database knows more of elements than what ships with the package
STAGE, VIEW = "templates", "leak_free"
COLUMNS = (
    "material_id", "lattice", "frac_coords", "atomic_numbers", "n_atoms", "e_above_hull",
    "relaxation", "duplicate_of", "is_stable", "leaks_into",
)  # fmt: skip


def crysdb_templates(table: CrysTable, ledger: Ledger, *, version: int | None = None) -> StageRecord:
    """The index over a version of a CrysDB table, built once.

    Args:
        table: The database.
        ledger: Keeps the index.
        version: Of the table; None: the newest.

    Returns:
        A stage whose folder `TemplateIndex.load` reads.

    Raises:
        TableError: There is no such table.
    """
    at = table.version if version is None else version
    content = str(table.facts(at).get("content_hash", f"{table.path.resolve()} {at}"))

    def work(directory: Path) -> dict[str, Any]:
        index = build_index(table, at)
        save_index(index, directory)
        return {"counts": {"templates": len(index)}, "facts": {"source": index.source}}

    ranker = Ranker.shipped().to_json()  # the index keeps the order that it was built with
    return ledger.run(STAGE, content_key(content=content, code=code_version(build_index), ranker=ranker), work)


def build_index(table: CrysTable, version: int) -> TemplateIndex:
    """Index a version of the table, 1.5 ms a structure; few rows leave the element statistics to those shipped."""
    prototypes = aflow_index()
    items = [
        *_rows(table, version),
        *((f"AFLOW {i}", c) for i, c in zip(prototypes.ids, prototypes.crystals, strict=True)),
    ]
    source = f"CrysDB version {version} ({table.facts(version).get('content_hash', 'no hash')}), view {VIEW}; AFLOW"
    index = TemplateIndex.build(items, source=source)
    if len(index) >= TEACHES:
        return index
    log_odds, volumes = learned_elements()
    return replace(index, log_odds=log_odds, atomic_volumes=volumes)


def _rows(table: CrysTable, version: int) -> Iterator[tuple[str, Crystal]]:
    """(id, structure) of the rows that may serve as templates, in the order of their ids."""
    import numpy as np
    import pyarrow.compute as pc

    from dao_core.crysdb.views import select_view

    rows = select_view(table.read(columns=COLUMNS, version=version), VIEW)
    near = pc.less_equal(pc.fill_null(rows["e_above_hull"], 0.0), NEAR_HULL)
    rows = rows.filter(pc.and_(near, pc.less_equal(rows["n_atoms"], MAX_ATOMS))).sort_by("material_id")
    for batch in rows.to_batches(max_chunksize=5_000):
        for row in batch.to_pylist():
            try:
                lattice, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
                yield row["material_id"], Crystal(lattice, frac, np.array(row["atomic_numbers"]))
            except InvalidCrystalError:  # a table of another program: its row is no template
                continue
