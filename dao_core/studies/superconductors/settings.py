"""Settings of the study of superconductors."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, field_validator

from dao_core.crysdb.sources import oqmd_icsd
from dao_core.studies.study import StudySettings
from dao_core.studies.superconductors.crystals import CRYSTALS


class TcSettings(BaseModel):
    """How critical temperatures are learned, and how many structures are added for compositions that have only a Tc."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    predictor: str = Field("predictor", description="DAO-P checkpoint that is fine-tuned: a name or a folder")
    max_atoms: int = Field(20, ge=1, description="larger cells are left out, measured and added ones")
    limit: int = Field(0, ge=0, description="measured rows; 0: all")
    added: int = Field(200, ge=1, description="compositions for which structures are generated")
    candidates: int = Field(4, ge=1, description="structures for each cell; DAO-P's lowest energy is taken")
    generator_seconds: float = Field(60.0, gt=0, description="CPU seconds of DAO-G's fine-tuning on superconductors")
    folds: int = Field(5, ge=2, description="by composition")
    seeds: tuple[int, ...] = (0, 1, 2)
    epochs: int = Field(20, ge=1, description="over the measured rows; with added rows as many steps, fewer epochs")
    batch_size: int = Field(16, gt=0)


class SuperconductorSettings(StudySettings):
    """Which held-out crystals are looked for, and how many structures are proposed."""

    kind: Literal["superconductors"] = "superconductors"
    library: str | None = Field(None, description="folder of the library of templates; none: what is installed")
    generator: str = Field("generator", description="DAO-G checkpoint: a name or a folder")
    trained_on: str = Field("mp_20/train.parquet", description="below `data`: the rows that DAO-G's flow learned from")
    symmetry_trained_on: tuple[str, ...] = Field(
        ("mp_structures.parquet", oqmd_icsd.NAME),
        description="what its symmetry model learned from as well: files below `data`, or sources of the library",
    )
    crystals: tuple[str, ...] = tuple(CRYSTALS)
    n: int = Field(20, ge=1, description="structures proposed for each crystal and arm; the paper's 20")
    largest_drawn: int = Field(64, ge=0, description="atoms; DAO-G draws nothing for larger cells, templates do")
    tc: TcSettings | None = Field(None, description="critical temperatures; none: only the held-out crystals")

    @field_validator("crystals")
    @classmethod
    def _known(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        unknown = [name for name in value if name not in CRYSTALS]
        if unknown or not value:
            raise ValueError(f"{', '.join(unknown) or 'no crystal'}: choose of {', '.join(CRYSTALS)}")
        return value
