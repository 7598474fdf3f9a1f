"""Known ground states for the benchmarks: 30 elements and 15 further formulas beside the 50 simple compounds.

Experimental structures at room temperature or below, rounded, from textbooks and the original refinements; the matcher
compares at equal volume.
"""

from __future__ import annotations

from typing import Any

from dao_core.crystal import Crystal

FCC = {"Al": 4.05, "Cu": 3.61, "Ag": 4.09, "Au": 4.08, "Ni": 3.52, "Pd": 3.89, "Pt": 3.92, "Ir": 3.84, "Rh": 3.80,
       "Pb": 4.95, "Ca": 5.59}  # fmt: skip
BCC = {"Fe": 2.87, "V": 3.02, "Nb": 3.30, "Ta": 3.30, "Mo": 3.15, "W": 3.17, "K": 5.33}
HCP = {"Mg": (3.21, 5.21), "Ti": (2.95, 4.68), "Zr": (3.23, 5.15), "Zn": (2.66, 4.95), "Co": (2.51, 4.07),
       "Ru": (2.71, 4.28), "Be": (2.29, 3.58)}  # fmt: skip
# formula: (space group, (a, b, c, alpha, beta, gamma), [(species, site), ...])
Entry = tuple[int, tuple[float, float, float, float, float, float], list[tuple[str, list[float]]]]
OTHERS: dict[str, Entry] = {
    "Se": (152, (4.37, 4.37, 4.95, 90, 90, 120), [("Se", [0.225, 0, 1 / 3])]),
    "Ga": (64, (4.52, 7.66, 4.53, 90, 90, 90), [("Ga", [0, 0.154, 0.081])]),
    "Ge": (227, (5.66, 5.66, 5.66, 90, 90, 90), [("Ge", [0, 0, 0])]),
    "As": (166, (3.76, 3.76, 10.55, 90, 90, 120), [("As", [0, 0, 0.227])]),
    "Bi": (166, (4.55, 4.55, 11.86, 90, 90, 120), [("Bi", [0, 0, 0.234])]),
}
FURTHER: dict[str, Entry] = {
    "Si": (227, (5.43, 5.43, 5.43, 90, 90, 90), [("Si", [0, 0, 0])]),
    "SiO2": (154, (4.913, 4.913, 5.405, 90, 90, 120), [("Si", [0.47, 0, 2 / 3]), ("O", [0.4135, 0.2669, 0.7858])]),
    "LiFePO4": (62, (10.33, 6.01, 4.69, 90, 90, 90), [
        ("Li", [0, 0, 0]), ("Fe", [0.282, 0.25, 0.975]), ("P", [0.095, 0.25, 0.418]), ("O", [0.097, 0.25, 0.743]),
        ("O", [0.457, 0.25, 0.206]), ("O", [0.166, 0.047, 0.285]),
    ]),
    "Cu2ZnSnS4": (82, (5.427, 5.427, 10.87, 90, 90, 90), [
        ("Cu", [0, 0, 0]), ("Cu", [0, 0.5, 0.25]), ("Zn", [0, 0.5, 0.75]), ("Sn", [0, 0, 0.5]),
        ("S", [0.756, 0.757, 0.872]),
    ]),
    "MoSi2": (139, (3.20, 3.20, 7.85, 90, 90, 90), [("Mo", [0, 0, 0]), ("Si", [0, 0, 1 / 3])]),
    "LaB6": (221, (4.157, 4.157, 4.157, 90, 90, 90), [("La", [0, 0, 0]), ("B", [0.199, 0.5, 0.5])]),
    "MoS2": (194, (3.16, 3.16, 12.29, 90, 90, 120), [("Mo", [1 / 3, 2 / 3, 0.25]), ("S", [1 / 3, 2 / 3, 0.621])]),
    "CaCO3": (167, (4.99, 4.99, 17.06, 90, 90, 120), [
        ("Ca", [0, 0, 0]), ("C", [0, 0, 0.25]), ("O", [0.257, 0, 0.25]),
    ]),
    "Bi2Te3": (166, (4.395, 4.395, 30.44, 90, 90, 120), [
        ("Bi", [0, 0, 0.4]), ("Te", [0, 0, 0]), ("Te", [0, 0, 0.7903]),
    ]),
    "FeS2": (205, (5.418, 5.418, 5.418, 90, 90, 90), [("Fe", [0, 0, 0]), ("S", [0.385, 0.385, 0.385])]),
    "ZnS": (216, (5.41, 5.41, 5.41, 90, 90, 90), [("Zn", [0, 0, 0]), ("S", [0.25, 0.25, 0.25])]),
    "LiCoO2": (166, (2.816, 2.816, 14.05, 90, 90, 120), [
        ("Li", [0, 0, 0]), ("Co", [0, 0, 0.5]), ("O", [0, 0, 0.2395]),
    ]),
    "CuInSe2": (122, (5.78, 5.78, 11.62, 90, 90, 90), [
        ("Cu", [0, 0, 0]), ("In", [0, 0, 0.5]), ("Se", [0.235, 0.25, 0.125]),
    ]),
    "ZrO2": (14, (5.15, 5.21, 5.32, 90, 99.2, 90), [
        ("Zr", [0.2754, 0.0395, 0.2083]), ("O", [0.07, 0.3317, 0.3447]), ("O", [0.4496, 0.7569, 0.4792]),
    ]),
    "PbI2": (164, (4.557, 4.557, 6.979, 90, 90, 120), [("Pb", [0, 0, 0]), ("I", [1 / 3, 2 / 3, 0.2675])]),
}  # fmt: skip


def elements() -> dict[str, Crystal]:
    """The 30 elements by symbol."""
    found = {s: _crystal((225, (a, a, a, 90, 90, 90), [(s, [0, 0, 0])])) for s, a in FCC.items()}
    found |= {s: _crystal((229, (a, a, a, 90, 90, 90), [(s, [0, 0, 0])])) for s, a in BCC.items()}
    site = [1 / 3, 2 / 3, 0.25]
    found |= {s: _crystal((194, (a, a, c, 90, 90, 120), [(s, site)])) for s, (a, c) in HCP.items()}
    return found | {s: _crystal(entry) for s, entry in OTHERS.items()}


def further() -> dict[str, Crystal]:
    """The further formulas by reduced formula."""
    found = (_crystal(entry) for entry in FURTHER.values())
    return {c.formula_reduced: c for c in found}


def _crystal(entry: Entry) -> Crystal:
    from pymatgen.core import Lattice, Structure

    number, cell, sites = entry
    structure: Any = Structure.from_spacegroup(
        number, Lattice.from_parameters(*cell), [s for s, _ in sites], [x for _, x in sites], tol=1e-3
    )
    return Crystal.from_pymatgen(structure.get_primitive_structure())
