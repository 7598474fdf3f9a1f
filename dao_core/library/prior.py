"""How likely each known polymorph of a composition is the one that is meant, before any energy of ours."""

from __future__ import annotations

from collections.abc import Sequence
from math import exp, log

from dao_core.library.known import KnownStructure

# Fitted by benchmarks/known_prior.py on compositions of MP-20's validation split with several known polymorphs whose
# listed structure lies on the hull: who asks for a composition wants its stable structure.
SCALE = 0.03  # eV/atom of the library's own hull distance
# eV/atom: the lowest structure of a composition counts as no higher. A little above the hull it may not be the stable
# one, which the library then has without an energy (rutile SnO2); far above it other compounds or errors of PBE have
# lifted all of them (ammonium nitrate, 0.19).
HIGHEST_LOWEST = 0.06
SMALL_CELL, CELL_EXPONENT = 6, 1.0  # larger cells are less likely by (n / SMALL_CELL)^-CELL_EXPONENT: polytypes
LARGEST_FITTED = 20  # atoms: the fit saw no larger cell, so none counts as less likely than one of this size
NO_ENERGY = 1.5  # log-odds against a structure of which the library has no energy
# A structure measured n times is (1 + n)^MEASURED_EXPONENT times as likely (benchmarks/known_prior.py). Of 95 textbook
# forms the prior alone puts 93 first with 1 and 88 with 0, mean log share -0.28 and -0.41. What is lowest in a
# calculation follows it less: of 125 compositions 94 and 96, -0.78 and -0.75, and fewer with 1.5 (87).
MEASURED_EXPONENT = 1.0
KNOWN_SHARE = 0.87  # how often the structure that is asked for is one of the known ones


def known_log_priors(known: Sequence[KnownStructure]) -> list[float]:
    """Log of the probability that each known polymorph of one composition is the one that is meant.

    Args:
        known: All of them.

    Returns:
        One value each, in order; the probabilities add up to KNOWN_SHARE.
    """
    if not known:
        return []
    lowest = min((k.e_above_hull for k in known if k.e_above_hull is not None), default=0.0)
    weights = [_weight(k, max(0.0, lowest - HIGHEST_LOWEST)) for k in known]
    highest = max(weights)
    total = highest + log(sum(exp(w - highest) for w in weights))
    return [w - total + log(KNOWN_SHARE) for w in weights]


def _weight(known: KnownStructure, lift: float) -> float:
    n_atoms = min(max(known.crystal.n_atoms, SMALL_CELL), LARGEST_FITTED)
    size = CELL_EXPONENT * log(n_atoms / SMALL_CELL)
    measured = MEASURED_EXPONENT * log(1 + known.n_measured)
    return measured - size - (NO_ENERGY if known.e_above_hull is None else (known.e_above_hull - lift) / SCALE)


def energy_found_later(above_lowest: float) -> float:
    """What to add to the log prior of a structure without an energy in the library once somebody has found it.

    Args:
        above_lowest: Above the lowest structure of the composition, eV/atom, at least 0.
    """
    return NO_ENERGY - above_lowest / SCALE
