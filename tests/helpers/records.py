"""Small real crystals and records for the tests of CrysDB."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceItem
from dao_core.crystal import Crystal, crystal_from_symbols


def rocksalt(a: str = "Na", b: str = "Cl", edge: float = 5.64) -> Crystal:
    half = edge / 2
    return crystal_from_symbols(
        [[0, half, half], [half, 0, half], [half, half, 0]], [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def caesium_chloride(a: str = "Na", b: str = "Cl", edge: float = 3.4) -> Crystal:
    return crystal_from_symbols(np.eye(3) * edge, [a, b], [[0, 0, 0], [0.5, 0.5, 0.5]])


def perovskite(a: str = "Sr", b: str = "Ti", x: str = "O", edge: float = 3.9) -> Crystal:
    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
    return crystal_from_symbols(np.eye(3) * edge, [a, b, x, x, x], sites)


def element(symbol: str, edge: float = 4.0) -> Crystal:
    return crystal_from_symbols(np.eye(3) * edge, [symbol], [[0, 0, 0]])


def record(name: str, crystal: Crystal, energy: float | None = None, **columns: Any) -> CrysRecord:
    given = {"source": "test", "functional": "PBE", "energy_per_atom": energy, **columns}
    return CrysRecord.from_crystal(crystal, material_id=name, **given)


def salt_records(functional: str = "PBE", source: str = "test") -> list[CrysRecord]:
    """Na, Cl, rocksalt, its copy in another cell at higher energy, the CsCl form, and a perovskite without hull."""
    salt = rocksalt()
    shifted = salt.replace(frac_coords=salt.frac_coords + 0.25, lattice=salt.lattice[[1, 2, 0]])
    common = {"functional": functional, "source": source}
    return [
        record(f"{source}-Na", element("Na"), -1.3, **common),
        record(f"{source}-Cl", element("Cl"), -1.8, **common),
        record(f"{source}-salt", salt, -3.4, e_above_hull_source=0.0, **common),
        record(f"{source}-salt-copy", shifted, -3.39, **common),
        record(f"{source}-cscl", caesium_chloride(), -3.3, **common),
        record(f"{source}-perovskite", perovskite(), -7.0, **common),
    ]


class ListSource:
    """A source over a list; the cursor counts rows. Records are copied, as a build changes them."""

    version: str | None = "1"

    def __init__(self, values: Sequence[CrysRecord | Refusal], name: str = "test", functional: str = "PBE") -> None:
        self.values = list(values)
        self.name = name
        self.functional = functional
        self.read = 0

    def fingerprint(self) -> str:
        return f"{len(self.values)}-{[getattr(v, 'energy_per_atom', None) for v in self.values]}"

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        for index in range(int(cursor or 0), len(self.values)):
            self.read += 1
            value = self.values[index]
            copied = CrysRecord(**vars(value)) if isinstance(value, CrysRecord) else value
            yield SourceItem(copied, str(index + 1))
