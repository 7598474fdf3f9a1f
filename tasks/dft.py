"""The hand-off to Quantum ESPRESSO."""

from __future__ import annotations

import shutil
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from dao_core.artifacts import StageRecord
from dao_core.crystal import Crystal
from dao_core.dft.to_crysdb import Stored
from dao_core.screening.candidate import Candidate
from tasks.config import HandOff
from tasks.crysdb import ledger_of
from tasks.prefect_api import create_table_artifact, get_run_logger, task


class NothingValidatedError(RuntimeError):
    """Every candidate failed; the message gives the first one's reason, the run's summary all of them."""


@dataclass(frozen=True)
class Verdict:
    """What pw.x said about one candidate: a named status, and energies in eV/atom where there are any."""

    id: str
    formula: str
    status: str
    message: str = ""
    formation_energy_per_atom: float | None = None
    e_above_hull: float | None = None
    same_structure: bool | None = None
    seconds: float = 0.0
    dao_error: float | None = None  # DAO-P's formation energy minus pw.x's, eV/atom


@task(name="validate with pw.x")
def validate_best(ranked: StageRecord, handoff: HandOff, root: str) -> list[Verdict]:
    """Take the best candidates through pw.x. A failed calculation is a status, never the end of the flow."""
    from dao_core.screening.candidate_table import load_candidates
    from dao_core.screening.stages import CANDIDATES

    log = get_run_logger()
    command = handoff.settings.command.split()[0]
    if handoff.when == "never":
        return []
    if handoff.when == "auto" and handoff.slurm is None and shutil.which(command) is None:
        log.info("%s is not installed: nothing validated (handoff.when: auto)", command)
        return []
    verdicts = [
        _verdict(c.id, c.crystal, c.model_formation_energy, handoff, root)
        for c in best(load_candidates(ranked.file(CANDIDATES)), handoff)
    ]
    for verdict in verdicts:
        log.info("pw.x on %s: %s %s", verdict.formula, verdict.status, verdict.message)
    if verdicts:
        create_table_artifact(key="pw-x", table=[asdict(v) for v in verdicts], description="Quantum ESPRESSO")
    return verdicts


@task(name="choose candidates")
def choose_best(path: str, handoff: HandOff) -> list[dict[str, Any]]:
    """The best candidates of a screening's `candidates.parquet`, as small plain records."""
    from dao_core.screening.report.files import best_rows

    return best_rows(Path(path), top=handoff.top, max_atoms=handoff.max_atoms)


@task(name="rows for CrysDB")
def store_rows(handoff: HandOff, root: str) -> Stored:
    """Everything validated so far as rows: a file, and the CrysDB that the settings name. The loop closes here."""
    from dao_core.dft.to_crysdb import store

    stored = store(ledger_of(root), handoff.settings, source=handoff.source, crysdb=handoff.crysdb,
                   config=handoff.crysdb_build)  # fmt: skip
    if stored.problem:
        get_run_logger().warning("rows of validated structures: %s", stored.problem)
    return stored


@task(name="validate a candidate")
def validate_candidate(row: dict[str, Any], handoff: HandOff, root: str) -> Verdict:
    """Take one chosen candidate through pw.x."""
    import numpy as np

    from dao_core.crystal import Crystal

    lattice = np.array(row["lattice"]).reshape(3, 3)
    crystal = Crystal(lattice, np.array(row["frac_coords"]).reshape(-1, 3), np.array(row["atomic_numbers"]))
    return _verdict(str(row["id"]), crystal, row["model_formation_energy"], handoff, root)


def best(candidates: list[Candidate], handoff: HandOff) -> list[Candidate]:
    """The best candidate of each formula that is small enough, in rank order."""
    chosen: dict[str, Candidate] = {}
    for c in candidates:
        if c.usable and c.crystal.n_atoms <= handoff.max_atoms:
            chosen.setdefault(c.formula, c)
    return list(chosen.values())[: handoff.top]


def _verdict(name: str, crystal: Crystal, formation: float | None, handoff: HandOff, root: str) -> Verdict:
    from dao_core.dft.element_references import read_references
    from dao_core.dft.launch.slurm import make_launcher
    from dao_core.dft.pw.input import InputError
    from dao_core.dft.validate import validate_crystal

    try:
        references = read_references(handoff.references)
    except InputError as error:
        return Verdict(name, crystal.formula_reduced, "invalid_settings", str(error))
    result = validate_crystal(
        crystal,
        handoff.settings,
        ledger_of(root).root,
        dao_formation_energy_per_atom=formation,
        references=references,
        launcher=make_launcher(handoff.settings, handoff.slurm),
        material_id=name,
    )
    return Verdict(
        name,
        crystal.formula_reduced,
        result.status,
        result.message,
        result.formation_energy_per_atom,
        result.e_above_hull,
        result.same_structure,
        result.wall_seconds,
        result.dao_error,
    )
