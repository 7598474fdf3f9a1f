"""Tables that come with a library of pseudopotentials: which file is an element's, its checksum and its cutoffs.

SSSP (`SSSP_*.json`): {"Ag": {"filename", "md5", "cutoff_wfc", "cutoff_rho"}}, in Ry. PseudoDojo (`*.djson`):
{"pseudos_metadata": {"Ag": {"basename", "md5", "hints": {"low": {"ecut"}, ...}}}}, in Hartree.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

HINTS = ("low", "normal", "high")


@dataclass(frozen=True)
class PublishedFile:
    """What a table says about an element's file; `cutoffs` in the form of `library.json`."""

    name: str = ""
    md5: str = ""
    cutoffs: Mapping[str, Any] = field(default_factory=dict)


def read_tables(folder: Path) -> dict[str, PublishedFile]:
    """What the tables beside the files of a folder say, by element; other JSON files are passed over.

    Args:
        folder: The folder of a library.
    """
    found: dict[str, PublishedFile] = {}
    for path in sorted([*folder.glob("*.json"), *folder.glob("*.djson")]):
        try:
            content = json.loads(path.read_text())
            rows = content.get("pseudos_metadata", content)
            found |= {e: _row(row) for e, row in rows.items() if isinstance(row, dict) and _is_row(row)}
        except (OSError, ValueError, AttributeError, TypeError, KeyError):
            continue  # some other JSON file beside the pseudopotentials
    return found


def _is_row(row: Mapping[str, Any]) -> bool:
    return "cutoff_wfc" in row or "hints" in row


def _row(row: Mapping[str, Any]) -> PublishedFile:
    name, md5 = str(row.get("filename") or row.get("basename") or ""), str(row.get("md5") or "")
    if "cutoff_wfc" in row:
        cutoffs: dict[str, Any] = {"ecutwfc": float(row["cutoff_wfc"]), "ecutrho": float(row.get("cutoff_rho") or 0)}
    else:
        cutoffs = {"cutoff_hartree": [float(row["hints"][level]["ecut"]) for level in HINTS]}
    return PublishedFile(name, md5, {k: v for k, v in cutoffs.items() if v})


def is_published(path: Path, published: PublishedFile) -> bool:
    """Whether a file is the one that a table names; a table without a checksum can't tell."""
    if not published.md5:
        return True
    return hashlib.md5(path.read_bytes(), usedforsecurity=False).hexdigest() == published.md5.lower()
