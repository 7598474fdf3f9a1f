"""TODO."""

from __future__ import annotations

import warnings
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.generate.guidance import GuidanceSettings
from dao_core.screening.formulas import MAX_ATOMS
from dao_core.screening.given import GivenStructure

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates.index import TemplateIndex


class SearchSettings(BaseModel):
    """How much is tried for one formula. The same settings and seed give the same candidates, a time budget aside."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_atoms: int = Field(MAX_ATOMS, ge=1, le=64, description="largest cell tried")
    z: Literal["auto"] | int = Field("auto", description="formula units per cell; auto: all up to max_atoms")
    n_generated: int = Field(16, ge=0, description="structures the generative model makes from noise, a formula")
    n_seeded: int = Field(8, ge=0, description="structures it makes from further templates, a formula")
    n_templates: int = Field(16, ge=0, description="known prototypes with the formula's elements, a formula")
    max_relaxed: int | None = Field(
        None, ge=1, description="relax only this many of lowest energy; the rest keep theirs"
    )
    budget_seconds: float | None = Field(None, gt=0, description="no new batch of relaxations starts after it")
    seed: int = 0
    relax: RelaxSettings = Field(default_factory=lambda: RelaxSettings(max_steps=100, batch_size=16))
    keep_symmetry: bool = Field(True, description="relax each start within the space group that it has exactly")
    given: GivenStructure = Field(default_factory=GivenStructure, description="what is given of every structure")
    guidance: GuidanceSettings | None = Field(None, description="steer the samples from noise to low energy of DAO-P")

    @model_validator(mode="before")
    @classmethod
    def _former_names(cls, values: Any) -> Any:
        """Read `bound`, the name of `given` until 2026-11, for one release."""
        if isinstance(values, dict) and "bound" in values and "given" not in values:
            warnings.warn(
                "settings: `bound` is now called `given`; the old name ends with the next release", stacklevel=2
            )
            return {**{k: v for k, v in values.items() if k != "bound"}, "given": values["bound"]}
        return values


def proposal_shares(n: int, *, generator: bool = True) -> dict[str, int]:
    """Settings for `n` proposals: two fifths prototypes, a fifth seeded by further ones, the rest from noise."""
    if not generator:
        return {"n_generated": 0, "n_seeded": 0, "n_templates": n}
    n_templates, n_seeded = max(1, round(0.4 * n)) if n > 1 else 0, round(0.2 * n)
    return {"n_generated": n - n_templates - n_seeded, "n_seeded": n_seeded, "n_templates": n_templates}


@dataclass(frozen=True)
class SearchModels:
    """What a search works with. Without a generator only templates are tried, and the other way round."""

    potential: Potential
    generator: Generator | None = None
    templates: TemplateIndex | None = None


@dataclass(frozen=True)
class Proposed:
    """A structure to look at: unique id within a search, where it came from and what made it."""

    id: str
    crystal: Crystal
    origin: str
    provenance: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Proposals:
    """What was proposed, and a reason for each structure that was asked for and could not be made."""

    items: list[Proposed]
    refused: list[str]
