"""The search as ledger stages: each finished piece is found again, so a killed screening continues where it was."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.energy.potential import Potential
from dao_core.screening.candidate import Candidate
from dao_core.screening.formulas import Formula
from dao_core.screening.hull import ReferenceHull
from dao_core.screening.novelty import NoveltyIndex
from dao_core.screening.pipeline import screen
from dao_core.screening.report import write_report
from dao_core.screening.report_data import ReportInfo
from dao_core.screening.search import (
    Proposed,
    SearchSettings,
    Toolbox,
    propose,
    relax_proposals,
    single_points,
    unrelaxed_candidate,
    with_spread,
)
from dao_core.screening.stored import load_candidates, save_candidates

# raise a stage's number when its output changes for the same input
PROPOSE, RELAX, RANK = "propose-1", "relax-1", "rank-1"
CANDIDATES, REFUSED = "candidates.parquet", "refused.json"


def propose_stage(ledger: Ledger, formula: Formula, tools: Toolbox, settings: SearchSettings) -> StageRecord:
    """Proposals for one formula with their energies as they stand, lowest first: `candidates.parquet`."""

    def work(directory: Path) -> dict[str, Any]:
        made = propose(formula, tools, settings)
        energies = single_points([p.crystal for p in made.items], tools.potential)
        rows = [unrelaxed_candidate(p, e, tools.potential.identity) for p, e in zip(made.items, energies, strict=True)]
        rows.sort(key=lambda c: (c.energy_per_atom is None, c.energy_per_atom or 0.0, c.id))
        save_candidates(rows, directory / CANDIDATES)
        (directory / REFUSED).write_text(json.dumps(made.refused))
        return {
            "counts": {"n_asked": len(rows) + len(made.refused), "n_ok": len(rows), "n_failed": len(made.refused)},
            "facts": {"formula": formula.reduced},
        }

    key = content_key(
        code=PROPOSE,
        formula=formula.reduced,
        generator=None if tools.generator is None else tools.generator.identity,
        templates=None if tools.templates is None else tools.templates.source,
        potential=tools.potential.identity,
        settings=settings.model_dump(exclude={"relax", "budget_seconds", "max_relaxed"}),
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
        size = settings.relax.batch_size
        last = (chunk + 1) * size if settings.max_relaxed is None else min((chunk + 1) * size, settings.max_relaxed)
        rows = load_candidates(proposed.file(CANDIDATES))[chunk * size : last]
        proposals = [Proposed(c.id, c.crystal, c.origin, dict(c.provenance)) for c in rows]
        relaxed = with_spread(relax_proposals(proposals, potential, settings), potential)
        save_candidates(relaxed, directory / CANDIDATES)
        n_ok = sum(c.usable for c in relaxed)
        return {"counts": {"n_asked": len(rows), "n_ok": n_ok, "n_failed": len(rows) - n_ok}}

    key = content_key(
        code=RELAX,
        proposals=proposed.key,
        chunk=chunk,
        potential=potential.identity,
        relax=settings.relax.model_dump(),
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
    title: str,
    hull: ReferenceHull | None = None,
    known: NoveltyIndex | None = None,
    references: str = "",
    facts: dict[str, Any] | None = None,
) -> StageRecord:
    """Merge, place on the hull, judge novelty, rank; writes `ranked.parquet` and the report with all files.

    `references` names what hull and novelty index were made from, a part of the key; `facts` go to the page's head.
    """

    def work(directory: Path) -> dict[str, Any]:
        candidates, refused = gather(proposed, relaxed)
        found = screen(candidates, hull=hull, novelty=known, potential=potential)
        info = ReportInfo(
            title=title,
            potential=potential.identity,
            n_asked=found.n_asked + len(refused),
            n_ok=found.n_ok,
            n_failed=found.n_failed + len(refused),
            n_merged=found.n_merged,
            reasons={**found.reasons, **({"not made": len(refused)} if refused else {})},
            notes=sorted(set(refused))[:20],
            **(facts or {}),
        )
        write_report(found.candidates, directory / "report", info=info, hull=hull)
        save_candidates(found.candidates, directory / CANDIDATES)
        counts = {"n_asked": info.n_asked, "n_ok": info.n_ok, "n_failed": info.n_failed, "n_merged": info.n_merged}
        return {"counts": {k: int(v or 0) for k, v in counts.items()} | {"n_distinct": len(found.candidates)}}

    key = content_key(
        code=RANK,
        proposed=[r.key for r in proposed],
        relaxed=sorted(r.key for r in relaxed),
        potential=potential.identity,
        references=references,
        hull=None if hull is None else hull.identity,
        title=title,
        facts=facts,
    )
    return ledger.run("rank", key, work)
