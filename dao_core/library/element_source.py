"""The stable form of the elements as a source of CrysDB: the crystals of the Delta test, which ASE carries.

Lejaeghere et al., Science 351, aad3000 (2016): 71 elements at the volume of PBE. OQMD's relaxations of ICSD entries
lack the usual form of a score of them, nickel, palladium and lead among others.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from ase import __version__
from ase.atoms import Atoms
from ase.collections import dcdft

from dao_core.artifacts import content_key
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import SourceItem
from dao_core.crystal import Crystal
from dao_core.matching.symmetry_dataset import symmetry_dataset

NAME = "delta-elements"
FUNCTIONAL = "PBE"
LICENSE = "LGPL-2.1-or-later"
SYMPREC = 1e-3  # angstrom
SIMPLIFIED = ("Mn", "S")  # the test replaces their large cells by simple ones that do not exist
UNBOUND = ("He", "Ne", "Ar", "Kr", "Xe", "Rn")  # PBE hardly binds them: half as large again as measured


class ElementSource:
    """One row an element, in the order of their numbers; the cursor is the last symbol.

    An element's stable form has formation energy and hull distance zero by definition.
    """

    name = NAME
    functional = FUNCTIONAL

    def __init__(self) -> None:
        """Take the crystals that ASE carries."""
        self.version: str | None = f"ase-{__version__}"
        self.symbols = [s for s in dcdft.names if s not in (*SIMPLIFIED, *UNBOUND)]

    def fingerprint(self) -> str:
        """Hash of all crystals."""
        return content_key(crystals=[(s, _atoms(s).cell.tolist(), _atoms(s).positions.tolist()) for s in self.symbols])

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every element after `cursor`."""
        start = self.symbols.index(cursor) + 1 if cursor else 0
        for symbol in self.symbols[start:]:
            record = CrysRecord.from_crystal(
                _primitive(Crystal.from_ase(_atoms(symbol))),
                material_id=f"{NAME}-{symbol}",
                source=NAME,
                functional=FUNCTIONAL,
                source_version=self.version,
                formation_energy_per_atom_source=0.0,
                e_above_hull_source=0.0,
                license=LICENSE,
            )
            yield SourceItem(record, symbol)


def _primitive(crystal: Crystal) -> Crystal:
    found = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, (SYMPREC,))
    assert found is not None
    cell = found.prim_std_cell
    return Crystal(np.array(cell.basis), np.array(cell.positions), np.array(cell.numbers))


def _atoms(symbol: str) -> Atoms:
    atoms: Atoms = dcdft[symbol]
    return atoms
