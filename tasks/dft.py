"""The hand-off to Quantum ESPRESSO."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.artifacts import StageRecord
from dao_core.dft.to_crysdb import CrysdbRows
from tasks.config import HandOff
from tasks.crysdb import ledger_of
from tasks.prefect_api import create_table_artifact, get_run_logger, task

if TYPE_CHECKING:
    from dao_core.dft.validate import ValidationRun


class NothingValidatedError(RuntimeError):
    """Every candidate failed; the message gives the first one's reason, the run's summary all of them."""


@dataclass(frozen=True)
class ValidationSummary:
    """What pw.x says about one candidate: a named status, and energies in eV/atom where there are any."""

    id: str
    formula: str
    status: str
    message: str = ""
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    same_structure: bool | None = None
    seconds: float = 0.0
    dao_error: float | None = None  # DAO-P's formation energy minus pw.x's, eV/atom
    page_part: str | None = None  # file of what a page shows of it


@task(name="validate with pw.x")
def validate_best(report: StageRecord, handoff: HandOff, root: str) -> list[ValidationSummary]:
    """Take the best candidates of a report through pw.x. A failed one is a status, never the end of the flow.

    Args:
        report: Stage of a screening's report.
        handoff: How many, and at which level.
        root: Folder of the run.

    Returns:
        A summary of each.
    """
    log = get_run_logger()
    command = handoff.settings.command.split()[0]
    if handoff.when == "never":
        return []
    if handoff.when == "auto" and handoff.slurm is None and shutil.which(command) is None:
        log.info("%s is not installed: nothing validated (handoff.when: auto)", command)
        return []
    chosen = choose_best.fn(str(report.file("report") / "candidates.parquet"), handoff)
    summaries = [validate_candidate.fn(row, handoff, root) for row in chosen]
    for summary in summaries:
        log.info("pw.x on %s: %s %s", summary.formula, summary.status, summary.message)
    if summaries:
        create_table_artifact(key="pw-x", table=[asdict(s) for s in summaries], description="Quantum ESPRESSO")
    return summaries


@task(name="choose candidates")
def choose_best(path: str, handoff: HandOff) -> list[dict[str, Any]]:
    """The best candidates of a screening; what is left out is logged.

    Args:
        path: Its `candidates.parquet`.
        handoff: How many, and how large they may be.

    Returns:
        Small plain records, best first.

    Raises:
        CandidatesError: The file is no such table.
    """
    from dao_core.dft.candidate_files import REPORT_COLUMNS, require_columns
    from dao_core.screening.report.files import best_rows

    require_columns(Path(path), REPORT_COLUMNS)
    best = best_rows(Path(path), top=handoff.top, max_atoms=handoff.max_atoms)
    if best.left_out:
        get_run_logger().warning("not validated: %s; handoff.max_atoms lifts the limit", best.left_out)
    return best.rows


@task(name="rows for CrysDB")
def collect_rows(handoff: HandOff, root: str) -> CrysdbRows:
    """Everything validated so far as rows: a file, and the CrysDB that the settings name. The loop closes here."""
    from dao_core.dft import to_crysdb

    rows = to_crysdb.collect_rows(ledger_of(root), handoff.settings, source=handoff.source, crysdb=handoff.crysdb,
                                  config=handoff.crysdb_build)  # fmt: skip
    if rows.problem:
        get_run_logger().warning("rows of validated structures: %s", rows.problem)
    return rows


@task(name="validate a candidate")
def validate_candidate(row: dict[str, Any], handoff: HandOff, root: str) -> ValidationSummary:
    """Take one chosen candidate through pw.x."""
    import numpy as np

    from dao_core.crystal import Crystal
    from dao_core.dft.properties import compute_properties
    from dao_core.dft.pw.input import InputError
    from dao_core.dft.validate import validate_crystal
    from dao_core.screening.report.first_principles import save_first_principles

    lattice = np.array(row["lattice"]).reshape(3, 3)
    crystal = Crystal(lattice, np.array(row["frac_coords"]).reshape(-1, 3), np.array(row["atomic_numbers"]))
    name, formula = str(row["id"]), crystal.formula_reduced
    try:
        run = _run(handoff, root)
    except InputError as error:
        return ValidationSummary(name, formula, "invalid_settings", str(error))
    result = validate_crystal(
        crystal, run, material_id=name, dao_formation_energy_per_atom=row["model_formation_energy"]
    )
    properties = compute_properties(run, result, handoff.properties) if result.ok and handoff.properties else None
    return ValidationSummary(
        name,
        formula,
        result.status,
        result.message,
        result.formation_energy_per_atom,
        result.e_above_hull,
        result.same_structure,
        result.wall_seconds,
        result.dao_error,
        str(save_first_principles(Path(run.root), result, properties)),
    )


@task(name="first principles in the page")
def show_in_page(summaries: list[ValidationSummary], page: str) -> int:
    """Put what pw.x said into the page of the screening; returns how many candidates of it got something."""
    from dao_core.screening.report.first_principles import show_first_principles

    parts = [Path(s.page_part) for s in summaries if s.page_part is not None]
    return show_first_principles(Path(page), parts) if parts and Path(page).is_file() else 0


def _run(handoff: HandOff, root: str) -> ValidationRun:
    from dao_core.dft.element_references import read_references
    from dao_core.dft.launch.slurm import make_launcher
    from dao_core.dft.validate import ValidationRun

    launcher = make_launcher(handoff.settings, handoff.slurm)
    return ValidationRun(handoff.settings, ledger_of(root).root, launcher, read_references(handoff.references))
