"""The two structure types of the project: `Crystal` (one, numpy) and `CrystalBatch` (many, torch)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import ArrayLike, NDArray

from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS, atomic_number, chemical_system, reduced_formula

if TYPE_CHECKING:
    import torch
    from ase import Atoms
    from pymatgen.core import Structure

MIN_VOLUME_PER_ATOM = 1.0  # angstrom^3; the densest known solids have about 5
MAX_VOLUME_PER_ATOM = 1000.0
FULL = 1e-3  # from 1: a site of that occupancy is full
PARTIALLY_OCCUPIED = "partially occupied sites: make an ordered approximation first"


class InvalidCrystalError(ValueError):
    """The numbers do not describe a crystal; the message says which check failed."""


def wrap(frac_coords: NDArray[np.float64]) -> NDArray[np.float64]:
    """Fractional coordinates modulo 1, in [0, 1) (a tiny negative number must not become 1.0)."""
    wrapped = frac_coords - np.floor(frac_coords)
    return np.where(wrapped >= 1.0, 0.0, wrapped)


def check_periodic(pbc: Sequence[bool]) -> None:
    """Raise InvalidCrystalError unless all three directions are periodic: slabs and molecules are no crystals."""
    if not all(pbc):
        words = " ".join("T" if periodic else "F" for periodic in pbc)
        raise InvalidCrystalError(
            f"pbc='{words}': not periodic in three directions, so no crystal; set it to T T T where it is one"
        )


@dataclass(frozen=True, eq=False)
class Crystal:
    """One periodic structure.

    Shapes: `lattice` (3, 3) with the lattice vectors as rows in angstrom, `frac_coords` (N, 3) in [0, 1),
    `atomic_numbers` (N,). Raises InvalidCrystalError on wrong shapes, NaN, a cell without volume or an unknown element.
    """

    lattice: NDArray[np.float64]
    frac_coords: NDArray[np.float64]
    atomic_numbers: NDArray[np.int64]

    def __post_init__(self) -> None:
        lattice = np.array(self.lattice, dtype=np.float64)
        frac_coords = np.array(self.frac_coords, dtype=np.float64).reshape(-1, 3)
        atomic_numbers = np.array(self.atomic_numbers, dtype=np.int64).reshape(-1)
        _check(lattice, frac_coords, atomic_numbers)
        object.__setattr__(self, "lattice", lattice)
        object.__setattr__(self, "frac_coords", wrap(frac_coords))
        object.__setattr__(self, "atomic_numbers", atomic_numbers)

    @property
    def n_atoms(self) -> int:
        """Atoms in the cell."""
        return len(self.atomic_numbers)

    @property
    def volume(self) -> float:
        """Cell volume in angstrom^3."""
        return float(abs(np.linalg.det(self.lattice)))

    @property
    def cart_coords(self) -> NDArray[np.float64]:
        """Cartesian positions (N, 3) in angstrom."""
        return self.frac_coords @ self.lattice

    @property
    def symbols(self) -> list[str]:
        """Element symbols, one an atom."""
        return [SYMBOLS[z] for z in self.atomic_numbers]

    @property
    def composition(self) -> dict[str, int]:
        """Symbol -> count in this cell, alphabetical."""
        symbols = self.symbols
        return {s: symbols.count(s) for s in sorted(set(symbols))}

    @property
    def formula_reduced(self) -> str:
        """Reduced formula in pymatgen's order, such as SrTiO3."""
        return reduced_formula(self.atomic_numbers)

    @property
    def chemsys(self) -> str:
        """Alphabetical chemical system, such as O-Sr-Ti."""
        return chemical_system(self.atomic_numbers)

    def replace(
        self,
        *,
        lattice: ArrayLike | None = None,
        frac_coords: ArrayLike | None = None,
        atomic_numbers: ArrayLike | None = None,
    ) -> Crystal:
        """Make a copy with some arrays exchanged.

        Args:
            lattice: (3, 3), rows in angstrom; None keeps this one's.
            frac_coords: (N, 3), fractional.
            atomic_numbers: (N,).

        Returns:
            The copy, checked as any new crystal.
        """
        return Crystal(
            self.lattice if lattice is None else np.asarray(lattice),
            self.frac_coords if frac_coords is None else np.asarray(frac_coords),
            self.atomic_numbers if atomic_numbers is None else np.asarray(atomic_numbers),
        )

    def niggli(self) -> Crystal:
        """The same crystal in its Niggli-reduced cell (right-handed). Atoms keep their order."""
        from pymatgen.core import Lattice

        reduced = Lattice(self.lattice).get_niggli_reduced_lattice().matrix
        # Integer combinations of our own vectors: rebuilt from the integers they carry no search tolerance.
        lattice = np.rint(reduced @ np.linalg.inv(self.lattice)) @ self.lattice
        if np.linalg.det(lattice) < 0:
            lattice = -lattice
        return Crystal(lattice, self.cart_coords @ np.linalg.inv(lattice), self.atomic_numbers)

    def to_pymatgen(self) -> Structure:
        """The same structure for pymatgen."""
        from pymatgen.core import Lattice, Structure

        return Structure(Lattice(self.lattice), self.symbols, self.frac_coords)

    @classmethod
    def from_pymatgen(cls, structure: Structure) -> Crystal:
        """From pymatgen's structure.

        Raises InvalidCrystalError where a site is partially occupied, a direction not periodic or the cell charged.
        """
        if not structure.is_ordered:
            raise InvalidCrystalError(PARTIALLY_OCCUPIED)
        check_periodic(structure.lattice.pbc)
        charge = getattr(structure, "_charge", None)  # `charge` would add up oxidation states, which are no charge
        if charge:
            raise InvalidCrystalError(f"charge {charge:g}: a crystal is neutral; leave the charge out")
        numbers = [int(site.specie.Z) for site in structure]
        return cls(structure.lattice.matrix, structure.frac_coords, np.array(numbers))

    def to_ase(self) -> Atoms:
        """The same structure for ASE, periodic in all directions."""
        from ase import Atoms

        return Atoms(numbers=self.atomic_numbers, scaled_positions=self.frac_coords, cell=self.lattice, pbc=True)

    @classmethod
    def from_ase(cls, atoms: Atoms) -> Crystal:
        """From ASE's atoms.

        Raises InvalidCrystalError where a direction is not periodic, a site partially occupied (ASE keeps what a CIF
        says in `info`) or the numbers are not a crystal.
        """
        check_periodic(atoms.pbc)
        for occupancy in dict(atoms.info.get("occupancy") or {}).values():
            if len(occupancy) != 1 or any(abs(part - 1.0) > FULL for part in occupancy.values()):
                raise InvalidCrystalError(PARTIALLY_OCCUPIED)
        return cls(atoms.cell.array, atoms.get_scaled_positions(wrap=True), atoms.numbers)

    def to_cif(self) -> str:
        """CIF text in P1. The format stores cell lengths and angles, so the orientation in space is not kept.

        Lengths and angles cannot say that a cell is left-handed (the crystal would come back as its mirror image), so
        such a cell is written with all three vectors reversed: the same crystal, right-handed.
        """
        from pymatgen.io.cif import CifWriter

        crystal = (
            self
            if np.linalg.det(self.lattice) > 0
            else self.replace(lattice=-self.lattice, frac_coords=-self.frac_coords)
        )
        return str(CifWriter(crystal.to_pymatgen(), significant_figures=15))

    def to_extxyz(self) -> str:
        """One extended-xyz frame with 17 significant digits (ASE's own writer keeps 8 decimals)."""
        lattice = " ".join(repr(float(x)) for x in self.lattice.ravel())
        lines = [str(self.n_atoms), f'Lattice="{lattice}" Properties=species:S:1:pos:R:3 pbc="T T T"']
        lines += [
            f"{s} {x!r} {y!r} {z!r}" for s, (x, y, z) in zip(self.symbols, self.cart_coords.tolist(), strict=True)
        ]
        return "\n".join(lines) + "\n"


