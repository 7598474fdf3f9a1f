"""A session's memory of a crystal's smearing."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from dao_core.crystal import Crystal
from dao_core.dft.session import Session


def test_a_smearing_that_helped_is_the_next_ones_and_that_of_no_other_crystal(
    session: Session, plan: Callable[..., Path], si: Crystal, nio: Crystal
) -> None:
    plan("smearing_stalls", "filled_bands")
    assert session.do("scf", session.build(si, "scf")).ok
    relaxation = session.build(si, "vc-relax")
    assert relaxation.get("system", "smearing") == "gaussian"
    assert [a.handler for a in relaxation.history] == ["gaussian_smearing"]
    assert session.build(nio, "scf").get("system", "smearing") == "cold"


def test_what_is_no_insulator_is_smeared_from_the_start_next_time(
    session: Session, plan: Callable[..., Path], si: Crystal
) -> None:
    session.settings = session.settings.model_copy(update={"electronic_type": "insulator"})
    plan("bands_overlap", "smearing_stalls", "filled_bands")
    assert session.do("scf", session.build(si, "scf")).ok
    relaxation = session.build(si, "vc-relax")
    assert relaxation.get("system", "smearing") == "gaussian"
    assert relaxation.get("system", "degauss") == session.settings.resolved_protocol().degauss
    assert [a.handler for a in relaxation.history] == ["protocol_smearing", "gaussian_smearing"]


def test_a_metal_starts_with_its_own_smearing_again(session: Session, plan: Callable[..., Path], si: Crystal) -> None:
    plan("smearing_stalls", "crossing_bands")
    assert session.do("scf", session.build(si, "scf")).ok
    assert session.build(si, "scf").get("system", "smearing") == "cold"
