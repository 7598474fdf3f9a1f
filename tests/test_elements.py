from __future__ import annotations

import numpy as np
import pytest

from dao_core.elements import (
    MAX_ATOMIC_NUMBER,
    SYMBOLS,
    UnknownElementError,
    atomic_number,
    element_descriptors,
    reduced_formula,
)


def test_table_agrees_with_pymatgen() -> None:
    from pymatgen.core import Element

    assert MAX_ATOMIC_NUMBER == 100
    assert [Element.from_Z(z).symbol for z in range(1, 101)] == list(SYMBOLS[1:])
    assert [atomic_number(s) for s in SYMBOLS[1:]] == list(range(1, 101))


@pytest.mark.parametrize("symbol", ["X", "Xx", "", "na", "NA", "D"])
def test_unknown_symbols_are_named(symbol: str) -> None:
    with pytest.raises(UnknownElementError, match=repr(symbol)):
        atomic_number(symbol)


def test_descriptors_are_one_hot_and_tell_elements_apart() -> None:
    table = element_descriptors()
    assert table.shape == (101, 92)
    assert set(np.unique(table)) == {0.0, 1.0}
    assert not table[0].any()
    # group, period, block and valence are known for every element
    for first, size in ((0, 18), (18, 9), (27, 4), (31, 12)):
        np.testing.assert_array_equal(table[1:, first : first + size].sum(axis=1), 1.0)
    common = [atomic_number(s) for s in ("Na", "K", "Cl", "Br", "O", "S", "Ti", "Zr", "Fe", "Co", "Ni", "Sr", "Ba")]
    assert len(np.unique(table[common], axis=0)) == len(common)


@pytest.mark.parametrize(("symbol", "electrons"), [("H", 1), ("He", 2), ("Na", 1), ("Ti", 4), ("Cl", 7), ("La", 3)])
def test_valence_electrons(symbol: str, electrons: int) -> None:
    valence = element_descriptors()[atomic_number(symbol), 31:43]
    assert valence.argmax() + 1 == electrons


def test_no_heavy_import() -> None:
    import subprocess
    import sys

    code = "import sys, dao_core.elements; print([m for m in ('torch', 'pymatgen', 'ase') if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("symbols", "formula"), [(["Na", "Cl"], "NaCl"), (["O", "O"], "O2"), (["Ti", "O", "O", "O", "Sr"], "SrTiO3")]
)
def test_reduced_formula_is_pymatgens(symbols: list[str], formula: str) -> None:
    assert reduced_formula(np.array([atomic_number(s) for s in symbols])) == formula
