"""Seed pairs: the target in the template's setting is still the target."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.training_pairs import align, seed_pairs, write_pairs
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, shaken


@pytest.mark.parametrize("seed", range(4))
def test_aligned_target_is_the_target_near_the_template(seed: int) -> None:
    template = rutile("Sn")
    target = reset(shaken(rutile("Sn", "O", 4.7, 3.1), seed, 0.01, 0.02), seed)
    found = align(template, target)
    assert found is not None
    lattice, frac, rms = found
    difference = frac - template.frac_coords
    assert (difference >= -0.5).all()
    assert (difference < 0.5).all()
    assert np.abs(difference).max() < 0.1
    np.testing.assert_allclose(difference.mean(axis=0), 0, atol=1e-9)
    assert rms < 0.15
    strain = np.linalg.solve(template.lattice, lattice)
    np.testing.assert_allclose(strain, strain.T, atol=1e-9)
    assert abs(np.linalg.det(lattice)) == pytest.approx(target.volume)
    _same_crystal(Crystal(lattice, frac, template.atomic_numbers), target)


def _same_crystal(first: Crystal, second: Crystal) -> None:
    from pymatgen.analysis.structure_matcher import StructureMatcher

    matcher = StructureMatcher(scale=False, primitive_cell=False)
    found = matcher.get_rms_dist(first.to_pymatgen(), second.to_pymatgen())
    assert found is not None
    assert found[0] < 1e-5


def test_what_cannot_be_laid_on_another_has_no_alignment() -> None:
    assert align(cesium_chloride("Na", "Cl"), rocksalt()) is None
    assert align(rutile(), rutile("Sn")) is None
    assert align(rutile(), perovskite()) is None


def test_pairs_leave_the_structure_itself_out(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    items = [("NaCl", rocksalt()), ("KCl", rocksalt("K", "Cl", 6.3)), ("CsCl", cesium_chloride()), ("TiO2", rutile())]
    index = TemplateIndex.build(items, source="test")
    pairs = list(seed_pairs(index, items, ranks=(0, 1)))
    assert all(p.target_id != p.template_id for p in pairs)
    assert "TiO2" not in {p.target_id for p in pairs}  # nothing else has its formula
    best = {p.target_id: p for p in pairs if p.rank == 0}
    assert best["NaCl"].template_id == "KCl"
    assert best["NaCl"].target is not None
    write_pairs(pairs, tmp_path / "pairs.parquet")
    rows = pq.read_table(tmp_path / "pairs.parquet").to_pylist()
    assert len(rows) == len(pairs)
    row = next(r for r in rows if r["target_id"] == "NaCl" and r["rank"] == 0)
    assert row["matched"]
    assert len(row["target_lattice"]) == 9
    assert len(row["target_frac_coords"]) == 6
    unmatched = [r for r in rows if not r["matched"]]
    assert unmatched
    assert all(r["target_lattice"] is None and r["rms"] is None for r in unmatched)
