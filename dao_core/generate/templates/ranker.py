"""The learned order of template candidates: a small network on chemical and statistical features."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.generate.templates.elements import element_coordinates
from dao_core.generate.templates.search import Candidates

FEATURES = (
    "evidence",  # substitution likelihood, summed over the prototype's entries, against the best candidate
    "pooled",  # the same with neighbours in geometry
    "nearest",  # of the representative alone
    "log_share",  # log of the pooled evidence as a share of all candidates' evidence
    "log_votes",  # entries of the prototype
    "log_geometry_votes",  # entries of all prototypes of nearly this geometry
    "spacegroup_share",  # share of the evidence in this space group
    "volume_mismatch",  # |log| of predicted volume against the template's elements' predicted volume
    "size_change",  # largest change of covalent radius on a slot, relative
    "electronegativity_change",  # largest change on a slot
    "group_change",  # largest change of the column on a slot
    "closest_contact",  # shortest distance over the sum of covalent radii, at the predicted volume
    "contact_change",  # that against the template's own
    "asymmetry",  # 1 if exchanging elements gives another structure
    "log_candidates",
    "n_species",
    "n_atoms",
)


def candidate_features(
    candidates: Candidates, elements: NDArray[np.int64], spacegroups: NDArray[np.int64], volumes: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Features by which the ranker orders candidates.

    Args:
        candidates: C substitutions.
        elements: Of the query, (S,).
        spacegroups: Of all rows of the index.
        volumes: Volume of each element, (101,), angstrom^3.

    Returns:
        (C, len(FEATURES)).
    """
    pooled = candidates.pooled
    share = np.exp(candidates.evidence - np.logaddexp.reduce(candidates.evidence))
    groups = spacegroups[candidates.bucket.members[candidates.rows]]
    near = candidates.distances < 0.07
    counts = np.array(candidates.bucket.counts)
    n_atoms = counts.sum()
    length_new = ((counts * volumes[elements]).sum() / n_atoms) ** (1 / 3)
    volume_old = (volumes[candidates.old] * counts).sum(axis=1) / n_atoms
    change = np.abs(element_coordinates()[candidates.new] - element_coordinates()[candidates.old]).max(axis=1)
    contact_new = _closest_contact(candidates.prints, np.broadcast_to(elements, candidates.new.shape), length_new)
    slot_prints = candidates.bucket.fingerprints[candidates.rows]
    contact_old = _closest_contact(slot_prints, candidates.old, volume_old[:, None, None] ** (1 / 3))
    same_row = candidates.rows[:, None] == candidates.rows[None, :]
    asymmetric = (~(near & same_row & ~np.eye(len(near), dtype=bool)).any(axis=1)).astype(float)
    ones = np.ones(len(candidates))
    columns = [
        candidates.evidence - candidates.evidence.max(),
        pooled - pooled.max(),
        candidates.nearest - candidates.nearest.max(),
        pooled - np.logaddexp.reduce(candidates.evidence),
        np.log(candidates.votes),
        np.log((near * candidates.votes[None, :]).sum(axis=1)),
        ((groups[:, None] == groups[None, :]) * share[None, :]).sum(axis=1),
        np.abs(np.log(length_new**3 / volume_old)),
        change[:, 1],
        change[:, 0],
        change[:, 2],
        contact_new,
        contact_new - contact_old,
        asymmetric,
        ones * np.log(len(candidates)),
        ones * len(counts),
        ones * n_atoms,
    ]
    return np.stack(columns, axis=1)


def _closest_contact(
    prints: NDArray[np.float32], elements: NDArray[np.int64], length: float | NDArray[np.float64]
) -> NDArray[np.float64]:
    """Smallest ratio of a nearest distance to the sum of covalent radii, (C,)."""
    from ase.data import covalent_radii

    radii = covalent_radii[elements]  # (C, S)
    return (prints[..., 0] * length / (radii[:, :, None] + radii[:, None, :])).min(axis=(1, 2))


@dataclass(frozen=True)
class Ranker:
    """The pooled evidence, corrected by a small network.

    Score of a candidate: its `log_share` plus the network's value. The network standardises the features, then layers
    of (weight, bias) follow with tanh between them; without layers the evidence alone decides. Trained by
    leave-one-out retrieval (benchmarks/train_template_ranker.py), maximising the softmax share of matching candidates.
    """

    mean: NDArray[np.float64]
    scale: NDArray[np.float64]
    layers: tuple[tuple[NDArray[np.float64], NDArray[np.float64]], ...]
    trained_on: str

    def score(self, features: NDArray[np.float64]) -> NDArray[np.float64]:
        """Unnormalised log probability of each candidate, (C,), from its features (C, F)."""
        prior = features[:, FEATURES.index("log_share")]
        if not self.layers:
            return np.asarray(prior)
        x = np.clip((features - self.mean) / self.scale, -8.0, 8.0)
        for i, (weight, bias) in enumerate(self.layers):
            x = (np.tanh(x) if i else x) @ weight + bias
        return np.asarray(prior + x[:, 0])

    @classmethod
    def untrained(cls) -> Ranker:
        """Order by pooled evidence alone."""
        return cls(np.zeros(len(FEATURES)), np.ones(len(FEATURES)), (), "nothing")

    @classmethod
    def shipped(cls) -> Ranker:
        """The trained ranker of the package, or the untrained order where the file is not there."""
        return _read(Path(__file__).parent / "data" / "template_ranker.json")

    def to_json(self) -> str:
        """The weights as text; `from_json` reads them back."""
        layers = [[w.tolist(), b.tolist()] for w, b in self.layers]
        facts = {"features": FEATURES, "trained_on": self.trained_on}
        return json.dumps({**facts, "mean": self.mean.tolist(), "scale": self.scale.tolist(), "layers": layers})

    @classmethod
    def from_json(cls, text: str) -> Ranker:
        """Raises ValueError where the weights belong to other features."""
        data = json.loads(text)
        if tuple(data["features"]) != FEATURES:
            raise ValueError(
                "these ranker weights belong to other features: train them again (benchmarks/train_template_ranker.py)"
            )
        layers = tuple((np.array(w), np.array(b)) for w, b in data["layers"])
        return cls(np.array(data["mean"]), np.array(data["scale"]), layers, data["trained_on"])


@lru_cache(maxsize=4)
def _read(path: Path) -> Ranker:
    return Ranker.from_json(path.read_text()) if path.exists() else Ranker.untrained()
