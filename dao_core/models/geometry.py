"""Periodic geometry as differentiable tensors: offsets, Gram matrices, Fourier features and image-summed distances."""

from __future__ import annotations

import math
from contextlib import AbstractContextManager, nullcontext

import torch
from torch import Tensor

MOST_IMAGES = 1331  # of a cell: every neighbour of a crystal is found, down to 1.2 angstrom between atoms and images
MAX_IMAGES = 4  # along each axis where there would be more than that: neighbours are missing then


def full_precision(like: Tensor) -> AbstractContextManager[object]:
    """Autocast off: bf16 has too few digits for cells, and no eigenvalues.

    Args:
        like: A tensor on the device that is meant.

    Returns:
        A context; the null context where the device has no autocast.
    """
    kind = like.device.type
    return torch.autocast(kind, enabled=False) if torch.amp.is_autocast_available(kind) else nullcontext()


def gram(lattice: Tensor) -> Tensor:
    """L L^T, which does not change when the crystal turns.

    Args:
        lattice: (B, 3, 3).

    Returns:
        (B, 3, 3).
    """
    with full_precision(lattice):
        return lattice @ lattice.transpose(-1, -2)


def cell_volume(lattice: Tensor) -> Tensor:
    """Volume of cells, bounded away from zero.

    Args:
        lattice: (B, 3, 3) in angstrom.

    Returns:
        (B,) in angstrom^3.
    """
    return torch.linalg.det(lattice).abs().clamp_min(1e-3)


def offsets(frac_coords: Tensor) -> Tensor:
    """f_j - f_i for every ordered pair.

    Args:
        frac_coords: (B, N, 3).

    Returns:
        (B, N, N, 3).
    """
    return frac_coords.unsqueeze(-3) - frac_coords.unsqueeze(-2)


def wrap_centered(x: Tensor) -> Tensor:
    """Fold fractional offsets.

    Args:
        x: Offsets of any shape.

    Returns:
        The same in [-0.5, 0.5).
    """
    return x - torch.floor(x + 0.5)


def fourier_features(offset: Tensor, n_frequencies: int, *, first: int = 0) -> Tensor:
    """Sin and cos of 2 pi k x on each axis: periodic, so smooth everywhere.

    Args:
        offset: Fractional offsets, (..., 3).
        n_frequencies: How many k.
        first: The first k.

    Returns:
        (..., 6 n_frequencies).
    """
    k = torch.arange(first, first + n_frequencies, dtype=offset.dtype, device=offset.device)
    angle = (2 * math.pi) * offset.unsqueeze(-1) * k  # (..., 3, n)
    return torch.cat([angle.sin(), angle.cos()], dim=-1).flatten(-2)


def images_needed(inverse: Tensor, cutoff: float) -> Tensor:
    """How many images along each axis can bring a pair of atoms within a cutoff.

    Args:
        inverse: Inverse lattices, (B, 3, 3) in 1/angstrom.
        cutoff: Angstrom.

    Returns:
        (B, 3), whole numbers.
    """
    return (cutoff * inverse.norm(dim=-2) + 0.5).floor()  # the width along axis k is 1 / |column k of L^-1|


def all_searched(needed: Tensor) -> Tensor:
    """Whether the search of `neighbor_edges` looks at all images that are needed.

    Args:
        needed: From `images_needed`, (B, 3).

    Returns:
        (B,); where it is False, as in a strongly skewed cell, neighbours are missed.
    """
    return (2 * needed + 1).prod(-1) <= MOST_IMAGES


