"""The leak audit: which rows would tell a model about a benchmark's test entries, and by which kind of likeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from dao_core.crysdb.clean import CleanSettings, refusal_reasons
from dao_core.crysdb.dedup import STRUCTURE_COLUMNS, members_of
from dao_core.crysdb.keys import SYMPREC, key_columns
from dao_core.crysdb.matching import MatchSettings, Member, match_against
from dao_core.crysdb.pool import ordered_map
from dao_core.crysdb.schema import CrysRecord, records_to_table, reduced_formula
from dao_core.crysdb.standardise import standardise

if TYPE_CHECKING:
    import pyarrow as pa

KINDS = ("structure", "polymorph", "prototype")
SUPERCONDUCTORS = ("Cr6Os2", "Zr16Rh8O4", "Zr16Pd8O4")  # held out by the paper


class BenchmarkConfig(BaseModel):
    """A benchmark's test half: files (any format of the source `files`), ids, or formulas alone."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str
    paths: tuple[Path, ...] = ()
    ids: tuple[str, ...] = ()
    formulas: tuple[str, ...] = ()
    mapping: str = "default"


SUPERCONDUCTOR_BENCHMARK = BenchmarkConfig(name="superconductors", formulas=SUPERCONDUCTORS)


@dataclass
class Benchmark:
    """A benchmark made ready: what its test entries look like. `n_refused` entries could not be read."""

    name: str
    ids: frozenset[str] = frozenset()
    formulas_only: frozenset[str] = frozenset()
    structures: dict[str, list[Member]] = field(default_factory=dict)  # by reduced formula
    prototypes: frozenset[str] = frozenset()
    prototype_of: dict[str, str] = field(default_factory=dict)
    n_refused: int = 0

    @property
    def formulas(self) -> frozenset[str]:
        return self.formulas_only | self.structures.keys()


def formula_of(text: str) -> str:
    """Reduced formula of a formula's text, in the table's spelling."""
    from pymatgen.core import Composition

    return reduced_formula([e.Z for e, n in Composition(text).items() for _ in range(int(n))])


def load_benchmark(config: BenchmarkConfig, *, symprec: float = SYMPREC) -> Benchmark:
    """Read a benchmark's test entries and compute their keys. Raises SourceError as the source `files` does."""
    out = Benchmark(config.name, frozenset(config.ids), frozenset(formula_of(f) for f in config.formulas))
    records: list[CrysRecord] = []
    if config.paths:
        from dao_core.crysdb.sources.files import FileSource

        for item in FileSource(config.paths, name=config.name, functional="-", mapping=config.mapping).iter_records():
            if item.record is None:
                out.n_refused += 1
            else:
                records.append(item.record)
    return add_records(out, records, symprec=symprec)


def add_records(benchmark: Benchmark, records: Sequence[CrysRecord], *, symprec: float = SYMPREC) -> Benchmark:
    """Put test entries with structures into a benchmark."""
    if not records:
        return benchmark
    import pyarrow as pa

    table = records_to_table(records)
    reasons = refusal_reasons(table, CleanSettings(min_distance=0.0))
    sound = [r is None for r in reasons]
    table = key_columns(standardise(table.filter(pa.array(sound)))[0], symprec=symprec)
    for formula, member in zip(table["formula_reduced"].to_pylist(), members_of(table), strict=True):
        benchmark.structures.setdefault(formula, []).append(member)
    ids = table["material_id"].to_pylist()
    keys = table["prototype_key"].to_pylist()
    benchmark.ids |= frozenset(ids)
    benchmark.prototypes |= frozenset(k for k in keys if k)
    benchmark.prototype_of.update((i, k) for i, k in zip(ids, keys, strict=True) if k)
    benchmark.n_refused += sound.count(False)
    return benchmark


def audit(
    tables: Iterable[pa.Table], benchmarks: Sequence[Benchmark], settings: MatchSettings, *, workers: int = 1
) -> dict[str, list[str]]:
    """material_id -> ["<benchmark>:<kind>", ...] of every row that leaks; other rows are absent.

    Kinds, the strongest that holds of the first two: `structure` (same id, or matches a test entry, or has the formula
    of an entry known by its formula only), `polymorph` (same composition, another structure); and `prototype` (another
    composition in the same prototype family) where neither holds. `tables` have at least material_id,
    formula_reduced, prototype_key and the structure columns.
    """
    out: dict[str, list[str]] = {}
    work = partial(_audit_one, benchmarks=benchmarks, settings=settings)
    for part in ordered_map(work, tables, workers=workers):
        out.update(part)
    return out


