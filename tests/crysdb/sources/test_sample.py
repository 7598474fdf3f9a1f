from __future__ import annotations

import shutil
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Source, SourceError
from dao_core.crysdb.sources.sample import SampleSource, sample_path
from infra.sample_card import card


@pytest.fixture(scope="module")
def records() -> list[CrysRecord]:
    found = [item.record for item in SampleSource().iter_records()]
    assert None not in found
    return [r for r in found if r is not None]


@pytest.fixture
def copied(tmp_path: Path) -> Path:
    for path in (sample_path(), sample_path().with_name("sample.parquet.sha256")):
        shutil.copy(path, tmp_path)
    return tmp_path / "sample.parquet"


def lowest(records: list[CrysRecord], formula: str) -> CrysRecord:
    return min((r for r in records if r.formula_reduced == formula), key=lambda r: r.energy_per_atom or 0.0)


def test_the_sample_is_a_source_of_about_three_thousand_small_rows(records: list[CrysRecord]) -> None:
    source = SampleSource()
    assert isinstance(source, Source)
    assert (source.name, source.functional) == ("sample", "CHGNet-0.3.0")
    assert 2500 <= len(records) <= 4000
    assert len({r.material_id for r in records}) == len(records)
    assert sample_path().stat().st_size <= 5_000_000
    assert max(r.n_atoms for r in records) <= 12
    assert {(r.source, r.functional, r.source_version) for r in records} == {("sample", "CHGNet-0.3.0", source.version)}


def test_every_row_is_a_crystal_with_energy_forces_stress_and_licence(records: list[CrysRecord]) -> None:
    for r in records:
        assert r.crystal.n_atoms == r.n_atoms
        assert r.energy_per_atom is not None
        assert r.forces is not None
        assert r.stress is not None
        assert np.isfinite([r.energy_per_atom, *r.forces.ravel(), *r.stress.ravel()]).all()
        assert r.license


def test_frames_name_an_end_point_that_is_there_and_lower(records: list[CrysRecord]) -> None:
    by_id = {r.material_id: r for r in records}
    frames = [r for r in records if r.relaxation == "frame"]
    assert len(frames) > 1000
    for r in frames:
        assert r.parent_id is not None
        end = by_id[r.parent_id]
        assert end.relaxation in ("converged", "max_steps")
        assert end.formula_reduced == r.formula_reduced
        if not r.material_id.endswith("-r"):  # on the way down; rattled copies may find a lower place
            assert (end.energy_per_atom or 0.0) < (r.energy_per_atom or 0.0)


def test_hulls_close_because_every_element_of_every_system_is_there(records: list[CrysRecord]) -> None:
    systems = {r.chemsys for r in records}
    assert len({s for s in systems if s.count("-") == 2}) == 5
    for system in systems:
        assert set(system.split("-")) <= systems


@pytest.mark.parametrize(
    ("formula", "numbers"), [("NaCl", {225}), ("MgO", {225}), ("SrTiO3", {221, 99, 123, 140, 38, 160, 166, 8})]
)
def test_known_ground_states_are_the_lowest(records: list[CrysRecord], formula: str, numbers: set[int]) -> None:
    """Rock salt for NaCl and MgO; the perovskite, cubic or slightly distorted, for SrTiO3."""
    import moyopy

    best = lowest(records, formula)
    assert best.relaxation != "frame"
    cell = moyopy.Cell(best.lattice.tolist(), best.frac_coords.tolist(), best.atomic_numbers.tolist())
    assert moyopy.MoyoDataset(cell, symprec=0.05).number in numbers


def test_energies_and_forces_belong_together(records: list[CrysRecord]) -> None:
    """End points are at rest, frames are not: the labels were not shuffled."""
    still = [np.abs(r.forces).max() for r in records if r.relaxation == "converged" and r.forces is not None]
    moving = [np.abs(r.forces).max() for r in records if r.material_id.endswith("-r") and r.forces is not None]
    assert max(still) < 0.025
    assert np.median(moving) > 0.2
    assert len(Counter(r.chemsys for r in records)) > 40


def test_reading_goes_on_at_a_cursor(records: list[CrysRecord]) -> None:
    source = SampleSource()
    for start in (0, 999, 1000, 1001):
        rest = next(iter(source.iter_records(cursor=str(start))))
        assert rest.record is not None
        assert rest.record.material_id == records[start].material_id
        assert rest.cursor == str(start + 1)


def test_a_changed_byte_is_noticed(copied: Path) -> None:
    data = bytearray(copied.read_bytes())
    data[len(data) // 2] ^= 1
    copied.write_bytes(bytes(data))
    with pytest.raises(SourceError, match="SHA-256 differs"):
        SampleSource(copied)


def test_a_truncated_file_and_a_missing_hash_are_refused(copied: Path) -> None:
    copied.with_name("sample.parquet.sha256").unlink()
    with pytest.raises(SourceError, match="missing or empty"):
        SampleSource(copied)
    copied.write_bytes(copied.read_bytes()[:-100])
    with pytest.raises(SourceError, match="truncated"):
        SampleSource(copied)


def test_the_card_that_ships_is_made_from_the_sample() -> None:
    assert card() == sample_path().with_name("sample_card.md").read_text()
