"""Critical temperatures: what cannot be learned from is left out, each reason with its count."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.crystal import Crystal
from dao_core.studies.study import StudyError
from dao_core.studies.superconductors.crystals import reference
from dao_core.studies.superconductors.tc_data import integer_unit, read_compositions, read_measured


def crystal(*numbers: int) -> Crystal:
    n = len(numbers)
    frac = np.stack([np.arange(n) / n, np.zeros(n), np.zeros(n)], axis=1)
    return Crystal(np.diag([3.0 * n, 3.0, 3.0]), frac, np.array(numbers))


def data(folder: Path, structures: dict[str, Crystal], measured: list[tuple[str, str, bool, object]]) -> Path:
    (folder / "superconductors").mkdir()
    pd.DataFrame({
        "material_id": list(structures),
        "lattice": [c.lattice.ravel() for c in structures.values()],
        "frac_coords": [c.frac_coords.ravel() for c in structures.values()],
        "atomic_numbers": [c.atomic_numbers for c in structures.values()],
    }).to_parquet(folder / "mp_structures.parquet")  # fmt: skip
    table = pd.DataFrame(measured, columns=["formula_sc", "mp_id", "synth_doped", "tc"])
    table.to_csv(folder / "superconductors/3dsc_mp_tc.csv", index=False)
    return folder


def test_every_row_is_used_or_counted(tmp_path: Path) -> None:
    structures = {
        "nb": crystal(41), "nb2": crystal(41, 41), "insb": crystal(49, 51, 51, 51), "big": crystal(*[13] * 7),
        "cros": reference("Cr6Os2"),
    }  # fmt: skip
    measured = [
        ("Nb1", "nb", False, 9.2),
        ("Nb1", "nb2", False, 9.1),
        ("In0.25Sb0.75", "insb", False, 4.1),
        ("Nb0.9Ti0.1", "nb", False, 10.0),
        ("Nb1", "nb", True, 9.0),
        ("Nb1", "nb", False, 0.0),
        ("Nb1", "nb", False, "unknown"),
        ("Nb1", "missing", False, 9.0),
        ("Al1", "big", False, 1.2),
    ]
    rows, left = read_measured(data(tmp_path, structures, measured), 4, set())
    assert [(r.material_id, r.tc) for r in rows] == [("nb", 9.2), ("insb", 4.1)]
    assert left == {
        "doped": 1, "Tc of zero": 1, "no Tc": 1, "no structure": 1, "more than 4 atoms": 1,
        "structure of another composition": 1, "composition again": 1,
    }  # fmt: skip
    assert len(rows) + sum(left.values()) == len(measured)


def test_a_held_out_composition_is_never_learned_from(tmp_path: Path) -> None:
    measured = [("Cr3Os1", "cros", False, 4.7), ("Nb1", "nb", False, 9.2)]
    folder = data(tmp_path, {"cros": reference("Cr6Os2"), "nb": crystal(41)}, measured)
    rows, left = read_measured(folder, 20, {"Cr3Os"})
    assert [r.material_id for r in rows] == ["nb"]
    assert left["held out"] == 1
    with pytest.raises(StudyError, match=r"no usable row in .*'held out': 2"):
        read_measured(folder, 20, {"Cr3Os", "Nb"})


def test_compositions_alone_are_ordered_new_and_have_a_temperature(tmp_path: Path) -> None:
    (tmp_path / "superconductors").mkdir()
    rows = [("V3Si1", 17.0), ("Si1V3", 16.0), ("V3Si1", 10.0), ("Nb0.39Ru0.61", 6.9), ("Nb3Sn1", 18.0), ("Zn1", 0.0),
            ("Y1Ba2Cu3O7", 92.0)]  # fmt: skip
    pd.DataFrame(rows, columns=["name", "Tc"]).to_csv(tmp_path / "superconductors/supercon_formula_tc.csv", index=False)
    found, left = read_compositions(tmp_path, 8, {"Nb3Sn"})
    assert [(c.formula, c.unit, c.tc) for c in found] == [("V3Si", {"Si": 1, "V": 3}, 16.0)]
    assert left == {
        "not ordered": 1, "has a structure, or held out": 1, "Tc of zero": 1, "more than 8 atoms": 1,
        "composition again": 2,
    }  # fmt: skip


@pytest.mark.parametrize(
    ("formula", "unit"),
    [
        ("Nb3Sn1", {"Nb": 3, "Sn": 1}),
        ("In0.25Sb0.75", {"In": 1, "Sb": 3}),
        ("Ge2La1Pd2", {"Ge": 2, "La": 1, "Pd": 2}),
        ("Cu0.99La2Li0.01O4", None),
        ("Ba2Cu3O6.95Y1", None),
        ("Qq3", None),
    ],
)
def test_formulas_with_small_integers_are_ordered(formula: str, unit: dict[str, int] | None) -> None:
    assert integer_unit(formula) == unit
