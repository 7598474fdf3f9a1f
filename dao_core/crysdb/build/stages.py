"""The stages between ingest and publish, each one ledger entry (a shard, or the whole), each callable alone."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.build.ingest import REFUSED, ROWS, write_jsonl
from dao_core.crysdb.pool import ordered_map
from dao_core.crysdb.steps.clean import CleanSettings, clean
from dao_core.crysdb.steps.dedup import (
    DEDUP_COLUMNS,
    STRUCTURE_COLUMNS,
    DedupSettings,
    buckets_of,
    duplicates,
    members_of,
)
from dao_core.crysdb.steps.energies import ENTRY_COLUMNS, CheckedHull, HullSettings, hull_results
from dao_core.crysdb.steps.keys import key_columns
from dao_core.crysdb.steps.leakage import (
    Benchmark,
    BenchmarkConfig,
    audit,
    leak_table,
    make_benchmark,
    prepare_benchmark,
    reachability,
)
from dao_core.crysdb.steps.quarantine import QUARANTINE, read_quarantine, write_quarantine
from dao_core.crysdb.steps.standardise import standardise
from dao_core.elements import SYMBOLS
from dao_core.hull.table import hull_table
from dao_core.matching.same import Member

if TYPE_CHECKING:
    import pyarrow as pa

    from dao_core.crysdb.config import BuildConfig

DROPPED = "dropped.jsonl"
ENTRIES = "entries.parquet"


def _reasons(directory: Path, name: str, reasons: dict[str, str]) -> None:
    write_jsonl(directory / name, ({"row": row, "reason": reason} for row, reason in reasons.items()))


def _clean_work(directory: Path, *, shard: StageRecord, settings: CleanSettings) -> dict[str, Any]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    result = clean(pq.read_table(shard.file(ROWS)), settings)
    mask = pa.array(result.publishable, type=pa.bool_())
    published = result.sound.filter(mask)
    pq.write_table(published, directory / ROWS, compression="zstd")
    entries = result.sound.select(list(ENTRY_COLUMNS)).append_column("publishable", mask)
    pq.write_table(entries, directory / ENTRIES, compression="zstd")
    _reasons(directory, REFUSED, result.refused)
    _reasons(directory, DROPPED, result.dropped)
    return {"counts": {"n": published.num_rows, "n_refused": len(result.refused), "n_dropped": len(result.dropped)}}


def clean_shard(shard: StageRecord, *, root: Path, settings: CleanSettings) -> StageRecord:
    """Clean one ingested shard."""
    limits = settings.model_dump(exclude={"max_e_above_hull"})
    key = content_key(code=code_version(_clean_work), shard=shard.key, settings=limits)
    return Ledger(root).run("clean", key, partial(_clean_work, shard=shard, settings=settings))


def _standardise_work(directory: Path, *, shard: StageRecord, symprec: float) -> dict[str, Any]:
    import pyarrow.parquet as pq

    table, refused = standardise(pq.read_table(shard.file(ROWS)))
    pq.write_table(key_columns(table, symprec=symprec), directory / ROWS, compression="zstd")
    _reasons(directory, REFUSED, refused)
    return {"counts": {"n": table.num_rows, "n_refused": len(refused)}}


def standardise_shard(shard: StageRecord, *, root: Path, symprec: float) -> StageRecord:
    """Niggli cells and exact keys of one cleaned shard: the costly stage, a symmetry analysis for every row."""
    key = content_key(code=code_version(_standardise_work), shard=shard.key, symprec=symprec)
    return Ledger(root).run("standardise", key, partial(_standardise_work, shard=shard, symprec=symprec))


def prepare_shard(
    shard: StageRecord, *, root: Path, settings: CleanSettings, symprec: float
) -> tuple[StageRecord, StageRecord]:
    """Clean and standardise one ingested shard: what `prepare_shards` does with each, on any machine.

    Args:
        shard: From ingestion.
        root: Folder of the ledger.
        settings: Of the cleaning.
        symprec: Tolerance of the symmetry analysis, angstrom.

    Returns:
        Records of the (cleaned, standardised) shard.
    """
    cleaned = clean_shard(shard, root=root, settings=settings)
    return cleaned, standardise_shard(cleaned, root=root, symprec=symprec)


def prepare_shards(
    shards: Sequence[StageRecord], *, root: Path, settings: CleanSettings, symprec: float, workers: int
) -> Iterator[tuple[StageRecord, StageRecord]]:
    """Clean and standardise every shard, over processes.

    Args:
        shards: From ingestion.
        root: Folder of the ledger.
        settings: Of the cleaning.
        symprec: Tolerance of the symmetry analysis, angstrom.
        workers: Processes.

    Yields:
        Records of the (cleaned, standardised) shards in order.
    """
    work = partial(prepare_shard, root=root, settings=settings, symprec=symprec)
    return ordered_map(work, shards, workers=workers)


def _read(shards: Sequence[StageRecord], name: str, columns: Sequence[str] | None = None) -> pa.Table:
    import pyarrow as pa
    import pyarrow.parquet as pq

    return pa.concat_tables([pq.read_table(s.file(name), columns=list(columns) if columns else None) for s in shards])


def _loader(shards: Sequence[StageRecord]) -> Callable[[list[int]], dict[int, Member]]:
    """Loads members by row number over all shards."""
    starts = np.concatenate([[0], np.cumsum([s.counts["n"] for s in shards])])

    def load(rows: list[int]) -> dict[int, Member]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        out: dict[int, Member] = {}
        owner = np.searchsorted(starts, rows, side="right") - 1
        for shard in np.unique(owner):
            local = [r for r, o in zip(rows, owner, strict=True) if o == shard]
            table = pq.read_table(shards[shard].file(ROWS), columns=list(STRUCTURE_COLUMNS))
            picked = members_of(table.take(pa.array(np.array(local) - starts[shard])))
            out.update(zip(local, picked, strict=True))
        return out

    return load


def dedup_stage(
    shards: Sequence[StageRecord], hull: StageRecord, ledger: Ledger, settings: DedupSettings, *, workers: int
) -> StageRecord:
    """Find duplicates over all shards.

    Args:
        shards: The standardised shards.
        hull: The stage of the hulls: a row in its quarantine stands for no other.
        ledger: Where the stage goes.
        settings: How structures are compared.
        workers: Processes.

    Returns:
        `duplicates.parquet` (material_id, duplicate_of).
    """
    quarantine = read_quarantine(hull.file(QUARANTINE))

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        buckets = buckets_of(_read(shards, ROWS, DEDUP_COLUMNS), settings, quarantine)
        twins = duplicates(buckets, _loader(shards), settings, workers=workers)
        names = sorted(twins)
        table = {"material_id": names, "duplicate_of": [twins[n] for n in names]}
        pq.write_table(
            pa.table(table, schema=pa.schema([(k, pa.string()) for k in table])), directory / "duplicates.parquet"
        )
        in_buckets = sum(len(rows) for rows in buckets.rows)
        return {"counts": {"n_buckets": len(buckets.rows), "n_in_buckets": in_buckets, "n_duplicates": len(twins)}}

    key = content_key(
        code=code_version(dedup_stage),
        shards=[s.key for s in shards],
        quarantine=sorted(quarantine),
        settings=settings.model_dump(),
    )
    return ledger.run("dedup", key, work)


def hull_stage(cleaned: Sequence[StageRecord], ledger: Ledger, settings: HullSettings) -> StageRecord:
    """All hulls.

    Args:
        cleaned: The cleaned shards: every sound row, publishable or not, takes part.
        ledger: Where the stage goes.
        settings: How hulls are made.

    Returns:
        `values.parquet` (publishable rows in order), `hulls.parquet` (the phases) and `quarantine.json` (the rows whose
        energy cannot be right).
    """

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow.parquet as pq

        entries = _read(cleaned, ENTRIES)
        values, made = _hull_values(entries, settings)
        pq.write_table(values.filter(entries["publishable"]), directory / "values.parquet", compression="zstd")
        hulls = [m.hull for m in made]
        pq.write_table(hull_table(hulls), directory / "hulls.parquet", compression="zstd")
        write_quarantine(directory / QUARANTINE, (q for m in made for q in m.quarantine.values()))
        missing = values["e_above_hull"].null_count
        counts = {"n": entries.num_rows, "n_with_hull": entries.num_rows - missing, "n_without_hull": missing}
        counts["n_quarantined"] = sum(len(m.quarantine) for m in made)
        assumed = {str(h.label): [SYMBOLS[z] for z in sorted(h.references.by_definition)] for h in hulls}
        facts = {
            "labels": [str(h.label) for h in hulls],
            "elements_at_zero": {name: symbols for name, symbols in assumed.items() if symbols},
        }
        return {"counts": counts, "facts": facts}

    key = content_key(code=code_version(hull_stage), shards=[s.key for s in cleaned], settings=settings.model_dump())
    return ledger.run("hull", key, work)


def _hull_values(entries: pa.Table, settings: HullSettings) -> tuple[pa.Table, list[CheckedHull]]:
    """Formation energy and hull distance of every row (eV/atom, null where unknown), and the hulls behind them."""
    import pyarrow as pa

    formation, above = np.full((2, entries.num_rows), np.nan)
    made: list[CheckedHull] = []
    for result in hull_results(entries, settings) if entries.num_rows else ():
        formation[result.rows] = result.formation_energy_per_atom
        above[result.rows] = result.e_above_hull
        made.append(result.made)
    values = {
        "material_id": entries["material_id"],
        "source": entries["source"],
        "formation_energy_per_atom": pa.array(formation, from_pandas=True),
        "e_above_hull": pa.array(above, from_pandas=True),
        "e_above_hull_source": entries["e_above_hull_source"],
    }
    return pa.table(values), made


def benchmark_stage(config: BenchmarkConfig, ledger: Ledger, *, symprec: float) -> StageRecord:
    """A benchmark's test entries with their keys, kept as long as the files stay the same.

    Args:
        config: Of the benchmark.
        ledger: Of the database.
        symprec: Tolerance of the symmetry analysis, angstrom.

    Returns:
        The record of the stage.
    """

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow.parquet as pq

        table, n_refused = prepare_benchmark(config, symprec=symprec)
        pq.write_table(table, directory / ROWS, compression="zstd")
        return {"counts": {"n": table.num_rows, "n_refused": n_refused}}

    key = content_key(code=code_version(benchmark_stage), config=_benchmark_key(config), symprec=symprec)
    return ledger.run("benchmarks", key, work)


LEAK_COLUMNS = ("formula_reduced", "prototype_key", *STRUCTURE_COLUMNS)


def leak_stage(shards: Sequence[StageRecord], ledger: Ledger, config: BuildConfig) -> StageRecord:
    """Audit all rows for leaks into the benchmarks.

    Args:
        shards: The standardised shards.
        ledger: Where the stage and the prepared benchmarks lie.
        config: Names the benchmarks, the tolerances of matching and the number of processes.

    Returns:
        `leaks.parquet` (material_id, leaks_into); how many rows and test entries are concerned is in the facts.
    """
    prepared = [benchmark_stage(b, ledger, symprec=config.symprec) for b in config.benchmarks]

    def work(directory: Path) -> dict[str, Any]:
        import pyarrow as pa
        import pyarrow.parquet as pq

        loaded = load_benchmarks(config, prepared)
        tables = (pq.read_table(s.file(ROWS), columns=list(LEAK_COLUMNS)) for s in shards)
        leaks = audit(tables, loaded, config.dedup.match, workers=config.workers)
        names = sorted(leaks)
        schema = pa.schema([("material_id", pa.string()), ("leaks_into", pa.list_(pa.string()))])
        table = pa.table({"material_id": names, "leaks_into": [leaks[n] for n in names]}, schema=schema)
        pq.write_table(table, directory / "leaks.parquet", compression="zstd")
        flat = _read(shards, ROWS, ("material_id", "formula_reduced", "prototype_key"))
        facts = {
            "rows": leak_table(leaks, flat.num_rows, loaded),
            "reach": {b.name: reachability(flat, b, leaks) for b in loaded},
        }
        return {"counts": {"n": flat.num_rows, "n_leaking": len(leaks)}, "facts": facts}

    key = content_key(
        code=code_version(leak_stage),
        shards=[s.key for s in shards],
        benchmarks=[r.key for r in prepared],
        settings=config.dedup.match.model_dump(),
    )
    return ledger.run("leaks", key, work)


def load_benchmarks(config: BuildConfig, prepared: Sequence[StageRecord]) -> list[Benchmark]:
    """The benchmarks of a build from their prepared stages, in the order of the settings."""
    import pyarrow.parquet as pq

    return [
        make_benchmark(b, pq.read_table(r.file(ROWS)), r.counts["n_refused"])
        for b, r in zip(config.benchmarks, prepared, strict=True)
    ]


def _benchmark_key(config: BenchmarkConfig) -> dict[str, Any]:
    from dao_core.artifacts import file_sha256
    from dao_core.crysdb.sources.guards import check_file

    for path in config.paths:
        if not path.is_dir():
            check_file(path)
    files = [f for p in config.paths for f in (sorted(p.rglob("*")) if p.is_dir() else [p]) if f.is_file()]
    return {**config.model_dump(mode="json"), "sha256": [file_sha256(f) for f in files]}
