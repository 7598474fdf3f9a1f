"""The order of the candidates: one posterior from what was likely, an energy, and how wrong that energy may be."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dao_core.library.prior import HIGHEST_LOWEST, energy_found_later
from dao_core.screening.calibration import Calibration, Context, ContextCalibration, context_of, shipped_calibration
from dao_core.screening.judged_energies import USUAL_FALL, believed_energies, end_of
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate
    from dao_core.screening.settings import Order

UNNAMED, LIBRARY = "other", "library"
UNKNOWN_PRIOR_RANK = 0.0  # a candidate of unknown prior counts as much as its formula's best known one
NEVER = -1e9  # log-probability of what is not usable


@dataclass(frozen=True)
class RankingRule:
    """How to rank.

    Attributes:
        names: Identity of an energy model -> the name under which its errors are known.
        order: By probability, by what is likely listed (no energies), or by the lowest energy.
        calibration: The fitted numbers.
    """

    names: Mapping[str, str] = field(default_factory=dict)
    order: Order = "probability"
    calibration: Calibration = field(default_factory=shipped_calibration)

    def temperature(self, identity: str | None, context: Context) -> float:
        """How much an energy model's differences count.

        Args:
            identity: Of the model; an unknown one and None count as unnamed.
            context: What the library knows of the compound: its composition, its prototype or neither.

        Returns:
            eV/atom.
        """
        temperatures = self.calibration.contexts[context].temperature
        return temperatures.get(self.names.get(identity or "", UNNAMED), temperatures[UNNAMED])

    def error(self, identity: str | None) -> float:
        """Of an energy model's differences between polymorphs, eV/atom."""
        errors = self.calibration.error
        return errors.get(self.names.get(identity or "", UNNAMED), errors[UNNAMED])


DEFAULT_RULE = RankingRule()


def probability_stable(e_above_hull: float, energy_std: float, *, threshold: float = STABLE_BELOW) -> float:
    """P(energy above hull <= threshold) when the error follows a Laplace distribution.

    Errors of DAO-P do (docs/images/spread.png): more small and more large ones than a normal distribution has.

    Args:
        e_above_hull: eV/atom.
        energy_std: Standard deviation of the error, eV/atom; zero gives 0 or 1.
        threshold: eV/atom.

    Returns:
        A probability in [0, 1].

    Raises:
        ValueError: The spread is negative or not finite.
    """
    if not (math.isfinite(energy_std) and energy_std >= 0):
        raise ValueError(f"energy_std is {energy_std}: give a finite spread >= 0, or leave P(stable) unknown")
    margin = threshold - e_above_hull
    if energy_std == 0:
        return 1.0 if margin >= 0 else 0.0
    tail = 0.5 * math.exp(-math.sqrt(2) * abs(margin) / energy_std)
    return 1.0 - tail if margin >= 0 else tail


def with_stability(candidates: Iterable[Candidate], *, threshold: float = STABLE_BELOW) -> list[Candidate]:
    """Fill `p_stable` where both the distance to the hull and the spread are known; elsewhere it stays None.

    Args:
        candidates: Placed on a hull.
        threshold: Distance up to which a candidate counts as stable, eV/atom.

    Returns:
        The candidates in the same order.
    """
    out = []
    for c in candidates:
        known = c.e_above_hull is not None and c.energy_std is not None
        p = probability_stable(c.e_above_hull, c.energy_std, threshold=threshold) if known else None  # type: ignore[arg-type]
        out.append(c.replace(p_stable=p))
    return out


def with_measured_spread(candidates: Iterable[Candidate], rule: RankingRule) -> list[Candidate]:
    """Fill `energy_std` of candidates whose energy model knows no spread of its own, where its error was measured.

    Measured is the mean error of differences; errors of a Laplace distribution spread sqrt(2) times that.

    Args:
        candidates: Any.
        rule: With the measured error of each energy model, eV/atom.

    Returns:
        The candidates in the same order.
    """
    out = []
    for c in candidates:
        measured = rule.names.get(c.energy_identity or "", UNNAMED) != UNNAMED
        fills = c.relaxed and c.energy_std is None and measured
        out.append(c.replace(energy_std=math.sqrt(2) * rule.error(c.energy_identity)) if fills else c)
    return out


def by_formula(candidates: Iterable[Candidate]) -> dict[str, list[Candidate]]:
    """Candidates of each reduced formula, in the order given."""
    groups: dict[str, list[Candidate]] = {}
    for c in candidates:
        groups.setdefault(c.formula, []).append(c)
    return groups


def deciding_identity(candidates: Iterable[Candidate]) -> str | None:
    """Whose energies decide among the candidates of one formula: the judge's, where any was judged."""
    usable = [c for c in candidates if c.usable]
    judged = [c for c in usable if c.judged]
    return next((c.energy_identity for c in judged or usable), None)


