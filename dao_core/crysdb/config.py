"""Typed settings of a build; `configs/*.yaml` are instances of `BuildConfig`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from dao_core.crysdb.sources.base import Source, SourceError
from dao_core.crysdb.sources.mapping import ColumnMapping, Columns, MappingOptions
from dao_core.crysdb.sources.settings import (
    MaterialsProjectConfig,
    OptimadeConfig,
    OqmdConfig,
    OqmdIcsdConfig,
    PrototypesConfig,
)
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.steps.dedup import DedupSettings
from dao_core.crysdb.steps.energies import HullSettings
from dao_core.crysdb.steps.leakage import SUPERCONDUCTOR_BENCHMARK, BenchmarkConfig
from dao_core.matching.structure_key import SYMPREC


class FilesConfig(BaseModel):
    """Files on the disk; `functional` names what made their energies and so which hull they go on."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["files"] = "files"
    name: str
    paths: tuple[Path, ...]
    functional: str
    version: str | None = None
    license: str | None = None
    mapping: Columns = ColumnMapping()

    def options(self) -> MappingOptions:
        """What the source adds to each row of its files."""
        return MappingOptions(**self.model_dump(exclude={"kind", "paths"}))


class SampleConfig(BaseModel):
    """The sample that ships with the package."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: Literal["sample"] = "sample"


SourceConfig = Annotated[
    FilesConfig
    | SampleConfig
    | PrototypesConfig
    | OqmdIcsdConfig
    | MaterialsProjectConfig
    | OqmdConfig
    | OptimadeConfig,
    Field(discriminator="kind"),
]


class GuardSettings(BaseModel):
    """What stops a build before it publishes. `allow` lists sources whose change is meant this time."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    max_shrink: float = Field(0.05, ge=0, le=1)
    allow: tuple[str, ...] = ()


class BuildConfig(BaseModel):
    """One build of CrysDB.

    `snapshot` names this reading of sources that have no version of their own (default: today's date): the same name
    continues an interrupted reading, another one reads anew.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    sources: tuple[SourceConfig, ...] = (SampleConfig(),)
    clean: CleanSettings = CleanSettings()
    symprec: float = Field(SYMPREC, gt=0)
    dedup: DedupSettings = DedupSettings()
    hull: HullSettings = HullSettings()
    benchmarks: tuple[BenchmarkConfig, ...] = (SUPERCONDUCTOR_BENCHMARK,)
    guards: GuardSettings = GuardSettings()
    snapshot: str | None = None
    shard_rows: int = Field(10_000, ge=1)
    workers: int = Field(2, ge=1)
    keep_old_stages: bool = False


def sources_of(config: BuildConfig, given: Sequence[Source] | None = None) -> list[Source]:
    """The sources of a build: those that are given, else those of its settings. Raises SourceError where none is."""
    opened = [open_source(s) for s in config.sources] if given is None else list(given)
    if not opened:
        raise SourceError("the settings name no source: list one, such as `- kind: sample`, or leave `sources` out")
    return opened


def open_source(config: Any) -> Source:
    """The source that a config describes; remote ones check their key here. Raises SourceError."""
    if isinstance(config, FilesConfig):
        from dao_core.crysdb.sources.files import FileSource

        return FileSource(config.paths, config.options())
    if isinstance(config, SampleConfig):
        from dao_core.crysdb.sources.sample import SampleSource

        return SampleSource()
    if isinstance(config, PrototypesConfig):
        from dao_core.crysdb.sources.decorated import PrototypeSource

        return PrototypeSource(config)
    if isinstance(config, OqmdIcsdConfig):
        from dao_core.crysdb.sources.oqmd_icsd import OqmdIcsdSource

        return OqmdIcsdSource(config.path)
    from dao_core.crysdb.sources.remote import open_remote

    return open_remote(config)
