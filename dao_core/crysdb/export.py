"""CrysDB in other people's formats: OPTIMADE-ready JSON lines, extended xyz, and packed arrays for training."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable
from math import gcd
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.artifacts import written_whole
from dao_core.crysdb.schema import CrysRecord, table_to_records
from dao_core.elements import SYMBOLS

if TYPE_CHECKING:
    import pyarrow as pa

OPTIMADE_VERSION = "1.1.0"
PREFIX = "dao"  # of the provider
# what goes out under the provider's prefix
PROVIDER_FIELDS = (
    "source",
    "functional",
    "energy_per_atom",
    "energy_correction_per_atom",
    "formation_energy_per_atom",
    "e_above_hull",
    "is_stable",
    "spacegroup_number",
    "duplicate_of",
    "license",
)
EXTXYZ_NUMBERS = ("energy_per_atom", "energy_correction_per_atom", "formation_energy_per_atom", "e_above_hull",
                  "spacegroup_number")  # fmt: skip
_PLAIN_TEXT = re.compile(r"[A-Za-z0-9_.:+-]+")
_BOOLEANS = frozenset({"T", "F", "true", "false", "True", "False", "TRUE", "FALSE"})
LABELS = ("energy_per_atom", "formation_energy_per_atom", "e_above_hull")


class ExportError(ValueError):
    """There is nothing to write; the message says what to choose instead."""


def write_extxyz(tables: Iterable[pa.Table], path: Path) -> int:
    """All rows as extended xyz, which `ase.io.read` and the source `files` read back with the same values.

    Args:
        tables: Rows with CrysDB's columns.
        path: The file; it appears when it is whole.

    Returns:
        The number of rows. Total `energy` in eV, forces in eV/angstrom, stress in eV/angstrom^3 with tension positive.
    """
    n_rows = 0
    with written_whole(path) as temporary, temporary.open("w") as handle:
        for table in tables:
            for record in table_to_records(table):
                handle.write(_extxyz_frame(record))
                n_rows += 1
    return n_rows


def _extxyz_frame(record: CrysRecord) -> str:
    lattice = " ".join(repr(x) for x in record.lattice.ravel().tolist())
    properties = "species:S:1:pos:R:3" + ("" if record.forces is None else ":forces:R:3")
    head = [f'Lattice="{lattice}"', f"Properties={properties}", f"material_id={extxyz_text(record.material_id)}"]
    if record.energy_per_atom is not None:
        head.append(f"energy={record.energy_per_atom * record.n_atoms!r}")
    if record.stress is not None:
        head.append('stress="' + " ".join(repr(x) for x in record.stress.ravel(order="F").tolist()) + '"')
    for name in EXTXYZ_NUMBERS:
        if (value := getattr(record, name)) is not None:
            head.append(f"{name}={value!r}")
    words = ("source", "functional", "relaxation", "parent_id")
    head += [f"{name}={extxyz_text(value)}" for name in words if (value := getattr(record, name)) is not None]
    columns = record.frac_coords @ record.lattice
    if record.forces is not None:
        columns = np.concatenate([columns, record.forces], axis=1)
    lines = [str(record.n_atoms), " ".join([*head, 'pbc="T T T"'])]
    for z, row in zip(record.atomic_numbers.tolist(), columns.tolist(), strict=True):
        lines.append(" ".join([SYMBOLS[z], *(repr(x) for x in row)]))
    return "\n".join(lines) + "\n"


def extxyz_text(text: str) -> str:
    """A text as a value of extended xyz that is read back as that text.

    What would be read as a number, a boolean or an array, or holds a delimiter, goes as ASE's `_JSON` value, which ASE
    and the readers made like it turn back into the text.
    """
    if _PLAIN_TEXT.fullmatch(text) and text not in _BOOLEANS and not _is_number(text):
        return text
    escaped = json.dumps(text).replace("\\", "\\\\").replace('"', '\\"')
    return f'"_JSON {escaped}"'


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def write_optimade(tables: Iterable[pa.Table], path: Path) -> int:
    """Write rows as OPTIMADE JSON lines, the file that the reference server takes as `insert_from_jsonl`.

    The first line is the header of the OPTIMADE specification 1.1. Our own values are stored under plain names that
    the server gives out as `_dao_<name>` when its `provider_fields` lists them (see `provider_config`).

    Args:
        tables: Rows of CrysDB, piece by piece.
        path: The file; it appears whole or not at all.

    Returns:
        Number of rows.
    """
    n_rows = 0
    with written_whole(path) as temporary, temporary.open("w") as handle:
        handle.write(json.dumps({"x-optimade": {"meta": {"api_version": OPTIMADE_VERSION, "prefix": PREFIX}}}) + "\n")
        for table in tables:
            for record in table_to_records(table):
                handle.write(json.dumps(optimade_resource(record)) + "\n")
                n_rows += 1
    return n_rows


def optimade_resource(record: CrysRecord) -> dict[str, Any]:
    """One row as an OPTIMADE structure resource."""
    symbols = [SYMBOLS[z] for z in record.atomic_numbers.tolist()]
    elements = sorted(set(symbols))
    counts = [symbols.count(e) for e in elements]
    divisor = gcd(*counts)
    reduced = [n // divisor for n in counts]
    attributes: dict[str, Any] = {
        "elements": elements,
        "nelements": len(elements),
        "elements_ratios": [n / len(symbols) for n in counts],
        "chemical_formula_descriptive": _formula(elements, counts),
        "chemical_formula_reduced": _formula(elements, reduced),
        "chemical_formula_anonymous": _formula(_letters(len(reduced)), sorted(reduced, reverse=True)),
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": record.lattice.tolist(),
        "cartesian_site_positions": (record.frac_coords @ record.lattice).tolist(),
        "nsites": len(symbols),
        "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in elements],
        "species_at_sites": symbols,
        "structure_features": [],
        "last_modified": record.ingested_at or "1970-01-01T00:00:00Z",
    }
    attributes.update({name: getattr(record, name) for name in PROVIDER_FIELDS})
    return {"id": record.material_id, "type": "structures", "attributes": attributes}


def _letters(count: int) -> list[str]:
    alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
    return [alphabet[i] if i < 26 else f"{alphabet[i // 26]}{alphabet[i % 26].lower()}" for i in range(count)]


def _formula(names: list[str], counts: list[int]) -> str:
    return "".join(f"{name}{n if n > 1 else ''}" for name, n in zip(names, counts, strict=True))


def provider_config(path: Path) -> dict[str, Any]:
    """Settings with which the OPTIMADE reference server serves a file of `write_optimade`."""
    return {
        "insert_from_jsonl": str(path.resolve()),
        "insert_test_data": False,
        "database_backend": "mongomock",
        "provider": {"prefix": PREFIX, "name": "DAO", "description": "CrysDB", "homepage": None},
        "provider_fields": {"structures": list(PROVIDER_FIELDS)},
    }


def pack(tables: Iterable[pa.Table], path: Path) -> int:
    """Write rows as flat arrays in one uncompressed npz file, the training loader's cache.

    Arrays as `dao_core.training.packed.PackedCrystals` has them: lattice (M, 3, 3), frac_coords (A, 3), atomic_numbers
    (A,), pointer (M + 1,), labels.<name> (M,) with NaN where unknown, and material_id (M,) beside them in
    `<path>.ids.txt`.

    Args:
        tables: Rows of CrysDB, piece by piece.
        path: The file; it appears whole or not at all.

    Returns:
        Number of rows.
    """
    parts: list[dict[str, NDArray[Any]]] = []
    ids: list[str] = []
    for table in tables:
        if table.num_rows:
            parts.append(_packed(table))
            ids += table["material_id"].to_pylist()
    if not parts:
        raise ExportError("no rows to pack: choose another view or leak level, or build the table first")
    sizes = np.concatenate([p.pop("n_atoms") for p in parts])
    arrays = {name: np.concatenate([p[name] for p in parts]) for name in parts[0]}
    arrays["pointer"] = np.concatenate([[0], np.cumsum(sizes)])
    with written_whole(path) as temporary:
        with temporary.open("wb") as handle:  # a path would get the ending .npz
            np.savez(handle, allow_pickle=False, **arrays)
        path.with_name(f"{path.name}.ids.txt").write_text("".join(f"{' '.join(name.splitlines())}\n" for name in ids))
    return len(ids)


def _packed(table: pa.Table) -> dict[str, NDArray[Any]]:
    """Straight from arrow's buffers, no Python value for any atom."""

    def flat(name: str) -> NDArray[Any]:
        return np.asarray(table[name].combine_chunks().flatten())

    out: dict[str, NDArray[Any]] = {
        "n_atoms": np.asarray(table["n_atoms"]).astype(np.int64),
        "lattice": flat("lattice").reshape(-1, 3, 3).astype(np.float32),
        "frac_coords": flat("frac_coords").reshape(-1, 3).astype(np.float32),
        "atomic_numbers": flat("atomic_numbers").astype(np.uint8),
    }
    for name in LABELS:
        values = table[name].combine_chunks().to_numpy(zero_copy_only=False)
        out[f"labels.{name}"] = np.asarray(values, dtype=np.float32)
    return out
