from __future__ import annotations

import pytest

from dao_core.hull.label import EnergyLabel, ForeignEnergyError, check_label


@pytest.mark.parametrize(
    ("identity", "label"),
    [
        ("materials_project|GGA_GGA+U|total+correction", EnergyLabel("GGA_GGA+U", "total", True, "materials_project")),
        ("oqmd|OQMD_PBE+U|formation", EnergyLabel("OQMD_PBE+U", "formation", False, "oqmd")),
        ("qe|PBE|ecut60|total", EnergyLabel("PBE|ecut60", "total", False, "qe")),
        ("CHGNet-0.3.0+abc", EnergyLabel("CHGNet-0.3.0+abc")),
        ("dao-predictor-1e55c3dc3898", EnergyLabel("dao-predictor-1e55c3dc3898", "formation")),
    ],
)
def test_texts_of_the_version_before_are_read(identity: str, label: EnergyLabel) -> None:
    assert EnergyLabel.from_identity(identity) == label


@pytest.mark.parametrize(
    "other",
    [
        EnergyLabel("PBE", "total", False, "oqmd"),
        EnergyLabel("PBE", "formation", False, "mp"),
        EnergyLabel("PBE", "total", True, "mp"),
        EnergyLabel("PBEsol", "total", False, "mp"),
        None,
    ],
)
def test_any_difference_is_an_error(other: EnergyLabel | None) -> None:
    own = EnergyLabel("PBE", "total", False, "mp")
    check_label(own, EnergyLabel("PBE", source="mp"))
    with pytest.raises(ForeignEnergyError, match="hull stands on 'total energy, mp PBE'"):
        check_label(own, other)
