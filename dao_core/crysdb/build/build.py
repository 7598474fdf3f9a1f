"""`build`: the stages chained through the ledger, guarded, and published as one version of the table."""

from __future__ import annotations

import json
import shutil
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import Ledger, StageRecord, content_key, file_sha256, write_atomic
from dao_core.crysdb.build.assemble import Computed, assemble
from dao_core.crysdb.build.ingest import REFUSED, functionals_of, ids_of, ingest, read_jsonl, without_taken
from dao_core.crysdb.build.stages import DROPPED, ENTRIES, dedup_stage, hull_stage, leak_stage, prepare_shards
from dao_core.crysdb.build.state import write_state
from dao_core.crysdb.config import BuildConfig, GuardSettings, sources_of
from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.sources.records import with_fed_back
from dao_core.crysdb.steps.quarantine import QUARANTINE
from dao_core.crysdb.table import CrysTable
from dao_core.hull.table import HULLS

if TYPE_CHECKING:
    import pyarrow as pa

REPORT = "report.json"
PRUNED = ("ingest", "clean", "standardise", "dedup", "hull", "leaks", "assemble", "update")


class BuildStoppedError(RuntimeError):
    """A guard stopped the build before it published; the last version is what it was. The message says what to do."""


@dataclass
class BuildReport:
    """What a build did. For every source n_in == n_refused + n_dropped + n_published."""

    version: int
    content_hash: str
    sources: dict[str, dict[str, Any]]
    refused: dict[str, int]
    dropped: dict[str, int]
    duplicates: dict[str, int]
    hull: dict[str, Any]
    agreement: dict[str, dict[str, float]]
    leaks: list[dict[str, Any]]
    reach: dict[str, dict[str, int]]
    views: dict[str, int]
    seconds: dict[str, float] = field(default_factory=dict)
    notes: dict[str, int] = field(default_factory=dict)

    @property
    def adds_up(self) -> bool:
        """Whether every row of every source is accounted for."""
        return all(s["n_in"] == s["n_refused"] + s["n_dropped"] + s["n_published"] for s in self.sources.values())


class _Clock:
    def __init__(self, log: Callable[[str], None]) -> None:
        self.seconds: dict[str, float] = {}
        self._log = log

    def __call__(self, stage: str, work: Callable[[], Any]) -> Any:
        begin = time.perf_counter()
        out = work()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + time.perf_counter() - begin
        self._log(f"{stage}: {self.seconds[stage]:.1f} s")
        return out


def build(
    config: BuildConfig,
    root: str | Path,
    *,
    sources: Sequence[Source] | None = None,
    log: Callable[[str], None] = lambda _: None,
) -> BuildReport:
    """Build CrysDB and publish a version; stages that the ledger has are taken from there, so a killed build goes on.

    Args:
        config: Sources and settings.
        root: The database's folder: `table/`, `ledger/`, `hulls.parquet`, `report.json`.
        sources: In place of the settings' own; what was fed back into the database comes behind them.
        log: Takes one line for each step.

    Returns:
        Rows by source, seconds by step, and the version that was published.

    Raises:
        TableBusyError: Another builder is running.
        SourceError: A source cannot be read.
        BuildStoppedError: A source shrank or changed its functional.
        TableError: The table is damaged or cannot be written.
        ArtifactError: The ledger cannot be written.
    """
    root = Path(root)
    table = CrysTable(root / "table")
    with table.writer():
        if table.exists:
            table.check()
        clock = _Clock(log)
        ledger = Ledger(root / "ledger")
        opened = with_fed_back(sources_of(config, sources), root)
        raw = clock("ingest", lambda: ingest_all(opened, ledger, config))
        flat = [shard for shards in raw for shard in shards]
        prepared = clock("clean and standardise", lambda: _prepare(flat, ledger, config))
        cleaned, standard = [c for c, _ in prepared], [s for _, s in prepared]
        hull = clock("hull", lambda: hull_stage(cleaned, ledger, config.hull))
        computed = Computed(
            hull=hull,
            dedup=clock("dedup", lambda: dedup_stage(standard, hull, ledger, config.dedup, workers=config.workers)),
            leaks=clock("leak audit", lambda: leak_stage(standard, ledger, config)),
        )
        final = clock("views", lambda: assemble(standard, computed, ledger, config.clean))
        report = _report(opened, raw, prepared, computed, final)
        check_guards(table, report, config.guards)
        report.version = clock("publish", lambda: _publish(table, final, computed.hull, report, root))
        clock("state", lambda: _write_state(root, report, cleaned, final, config))
        report.seconds = {k: round(v, 3) for k, v in clock.seconds.items()}
        write_atomic(root / REPORT, json.dumps(asdict(report), indent=1))
        if not config.keep_old_stages:
            originals = [ledger.find("ingest", s.facts["of"]) for s in flat if "of" in s.facts]
            _prune(ledger, [*flat, *filter(None, originals), *cleaned, *standard, *vars(computed).values(), final])
        return report


