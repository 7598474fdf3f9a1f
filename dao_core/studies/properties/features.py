"""Composition features after Magpie (Ward et al., npj Comput. Mater. 2, 16028 (2016)), from pymatgen's element table.

For every property of the elements: minimum, maximum, range, mean and average deviation, weighted by the composition,
and the value of the most abundant element. Beside them the stoichiometric norms and the shares of s, p, d and f
valence electrons. Of Magpie's 22 properties three are left out, as the table has none of them: band gap, magnetic
moment and space group of the element's crystal. Values that the table lacks stay NaN, which the trees can handle.
"""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import lru_cache
from math import nan
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS

if TYPE_CHECKING:
    from pymatgen.core import Element

ORBITALS = {"s": 2, "p": 6, "d": 10, "f": 14}  # electrons of a full shell
NORMS = (2, 3, 5, 7, 10)
PROPERTIES = (
    "number", "mendeleev", "mass", "melting_point", "column", "row", "radius", "electronegativity",
    *(f"{o}_valence" for o in ORBITALS), "valence", *(f"{o}_unfilled" for o in ORBITALS), "unfilled", "molar_volume",
)  # fmt: skip
STATISTICS = ("min", "max", "range", "mean", "deviation", "mode")
NAMES = (
    *(f"{p} {s}" for p in PROPERTIES for s in STATISTICS),
    "elements", *(f"norm {p}" for p in NORMS), *(f"{o} share" for o in ORBITALS),
)  # fmt: skip


@lru_cache(maxsize=1)
def element_table() -> NDArray[np.float64]:
    """Properties of the elements by atomic number, (101, P), NaN where the table has no value.

    Valence electrons are those of the ground state outside the noble gas core, as Magpie counts them; masses in u,
    temperatures in K, radii in angstrom, volumes in cm^3/mol.
    """
    from pymatgen.core import Element

    table = np.full((MAX_ATOMIC_NUMBER + 1, len(PROPERTIES)), nan)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "no data available": it becomes NaN
        for z in range(1, MAX_ATOMIC_NUMBER + 1):
            table[z] = _element(Element(SYMBOLS[z]))
    return table


def _element(element: Element) -> list[float]:
    valence = _valence(element)
    unfilled = [ORBITALS[o] - n if n else 0 for o, n in valence.items()]
    values = [
        element.Z, element.mendeleev_no, element.atomic_mass, element.melting_point, element.group, element.row,
        element.atomic_radius_calculated or element.atomic_radius, element.X,
        *valence.values(), sum(valence.values()), *unfilled, sum(unfilled), element.molar_volume,
    ]  # fmt: skip
    return [nan if v is None else float(v) for v in values]


def _valence(element: Element) -> dict[str, int]:
    """Electrons outside the noble gas core, by the letter of the orbital."""
    electrons = dict.fromkeys(ORBITALS, 0)
    for shell in element.electronic_structure.split("."):
        if not shell.startswith("["):  # the core, such as [Ar]
            electrons[shell[1]] += int(shell[2:])
    return electrons


def composition_features(compositions: Sequence[Mapping[int, int]]) -> NDArray[np.float64]:
    """The features of some compositions.

    Args:
        compositions: Atomic number to amount.

    Returns:
        (M, F), in the order of `NAMES`.
    """
    table = element_table()
    return np.stack([_features(composition, table) for composition in compositions])


def _features(composition: Mapping[int, int], table: NDArray[np.float64]) -> NDArray[np.float64]:
    numbers = sorted(composition)
    share = np.array([composition[z] for z in numbers], dtype=np.float64)
    share /= share.sum()
    values = table[numbers]  # (S, P)
    low, high, mean = values.min(axis=0), values.max(axis=0), share @ values
    deviation = share @ np.abs(values - mean)
    most = values[share >= share.max() - 1e-9].min(axis=0)  # of several most abundant elements the smallest, as Magpie
    statistics = np.stack([low, high, high - low, mean, deviation, most], axis=1).ravel()
    norms = [float((share**p).sum() ** (1 / p)) for p in NORMS]
    electrons = mean[[PROPERTIES.index(f"{o}_valence") for o in ORBITALS]]
    return np.concatenate([statistics, [len(numbers), *norms], electrons / max(electrons.sum(), 1e-9)])
