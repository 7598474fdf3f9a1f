"""What a crystallographer looks for beside the picture: occupied sites by Wyckoff letter, and the powder pattern."""

from __future__ import annotations

from typing import Any

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.screening.symmetry import SYMPREC, SymmetryError, moyo_dataset

WAVELENGTH = "CuKa"
ANGLES = (5.0, 90.0)  # degrees, 2 theta
MAX_PEAKS, LEAST_INTENSITY = 80, 0.3  # of 100
MAX_PATTERN_ATOMS = 200  # of the conventional cell


def conventional_cell(crystal: Crystal) -> Crystal | None:
    """The conventional standard cell, None where the symmetry search fails."""
    import numpy as np

    try:
        cell = moyo_dataset(crystal, SYMPREC).std_cell
        return Crystal(np.array(cell.basis), np.array(cell.positions), np.array(cell.numbers))
    except (SymmetryError, ValueError):
        return None


def wyckoff_sites(crystal: Crystal) -> list[dict[str, Any]]:
    """Occupied sites in the conventional standard setting.

    Args:
        crystal: Any cell of it.

    Returns:
        One entry an orbit: element, multiplicity, Wyckoff letter, site symmetry and the coordinates of its first atom;
        nothing where the symmetry search fails.
    """
    conventional = conventional_cell(crystal)
    if conventional is None:
        return []
    try:
        data = moyo_dataset(conventional, SYMPREC)
    except SymmetryError:
        return []
    orbits = [int(o) for o in data.orbits]
    sites = [
        {
            "element": SYMBOLS[int(conventional.atomic_numbers[i])],
            "letter": str(data.wyckoffs[i]),
            "multiplicity": orbits.count(i),
            "symmetry": str(data.site_symmetry_symbols[i]),
            "position": [round(float(x), 5) for x in conventional.frac_coords[i]],
        }
        for i in sorted(set(orbits))
    ]
    return sorted(sites, key=lambda s: (s["element"], s["letter"], s["position"]))


def powder_pattern(crystal: Crystal) -> list[list[Any]]:
    """Powder X-ray pattern for Cu K-alpha, as pymatgen simulates it.

    Args:
        crystal: Any cell of it.

    Returns:
        [2 theta in degrees, intensity of at most 100, indices in the conventional cell] of each peak, by angle; nothing
        where the cell is too large, has no symmetry or an element whose X-ray scattering nobody tabulated.
    """
    conventional = conventional_cell(crystal)
    if conventional is None or conventional.n_atoms > MAX_PATTERN_ATOMS:
        return []
    from pymatgen.analysis.diffraction.xrd import ATOMIC_SCATTERING_PARAMS, XRDCalculator

    if not ATOMIC_SCATTERING_PARAMS.keys() >= set(conventional.symbols):  # of Es and Fm there is no table
        return []
    pattern = XRDCalculator(wavelength=WAVELENGTH).get_pattern(conventional.to_pymatgen(), two_theta_range=ANGLES)
    peaks: list[list[Any]] = [
        [round(float(x), 3), round(float(y), 2), _indices(hkls[0]["hkl"])]
        for x, y, hkls in zip(pattern.x, pattern.y, pattern.hkls, strict=True)
        if y >= LEAST_INTENSITY
    ]
    strongest = sorted(peaks, key=lambda p: -p[1])[:MAX_PEAKS]
    return sorted(strongest, key=lambda p: p[0])


def _indices(hkl: tuple[int, ...]) -> str:
    """Three indices, of four the third left out (it is minus the sum of the first two)."""
    h, k, *_, last = hkl
    return f"{h} {k} {last}"
