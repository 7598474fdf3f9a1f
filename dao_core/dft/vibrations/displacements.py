"""Vibrations from finite displacements (Togo and Tanaka, Scr. Mater. 108, 1 (2015)), where ph.x can't: with Hubbard U.

Each displaced supercell is an SCF of its own in the ledger, so that a repeated call computes only what is missing.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.dft.electronic.analysis import band_path
from dao_core.dft.pw.build import kpoint_grid
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session, StageFailedError, need

MAX_ATOMS = 64  # of the supercell; pw.x costs the cube of it


def displaced_phonons(session: Session, pw_input: PwInput) -> dict[str, Any]:
    """Frequencies at Gamma and along the standard path (THz, imaginary as negative).

    Args:
        session: Settings, ledger, launcher.
        pw_input: The SCF of a relaxed crystal; its spins and U go into the supercells.

    Returns:
        The keys of `phonon_dispersion`, with the `supercell` and a `note` where it had to be thinner.

    Raises:
        StageFailedError: A displaced supercell has no forces.
    """
    from phonopy import Phonopy

    protocol = session.settings.resolved_protocol()
    sizes, note = supercell_sizes(pw_input.crystal, protocol.supercell_length)
    phonons = Phonopy(_phonopy_cell(pw_input), np.diag(sizes), primitive_matrix=np.eye(3), log_level=0)
    phonons.generate_displacements(distance=protocol.displacement)
    order = np.asarray(phonons.supercell.s2u_map)
    unit = {site: i for i, site in enumerate(np.asarray(phonons.supercell.u2s_map).tolist())}
    sites = [unit[int(s)] for s in order]  # of each supercell atom, its atom in the cell
    forces = []
    for number, cell in enumerate(phonons.supercells_with_displacements, start=1):
        crystal = Crystal(np.array(cell.cell), np.array(cell.scaled_positions), pw_input.crystal.atomic_numbers[sites])
        name = f"displacement {number} of {len(phonons.supercells_with_displacements)}"
        result, _, _ = need(session, name, displaced_input(pw_input, crystal, sites))
        if result.forces is None:
            raise StageFailedError(name, replace(result, message="pw.x wrote no forces"))
        forces.append(np.array(result.forces))
    phonons.forces = np.array(forces)  # (D, N, 3)
    phonons.produce_force_constants()
    phonons.symmetrize_force_constants()
    path = band_path(pw_input.crystal, protocol.path_density)
    rows = [phonons.get_frequencies(q).tolist() for q in path.pop("kpoints")]
    return {
        **path, "frequencies": rows, "gamma": phonons.get_frequencies([0.0, 0.0, 0.0]).tolist(), "supercell": sizes,
        "n_displacements": len(forces), "note": note,
    }  # fmt: skip


def displaced_input(pw_input: PwInput, crystal: Crystal, sites: list[int]) -> PwInput:
    """The SCF of a displaced supercell: as the cell's, with the k-points that fold onto the same density.

    Args:
        pw_input: Of the cell.
        crystal: The supercell.
        sites: Of each of its atoms, the atom of the cell.
    """
    spins = pw_input.atom_magnetisation
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(pw_input.crystal.lattice).T, axis=1)
    distance = float(max(length / n for length, n in zip(lengths, pw_input.kpoints, strict=True)))
    scale = crystal.n_atoms / pw_input.crystal.n_atoms
    new = replace(
        pw_input,
        crystal=crystal,
        kpoints=kpoint_grid(crystal, distance),
        magnetisation={},
        site_magnetisation=tuple(spins[i] for i in sites) if spins else (),
        restart="scratch",
        history=(),
    )
    threshold = pw_input.get("electrons", "conv_thr", 1e-6)
    new = new.with_values("electrons", conv_thr=threshold * scale)
    bands, moment = pw_input.get("system", "nbnd"), pw_input.get("system", "tot_magnetization")
    if moment is not None:  # of the whole cell: that of the smaller one would be another state of the spins
        new = new.with_values("system", tot_magnetization=float(round(moment * scale)))
    return new.with_values("system", nbnd=None if bands is None else round(bands * scale))


def supercell_sizes(crystal: Crystal, min_length: float) -> tuple[list[int], str]:
    """Size of the supercell for finite displacements.

    Args:
        crystal: The cell.
        min_length: Smallest thickness wanted, angstrom.

    Returns:
        (cells along each axis, a clause where the limit of atoms made it thinner than asked for).
    """
    heights = 1.0 / np.linalg.norm(np.linalg.inv(crystal.lattice).T, axis=1)
    sizes = [max(1, int(np.ceil(min_length / h - 1e-6))) for h in heights]
    asked = list(sizes)
    while crystal.n_atoms * int(np.prod(sizes)) > MAX_ATOMS and max(sizes) > 1:
        sizes[int(np.argmax([n * h if n > 1 else 0.0 for n, h in zip(sizes, heights, strict=True)]))] -= 1
    note = "" if sizes == asked else f"supercell {sizes} instead of {asked}: at most {MAX_ATOMS} atoms"
    return sizes, note


def _phonopy_cell(pw_input: PwInput) -> Any:
    """The cell for phonopy; moments tell sites of one element with other spins apart."""
    from phonopy.structure.atoms import PhonopyAtoms

    crystal = pw_input.crystal
    spins: NDArray[np.float64] | None = np.array(pw_input.atom_magnetisation) if pw_input.atom_magnetisation else None
    return PhonopyAtoms(
        symbols=crystal.symbols, cell=crystal.lattice, scaled_positions=crystal.frac_coords, magnetic_moments=spins
    )
