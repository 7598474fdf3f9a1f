"""What a search is asked to do: how much of everything, with which models, and what it proposes."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationInfo, field_validator, model_validator

from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.generate.guidance_settings import GuidanceSettings
from dao_core.screening.formulas import LARGEST_CELL, MAX_ATOMS
from dao_core.screening.given import GivenStructure

Order = Literal["probability", "listed", "energy"]
JUDGE_RELAXATION = RelaxSettings(fmax=0.05, max_steps=40, batch_size=1)


class JudgeSettings(BaseModel):
    """How the judge, the second energy, relaxes what survived the first one."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    n_judged: int = Field(10, ge=1, description="structures a formula at most, the most probable ones")
    min_probability: float = Field(0.002, ge=0, lt=1, description="what is less probable before it isn't judged")
    relax: RelaxSettings = Field(default=JUDGE_RELAXATION)
    r2scan: bool = Field(True, description="let what r2SCAN adds to PBE count in the order, where the judge knows it")


def _in_a_search(relax: RelaxSettings, keep_symmetry: bool) -> RelaxSettings:
    """A relaxation of a search, which keeps symmetry as the search says. Raises ValueError where it can't be one."""
    if relax.pressure_gpa:
        raise ValueError(
            f"pressure_gpa: {relax.pressure_gpa:g} in a search, which ranks energies without pressure: leave it out; "
            f"`dao screen --pressure {relax.pressure_gpa:g}` (in a flow, diagnostics: pressures_gpa) compares the best "
            "structures by enthalpy, `dao study pressure` known phases"
        )
    if "keep_symmetry" in relax.model_fields_set and relax.keep_symmetry != keep_symmetry:
        raise ValueError(
            f"keep_symmetry: {relax.keep_symmetry} of one relaxation, {keep_symmetry} of the search: set keep_symmetry "
            "of the search itself, which holds for all its relaxations"
        )
    return relax.model_copy(update={"keep_symmetry": keep_symmetry})


class SearchSettings(BaseModel):
    """How much is tried for one formula. The same settings and seed give the same candidates, a time budget aside."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    max_atoms: int = Field(MAX_ATOMS, ge=1, le=LARGEST_CELL, description="largest cell tried")
    generated_atoms: int | None = Field(
        None,
        ge=1,
        le=LARGEST_CELL,
        description="largest cell that the generator fills; default: the largest it was trained on",
    )
    z: Literal["auto"] | int = Field("auto", description="formula units per cell; auto: all up to max_atoms")
    n_generated: int = Field(
        16, ge=0, description="places for structures from symmetry and, where likelier, from noise, a formula"
    )
    n_seeded: int = Field(8, ge=0, description="structures it makes from further templates, a formula")
    n_templates: int = Field(
        16, ge=0, description="places for known prototypes; shared with those for symmetry, the likelier first"
    )
    max_relaxed: int | None = Field(None, ge=1, description="relax only so many, the most probable ones")
    budget_seconds: float | None = Field(
        None,
        gt=0,
        description="seconds after which no new piece of work starts; loading models doesn't count",
    )
    seed: int = 0
    keep_symmetry: bool = Field(True, description="relax each start within the space group that it has exactly")
    relax: RelaxSettings = Field(
        default_factory=lambda: RelaxSettings(max_steps=100, batch_size=16), validate_default=True
    )
    judge: JudgeSettings = Field(default_factory=JudgeSettings, validate_default=True)
    order: Order = Field("probability", description="of the candidates: probability, likely listed, lowest energy")
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

    @field_validator("relax")
    @classmethod
    def _first_relaxation(cls, value: RelaxSettings, info: ValidationInfo) -> RelaxSettings:
        return _in_a_search(value, info.data.get("keep_symmetry", value.keep_symmetry))

    @field_validator("judge")
    @classmethod
    def _second_relaxation(cls, value: JudgeSettings, info: ValidationInfo) -> JudgeSettings:
        relax = _in_a_search(value.relax, info.data.get("keep_symmetry", value.relax.keep_symmetry))
        return value.model_copy(update={"relax": relax})


class ProposalCount(BaseModel):
    """How many structures are proposed for a formula, as Python asks for them."""

    n: int = Field(ge=1)


def proposal_shares(n: int, *, generator: bool = True) -> dict[str, int]:
    """Settings for a number of proposals: a fifth seeded by templates; prototypes, symmetry and noise share the rest.

    Args:
        n: Proposals in all.
        generator: Whether there is one; without it all are prototypes.

    Returns:
        Fields of `SearchSettings`.
    """
    if not generator:
        return {"n_generated": 0, "n_seeded": 0, "n_templates": n}
    n_templates, n_seeded = max(1, round(0.4 * n)) if n > 1 else 0, round(0.2 * n)
    return {"n_generated": n - n_templates - n_seeded, "n_seeded": n_seeded, "n_templates": n_templates}


class ModelNames(BaseModel):
    """The models of a search by name or folder; small enough to travel between processes."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    generator: str = Field("dao", description="DAO-G: dao, none, or a checkpoint folder")
    potential: str = Field("dao", description="what pre-relaxes the proposals: dao, sevennet, chgnet, a DAO-P folder")
    judge: str = Field("sevennet", description="what relaxes and ranks the survivors: sevennet, chgnet, dao, none, ...")
    dispersion: bool | None = Field(None, description="add PBE-D3(BJ) to the judge's energies; unset: if it lacks it")
    templates: str = Field(
        "auto", description="auto: the library's structures and prototypes; none; a CrysDB table; a saved index"
    )
    library: str = Field("auto", description="known structures: auto (what is installed), none, or a library's folder")

    @field_validator("generator", "potential", "judge", "templates", "library", mode="before")
    @classmethod
    def _folder(cls, value: Any) -> Any:
        """From Python a folder may come as a Path."""
        return str(value) if isinstance(value, Path) else value

    @model_validator(mode="after")
    def _somebody_has_the_dispersion(self) -> ModelNames:
        if self.dispersion and self.judge == "none":
            raise ValueError("dispersion: it is added to the judge's energies, and judge is none")
        return self
