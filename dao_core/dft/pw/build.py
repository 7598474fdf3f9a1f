"""Inputs of pw.x from a crystal and a protocol. Everything that can be wrong is said before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.input import Calculation, InputError, PwInput
from dao_core.dft.settings import DftSettings
from dao_core.matching.distances import distance_matrix
from dao_core.units import KBAR_PER_GPA

OUTDIR, PREFIX = "../out", "dao"
MIN_DISTANCE_FRACTION = 0.5  # of the sum of covalent radii; closer pairs make pw.x stop with an empty output
# Starting moments (Bohr magnetons, high spin) of elements that usually carry one; a protocol's guess, not a result.
MAGNETIC_MOMENTS: dict[str, float] = {
    **dict.fromkeys(["V", "Cr", "Mn", "Fe", "Co", "Ni"], 5.0),
    **dict.fromkeys(
        ["Ce", "Pr", "Nd", "Pm", "Sm", "Eu", "Gd", "Tb", "Dy", "Ho", "Er", "Tm", "Yb", "U", "Np", "Pu"], 7.0
    ),
}
OTHER_MAGNETISATION = 0.1  # fraction of the valence, for the non-magnetic neighbours of a magnetic atom


def kpoint_grid(crystal: Crystal, distance: float) -> tuple[int, int, int]:
    """Smallest grid whose points are at most `distance` (1/angstrom, 2 pi included) apart on each axis."""
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(crystal.lattice).T, axis=1)
    a, b, c = (max(1, math.ceil(round(float(x) / distance, 6))) for x in lengths)
    return a, b, c


def check_distances(crystal: Crystal) -> None:
    """Raises InputError naming the closest pair when atoms overlap."""
    from ase.data import covalent_radii

    radii = covalent_radii[crystal.atomic_numbers]
    distances = distance_matrix(crystal.lattice, crystal.frac_coords)  # (N, N)
    excess = distances - MIN_DISTANCE_FRACTION * (radii[:, None] + radii[None, :])
    i, j = np.unravel_index(int(excess.argmin()), excess.shape)
    if excess[i, j] < 0:
        pair = f"{crystal.symbols[i]}{i + 1}-{crystal.symbols[j]}{j + 1}"
        raise InputError(f"atoms overlap: {pair} at {distances[i, j]:.2f} A; relax the structure first")


def build_input(crystal: Crystal, library: PseudoLibrary, settings: DftSettings, calculation: Calculation) -> PwInput:
    """Input of one calculation by the settings' protocol.

    Raises MissingElementError (no file for an element), PseudopotentialError (no cutoff), InputError (overlapping
    atoms) and ProtocolFileError.
    """
    protocol = settings.resolved_protocol()
    elements = sorted(set(crystal.symbols))
    files = library.select(elements)
    check_distances(crystal)
    ecutwfc, ecutrho = settings.ecutwfc, settings.ecutrho
    if ecutwfc is None:
        ecutwfc, ecutrho = library.cutoffs(elements, protocol.cutoff_level)
    n = crystal.n_atoms
    control: dict[str, Any] = {
        "calculation": calculation, "restart_mode": "from_scratch", "outdir": OUTDIR, "prefix": PREFIX,
        "tprnfor": True, "tstress": True, "verbosity": "high", "disk_io": "low",
        "etot_conv_thr": protocol.etot_conv_thr_per_atom * n, "forc_conv_thr": protocol.forc_conv_thr,
    }  # fmt: skip
    system: dict[str, Any] = {"ecutwfc": ecutwfc, "ecutrho": ecutrho or 4 * ecutwfc}
    if settings.electronic_type == "metal":
        system |= {"occupations": "smearing", "smearing": protocol.smearing, "degauss": protocol.degauss}
    else:
        system |= {"occupations": "fixed"}
    electrons = {
        "conv_thr": protocol.conv_thr_per_atom * n, "mixing_beta": protocol.mixing_beta,
        "electron_maxstep": protocol.electron_maxstep, "diagonalization": "david",
    }  # fmt: skip
    namelists: dict[str, dict[str, Any]] = {"control": control, "system": system, "electrons": electrons}
    if calculation != "scf":
        control["nstep"] = protocol.nstep
        namelists["ions"] = {"ion_dynamics": "bfgs"}
    if calculation == "vc-relax":
        namelists["cell"] = {
            "cell_dynamics": "bfgs", "press_conv_thr": protocol.press_conv_thr,
            "press": settings.pressure_gpa * KBAR_PER_GPA,
        }  # fmt: skip
    moments = starting_magnetisation(elements, {e: p.z_valence for e, p in files.items()}, settings.spin)
    if moments:
        system["nspin"] = 2
    return PwInput(
        crystal=crystal,
        calculation=calculation,
        namelists=namelists,
        kpoints=kpoint_grid(crystal, protocol.kpoint_distance),
        pseudo_files={e: p.path.name for e, p in files.items()},
        pseudo_dir=str(library.folder.resolve()),
        pseudo_identity=library.identity(elements),
        magnetisation=moments,
        ranks=settings.ranks,
        wall_seconds=settings.wall_seconds,
    )


def starting_magnetisation(elements: list[str], z_valence: Mapping[str, float], spin: str) -> dict[str, float]:
    """Element -> starting magnetisation as a fraction of its valence (pw.x before 7.3); empty without spin."""
    if spin == "none" or (spin == "auto" and not any(e in MAGNETIC_MOMENTS for e in elements)):
        return {}
    return {
        e: min(1.0, round(MAGNETIC_MOMENTS[e] / z_valence[e], 4)) if e in MAGNETIC_MOMENTS else OTHER_MAGNETISATION
        for e in elements
    }
