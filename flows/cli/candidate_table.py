"""The table of the best candidates in the terminal."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from flows.cli.console import table

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate


def candidate_table(candidates: Sequence[Candidate], *, limit: int) -> None:
    """The best candidates as a table, energies relative to the best polymorph of each formula."""
    from dao_core.screening.ranking import ground_states, relative_energy
    from dao_core.screening.symmetry import spacegroup_symbol

    best = ground_states(candidates)
    rows = []
    for i, c in enumerate(candidates[:limit], start=1):
        number = c.spacegroup_after or c.spacegroup_before
        above = relative_energy(c, best)
        rows.append(
            (
                i,
                c.formula,
                c.z,
                f"{spacegroup_symbol(number)} ({number})" if number else None,
                None if c.probability is None else f"{100 * c.probability:.0f} %",
                _decimals(c.energy_per_atom, 4),
                _decimals(above, 4),
                _decimals(c.e_above_hull, 3),
                c.relaxation_status,
                c.origin,
                c.n_merged,
                c.novelty,
            )
        )
    names = ("rank", "formula", "Z", "space group", "probability", "eV/atom", "above lowest", "above hull",
             "relaxation", "origin", "found", "known?")  # fmt: skip
    table(f"{min(limit, len(candidates))} of {len(candidates)} distinct structures", names, rows)


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
