"""When an SCF counts as stuck, and a structure as relaxed."""

from __future__ import annotations

import numpy as np
import pytest

from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.convergence import scf_has_stalled, scf_is_stuck, within_thresholds
from dao_core.dft.pw.output import PwOutput, ScfCycle
from dao_core.units import GPA_PER_EV_A3, KBAR_PER_GPA
from tests.helpers.fake_pw import an_input


def test_stuck_needs_a_later_cycle_without_progress() -> None:
    good, flat = ScfCycle((1e-2, 1e-9), True), ScfCycle((1e-3,) * 40, False)
    falling = ScfCycle(tuple(10.0**-i for i in range(1, 31)), False)
    assert scf_is_stuck((good, flat))
    assert not scf_is_stuck((flat,))
    assert not scf_is_stuck((good, falling))
    assert not scf_is_stuck((good, ScfCycle((1e-3,) * 10, False)))


def test_stalled_is_near_the_solution_without_getting_there() -> None:
    # MgO at 9 x 9 x 9 k-points with cold smearing, pw.x 6.7
    seen = (
        3.9e-1, 1.6e-2, 4.5e-3, 1.3e-4, 3.3e-5, 4.0e-5, 3.7e-6, 3.4e-6, 1.8e-6, 1.5e-6, 3.9e-6, 3.1e-6, 4.4e-6, 2.1e-6,
        1.9e-6, 1.1e-6, 3.5e-6, 1.0e-6, 8.7e-7, 8.2e-7, 8.0e-7, 7.3e-7, 8.2e-7, 9.3e-7, 9.1e-7, 3.4e-6, 9.8e-7, 1.0e-6,
        7.2e-7, 3.1e-6,
    )  # fmt: skip
    slow = tuple(10.0 ** (-i / 8) for i in range(60))  # a factor of ten in eight iterations
    assert scf_has_stalled((ScfCycle(seen, False),))
    assert not scf_has_stalled((ScfCycle(seen[:20], False),))
    assert not scf_has_stalled((ScfCycle(slow, False),))
    assert not scf_has_stalled((ScfCycle((1e-2,) * 60, False),))  # charge sloshes: not near any solution
    assert not scf_has_stalled(())


@pytest.mark.parametrize(
    ("kbar", "press", "relaxed"),
    [
        ((0.2, 0.2, -0.4), 0.0, True),
        ((15.51, 15.51, -31.17), 0.0, False),  # Si strained along z by pw.x 6.7: 0.05 kbar of pressure
        ((-50.2, -50.2, -49.8), 50.0, True),  # tension is positive: compressed as was asked
        ((50.0, 50.0, 50.0), 50.0, False),
    ],
)
def test_stress_counts_component_by_component(
    library: PseudoLibrary, kbar: tuple[float, float, float], press: float, relaxed: bool
) -> None:
    pw_input = an_input(library).with_values("cell", press=press, press_conv_thr=0.5)
    output = PwOutput(forces=np.zeros((2, 3)), stress=np.diag(kbar) / KBAR_PER_GPA / GPA_PER_EV_A3)
    assert within_thresholds(pw_input, output) is relaxed
