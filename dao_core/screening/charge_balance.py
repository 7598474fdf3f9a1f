"""Whether common oxidation states balance a formula: one state an element, or one cation in two of them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from functools import lru_cache
from itertools import pairwise

COMMON_PERCENT = 0.4  # of an element's entries in the ICSD: rarer states balance almost anything (Fe6+, Si2+, Ca+)
SUBVALENT_PERCENT = 0.1  # the same for low states that bonds between the cations make, where those may be
MIXED_BESIDE = frozenset({"O", "S", "Se", "Te", "F", "Cl", "Br", "I"})  # in GaAs or B4C nobody tells two states apart
WIDEST_MIX = 2  # states of one cation that occur side by side: Pb2+ and Pb4+, but not Mn4+ and Mn7+

_HEAVY_ALKALI = frozenset({"K", "Rb", "Cs"})
_ALKALI = _HEAVY_ALKALI | {"Na"}
_ALKALINE_EARTH = frozenset({"Ca", "Sr", "Ba"})
_S_BLOCK = _ALKALI | _ALKALINE_EARTH | {"Li", "Mg"}
_PEROXIDES = _S_BLOCK | {"H", "Zn", "Cd", "Hg"}
# anion, charge of one atom of it, and the cations that it is known with
_POLYANIONS = (
    ("O", Fraction(-1), _PEROXIDES),
    ("O", Fraction(-2, 3), _HEAVY_ALKALI),  # Rb4O6: a peroxide and two superoxides
    ("O", Fraction(-1, 2), _ALKALI | _ALKALINE_EARTH),
    ("O", Fraction(-1, 3), _ALKALI),
    ("N", Fraction(-1, 3), _S_BLOCK),
    ("I", Fraction(-1, 3), _HEAVY_ALKALI),
    ("Br", Fraction(-1, 3), _HEAVY_ALKALI - {"K"}),
)
_PEROXO_ACIDS = frozenset({"B", "C", "P", "S"})  # K2S2O8: one O-O among the oxygen atoms of the anion
FIRST_4D_ROW = 5  # of the periodic table


def balances(unit: Mapping[str, int]) -> bool:
    """Whether charges of the elements of a formula unit add to zero.

    An element's states are those that at least `COMMON_PERCENT` of its entries in the ICSD have (SMACT's count), and
    those that pymatgen calls common. The more electronegative elements are the anions, as in SMACT. One cation may be
    in two states of its own, in any ratio (Pb3O4, W18O49). Oxygen, nitrogen, iodine and bromine form polyanions with
    the cations that these are known with (KO2, CsI3). Rarer states count only where they are usual: see `_states_in`.
    Metals and alloys pass.

    Sources: Davies et al., J. Open Source Softw. 4, 1361 (2019); Ong et al., Comput. Mater. Sci. 68, 314 (2013).

    Args:
        unit: Symbol -> count.
    """
    from pymatgen.core import Element
    from smact import metals

    if len(unit) == 1 or set(unit) <= set(metals):
        return True
    states = {symbol: _states_in(symbol, unit) for symbol in unit}
    if not all(states.values()):  # argon, which has no electronegativity either
        return False
    order = sorted(unit, key=lambda symbol: (float(Element(symbol).X), symbol))
    splits = ((order[:k], order[k:]) for k in range(1, len(order)))
    return _has_polyanion(unit) or any(_split_balances(unit, states, *split) for split in splits)


def _split_balances(
    unit: Mapping[str, int], states: Mapping[str, Sequence[int]], cations: Sequence[str], anions: Sequence[str]
) -> bool:
    """Whether these cations balance these anions, each in one state, or one of the cations in two."""
    negative = [{unit[a] * state for state in states[a] if state < 0} for a in anions]
    positive = {c: {unit[c] * state for state in states[c] if state > 0} for c in cations}
    if 0 in _sums([*negative, *positive.values()]):
        return True
    for mixed in cations if anions[-1] in MIXED_BESIDE else ():
        others = _sums([*negative, *(charges for c, charges in positive.items() if c != mixed)])
        if any(_mixes(states[mixed], Fraction(-charge, unit[mixed])) for charge in others):
            return True
    return False


def _sums(choices: Iterable[set[int]]) -> set[int]:
    """All sums of one number of each set: as many as there are charges, however many ways lead to one."""
    sums = {0}
    for numbers in choices:
        sums = {total + number for total in sums for number in numbers}
    return sums


def _mixes(states: Sequence[int], mean: Fraction) -> bool:
    """Whether two neighbouring positive states, mixed in some ratio, have this mean."""
    pairs = pairwise(state for state in states if state > 0)
    return any(low <= mean <= high and high - low <= WIDEST_MIX for low, high in pairs)


def _has_polyanion(unit: Mapping[str, int]) -> bool:
    """Whether the formula is a peroxide, superoxide, ozonide, azide, trihalide, peroxo salt or Ag2F."""
    for anion, charge, known_with in _POLYANIONS:
        others = {symbol: n for symbol, n in unit.items() if symbol != anion}
        if anion in unit and set(others) <= known_with and -charge * unit[anion] in _cation_charges(others):
            return True
    others = {symbol: n for symbol, n in unit.items() if symbol != "O"}
    acid, rest = set(others) & _PEROXO_ACIDS, set(others) - _PEROXO_ACIDS
    if acid and rest and rest <= _S_BLOCK | {"H"}:
        oxides = 2 * unit.get("O", 0)
        return not _cation_charges(others).isdisjoint({oxides - 2, oxides - 1})  # one O-O for one or two formula units
    return dict(unit) == {"Ag": 2, "F": 1}  # held together by Ag-Ag bonds


def _cation_charges(unit: Mapping[str, int]) -> set[int]:
    return _sums({n * state for state in _states(symbol) if state > 0} for symbol, n in unit.items())


def _states_in(symbol: str, unit: Mapping[str, int]) -> tuple[int, ...]:
    """States of an element in this formula, lowest first: the common ones and those that its partners allow.

    Oxygen and fluorine take d-block metals to their highest states: those of 4d and 5d metals alone (RuO4, PtF6),
    others only beside alkali or alkaline-earth metals (K2FeO4). Binary chlorides, bromides and iodides have bonds
    between the cations, which lower the state (ZrCl, Si2Cl6, Y2Cl3).
    """
    from pymatgen.core import Element

    states, element, others = set(_states(symbol)), Element(symbol), set(unit) - {symbol}
    least = min((state for state in states if state > 0), default=0)
    metals = others - {"O", "F"}
    if element.block == "d" and others & {"O", "F"} and metals <= _S_BLOCK and (metals or element.row >= FIRST_4D_ROW):
        states |= {state for state in element.oxidation_states if state > least}
    if len(unit) == 2 and others & {"Cl", "Br", "I"}:
        states |= {state for state in _counted(SUBVALENT_PERCENT).get(symbol, ()) if 0 < state < least}
    return tuple(sorted(states))


@lru_cache(maxsize=128)
def _states(symbol: str) -> tuple[int, ...]:
    """Common oxidation states of an element."""
    from pymatgen.core import Element

    element = Element(symbol)
    if symbol == "O":  # what else it can be, the cations decide: see `_POLYANIONS`
        return (-2,)
    anions = {state for state in element.oxidation_states if state < 0 and element.block == "p"}  # Pb4- of Ca3PbO
    common = {state for state in element.common_oxidation_states if state}
    return tuple(anions | common | set(_counted(COMMON_PERCENT).get(symbol, ())))


@lru_cache(maxsize=2)
def _counted(percent: float) -> dict[str, tuple[int, ...]]:
    """Element -> states that this part of its entries in the ICSD have."""
    from smact.utils.oxidation import ICSD24OxStatesFilter

    table = ICSD24OxStatesFilter().filter(commonality=percent)
    rows = zip(table["element"], table["oxidation_state"], strict=True)
    return {str(element): tuple(int(state) for state in str(states).split()) for element, states in rows}
