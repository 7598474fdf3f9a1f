"""What the networks put out, and the output heads that Crysformer and CSPNet share."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor, nn


@dataclass
class Outputs:
    """What a network says about a batch.

    `coords` (B, N, 3) score or velocity of the fractional coordinates; `lattice_matrix` (B, 3, 3), to be multiplied
    onto L from the left; `lattice_log` (B, 6) update of the symmetric log-matrix; `energies` (B, n_energies) per atom
    in the units of the predictor's scale, which also says what each column means; `atoms` (B, N, width) the last state.
    """

    coords: Tensor
    lattice_matrix: Tensor
    lattice_log: Tensor
    energies: Tensor
    atoms: Tensor


def masked_mean(x: Tensor, mask: Tensor) -> Tensor:
    """Mean over real atoms.

    Args:
        x: (B, N, width).
        mask: Real atoms, (B, N).

    Returns:
        (B, width).
    """
    weight = mask.to(x.dtype).unsqueeze(-1)
    return (x * weight).sum(1) / weight.sum(1)


class Heads(nn.Module):
    """Coordinate score, lattice update in two forms, energies (method section 2)."""

    def __init__(self, width: int, n_energies: int) -> None:
        super().__init__()
        self.coords = nn.Linear(width, 3, bias=False)
        self.lattice = nn.Linear(width, 9, bias=False)
        self.lattice_log = nn.Linear(width, 6)
        self.energy: nn.Module | None = None
        if n_energies:
            self.energy = nn.Sequential(nn.Linear(width, width), nn.SiLU(), nn.Linear(width, n_energies))

    def forward(self, atoms: Tensor, mask: Tensor) -> Outputs:
        """Read scores, lattice updates and energies from atom states.

        Args:
            atoms: (B, N, width).
            mask: Real atoms, (B, N).

        Returns:
            The outputs of the network.
        """
        pooled = masked_mean(atoms, mask)
        coords = self.coords(atoms) * mask.unsqueeze(-1).to(atoms.dtype)
        # Energies are read from each atom and averaged, so that a supercell has the energy of its cell.
        energies = atoms.new_zeros(len(atoms), 0) if self.energy is None else masked_mean(self.energy(atoms), mask)
        return Outputs(coords, self.lattice(pooled).view(-1, 3, 3), self.lattice_log(pooled), energies, atoms)


def parameter_count(module: nn.Module) -> int:
    """Number of trainable parameters of a module."""
    return sum(p.numel() for p in module.parameters() if p.requires_grad)
