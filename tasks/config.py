"""Typed settings of the flows; `configs/*.yaml` are instances. A wrong key or value is refused at the start by name."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from types import UnionType
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from dao_core.crysdb.config import BuildConfig
from dao_core.dft.launch.slurm import SlurmSettings
from dao_core.dft.settings import DftSettings
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.analysis.settings import DiagnosticsSettings
from dao_core.screening.formulas import parse_chemical_system, parse_formula
from dao_core.screening.load_references import HullChoice
from dao_core.screening.select_formulas import UNIT_ATOMS
from dao_core.screening.settings import ModelNames, SearchSettings
from dao_core.settings_file import read_settings_file
from dao_core.studies.csp_benchmark import BenchmarkSettings
from dao_core.studies.loop.settings import LoopSettings
from dao_core.studies.polymorphs.settings import PolymorphSettings
from dao_core.studies.pressure.settings import PressureSettings
from dao_core.studies.properties.settings import PropertyStudySettings
from dao_core.studies.superconductors.settings import SuperconductorSettings
from dao_core.training.config import TrainingConfig
from dao_core.training.property_config import PropertySettings
from dao_core.units import STABLE_BELOW

Model = TypeVar("Model", bound=BaseModel)


MAX_ABOVE_HULL = 10.0  # eV/atom: more than the binding energy of any solid


class Settings(BaseModel):
    """Base of all settings: unknown keys are errors, values do not change."""

    # errors without their input: it may hold the key of a source, and Prefect keeps what an error says
    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False, hide_input_in_errors=True)


class DatasetRelaxation(Settings):
    """Which unstable structures DAO-P relaxes before the second training stage, and how."""

    above_hull: tuple[float, float] = Field((STABLE_BELOW, 0.5), description="eV/atom, from and to; the paper's values")
    max_structures: int | None = Field(None, ge=1, description="the lowest ones only")
    shard_size: int = Field(64, ge=1, description="structures a task")
    relax: RelaxSettings = Field(default_factory=lambda: RelaxSettings(max_steps=50))

    @field_validator("above_hull")
    @classmethod
    def _ordered(cls, value: tuple[float, float]) -> tuple[float, float]:
        if value[0] >= value[1]:
            raise ValueError("give the lower bound first, in eV/atom")
        if value[1] > MAX_ABOVE_HULL:
            raise ValueError(f"{value[1]:g} eV/atom above the hull is no crystal: give eV/atom, not meV")
        return value


PropertyName = Annotated[str, Field(pattern=r"^(electrons|phonons|dispersion [1-9])$")]


class HandOff(Settings):
    """Whether the best candidates go through pw.x: `auto` where it is installed."""

    when: Literal["auto", "never", "always"] = "never"
    top: int = Field(1, ge=1)
    max_atoms: int | None = Field(None, ge=1, description="larger cells are left out, and named; none: no limit")
    settings: DftSettings = Field(default_factory=DftSettings)
    slurm: SlurmSettings | None = Field(None, description="submit pw.x to Slurm instead of running it here")
    references: tuple[Path, ...] = Field((), description="files of elements, preferred to the built-in ones")
    crysdb: Path | None = Field(None, description="folder of a CrysDB that gets a row for each validated structure")
    crysdb_build: BuildConfig = Field(default_factory=BuildConfig, description="the settings of that CrysDB")
    source: str = Field("qe", pattern=r"^[\w-]+$", description="name of those rows' source in CrysDB")
    properties: tuple[PropertyName, ...] = Field((), description="electrons, phonons, dispersion N (q-points an axis)")


class Workers(Settings):
    """Where the tasks of a flow run. The flow itself stays the same."""

    engine: Literal["threads", "dask", "slurm"] = "threads"
    workers: int = Field(1, ge=1)
    address: str | None = Field(None, description="scheduler of a running Dask cluster, such as tls://host:8786")
    dashboard: str | None = Field(
        None, description="where Dask's own dashboard listens, such as 127.0.0.1:8787; anybody who reaches it may look"
    )
    slurm: dict[str, str | int | list[str]] = Field(
        default_factory=dict, description="options of dask_jobqueue.SLURMCluster: queue, cores, memory, walltime, ..."
    )

    @field_validator("slurm")
    @classmethod
    def _units(cls, value: dict[str, Any]) -> dict[str, Any]:
        patterns = {"memory": (r"[\d.]+ ?[KMGT]i?B", "16GB"), "walltime": (r"(\d+-)?\d+:\d\d(:\d\d)?", "04:00:00")}
        for name, (pattern, example) in patterns.items():
            if name in value and not re.fullmatch(pattern, str(value[name])):
                raise ValueError(f"{name}: {value[name]!r} has no unit or a wrong one: write it as {example}")
        return value


def _has_seed(annotation: Any) -> bool:
    """Whether a part of the settings has a seed; one of several kinds, if each has."""
    if isinstance(annotation, UnionType):
        return all(map(_has_seed, annotation.__args__))
    return isinstance(annotation, type) and issubclass(annotation, BaseModel) and "seed" in annotation.model_fields


class RunSettings(Settings):
    """What every run has: a name, a folder, a seed, and where its tasks run."""

    name: str = Field(pattern=r"^[\w.-]+$")
    root: Path
    seed: int = Field(0, description="of all parts that don't give their own")
    workers: Workers = Workers()

    @model_validator(mode="before")
    @classmethod
    def _hand_down_the_seed(cls, data: Any) -> Any:
        if not isinstance(data, Mapping) or "seed" not in data:
            return data
        parts = {
            name: {"seed": data["seed"], **data.get(name, {})}
            for name, field in cls.model_fields.items()
            if _has_seed(field.annotation) and isinstance(data.get(name, {}), Mapping)
        }
        return {**data, **parts}


class RebuildConfig(RunSettings):
    """A scheduled build. Without `crysdb.snapshot` the day (or the week) names the reading of remote sources."""

    crysdb: BuildConfig = BuildConfig()
    every: str = Field("%G-W%V", description="strftime pattern that names the snapshot: by week, or %Y-%m-%d by day")


class RelaxDatasetConfig(RunSettings):
    """Which table, which energy model, how."""

    crysdb: Path
    predictor: str = "dao"
    relaxation: DatasetRelaxation = DatasetRelaxation()


class ValidateConfig(RunSettings):
    """Whose candidates, how many, and how pw.x runs."""

    candidates: Path
    handoff: HandOff = HandOff(when="always", top=3)


GeneratorTraining = Annotated[TrainingConfig, AfterValidator(TrainingConfig.for_generator)]


class PretrainConfig(RunSettings):
    """Both training stages and the relaxation between them."""

    table: Path | None = Field(None, description="a published CrysDB table to train on, instead of building `crysdb`")
    crysdb: BuildConfig = BuildConfig()
    stage1: GeneratorTraining
    predictor: TrainingConfig
    relaxation: DatasetRelaxation = DatasetRelaxation()
    stage2: GeneratorTraining


def _formulas(value: tuple[str, ...]) -> tuple[str, ...]:
    for text in value:
        parse_formula(text)
    return value


def _system(value: str) -> str:
    parse_chemical_system(value)
    return value


Formulas = Annotated[tuple[str, ...], AfterValidator(_formulas)]
System = Annotated[str, AfterValidator(_system)]


class SearchPlan(RunSettings):
    """What is searched, how, what is asked of the best, and whether they go through pw.x."""

    formulas: Formulas = ()
    system: System | None = Field(None, description="all charge-balanced formulas of a system such as Li-Fe-O")
    file: Path | None = Field(None, description="formulas, one a line, or a CSV with a column 'formula'")
    unbalanced: bool = Field(False, description="of the system also formulas that no charge balance allows")
    unit_atoms: int = Field(UNIT_ATOMS, ge=1, description="of the system: most atoms of a formula unit")
    search: SearchSettings = SearchSettings()
    diagnostics: DiagnosticsSettings = DiagnosticsSettings()
    hull: HullChoice = Field("auto", description="the energies of the hull: auto, database, relaxed, none")
    handoff: HandOff = HandOff()

    @model_validator(mode="after")
    def _something(self) -> SearchPlan:
        if not (self.formulas or self.system or self.file):
            raise ValueError("nothing to search: give formulas, a system or a file")
        return self


class CampaignConfig(PretrainConfig, SearchPlan):
    """The whole way from database to report."""

    judge: str = Field("sevennet", description="what ranks after the trained DAO-P: sevennet, chgnet, none, ...")


class ScreenConfig(SearchPlan):
    """A screening with models that exist: formulas in, ranked candidates out."""

    models: ModelNames = ModelNames()
    crysdb: Path | None = Field(None, description="CrysDB table for the hull and for novelty")


class BenchmarkConfig(RunSettings):
    """Which structure prediction benchmark, on which data, with which models."""

    benchmark: Literal["mp-20", "mpts-52", "perov-5", "carbon-24"]
    data: Path = Field(description="folder with the splits")
    generator: str = "generator"
    baseline: str | None = None
    potential: str = "dao"
    templates: Literal["train", "shipped"] = "train"
    settings: BenchmarkSettings = BenchmarkSettings()


class FinetuneConfig(RunSettings):
    """Which rows, which column, how."""

    data: Path = Field(description="Parquet or CSV file, or the folder of a CrysDB table")
    property: PropertySettings


class StudyConfig(RunSettings):
    """Which of the paper's studies, by the `kind` of its settings."""

    study: Annotated[
        LoopSettings | PolymorphSettings | PressureSettings | PropertyStudySettings | SuperconductorSettings,
        Field(discriminator="kind"),
    ]


class Profile(Settings):
    """A machine: what of a run's settings depends on where it runs. Given by `--profile`."""

    workers: Workers


def load_config(path: str | Path, model: type[Model], **changes: Any) -> Model:
    """Read a YAML file as settings.

    Args:
        path: The file.
        model: Class of the settings.
        **changes: Replace top-level keys of the file.

    Returns:
        The settings.

    Raises:
        ConfigFileError: The file is no mapping in YAML, or says something twice.
        ValidationError: A key is unknown or a value wrong; pydantic names it.
        FileNotFoundError: There is no such file.
    """
    return model.model_validate({**read_settings_file(path), **changes})
