from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pytest

from dao_core.crysdb.schema import records_to_table
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.steps.keys import key_columns
from dao_core.crysdb.steps.leakage import (
    SUPERCONDUCTOR_BENCHMARK,
    Benchmark,
    BenchmarkConfig,
    audit,
    formula_of,
    leak_table,
    make_benchmark,
    prepare_benchmark,
    reachability,
)
from dao_core.crystal import crystal_from_symbols
from dao_core.matching.same import MatchSettings
from tests.helpers.records import caesium_chloride, element, perovskite, record, rocksalt


@pytest.fixture
def benchmark_file(tmp_path: Path) -> Path:
    """Two test entries, NaCl in rocksalt and SrTiO3 in perovskite, as CIFs."""
    folder = tmp_path / "cifs"
    folder.mkdir()
    (folder / "test-1.cif").write_text(rocksalt().to_cif())
    (folder / "test-2.cif").write_text(perovskite().to_cif())
    (folder / "broken.cif").write_text("data_x\nnothing\n")
    return folder


def load_benchmark(config: BenchmarkConfig) -> Benchmark:
    return make_benchmark(config, *prepare_benchmark(config))


ROWS = [
    record("same", rocksalt(edge=5.7), -3.4),
    record("polymorph", caesium_chloride(), -3.3),
    record("family", perovskite("Ba", "Zr"), -7.0),
    record("free", crystal_from_symbols([[3, 0, 0], [0, 3, 0], [0, 0, 5]], ["Fe", "C"], [[0, 0, 0], [0.5, 0.5, 0.4]])),
    record("test-2", element("Fe"), -8.0),
]


def test_every_kind_is_found_and_named(benchmark_file: Path) -> None:
    benchmark = load_benchmark(BenchmarkConfig(name="b", paths=(benchmark_file,)))
    assert benchmark.n_refused == 1
    table = key_columns(records_to_table(ROWS))
    leaks = audit([table.slice(0, 2), table.slice(2)], [benchmark], MatchSettings())
    assert leaks == {
        "same": ["b:structure"],
        "polymorph": ["b:polymorph"],
        "family": ["b:prototype"],
        "test-2": ["b:structure"],  # by its id
    }
    rows = leak_table(leaks, len(ROWS), [benchmark])
    assert rows[0] == {
        "benchmark": "b",
        "test_entries": 2,
        "test_entries_refused": 1,
        "rows_structure": 2,
        "rows_polymorph": 1,
        "rows_prototype": 1,
        "rows": 5,
    }
    assert reachability(table, benchmark, leaks) == {"structure": 1, "polymorph": 0, "prototype": 1, "none": 0}


def test_processes_give_the_same(benchmark_file: Path) -> None:
    benchmark = load_benchmark(BenchmarkConfig(name="b", paths=(benchmark_file,)))
    table = key_columns(records_to_table(ROWS))
    one, two = (audit([table], [benchmark], MatchSettings(), workers=w) for w in (1, 2))
    assert one == two


def test_the_three_superconductors_are_held_out_by_formula() -> None:
    assert formula_of("Cr6Os2") == formula_of("Cr3Os")
    benchmark = load_benchmark(SUPERCONDUCTOR_BENCHMARK)
    sites = [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    crystal = crystal_from_symbols([[3.8, 0, 0], [0, 3.8, 0], [0, 0, 3.8]], ["Os", "Cr", "Cr", "Cr"], sites)
    table = key_columns(records_to_table([record("any", crystal), record("salt", rocksalt())]))
    leaks = audit([table], [benchmark], MatchSettings())
    assert leaks == {"any": ["superconductors:structure"]}
    assert reachability(table, benchmark, leaks)["structure"] == 1


def test_a_formula_with_fractions_is_the_compound_of_whole_numbers() -> None:
    assert formula_of("Nb0.75Sn0.25") == formula_of("Nb3Sn")
    assert formula_of("La1.85Sr0.15CuO4") == formula_of("La37Sr3Cu20O80")


def test_test_entries_of_one_name_are_told_apart(tmp_path: Path) -> None:
    for folder, crystal in (("x", rocksalt()), ("y", caesium_chloride())):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "POSCAR").write_text(crystal.to_pymatgen().to(fmt="poscar"))
    benchmark = load_benchmark(BenchmarkConfig(name="held", paths=(tmp_path,)))
    rows = [record("first", rocksalt(edge=5.7), -3.4), record("second", caesium_chloride(), -3.3)]
    table = key_columns(records_to_table(rows), symprec=0.1)
    leaks = audit([table], [benchmark], MatchSettings())
    assert leaks == {"first": ["held:structure"], "second": ["held:structure"]}


def test_ids_alone_are_a_benchmark() -> None:
    benchmark = load_benchmark(BenchmarkConfig(name="b", ids=("salt",)))
    table = key_columns(records_to_table([record("salt", rocksalt())]))
    assert audit([table], [benchmark], MatchSettings()) == {"salt": ["b:structure"]}


def test_several_benchmarks_each_have_their_label(benchmark_file: Path) -> None:
    loaded = [load_benchmark(BenchmarkConfig(name=n, paths=(benchmark_file,))) for n in ("x", "y")]
    table = key_columns(records_to_table(ROWS[:1]))
    assert audit([table], loaded, MatchSettings()) == {"same": ["x:structure", "y:structure"]}


def test_missing_files_are_an_error(tmp_path: Path) -> None:
    with pytest.raises(SourceError, match="not a file"):
        load_benchmark(BenchmarkConfig(name="b", paths=(tmp_path / "none.parquet",)))


def test_rows_without_a_symmetry_reach_no_family() -> None:
    """No prototype key is no key that a row and a test entry could share."""
    table = key_columns(records_to_table([record("iron", element("Fe"), -8.0), record("salt", rocksalt(), -3.4)]))
    blank = pa.nulls(1, pa.string())
    table = table.set_column(table.column_names.index("prototype_key"), "prototype_key", pa.concat_arrays([blank] * 2))
    benchmark = make_benchmark(BenchmarkConfig(name="b"), table.slice(0, 1))
    assert reachability(table.slice(1), benchmark, {}) == {"structure": 0, "polymorph": 0, "prototype": 0, "none": 1}
