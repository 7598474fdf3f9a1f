"""Inputs of pw.x from a crystal and a protocol. Everything that can be wrong is said before anything runs."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.dft.hubbard import hubbard_form, hubbard_values
from dao_core.dft.magnetism.moments import magnetic_elements, site_fractions
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.input import Calculation, CutoffError, InputError, PwInput
from dao_core.dft.settings import LEAST_DUAL, DftSettings
from dao_core.matching.distances import CLOSEST_CONTACT, contact_ratios, distance_matrix
from dao_core.units import KBAR_PER_GPA

OUTDIR, PREFIX = "../out", "dao"
OLDEST_VERSION = "6.7"  # whose input form is written where nobody knows the version
EMPTY_BANDS = 4  # with fixed occupations: without one pw.x doesn't see that bands overlap; more help it to converge
UNKNOWN_MAGNETISATION = 0.1  # fraction of the valence, where spin is asked for and no element is a magnet


def kpoint_grid(crystal: Crystal, distance: float) -> tuple[int, int, int]:
    """The smallest grid of k-points that is dense enough.

    Args:
        crystal: Any.
        distance: Largest distance of two points on each axis, 1/angstrom, 2 pi included.

    Returns:
        Points along each axis.
    """
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(crystal.lattice).T, axis=1)
    a, b, c = (max(1, math.ceil(round(float(x) / distance, 6))) for x in lengths)
    return a, b, c


def check_distances(crystal: Crystal) -> None:
    """Raises InputError naming the closest pair when atoms overlap."""
    ratios = contact_ratios(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)  # (N, N)
    i, j = np.unravel_index(int(ratios.argmin()), ratios.shape)
    if ratios[i, j] < CLOSEST_CONTACT:
        distance = distance_matrix(crystal.lattice, crystal.frac_coords)[i, j]
        pair = f"{crystal.symbols[i]}{i + 1}-{crystal.symbols[j]}{j + 1}"
        raise InputError(f"atoms overlap: {pair} at {distance:.2f} A; relax the structure first")


def build_input(
    crystal: Crystal,
    library: PseudoLibrary,
    settings: DftSettings,
    calculation: Calculation,
    moments: Sequence[float] | None = None,
) -> PwInput:
    """Input of one calculation by the settings' protocol.

    Args:
        crystal: The structure.
        library: Pseudopotentials.
        settings: Protocol, cutoffs, spin, U.
        calculation: What pw.x does.
        moments: Starting moment of each atom (Bohr magnetons), of an ordering; by default all parallel.

    Returns:
        The input, structure and cards in angstrom, cutoffs in Ry.

    Raises:
        MissingElementError: There is no file for an element.
        PseudopotentialError: The library states no cutoff.
        InputError: Atoms overlap.
        CutoffError: That of the density is too low for the wavefunctions.
        ProtocolFileError: The file of protocols is not valid.
    """
    protocol = settings.resolved_protocol()
    elements = sorted(set(crystal.symbols))
    files = library.select(elements)
    check_distances(crystal)
    ecutwfc, ecutrho = chosen_cutoffs(settings, library, elements)
    n = crystal.n_atoms
    valence = {e: p.z_valence for e, p in files.items()}
    control: dict[str, Any] = {
        "calculation": calculation, "restart_mode": "from_scratch", "outdir": OUTDIR, "prefix": PREFIX,
        "tprnfor": True, "tstress": True, "verbosity": "high", "disk_io": "low",
        "etot_conv_thr": protocol.etot_conv_thr_per_atom * n, "forc_conv_thr": protocol.forc_conv_thr,
    }  # fmt: skip
    system: dict[str, Any] = {"ecutwfc": ecutwfc, "ecutrho": ecutrho}
    magnetisation = starting_magnetisation(crystal, valence, settings.spin, moments)
    smearing = {"smearing": protocol.smearing, "degauss": protocol.degauss}
    if settings.electronic_type == "metal" or magnetisation:  # fixed occupations would need the total moment, too
        system |= {"occupations": "smearing", **smearing}
    else:
        filled = math.ceil(sum(valence[s] for s in crystal.symbols) / 2)
        system |= {"occupations": "fixed", "nbnd": filled + EMPTY_BANDS}
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
    if magnetisation:
        system["nspin"] = 2
    return PwInput(
        crystal=crystal,
        calculation=calculation,
        namelists=namelists,
        kpoints=kpoint_grid(crystal, protocol.kpoint_distance),
        pseudo_files={e: p.path.name for e, p in files.items()},
        pseudo_dir=str(library.folder.resolve()),
        pseudo_identity=library.identity(elements),
        site_magnetisation=magnetisation,
        hubbard=hubbard_values(crystal, settings.hubbard, settings.hubbard_u),
        hubbard_form=hubbard_form(settings.qe_version or OLDEST_VERSION),
        smearing=smearing,
        ranks=settings.ranks,
        wall_seconds=settings.wall_seconds,
    )


def chosen_cutoffs(settings: DftSettings, library: PseudoLibrary, elements: Sequence[str]) -> tuple[float, float]:
    """Cutoffs of wavefunctions and density, Ry: the settings', else the library's.

    Args:
        settings: With cutoffs of the user's, or the protocol's level.
        library: Pseudopotentials.
        elements: Symbols.

    Raises:
        PseudopotentialError: The library states no cutoff.
        CutoffError: That of the density is too low for the wavefunctions.
    """
    ecutwfc, ecutrho = settings.ecutwfc, settings.ecutrho
    if ecutwfc is None:
        ecutwfc, usual = library.cutoffs(elements, settings.resolved_protocol().cutoff_level)
        ecutrho = usual if ecutrho is None else ecutrho
    if ecutrho is None:
        return ecutwfc, ecutwfc * max(p.dual for p in library.select(elements).values())
    if ecutrho < LEAST_DUAL * ecutwfc:
        raise CutoffError(
            f"ecutrho {ecutrho:g} Ry is less than {LEAST_DUAL} times the {ecutwfc:g} Ry of the wavefunctions of "
            f"{', '.join(elements)}: give {LEAST_DUAL * ecutwfc:g} or more, or leave it out"
        )
    return ecutwfc, ecutrho


def starting_magnetisation(
    crystal: Crystal, z_valence: Mapping[str, float], spin: str, moments: Sequence[float] | None = None
) -> tuple[float, ...]:
    """Starting magnetisation of each atom as a fraction of its valence; empty for a calculation without spin.

    Args:
        crystal: The structure.
        z_valence: Valence electrons of each element's pseudopotential.
        spin: "none", "auto" (where an element asks for it) or "polarised".
        moments: Bohr magnetons of each atom, of an ordering; by default all parallel.
    """
    if spin == "none":
        return ()
    if moments is None:
        by_element = magnetic_elements(crystal)
        if not by_element:
            return (UNKNOWN_MAGNETISATION,) * crystal.n_atoms if spin == "polarised" else ()
        moments = [by_element.get(s, 0.0) for s in crystal.symbols]
    return site_fractions(moments, crystal.symbols, z_valence)
