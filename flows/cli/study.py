"""`dao study ...`: the paper's studies, each one command; a killed one continues with the next part."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flows.cli.console import quiet_libraries
from flows.cli.errors import fail, interruptible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dao_core.artifacts import StageRecord
    from tasks.config import StudyConfig

CONFIG = "study-{name}.yaml"


def study(
    name: Annotated[str, typer.Argument(help="polymorphs, superconductors, properties, loop or pressure.")],
    config: Annotated[Path | None, typer.Option(help="YAML settings; default: those of the package, small.")] = None,
    data: Annotated[Path | None, typer.Option(help="Folder of the data instead of the one in the settings.")] = None,
    root: Annotated[Path | None, typer.Option(help="Folder of the run instead of the one in the settings.")] = None,
    done_only: Annotated[bool, typer.Option("--done-only", help="Report what is finished, measure nothing.")] = False,
) -> None:
    """Run one of the paper's studies: figures, raw results as Parquet and pictures in the run's folder `report`.

    Finished parts are kept: the same command goes on. The settings that ship take under 20 minutes on one core.

    Example:  dao study polymorphs --data ../shared/data
    """
    run_study(_settings(name, config, data, root), done_only=done_only)


def _settings(name: str, path: Path | None, data: Path | None, root: Path | None) -> StudyConfig:
    """The settings of a study with what the command line replaces."""
    from dao_core.settings_file import read_settings_file
    from dao_core.studies.registry import load_study
    from tasks.config import StudyConfig, load_config

    load_study(name)
    if path is None:
        from importlib.resources import files

        path = Path(str(files("configs") / CONFIG.format(name=name)))
    changes: dict[str, Any] = {} if root is None else {"root": root}
    if data is not None:
        own = read_settings_file(path).get("study")
        changes["study"] = {**(own if isinstance(own, dict) else {}), "data": data}
    loaded = load_config(path, StudyConfig, **changes)
    if loaded.study.kind != name:
        fail(f"{path} has the settings of the study {loaded.study.kind}, not of {name}")
    return loaded


def run_study(config: StudyConfig, *, done_only: bool = False) -> None:
    """One study in this process, part by part through the ledger; the last line printed is JSON.

    Args:
        config: Its settings.
        done_only: Report the parts that are done; the others are left for another time.

    Raises:
        StudyError: The study cannot run on what is there.
    """
    import json

    quiet_libraries()
    import torch

    from dao_core.artifacts import publish_into
    from tasks.preflight import preflight
    from tasks.run_log import record_command
    from tasks.studies import REPORT, check_report_place, parts_of, prepare_stage, report_stage, unlisted_files

    torch.set_num_threads(1)
    preflight(config)
    settings, root = config.study, str(config.root)
    check_report_place(settings, config.root / "report")
    hint = "the same command continues with the next part"
    with interruptible(hint), record_command(root, config.name) as log:
        with log.stage("prepare"):
            prepared = prepare_stage(settings, root)
        names = parts_of(prepared, settings)
        with log.stage("measure"):
            done = _measured(names, prepared, config, done_only=done_only)
        with log.stage("report"):
            record = report_stage(done, prepared, settings, root)
            folder = config.root / "report"
            publish_into(Path(record.path), folder, unlisted_files(folder))
    report = json.loads((folder / REPORT).read_text())
    print(f"parts: {len(done)} of {len(names)}")
    print(f"figures, tables and pictures: {folder}")
    print(json.dumps(report))


def _measured(
    names: Sequence[str], prepared: StageRecord, config: StudyConfig, *, done_only: bool
) -> list[StageRecord]:
    """The parts, one after the other; fails where nothing is done yet and nothing is to be measured."""
    from tasks.studies import finished_part, part_stage

    settings, root = config.study, str(config.root)
    if done_only:
        found = [r for r in (finished_part(name, prepared, settings, root) for name in names) if r is not None]
        return found or fail(f"no part below {root} is done with these settings: leave out --done-only")
    done = []
    for number, name in enumerate(names, start=1):
        done.append(part_stage(name, prepared, settings, root))
        print(f"{number}/{len(names)}: {name}, {done[-1].facts['cpu_seconds']} s", flush=True)
    return done
