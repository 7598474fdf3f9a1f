"""What `dao predict` answers to the targets of a benchmark."""

from __future__ import annotations

from collections.abc import Sequence

from dao_core.energy.relax import RelaxSettings
from dao_core.evaluate.benchmark import BenchmarkSettings, Target
from dao_core.generate.sampler import Proposal
from dao_core.screening.candidate import Candidate
from dao_core.screening.proposing import SearchSettings, Toolbox, proposal_shares
from dao_core.screening.search import search


def ranked_answers(
    targets: Sequence[Target], settings: BenchmarkSettings, seed: int, tools: Toolbox
) -> list[list[Proposal]]:
    """Proposals of all kinds for each target's cell content, relaxed, merged where equal, ordered by trust.

    Raises ValueError where a target is in the index, which a search has no way to leave out.
    """
    known = {t.id for t in targets} & set(tools.templates.ids if tools.templates else ())
    if known:
        raise ValueError(f"the index holds the targets {sorted(known)[:3]}: build it from the training split alone")
    relaxing = RelaxSettings(max_steps=settings.relax_steps, batch_size=32)
    out = []
    for target in targets:
        formula = "".join(f"{symbol}{count}" for symbol, count in target.formula)
        how = SearchSettings(z=target.units, seed=seed, relax=relaxing, **proposal_shares(settings.proposals))
        found = search([formula], tools, how).candidates
        out.append([_answer(c) for c in found[: settings.k]])
    return out


def _answer(candidate: Candidate) -> Proposal:
    origin = str(candidate.provenance.get("template_id") or candidate.provenance["start"]).removeprefix("template ")
    return Proposal(candidate.crystal, origin, int(candidate.provenance.get("seed", 0)), "search")
