"""Structures for compositions that have only a critical temperature: from DAO-G, or from templates alone."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.studies.left_out import library_templates
from dao_core.studies.polymorphs.arms import from_dao_g, from_templates
from dao_core.studies.superconductors.settings import SuperconductorSettings, TcSettings
from dao_core.studies.superconductors.tc_data import CompositionTc
from dao_core.training.packed import PackedCrystals

if TYPE_CHECKING:
    from dao_core.generate.sampler import Generator

Cell = dict[str, int]
Propose = Callable[[Cell], list[Crystal]]
FORMULA_UNITS = (1, 2, 4)


def proposers(folder: Path, settings: SuperconductorSettings, tc: TcSettings) -> dict[str, Propose]:
    """Who proposes structures of a cell content.

    Args:
        folder: With the fine-tuned generator.
        settings: Name the library and the generator that ships its symmetry model.
        tc: How many candidates.

    Returns:
        By arm: DAO-G (the shipped symmetry model and the fine-tuned flow in turn), and templates of other compositions.
    """
    from dao_core.generate.sampler import Generator

    generator: Generator = Generator.load(folder / "checkpoint")
    symmetry = Generator.load(settings.generator).symmetry
    index = library_templates(settings.library)
    return {
        "generated": lambda cell: from_dao_g(generator, cell, tc.candidates, settings.seed, symmetry),
        "templates": lambda cell: from_templates(index, cell, tc.candidates),
    }


def structure_for(
    composition: CompositionTc, propose: Propose, predictor: DaoPotential, max_atoms: int
) -> Crystal | None:
    """The proposal with the lowest energy an atom, over cells of one, two and four formula units.

    Args:
        composition: Which.
        propose: Who.
        predictor: Ranks them as they stand; what lies outside of what it knows is left out.
        max_atoms: Largest cell.

    Returns:
        None where nothing usable is proposed.
    """
    size = sum(composition.unit.values())
    units = [z for z in FORMULA_UNITS if z * size <= max_atoms]
    cells = [{symbol: z * n for symbol, n in composition.unit.items()} for z in units]
    crystals = [c for cell in cells for c in propose(cell) if predictor.outside(c) is None]
    if not crystals:
        return None
    energies = [p.formation_energy_per_atom for p in predictor.predict(crystals)]
    return crystals[int(np.argmin(energies))]


def add_structures(
    compositions: Iterable[CompositionTc], arms: dict[str, Propose], predictor: DaoPotential, tc: TcSettings
) -> tuple[dict[str, PackedCrystals], dict[str, int]]:
    """Structures of the same compositions by every arm: a composition that one arm has nothing for is left out.

    Args:
        compositions: In order, until `tc.added` are done.
        arms: Of `proposers`.
        predictor: Of `structure_for`.
        tc: How many, and the largest cell.

    Returns:
        Packed rows with the label "value", the natural logarithm of Tc/K, by arm, and counts.
    """
    made: dict[str, list[Crystal]] = {arm: [] for arm in arms}
    values: list[float] = []
    left = dict.fromkeys(arms, 0)
    for composition in compositions:
        if len(values) == tc.added:
            break
        found = {arm: structure_for(composition, propose, predictor, tc.max_atoms) for arm, propose in arms.items()}
        for arm, crystal in found.items():
            left[arm] += crystal is None
        if any(crystal is None for crystal in found.values()):
            continue
        values.append(float(np.log(composition.tc)))
        for arm, crystal in found.items():
            made[arm].append(crystal.niggli())  # type: ignore[union-attr]
    packed = {arm: PackedCrystals.from_crystals(c, value=values) for arm, c in made.items()} if values else {}
    return packed, {"added": len(values), **{f"nothing proposed, {arm}": n for arm, n in left.items()}}
