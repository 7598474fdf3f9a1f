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
    """

    formula: str
    below: str
    above: str
    gpa: float
    functional: str
    source: str


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
}  # fmt: skip

EDGES = {  # angstrom
    ("NaCl", "B1"): 5.64, ("NaCl", "B2"): 3.35, ("ZnO", "B1"): 4.28, ("CaO", "B1"): 4.81, ("CaO", "B2"): 2.90,
    ("GaN", "B1"): 4.22,
}  # fmt: skip
WURTZITE = {"ZnO": (3.25, 5.207, 0.382), "GaN": (3.19, 5.185, 0.377)}  # a, c in angstrom, u
SILICON, TIN = 5.43, (4.81, 2.65)  # angstrom: edge of diamond; a and c of beta-tin
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
    cation, anion = _elements(formula)
    if name == "B4":
        a, c, u = WURTZITE[formula]
        hexagonal = np.array([[a, 0, 0], [-a / 2, a * np.sqrt(3) / 2, 0], [0, 0, c]])
        sites = np.array([[1 / 3, 2 / 3, 0], [2 / 3, 1 / 3, 0.5], [1 / 3, 2 / 3, u], [2 / 3, 1 / 3, 0.5 + u]])
        return crystal_from_symbols(hexagonal, [cation, cation, anion, anion], sites)
    edge = EDGES[formula, name]
    lattice = FCC * edge if name == "B1" else np.eye(3) * edge
    return crystal_from_symbols(lattice, [cation, anion], np.array([[0, 0, 0], [0.5, 0.5, 0.5]]))


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
