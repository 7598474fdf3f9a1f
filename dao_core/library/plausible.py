"""Measured structures that cannot be right, refused when a library is built: misprinted cells and positions."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING

import numpy as np

from dao_core.artifacts import content_key
from dao_core.crysdb.sources.base import Refusal, SourceItem
from dao_core.crysdb.sources.records import RecordsSource
from dao_core.crystal import Crystal
from dao_core.library import mineral_source
from dao_core.library.encyclopedia_source import EXPERIMENT
from dao_core.matching.distances import contact_ratios

if TYPE_CHECKING:
    from numpy.typing import NDArray

# Over the sum of covalent radii (Cordero et al., Dalton Trans. 2832, 2008). The shortest true ones of the sources are
# 0.603 for scandium at 240 GPa, 0.65 for U=O and 0.69 for N-H and O-H, where X-rays see the hydrogen too near; of
# other pairs in compounds none below 0.7 looked right. 38 of 5,100 entries have two atoms below 0.6, such as Ti-O of
# 1.16 angstrom, 28 more have others below 0.7: Mn-O of 1.33, V-O of 1.43, C and Cl exchanged in cyanogen chloride.
CLOSEST, CLOSEST_IN_COMPOUNDS = 0.6, 0.7
HYDROGEN, ACTINIDES = 1, range(89, 104)
# Volume over that of the densest calculated structure of the formula. Sources that tell pressures hold none of high
# pressure: there what is right begins at 0.74; elsewhere at 0.53, which is hydrogen at 300 GPa.
DENSEST_AT_ORDINARY, DENSEST = 0.7, 0.5
DENSEST_ALONE = 0.58  # over the volumes of the elements, where no calculation is: Rb2O has 0.61
# Over the most open one; SiF4 and UF6, molecules that PBE packs too closely, have 1.40 and 1.34. The volumes of the
# elements must agree, so that the calculation is not what is wrong (CeS, where it has twice the volume).
OPENEST, OPENEST_OF_ELEMENTS = 1.5, 1.25
OPENEST_ALONE = 1.45  # over the volumes of the elements, where all are metals or metalloids and no calculation is
ARTEFACT = 0.5  # eV/atom above the hull: how open a calculated structure beyond it is says nothing
TOO_CLOSE = f"two atoms closer than {CLOSEST_IN_COMPOUNDS:g} times the sum of their covalent radii: misprinted"
TOO_DENSE = "much denser than any calculated structure of the formula or than its elements: misprinted"
TOO_OPEN = "much more open than any calculated structure of the formula or than its elements: misprinted"


@dataclass(frozen=True)
class Calculated:
    """Volumes per atom in angstrom^3 of a formula's calculated structures; `largest` of those near the hull."""

    smallest: float
    largest: float | None


class PlausibleSource:
    """Collected rows of measurements, those that cannot be right as refusals."""

    def __init__(self, rows: RecordsSource, calculated: Mapping[str, Calculated]) -> None:
        """Take the rows.

        Args:
            rows: Of one source.
            calculated: By reduced formula.
        """
        self.rows, self.calculated = rows, calculated
        self.name, self.functional, self.version = rows.name, rows.functional, rows.version

    def fingerprint(self) -> str:
        """Hash of the rows and of what they are compared with."""
        known = sorted((formula, c.smallest, c.largest) for formula, c in self.calculated.items())
        return content_key(rows=self.rows.fingerprint(), calculated=known, elements=_atomic_volumes().tolist())

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        """Every row or the reason why it cannot be right."""
        ordinary = self.name == mineral_source.NAME
        for item in self.rows.iter_records(since, cursor):
            record = item.record
            known = self.calculated.get(record.formula_reduced) if record else None
            wrong = record and implausible(record.crystal, known, ordinary=ordinary)
            yield SourceItem(Refusal(record.material_id, wrong), item.cursor) if record and wrong else item


def plausible_sources(opened: Sequence[RecordsSource]) -> list[RecordsSource | PlausibleSource]:
    """The sources of a library, those of measurements without what cannot be right.

    Args:
        opened: All of them.
    """
    calculated = calculated_volumes([s for s in opened if s.functional != EXPERIMENT])
    return [PlausibleSource(s, calculated) if s.functional == EXPERIMENT else s for s in opened]


def calculated_volumes(opened: Sequence[RecordsSource]) -> dict[str, Calculated]:
    """The range of volumes of each formula."""
    found: dict[str, Calculated] = {}
    for source in opened:
        for item in source.iter_records():
            if item.record is None:
                continue
            formula, crystal = item.record.formula_reduced, item.record.crystal
            volume = crystal.volume / crystal.n_atoms
            known = found.get(formula, Calculated(volume, None))
            near = (item.record.e_above_hull_source or 0.0) <= ARTEFACT
            largest = max(known.largest or 0.0, volume) if near else known.largest
            found[formula] = Calculated(min(known.smallest, volume), largest)
    return found


def implausible(crystal: Crystal, calculated: Calculated | None, *, ordinary: bool) -> str | None:
    """Why a measured structure cannot be right; None where nothing says so.

    Args:
        crystal: As it was measured.
        calculated: Of its formula; None where there is none.
        ordinary: Whether its source leaves out what was measured at high pressure.
    """
    if _too_close(crystal):
        return TOO_CLOSE
    volume, elements = crystal.volume / crystal.n_atoms, float(_atomic_volumes()[crystal.atomic_numbers].mean())
    densest = DENSEST_AT_ORDINARY if ordinary else DENSEST
    if calculated is None:
        if ordinary and volume < DENSEST_ALONE * elements:
            return TOO_DENSE
        return TOO_OPEN if _without_nonmetals(crystal) and volume > OPENEST_ALONE * elements else None
    if volume < densest * min(calculated.smallest, elements):
        return TOO_DENSE
    if calculated.largest and volume > max(OPENEST * calculated.largest, OPENEST_OF_ELEMENTS * elements):
        return TOO_OPEN
    return None


def _too_close(crystal: Crystal) -> bool:
    numbers = crystal.atomic_numbers
    short = np.isin(numbers, [HYDROGEN, *ACTINIDES]) | (len(set(numbers.tolist())) == 1)
    limits = np.where(short[:, None] | short, CLOSEST, CLOSEST_IN_COMPOUNDS)
    return bool((contact_ratios(crystal.lattice, crystal.frac_coords, numbers) < limits).any())


@lru_cache(maxsize=1)
def _atomic_volumes() -> NDArray[np.float64]:
    from dao_core.generate.templates.aflow import learned_elements

    return learned_elements()[1]


def _without_nonmetals(crystal: Crystal) -> bool:
    from pymatgen.core import Element

    elements = [Element.from_Z(int(z)) for z in set(crystal.atomic_numbers.tolist())]
    return all(e.is_metal or e.is_metalloid for e in elements)
