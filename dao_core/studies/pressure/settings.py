"""Settings of the study of pressure."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dao_core.studies.pressure.phases import TRANSITIONS
from dao_core.studies.study import StudySettings
from dao_core.units import PRESSURES


class HydrideSettings(BaseModel):
    """The hydrogen network of LaH10 in a lanthanum framework that is given."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    n: int = Field(8, ge=0, description="structures drawn inside the framework, and templates; 0: no hydride")
    gpa: float = Field(150.0, gt=0, le=PRESSURES[1], description="pressure of relaxations and phonons")
    edge: float = Field(5.10, gt=0, description="angstrom, of the cubic cell of lanthanum at that pressure")
    relax_steps: int = Field(0, ge=0, description="of each structure, the framework kept; 0: compared as drawn")
    phonon_length: float = Field(3.0, gt=0, description="angstrom, least thickness of the phonons' supercell")
    phonon_atoms: int = Field(11, ge=0, description="most atoms of that supercell; 0: no phonons")


class PressureSettings(StudySettings):
    """Which transitions, whose forces, at how many pressures."""

    kind: Literal["pressure"] = "pressure"
    judge: str = Field("sevennet", description="whose energies and stresses")
    generator: str = Field("generator", description="DAO-G checkpoint: a name or a folder")
    library: str | None = Field(None, description="folder of the library of templates; none: what is installed")
    transitions: tuple[str, ...] = tuple(TRANSITIONS)
    fractions: tuple[float, ...] = Field((0.0, 0.6, 1.2), description="of the published transition pressure")
    relax_steps: int = Field(40, ge=1, description="at most, of each phase and pressure")
    fmax: float = Field(0.02, gt=0, description="eV/angstrom")
    stress_gpa: float = Field(0.15, gt=0)
    hydride: HydrideSettings = HydrideSettings()

    @field_validator("transitions")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in TRANSITIONS]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'no transition'}: choose of {', '.join(TRANSITIONS)}")
        return value

    @field_validator("fractions")
    @classmethod
    def _rising(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        if len(value) < 2 or list(value) != sorted(set(value)) or value[0] < 0:
            raise ValueError("give at least two different fractions, ascending, none below zero")
        return value
