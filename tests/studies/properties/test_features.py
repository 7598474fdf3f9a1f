"""Composition features: values that can be worked out by hand, electron counts against pymatgen, invariance."""

from __future__ import annotations

import numpy as np
import pytest
from pymatgen.core import Element

from dao_core.studies.properties.features import NAMES, PROPERTIES, composition_features, element_table


def named(composition: dict[int, int]) -> dict[str, float]:
    return dict(zip(NAMES, composition_features([composition])[0], strict=True))


def test_iron_oxide_by_hand() -> None:
    found = named({26: 2, 8: 3})
    assert [found[f"number {s}"] for s in ("min", "max", "range", "mode")] == [8, 26, 18, 8]
    assert found["number mean"] == pytest.approx(0.4 * 26 + 0.6 * 8)
    assert found["number deviation"] == pytest.approx(0.4 * 10.8 + 0.6 * 7.2)
    assert found["electronegativity range"] == pytest.approx(3.44 - 1.83)
    assert found["valence mean"] == pytest.approx(0.4 * 8 + 0.6 * 6)  # 3d6 4s2 and 2s2 2p4
    assert found["d_unfilled max"] == 4
    assert (found["elements"], found["norm 2"]) == (2, pytest.approx(np.hypot(0.4, 0.6)))
    assert found["p share"] == pytest.approx(2.4 / 6.8)


def test_of_two_equally_abundant_elements_the_smaller_value_is_the_mode() -> None:
    assert named({11: 1, 17: 1})["number mode"] == 11


@pytest.mark.parametrize("factor", [2, 7])
def test_features_do_not_depend_on_the_number_of_formula_units(factor: int) -> None:
    one, more = composition_features([{22: 1, 8: 2}, {8: 2 * factor, 22: factor}])
    np.testing.assert_allclose(one, more, rtol=1e-12)


def test_electrons_outside_the_core_fill_up_to_the_atomic_number() -> None:
    noble = [0, 2, 10, 18, 36, 54, 86]
    column = PROPERTIES.index("valence")
    for z in range(1, 95):
        if Element.from_Z(z).is_noble_gas:
            continue
        assert element_table()[z, column] == z - max(n for n in noble if n < z), z


def test_what_the_table_lacks_is_not_made_up() -> None:
    table = element_table()[1:95]
    assert np.isnan(table[:, PROPERTIES.index("electronegativity")]).sum() == 3  # He, Ne, Ar
    assert not np.isnan(table[:, PROPERTIES.index("number")]).any()