def _audit_one(table: pa.Table, *, benchmarks: Sequence[Benchmark], settings: MatchSettings) -> dict[str, list[str]]:
    out: dict[str, list[str]] = {}
    ids = table["material_id"].to_pylist()
    formulas = table["formula_reduced"].to_pylist()
    prototypes = table["prototype_key"].to_pylist()
    for benchmark in benchmarks:
        kinds: dict[int, str] = {}
        for i, (name, formula, prototype) in enumerate(zip(ids, formulas, prototypes, strict=True)):
            if name in benchmark.ids or formula in benchmark.formulas_only:
                kinds[i] = "structure"
            elif formula in benchmark.structures:
                kinds[i] = "polymorph"
            elif prototype in benchmark.prototypes:
                kinds[i] = "prototype"
        for i in _matching(table, kinds, formulas, benchmark, settings):
            kinds[i] = "structure"
        for i, kind in kinds.items():
            out.setdefault(ids[i], []).append(f"{benchmark.name}:{kind}")
    return out


def _matching(
    table: pa.Table, kinds: Mapping[int, str], formulas: Sequence[str], benchmark: Benchmark, settings: MatchSettings
) -> list[int]:
    """Rows of the same composition whose structure matches a test entry."""
    import pyarrow as pa

    rows = [i for i, kind in kinds.items() if kind == "polymorph"]
    if not rows:
        return []
    members = members_of(table.select(list(STRUCTURE_COLUMNS)).take(pa.array(rows)))
    by_formula: dict[str, list[tuple[int, Member]]] = {}
    for i, member in zip(rows, members, strict=True):
        by_formula.setdefault(formulas[i], []).append((i, member))
    found: list[int] = []
    for formula, own in by_formula.items():
        # a row may carry a test entry's name without being it: names must differ in the matcher's cache
        targets = [
            Member(f"test:{t.name}", t.lattice, t.frac_coords, t.atomic_numbers) for t in benchmark.structures[formula]
        ]
        matched = set(match_against([m for _, m in own], targets, settings))
        found += [i for i, m in own if m.name in matched]
    return found


def leak_table(
    leaks: Mapping[str, Sequence[str]], n_rows: int, benchmarks: Sequence[Benchmark]
) -> list[dict[str, object]]:
    """How many rows of the table reach each benchmark by each kind of likeness."""
    counts = Counter(label for labels in leaks.values() for label in labels)
    return [
        {
            "benchmark": b.name,
            "test_entries": sum(len(m) for m in b.structures.values()) + len(b.formulas_only),
            "test_entries_refused": b.n_refused,
            **{f"rows_{kind}": counts[f"{b.name}:{kind}"] for kind in KINDS},
            "rows": n_rows,
        }
        for b in benchmarks
    ]


def reachability(table: pa.Table, benchmark: Benchmark, leaks: Mapping[str, Sequence[str]]) -> dict[str, int]:
    """How many of a benchmark's test entries can be reached from the table, by the strongest kind for each.

    An entry is reached by `composition` when a row has its formula (as structure or polymorph), by `prototype` when a
    row shares its family; `none` is the rest. `structure` counts formulas with at least one matching row.
    """
    label = f"{benchmark.name}:structure"
    names, formulas = table["material_id"].to_pylist(), table["formula_reduced"].to_pylist()
    hit = {f for i, f in zip(names, formulas, strict=True) if label in leaks.get(i, ())}
    present = set(formulas)
    families = set(table["prototype_key"].to_pylist())
    out = Counter({"structure": 0, "polymorph": 0, "prototype": 0, "none": 0})
    for formula, members in benchmark.structures.items():
        for member in members:
            if formula in hit:
                out["structure"] += 1
            elif formula in present:
                out["polymorph"] += 1
            else:
                out["prototype" if benchmark.prototype_of.get(member.name) in families else "none"] += 1
    for formula in benchmark.formulas_only:
        out["structure" if formula in present else "none"] += 1
    return dict(out)
