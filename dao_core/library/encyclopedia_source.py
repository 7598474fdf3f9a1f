"""The AFLOW encyclopedia as a source of CrysDB: experimental structures without energies."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

from dao_core.artifacts import content_key, file_sha256
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crystal import Crystal
from dao_core.generate.templates.encyclopedia import CARRIER, read_entry
from dao_core.library.encyclopedia_errata import not_its_formula
from dao_core.library.known import LARGEST_KNOWN

NAME = "aflow-encyclopedia"
LICENSE = "CDDL-1.0"
EXPERIMENT = "experiment"  # the functional of rows that were measured: they have no energy and no hull


class EncyclopediaSource:
    """Entries of the encyclopedia, in the order of their labels; the cursor is the last label."""

    name = NAME
    functional = EXPERIMENT

    def __init__(self, folder: Path) -> None:
        """Take the unpacked entries.

        Args:
            folder: Holds a folder for each entry with its `info.json`.

        Raises:
            SourceError: There are none.
        """
        self.files = sorted(folder.rglob("info.json"))
        self.version: str | None = CARRIER.requirement.replace("==", "-")
        if not self.files:
            raise SourceError(f"{folder} holds no entry of the encyclopedia: unpack {CARRIER.requirement}")

    def fingerprint(self) -> str:
        """Hash of all entries."""
        return content_key(files=[(p.parent.name, file_sha256(p)) for p in self.files])

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every entry after `cursor`, as a record or with the reason why it is none."""
        for path in self.files:
            label = path.parent.name
            if cursor is None or label > cursor:
                wrong = not_its_formula(json.loads(path.read_text()))
                yield SourceItem(self._value(label, wrong or read_entry(path, max_atoms=LARGEST_KNOWN)), label)

    def _value(self, label: str, found: Crystal | str) -> CrysRecord | Refusal:
        if isinstance(found, str):
            return Refusal(label, found)
        return CrysRecord.from_crystal(
            found,
            material_id=f"aflow-{label}",
            source=NAME,
            functional=EXPERIMENT,
            source_version=self.version,
            license=LICENSE,
        )