def ingest_all(sources: Sequence[Source], ledger: Ledger, config: BuildConfig) -> list[list[StageRecord]]:
    """The shards of each source; those that are in the ledger are not read again.

    Args:
        sources: What is read.
        ledger: Of the database.
        config: Of the build.

    Returns:
        Records of the shards, one list a source.

    Raises:
        SourceError: A source cannot be read.
    """
    taken: dict[str, str] = {}
    read: list[list[StageRecord]] = []
    for source in sources:
        shards = ingest(source, ledger, shard_rows=config.shard_rows, snapshot=config.snapshot)
        read.append([without_taken(shard, taken, ledger) for shard in shards])
        for shard in read[-1]:
            taken |= dict.fromkeys(ids_of(shard), source.name)
    return read


def _prepare(
    shards: Sequence[StageRecord], ledger: Ledger, config: BuildConfig
) -> list[tuple[StageRecord, StageRecord]]:
    return list(
        prepare_shards(shards, root=ledger.root, settings=config.clean, symprec=config.symprec, workers=config.workers)
    )


def _report(
    sources: Sequence[Source],
    raw: Sequence[Sequence[StageRecord]],
    prepared: Sequence[tuple[StageRecord, StageRecord]],
    computed: Computed,
    final: StageRecord,
) -> BuildReport:
    hull, leaks = computed.hull, computed.leaks
    per_source: dict[str, dict[str, Any]] = {}
    functionals = functionals_of(sources)
    tallies = {
        name: Counter(n_in=0, n_refused=0, n_dropped=final.facts["dropped"].get(name, 0)) for name in functionals
    }
    refused: Counter[str] = Counter()
    dropped: Counter[str] = Counter(r["reason"] for r in read_jsonl(final.file(DROPPED)))
    notes: Counter[str] = Counter()
    later = iter(prepared)
    for source, shards in zip(sources, raw, strict=True):
        tally = tallies[source.name]  # several sources may have one name, such as the functionals of a table
        for shard in shards:
            cleaned, standard = next(later)
            tally["n_in"] += shard.counts["n_in"]
            notes.update(shard.facts.get("notes", {}))
            tally["n_refused"] += sum(s.counts["n_refused"] for s in (shard, cleaned, standard))
            tally["n_dropped"] += cleaned.counts["n_dropped"]
            for record in (shard, cleaned, standard):
                refused.update(r["reason"] for r in read_jsonl(record.file(REFUSED)))
            dropped.update(r["reason"] for r in read_jsonl(cleaned.file(DROPPED)))
        per_source[source.name] = {
            **tally,
            "n_published": final.facts["published"].get(source.name, 0),
            "functional": functionals[source.name],
            "version": source.version,
        }
    return BuildReport(
        version=-1,
        content_hash=final.facts["content_hash"],
        sources=per_source,
        refused=dict(refused.most_common()),
        dropped=dict(dropped.most_common()),
        duplicates=dict(computed.dedup.counts),
        hull={**hull.counts, **hull.facts},
        agreement=final.facts["agreement"],
        leaks=leaks.facts["rows"],
        reach=leaks.facts["reach"],
        views=final.facts["views"],
        notes=dict(notes.most_common()),
    )


def check_guards(table: CrysTable, report: BuildReport, guards: GuardSettings) -> None:
    """Compare a build with the published version.

    Args:
        table: The database.
        report: What the build made.
        guards: How much may change.

    Raises:
        BuildStoppedError: More changed than that; the message names source, numbers and remedy.
    """
    if not report.adds_up:
        raise BuildStoppedError(f"rows do not add up: {report.sources}; this is a fault in the build, please report it")
    if table.exists:
        check_sources(table.facts().get("sources", {}), report.sources, guards)


