"""Tasks of a study: what its parts share, one part, the report with figures, tables and pictures."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import (
    MANIFEST,
    StageRecord,
    content_key,
    file_sha256,
    plain,
    published,
    refuse_foreign,
    write_atomic,
)
from dao_core.code_version import code_version
from dao_core.studies.registry import load_study
from dao_core.studies.study import Rows, StudySettings
from tasks.crysdb import ledger_of
from tasks.prefect_api import task

if TYPE_CHECKING:
    import pandas as pd

PREPARED, ROWS, REPORT = "prepared", "rows.json", "report.json"


@task(name="prepare study")
def prepare_study(settings: StudySettings, root: str) -> StageRecord:
    """What all parts of a study share."""
    return prepare_stage(settings, root)


@task(name="study part", retries=1)
def measure_part(part: str, prepared: StageRecord, settings: StudySettings, root: str) -> StageRecord:
    """One part of a study."""
    return part_stage(part, prepared, settings, root)


@task(name="study report")
def report_study(done: Sequence[StageRecord], prepared: StageRecord, settings: StudySettings, root: str) -> StageRecord:
    """Figures, tables and pictures of all parts."""
    return report_stage(done, prepared, settings, root)


def _name(settings: StudySettings) -> str:
    return str(settings.kind)  # type: ignore[attr-defined]


def _without_place(settings: StudySettings) -> StudySettings:
    """The settings with the data where they are by default: what is read of the folder stands among the inputs.

    Another spelling of the same folder, or one that a study does not read, is no other study.
    """
    return settings.model_copy(update={"data": StudySettings.model_fields["data"].default})


def prepare_stage(settings: StudySettings, root: str) -> StageRecord:
    """The ledger stage behind `prepare_study`.

    Args:
        settings: Of the study; their `kind` names it.
        root: Folder of the run.

    Raises:
        StudyError: The study cannot run on what is there.
    """
    study = load_study(_name(settings))

    def work(directory: Path) -> dict[str, Any]:
        folder = directory / PREPARED
        folder.mkdir()
        return {"facts": plain(study.prepare(settings, folder))}

    key = content_key(
        settings=_without_place(settings), inputs=study.inputs(settings), code=code_version(study.prepare)
    )
    return ledger_of(root).run(f"{study.name}-prepared", key, work)


def parts_of(prepared: StageRecord, settings: StudySettings) -> list[str]:
    """Names of a study's parts."""
    return load_study(_name(settings)).parts(settings, prepared.file(PREPARED))


def part_stage(part: str, prepared: StageRecord, settings: StudySettings, root: str) -> StageRecord:
    """The ledger stage behind `measure_part`; a killed study repeats only the part that was in work.

    Args:
        part: Of `parts_of`.
        prepared: Of `prepare_stage`.
        settings: Of the study.
        root: Folder of the run.
    """
    study = load_study(_name(settings))

    def work(directory: Path) -> dict[str, Any]:
        begin, cpu = time.monotonic(), time.process_time()
        tables = study.measure(part, settings, prepared.file(PREPARED))
        write_atomic(directory / ROWS, json.dumps(plain(tables)))
        spent = {"seconds": round(time.monotonic() - begin, 1), "cpu_seconds": round(time.process_time() - cpu, 1)}
        return {"counts": {f"n_{name}": len(rows) for name, rows in tables.items()}, "facts": {"part": part, **spent}}

    return ledger_of(root).run(f"{study.name}-part", _part_key(part, prepared, settings), work)


def finished_part(part: str, prepared: StageRecord, settings: StudySettings, root: str) -> StageRecord | None:
    """The record of a part that is done already, else None.

    Args:
        part: Of `parts_of`.
        prepared: Of `prepare_stage`.
        settings: Of the study.
        root: Folder of the run.
    """
    return ledger_of(root).find(f"{_name(settings)}-part", _part_key(part, prepared, settings))


def _part_key(part: str, prepared: StageRecord, settings: StudySettings) -> str:
    study = load_study(_name(settings))
    return content_key(
        part=part, prepared=prepared.key, settings=_without_place(settings), inputs=study.inputs(settings),
        code=code_version(study.measure),
    )  # fmt: skip


def report_stage(done: Sequence[StageRecord], prepared: StageRecord, settings: StudySettings, root: str) -> StageRecord:
    """The ledger stage behind `report_study`: `report.json`, a Parquet file a table, the pictures.

    Args:
        done: Of `part_stage`, all parts.
        prepared: Of `prepare_stage`.
        settings: Of the study.
        root: Folder of the run.
    """
    study = load_study(_name(settings))

    def work(directory: Path) -> dict[str, Any]:
        tables = gather(done)
        report = plain(study.summarise(tables, settings, prepared.facts))
        report["run"] = {
            "study": study.name,
            "settings": settings.model_dump(mode="json", exclude={"data"}),
            "parts": len(done),
            "of": len(parts_of(prepared, settings)),
            "cpu_seconds": round(sum(r.facts["cpu_seconds"] for r in done), 1),
            "seconds": round(sum(r.facts["seconds"] for r in done), 1),
            "cores": os.cpu_count(),
        }
        write_atomic(directory / REPORT, json.dumps(report, indent=1))
        for name, table in tables.items():
            table.to_parquet(directory / f"{study.name}-{name}.parquet", index=False)
        study.plot(tables, report, directory)
        return {"counts": {"n_parts": len(done)}, "facts": report["run"]}

    code = code_version(study.summarise, study.plot)
    key = content_key(done=[r.key for r in done], settings=_without_place(settings), code=code)
    return ledger_of(root).run(f"{study.name}-report", key, work)


def check_report_place(settings: StudySettings, folder: Path) -> None:
    """See, before the work, that what `report_stage` makes can go into a folder.

    Args:
        settings: Of the study.
        folder: Where it goes; it need not exist.

    Raises:
        ForeignFileError: Somebody else's file is in the place of one of them.
    """
    name = _name(settings)
    names = [MANIFEST, REPORT, f"{name}.png", *(p.name for p in folder.glob(f"{name}-*.parquet"))]
    refuse_foreign(folder, names, [*published(folder), *unlisted_files(folder)])


def unlisted_files(folder: Path) -> list[str]:
    """What an older version, which kept no list of what it published, left in a folder and nobody has changed since.

    It copied the stage of the report as it was, so the stage's manifest is there and says what each file held.

    Args:
        folder: Of a report; it need not exist.

    Returns:
        Names of files, the manifest's own among them; none where there is no manifest of a report.
    """
    try:
        manifest = json.loads((folder / MANIFEST).read_text())
        if not manifest["stage"].endswith("-report"):
            return []
        sums = {str(name): entry["sha256"] for name, entry in manifest["files"].items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return []
    there = [name for name in sums if (folder / name).is_file()]
    return [MANIFEST, *(name for name in there if file_sha256(folder / name) == sums[name])]


def gather(done: Sequence[StageRecord]) -> dict[str, pd.DataFrame]:
    """The rows of all parts by the name of the table.

    Args:
        done: Of `part_stage`.
    """
    import pandas as pd

    rows: dict[str, Rows] = {}
    for record in done:
        for name, more in json.loads(record.file(ROWS).read_text()).items():
            rows.setdefault(name, []).extend(more)
    return {name: pd.DataFrame(more) for name, more in rows.items()}
