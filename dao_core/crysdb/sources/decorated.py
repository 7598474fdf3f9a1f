"""The source `prototypes`: decorated AFLOW prototypes, the way OQMD makes its hypothetical compounds."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import combinations, islice
from math import comb

from dao_core.artifacts import content_key
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.prototypes import Prototype, iter_decorated, load_prototypes
from dao_core.crysdb.sources.settings import PrototypesConfig
from dao_core.crystal import InvalidCrystalError

UNRELAXED = "unrelaxed"  # the functional of rows that no calculation has seen: they have no energy and no hull


class PrototypeSource:
    """Every different decoration of the AFLOW prototypes with the given elements, or `limit` of them by seed.

    Rows are scaled by covalent radii, not relaxed, and carry no energies. The cursor counts rows. Raises SourceError
    where the installed pymatgen carries no AFLOW library.
    """

    functional = UNRELAXED

    def __init__(self, config: PrototypesConfig) -> None:
        from pymatgen.core import __version__ as version

        self.config = config
        self.name = config.name
        self.version: str | None = f"AFLOW library of pymatgen {version}"

    def fingerprint(self) -> str:
        """Hash of the settings and of the library's version: together they decide every row."""
        return content_key(config=self.config, version=self.version)

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every row after `cursor`, in a fixed order."""
        try:
            prototypes = load_prototypes(self.config.max_atoms)
        except ImportError as error:
            raise SourceError(f"no AFLOW prototypes in pymatgen ({error}): install the pinned release") from error
        start = int(cursor or 0)
        for index, value in enumerate(islice(self._values(prototypes), start, None), start=start):
            yield SourceItem(value, str(index + 1))

    def _values(self, prototypes: Sequence[Prototype]) -> Iterator[CrysRecord | Refusal]:
        elements, limit = self.config.elements, self.config.limit
        labels = unique_labels(prototypes)
        total = sum(comb(len(elements), p.n_elements) * len(p.distinct) for p in prototypes)
        if limit is None or total <= limit:
            for prototype, label in zip(prototypes, labels, strict=True):
                for chosen in combinations(elements, prototype.n_elements):
                    for order in prototype.distinct:
                        yield self._row(prototype, label, tuple(chosen[i] for i in order))
            return
        named = {id(p): label for p, label in zip(prototypes, labels, strict=True)}
        for decorated in iter_decorated(prototypes, elements, limit, self.config.seed):
            yield self._row(decorated.prototype, named[id(decorated.prototype)], decorated.elements)

    def _row(self, prototype: Prototype, label: str, placed: tuple[str, ...]) -> CrysRecord | Refusal:
        name = f"{label}-{'-'.join(placed)}"
        try:
            crystal = prototype.decorate(placed)
        except InvalidCrystalError as error:
            return Refusal(name, f"radii too unlike for this type: {error}")
        return CrysRecord.from_crystal(
            crystal, material_id=name, source=self.name, source_version=self.version, functional=self.functional
        )


def unique_labels(prototypes: Sequence[Prototype]) -> list[str]:
    """AFLOW's labels with a number behind those that several types share, such as A_tI2_139_a.2."""
    seen: Counter[str] = Counter()
    out = []
    for prototype in prototypes:
        seen[prototype.label] += 1
        out.append(prototype.label if seen[prototype.label] == 1 else f"{prototype.label}.{seen[prototype.label]}")
    return out
