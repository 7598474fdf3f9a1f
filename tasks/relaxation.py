"""Tasks that relax the unstable part of the database with DAO-P; the rows go back through `build_crysdb`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.schema import CrysRecord, records_to_table, table_to_records
from dao_core.crysdb.table import CrysTable, TableRecord
from dao_core.energy.potential import Potential, label_of
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from tasks.config import DatasetRelaxation
from tasks.crysdb import RELAXED, ROWS, ledger_of
from tasks.prefect_api import task

KEPT = ("converged", "max_steps")
OUTSIDE = "outside"  # counted in place of the status: what the potential was not trained on is no row of a database


@task(name="select unstable")
def select_unstable(table: TableRecord, settings: DatasetRelaxation) -> list[list[str]]:
    """Choose what is relaxed.

    Args:
        table: CrysDB.
        settings: Energies above the hull, how many, how many a shard.

    Returns:
        Ids of the leak-free structures above the hull, lowest first, in shards.
    """
    low, high = settings.above_hull
    rows = [
        r for r in CrysTable(table.path).records("leak_free", version=table.version)
        if r.e_above_hull is not None and low < r.e_above_hull <= high
    ]  # fmt: skip
    rows.sort(key=lambda r: (r.e_above_hull, r.material_id))
    ids = [r.material_id for r in rows[: settings.max_structures]]
    return [ids[i : i + settings.shard_size] for i in range(0, len(ids), settings.shard_size)]


@task(name="relax a shard", retries=1)
def relax_shard(ids: list[str], table: TableRecord, predictor: str, settings: RelaxSettings, root: str) -> StageRecord:
    """Relax one shard with DAO-P. Rejected results are counted by status and the originals kept as they are.

    Args:
        ids: Rows of the shard.
        table: CrysDB.
        predictor: Name or folder of the potential.
        settings: When a relaxation is done.
        root: Folder of the run.

    Returns:
        The record of the stage, with the rows.
    """
    from dao_core.energy.registry import load_potential

    potential = load_potential(predictor)

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow.parquet as pq

        records = _by_id(table, ids)
        rows, counts = relax_records(records, potential, settings)
        pq.write_table(records_to_table(rows), directory / ROWS)
        return {"counts": counts}

    key = content_key(table=table.key, ids=ids, potential=potential.identity, relax=settings, code=code_version(relax))
    return ledger_of(root).run("relax-dataset", key, work)


def _by_id(table: TableRecord, ids: list[str]) -> list[CrysRecord]:
    import pyarrow.compute as pc

    found = CrysTable(table.path).read(filters=pc.field("material_id").isin(ids), version=table.version)
    rows = {r.material_id: r for r in table_to_records(found)}
    return [rows[i] for i in ids]


def relax_records(
    records: list[CrysRecord], potential: Potential, settings: RelaxSettings
) -> tuple[list[CrysRecord], dict[str, int]]:
    """Relax rows of CrysDB.

    Args:
        records: The rows.
        potential: What relaxes them.
        settings: When a relaxation is done.

    Returns:
        New rows for the relaxed structures (parent, status, energy of the potential), and counts by status. A result
        outside what the potential was trained on is no row and counts as "outside".
    """
    results = relax([r.crystal for r in records], potential, settings)
    rows = []
    counts = {"n_asked": len(records), "n_ok": 0, "n_failed": 0}
    for record, result in zip(records, results, strict=True):
        status = str(result.status)
        if status in KEPT and result.outside is not None:
            status = OUTSIDE
        counts[status] = counts.get(status, 0) + 1
        kept = status in KEPT and result.energy_per_atom is not None
        counts["n_ok" if kept else "n_failed"] += 1
        if kept:
            column = (
                "formation_energy_per_atom_source" if label_of(potential).kind == "formation" else "energy_per_atom"
            )
            rows.append(
                CrysRecord.from_crystal(
                    result.crystal,
                    material_id=f"{record.material_id}-relaxed",
                    source=RELAXED,
                    source_version=potential.identity,
                    functional=potential.identity,
                    **{column: result.energy_per_atom},
                    parent_id=record.material_id,
                    relaxation=status,
                    license=record.license,
                )
            )
    return rows, counts
