"""Candidates of a round: proposed by templates and DAO-G, relaxed and ranked by DAO-P."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import product
from math import gcd
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxationStatus, RelaxSettings, relax
from dao_core.generate.distinct_samples import repeats
from dao_core.hull.hull import Hull, count_atoms
from dao_core.studies.left_out import library_templates
from dao_core.studies.loop.settings import LoopSettings
from dao_core.studies.polymorphs.arms import from_dao_g, from_templates

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator
    from dao_core.generate.symmetry.generator import SymmetryGenerator

Cell = dict[str, int]
Propose = Callable[[Cell, int], list[Crystal]]  # cell content and seed to structures


@dataclass(frozen=True)
class Candidate:
    """A relaxed proposal with its predicted energy above the present hull and the spread of that, eV/atom."""

    crystal: Crystal
    predicted_above_hull: float
    std: float


def ternary_cells(system: Sequence[str], max_atoms: int) -> list[Cell]:
    """All cell contents of one formula unit with the three elements, small ones first.

    Args:
        system: Three symbols.
        max_atoms: Largest cell.
    """
    amounts = product(range(1, max_atoms - 1), repeat=3)
    units = sorted((sum(n), n) for n in amounts if sum(n) <= max_atoms and gcd(*n) == 1)
    return [dict(zip(system, n, strict=True)) for _, n in units]


def round_cells(settings: LoopSettings, seed: int, number: int) -> list[Cell]:
    """The cell contents of a round: a random part of all of them, the same in every arm.

    Args:
        settings: System, largest cell and how many.
        seed: Of the run.
        number: Of the round.
    """
    cells = ternary_cells(settings.system, settings.max_atoms)
    chosen = np.random.default_rng([seed, number]).permutation(len(cells))[: settings.cells]
    return [cells[int(i)] for i in sorted(chosen)]


def proposer(settings: LoopSettings, generator: Generator, symmetry: SymmetryGenerator | None) -> Propose:
    """Templates of other compositions, then as many structures of DAO-G.

    Args:
        settings: Name the library and how many.
        generator: DAO-G as it is in this round.
        symmetry: The symmetry model that ships with DAO-G.
    """
    index = library_templates(settings.library)

    def propose(cell: Cell, seed: int) -> list[Crystal]:
        return from_templates(index, cell, settings.per_cell) + from_dao_g(
            generator, cell, settings.per_cell, seed, symmetry
        )

    return propose


def relaxed_candidates(
    proposals: Sequence[Crystal], predictor: DaoPotential, steps: int, validated: Sequence[Crystal]
) -> list[Crystal]:
    """Proposals after some steps of DAO-P, each crystal once, without those that were validated before.

    Args:
        proposals: Structures.
        predictor: DAO-P as it is in this round; what it rejects is left out.
        steps: Most of them.
        validated: As they were when they were chosen.
    """
    rule = RelaxSettings(max_steps=steps, keep_symmetry=True)
    usable = (RelaxationStatus.CONVERGED, RelaxationStatus.MAX_STEPS)
    results = relax(proposals, predictor, rule) if proposals else []
    crystals = [r.crystal for r in results if r.status in usable and r.outside is None]
    by_cell: dict[str, list[int]] = {}
    for i, crystal in enumerate(crystals):
        by_cell.setdefault(crystal.formula_reduced, []).append(i)
    keep: set[int] = set()
    for formula, rows in by_cell.items():
        before = tuple(c for c in validated if c.formula_reduced == formula)
        flags = repeats([crystals[i] for i in rows], before)
        keep |= {i for i, again in zip(rows, flags, strict=True) if not again}
    return [crystals[i] for i in sorted(keep)]


def ranked(crystals: Sequence[Crystal], predictor: DaoPotential, hull: Hull, optimism: float) -> list[Candidate]:
    """Candidates by predicted energy above the present hull, less `optimism` times its spread: lowest first.

    DAO-P predicts formation energies; those of the hull are the validator's. What stands between the two scales, and
    is the same for a composition, is what DAO-P's fine-tuning on validated phases learns.

    Args:
        crystals: Relaxed.
        predictor: DAO-P.
        hull: Of the validated phases.
        optimism: 0 ranks by the energy alone.
    """
    found = []
    for crystal, p in zip(crystals, predictor.predict(crystals) if crystals else [], strict=True):
        counts = count_atoms(crystal.atomic_numbers)
        on_hull = hull.decompose(counts).energy_per_atom - (hull.references.elements_energy(counts) or 0.0)
        found.append(Candidate(crystal, p.formation_energy_per_atom - on_hull, p.std))
    return sorted(found, key=lambda c: c.predicted_above_hull - optimism * c.std)