def check_sources(before: Mapping[str, Any], after: Mapping[str, Any], guards: GuardSettings) -> None:
    """Compare what two readings say of each source: its functional, its rows, and its sound rows where known."""
    for name, old in before.items():
        new = after.get(name)
        if name in guards.allow or (new is None and not old["n_published"]):
            continue
        remedy = f"check the source; if the change is meant, put {name!r} into guards.allow"
        if new is None:
            raise BuildStoppedError(f"source {name} is gone (it had {old['n_published']} rows): {remedy}")
        if new["functional"] != old["functional"]:
            raise BuildStoppedError(
                f"source {name} changed its functional from {old['functional']} to {new['functional']}: {remedy}"
            )
        # a source that partial updates alone have given (validated structures) has published rows and no reading of it
        counts = {"rows": (old["n_in"], new["n_in"])} if "n_in" in old else {}
        if "n_refused" in new and "n_refused" in old:
            counts["sound rows"] = (old["n_in"] - old["n_refused"], new["n_in"] - new["n_refused"])
        for what, (then, now) in counts.items():
            if now < (1.0 - guards.max_shrink) * then:
                raise BuildStoppedError(f"source {name} shrank from {then} to {now} {what}: {remedy}")


def _publish(table: CrysTable, final: StageRecord, hull: StageRecord, report: BuildReport, root: Path) -> int:
    """One commit; none if the newest version has this content already (after a kill, or cut into other shards)."""
    facts = {
        "build": final.key,
        "content_hash": report.content_hash,
        "sources": report.sources,
        "hulls": report.hull["labels"],
        "views": report.views,
    }
    known = table.facts() if table.exists else {}
    if all(known.get(name) == facts[name] for name in ("content_hash", "sources")):
        version = table.version
    else:
        version = table.publish(_parts(final), facts=facts)
    table.seal()
    publish_hulls(hull, root)
    return version


def publish_hulls(record: StageRecord, root: Path) -> None:
    """The hulls and the quarantine of a stage, beside the table."""
    for name in (HULLS, QUARANTINE):
        if record.file(name).exists():
            write_atomic(root / name, record.file(name).read_bytes())


def settings_key(config: BuildConfig) -> str:
    """Hash of the settings that decide a row's values; an update must have the same."""
    names = {"clean", "symprec", "dedup", "hull", "benchmarks"}
    given = [path for benchmark in config.benchmarks for path in benchmark.paths]
    files = [file for path in given for file in (sorted(path.rglob("*")) if path.is_dir() else [path])]
    tests = [file_sha256(file) for file in files if file.is_file()]
    return content_key(**config.model_dump(mode="json", include=names), **({"test_files": tests} if tests else {}))


def _write_state(
    root: Path, report: BuildReport, cleaned: Sequence[StageRecord], final: StageRecord, config: BuildConfig
) -> None:
    """What an update starts from."""
    import pyarrow.parquet as pq

    write_state(
        root,
        entries=(pq.read_table(shard.file(ENTRIES)) for shard in cleaned),
        aside=(pq.read_table(path) for path in sorted(Path(final.path).glob("aside-*.parquet"))),
        facts={"version": report.version, "key": final.key, "settings": settings_key(config)},
    )


def _parts(final: StageRecord) -> Iterator[pa.Table]:
    import pyarrow.parquet as pq

    for path in sorted(Path(final.path).glob("part-*.parquet")):
        yield pq.read_table(path)


def _prune(ledger: Ledger, used: Sequence[StageRecord]) -> None:
    """Remove directories of the build's own stages that it did not use; the builder's lock is held.

    Benchmarks stay (they are costly and small), and what others keep in this ledger is theirs.
    """
    keep = {Path(record.path).resolve() for record in used}
    for stage in PRUNED:
        folder = ledger.root / stage
        for directory in folder.iterdir() if folder.is_dir() else ():
            if directory.is_dir() and directory.resolve() not in keep:
                shutil.rmtree(directory, ignore_errors=True)
