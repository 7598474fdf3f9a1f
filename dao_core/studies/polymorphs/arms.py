"""Who proposes polymorphs: templates, DAO-G, and random symmetric structures that the judge relaxes."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import chain, zip_longest
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.studies.left_out import query_without
from dao_core.studies.study import StudyError

if TYPE_CHECKING:
    from dao_core.energy.potential import Potential
    from dao_core.generate.sampler import Generator
    from dao_core.generate.symmetry.generator import SymmetryGenerator
    from dao_core.generate.templates.index import TemplateIndex

TRIES = 200  # random space groups for one structure before it is given up
Cell = Mapping[str, int]


def from_templates(index: TemplateIndex, cell: Cell, k: int) -> list[Crystal]:
    """The k best templates of a cell content, best first, as they stand; none of the composition itself."""
    return [hit.crystal for hit in query_without(index, cell, k)[0]]


def from_dao_g(
    generator: Generator,
    cell: Cell,
    k: int,
    seed: int,
    symmetry: SymmetryGenerator | None = None,
    *,
    with_symmetry: bool = True,
) -> list[Crystal]:
    """K structures without any template: the symmetry model's and the flow's in turn, each side's best first.

    Empty where the generator never saw one of the elements.

    Args:
        generator: DAO-G's flow.
        cell: Symbol to atoms of the cell.
        k: At most so many.
        seed: Of the draws.
        symmetry: The symmetry model; None: the generator's own, if it has one.
        with_symmetry: Else the flow draws all, for compositions that the symmetry model has learned from.
    """
    from dao_core.generate.distinct_samples import SampleRequest, sample_distinct
    from dao_core.generate.sampler import UnseenElementError

    try:
        generator.check(dict(cell))
    except UnseenElementError:
        return []
    symmetry = (symmetry or generator.symmetry) if with_symmetry else None
    symmetric = [] if symmetry is None else [p.crystal for p in symmetry.propose(cell, k // 2).items]
    request = SampleRequest(dict(cell), k - len(symmetric), tuple(symmetric))
    drawn = [p.crystal for p in sample_distinct(generator, [request], seed)[0] if p.crystal is not None]
    return [c for c in chain.from_iterable(zip_longest(symmetric, drawn)) if c is not None][:k]


def merged(first: list[Crystal], second: list[Crystal], k: int) -> list[Crystal]:
    """Half of k from each side, in turn; what one side lacks the other gives."""
    half = k // 2
    own, other = first[: max(half, k - len(second))], second[: max(half, k - len(first))]
    return [c for c in chain.from_iterable(zip_longest(own, other)) if c is not None][:k]


def random_structures(cell: Cell, k: int, seed: int) -> list[Crystal]:
    """K random structures of random space groups that can hold the cell content, in primitive cells.

    Source: PyXtal (Fredericks et al., Comput. Phys. Commun. 261, 107810 (2021)).

    Raises:
        StudyError: PyXtal is not installed.
    """
    try:
        from pyxtal import pyxtal
        from pyxtal.msg import Comp_CompatibilityError, VolumeError
    except ImportError as error:
        raise StudyError("the random arm needs PyXtal: pip install 'dao-csp[studies]'") from error
    rng = np.random.default_rng(seed)
    found: list[Crystal] = []
    for _ in range(k * TRIES):
        if len(found) == k:
            break
        group, multiple = int(rng.integers(2, 231)), int(rng.choice([1, 2, 4]))
        made = pyxtal()
        try:
            counts = [n * multiple for n in cell.values()]
            made.from_random(3, group, list(cell), counts, random_state=int(rng.integers(1 << 31)))
        except (Comp_CompatibilityError, VolumeError, ValueError, RuntimeError):
            continue
        crystal = _primitive(made, cell) if made.valid else None
        if crystal is not None:
            found.append(crystal)
    return found


def _primitive(made: object, cell: Cell) -> Crystal | None:
    """The primitive cell, where it has the wanted content."""
    structure = made.to_pymatgen().get_primitive_structure()  # type: ignore[attr-defined]
    try:
        crystal = Crystal.from_pymatgen(structure)
    except InvalidCrystalError:
        return None
    return crystal if crystal.composition == dict(sorted(cell.items())) else None


def relaxed(crystals: list[Crystal], judge: Potential, steps: int) -> list[Crystal]:
    """Each structure after some steps downhill; one that the judge rejects stays as it was."""
    from dao_core.energy.relaxation.relax import RelaxSettings, relax

    if not crystals:
        return []
    settings = RelaxSettings(max_steps=steps, keep_symmetry=True, max_energy_drop=100.0)
    return [r.crystal for r in relax(crystals, judge, settings)]
