from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialResult
from dao_core.energy.relaxation.cell import walker_arrays, walker_gradient, walker_init
from tests.helpers.potentials import copper, copper_gold, emt


def _strained_vector(crystal: Crystal, seed: int = 3) -> tuple[object, np.ndarray]:
    walker, x = walker_init(crystal, relax_cell=True)
    return walker, x + np.random.default_rng(seed).normal(0.0, 0.05, x.shape)


@pytest.mark.parametrize("pressure", [0.0, 0.1])
def test_gradient_is_the_derivative_of_the_enthalpy(pressure: float) -> None:
    """Central differences in all 3N + 9 coordinates, away from the strain-free point."""
    crystal = copper_gold()
    walker, x = _strained_vector(crystal)
    potential = emt()

    def enthalpy(at: np.ndarray) -> tuple[float, PotentialResult]:
        lattice, frac = walker_arrays(walker, at)  # type: ignore[arg-type]
        moved = crystal.replace(lattice=lattice, frac_coords=frac)
        result = potential.compute([moved])[0]
        assert isinstance(result, PotentialResult)
        return result.energy + pressure * moved.volume, result

    gradient = walker_gradient(walker, x, enthalpy(x)[1], pressure)  # type: ignore[arg-type]
    numeric = np.zeros_like(x)
    for i in range(len(x)):
        up, down = x.copy(), x.copy()
        up[i] += 1e-4
        down[i] -= 1e-4
        numeric[i] = (enthalpy(up)[0] - enthalpy(down)[0]) / 2e-4
    np.testing.assert_allclose(gradient, numeric, atol=2e-6 * np.abs(numeric).max())


def test_start_vector_gives_the_crystal_back() -> None:
    crystal = copper()
    walker, x = walker_init(crystal, relax_cell=True)
    lattice, frac = walker_arrays(walker, x)
    np.testing.assert_allclose(lattice, crystal.lattice, atol=1e-13)
    np.testing.assert_allclose(frac, crystal.frac_coords, atol=1e-13)


def test_fixed_cell_keeps_the_lattice_bit_by_bit() -> None:
    crystal = copper()
    walker, x = walker_init(crystal, relax_cell=False)
    lattice, _ = walker_arrays(walker, x + 0.1)
    assert x.shape == (12,)
    np.testing.assert_array_equal(lattice, crystal.lattice)
