"""Our matcher against pymatgen's: the same decision and the same values on every pair."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher

from dao_core.crystal import Crystal
from dao_core.matching.pairs import match_pairs
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken, zincblende


def _agree(pairs: list[tuple[Crystal, Crystal]]) -> int:
    matcher = StructureMatcher(ltol=0.3, stol=0.5, angle_tol=10)
    ours = match_pairs(predicted=[a for a, _ in pairs], reference=[b for _, b in pairs])[0]
    n_matched = 0
    for (a, b), got in zip(pairs, ours, strict=True):
        expected = matcher.get_rms_dist(a.to_pymatgen(), b.to_pymatgen())
        assert (expected is None) == (got.rms is None), got
        if expected is not None:
            n_matched += 1
            # pymatgen stops at the first rms below 1e-5: below it only "zero" is defined
            assert got.rms == pytest.approx(expected[0], abs=1e-5 if expected[0] < 1e-5 else 1e-8)
            assert got.max_distance == pytest.approx(expected[1], abs=1e-4 if expected[0] < 1e-5 else 1e-6)
    return n_matched


def test_made_pairs() -> None:
    base = [rocksalt(), cesium_chloride("Na", "Cl"), zincblende("Na", "Cl"), perovskite(), rutile()]
    base += [Crystal.from_pymatgen(c.to_pymatgen() * [1, 2, 1]) for c in base]
    pairs = [(a, b) for a in base for b in base]
    pairs += [(shaken(a, i, size), reset(a, i)) for i, a in enumerate(base) for size in (0.005, 0.03, 0.1)]
    assert 20 < _agree(pairs) < len(pairs)


@pytest.mark.shared
def test_database_pairs(shared_data: Path) -> None:
    import pyarrow.parquet as pq

    columns = ["lattice", "atomic_numbers", "frac_coords"]
    rows = pq.read_table(shared_data / "mp_20" / "val.parquet", columns=columns).slice(0, 3000).to_pylist()
    by_counts: dict[tuple[int, ...], list[Crystal]] = {}
    for row in rows:
        numbers = np.array(row["atomic_numbers"])
        counts = tuple(sorted(np.unique(numbers, return_counts=True)[1].tolist()))
        lattice = np.array(row["lattice"]).reshape(3, 3)
        by_counts.setdefault(counts, []).append(Crystal(lattice, np.array(row["frac_coords"]).reshape(-1, 3), numbers))
    pairs = []
    for group in [g for g in by_counts.values() if len(g) > 1][:70]:
        first, second = group[0], group[1]
        pairs.append((_decorated(second, first), first))
        pairs.append((shaken(second, 1, 0.01), second))
    assert len(pairs) > 100
    assert _agree(pairs) > 30


def _decorated(template: Crystal, elements_of: Crystal) -> Crystal:
    """`template` with the elements of another crystal of the same anonymous formula."""
    from dao_core.matching.fingerprint import slots_of

    old, new = slots_of(template.atomic_numbers), slots_of(elements_of.atomic_numbers)
    return template.replace(atomic_numbers=new.elements[old.labels])
