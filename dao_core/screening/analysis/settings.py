"""What can be asked of the best candidates besides their energy."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.units import checked_pressure


class PhononSettings(BaseModel):
    """Size of the supercell, of the displacements, and what counts as imaginary."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    min_length: float = Field(9.0, gt=0, description="angstrom; the supercell is at least this thick in each direction")
    max_atoms: int = Field(240, ge=1, description="of the supercell; a larger one is made thinner, and said so")
    displacement: float = Field(0.01, gt=0, description="angstrom")
    imaginary_below: float = Field(-0.15, lt=0, description="THz; noise of the forces lies above it")
    mesh: int = Field(12, ge=1, description="points an axis for the density of states")
    follow: bool = Field(True, description="displace along the softest imaginary mode and relax again")
    amplitudes: tuple[float, ...] = Field((0.15, 0.4), description="angstrom, of the atom that moves most")
    min_gain: float = Field(0.001, ge=0, description="eV/atom below the parent that makes a new candidate")
    max_follow_atoms: int = Field(64, ge=1, description="of the cell that holds the soft mode")


class DiagnosticsSettings(BaseModel):
    """Stages that are off until asked for. Both look at the lowest candidates of each formula."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    phonons: bool = False
    n_phonons: int = Field(2, ge=1, description="candidates a formula whose vibrations are computed")
    phonon: PhononSettings = Field(default_factory=PhononSettings)
    phonon_potential: str = Field(
        "", description="whose forces: dao, chgnet, a DAO-P folder; default: the search's own"
    )
    pressures_gpa: tuple[float, ...] = ()
    n_pressure: int = Field(
        6,
        ge=1,
        description="candidates a formula at each pressure, and as many of the densest known structures",
    )
    relax: RelaxSettings = Field(default_factory=lambda: RelaxSettings(max_steps=100))

    @field_validator("pressures_gpa")
    @classmethod
    def _ascending(cls, value: tuple[float, ...]) -> tuple[float, ...]:
        return tuple(sorted({checked_pressure(p) for p in value}))

    @field_validator("relax")
    @classmethod
    def _each_pressure_in_turn(cls, value: RelaxSettings) -> RelaxSettings:
        if value.pressure_gpa:
            raise ValueError(f"pressure_gpa: {value.pressure_gpa:g} of its relaxation: give pressures_gpa instead")
        return value

    @property
    def active(self) -> bool:
        """Whether anything is asked for."""
        return self.phonons or bool(self.pressures_gpa)
