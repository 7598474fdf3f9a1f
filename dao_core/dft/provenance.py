"""Where a validated energy comes from, as an RO-Crate record (JSON-LD): files and their hashes, programs, parents.

The record holds one action a calculation: what it read (input, pseudopotentials), what it wrote, which program of which
version ran, and the candidate that it started from. https://w3id.org/ro/crate/1.1
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from dao_core.artifacts import MANIFEST, Ledger, file_sha256
from dao_core.dft.calculation import STAGE
from dao_core.dft.candidate_files import require_columns
from dao_core.dft.hull import entry_files, entry_labels
from dao_core.dft.properties import final_input
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.result import PwResult, read_result

CONTEXT = ["https://w3id.org/ro/crate/1.1/context", {"sha256": "https://schema.org/sha256"}]
INPUTS = ("espresso.pwi", "input.json")
SPEC = {"@id": "https://w3id.org/ro/crate/1.1"}


def provenance(ledger: Ledger, candidates: Mapping[str, Mapping[str, Any]] | None = None) -> dict[str, Any]:
    """The record of everything validated in a ledger.

    Args:
        ledger: Of the validations.
        candidates: Candidate id -> its row of a screening's `candidates.parquet`, for where it came from.

    Returns:
        JSON-LD: the graph of files, programs, structures and actions.
    """
    graph: dict[str, dict[str, Any]] = {}
    for label in sorted(entry_labels(ledger)):
        for entry in entry_files(ledger, label):
            record = ledger.find(STAGE, entry["calculation"])
            pw_input = final_input(ledger, entry["calculation"])
            if record is None or pw_input is None:
                continue  # damaged or set aside: there is nothing to vouch for
            result = read_result(record)
            nodes = _calculation(ledger, entry, pw_input, result)
            nodes += _candidate(entry.get("parent_id"), candidates or {})
            graph |= {node["@id"]: node for node in nodes}
    parts = [{"@id": name} for name in sorted(graph)]
    root = {"@id": "./", "@type": "Dataset", "name": "Validated structures", "hasPart": parts}
    about = {"@id": "ro-crate-metadata.json", "@type": "CreativeWork", "about": {"@id": "./"}, "conformsTo": SPEC}
    return {"@context": CONTEXT, "@graph": [about, root, *(graph[name] for name in sorted(graph))]}


def _calculation(ledger: Ledger, entry: Mapping[str, Any], pw_input: PwInput, result: PwResult) -> list[dict[str, Any]]:
    folder = Path(result.directory)
    files = json.loads((folder / MANIFEST).read_text())["files"]
    nodes = [
        {"@id": f"{folder.relative_to(ledger.root)}/{name}", "@type": "File", **facts} for name, facts in files.items()
    ]
    pseudos = _pseudopotentials(pw_input)
    program = _program("pw.x", result.version)
    dao = _program("DAO", _dao_version())
    structure = {
        "@id": f"#structure-{result.key}", "@type": "ChemicalSubstance", "name": pw_input.crystal.formula_reduced,
        "energy_per_atom_eV": entry["energy_per_atom"], "functional": entry["functional"], "role": entry["role"],
        "site_moments": result.site_moments, "hubbard_u_eV": dict(pw_input.hubbard),
    }  # fmt: skip
    read = [node["@id"] for node in nodes if node["@id"].endswith(INPUTS)] + [node["@id"] for node in pseudos]
    if entry.get("parent_id"):
        read.append(f"#candidate-{entry['parent_id']}")
    action = {
        "@id": f"#calculation-{result.key}", "@type": "CreateAction", "actionStatus": result.status,
        "instrument": [{"@id": program["@id"]}, {"@id": dao["@id"]}], "object": [{"@id": name} for name in read],
        "result": [{"@id": n["@id"]} for n in nodes if not n["@id"].endswith(INPUTS)] + [{"@id": structure["@id"]}],
        "repairs": [f"{a.failure}: {a.handler}" for a in result.actions],
    }  # fmt: skip
    return [*nodes, *pseudos, program, dao, structure, action]


def _pseudopotentials(pw_input: PwInput) -> list[dict[str, Any]]:
    out = []
    for element, name in pw_input.pseudo_files.items():
        path = Path(pw_input.pseudo_dir) / name
        node = {
            "@id": f"#pseudopotential-{element}",
            "@type": "File",
            "name": name,
            "library": pw_input.pseudo_identity,
        }
        if path.is_file():
            node["sha256"] = file_sha256(path)
        out.append(node | {"@id": f"#pseudopotential-{element}-{node.get('sha256', 'missing')[:12]}"})
    return out


def _candidate(parent: str | None, candidates: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """The candidate that a calculation started from, and what its screening knows about its own origin."""
    if parent is None:
        return []
    row = candidates.get(parent, {})
    known = {name: row[name] for name in ("formula", "origin", "energy_identity") if row.get(name)}
    if row.get("provenance"):
        known["provenance"] = json.loads(row["provenance"])
    return [{"@id": f"#candidate-{parent}", "@type": "ChemicalSubstance", "identifier": parent, **known}]


def _program(name: str, version: str) -> dict[str, Any]:
    return {
        "@id": f"#{name}-{version}", "@type": "SoftwareApplication", "name": name, "softwareVersion": version,
    }  # fmt: skip


def _dao_version() -> str:
    try:
        return metadata.version("dao-csp")
    except metadata.PackageNotFoundError:
        return "source"


def candidate_rows(paths: Sequence[Path]) -> dict[str, dict[str, Any]]:
    """Rows of `candidates.parquet` files by the candidate's id. Raises CandidatesError where a file is none."""
    import pyarrow.parquet as pq

    names = ["id", "formula", "origin", "energy_identity", "provenance"]
    for path in paths:
        require_columns(path, names)
    return {str(row["id"]): row for path in paths for row in pq.read_table(path, columns=names).to_pylist()}
