"""When an SCF counts as stuck."""

from __future__ import annotations

from dao_core.dft.pw.convergence import scf_is_stuck
from dao_core.dft.pw.output import ScfCycle


def test_stuck_needs_a_later_cycle_without_progress() -> None:
    good, flat = ScfCycle((1e-2, 1e-9), True), ScfCycle((1e-3,) * 40, False)
    falling = ScfCycle(tuple(10.0**-i for i in range(1, 31)), False)
    assert scf_is_stuck((good, flat))
    assert not scf_is_stuck((flat,))
    assert not scf_is_stuck((good, falling))
    assert not scf_is_stuck((good, ScfCycle((1e-3,) * 10, False)))
