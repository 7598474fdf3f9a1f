"""Starting moments by element and oxidation state, and what became of them.

A start is a guess of the spin, not a result: too small a one lets the SCF fall into the non-magnetic solution, which is
a local minimum of many magnets.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal

from dao_core.crystal import Crystal

# Bohr magnetons an atom, for metals and where no oxidation state is known
METAL_MOMENTS: dict[str, float] = {
    "V": 2.0, "Cr": 3.0, "Mn": 4.0, "Fe": 3.0, "Co": 2.0, "Ni": 1.0,
    "Ce": 1.0, "Pr": 2.0, "Nd": 3.0, "Pm": 4.0, "Sm": 5.0, "Eu": 7.0, "Gd": 7.0, "Tb": 6.0, "Dy": 5.0, "Ho": 4.0,
    "Er": 3.0, "Tm": 2.0, "Yb": 1.0, "U": 3.0, "Np": 4.0, "Pu": 5.0,
}  # fmt: skip
# may carry a moment as an ion, are no magnets as metals
ION_ELEMENTS = {"Ti", "Cu", "Mo", "Ru", "Re", "Os", "Ir"}
# valence electrons of the neutral atom in s and d
D_GROUPS = {
    "Ti": 4, "V": 5, "Cr": 6, "Mn": 7, "Fe": 8, "Co": 9, "Ni": 10, "Cu": 11,
    "Mo": 6, "Ru": 8, "Re": 7, "Os": 8, "Ir": 9,
}  # fmt: skip
F_ELECTRONS_OF_3PLUS = {
    "Ce": 1, "Pr": 2, "Nd": 3, "Pm": 4, "Sm": 5, "Eu": 6, "Gd": 7, "Tb": 8, "Dy": 9, "Ho": 10, "Er": 11, "Tm": 12,
    "Yb": 13, "U": 3, "Np": 4, "Pu": 5,
}  # fmt: skip
ANIONS = {"O", "F", "S", "Cl", "Br", "I", "Se", "Te", "N", "P", "As", "Sb"}
FIRST_WITH_F = 90  # of the actinoids, thorium is the last without f electrons
LARGEST_GUESS = 50_000  # combinations of oxidation states that pymatgen may go through: about a second
COLLAPSED_BELOW = 0.1  # Bohr magnetons, of a site that started with a moment
MomentChange = Literal["kept", "collapsed", "flipped"]


def magnetic_elements(crystal: Crystal) -> dict[str, float]:
    """Elements that ask for a spin-polarised calculation, with their starting moment.

    High spin of the d or f shell that the oxidation state leaves; metals take the moments of the elements.

    Args:
        crystal: The structure; its composition decides on oxidation states.

    Returns:
        Element -> moment in Bohr magnetons, only those above zero.
    """
    states = oxidation_states(crystal)
    moments = {element: starting_moment(element, states.get(element)) for element in sorted(set(crystal.symbols))}
    return {element: moment for element, moment in moments.items() if moment > 0}


def starting_moment(element: str, oxidation_state: float | None = None) -> float:
    """High-spin moment (Bohr magnetons) of an element, 0 for one that carries none.

    Args:
        element: Its symbol.
        oxidation_state: As an ion; None for a metal or where it is not known.
    """
    if oxidation_state is None:
        return METAL_MOMENTS.get(element, 0.0)
    if element in D_GROUPS:
        n = D_GROUPS[element] - oxidation_state
        return max(0.0, float(min(n, 10 - n)))
    if element in F_ELECTRONS_OF_3PLUS:
        n = F_ELECTRONS_OF_3PLUS[element] + 3 - oxidation_state
        return max(0.0, float(min(n, 14 - n)))
    return 0.0


def oxidation_states(crystal: Crystal) -> dict[str, float]:
    """The likeliest oxidation state of each element (pymatgen's guess); empty for metals and where none balances.

    It is empty too where magnetic elements share a state that is not whole: charge balance fixes the mean state of one
    mixed-valent element, between two the guess is arbitrary (in K2Fe5Mn3O16 it is Fe +2.8 and Mn +5.33).
    """
    symbols = set(crystal.symbols)
    if not symbols & ANIONS:
        return {}
    if not symbols & (set(METAL_MOMENTS) | ION_ELEMENTS):
        return {}
    states = _guess(crystal)
    magnetic = [states[e] for e in symbols if e in states and (e in D_GROUPS or e in F_ELECTRONS_OF_3PLUS)]
    if len(magnetic) > 1 and not all(state.is_integer() for state in magnetic):
        return {}
    return states


def _guess(crystal: Crystal) -> dict[str, float]:
    """The likeliest oxidation states by pymatgen; empty where none balances or there are too many to try."""
    counts = [crystal.symbols.count(element) for element in sorted(set(crystal.symbols))]
    formula = zip(sorted(set(crystal.symbols)), (n // math.gcd(*counts) for n in counts), strict=True)
    return dict(_guess_of(tuple(formula)))


@lru_cache(maxsize=1024)
def _guess_of(formula: tuple[tuple[str, int], ...]) -> tuple[tuple[str, float], ...]:
    """The guess for a reduced formula, once: every input of the same composition asks for it."""
    from pymatgen.core import Composition, Element

    work, sums = 0, 1  # pymatgen tries all states on the atoms of each element, then all sums of all elements
    for symbol, n in formula:
        states = Element(symbol).icsd_oxidation_states or Element(symbol).common_oxidation_states
        if not states:
            return ()
        combinations = math.comb(n + len(states) - 1, n)
        work += n * combinations
        sums *= min(combinations, n * (max(states) - min(states)) + 1)
    if work + sums // 2 > LARGEST_GUESS:
        return ()
    guesses = Composition(dict(formula)).oxi_state_guesses()
    return tuple((str(e), float(state)) for e, state in guesses[0].items()) if guesses else ()


def without_moment(crystal: Crystal) -> tuple[str, ...]:
    """Elements whose d or f shell stays open in a compound and for which no starting moment is known.

    Such a crystal is computed without their spin, and its user should hear of it. In a metal none is expected.
    """
    from pymatgen.core import Element

    unknown = [e for e in sorted(set(crystal.symbols)) if _unknown_shell(e)]
    if not unknown or not set(crystal.symbols) & ANIONS:
        return ()
    states = _guess(crystal)
    # a shell that the oxidation state empties or fills is closed; without a state nobody knows
    return tuple(e for e in unknown if e not in states or Element(e).is_actinoid
                 or 0 < int(Element(e).group) - states[e] < 10)  # fmt: skip


def _unknown_shell(symbol: str) -> bool:
    from pymatgen.core import Element

    element = Element(symbol)
    if symbol in METAL_MOMENTS or symbol in D_GROUPS or symbol in F_ELECTRONS_OF_3PLUS or element.is_lanthanoid:
        return False
    return element.Z > FIRST_WITH_F if element.is_actinoid else element.is_transition_metal and 3 < element.group < 12


@dataclass(frozen=True)
class MomentReport:
    """Moments of one calculation.

    Attributes:
        start: Starting moments per site, Bohr magnetons.
        final: Moments per site of the last step, integrated in spheres by pw.x; None where it printed none.
        total: Total magnetisation of the cell.
        absolute: Integral of its absolute value; far above |total| for an antiferromagnet.
        changes: Per site: kept, collapsed (below `COLLAPSED_BELOW`) or flipped against the other sites.
    """

    start: tuple[float, ...]
    final: tuple[float, ...] | None = None
    total: float | None = None
    absolute: float | None = None
    changes: tuple[MomentChange, ...] = ()

    def warning(self, symbols: Sequence[str]) -> str:
        """One clause that names the sites whose moments did not stay as they started; empty where all did."""
        words = [
            f"{symbol}{i + 1} {change}"
            for i, (symbol, change) in enumerate(zip(symbols, self.changes, strict=False))
            if change != "kept"
        ]
        return f"moments changed: {', '.join(words)}" if words else ""


def moment_changes(start: Sequence[float], final: Sequence[float]) -> tuple[MomentChange, ...]:
    """What became of each starting moment; turning all of them around is no change.

    Args:
        start: Starting moments, Bohr magnetons; zero for sites that were given none.
        final: Moments at the end, of the same sites.
    """
    overlap = sum(a * b for a, b in zip(start, final, strict=True))
    sign = -1.0 if overlap < 0 else 1.0
    out: list[MomentChange] = []
    for a, b in zip(start, final, strict=True):
        if abs(a) < 0.5:  # a neighbour of the magnetic sites
            out.append("kept")
        elif abs(b) < COLLAPSED_BELOW:
            out.append("collapsed")
        else:
            out.append("flipped" if a * b * sign < 0 else "kept")
    return tuple(out)


def site_fractions(
    moments: Sequence[float], symbols: Sequence[str], z_valence: Mapping[str, float]
) -> tuple[float, ...]:
    """Starting magnetisations as pw.x takes them.

    Args:
        moments: Bohr magnetons, one a site.
        symbols: One a site.
        z_valence: Valence electrons by symbol.

    Returns:
        Fractions of the valence, -1 to 1, one a site.
    """
    values = (m / z_valence[s] for m, s in zip(moments, symbols, strict=True))
    return tuple(max(-1.0, min(1.0, round(v, 4))) for v in values)
