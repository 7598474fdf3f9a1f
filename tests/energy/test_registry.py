from __future__ import annotations

from collections.abc import Iterator
from importlib.metadata import EntryPoint
from typing import Any

import numpy as np
import pytest
from ase.calculators.emt import EMT

from dao_core.energy import registry
from dao_core.energy.potential import PotentialFailure, PotentialMissingError, PotentialResult
from dao_core.energy.registry import (
    PotentialNameError,
    as_potential,
    load_judge,
    load_potential,
)
from tests.helpers.potentials import copper, emt


def make_emt() -> EMT:
    return EMT()


def make_nothing() -> object:
    return object()


def make_broken() -> EMT:
    raise RuntimeError("the weights are on another machine")


@pytest.fixture
def offered(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Three models that installed packages could offer."""
    points = [
        EntryPoint(name, f"{__name__}:{function}", registry.ENTRY_POINT_GROUP)
        for name, function in (("emt", "make_emt"), ("nothing", "make_nothing"), ("broken", "make_broken"))
    ]
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


def test_a_model_of_no_known_interface_is_refused() -> None:
    with pytest.raises(PotentialMissingError, match="mine is a int"):
        as_potential(3, "mine")
