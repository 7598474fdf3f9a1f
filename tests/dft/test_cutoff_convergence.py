"""Cutoffs of an element against the highest one: what is computed, what failed, from where on it is converged."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dao_core.dft.cutoff_convergence import ConvergenceReport, CutoffPoint, cutoff_convergence
from dao_core.dft.pw.input import InputError
from dao_core.dft.session import Session


def report(*differences: float | None) -> ConvergenceReport:
    points = (CutoffPoint(20.0 + 10 * i, "", d) for i, d in enumerate(differences))
    return ConvergenceReport("Si", tuple(points))


@pytest.mark.parametrize(
    ("differences", "cutoff"),
    [
        ((0.02, 0.0009, -0.0005, 0.0), 30.0),
        ((0.0001, 0.02, 0.0001, 0.0), 40.0),  # one that is near by chance, below one that is not, does not count
        ((0.02, 0.01, 0.0), None),
        ((0.02, None, 0.0005, 0.0), 40.0),
        ((None, None, None), None),
    ],
)
def test_converged_from_where_all_that_follow_are(differences: tuple[float | None, ...], cutoff: float | None) -> None:
    assert report(*differences).converged_at == cutoff


def test_the_library_s_cutoffs_and_one_beyond(session: Session) -> None:
    points = cutoff_convergence(session, "Si").points
    assert [(p.ecutwfc, p.name) for p in points] == [
        (28.0, "low"), (36.0, "normal"), (48.0, "high"), (60.0, "reference"),
    ]  # fmt: skip
    assert points[-1].energy_difference_per_atom == 0.0
    assert points[-1].pressure_difference_gpa == 0.0


def test_each_cutoff_is_a_calculation_of_its_own_and_done_once(session: Session, plan: Callable[..., Path]) -> None:
    cutoff_convergence(session, "Si", [40.0, 20.0, 20.0])
    assert [s.name for s in session.stages] == ["Si at 20 Ry", "Si at 40 Ry"]
    count = Path(f"{plan()}.count")
    again = cutoff_convergence(session, "Si", [20.0, 40.0])
    assert [p.ecutwfc for p in again.points] == [20.0, 40.0]
    assert not count.exists()


def test_a_failed_scf_is_a_point_with_a_reason(session: Session, plan: Callable[..., Path]) -> None:
    plan("crashed")
    first, last = cutoff_convergence(session, "Si", [20.0, 40.0]).points
    assert first.energy_difference_per_atom is None
    assert first.message
    assert last.energy_difference_per_atom == 0.0


def test_an_element_without_a_structure_says_what_to_give(session: Session) -> None:
    with pytest.raises(InputError, match="--reference"):
        cutoff_convergence(session, "Mn")
