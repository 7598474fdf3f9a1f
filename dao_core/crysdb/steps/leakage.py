"""The leak audit: which rows would tell a model about a benchmark's test entries, and by which kind of likeness."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from pydantic import BaseModel, ConfigDict

from dao_core.crysdb.pool import ordered_map
from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.steps.clean import CleanSettings, refusal_reasons
from dao_core.crysdb.steps.dedup import members_of
from dao_core.crysdb.steps.keys import key_columns
from dao_core.crysdb.steps.standardise import standardise
from dao_core.elements import reduced_formula
from dao_core.matching.same import MatchSettings, Member, match_against
from dao_core.matching.structure_key import SYMPREC

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
        """Reduced formulas of all test entries, with a structure or without."""
        return self.formulas_only | self.structures.keys()


def formula_of(text: str) -> str:
    """Reduced formula of a formula's text, in the table's spelling."""
    from pymatgen.core import Composition

    whole = Composition(Composition(text).get_integer_formula_and_factor(max_denominator=1000)[0])
    return reduced_formula([e.Z for e, n in whole.items() for _ in range(round(n))])


def prepare_benchmark(config: BenchmarkConfig, *, symprec: float = SYMPREC) -> tuple[pa.Table, int]:
    """A benchmark's test entries in standard cells with their keys.

    Args:
        config: Of the benchmark.
        symprec: Tolerance of the symmetry analysis, angstrom.

    Returns:
        (rows, how many could not be read).

    Raises:
        SourceError: As the source `files` does.
    """
    import pyarrow as pa

    from dao_core.crysdb.sources.files import FileSource
    from dao_core.crysdb.sources.mapping import MappingOptions

    records: list[CrysRecord] = []
    n_refused = 0
    if config.paths:
        options = MappingOptions.model_validate({"name": config.name, "functional": "-", "mapping": config.mapping})
        source = FileSource(config.paths, options)
        items = [item.record for item in source.iter_records()]
        records = [r for r in items if r is not None]
        n_refused = len(items) - len(records)
    table = records_to_table(records)
    reasons = refusal_reasons(table, CleanSettings(min_distance=0.0))
    sound = [r is None for r in reasons]
    kept, failed = standardise(table.filter(pa.array(sound, type=pa.bool_())))
    return key_columns(kept, symprec=symprec), n_refused + sound.count(False) + len(failed)


def make_benchmark(config: BenchmarkConfig, table: pa.Table, n_refused: int = 0) -> Benchmark:
    """A benchmark from its prepared table."""
    ids, keys = table["material_id"].to_pylist(), table["prototype_key"].to_pylist()
    structures: dict[str, list[Member]] = {}
    for formula, member in zip(table["formula_reduced"].to_pylist(), members_of(table), strict=True):
        structures.setdefault(formula, []).append(member)
    return Benchmark(
        config.name,
        ids=frozenset(config.ids) | frozenset(ids),
        formulas_only=frozenset(formula_of(f) for f in config.formulas),
        structures=structures,
        prototypes=frozenset(k for k in keys if k),
        prototype_of={i: k for i, k in zip(ids, keys, strict=True) if k},
        n_refused=n_refused,
    )


def audit(
    tables: Iterable[pa.Table], benchmarks: Sequence[Benchmark], settings: MatchSettings, *, workers: int = 1
) -> dict[str, list[str]]:
    """Which rows leak into a benchmark's test.

    Kinds, the strongest that holds of the first two: `structure` (same id, or matches a test entry, or has the formula
    of an entry known by its formula only), `polymorph` (same composition, another structure); and `prototype` (another
    composition in the same prototype family) where neither holds.

    Args:
        tables: Rows with at least material_id, formula_reduced, prototype_key and the structure columns.
        benchmarks: What they are compared with.
        settings: Tolerances of the matching.
        workers: Processes.

    Returns:
        material_id -> ["<benchmark>:<kind>", ...] of every row that leaks; other rows are absent.
    """
    out: dict[str, list[str]] = {}
    jobs: list[_Job] = []
    for table in tables:
        for benchmark in benchmarks:
            kinds = _kinds(table, benchmark)
            for name, kind in kinds.items():
                out.setdefault(name, []).append(f"{benchmark.name}:{kind}")
            jobs += _jobs(table, kinds, benchmark)
    pieces = (jobs[begin : begin + JOBS_AT_ONCE] for begin in range(0, len(jobs), JOBS_AT_ONCE))
    for matched in ordered_map(partial(_match, settings=settings), pieces, workers=workers):
        for benchmark_name, name in matched:
            labels = out[name]
            labels[labels.index(f"{benchmark_name}:polymorph")] = f"{benchmark_name}:structure"
    return out


JOBS_AT_ONCE = 100
_Job = tuple[str, list[Member], list[Member]]  # benchmark, rows of one composition, test entries of it


def _kinds(table: pa.Table, benchmark: Benchmark) -> dict[str, str]:
    """Kind of leak by id, by what needs no matching."""
    out: dict[str, str] = {}
    columns = (table[name].to_pylist() for name in ("material_id", "formula_reduced", "prototype_key"))
    for name, formula, prototype in zip(*columns, strict=True):
        if name in benchmark.ids or formula in benchmark.formulas_only:
            out[name] = "structure"
        elif formula in benchmark.structures:
            out[name] = "polymorph"
        elif prototype in benchmark.prototypes:
            out[name] = "prototype"
    return out


def _jobs(table: pa.Table, kinds: Mapping[str, str], benchmark: Benchmark) -> list[_Job]:
    """Rows of a test entry's composition beside the entries, to be matched."""
    import pyarrow as pa

    same = pa.array([kinds.get(i) == "polymorph" for i in table["material_id"].to_pylist()], type=pa.bool_())
    rows = table.filter(same)
    by_formula: dict[str, list[Member]] = {}
    for formula, member in zip(rows["formula_reduced"].to_pylist(), members_of(rows), strict=True):
        by_formula.setdefault(formula, []).append(member)
    return [(benchmark.name, own, benchmark.structures[formula]) for formula, own in by_formula.items()]


def _match(jobs: Sequence[_Job], *, settings: MatchSettings) -> list[tuple[str, str]]:
    return [(name, hit) for name, own, targets in jobs for hit in match_against(own, targets, settings)]


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
    """How many of a benchmark's test entries can be reached from a table, by the strongest kind for each.

    An entry is reached by `composition` when a row has its formula (as structure or polymorph), by `prototype` when a
    row shares its family; `none` is the rest. `structure` counts formulas with at least one matching row.

    Args:
        table: Rows of CrysDB.
        benchmark: The test entries.
        leaks: From `audit`.

    Returns:
        Counts by kind.
    """
    label = f"{benchmark.name}:structure"
    names, formulas = table["material_id"].to_pylist(), table["formula_reduced"].to_pylist()
    hit = {f for i, f in zip(names, formulas, strict=True) if label in leaks.get(i, ())}
    present = set(formulas)
    families = {key for key in table["prototype_key"].to_pylist() if key}  # none where no symmetry was found
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
