from __future__ import annotations

import math

import pytest

from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.hull.references import ElementalReferences

LABEL = EnergyLabel("PBE", source="mp")
REFERENCES = ElementalReferences(LABEL, {11: -1.3, 17: -1.8})


def test_formation_energy_by_hand() -> None:
    value = REFERENCES.formation_energy_per_atom({11: 2, 17: 2}, -3.4, label=LABEL)
    assert value == pytest.approx(-3.4 - (-1.3 - 1.8) / 2)


def test_unknown_element_gives_none_and_its_name() -> None:
    assert REFERENCES.formation_energy_per_atom({11: 1, 8: 1}, -3.0, label=LABEL) is None
    assert REFERENCES.missing({11: 1, 8: 1}) == ["O"]


def test_another_origin_is_an_error_that_names_both() -> None:
    with pytest.raises(ForeignEnergyError, match=r"chgnet.*mp PBE"):
        REFERENCES.formation_energy_per_atom({11: 1}, -1.3, label=EnergyLabel("chgnet"))


def test_vector_has_holes() -> None:
    vector = REFERENCES.vector()
    assert vector[17] == -1.8
    assert math.isnan(vector[8])
