"""The splits of the benchmarks as targets, and the training split that templates may use."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.matching.same import MatchSettings, Member, group_bucket
from dao_core.studies.csp_benchmark import SETS, Target

FOLDERS = {"mp-20": "mp_20", "mpts-52": "mpts_52", "perov-5": "perov_5", "carbon-24": "carbon_24"}
COLUMNS = ["material_id", "lattice", "frac_coords", "atomic_numbers"]
MAX_ATOMS = {"mpts-52": 52}
POLYMORPHS = "polymorphs"  # of MP-20's split: compositions with several structures
BENCHMARK_TARGETS = (*SETS, POLYMORPHS)
STAND_IN = "mp_structures.parquet"  # for MPTS-52's training split, which isn't published here


class BenchmarkDataError(ValueError):
    """A split that is not where it is looked for; the message names the file."""


def read_targets(data: Path, name: str, split: str = "test_public") -> tuple[list[Target], dict[str, int]]:
    """Read the targets of a published split.

    Args:
        data: Folder that holds the splits.
        name: Of the benchmark, such as "mp-20".
        split: Name of the file without its ending.

    Returns:
        (targets, counts of the rows that are no crystal by reason).

    Raises:
        BenchmarkDataError: The split is not there.
    """
    out: list[Target] = []
    refused = 0
    for item in _rows(_file(data, name, split)):
        if item is None:
            refused += 1
        else:
            out.append(item)
    return out, {"n_targets": len(out), "n_no_crystal": refused}


def benchmark_targets(data: Path, name: str, split: str = "test_public", n: int = 0) -> list[Target]:
    """Random targets of a benchmark, the same for every caller: those of a smaller `n` begin those of a larger one.

    Carbon-24 has each structure once. Of the polymorphs a composition is there with all of its structures or not at
    all, as METRe needs them, so that `n` may be exceeded by the last one.

    Args:
        data: Folder that holds the splits.
        name: One of BENCHMARK_TARGETS.
        split: Name of the file without its ending.
        n: Most targets; 0: all.

    Returns:
        The targets.

    Raises:
        BenchmarkDataError: The split is not there.
    """
    targets = read_targets(data, "mp-20" if name == POLYMORPHS else name, split)[0]
    if name == POLYMORPHS:
        return _of_several(targets, n)
    if name == "carbon-24":
        targets = distinct_targets(targets)
    order = np.random.default_rng(0).permutation(len(targets))
    return [targets[i] for i in order[: n or len(order)]]


def _of_several(targets: Sequence[Target], n: int) -> list[Target]:
    counts = Counter(t.formula for t in targets)
    groups = [formula for formula, count in counts.items() if count > 1]
    out: list[Target] = []
    for i in np.random.default_rng(0).permutation(len(groups)):
        if n and len(out) >= n:
            break
        out += [t for t in targets if t.formula == groups[i]]
    return out


def distinct_targets(targets: Sequence[Target]) -> list[Target]:
    """Targets without those that are the same crystal as an earlier one, by `dao_core.matching.same`."""
    repeated: set[str] = set()
    for key in {_cell_key(t) for t in targets}:
        members = [_member(t) for t in targets if _cell_key(t) == key]
        repeated |= set(group_bucket(members, MatchSettings()))
    return [t for t in targets if t.id not in repeated]


def _cell_key(target: Target) -> tuple[tuple[str, int], ...]:
    return tuple(sorted(target.crystal.composition.items()))


def _member(target: Target) -> Member:
    crystal = target.crystal
    return Member(target.id, crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


def training_items(data: Path, name: str) -> Iterator[tuple[str, Crystal]]:
    """What a model for a benchmark may learn from.

    MPTS-52's split isn't published here: Materials Project structures outside its validation and test ids stand for it.

    Args:
        data: Folder that holds the splits.
        name: Of the benchmark.

    Yields:
        (id, structure).

    Raises:
        BenchmarkDataError: The data are not there.
    """
    if name != "mpts-52":
        yield from ((t.id, t.crystal) for t in read_targets(data, name, "train")[0])
        return
    held = {t.id for split in ("val", "test_public") for t in read_targets(data, name, split)[0]}
    path = data / STAND_IN
    if not path.exists():
        raise BenchmarkDataError(f"{path} is missing: it stands for MPTS-52's training split")
    for item in _rows(path):
        if item is not None and item.id not in held and item.crystal.n_atoms <= MAX_ATOMS[name]:
            yield item.id, item.crystal


def mp20_training_ids(data: Path) -> set[str]:
    """Ids of MP-20's training split, which the shipped generator knows; empty where the split isn't there."""
    try:
        return {t.id for t in read_targets(data, "mp-20", "train")[0]}
    except BenchmarkDataError:
        return set()


def _file(data: Path, name: str, split: str) -> Path:
    if name not in FOLDERS:
        raise BenchmarkDataError(f"no benchmark {name!r}: use one of {', '.join(SETS)}")
    path = data / FOLDERS[name] / f"{split}.parquet"
    if not path.exists():
        raise BenchmarkDataError(f"{path} is missing: --data names the folder that holds {FOLDERS[name]}/")
    return path


def _rows(path: Path) -> Iterator[Target | None]:
    import pyarrow.parquet as pq

    table = pq.read_table(path)
    marks = table["exact"].to_pylist() if "exact" in table.column_names else [True] * len(table)
    for row, exact in zip(table.select(COLUMNS).to_pylist(), marks, strict=True):
        try:
            crystal = Crystal(
                np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)), row["atomic_numbers"]
            )
        except InvalidCrystalError:
            yield None
        else:
            yield Target(str(row["material_id"]), crystal, bool(exact))
