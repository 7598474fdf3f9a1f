"""What every study of the paper is made of: shared inputs, parts that are done one by one, figures, plots."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ConfigDict, Field

if TYPE_CHECKING:
    import pandas as pd

Rows = list[dict[str, Any]]


class StudyError(ValueError):
    """A study that cannot run on what it was given; the message says what to do."""


class StudySettings(BaseModel):
    """What all studies have in common."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    data: Path = Field(Path("../shared/data"), description="folder of the development data")
    seed: int = 0


@dataclass(frozen=True)
class Study:
    """A study as functions of its settings.

    Attributes:
        name: As in `dao study NAME`.
        settings: Class of its settings.
        prepare: (settings, folder) to facts: writes what the parts share. Raises StudyError where nothing is left.
        parts: (settings, prepared folder) to the names of the parts; each is done once and kept.
        measure: (part, settings, prepared folder) to the part's rows by the name of the table.
        summarise: (tables, settings, facts of `prepare`) to the report's figures, plain JSON values.
        plot: (tables, report, folder): writes the pictures.
        inputs: settings to what names the inputs beside the settings, such as the identity of a model.
    """

    name: str
    settings: type[StudySettings]
    prepare: Callable[[Any, Path], dict[str, Any]]
    parts: Callable[[Any, Path], list[str]]
    measure: Callable[[str, Any, Path], dict[str, Rows]]
    summarise: Callable[[Mapping[str, pd.DataFrame], Any, Mapping[str, Any]], dict[str, Any]]
    plot: Callable[[Mapping[str, pd.DataFrame], Mapping[str, Any], Path], None]
    inputs: Callable[[Any], dict[str, Any]]


def identity_of(paths: Sequence[Path]) -> list[tuple[str, int, int]]:
    """Name, size and time of some files: another file makes other results.

    Args:
        paths: The files.

    Raises:
        StudyError: One is missing.
    """
    for path in paths:
        if not path.exists():
            raise StudyError(f"{path} is not there: --data names the folder with the data of the studies")
    return [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in paths]
