"""The Materials Project's own server (emmet-api) over an in-memory MongoDB; runs in the peers' environment.

`uvicorn materials_project_app:app` with DAO_PEER_ENTRIES naming a JSON list of ComputedStructureEntry dictionaries and
MAPI_DB_VERSION the release it pretends to be.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import mongomock
from emmet.api.core.api import MAPI
from emmet.api.routes.materials.thermo.resources import thermo_resource
from emmet.core.thermo import ThermoDoc
from emmet.core.types.enums import ThermoType
from pymatgen.entries.computed_entries import ComputedStructureEntry

OTHER_SCALE = -99.0  # eV/atom: marks documents of another thermo type, which no reader of GGA_GGA+U may ever see


class AsyncCollection:
    """The three calls that emmet-api makes on its asynchronous collection, answered by mongomock."""

    def __init__(self, documents: list[dict[str, Any]]) -> None:
        self._collection = mongomock.MongoClient().db.thermo
        self._collection.insert_many(documents)

    async def count_documents(self, criteria: dict[str, Any], **_: Any) -> int:
        return self._collection.count_documents(criteria)

    async def estimated_document_count(self, **_: Any) -> int:
        return self._collection.estimated_document_count()

    async def aggregate(self, pipeline: list[dict[str, Any]], **_: Any) -> SimpleNamespace:
        documents = list(self._collection.aggregate(pipeline))

        async def to_list() -> list[dict[str, Any]]:
            return documents

        return SimpleNamespace(to_list=to_list)


def thermo_documents(path: Path) -> list[dict[str, Any]]:
    """Thermo documents that emmet itself builds from the entries, and twins of every fifth on another energy scale."""
    found = [ComputedStructureEntry.from_dict(d) for d in json.loads(path.read_text())]
    for entry in found:
        entry.data.update(material_id=entry.entry_id, task_id=entry.entry_id, run_type=entry.parameters["run_type"])
    kind = ThermoType.GGA_GGA_U
    documents = [d.model_dump(mode="json") for d in ThermoDoc.from_entries(found, kind, deprecated=False)]
    for document in documents:
        document["builder_meta"]["license"] = "BY-C"
        document["last_updated"] = f"2025-0{1 + len(document['material_id'] + document['chemsys']) % 9}-01T00:00:00"
    twins = [{**d, "thermo_type": "GGA_GGA+U_R2SCAN", "energy_per_atom": OTHER_SCALE} for d in documents[::5]]
    return documents + twins


_collection = AsyncCollection(thermo_documents(Path(os.environ["DAO_PEER_ENTRIES"])))
app = MAPI(resources={"materials": [thermo_resource(SimpleNamespace(collection=_collection, key="thermo_id"))]}).app