def _images(lattice: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """Integer translations that can bring a pair of each structure within the cutoff: structure (S,), shift (S, 3).

    Every structure gets its own range, because one flat cell would multiply the work of its whole batch.
    """
    needed = images_needed(torch.linalg.pinv(lattice), cutoff)  # large numbers for a collapsed cell
    reach = torch.where(all_searched(needed).unsqueeze(1), needed, needed.clamp(max=MAX_IMAGES))  # (B, 3)
    longest = reach.amax(0).long().tolist()
    if max(longest) <= MAX_IMAGES:
        return _translations(reach, longest)
    flat = (reach > MAX_IMAGES).any(-1)
    others = reach.masked_fill(flat.unsqueeze(1), -1.0)  # nothing is within -1: not even the home cell
    found = [_translations(others, others.amax(0).clamp_min(0).long().tolist())]
    for row in flat.nonzero().flatten().tolist():
        structure, shifts = _translations(reach[row : row + 1], reach[row].long().tolist())
        found.append((structure + row, shifts))
    return torch.cat([structure for structure, _ in found]), torch.cat([shifts for _, shifts in found])


def _translations(reach: Tensor, longest: list[int]) -> tuple[Tensor, Tensor]:
    """Those within the reach (B, 3) of each structure, none beyond `longest`: structure (S,), shift (S, 3)."""
    ranges = [torch.arange(-n, n + 1, device=reach.device) for n in longest]
    shifts = torch.cartesian_prod(*ranges).reshape(-1, 3).to(reach.dtype)  # (M, 3)
    structure, which = (shifts.abs().unsqueeze(0) <= reach.unsqueeze(1)).all(-1).nonzero(as_tuple=True)
    return structure, shifts[which]


def neighbor_edges(lattice: Tensor, frac_coords: Tensor, mask: Tensor, cutoff: float) -> tuple[Tensor, Tensor]:
    """All neighbour images within a cutoff. An atom is no neighbour of itself, its images are.

    The search is bounded: some are missing in cells for which `all_searched` is False. `compact_cells` avoids these.

    Args:
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        mask: Real atoms, (B, N).
        cutoff: Angstrom.

    Returns:
        Index (3, E) of structure, i and j, and the image's shift (E, 3), to be added to f_j - f_i.
    """
    with torch.no_grad(), full_precision(lattice):
        b, n = mask.shape
        raw = offsets(frac_coords)
        folded = wrap_centered(raw)
        pair_mask = (mask.unsqueeze(1) & mask.unsqueeze(2)).reshape(b, n * n)
        structure, shifts = _images(lattice, cutoff)  # (S,), (S, 3)
        cart = folded.reshape(b, n * n, 3) @ lattice  # (B, N*N, 3)
        shift_cart = torch.einsum("sc,scd->sd", shifts, lattice[structure])  # (S, 3)
        squared = (cart[structure] + shift_cart.unsqueeze(1)).square().sum(-1)  # (S, N*N)
        near = (squared < cutoff * cutoff) & pair_mask[structure]
        home = (shifts == 0).all(-1)
        diagonal = torch.arange(n, device=mask.device) * (n + 1)
        near[home.nonzero(), diagonal] = False
        image, pair = near.nonzero(as_tuple=True)
        owner = structure[image]
        shift = shifts[image] + (folded - raw).reshape(b, n * n, 3)[owner, pair]
    return torch.stack([owner, pair // n, pair % n]), shift.round()


def edge_distances(lattice: Tensor, frac_coords: Tensor, index: Tensor, shift: Tensor) -> Tensor:
    """Distances of edges, differentiable in lattice and coordinates.

    Args:
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        index: Of `neighbor_edges`, (3, E).
        shift: Of `neighbor_edges`, (E, 3).

    Returns:
        (E,) in angstrom.
    """
    return (edge_vectors(lattice, frac_coords, index, shift).square().sum(-1) + 1e-10).sqrt()


def edge_vectors(lattice: Tensor, frac_coords: Tensor, index: Tensor, shift: Tensor) -> Tensor:
    """From i to the image of j, differentiable in lattice and coordinates.

    Args:
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        index: Of `neighbor_edges`, (3, E).
        shift: Of `neighbor_edges`, (E, 3).

    Returns:
        (E, 3) in angstrom.
    """
    structure, i, j = index
    delta = frac_coords[structure, j] - frac_coords[structure, i] + shift  # (E, 3)
    with full_precision(lattice):
        return torch.einsum("ec,ecd->ed", delta, lattice[structure])


def radial_basis(distance: Tensor, n_radial: int, cutoff: float) -> Tensor:
    """Gaussians on [0, cutoff] times an envelope that ends with zero value, slope and curvature.

    Args:
        distance: (E,) in angstrom.
        n_radial: How many.
        cutoff: Angstrom.

    Returns:
        (E, n_radial).
    """
    centers = torch.linspace(0.0, cutoff, n_radial, dtype=distance.dtype, device=distance.device)
    width = cutoff / n_radial
    x = (distance / cutoff).clamp(max=1.0).unsqueeze(-1)
    envelope = 1 - 10 * x**3 + 15 * x**4 - 6 * x**5
    return torch.exp(-0.5 * ((distance.unsqueeze(-1) - centers) / width) ** 2) * envelope


def radial_pair_features(lattice: Tensor, frac_coords: Tensor, mask: Tensor, n_radial: int, cutoff: float) -> Tensor:
    """Radial basis summed over all images of j around i: smooth across cell boundaries.

    Args:
        lattice: (B, 3, 3) in angstrom.
        frac_coords: (B, N, 3).
        mask: Real atoms, (B, N).
        n_radial: How many functions.
        cutoff: Angstrom.

    Returns:
        (B, N, N, n_radial).
    """
    b, n = mask.shape
    index, shift = neighbor_edges(lattice, frac_coords, mask, cutoff)
    basis = radial_basis(edge_distances(lattice, frac_coords, index, shift), n_radial, cutoff)
    flat = (index[0] * n + index[1]) * n + index[2]
    out = torch.zeros(b * n * n, n_radial, dtype=basis.dtype, device=basis.device)
    return out.index_add(0, flat, basis).reshape(b, n, n, n_radial)
