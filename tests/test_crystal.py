from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import HealthCheck, given, settings
from numpy.typing import NDArray

from dao_core.crystal import Crystal, CrystalBatch, InvalidCrystalError, crystal_from_symbols, wrap
from dao_core.elements import UnknownElementError
from tests.helpers.strategies import crystals

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)


def perovskite() -> Crystal:
    return crystal_from_symbols(
        np.eye(3) * 3.905,
        ["Sr", "Ti", "O", "O", "O"],
        [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]],
    )


def periodic_difference(a: NDArray[np.float64], b: NDArray[np.float64]) -> float:
    """Largest difference of fractional coordinates, whole cells apart counting as equal."""
    return float(np.abs(a - b - np.rint(a - b)).max())


def metric(crystal: Crystal) -> NDArray[np.float64]:
    return crystal.lattice @ crystal.lattice.T


def assert_same(a: Crystal, b: Crystal, tolerance: float = 1e-12) -> None:
    assert a.atomic_numbers.tolist() == b.atomic_numbers.tolist()
    np.testing.assert_allclose(a.lattice, b.lattice, rtol=0, atol=tolerance)
    assert periodic_difference(a.frac_coords, b.frac_coords) < tolerance


@quick
@given(crystals())
def test_pymatgen_round_trip_is_exact_to_the_bit(crystal: Crystal) -> None:
    back = Crystal.from_pymatgen(crystal.to_pymatgen())
    assert back.lattice.tobytes() == crystal.lattice.tobytes()
    assert back.frac_coords.tobytes() == crystal.frac_coords.tobytes()
    assert back.atomic_numbers.tolist() == crystal.atomic_numbers.tolist()


@quick
@given(crystals())
def test_ase_round_trip(crystal: Crystal) -> None:
    assert_same(crystal, Crystal.from_ase(crystal.to_ase()))


def test_disordered_structure_is_refused() -> None:
    from pymatgen.core import Lattice, Structure

    alloy = Structure(Lattice.cubic(3.9), [{"Cu": 0.5, "Au": 0.5}], [[0, 0, 0]])
    with pytest.raises(InvalidCrystalError, match="partially occupied"):
        Crystal.from_pymatgen(alloy)


@pytest.mark.parametrize(
    ("lattice", "frac", "numbers", "reason"),
    [
        (np.eye(2), np.zeros((1, 3)), [1], "shape"),
        (np.eye(3) * 4, np.zeros((1, 3)), [1, 2], "2 atomic numbers for 1 positions"),
        (np.eye(3) * 4, np.zeros((0, 3)), [], "0 atomic numbers"),
        (np.eye(3) * np.nan, np.zeros((1, 3)), [1], "NaN"),
        (np.eye(3) * 4, np.full((1, 3), np.inf), [1], "infinity"),
        (np.diag([4.0, 4.0, 0.0]), np.zeros((1, 3)), [1], "volume per atom"),
        (np.eye(3) * 4, np.zeros((1, 3)), [0], "atomic number outside"),
        (np.eye(3) * 4, np.zeros((1, 3)), [101], "atomic number outside"),
        (np.eye(3) * 40, np.zeros((1, 3)), [1], "volume per atom"),
    ],
)
def test_impossible_numbers_are_refused_by_name(lattice, frac, numbers, reason) -> None:  # type: ignore[no-untyped-def]
    with pytest.raises(InvalidCrystalError, match=reason):
        Crystal(lattice, frac, np.array(numbers))


def test_unknown_symbol_is_named() -> None:
    with pytest.raises(UnknownElementError, match="'Xx'"):
        crystal_from_symbols(np.eye(3) * 4, ["Xx"], [[0, 0, 0]])


def test_wrap_never_returns_one() -> None:
    wrapped = wrap(np.array([-1e-18, -0.25, 1.0, 2.75, 0.0]))
    assert (wrapped >= 0).all()
    assert (wrapped < 1).all()
    np.testing.assert_allclose(wrapped, [0, 0.75, 0, 0.75, 0])


def test_the_arrays_are_copies() -> None:
    lattice = np.eye(3) * 4
    crystal = Crystal(lattice, np.zeros((1, 3)), np.array([1]))
    lattice[0, 0] = 99.0
    assert crystal.lattice[0, 0] == 4.0


def test_composition_formula_and_system() -> None:
    crystal = perovskite()
    assert crystal.composition == {"O": 3, "Sr": 1, "Ti": 1}
    assert crystal.formula_reduced == "SrTiO3"
    assert crystal.chemsys == "O-Sr-Ti"
    assert crystal.volume == pytest.approx(3.905**3)


@quick
@given(crystals())
def test_niggli_is_the_same_crystal(crystal: Crystal) -> None:
    reduced = crystal.niggli()
    mapping = reduced.lattice @ np.linalg.inv(crystal.lattice)
    np.testing.assert_allclose(mapping, np.rint(mapping), atol=1e-8)
    assert abs(np.linalg.det(mapping)) == pytest.approx(1.0)
    assert np.linalg.det(reduced.lattice) > 0
    # The atoms did not move: differences are whole vectors of the old cell.
    shift = (reduced.cart_coords - crystal.cart_coords) @ np.linalg.inv(crystal.lattice)
    np.testing.assert_allclose(shift, np.rint(shift), atol=1e-8)
    assert np.linalg.norm(reduced.lattice, axis=1).sum() <= np.linalg.norm(crystal.lattice, axis=1).sum() + 1e-6


def test_batch_round_trip_pads_and_keeps_bad_rows_apart() -> None:
    small = Crystal(np.eye(3) * 4, [[0.1, 0.2, 0.3]], [11])
    batch = CrystalBatch.from_crystals([perovskite(), small], dtype=torch.float64)
    assert batch.frac_coords.shape == (2, 5, 3)
    assert batch.n_atoms.tolist() == [5, 1]
    assert batch.mask[1].tolist() == [True, False, False, False, False]
    first, second = batch.to_crystals()
    assert isinstance(first, Crystal)
    assert isinstance(second, Crystal)
    assert_same(first, perovskite())
    assert_same(second, small)
    batch.lattice[0] = float("nan")
    broken, kept = batch.to_crystals()
    assert isinstance(broken, InvalidCrystalError)
    assert isinstance(kept, Crystal)


def test_batch_pads_to_a_given_size_and_moves() -> None:
    batch = CrystalBatch.from_crystals([perovskite()], pad_to=8, dtype=torch.float32)
    assert batch.atomic_numbers.shape == (1, 8)
    double = batch.to(torch.float64)
    assert double.lattice.dtype == torch.float64
    assert double.atomic_numbers.dtype == torch.int64
    assert len(batch.to(torch.device("cpu"))) == 1
