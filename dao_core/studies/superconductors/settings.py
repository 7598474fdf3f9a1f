"""Settings of the study of superconductors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dao_core.studies.study import StudySettings
from dao_core.studies.superconductors.crystals import CRYSTALS


class SuperconductorSettings(StudySettings):
    """Which held-out crystals are looked for, and how many structures are proposed."""

    kind: Literal["superconductors"] = "superconductors"
    library: str | None = Field(None, description="folder of the library of templates; none: what is installed")
    generator: str = Field("generator", description="DAO-G checkpoint: a name or a folder")
    trained_on: str = Field("mp_20/train.parquet", description="below `data`: the rows that DAO-G has learned from")
    crystals: tuple[str, ...] = tuple(CRYSTALS)
    n: int = Field(20, ge=1, description="structures proposed for each crystal and arm; the paper's 20")
    largest_drawn: int = Field(64, ge=0, description="atoms; DAO-G draws nothing for larger cells, templates do")

    @field_validator("crystals")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in CRYSTALS]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'no crystal'}: choose of {', '.join(CRYSTALS)}")
        return value
