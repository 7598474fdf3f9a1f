"""The views of CrysDB: which rows a training stage may see."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa

VIEWS = ("all", "leak_free", "relaxed", "forces")
# A level also excludes everything that the levels before it exclude.
LEAK_LEVELS: dict[str, tuple[str, ...]] = {
    "none": (),
    "structure": ("structure",),
    "composition": ("structure", "polymorph"),
    "prototype": ("structure", "polymorph", "prototype"),
}
FINISHED = ("converged", "max_steps")


class ViewError(ValueError):
    """No view or leak level of that name."""


def select_view(table: pa.Table, view: str = "all", *, level: str = "structure") -> pa.Table:
    """The rows of a view.

    - `all`: every structure once (duplicates point to their representative and are left out), no frames;
    - `leak_free`: of those, the ones that do not leak into a benchmark's test at `level`;
    - `relaxed`: of those, the stable ones and the unstable ones after their relaxation (DAO-G's second stage);
    - `forces`: leak-free rows with forces, frames and duplicates included (for training the energy model's gradient).

    Args:
        table: Rows of CrysDB.
        view: One of these.
        level: What counts as a leak: none, structure, composition or prototype.

    Returns:
        The rows.
    """
    import pyarrow as pa
    import pyarrow.compute as pc

    if view not in VIEWS:
        raise ViewError(f"no view {view!r}: use one of {', '.join(VIEWS)}")
    is_frame = pc.equal(pc.fill_null(table["relaxation"], ""), "frame")
    if view == "forces":
        keep = pc.is_valid(table["forces"])
    else:
        keep = pc.and_(pc.is_null(table["duplicate_of"]), pc.invert(is_frame))
    if view == "relaxed":
        finished = pc.is_in(pc.fill_null(table["relaxation"], ""), value_set=pa.array(FINISHED))
        keep = pc.and_(keep, pc.or_(finished, pc.fill_null(table["is_stable"], False)))
    if view != "all":
        keep = pc.and_(keep, pc.invert(pa.array(leaking(table["leaks_into"], level), type=pa.bool_())))
    return table.filter(keep)


def leaking(leaks_into: pa.ChunkedArray, level: str) -> np.ndarray:
    """Which rows leak into any benchmark.

    Args:
        leaks_into: Of the table.
        level: What counts as a leak.

    Returns:
        True for those that do, (rows,).
    """
    import numpy as np
    import pyarrow as pa
    import pyarrow.compute as pc

    if level not in LEAK_LEVELS:
        raise ViewError(f"no leak level {level!r}: use one of {', '.join(LEAK_LEVELS)}")
    out = np.zeros(len(leaks_into), dtype=bool)
    column = leaks_into.combine_chunks() if isinstance(leaks_into, pa.ChunkedArray) else leaks_into
    kinds = LEAK_LEVELS[level]
    if not kinds or len(column) == 0:
        return out
    pattern = ":(" + "|".join(kinds) + ")$"
    hit = pc.match_substring_regex(pc.list_flatten(column), pattern)
    parents = pc.list_parent_indices(column)
    out[np.asarray(parents.filter(hit))] = True
    return out


def view_condition(view: str = "all", *, level: str = "structure") -> str:
    """The choice of `select_view` as a SQL condition.

    Args:
        view: Name of the view.
        level: What counts as a leak.

    Returns:
        The condition.
    """
    if view not in VIEWS or level not in LEAK_LEVELS:
        raise ViewError(f"no view {view!r} at level {level!r}: views {VIEWS}, levels {tuple(LEAK_LEVELS)}")
    parts = [
        "forces IS NOT NULL" if view == "forces" else "duplicate_of IS NULL AND coalesce(relaxation, '') <> 'frame'"
    ]
    if view == "relaxed":
        parts.append(f"(coalesce(is_stable, false) OR coalesce(relaxation, '') IN {FINISHED})")
    if view != "all" and LEAK_LEVELS[level]:
        kinds = "|".join(LEAK_LEVELS[level])
        joined = "coalesce(array_to_string(leaks_into, ' '), '')"
        parts.append(f"NOT regexp_matches({joined}, ':({kinds})( |$)')")
    return " AND ".join(parts)
