"""The search as ledger stages: each finished piece is found again, so a killed screening continues where it was."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.energy.potential import Potential
from dao_core.screening.analysis.stages import diagnosis_notes, merge_diagnoses
from dao_core.screening.candidate import Candidate
from dao_core.screening.candidate_table import load_candidates, save_candidates
from dao_core.screening.formulas import Formula
from dao_core.screening.load_references import References
from dao_core.screening.pipeline import screen
from dao_core.screening.report.page import write_report
from dao_core.screening.report.page_data import ReportInfo
from dao_core.screening.search import (
    Proposed,
    SearchModels,
    SearchSettings,
    propose,
    relax_proposals,
    relaxation_steps,
    single_points,
    unrelaxed_candidate,
    with_spread,
)

# raise a stage's number when its output changes for the same input
PROPOSE, RELAX, RANK, REPORT = "propose-7", "relax-3", "rank-3", "report-2"
CANDIDATES, REFUSED, INFO = "candidates.parquet", "refused.json", "info.json"


def propose_stage(ledger: Ledger, formula: Formula, models: SearchModels, settings: SearchSettings) -> StageRecord:
    """Proposals for one formula with their energies as they stand, lowest first: `candidates.parquet`."""

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        made = propose(formula, models, settings)
        energies = single_points([p.crystal for p in made.items], models.potential)
        rows = [unrelaxed_candidate(p, e, models.potential.identity) for p, e in zip(made.items, energies, strict=True)]
        rows.sort(key=lambda c: (c.energy_per_atom is None, c.energy_per_atom or 0.0, c.id))
        save_candidates(rows, directory / CANDIDATES)
        (directory / REFUSED).write_text(json.dumps(made.refused))
        return {
            "counts": {"n_asked": len(rows) + len(made.refused), "n_ok": len(rows), "n_failed": len(made.refused)},
            "facts": {"formula": formula.reduced, "seconds": time.monotonic() - begin},
        }

    key = content_key(
        code=PROPOSE,
        formula=formula.reduced,
        generator=None if models.generator is None else models.generator.identity,
        templates=None if models.templates is None else models.templates.source,
        potential=models.potential.identity,
        settings=settings.model_dump(exclude={"relax", "budget_seconds", "max_relaxed", "given", "keep_symmetry"}),
        given=settings.given.fingerprint(),
    )
    return ledger.run("propose", key, work)


def n_chunks(proposed: StageRecord, settings: SearchSettings) -> int:
    """How many pieces the relaxation of a formula's proposals has."""
    n = proposed.counts["n_ok"] if settings.max_relaxed is None else min(settings.max_relaxed, proposed.counts["n_ok"])
    return -(-n // settings.relax.batch_size)


def relax_stage(
    ledger: Ledger, proposed: StageRecord, chunk: int, potential: Potential, settings: SearchSettings
) -> StageRecord:
    """Relax one piece of a formula's proposals."""

    def work(directory: Path) -> dict[str, Any]:
        begin, size = time.monotonic(), settings.relax.batch_size
        last = (chunk + 1) * size if settings.max_relaxed is None else min((chunk + 1) * size, settings.max_relaxed)
        rows = load_candidates(proposed.file(CANDIDATES))[chunk * size : last]
        proposals = [Proposed(c.id, c.crystal, c.origin, dict(c.provenance)) for c in rows]
        relaxed = with_spread(relax_proposals(proposals, potential, settings), potential)
        save_candidates(relaxed, directory / CANDIDATES)
        n_ok = sum(c.usable for c in relaxed)
        counts = {"n_asked": len(rows), "n_ok": n_ok, "n_failed": len(rows) - n_ok}
        return {"counts": counts, "facts": {"seconds": time.monotonic() - begin}}

    key = content_key(
        code=RELAX,
        proposals=proposed.key,
        chunk=chunk,
        potential=potential.identity,
        relax=settings.relax.model_dump(),
        keep_symmetry=settings.keep_symmetry,
        given=settings.given.fingerprint(),
        max_relaxed=settings.max_relaxed,
    )
    return ledger.run("relax", key, work)


def gather(proposed: Sequence[StageRecord], relaxed: Sequence[StageRecord]) -> tuple[list[Candidate], list[str]]:
    """Every proposal once, relaxed where it was its turn, as it stands elsewhere; and what could not be made."""
    done = {c.id: c for record in relaxed for c in load_candidates(record.file(CANDIDATES))}
    out: list[Candidate] = []
    refused: list[str] = []
    for record in proposed:
        out += [done.get(c.id, c) for c in load_candidates(record.file(CANDIDATES))]
        refused += json.loads(record.file(REFUSED).read_text())
    return out, refused


def rank_stage(
    ledger: Ledger,
    proposed: Sequence[StageRecord],
    relaxed: Sequence[StageRecord],
    potential: Potential,
    *,
    references: References | None = None,
) -> StageRecord:
    """Merge, place on the hull, judge novelty and rank: `candidates.parquet`, and the page's head as `info.json`."""
    seen = references or References()

    def work(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        candidates, refused = gather(proposed, relaxed)
        found = screen(candidates, hull=seen.hull, novelty=seen.known, potential=potential)
        seconds = {"propose": _seconds(proposed), "relax": _seconds(relaxed), "rank": time.monotonic() - begin}
        if seen.seconds:
            seconds["hull"] = seen.seconds
        info: dict[str, Any] = {
            "n_asked": found.n_asked + len(refused),
            "n_ok": found.n_ok,
            "n_failed": found.n_failed + len(refused),
            "n_merged": found.n_merged,
            "reasons": {**found.reasons, **({"not made": len(refused)} if refused else {})},
            "stages": seconds,
            "work": {"proposals": len(candidates), "relaxation steps": relaxation_steps(candidates)},
            "notes": [*seen.notes, *sorted(set(refused))[:20]],
        }
        (directory / INFO).write_text(json.dumps(info))
        save_candidates(found.candidates, directory / CANDIDATES)
        names = ("n_asked", "n_ok", "n_failed", "n_merged")
        return {"counts": {n: int(info[n]) for n in names} | {"n_distinct": len(found.candidates)}}

    key = content_key(
        code=RANK,
        proposed=[r.key for r in proposed],
        relaxed=sorted(r.key for r in relaxed),
        potential=potential.identity,
        references=seen.key,
        hull=None if seen.hull is None else seen.hull.label.made_by,
    )
    return ledger.run("rank", key, work)


def report_stage(
    ledger: Ledger,
    ranked: StageRecord,
    potential: Potential,
    *,
    title: str,
    diagnosed: Sequence[StageRecord] = (),
    references: References | None = None,
    facts: dict[str, Any] | None = None,
) -> StageRecord:
    """The answer: what diagnostics said is added, what they found is ranked with the rest, and the report is written.

    `report/` holds the page and all files; `candidates.parquet` the ranked candidates; `facts` go to the page's head.
    """
    seen = references or References()

    def work(directory: Path) -> dict[str, Any]:
        info: dict[str, Any] = json.loads(ranked.file(INFO).read_text())
        candidates, new = merge_diagnoses(load_candidates(ranked.file(CANDIDATES)), diagnosed)
        if new:
            found = screen([*candidates, *new], hull=seen.hull, novelty=seen.known, potential=potential)
            candidates = found.candidates
            info |= {"n_asked": info["n_asked"] + len(new), "n_ok": info["n_ok"] + len(new)}
            info["n_merged"] = info["n_ok"] - sum(c.usable for c in candidates)
        for record in diagnosed:
            kind = str(record.facts["kind"])
            info["stages"][kind] = info["stages"].get(kind, 0.0) + float(record.facts["seconds"])
        info["notes"] = [*diagnosis_notes(diagnosed), *info["notes"]]
        head = ReportInfo(title=title, potential=potential.identity, created=_today(), software=_software(), **info,
                          **(facts or {}))  # fmt: skip
        write_report(candidates, directory / "report", info=head, hull=seen.hull)
        save_candidates(candidates, directory / CANDIDATES)
        names = ("n_asked", "n_ok", "n_failed", "n_merged")
        return {"counts": {n: int(info[n]) for n in names} | {"n_distinct": len(candidates)}}

    key = content_key(
        code=REPORT,
        ranked=ranked.key,
        diagnosed=sorted(r.key for r in diagnosed),
        potential=potential.identity,
        title=title,
        facts=facts,
    )
    return ledger.run("report", key, work)


def _seconds(records: Sequence[StageRecord]) -> float:
    return sum(float(r.facts.get("seconds", 0.0)) for r in records)


def _today() -> str:
    return datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC")


def _software() -> str:
    from importlib.metadata import version

    return f"DAO {version('dao-csp')}"
