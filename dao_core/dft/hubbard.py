"""Hubbard U: whose values, on which crystals, and how pw.x of which version is told.

Off by default: energies with U do not meet those without. The table's values are the Materials Project's (Jain et al.,
Phys. Rev. B 84, 045115 (2011); Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107 (2006)) for d shells of oxides and
fluorides; what the user gives goes on the element in any crystal, as in an input of pw.x.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from dao_core.crystal import Crystal

HubbardChoice = Literal["none", "mp", "hp"]
HubbardForm = Literal["namelist", "card"]
MP_VALUES = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}  # eV
RESPONDING = {"Ti", "Cu", *MP_VALUES}  # whose open d shell gets a U without being named
ANIONS = {"O", "F"}
LARGEST_U = 15.0  # eV; published values lie between 0 and 12, others are a slip or come of too few k- or q-points
# the shell on which pw.x 6.7 puts the U of an element (tried with each); the card of 7.1 names the same one
SHELLS = {
    element: shell
    for shell, elements in {
        "1s": "H",
        "2p": "C N O",
        "3d": "Ti V Cr Mn Fe Co Ni Cu Zn Ga",
        "4p": "As",
        "4d": "Zr Nb Mo Tc Ru Rh Pd Ag Cd In",
        "5d": "Hf Ta W Re Os Ir Pt Au Hg",
        "4f": "Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu",
        "5f": "Th Pa U Np Pu Am Cm Bk Cf",
    }.items()
    for element in elements.split()
}
CARD_SINCE = (7, 1)  # the first version of pw.x that reads the card HUBBARD


def checked_u(values: dict[str, float]) -> dict[str, float]:
    """Values of U as a user may give them. Raises ValueError where an element has no shell, or a shell no such U."""
    for element, u in values.items():
        if element not in SHELLS:
            meant = element.strip().capitalize()
            advice = f"did you mean {meant}?" if meant in SHELLS else "give symbols such as Fe"
            raise ValueError(f"pw.x knows no shell of {element!r} for U: {advice}")
        if not 0.0 < u <= LARGEST_U:
            raise ValueError(f"U of {element} is {u:g} eV: give one above 0 and at most {LARGEST_U:g}, or leave it out")
    return values


def hubbard_values(
    crystal: Crystal, choice: HubbardChoice, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """U (eV) of each element of a crystal that gets one; empty where none does.

    Args:
        crystal: The structure.
        choice: "none", "mp" (a table for oxides and fluorides) or "hp" (from the crystal's own response, see
            `linear_response`, which puts it among the given values).
        given: Values by element; they hold in any crystal, with any choice, and replace the table's.
    """
    table = {e: MP_VALUES[e] for e in response_elements(crystal) if e in MP_VALUES} if choice == "mp" else {}
    values = {**table, **(given or {})}
    return {element: values[element] for element in sorted(set(crystal.symbols)) if element in values}


def response_elements(crystal: Crystal) -> tuple[str, ...]:
    """The elements of an oxide or fluoride whose open d shell gets a U of a table or of the response."""
    symbols = set(crystal.symbols)
    return tuple(sorted(symbols & RESPONDING)) if symbols & ANIONS else ()


def without_value(crystal: Crystal, choice: HubbardChoice, given: Mapping[str, float] | None = None) -> tuple[str, ...]:
    """Magnetic elements that have no U although the others have, so that the user hears of it.

    Args:
        crystal: The compound.
        choice: Which set of values is used.
        given: Values that replace the table's, eV by element.

    Returns:
        Symbols of d and f elements of an oxide or fluoride without an entry.
    """
    from dao_core.dft.magnetism.moments import METAL_MOMENTS

    symbols = set(crystal.symbols)
    if choice == "none" or not symbols & ANIONS:
        return ()
    with_u = hubbard_values(crystal, choice, given)
    return tuple(sorted(e for e in symbols if e in METAL_MOMENTS and e not in with_u))


def hubbard_label(values: Mapping[str, float]) -> str:
    """U as part of the name of an energy, such as "U(Ni-3d 6.2)"."""
    return "U(" + ", ".join(f"{e}-{SHELLS[e]} {u:g}" for e, u in sorted(values.items())) + ")" if values else ""


class UnknownVersionError(ValueError):
    """U is asked for, and nobody knows which version of pw.x will read the input; the message says what to do."""


def hubbard_form(version: str) -> HubbardForm:
    """How a version of pw.x reads U: the card `HUBBARD` since 7.1, `lda_plus_u` before.

    Args:
        version: As pw.x prints it, such as "6.7MaX" or "7.3.1".
    """
    numbers = [int(x) for x in re.findall(r"\d+", version)[:2]]
    return "card" if tuple(numbers) >= CARD_SINCE else "namelist"


def hubbard_namelist(values: Mapping[str, float], species: list[str]) -> dict[str, object]:
    """U in the old form of pw.x, for `&system`.

    Args:
        values: eV by element.
        species: Names in the order of the card ATOMIC_SPECIES, counted from 1.

    Returns:
        Entries of the namelist.
    """
    out: dict[str, object] = {"lda_plus_u": True}
    for number, name in enumerate(species, start=1):
        element = name.rstrip("0123456789")
        if element in values:
            out[f"hubbard_u({number})"] = values[element]
    return out


def hubbard_card(values: Mapping[str, float], species: list[str]) -> str:
    """U in the new form of pw.x: one line a species, species that only differ in spin included.

    Args:
        values: eV by element.
        species: Names in the order of the card ATOMIC_SPECIES.

    Returns:
        The card HUBBARD.
    """
    lines = ["HUBBARD {atomic}"]
    for name in species:
        element = name.rstrip("0123456789")
        if element in values:
            lines.append(f"U {name}-{SHELLS[element]} {values[element]:g}")
    return "\n".join(lines) + "\n"
