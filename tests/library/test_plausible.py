"""What cannot be right among the measured structures is refused, and what was only measured elsewhere is not."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest
from ase.data import covalent_radii
from pymatgen.core import Element, Lattice, Structure

from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.sources.records import RecordsSource
from dao_core.crystal import Crystal
from dao_core.library.plausible import (
    TOO_CLOSE,
    TOO_DENSE,
    TOO_OPEN,
    Calculated,
    PlausibleSource,
    calculated_volumes,
    implausible,
    plausible_sources,
)
from tests.helpers.structures import rocksalt

SALT = Calculated(22.4, 22.4)  # angstrom^3 an atom


def scaled(crystal: Crystal, volume: float) -> Crystal:
    return Crystal(volume ** (1 / 3) * crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


def built(group: str, lattice: Lattice, species: list[str], points: list[list[float]]) -> Crystal:
    return Crystal.from_pymatgen(Structure.from_spacegroup(group, lattice, species, points).get_primitive_structure())


def of_elements(*symbols: str, a: float) -> Crystal:
    return built("Pm-3m", Lattice.cubic(a), list(symbols), [[0.0, 0.0, 0.0], [0.5, 0.5, 0.5]])


@pytest.mark.parametrize(
    ("ratio", "reason"), [(0.45, TOO_DENSE), (0.6, TOO_DENSE), (0.75, None), (1.0, None), (1.4, None), (2.2, TOO_OPEN)]
)
def test_a_cell_far_from_the_calculated_ones_is_a_misprint(ratio: float, reason: str | None) -> None:
    crystal = scaled(rocksalt(), ratio)
    known = Calculated(rocksalt().volume / 2, rocksalt().volume / 2)
    assert implausible(crystal, known, ordinary=True) == reason


def test_what_may_be_of_high_pressure_may_be_denser() -> None:
    """KCuF3 with a third of its volume is none that any pressure made; sodium at 119 GPa has 0.63 of a calculated."""
    known = Calculated(rocksalt().volume / 2, None)
    assert implausible(scaled(rocksalt(), 0.6), known, ordinary=False) is None
    assert implausible(scaled(rocksalt(), 0.4), known, ordinary=False) == TOO_DENSE


def test_a_calculation_that_the_elements_contradict_refuses_nothing() -> None:
    """CeS: the only calculated structure has 1.85 times the volume of rock salt, which is right."""
    ces = built("Fm-3m", Lattice.cubic(5.778), ["Ce", "S"], [[0, 0, 0], [0.5, 0.5, 0.5]])
    assert implausible(ces, Calculated(44.6, 44.6), ordinary=True) is None
    hydride = Calculated(7.6, None)  # PH3: calculated 0.86 eV/atom above the hull, which counts no more
    assert implausible(scaled(rocksalt(), 1.0), hydride, ordinary=True) is None


@pytest.mark.parametrize(
    ("crystal", "reason"),
    [
        (of_elements("Ti", "Cu", a=3.9), TOO_OPEN),  # 29.7 angstrom^3 an atom; without the oxygen of a salt
        (of_elements("Cu", "Zn", a=2.95), None),
        (built("Fm-3m", Lattice.cubic(6.74), ["O", "Rb"], [[0, 0, 0], [0.25, 0.25, 0.25]]), None),  # 0.61, and right
        (built("Fm-3m", Lattice.cubic(6.2), ["O", "Rb"], [[0, 0, 0], [0.25, 0.25, 0.25]]), TOO_DENSE),
        (built("Pa-3", Lattice.cubic(5.6), ["C", "O"], [[0, 0, 0], [0.12, 0.12, 0.12]]), None),  # dry ice
    ],
)
def test_without_a_calculation_the_elements_decide(crystal: Crystal, reason: str | None) -> None:
    assert implausible(crystal, None, ordinary=True) == reason


def test_overlapping_atoms_are_a_misprint() -> None:
    """BaTiO3 with Ti-O of 1.16 angstrom; the uranyl ion with 1.77 is the shortest that is right."""
    wrong = built("P4mm", Lattice.tetragonal(3.99, 4.03), ["Ba", "Ti", "O", "O"],
                  [[0, 0, 0], [0.5, 0.5, 0.51], [0.5, 0.5, 0.22], [0.5, 0, 0.49]])  # fmt: skip
    assert implausible(wrong, None, ordinary=True) == TOO_CLOSE
    uranyl = built("P4/mmm", Lattice.tetragonal(4.2, 6.5), ["U", "O", "O"], [[0, 0, 0], [0, 0, 0.2723], [0.5, 0, 0]])
    assert implausible(uranyl, None, ordinary=True) is None


def rows(path: Path, source: str, functional: str, **crystals: tuple[Crystal, float | None]) -> RecordsSource:
    records = [
        CrysRecord.from_crystal(
            crystal, material_id=name, source=source, functional=functional, source_version="1",
            e_above_hull_source=above,
        )
        for name, (crystal, above) in crystals.items()
    ]  # fmt: skip
    pq.write_table(records_to_table(records), path)
    return RecordsSource(path)


def test_only_measured_rows_are_refused_and_calculated_ones_are_what_they_are_compared_with(tmp_path: Path) -> None:
    salt, dense, open_ = rocksalt(), scaled(rocksalt(), 0.5), scaled(rocksalt(), 3.0)
    calculated = rows(tmp_path / "a.parquet", "oqmd-icsd", "PBE", one=(salt, 0.0), artefact=(open_, 0.9))
    measured = rows(tmp_path / "b.parquet", "amcsd", "experiment", right=(salt, None), wrong=(dense, None),
                    also=(scaled(open_, 0.9), None))  # fmt: skip
    first, second = plausible_sources([calculated, measured])
    assert first is calculated
    taken = [item.record.material_id for item in second.iter_records() if item.record]
    refused = {item.refusal.row: item.refusal.reason for item in second.iter_records() if item.refusal}
    assert taken == ["right"]
    assert refused == {"wrong": TOO_DENSE, "also": TOO_OPEN}
    assert [item.cursor for item in second.iter_records(cursor="2")] == ["3"]
    (volumes,) = calculated_volumes([calculated]).values()
    assert volumes.smallest == volumes.largest == pytest.approx(salt.volume / 2)


def test_another_calculation_is_another_reading(tmp_path: Path) -> None:
    """The ledger knows a reading by its fingerprint: what is refused depends on what was calculated."""
    measured = rows(tmp_path / "b.parquet", "amcsd", "experiment", right=(rocksalt(), None))
    alone, beside = PlausibleSource(measured, {}), PlausibleSource(measured, {"NaCl": SALT})
    assert len({measured.fingerprint(), alone.fingerprint(), beside.fingerprint()}) == 3


@pytest.mark.parametrize(
    ("symbols", "ratio", "reason"),
    [
        (("Mn", "O"), 0.66, TOO_CLOSE),  # 1.33 angstrom in a misprinted pyrolusite
        (("V", "O"), 0.72, None),  # vanadyl in V2O5
        (("U", "O"), 0.66, None),  # uranyl
        (("N", "H"), 0.66, None),  # hydrogen by X-rays
        (("Sc", "Sc"), 0.61, None),  # scandium at 240 GPa
        (("Sc", "Sc"), 0.59, TOO_CLOSE),
    ],
)
def test_how_close_two_atoms_may_be_depends_on_what_they_are(
    symbols: tuple[str, str], ratio: float, reason: str
) -> None:
    pair = ratio * sum(covalent_radii[Element(s).Z] for s in symbols)
    crystal = Crystal.from_pymatgen(Structure(Lattice.cubic(9.0), symbols, [[0, 0, 0], [pair / 9.0, 0, 0]]))
    found = implausible(crystal, None, ordinary=False)
    assert (found == TOO_CLOSE) == (reason == TOO_CLOSE)
