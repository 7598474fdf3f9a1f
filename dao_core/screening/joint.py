"""One order of the structures that templates and symmetry suggest for a cell, and what both leave to others.

A template says which known structures resemble the composition, the symmetry model how likely space group, Wyckoff
letters and coordinates are. Structures that are the same crystal are one suggestion with both pieces of evidence. A
conditional logit over the suggestions of a cell and "none of them" turns these into probabilities that add up to one;
`benchmarks/fit_joint_prior.py` fits its weights on validation compositions and writes `data/joint_prior.json`.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property, lru_cache
from importlib.resources import files
from math import exp, log
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.matching.seen import SeenCrystals, fingerprint_of

if TYPE_CHECKING:
    from dao_core.crystal import Crystal
    from dao_core.generate.symmetry.generator import SymmetryProposal
    from dao_core.generate.templates.index import TemplateHit

FEATURES = (
    "template",  # 1 if a template suggests it
    "template_log_prior",  # of the template alone
    "template_log_candidates",  # log of how many templates the index has for the cell
    "symmetry",  # 1 if the symmetry model suggests it
    "symmetry_log_label",  # log p(label | composition)
    "symmetry_log_fill",  # log p(free coordinates and cell | label)
    "both",  # 1 if both suggest it
    "both_template_log_prior",  # the template's log prior in that case
    "both_symmetry_log_probability",  # and the symmetry model's log p(label) + log p(fill)
    "symmetry_best",  # log probability of the cell's likeliest such structure, if the symmetry model suggests it
)


@dataclass(frozen=True, eq=False)
class Suggestion:
    """A structure that a template, the symmetry model or both suggest for a cell.

    Attributes:
        hit: The template, with its crystal.
        proposal: The symmetry model's structure.
        log_prior: Log of the probability that this is the structure of the composition.
        placed: The structure where the user's own lattice or atoms are (see onto_given.py).
    """

    hit: TemplateHit | None = None
    proposal: SymmetryProposal | None = None
    log_prior: float = 0.0
    placed: Crystal | None = None

    @property
    def crystal(self) -> Crystal:
        """The structure: placed where it has been, else the template's coordinates where there is one."""
        if self.placed is not None:
            return self.placed
        found = self.hit or self.proposal
        assert found is not None
        return found.crystal

    @cached_property
    def fingerprint(self) -> NDArray[np.float32]:
        """Of the crystal; independent of its cell (see dao_core/matching/fingerprint.py)."""
        return fingerprint_of(self.crystal)


def features_of(suggestions: Sequence[Suggestion]) -> NDArray[np.float64]:
    """What is known of the suggestions of one cell, (G, len(FEATURES))."""
    best = max((s.proposal.log_probability for s in suggestions if s.proposal is not None), default=0.0)
    rows = []
    for s in suggestions:
        out = dict.fromkeys(FEATURES, 0.0)
        if s.hit is not None:
            out |= {"template": 1.0, "template_log_prior": s.hit.log_prior}
            out["template_log_candidates"] = s.hit.features.get("log_candidates", 0.0)
        if s.proposal is not None:
            out |= {"symmetry": 1.0, "symmetry_log_label": s.proposal.log_label, "symmetry_best": best}
            out["symmetry_log_fill"] = s.proposal.log_probability - s.proposal.log_label
        if s.hit is not None and s.proposal is not None:
            out |= {"both": 1.0, "both_template_log_prior": s.hit.log_prior}
            out["both_symmetry_log_probability"] = s.proposal.log_probability
        rows.append([out[name] for name in FEATURES])
    return np.array(rows).reshape(-1, len(FEATURES))


@dataclass(frozen=True)
class JointWeights:
    """Log-odds of a suggestion against "none of them": one weight for each of FEATURES."""

    values: tuple[float, ...]

    def log_odds(self, suggestions: Sequence[Suggestion]) -> NDArray[np.float64]:
        """Of all suggestions of a cell, (G,)."""
        return np.asarray(features_of(suggestions) @ np.array(self.values))

    @classmethod
    def from_json(cls, text: str) -> JointWeights:
        """Raises ValueError where the weights belong to other features."""
        named = json.loads(text)["weights"]
        if set(named) != set(FEATURES):
            raise ValueError(
                f"weights of {sorted(named)}, not of {sorted(FEATURES)}: run benchmarks/fit_joint_prior.py"
            )
        return cls(tuple(float(named[name]) for name in FEATURES))


@lru_cache(maxsize=1)
def shipped_weights() -> JointWeights:
    """The fitted weights that ship with the package."""
    return JointWeights.from_json((files("dao_core.screening") / "data" / "joint_prior.json").read_text())


@dataclass(frozen=True)
class JointOrder:
    """Suggestions for one cell, likeliest first; `left` is the probability that none of them is right."""

    suggestions: list[Suggestion]
    left: float


def joint_order(
    hits: Sequence[TemplateHit],
    proposals: Sequence[SymmetryProposal],
    weights: JointWeights | None = None,
) -> JointOrder:
    """Templates and symmetry's structures of one cell in one order.

    Args:
        hits: Templates, best first.
        proposals: Of the symmetry model, likeliest first.
        weights: Other than those that ship.
    """
    groups = group_same(hits, proposals)
    if not groups:
        return JointOrder([], 1.0)
    chosen = weights or shipped_weights()
    odds = chosen.log_odds(groups)
    total = np.logaddexp(0.0, np.logaddexp.reduce(odds))
    priced = [replace(g, log_prior=float(x - total)) for g, x in zip(groups, odds, strict=True)]
    return JointOrder(sorted(priced, key=lambda s: -s.log_prior), float(np.exp(-total)))


def without(order: JointOrder, known: SeenCrystals, floor: float) -> JointOrder:
    """The order given that the structure is none of some known ones; what is left to others is `floor` at least.

    What a library knows and a template or symmetry suggests again is the same structure, counted with the library.

    Args:
        order: Of one cell.
        known: The known structures of any cell.
        floor: Of the probability left to others.
    """
    if not known or not order.suggestions:
        return order
    new = [s for s in order.suggestions if known.find(s.crystal, s.fingerprint) is None]
    total = order.left + sum(exp(s.log_prior) for s in new)
    scale = log(max(total, floor))
    return JointOrder([replace(s, log_prior=s.log_prior - scale) for s in new], max(order.left / exp(scale), floor))


def group_same(hits: Sequence[TemplateHit], proposals: Sequence[SymmetryProposal]) -> list[Suggestion]:
    """Each crystal once: its best template and its likeliest proposal, where both are there."""
    groups: list[Suggestion] = []
    seen = SeenCrystals()
    found = [Suggestion(hit=hit) for hit in hits]
    for item in found + [Suggestion(proposal=p) for p in proposals]:
        same = seen.find(item.crystal, item.fingerprint)
        if same is None:
            groups.append(item)
            seen.add(item.crystal, item.fingerprint)
        elif item.proposal is not None and groups[same].proposal is None:
            groups[same] = replace(groups[same], proposal=item.proposal)
    return groups
