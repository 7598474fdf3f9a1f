"""Training pairs for the seeded generator: a template and the true structure, laid on one another.

The template found for a composition without looking at its own structure (leave-one-out) and the structure it should
have become differ by a strain and small displacements once cell setting, origin and atom order are the same.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from dao_core.artifacts import written_whole
from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell, Tolerances, best_mapping
from dao_core.matching.fingerprint import fingerprint, fingerprint_distance, slots_of

if TYPE_CHECKING:
    import pyarrow as pa

    from dao_core.generate.templates.index import TemplateIndex

TOLERANCES = Tolerances(
    lengths=0.4, sites=0.6, angles=12.0
)  # looser than the benchmark's: a poor template should still teach
HOPELESS_DISTANCE = 0.2
GOOD_RMS = 0.04  # in units of (V/N)^(1/3), about 0.1 angstrom: the search for a better mapping stops here


@dataclass(frozen=True)
class SeedPair:
    """A template and its target. `target` is None where the two cannot be laid on one another.

    Atom i of both is the same element on corresponding sites. The target's lattice is turned so that it is a symmetric
    strain of the template's, its `frac_coords` are the nearest image (differences in [-0.5, 0.5), not wrapped) and the
    mean displacement is zero. `rms` in units of (V/N)^(1/3).
    """

    target_id: str
    template_id: str
    rank: int
    score: float
    template: Crystal
    target: tuple[NDArray[np.float64], NDArray[np.float64]] | None
    rms: float


def align(template: Crystal, target: Crystal) -> tuple[NDArray[np.float64], NDArray[np.float64], float] | None:
    """Lay a target on a template; cells are compared as they are, without reduction.

    Args:
        template: Gives setting and order of the atoms.
        target: The same atoms.

    Returns:
        (lattice (3, 3) in angstrom with the target's volume, fractional coordinates (N, 3) of the target in the
        template's setting and order, rms); None where the two do not match within TOLERANCES at equal volume.
    """
    mapping = best_mapping(_cell(target), _cell(template), TOLERANCES, GOOD_RMS)
    if isinstance(mapping, str):
        return None
    lattice = mapping.cell_matrix @ target.lattice
    aligned = (target.frac_coords @ np.linalg.inv(mapping.cell_matrix))[mapping.order] - mapping.shift
    difference = aligned - template.frac_coords
    difference -= np.floor(difference + 0.5)
    return _strain_only(template.lattice, lattice), template.frac_coords + difference, mapping.rms


def _cell(crystal: Crystal) -> Cell:
    return Cell(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)


def _strain_only(reference: NDArray[np.float64], lattice: NDArray[np.float64]) -> NDArray[np.float64]:
    """`lattice` rotated or reflected such that it is reference @ (a symmetric positive matrix)."""
    map_ = np.linalg.solve(reference, lattice)  # lattice = reference @ map_
    left, stretch, _ = np.linalg.svd(map_)
    return np.asarray(reference @ (left * stretch) @ left.T)


def seed_pairs(
    index: TemplateIndex, items: Iterable[tuple[str, Crystal]], ranks: Sequence[int] = range(4)
) -> Iterator[SeedPair]:
    """The best templates of every structure with the aligned target; about 15 ms a pair on one core.

    Args:
        index: Where templates come from; the entry of the structure's own id is left out.
        items: (id, structure).
        ranks: Which templates are taken, 0 is the best.

    Yields:
        A pair for each template that matches.
    """
    for target_id, crystal in items:
        prints = fingerprint(crystal, slots_of(crystal.atomic_numbers))
        hits = index.query(crystal.composition, max(ranks) + 1, exclude_ids=(target_id,))
        for rank, hit in enumerate(hits):
            if rank not in ranks:
                continue
            seen = fingerprint(hit.crystal, slots_of(hit.crystal.atomic_numbers))
            alike = fingerprint_distance(prints, seen) < HOPELESS_DISTANCE  # spares a costly search in vain
            placed = align(hit.crystal, crystal) if alike else None
            target = None if placed is None else placed[:2]
            rms = np.nan if placed is None else placed[2]
            yield SeedPair(target_id, hit.template_id, rank, hit.score, hit.crystal, target, rms)


def pairs_to_table(pairs: Sequence[SeedPair]) -> pa.Table:
    """Arrow table of pairs; lattices as 9 and coordinates as 3N float32, target columns null where nothing matched."""
    import pyarrow as pa

    def flat(array: NDArray[np.float64]) -> NDArray[np.float32]:
        return np.asarray(array, dtype=np.float32).ravel()

    targets = [p.target for p in pairs]
    floats = pa.list_(pa.float32())
    columns = {
        "target_id": pa.array([p.target_id for p in pairs], pa.string()),
        "template_id": pa.array([p.template_id for p in pairs], pa.string()),
        "rank": pa.array([p.rank for p in pairs], pa.int16()),
        "score": pa.array([p.score for p in pairs], pa.float32()),
        "matched": pa.array([t is not None for t in targets], pa.bool_()),
        "rms": pa.array([p.rms if p.target is not None else None for p in pairs], pa.float32()),
        "atomic_numbers": pa.array([p.template.atomic_numbers for p in pairs], pa.list_(pa.int16())),
        "template_lattice": pa.array([flat(p.template.lattice) for p in pairs], floats),
        "template_frac_coords": pa.array([flat(p.template.frac_coords) for p in pairs], floats),
        "target_lattice": pa.array([None if t is None else flat(t[0]) for t in targets], floats),
        "target_frac_coords": pa.array([None if t is None else flat(t[1]) for t in targets], floats),
    }
    return pa.table(columns)


def write_pairs(pairs: Sequence[SeedPair], path: str | Path) -> None:
    """Write pairs as Parquet; the file appears whole or not at all."""
    import pyarrow.parquet as pq

    with written_whole(Path(path)) as temporary:
        pq.write_table(pairs_to_table(pairs), temporary)
