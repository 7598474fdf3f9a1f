"""Settings of the study of properties, and what its targets are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from pydantic import Field, field_validator

from dao_core.studies.study import StudySettings


@dataclass(frozen=True)
class Target:
    """A property of the data: its unit, whether its logarithm is learned, and whether AFLOW or MP has it."""

    unit: str
    transform: Literal["none", "log"]
    source: Literal["aflow", "mp"]


TARGETS = {
    "formation_energy_per_atom": Target("eV/atom", "none", "mp"),
    "band_gap": Target("eV", "none", "mp"),
    "bulk_modulus": Target("GPa", "log", "aflow"),
    "shear_modulus": Target("GPa", "log", "aflow"),
    "debye_temperature": Target("K", "log", "aflow"),
}


class PropertyStudySettings(StudySettings):
    """Which properties are learned, from how many rows, for how long."""

    kind: Literal["properties"] = "properties"
    targets: tuple[str, ...] = tuple(TARGETS)
    checkpoint: str = Field("predictor", description="DAO-P checkpoint that is fine-tuned: a name or a folder")
    sizes: tuple[int, ...] = Field((100, 200, 400, 800, 1600), description="training rows of the learning curve")
    max_atoms: int = Field(20, ge=1, description="larger cells are left out of all folds")
    n_validation: int = Field(200, ge=2, description="most rows that decide when a training stops; at most a quarter")
    n_test: int = Field(400, ge=2, description="most rows of the test fold")
    seconds: float = Field(30.0, gt=0, description="CPU seconds of a network's training on the largest size")
    least_seconds: float = Field(4.0, gt=0, description="of the smaller sizes, which get their share of `seconds`")
    batch_size: int = Field(8, gt=0, description="structures, of all networks: small, as trainings are short")
    cgcnn_learning_rate: float = Field(3e-3, gt=0)

    @field_validator("targets")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in TARGETS]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'no target'}: choose of {', '.join(TARGETS)}")
        return value

    @field_validator("sizes")
    @classmethod
    def _rising(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        if not value or value[0] < 8 or list(value) != sorted(set(value)):
            raise ValueError("sizes: give rising numbers of training rows, at least 8")
        return value