def ground_states(candidates: Iterable[Candidate]) -> dict[str, float]:
    """Lowest energy per atom of each formula (eV/atom) in the energies that decide, whatever the number of units."""
    best: dict[str, float] = {}
    for formula, group in by_formula(candidates).items():
        identity = deciding_identity(group)
        energies = [
            c.energy_per_atom
            for c in group
            if c.usable and c.energy_per_atom is not None and c.energy_identity == identity
        ]
        if energies:
            best[formula] = min(energies)
    return best


def relative_energy(candidate: Candidate, best: Mapping[str, float], identity: str | None = None) -> float | None:
    """Energy above the lowest polymorph of the same formula.

    Args:
        candidate: One of the formula.
        best: Reduced formula -> lowest energy, eV/atom.
        identity: The energy model that decides; None takes any.

    Returns:
        eV/atom; None without a usable energy, and where the energy is not of the model that decides.
    """
    if not candidate.usable or candidate.energy_per_atom is None or candidate.formula not in best:
        return None
    if identity is not None and candidate.energy_identity != identity:
        return None
    return candidate.energy_per_atom - best[candidate.formula]


def with_probability(candidates: Iterable[Candidate], rule: RankingRule = DEFAULT_RULE) -> list[Candidate]:
    """Fill `probability` and `undecided`.

    The posterior of a structure is its prior times exp(-dE / T), where T is the fitted temperature of the energy model.
    Structures with a judge's energy share among them what they have together by the first model's energies, so that
    energies of two models are never compared. Of a known structure without an energy in the library, which its prior
    counts against it, the judge's energy says what the library could not. All of a formula add up to the fitted
    probability that any of them is right. A structure that was not relaxed takes its part of the sum but shows no
    probability.

    Args:
        candidates: Of any number of formulas.
        rule: Whose energies these are, and what they are worth.

    Returns:
        The candidates in the same order.
    """
    items = list(candidates)
    logs = log_posteriors(items, rule)
    close = _undecided(items, rule)
    coverage = {f: rule.calibration.contexts[context_of(g)].coverage for f, g in by_formula(items).items()}
    out = []
    for c in items:
        shown = c.relaxed or c.start_kept
        p = coverage[c.formula] * math.exp(logs[c.id]) if shown else None
        out.append(c.replace(probability=p, undecided=c.id in close))
    return out


def log_posteriors(candidates: Sequence[Candidate], rule: RankingRule = DEFAULT_RULE) -> dict[str, float]:
    """Log of the posterior of each candidate among those of its formula; the posteriors of a formula add up to one.

    Args:
        candidates: Of any formulas.
        rule: Temperatures and priors.

    Returns:
        Id -> natural logarithm.
    """
    out: dict[str, float] = {}
    for group in by_formula(candidates).values():
        context = context_of(group)
        allowed = [c for c in group if not c.rejected]
        first = _log_normalised({c.id: _log_first(c, allowed, rule, context) for c in allowed})
        judged = [c for c in allowed if c.judged]
        if judged:
            share = _log_sum([first[c.id] for c in judged])
            energies = believed_energies(judged, rule.error(deciding_identity(judged)))
            second = _log_normalised({c.id: _log_judged(c, judged, energies, rule, context) for c in judged})
            first |= {name: share + value for name, value in second.items()}
        out |= {c.id: first.get(c.id, NEVER) for c in group}
    return out


def _log_prior(c: Candidate, group: Sequence[Candidate], calibration: ContextCalibration) -> float:
    known = [o.log_prior for o in group if o.log_prior is not None]
    prior = c.log_prior if c.log_prior is not None else max(known, default=UNKNOWN_PRIOR_RANK)
    return calibration.prior_weight * prior


def _log_first(c: Candidate, group: Sequence[Candidate], rule: RankingRule, context: Context) -> float:
    """Prior and the first model's energy; without one the library's distance to its hull, else it counts as lowest.

    A start that its relaxation left counts with the energy of what it became, and with what it lost on the way beyond
    what moving to the model's own lattice costs: a right structure does not fall far. Where only the judge took it
    there, it counts with its own.
    """
    prior = _log_prior(c, group, rule.calibration.contexts[context])
    own, own_identity = first_energy(c)
    end, identity = first_energy(end_of(c, group)) if c.start_kept else (own, own_identity)
    if end is None:
        end, identity = own, own_identity
    if end is None:  # nobody here has relaxed it: the library's own word stands in for an energy
        return prior - _above_listed(c, group) / rule.calibration.contexts[context].temperature[LIBRARY]
    others = [e for e, i in map(first_energy, group) if e is not None and i == identity]
    fall = max(0.0, (own if own is not None else end) - end - USUAL_FALL)
    return prior - (end + fall - min(others)) / rule.temperature(identity, context)


