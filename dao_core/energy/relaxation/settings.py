"""What a relaxation is asked for, how it can end, and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Annotated, Literal

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from dao_core.crystal import Crystal
from dao_core.units import checked_pressure


class RelaxationStatus(StrEnum):
    """How a relaxation ended. The rejected ones and `potential_failed` keep the original crystal.

    `time_up` was broken off and has the lowest structure on the way: its energy says little beside finished ones.
    """

    CONVERGED = "converged"
    MAX_STEPS = "max_steps"
    REJECTED_VOLUME = "rejected_volume"
    REJECTED_DISTANCE = "rejected_distance"
    REJECTED_ENERGY = "rejected_energy"
    REJECTED_DOMAIN = "rejected_domain"
    POTENTIAL_FAILED = "potential_failed"
    TIME_UP = "time_up"


class RelaxSettings(BaseModel):
    """When a relaxation is done, how far a step may go, and what counts as a blow-up."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    optimizer: Literal["lbfgs", "fire"] = "lbfgs"
    fmax: float = Field(0.05, gt=0, description="largest force on an atom, eV/angstrom")
    stress_gpa: float = Field(0.5, gt=0, description="largest component of stress + pressure, GPa")
    max_steps: int = Field(300, ge=0)
    max_step: float = Field(0.2, gt=0, description="longest displacement of an atom in a step, angstrom")
    relax_cell: bool = True
    pressure_gpa: Annotated[float, Field(allow_inf_nan=True), AfterValidator(checked_pressure)] = 0.0
    keep_symmetry: bool = False
    symprec: float = Field(0.01, gt=0, description="angstrom, for keep_symmetry")
    batch_size: int = Field(32, ge=1, description="crystals in flight")
    min_distance: float = Field(0.5, ge=0, description="angstrom; closer atoms are rejected, 0 turns it off")
    max_volume_ratio: float = Field(3.0, gt=1, description="rejected beyond this factor, or below its inverse")
    max_energy_drop: float = Field(10.0, gt=0, description="eV/atom below the start: a hole of the potential")
    max_energy_rise: float = Field(0.001, ge=0, description="eV/atom above the start at the end")
    energy_noise: float = Field(2e-6, ge=0, description="eV/atom; a rise below this is rounding, not uphill")

    @model_validator(mode="after")
    def _pressure_can_act(self) -> RelaxSettings:
        if self.pressure_gpa and not self.relax_cell:
            raise ValueError("a pressure has no effect on a cell that is kept: leave one of the two out")
        return self


@dataclass(frozen=True, eq=False)
class RelaxationResult:
    """One crystal's relaxation.

    `crystal` is the relaxed one, or `initial` itself where the result was rejected. `energy_per_atom` (eV) belongs to
    `crystal`; None where the potential had no answer. `fmax` (eV/angstrom) and `stress_gpa` (largest component of
    stress + pressure) are those of the last evaluation. `n_steps` counts evaluations after the first. `outside` says
    why `crystal` lies outside what the potential was trained on; None inside, or where the potential doesn't know.
    """

    crystal: Crystal
    energy_per_atom: float | None
    status: RelaxationStatus
    n_steps: int
    fmax: float
    stress_gpa: float
    initial: Crystal
    initial_energy_per_atom: float | None
    reason: str = ""
    outside: str | None = None
