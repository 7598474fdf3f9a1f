"""The same crystal described in another way stays the same crystal, judged by interatomic distances."""

from __future__ import annotations

import numpy as np
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from tests.helpers.strategies import crystals, rotations

quick = settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow], derandomize=True)
IMAGES = np.array([[i, j, k] for i in (-1, 0, 1) for j in (-1, 0, 1) for k in (-1, 0, 1)])


def fingerprint(crystal: Crystal) -> NDArray[np.float64]:
    """Distances of all pairs over the 27 nearest images, sorted within each pair: (N, N, 27)."""
    delta = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    delta -= np.rint(delta)
    images = (delta[:, :, None] + IMAGES) @ crystal.lattice  # (N, N, 27, 3)
    return np.sort(np.linalg.norm(images, axis=-1), axis=-1)


def off_the_half(crystal: Crystal) -> bool:
    """True where no difference is half a cell, at which the choice of the 27 images is ambiguous."""
    delta = crystal.frac_coords[None] - crystal.frac_coords[:, None]
    return bool((np.abs(np.abs(delta - np.rint(delta)) - 0.5) > 1e-6).all())


@quick
@given(crystals(), st.lists(st.floats(-3, 3), min_size=3, max_size=3))
def test_translation_by_any_vector(crystal: Crystal, shift: list[float]) -> None:
    moved = crystal.replace(frac_coords=crystal.frac_coords + np.array(shift))
    assert (moved.frac_coords >= 0).all()
    assert (moved.frac_coords < 1).all()
    if off_the_half(crystal):
        np.testing.assert_allclose(fingerprint(moved), fingerprint(crystal), atol=1e-8)


@quick
@given(crystals(), rotations())
def test_rotation(crystal: Crystal, rotation: NDArray[np.float64]) -> None:
    turned = crystal.replace(lattice=crystal.lattice @ rotation.T)
    np.testing.assert_allclose(fingerprint(turned), fingerprint(crystal), atol=1e-8)
    np.testing.assert_allclose(turned.volume, crystal.volume, rtol=1e-10)
    np.testing.assert_allclose(turned.cart_coords, crystal.cart_coords @ rotation.T, atol=1e-8)


@quick
@given(crystals(), st.randoms(use_true_random=False))
def test_permutation(crystal: Crystal, random) -> None:  # type: ignore[no-untyped-def]
    order = list(range(crystal.n_atoms))
    random.shuffle(order)
    shuffled = crystal.replace(frac_coords=crystal.frac_coords[order], atomic_numbers=crystal.atomic_numbers[order])
    assert shuffled.composition == crystal.composition
    np.testing.assert_allclose(fingerprint(shuffled), fingerprint(crystal)[order][:, order], atol=1e-10)


@quick
@given(st.lists(crystals(max_atoms=4), min_size=1, max_size=4), st.integers(0, 3))
def test_a_crystal_does_not_depend_on_its_batch(many: list[Crystal], extra: int) -> None:
    import torch

    from dao_core.crystal import CrystalBatch

    pad_to = max(c.n_atoms for c in many) + extra
    back = CrystalBatch.from_crystals(many, pad_to=pad_to, dtype=torch.float64).to_crystals()
    for before, after in zip(many, back, strict=True):
        assert isinstance(after, Crystal)
        assert after.lattice.tobytes() == before.lattice.tobytes()
        assert after.frac_coords.tobytes() == before.frac_coords.tobytes()