def _check(lattice: NDArray[np.float64], frac_coords: NDArray[np.float64], numbers: NDArray[np.int64]) -> None:
    if lattice.shape != (3, 3):
        raise InvalidCrystalError(f"lattice has shape {lattice.shape}, expected (3, 3)")
    if len(numbers) == 0 or len(numbers) != len(frac_coords):
        raise InvalidCrystalError(f"{len(numbers)} atomic numbers for {len(frac_coords)} positions")
    if not (np.isfinite(lattice).all() and np.isfinite(frac_coords).all()):
        raise InvalidCrystalError("NaN or infinity in lattice or coordinates")
    if numbers.min() < 1 or numbers.max() > MAX_ATOMIC_NUMBER:
        raise InvalidCrystalError(f"atomic number outside 1..{MAX_ATOMIC_NUMBER}: {sorted(set(numbers.tolist()))}")
    volume_per_atom = abs(np.linalg.det(lattice)) / len(numbers)
    if not MIN_VOLUME_PER_ATOM <= volume_per_atom <= MAX_VOLUME_PER_ATOM:
        raise InvalidCrystalError(
            f"volume per atom {volume_per_atom:.3g} A^3 is outside {MIN_VOLUME_PER_ATOM}..{MAX_VOLUME_PER_ATOM}"
        )


