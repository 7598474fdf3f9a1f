from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.hull.table import hull_table, read_hull

NA, CL = 11, 17
ME, OTHER = EnergyLabel("PBE", "total", True, "mp"), EnergyLabel("PBE", "formation", source="oqmd")
ENTRIES = [HullEntry({NA: 1}, -1.3, "na"), HullEntry({CL: 1}, -1.8, "cl"), HullEntry({NA: 1, CL: 1}, -3.4, "halite"),
           HullEntry({NA: 3, CL: 1}, -2.2, "na3cl")]  # fmt: skip


def test_a_hull_that_was_written_and_read_says_the_same(tmp_path: Path) -> None:
    mine = Hull.from_entries(ENTRIES, ME)
    other = Hull.from_entries([HullEntry({NA: 1, CL: 1}, -2.0)], OTHER, elements_at_zero=True)
    pq.write_table(hull_table([mine, other]), tmp_path / "hulls.parquet")
    loaded = read_hull(tmp_path / "hulls.parquet", ME)
    for counts, energy in (({NA: 1, CL: 1}, -3.1), ({NA: 3, CL: 1}, -2.2), ({NA: 1}, -1.0)):
        expected = mine.e_above_hull(counts, energy, label=ME)
        assert loaded.e_above_hull(counts, energy, label=ME) == pytest.approx(expected)
    assert [e.id for e, _ in loaded.decompose({NA: 5, CL: 3}).phases] == ["halite", "na"]
    with pytest.raises(ForeignEnergyError, match="'corrected total energy, mp PBE', 'formation energy, oqmd PBE'"):
        read_hull(tmp_path / "hulls.parquet", EnergyLabel("PBE"))


def test_a_file_of_the_version_before_is_read(tmp_path: Path) -> None:
    rows = {
        "identity": ["mp|PBE|total+correction"] * 3,
        "kind": ["total"] * 3,
        "atomic_numbers": [[NA], [CL], [NA, CL]],
        "counts": [[1], [1], [1, 1]],
        "energy_per_atom": [-1.3, -1.8, -3.4],
    }
    pq.write_table(pa.table(rows), tmp_path / "hulls.parquet")
    hull = read_hull(tmp_path / "hulls.parquet", ME)
    assert hull.e_above_hull({NA: 1, CL: 1}, -3.3, label=ME) == pytest.approx(0.1)
