"""When an SCF counts as stuck."""

from __future__ import annotations

from dao_core.dft.pw.convergence import scf_has_stalled, scf_is_stuck
from dao_core.dft.pw.output import ScfCycle


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
