"""What is known before the loop begins: a system that was learned from is refused by name."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.crystal import Crystal
from dao_core.studies.loop.known import audit_system, known_phases
from dao_core.studies.study import StudyError

CU, AU, AG, SC = 29, 79, 47, 21


def crystal(*numbers: int) -> Crystal:
    n = len(numbers)
    frac = np.stack([np.arange(n) / n, np.zeros(n), np.zeros(n)], axis=1)
    return Crystal(np.diag([3.0 * n, 3.0, 3.0]), frac, np.array(numbers))


def write(path: Path, **crystals: Crystal) -> None:
    pd.DataFrame({
        "material_id": list(crystals),
        "atomic_numbers": [c.atomic_numbers for c in crystals.values()],
        "lattice": [c.lattice.ravel() for c in crystals.values()],
        "frac_coords": [c.frac_coords.ravel() for c in crystals.values()],
    }).to_parquet(path)  # fmt: skip


def test_a_system_that_the_models_learned_from_is_refused_by_name(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", a=crystal(CU, AU, AG), b=crystal(CU, AU))
    write(tmp_path / "test.parquet", c=crystal(CU, CU, AU, AG))
    with pytest.raises(StudyError, match=r"train.parquet holds .* of Ag-Au-Cu, from which the models have learned"):
        audit_system(tmp_path, ("Cu", "Au", "Ag"), ["train.parquet"], ["test.parquet"])


def test_formulas_that_were_left_out_of_training_and_smaller_systems_do_not_count(tmp_path: Path) -> None:
    write(tmp_path / "train.parquet", a=crystal(CU, AU, AG), b=crystal(CU, AU), c=crystal(CU, AU, SC))
    write(tmp_path / "test.parquet", d=crystal(CU, AU, AG))
    counts = audit_system(tmp_path, ("Cu", "Au", "Ag"), ["train.parquet"], ["test.parquet"])
    assert counts == {"train.parquet": 1}
    with pytest.raises(StudyError, match=r"gone.parquet is not there"):
        audit_system(tmp_path, ("Cu", "Au", "Ag"), ["gone.parquet"], [])


def test_known_phases_are_elements_and_pairs_that_fit(tmp_path: Path) -> None:
    write(
        tmp_path / "mp_structures.parquet", pair=crystal(CU, AU), large=crystal(*[CU] * 5, AU),
        ternary=crystal(CU, AU, AG), foreign=crystal(CU, SC),
    )  # fmt: skip
    phases, too_large = known_phases(tmp_path, ("Cu", "Au", "Ag"), 4)
    found = dict(phases)
    assert too_large == 1
    assert {name for name in found if not name.endswith("constants")} == {"pair"}
    assert sorted(c.formula_reduced for c in found.values()) == ["Ag", "Au", "Cu", "CuAu"]


def test_an_element_without_a_structure_is_named(tmp_path: Path) -> None:
    write(tmp_path / "mp_structures.parquet", pair=crystal(CU, AU))
    with pytest.raises(StudyError, match=r"no structure of the elements \[16\] with 4 atoms"):
        known_phases(tmp_path, ("Cu", "Au", "S"), 4)
