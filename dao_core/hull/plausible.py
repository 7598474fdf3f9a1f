"""How low a formation energy can be, by the chemistry of its elements: what lies below is a wrong number.

Pauling (The Nature of the Chemical Bond, 1960, chapter 3): a bond between unlike atoms is stronger than the mean of the
two like ones by the square of the difference of their electronegativities, in eV. Bonds are counted by valences, the
strongest pair of elements first. The bound follows the square root of that sum, as real formation energies do (strong
bonds are won from strongly bound elements), with an offset for alloys.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from itertools import combinations
from math import sqrt

from dao_core.elements import SYMBOLS

# Of 66,453 published formation energies three lie below this bound, by 0.8 eV/atom and more. All are of one table of
# 2018, and the total energies of two contradict them (the third has none beside it). The next lies 0.06 eV/atom above
# the bound (benchmarks/implausible_energies.py).
ALLOYS, BONDS = 0.9, 1.65  # eV/atom; eV/atom per square root of eV/atom
ELEMENT = 0.1  # eV/atom: no element lies further below its own reference


def lowest_formation_energy(counts: Mapping[int, int]) -> float:
    """The formation energy below which a composition's value is wrong.

    Args:
        counts: Atomic number -> atoms.

    Returns:
        eV/atom, negative.
    """
    if len(counts) == 1:
        return -ELEMENT
    return -(ALLOYS + BONDS * sqrt(bond_energy(counts)))


def bond_energy(counts: Mapping[int, int]) -> float:
    """Pauling's extra energy of all bonds between unlike atoms.

    Args:
        counts: Atomic number -> atoms.

    Returns:
        eV/atom, zero or positive.
    """
    free = dict.fromkeys(counts, 1.0)  # share of each element's valences that is not bound yet
    total = 0.0
    pairs = [(_electronegativity(a) - _electronegativity(b), a, b) for a, b in combinations(sorted(counts), 2)]
    for difference, a, b in sorted(pairs, key=lambda p: -abs(p[0])):
        giver, taker = (b, a) if difference > 0 else (a, b)
        gives, takes = _given(giver) * counts[giver], _taken(taker) * counts[taker]
        bonds = min(free[giver] * gives, free[taker] * takes)
        if bonds > 0:
            total += bonds * difference**2
            free[giver] -= bonds / gives
            free[taker] -= bonds / takes
    return total / sum(counts.values())


@lru_cache(maxsize=128)
def _electronegativity(z: int) -> float:
    """Pauling's; helium, neon and argon, which have none, are taken as krypton."""
    from pymatgen.core import Element

    return float(Element("Kr" if z in (2, 10, 18) else SYMBOLS[z]).X)


@lru_cache(maxsize=128)
def _given(z: int) -> int:
    """Most electrons that an element gives away."""
    from pymatgen.core import Element

    return int(max((s for s in Element(SYMBOLS[z]).oxidation_states if s > 0), default=1))


@lru_cache(maxsize=128)
def _taken(z: int) -> int:
    """Electrons that an element takes up: to the next noble gas from group 13 on; two for a metal, one for hydrogen."""
    from pymatgen.core import Element

    group = int(Element(SYMBOLS[z]).group)
    if z == 1:
        return 1
    if group == 13:
        return 3
    return 18 - group if 14 <= group <= 17 else 2
