"""Results of validations as rows of CrysDB: source `qe`, with its own functional string and so its own hull.

The ledger holds every calculation, so the rows (candidates and the elements that their formation energies refer to) are
made from it anew each time: nothing can get lost between a validation and the database.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import Ledger, content_key, written_whole
from dao_core.dft.calculation import STAGE
from dao_core.dft.hull import entry_files, entry_labels
from dao_core.dft.pseudo.library import PseudopotentialError, find_library
from dao_core.dft.pw.result import PwResult, read_result
from dao_core.dft.session import functional_label
from dao_core.dft.settings import DftSettings, ProtocolFileError
from dao_core.dft.validate import ValidationResult

if TYPE_CHECKING:
    from dao_core.crysdb.build.update import UpdateReport
    from dao_core.crysdb.config import BuildConfig
    from dao_core.crysdb.schema import CrysRecord
    from dao_core.crystal import Crystal

SOURCE, FOLDER = "qe", "dft_rows"


@dataclass(frozen=True)
class CrysdbRows:
    """Where the rows are: how many in which file, the version of CrysDB that has them, or why none does."""

    n_rows: int
    file: str | None = None
    version: int | None = None
    problem: str = ""


class FeedbackError(RuntimeError):
    """Rows of validated structures cannot go into a CrysDB; the message says why and what to do."""


def to_record(result: ValidationResult, *, source: str = SOURCE) -> CrysRecord:
    """The row of a validated crystal.

    Args:
        result: Of `validate_crystal`.
        source: Name of the source in CrysDB.

    Returns:
        A record with energy in eV/atom, forces in eV/angstrom, stress in eV/angstrom^3.

    Raises:
        ValueError: The result is not validated: nothing half-known goes into the database.
    """
    if not result.ok or result.crystal is None or result.final is None or result.energy_per_atom is None:
        raise ValueError(f"{result.formula} is {result.status}, only validated results become rows")
    entry = {
        "functional": result.functional, "energy_per_atom": result.energy_per_atom, "parent_id": result.material_id,
    }  # fmt: skip
    return _row(result.crystal, result.final, entry, source)


def ledger_records(ledger: Ledger, functional: str, *, source: str = SOURCE) -> list[CrysRecord]:
    """Rows of everything validated at one level so far, elements included.

    Args:
        ledger: Of the calculations.
        functional: Label of the energies.
        source: Name of the source in CrysDB.

    Returns:
        Records by id.
    """
    rows: dict[str, CrysRecord] = {}
    for entry in entry_files(ledger, functional):
        record = ledger.find(STAGE, entry["calculation"])
        result = None if record is None else read_result(record)
        if result is None or not result.ok or result.crystal is None:
            continue  # damaged or set aside: the calculation will be repeated
        row = _row(result.crystal, result, entry, source)
        rows[row.material_id] = row
    return [rows[name] for name in sorted(rows)]


def _row(crystal: Crystal, final: PwResult, entry: Mapping[str, Any], source: str) -> CrysRecord:
    from dao_core.crysdb.schema import CrysRecord

    return CrysRecord.from_crystal(
        crystal,
        material_id=f"{source}-{final.key}",
        source=source,
        functional=entry["functional"],
        source_version=final.version,
        energy_per_atom=entry["energy_per_atom"],
        parent_id=entry.get("parent_id"),
        forces=None if final.forces is None else np.array(final.forces),
        stress=None if final.stress is None else np.array(final.stress),
    )


def write_rows(rows: Sequence[CrysRecord], path: Path) -> Path:
    """Write rows as a Parquet file with CrysDB's columns; a source of the kind `files` reads it too.

    Args:
        rows: Records.
        path: The file; it appears whole or not at all.

    Returns:
        The path.
    """
    import pyarrow.parquet as pq

    from dao_core.crysdb.schema import records_to_table

    path.parent.mkdir(parents=True, exist_ok=True)
    with written_whole(path) as temporary:
        pq.write_table(records_to_table(rows), temporary)
    return path


def collect_rows(
    ledger: Ledger,
    settings: DftSettings,
    *,
    source: str = SOURCE,
    crysdb: Path | None = None,
    config: BuildConfig | None = None,
) -> CrysdbRows:
    """Gather everything validated so far at one level: as a file below the ledger, and in a CrysDB if one is named.

    Args:
        ledger: Of the calculations.
        settings: Their level.
        source: Name of the source in CrysDB.
        crysdb: Folder of the database.
        config: Settings that it was built with.

    Returns:
        File, version and number of rows; a database that refuses is a `problem`, the file stands all the same; no
        validated row means no file.
    """
    from dao_core.crysdb.config import BuildConfig as Defaults

    try:
        label = functional_label(find_library(settings.pseudo_dir), settings)
    except (PseudopotentialError, ProtocolFileError) as error:
        return CrysdbRows(0, problem=str(error))
    done = [
        _collect(ledger, name, f"{source}{'' if name == label else '-' + content_key(name=name)[:6]}", target)
        for target in [None if crysdb is None else (crysdb, config or Defaults())]
        for name in (label, *labels_with_hubbard(ledger, label))
    ]
    written = [rows for rows in done if rows.n_rows]
    if not written:
        return CrysdbRows(0)
    return CrysdbRows(
        sum(rows.n_rows for rows in written),
        ", ".join(rows.file for rows in written if rows.file),
        max((rows.version for rows in written if rows.version is not None), default=None),
        "; ".join(rows.problem for rows in written if rows.problem),
    )


def labels_with_hubbard(ledger: Ledger, label: str) -> list[str]:
    """Labels of the energies with U that were computed at a level; each is a hull of its own."""
    return sorted({name for name in entry_labels(ledger) if name.startswith(f"{label}|U(")})


def _collect(ledger: Ledger, label: str, source: str, target: tuple[Path, BuildConfig] | None) -> CrysdbRows:
    """Rows of one label as a file, and in the CrysDB of `target` (its folder and settings) where one is named."""
    from dao_core.crysdb.build.build import BuildStoppedError
    from dao_core.crysdb.build.state import UpdateError
    from dao_core.crysdb.table import TableError

    rows = ledger_records(ledger, label, source=source)
    if not rows:
        return CrysdbRows(0)
    slug = re.sub(r"[^A-Za-z0-9.]+", "_", label)
    path = write_rows(rows, ledger.root / FOLDER / f"{source}_{slug}.parquet")
    if target is None:
        return CrysdbRows(len(rows), str(path))
    try:
        report = feed_back(path, *target)
    except (FeedbackError, UpdateError, TableError, BuildStoppedError) as error:
        return CrysdbRows(len(rows), str(path), problem=f"not in {target[0]}: {error}")
    return CrysdbRows(len(rows), str(path), report.version)


def feed_back(rows_file: Path, root: Path, config: BuildConfig) -> UpdateReport:
    """Put a file of rows into a CrysDB.

    Only what is new is worked on; what the source gave before stays. Rebuilds and full updates read the rows again.

    Args:
        rows_file: From `write_rows`.
        root: Folder of the database.
        config: Settings that it was built with.

    Returns:
        What the update did.

    Raises:
        FeedbackError: The database has rows of this source at another level.
        UpdateError: The settings differ.
        TableError: There is no table.
    """
    from dao_core.crysdb.build.changes import Reading
    from dao_core.crysdb.build.update import update
    from dao_core.crysdb.sources.records import RecordsSource, keep_fed_back
    from dao_core.crysdb.table import CrysTable

    source = RecordsSource(rows_file)
    known = CrysTable(root / "table").facts().get("sources", {}).get(source.name)
    if known is not None and known["functional"] != source.functional:
        raise FeedbackError(
            f"{root} holds rows of {source.name!r} at the level {known['functional']}, these are at "
            f"{source.functional}: give the source another name, one level has one hull"
        )
    report = update(config, root, sources=[source], reading=Reading(partial=True))
    keep_fed_back(source, root)
    return report
