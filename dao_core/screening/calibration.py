"""What the evidence for a structure is worth: fitted numbers that turn priors and energies into a probability.

`benchmarks/fit_posterior.py` fits them on validation compositions and writes `data/calibration.json`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib.resources import files
from typing import Literal

from dao_core.screening.candidate import Candidate
from dao_core.screening.proposed import KNOWN, TEMPLATE

Context = Literal["element", "composition", "prototype", "neither"]
COVERED = 0.5  # templates that hold this much of the prior make a formula's prototype a known one


@dataclass(frozen=True)
class ContextCalibration:
    """The posterior's numbers for one kind of formula.

    Attributes:
        temperature: eV/atom by the name of an energy model: what one unit of log-probability is worth in its energies.
        prior_weight: Exponent of the prior.
        coverage: How often one of the candidates is right.
    """

    temperature: Mapping[str, float]
    prior_weight: float
    coverage: float


@dataclass(frozen=True)
class Calibration:
    """The posterior's numbers.

    Attributes:
        error: eV/atom by the name of an energy model: mean error of its energy differences between polymorphs.
        contexts: One for elements, and for compounds by whether the library knows the formula, a prototype for it, or
            neither. Errors of a model cancel best between structures of one element.
    """

    error: Mapping[str, float]
    contexts: Mapping[Context, ContextCalibration]


@lru_cache(maxsize=1)
def shipped_calibration() -> Calibration:
    """The fitted numbers that ship with the package."""
    text = (files("dao_core.screening") / "data" / "calibration.json").read_text()
    values = json.loads(text)
    contexts = {name: ContextCalibration(**entry) for name, entry in values["contexts"].items()}
    return Calibration(values["error"], contexts)


def context_of(candidates: Iterable[Candidate]) -> Context:
    """Whether these candidates are of an element, else what the library knows of their formula."""
    items = list(candidates)
    if items and len(set(items[0].crystal.atomic_numbers.tolist())) == 1:
        return "element"
    if any(c.origin == KNOWN for c in items):
        return "composition"
    covered = sum(math.exp(c.log_prior) for c in items if c.origin == TEMPLATE and c.log_prior is not None)
    return "prototype" if covered >= COVERED else "neither"
