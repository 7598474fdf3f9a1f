"""Settings of the study of polymorphs."""

from __future__ import annotations

from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

from dao_core.studies.study import StudySettings

ARMS = ("templates", "dao-g", "both", "random")


class RandomArm(BaseModel):
    """Random symmetric structures that the judge relaxes: the arm that costs most, hence fewer of everything."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    compositions: int = Field(4, ge=0, description="smallest compositions that get this arm; 0: none")
    k: int = Field(5, ge=1, description="structures of each cell content")
    max_atoms: int = Field(6, ge=1, description="of a reference cell")
    relax_steps: int = Field(15, ge=0)


class PolymorphSettings(StudySettings):
    """Which compositions, how many samples, and who says which polymorph is lower."""

    kind: Literal["polymorphs"] = "polymorphs"
    library: str | None = Field(None, description="folder of the library of templates; none: what is installed")
    generator: str = Field("generator", description="DAO-G checkpoint: a name or a folder")
    trained_on: str = Field("mp_20/train.parquet", description="below `data`: the rows that DAO-G has learned from")
    k: int = Field(20, ge=2, description="structures of each cell content and arm")
    limit: int = Field(30, ge=0, description="compositions, those with most polymorphs first; 0: all")
    max_atoms: int = Field(20, ge=1, description="of a reference cell; larger compositions are counted and left out")
    judge: str = Field("sevennet", description="whose energies order the references")
    judge_atoms: int = Field(12, ge=0, description="largest reference cell whose energy the judge computes")
    named: tuple[str, ...] = Field(("Ni3OF5",), description="reported by themselves, whatever their size")
    templates_on_all: bool = Field(True, description="templates alone also for what DAO-G has seen or was not drawn")
    random: RandomArm = RandomArm()

    @model_validator(mode="after")
    def _even(self) -> PolymorphSettings:
        if self.k % 2:
            raise ValueError(f"k = {self.k}: give an even number, half of arm `both` comes from each side")
        return self