def crystal_from_symbols(lattice: ArrayLike, symbols: Sequence[str], frac_coords: ArrayLike) -> Crystal:
    """Make a crystal from element symbols.

    Args:
        lattice: (3, 3), rows in angstrom.
        symbols: One an atom, such as ["Na", "Cl"].
        frac_coords: (N, 3), fractional.

    Returns:
        The crystal.

    Raises:
        UnknownElementError: A symbol is not an element from H to Fm.
        InvalidCrystalError: The numbers are not a crystal.
    """
    numbers = np.array([atomic_number(s) for s in symbols])
    return Crystal(np.asarray(lattice, dtype=np.float64), np.asarray(frac_coords, dtype=np.float64), numbers)


@dataclass
class CrystalBatch:
    """Many structures, padded to the largest.

    Shapes: `lattice` (B, 3, 3), `frac_coords` (B, N, 3), `atomic_numbers` (B, N) with 0 on padding.
    """

    lattice: torch.Tensor
    frac_coords: torch.Tensor
    atomic_numbers: torch.Tensor

    @property
    def mask(self) -> torch.Tensor:
        """True where there is an atom, (B, N)."""
        return self.atomic_numbers > 0

    @property
    def n_atoms(self) -> torch.Tensor:
        """Atoms in each structure, (B,)."""
        return self.mask.sum(dim=1)

    def __len__(self) -> int:
        return self.lattice.shape[0]

    def to(self, target: torch.device | torch.dtype) -> CrystalBatch:
        """Moved to a device, or the floating tensors to a dtype."""
        import torch

        numbers = self.atomic_numbers.to(target) if isinstance(target, torch.device) else self.atomic_numbers
        return CrystalBatch(self.lattice.to(target), self.frac_coords.to(target), numbers)

    @classmethod
    def from_crystals(
        cls, crystals: Sequence[Crystal], *, pad_to: int | None = None, dtype: torch.dtype | None = None
    ) -> CrystalBatch:
        """Stack crystals into padded arrays.

        Args:
            crystals: Structures of any sizes.
            pad_to: Atoms of each row; None: those of the largest crystal.
            dtype: Of lattice and coordinates; None: single precision.

        Returns:
            The batch; rows of smaller crystals end in padding.
        """
        import torch

        n_max = max(c.n_atoms for c in crystals) if pad_to is None else pad_to
        frac = np.zeros((len(crystals), n_max, 3))
        numbers = np.zeros((len(crystals), n_max), dtype=np.int64)
        for i, c in enumerate(crystals):
            frac[i, : c.n_atoms] = c.frac_coords
            numbers[i, : c.n_atoms] = c.atomic_numbers
        dtype = dtype or torch.float32
        lattice = torch.as_tensor(np.stack([c.lattice for c in crystals]), dtype=dtype)
        return cls(lattice, torch.as_tensor(frac, dtype=dtype), torch.as_tensor(numbers))

    def to_crystals(self) -> list[Crystal | InvalidCrystalError]:
        """Back to single structures; one that is not a crystal comes back as its error, the others are kept."""
        lattice = self.lattice.detach().double().cpu().numpy()
        frac = self.frac_coords.detach().double().cpu().numpy()
        numbers = self.atomic_numbers.cpu().numpy()
        out: list[Crystal | InvalidCrystalError] = []
        for i in range(len(self)):
            keep = numbers[i] > 0
            try:
                out.append(Crystal(lattice[i], frac[i][keep], numbers[i][keep]))
            except InvalidCrystalError as error:
                out.append(error)
        return out
