"""Hubbard U on d and f shells: whose values, on which crystals, and how pw.x of which version is told.

Off by default: energies with U do not meet those without. The values are the Materials Project's (Jain et al., Phys.
Rev. B 84, 045115 (2011); Wang, Maxisch and Ceder, Phys. Rev. B 73, 195107 (2006)) for oxides and fluorides.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Literal

from dao_core.crystal import Crystal

HubbardChoice = Literal["none", "mp", "hp"]
HubbardForm = Literal["namelist", "card"]
MP_VALUES = {"Co": 3.32, "Cr": 3.7, "Fe": 5.3, "Mn": 3.9, "Mo": 4.38, "Ni": 6.2, "V": 3.25, "W": 6.2}  # eV
SHELLS = {
    "Ti": "3d",
    "Cu": "3d",
    "V": "3d",
    "Cr": "3d",
    "Mn": "3d",
    "Fe": "3d",
    "Co": "3d",
    "Ni": "3d",
    "Mo": "4d",
    "W": "5d",
}
ANIONS = {"O", "F"}
CARD_SINCE = (7, 1)  # the first version of pw.x that reads the card HUBBARD


def hubbard_values(
    crystal: Crystal, choice: HubbardChoice, given: Mapping[str, float] | None = None
) -> dict[str, float]:
    """U (eV) of each element of a crystal that gets one; empty where none does.

    Args:
        crystal: The structure; only oxides and fluorides have values.
        choice: "none", "mp" (a table) or "hp" (from the crystal's own response, see `linear_response`).
        given: Values that replace the table's, by element; with "hp" those of the response.
    """
    if choice == "none":
        return {}
    values = {**(MP_VALUES if choice == "mp" else {}), **(given or {})}
    return {element: values[element] for element in response_elements(crystal) if element in values}


def response_elements(crystal: Crystal) -> tuple[str, ...]:
    """The elements of an oxide or fluoride whose d shell may get a U."""
    symbols = set(crystal.symbols)
    return tuple(sorted(symbols & set(SHELLS))) if symbols & ANIONS else ()


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
