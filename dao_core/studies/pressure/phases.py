"""Known phases at both sides of pressure transitions, from textbook lattice constants, and published pressures."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from dao_core.crystal import Crystal, crystal_from_symbols


@dataclass(frozen=True)
class Transition:
    """A phase below and one above a published transition pressure.

    Attributes:
        formula: Of both.
        below: Name of the phase at low pressure.
        above: Name of the phase at high pressure.
        gpa: Published transition pressure without vibrations.
        functional: Of that calculation, as far as its abstract says.
        source: Where it was published.
        calculated: False where the pressure is a measured one: it is reported beside the judge's and not counted.
    """

    formula: str
    below: str
    above: str
    gpa: float
    functional: str
    source: str
    calculated: bool = True


TRANSITIONS = {
    "Si": Transition(
        "Si", "diamond", "beta-tin", 10.0, "upper end of LDA and GGAs (3.5 to 10.0 GPa)",
        "Hennig et al., Phys. Rev. B 82, 014101 (2010)",
    ),
    "NaCl": Transition(
        "NaCl", "B1", "B2", 28.3, "plane waves, pseudopotentials", "Xiao et al., Chin. Phys. Lett. 23, 2845 (2006)"
    ),
    "ZnO": Transition("ZnO", "B4", "B1", 9.0, "SIESTA", "Kürkçü et al., Indian J. Phys. 93, 979 (2019)"),
    "CaO": Transition("CaO", "B1", "B2", 64.7, "GGA, local orbitals", "Catti, Phys. Rev. B 68, 100101 (2003)"),
    "GaN": Transition("GaN", "B4", "B1", 42.3, "GGA", "Abu-Jafar et al., Solid State Commun. 116, 389 (2000)"),
    "MgSiO3": Transition(
        "MgSiO3", "perovskite", "post-perovskite", 98.0, "plane waves, pseudopotentials",
        "Iitaka et al., Nature 430, 442 (2004)",
    ),
    "CaCO3": Transition(
        "CaCO3", "calcite", "aragonite", 0.36, "tabulated free energies and volumes at 25 °C",
        "Schroeder, An Introduction to Thermal Physics, problem 5.28", calculated=False,
    ),
}  # fmt: skip

EDGES = {  # angstrom
    ("NaCl", "B1"): 5.64, ("NaCl", "B2"): 3.35, ("ZnO", "B1"): 4.28, ("CaO", "B1"): 4.81, ("CaO", "B2"): 2.90,
    ("GaN", "B1"): 4.22,
}  # fmt: skip
WURTZITE = {"ZnO": (3.25, 5.207, 0.382), "GaN": (3.19, 5.185, 0.377)}  # a, c in angstrom, u
SILICON, TIN = 5.43, (4.81, 2.65)  # angstrom: edge of diamond; a and c of beta-tin


@dataclass(frozen=True)
class Sites:
    """A structure by its space group: cell edges and the third angle, and a site of each orbit."""

    spacegroup: str
    edges: tuple[float, float, float]  # angstrom
    gamma: float
    orbits: tuple[tuple[str, tuple[float, float, float]], ...]


MINERALS = {  # as measured: calcite and aragonite at no pressure, the perovskite too, the phase above it at 121 GPa
    "calcite": Sites(
        "R-3c", (4.990, 4.990, 17.061), 120.0, (("Ca", (0, 0, 0)), ("C", (0, 0, 0.25)), ("O", (0.257, 0, 0.25)))
    ),
    "aragonite": Sites(
        "Pnma", (5.739, 4.962, 7.971), 90.0,
        (("Ca", (0.760, 0.25, 0.415)), ("C", (0.914, 0.25, 0.762)), ("O", (0.904, 0.25, 0.922)),
         ("O", (0.913, 0.474, 0.681))),
    ),
    "perovskite": Sites(
        "Pnma", (4.929, 6.897, 4.775), 90.0,
        (("Mg", (0.556, 0.25, 0.514)), ("Si", (0.5, 0, 0)), ("O", (0.466, 0.25, 0.103)), ("O", (0.201, 0.553, 0.196))),
    ),
    "post-perovskite": Sites(
        "Cmcm", (2.456, 8.042, 6.093), 90.0,
        (("Mg", (0, 0.253, 0.25)), ("Si", (0, 0, 0)), ("O", (0, 0.923, 0.25)), ("O", (0, 0.636, 0.437))),
    ),
}  # fmt: skip
FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def phase(formula: str, name: str) -> Crystal:
    """The primitive cell of a phase, roughly at zero pressure.

    Args:
        formula: Of a transition.
        name: Its phase below or above.

    Raises:
        KeyError: There is no such phase.
    """
    if name == "diamond":
        return crystal_from_symbols(FCC * SILICON, ["Si", "Si"], np.array([[0, 0, 0], [0.25, 0.25, 0.25]]))
    if name == "beta-tin":
        a, c = TIN
        body_centred = np.array([[-a, a, c], [a, -a, c], [a, a, -c]]) / 2
        return crystal_from_symbols(body_centred, ["Si", "Si"], [[0.125, 0.875, 0.25], [0.875, 0.125, 0.75]])
    if name in MINERALS:
        return _mineral(MINERALS[name])
    cation, anion = _elements(formula)
    if name == "B4":
        a, c, u = WURTZITE[formula]
        hexagonal = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
        sites = np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]])
        return crystal_from_symbols(hexagonal, [cation, cation, anion, anion], sites)
    edge = EDGES[formula, name]
    lattice = FCC * edge if name == "B1" else np.eye(3) * edge
    return crystal_from_symbols(lattice, [cation, anion], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


def _mineral(known: Sites) -> Crystal:
    from pymatgen.core import Lattice, Structure

    lattice = Lattice.from_parameters(*known.edges, 90, 90, known.gamma)
    symbols, coords = zip(*known.orbits, strict=True)
    return Crystal.from_pymatgen(
        Structure.from_spacegroup(known.spacegroup, lattice, symbols, coords).get_primitive_structure()
    )


def _elements(formula: str) -> tuple[str, str]:
    from pymatgen.core import Composition

    cation, anion = sorted(Composition(formula).elements, key=lambda e: e.X)
    return cation.symbol, anion.symbol


HYDROGEN_X = 0.379  # of the 32f sites, lanthanum at the origin: 24 of the 32 hydrogen atoms around each of them


def lanthanum_framework(edge: float) -> Crystal:
    """Face-centred cubic lanthanum, one atom in the primitive cell.

    Args:
        edge: Of the cubic cell, in angstrom.
    """
    return crystal_from_symbols(FCC * edge, ["La"], [[0.0, 0.0, 0.0]])


def lah10(edge: float) -> Crystal:
    """LaH10 in Fm-3m: H on 8c and 32f (Liu et al., PNAS 114, 6990 (2017)), 11 atoms in the primitive cell.

    Args:
        edge: Of the cubic cell, in angstrom.
    """
    from pymatgen.core import Lattice, Structure

    x = HYDROGEN_X
    sites = [[0, 0, 0], [0.25, 0.25, 0.25], [x, x, x]]
    structure = Structure.from_spacegroup("Fm-3m", Lattice.cubic(edge), ["La", "H", "H"], sites)
    return Crystal.from_pymatgen(structure.get_primitive_structure())
