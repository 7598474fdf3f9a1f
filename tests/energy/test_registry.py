from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from importlib.metadata import EntryPoint
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from ase.calculators.emt import EMT

from dao_core.energy import registry
from dao_core.energy.potential import PotentialFailure, PotentialMissingError, PotentialResult
from dao_core.energy.registry import (
    DispersionError,
    PotentialNameError,
    as_potential,
    load_judge,
    load_potential,
)
from dao_core.models.checkpoint_io import SHIPPED, CheckpointError
from tests.energy.adapters.test_ase import DoubleEMT
from tests.helpers.potentials import copper, emt


def make_emt() -> EMT:
    return EMT()


def make_double() -> DoubleEMT:
    return DoubleEMT()


def make_nothing() -> object:
    return object()


def make_broken() -> EMT:
    raise RuntimeError("the weights are on another machine")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Models that installed packages could offer."""
    points = [
        EntryPoint(name, f"{__name__}:{function}", registry.ENTRY_POINT_GROUP)
        for name, function in (
            ("emt", "make_emt"), ("double", "make_double"), ("nothing", "make_nothing"), ("broken", "make_broken")
        )
    ]  # fmt: skip
    monkeypatch.setattr(registry, "entry_points", lambda group: [p for p in points if p.group == group])
    registry._load.cache_clear()
    yield
    registry._load.cache_clear()


@pytest.mark.usefixtures("offered")
def test_an_entry_point_gives_the_calculators_own_energies() -> None:
    first, second = load_potential("emt").compute([copper(), copper(seed=1)])
    expected = emt().compute([copper(), copper(seed=1)])
    assert [first.energy, second.energy] == pytest.approx([e.energy for e in expected])  # type: ignore[union-attr]
    np.testing.assert_allclose(second.forces, expected[1].forces)  # type: ignore[union-attr]


@pytest.mark.usefixtures("offered")
def test_an_unknown_name_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PotentialNameError, match=r"sevenet.*sevennet.*emt"):
        load_judge("sevenet")


@pytest.mark.usefixtures("offered")
@pytest.mark.parametrize(("name", "reason"), [("broken", "another machine"), ("nothing", "neither a Potential")])
def test_a_model_that_does_not_load_is_named_and_the_search_goes_on(name: str, reason: str) -> None:
    judge = load_judge(name)
    assert judge.potential is None
    assert reason in str(judge.note)


def test_no_judge_is_no_complaint() -> None:
    judge = load_judge("none")
    assert judge.potential is None
    assert judge.note is None


def test_a_package_that_is_not_installed_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing() -> Any:
        raise ImportError("SevenNet is not installed: pip install 'dao-csp[judge]'")

    monkeypatch.setitem(registry._BUILT_IN, "sevennet", missing)
    registry._load.cache_clear()
    with pytest.raises(PotentialMissingError, match="pip install 'dao-csp"):
        load_potential("sevennet")
    assert "pip install 'dao-csp[judge]'" in str(load_judge().note)


@pytest.mark.usefixtures("offered")
def test_an_element_the_calculator_lacks_fails_alone() -> None:
    strange = copper().replace(atomic_numbers=[92, 29, 29, 29])
    bad, good = load_potential("emt").compute([strange, copper()])
    assert isinstance(bad, PotentialFailure)
    assert isinstance(good, PotentialResult)


def test_a_judge_that_lacks_dispersion_gets_it_unless_told_otherwise(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("dftd3")
    plain, lacking = emt(), emt()
    lacking.lacks_dispersion = True  # type: ignore[attr-defined]
    monkeypatch.setattr(registry, "_load", lambda name, _: {"plain": plain, "lacking": lacking}[name])
    assert load_judge("lacking").potential.identity == "PBE-D3(BJ)+EMT"  # type: ignore[union-attr]
    assert load_judge("lacking", dispersion=False).potential is lacking
    assert load_judge("plain").potential is plain
    assert load_judge("plain", dispersion=True).potential.identity == "PBE-D3(BJ)+EMT"  # type: ignore[union-attr]


def test_dispersion_on_formation_energies_is_refused() -> None:
    for load in (load_potential, load_judge):
        with pytest.raises(DispersionError, match=r"dao-predictor-\w+ gives formation energies: .* such as sevennet"):
            load("dao", dispersion=True)


def test_a_model_of_no_known_interface_is_refused() -> None:
    with pytest.raises(PotentialMissingError, match="mine is a int"):
        as_potential(3, "mine")


@pytest.mark.usefixtures("offered")
def test_a_model_that_sets_torchs_default_dtype_keeps_it_to_itself() -> None:
    before = torch.get_default_dtype()
    potential = load_potential("double")
    assert torch.get_default_dtype() == before
    (outcome,) = potential.compute([copper()])
    assert isinstance(outcome, PotentialResult)
    assert torch.get_default_dtype() == before


def test_dao_is_the_one_that_ships_and_a_folder_is_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shipped = load_potential("dao").identity
    monkeypatch.chdir(tmp_path)
    (tmp_path / "predictor").mkdir()
    registry._load.cache_clear()
    assert load_potential("dao").identity == shipped
    for named in ("predictor", "./predictor"):
        with pytest.raises(CheckpointError, match="is not a checkpoint"):
            load_potential(named)


def test_a_folder_is_read_again_where_its_name_means_another_checkpoint(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for place, floor in (("here", 0.1), ("there", 0.2)):
        config = shutil.copytree(SHIPPED / "predictor", tmp_path / place / "mine") / "config.json"
        known = json.loads(config.read_text())
        known["energy_scale"]["spread_floor"] = floor
        config.write_text(json.dumps(known))
    monkeypatch.chdir(tmp_path / "here")
    first = load_potential("mine")
    assert load_potential("mine") is first
    monkeypatch.chdir(tmp_path / "there")
    assert load_potential("mine").scale.spread_floor == 0.2  # type: ignore[attr-defined]
    shutil.copy(tmp_path / "here/mine/config.json", tmp_path / "there/mine")  # as a training writes it anew
    assert load_potential("mine").scale.spread_floor == 0.1  # type: ignore[attr-defined]