def _above_listed(c: Candidate, group: Sequence[Candidate]) -> float:
    """The library's distance to its hull as its prior takes it: the lowest of the formula lies no higher than a limit.

    The hull itself is made of other compounds: all of ammonium nitrate's structures lie 0.2 eV/atom above it.
    """
    if c.library_e_above_hull is None:
        return 0.0
    lowest = min(o.library_e_above_hull for o in (c, *group) if o.library_e_above_hull is not None)
    return c.library_e_above_hull - max(0.0, lowest - HIGHEST_LOWEST)


def _log_judged(
    c: Candidate, judged: Sequence[Candidate], energies: Mapping[str, float], rule: RankingRule, context: Context
) -> float:
    """Prior and the judge's energy as far as it is believed."""
    numbers = rule.calibration.contexts[context]
    prior = _log_prior(c, judged, numbers)
    if c.known_without_energy:
        prior += numbers.prior_weight * energy_found_later(energies[c.id] - min(energies.values()))
    return prior - energies[c.id] / rule.temperature(c.energy_identity, context)


def first_energy(c: Candidate) -> tuple[float | None, str | None]:
    """Energy (eV/atom) and identity of the model that relaxed it first; (None, None) where only the judge did."""
    if c.judged:
        return c.first_energy_per_atom, c.first_energy_identity
    return c.energy_per_atom, c.energy_identity


def _log_sum(values: Sequence[float]) -> float:
    top = max(values)
    return top + math.log(sum(math.exp(v - top) for v in values))


def _log_normalised(values: Mapping[str, float]) -> dict[str, float]:
    if not values:
        return {}
    total = _log_sum(list(values.values()))
    return {name: value - total for name, value in values.items()}


def _undecided(candidates: Sequence[Candidate], rule: RankingRule) -> set[str]:
    """Ids of relaxed candidates that lie closer to their formula's lowest one than the energy model can tell."""
    out: set[str] = set()
    best = ground_states(candidates)
    for group in by_formula(candidates).values():
        identity = deciding_identity(group)
        error = rule.error(identity)
        close = []
        for c in group:
            above = relative_energy(c, best, identity)
            if above is not None and c.relaxed and above < error:
                close.append(c.id)
        if len(close) > 1:
            out |= set(close)
    return out


def rank(candidates: Iterable[Candidate], rule: RankingRule = DEFAULT_RULE) -> list[Candidate]:
    """Order candidates: one formula by its order, several by their distance to the hull as well.

    The energy alone is a poor judge among polymorphs that lie closer than its error, the prior alone knows only what is
    listed (benchmarks/ranking.py). With several formulas, what a candidate's posterior lacks against its formula's best
    one, in energy, is added to that best one's distance to the hull; where the distance is unknown for any formula's
    best, each formula counts from its own, so that energies of different compositions are never compared. A formula's
    best is the first with an energy; formulas without any come after the others. Rejected candidates come last.

    Args:
        candidates: Of any formulas.
        rule: Order, temperatures and priors.

    Returns:
        The candidates, best first.
    """
    items = list(candidates)
    logs = log_posteriors(items, rule)
    place: dict[str, tuple[bool, float, str, float, str]] = {}
    groups = by_formula(items)
    ordered = {f: sorted(g, key=lambda c: _order_key(c, g, logs, rule)) for f, g in groups.items()}
    firsts = {f: c.e_above_hull for f, g in ordered.items() if (c := next((o for o in g if o.usable), None))}
    on_hull = bool(firsts) and all(h is not None for h in firsts.values())
    for formula, group in ordered.items():
        start = firsts.get(formula, math.inf) if on_hull else 0.0
        assert start is not None
        context = context_of(group)
        behind = 0.0
        for position, c in enumerate(group):
            lost = (logs[group[0].id] - logs[c.id]) * rule.temperature(deciding_identity(group), context)
            behind = max(behind, lost)  # within a formula its own order stands
            place[c.id] = (c.rejected, start + behind, formula, float(position), c.id)
    return sorted(items, key=lambda c: place[c.id])


def _order_key(
    c: Candidate, group: Sequence[Candidate], logs: Mapping[str, float], rule: RankingRule
) -> tuple[bool, bool, float, float, str]:
    """Place of a candidate within its formula."""
    energy = float("inf") if c.energy_per_atom is None else c.energy_per_atom
    if rule.order == "energy":
        foreign = c.energy_identity != deciding_identity(group)
        return (c.rejected, foreign or not c.usable, energy, -logs[c.id], c.id)
    if rule.order == "listed":
        return (c.rejected, c.log_prior is None, -(c.log_prior or 0.0), -logs[c.id], c.id)
    return (c.rejected, False, -logs[c.id], energy, c.id)
