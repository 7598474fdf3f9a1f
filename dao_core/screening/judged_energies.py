"""What a judge's energies count as in the ranking: where it left a start, or fell into a hole of the model."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dao_core.screening.candidate import START_SUFFIX
from dao_core.screening.proposed import KNOWN

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate

AS_LOW = 0.001  # eV/atom: what a library calls equally low
# eV/atom above the library's hull up to which its lowest structure is trusted. Of 2,082 stable compositions of MP-20's
# validation split that it knows, the right one was there for 98 % of those on its hull, 87 % of 142 up to 0.2 above it,
# 25 % of 12 beyond, and all of 13 without an energy (benchmarks/known_prior.py).
TRUSTED_WITHIN = 0.2
BELIEVED_GAIN = 2.0  # errors of the judge
# How much of what r2SCAN adds to PBE counts, where the judge has dispersion. With none, a quarter, half, three quarters
# and all of it 225, 226, 227, 225 and 226 of 244 further formulas come first (benchmarks/further_formulas.py), of 59
# of these taken out of the library 42, 41, 39, 38 and 38, of 95 textbook formulas 92, 93, 93, 93 and 92, of 27 others
# 20, 21, 22, 22 and 22; log likelihood is largest from a quarter to half.
R2SCAN_WEIGHT = 0.5
USUAL_FALL = 0.3  # eV/atom: in 95 textbook searches two right starts fell by 0.16 and 0.18, wrong ones by 0.5 (median)


def believed_energies(judged: Sequence[Candidate], error: float) -> dict[str, float]:
    """The judge's energies of one formula as far as they are believed, by candidate.

    What lies deeper than what the library knows is as likely a hole of the model as a find: its energy is shown, its
    gain counts as far as the model errs. Of 95 textbook formulas this takes back one false minimum (V, 0.19 eV/atom
    below bcc); any limit from 0.01 to 0.06 does. What a calculation lists as the lowest is believed all the same: of
    carbon disulfide only false structures were trusted. Where all have it, r2SCAN's correction of PBE is added first:
    the library computes in PBE as the judge does, so that both err alike.

    Args:
        judged: With an energy of the judge.
        error: Of its differences between polymorphs, eV/atom.

    Returns:
        Id -> eV/atom.
    """
    judged = _corrected(judged)
    counted = {c.id: _counted_energy(c, judged) for c in judged}
    floor = min((counted[c.id] for c in _trusted(judged)), default=-math.inf) - BELIEVED_GAIN * error
    lowest = {c.id for c in _lowest_listed(judged)}
    return {name: energy if name in lowest else max(energy, floor) for name, energy in counted.items()}


def _corrected(judged: Sequence[Candidate]) -> Sequence[Candidate]:
    """With the correction in their energies, on a scale of its own; as they are where any lacks it."""
    if any(c.r2scan_shift is None or c.energy_per_atom is None for c in judged):
        return judged
    return [c.replace(energy_per_atom=c.energy_per_atom + R2SCAN_WEIGHT * c.r2scan_shift) for c in judged]  # type: ignore[operator]


def end_of(start: Candidate, group: Sequence[Candidate]) -> Candidate:
    """What the relaxation of a start ended in, whether or not it was merged with others; itself where that is gone."""
    name = start.id.removesuffix(START_SUFFIX)
    return next((o for o in group if o is not start and name in (o.id, *o.merged_ids)), start)


def _counted_energy(c: Candidate, judged: Sequence[Candidate]) -> float:
    """The judge's energy, eV/atom; of a start that it left, where the library has an energy of it, that of its end.

    Somebody's calculation has kept that structure at rest: that the judge doesn't is the judge's error. What was only
    measured counts as it stands.
    """
    own = c.energy_per_atom or 0.0
    if not c.start_kept or c.library_e_above_hull is None:
        return own
    end = end_of(c, judged).energy_per_atom
    return own if end is None else end + max(0.0, own - end - USUAL_FALL)


def _known(judged: Sequence[Candidate]) -> list[Candidate]:
    return [c for c in judged if c.energy_per_atom is not None and c.library_id is not None and c.origin == KNOWN]


def _lowest_listed(judged: Sequence[Candidate]) -> list[Candidate]:
    """The known structures that the library's calculations put lowest."""
    listed = [(c, c.library_e_above_hull) for c in _known(judged) if c.library_e_above_hull is not None]
    lowest = min((above for _, above in listed), default=math.inf)
    return [c for c, above in listed if above <= lowest + AS_LOW]


def _trusted(judged: Sequence[Candidate]) -> list[Candidate]:
    """The known structures that one may measure a find by.

    A compound may lie above the library's hull and be the only one of its composition all the same (LaFeAsO, 0.06
    eV/atom).
    """
    lowest = _lowest_listed(judged)
    above = min((c.library_e_above_hull or 0.0 for c in lowest), default=math.inf)
    trusted = lowest if above <= TRUSTED_WITHIN else []
    if above > AS_LOW:  # what was only measured may be the lowest; a start that the judge left says nothing of it
        trusted = trusted + [c for c in _known(judged) if c.library_e_above_hull is None and not c.start_kept]
    return trusted
