"""The fixed element table: symbols and numbers, without any import heavier than the standard library.

Descriptors that need pymatgen are computed on first use (`element_descriptors`).
"""

from __future__ import annotations

import warnings
from collections import Counter
from collections.abc import Sequence
from functools import lru_cache
from math import gcd
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from pymatgen.core import Element

SYMBOLS: tuple[str, ...] = tuple(
    (  # noqa: SIM905 - a hundred quoted strings are harder to read
        "X H He Li Be B C N O F Ne Na Mg Al Si P S Cl Ar K Ca Sc Ti V Cr Mn Fe Co Ni Cu Zn Ga Ge As Se Br Kr "
        "Rb Sr Y Zr Nb Mo Tc Ru Rh Pd Ag Cd In Sn Sb Te I Xe Cs Ba La Ce Pr Nd Pm Sm Eu Gd Tb Dy Ho Er Tm Yb Lu "
        "Hf Ta W Re Os Ir Pt Au Hg Tl Pb Bi Po At Rn Fr Ra Ac Th Pa U Np Pu Am Cm Bk Cf Es Fm"
    ).split()
)
MAX_ATOMIC_NUMBER = len(SYMBOLS) - 1  # 100
_NUMBER = {symbol: z for z, symbol in enumerate(SYMBOLS) if z > 0}


class UnknownElementError(ValueError):
    """A symbol that is not an element from H to Fm."""


def atomic_number(symbol: str) -> int:
    """Atomic number of an element symbol. Raises UnknownElementError by name."""
    try:
        return _NUMBER[symbol]
    except KeyError:
        raise UnknownElementError(f"unknown element {symbol!r}: use a symbol from H to Fm") from None


@lru_cache(maxsize=65536)
def _formula_of_counts(counts: tuple[tuple[int, int], ...]) -> str:
    from pymatgen.core import Composition

    return Composition({SYMBOLS[z]: n for z, n in counts}).reduced_formula


def reduced_counts(atomic_numbers: NDArray[np.integer] | Sequence[int]) -> tuple[tuple[int, int], ...]:
    """((atomic number, count), ...) divided by the greatest common divisor, ascending."""
    counts = Counter(atomic_numbers.tolist() if isinstance(atomic_numbers, np.ndarray) else atomic_numbers)
    divisor = gcd(*counts.values())
    return tuple((z, counts[z] // divisor) for z in sorted(counts))


def reduced_formula(atomic_numbers: NDArray[np.integer] | Sequence[int]) -> str:
    """Reduced formula in pymatgen's order, such as SrTiO3."""
    return _formula_of_counts(reduced_counts(atomic_numbers))


def chemical_system(atomic_numbers: NDArray[np.integer] | Sequence[int]) -> str:
    """Alphabetical chemical system, such as O-Sr-Ti."""
    return "-".join(sorted({SYMBOLS[int(z)] for z in atomic_numbers}))


def _one_hot(index: int, size: int) -> list[float]:
    return [1.0 if i == index else 0.0 for i in range(size)]


def _binned(values: list[float | None], *, bins: int = 10, log: bool = False) -> NDArray[np.float64]:
    """One-hot in equal-width bins between the table's extremes; all zero where the value is unknown. (100, bins)."""
    x = np.array([np.nan if v is None else v for v in values], dtype=float)
    if log:
        x = np.log(x)
    low, high = np.nanmin(x), np.nanmax(x)
    out = np.zeros((len(x), bins))
    for i, v in enumerate(x):
        if np.isfinite(v):
            out[i, min(int((v - low) / (high - low) * bins), bins - 1)] = 1.0
    return out


@lru_cache(maxsize=1)
def element_descriptors() -> NDArray[np.float64]:
    """CGCNN-style element vectors, (101, 92); row 0 is the padding atom (zeros).

    One-hot group (18), period (9), block (4), valence electrons (12) and ten bins each of electronegativity, covalent
    radius, ionisation energy, electron affinity and molar volume (9 bins), from pymatgen's and ASE's tables. Same idea
    and width as Xie and Grossman, Phys. Rev. Lett. 120, 145301 (2018).
    """
    from pymatgen.core import Element

    elements = [Element(SYMBOLS[z]) for z in range(1, MAX_ATOMIC_NUMBER + 1)]
    discrete = [
        np.array([_one_hot(e.group - 1, 18) for e in elements]),
        np.array([_one_hot(e.row - 1, 9) for e in elements]),
        np.array([_one_hot("spdf".index(e.block), 4) for e in elements]),
        np.array([_one_hot(min(_valence_electrons(e), 12) - 1, 12) for e in elements]),
    ]
    table = np.concatenate([*discrete, *_continuous(elements)], axis=1)  # (100, 92)
    return np.concatenate([np.zeros((1, table.shape[1])), table])


def _continuous(elements: list[Element]) -> list[NDArray[np.float64]]:
    from ase.data import covalent_radii

    def known(value: object) -> float | None:
        try:
            number = float(value)  # type: ignore[arg-type]
        except (TypeError, ValueError):
            return None
        return number if np.isfinite(number) and number != 0.0 else None

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pymatgen announces every value it does not have; those become all-zero bins
        return [
            _binned([known(e.X) for e in elements]),
            _binned([known(covalent_radii[e.Z]) for e in elements]),
            _binned([known(e.ionization_energy) for e in elements], log=True),
            _binned([known(e.electron_affinity) for e in elements]),
            _binned([known(e.molar_volume) for e in elements], bins=9, log=True),
        ]


def _valence_electrons(element: Element) -> int:
    """Electrons outside the noble-gas core, without a filled d or f shell below (12 at most are told apart)."""
    group, block = element.group, element.block
    if block in "sd":
        return int(group)
    if block == "p":
        return int(group) - 10 if element.Z != 2 else 2
    return int(element.Z) - (54 if element.Z < 72 else 86)
