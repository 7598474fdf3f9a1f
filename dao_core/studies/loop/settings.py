"""Settings of the study of the loop between the two models."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, field_validator

from dao_core.dft.settings import DftSettings
from dao_core.elements import SYMBOLS
from dao_core.studies.study import StudySettings

Arm = Literal["loop", "no retraining", "random"]
ARMS: tuple[Arm, ...] = ("loop", "no retraining", "random")


class LoopSettings(StudySettings):
    """Which system is searched, how much is proposed and validated in a round, and what is retrained."""

    kind: Literal["loop"] = "loop"
    system: tuple[str, str, str] = Field(("Li", "Lu", "Au"), description="a ternary system that no model has seen")
    trained_on: tuple[str, ...] = Field(
        ("mp_20/train.parquet", "wbm_val.parquet", "mp_structures.parquet"),
        description="below `data`: rows that the models have learned from, searched for the system",
    )
    left_out_of_training: tuple[str, ...] = Field(
        ("mp_20/test_public.parquet", "mpts_52/test_public.parquet", "mp_20/val.parquet", "mpts_52/val.parquet"),
        description="below `data`: their formulas were left out of the training, also where a file above has them",
    )
    library: str | None = Field(None, description="folder of the library of templates; none: what is installed")
    generator: str = Field("generator", description="DAO-G checkpoint to start from: a name or a folder")
    predictor: str = Field("predictor", description="DAO-P checkpoint to start from: a name or a folder")
    validator: Literal["judge", "qe"] = Field("judge", description="qe: pw.x for everything, known phases included")
    judge: str = Field("sevennet", description="the potential that stands in for first principles")
    dft: DftSettings = Field(default_factory=DftSettings, description="of pw.x, where it validates")
    arms: tuple[Arm, ...] = ARMS
    seeds: tuple[int, ...] = (0, 1, 2)
    rounds: int = Field(4, ge=1)
    validations: int = Field(4, ge=1, description="structures that are validated in a round")
    cells: int = Field(8, ge=1, description="ternary cell contents for which a round proposes")
    per_cell: int = Field(2, ge=1, description="structures from templates, and as many from DAO-G, for each")
    max_atoms: int = Field(8, ge=3, description="largest cell that is proposed")
    known_atoms: int = Field(
        32, ge=1, description="largest cell of the known phases: larger ones are left out, counted"
    )
    relax_steps: int = Field(20, ge=0, description="of DAO-P, before candidates are ranked")
    judge_steps: int = Field(20, ge=0, description="of the judge, when it validates")
    optimism: float = Field(1.0, ge=0, description="spreads that are taken off a predicted energy above the hull")
    predictor_seconds: float = Field(8.0, gt=0, description="CPU seconds of DAO-P's fine-tuning after a round")
    generator_seconds: float = Field(0.0, ge=0, description="the same of DAO-G; 0: it stays as it is")
    hit_above_hull: float = Field(0.05, gt=0, description="eV/atom above the final hull that still counts as a hit")

    @field_validator("system")
    @classmethod
    def _elements(cls, value: tuple[str, str, str]) -> tuple[str, str, str]:
        if len(set(value)) != 3 or any(symbol not in SYMBOLS[1:] for symbol in value):
            raise ValueError(f"system: {', '.join(value)}: give three different elements")
        return value
