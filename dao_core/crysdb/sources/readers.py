"""Readers of single files: each yields (row name, record or Refusal) from a given row on."""

from __future__ import annotations

import csv
import json
import sys
from collections.abc import Callable, Iterator, Mapping
from io import StringIO
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError
from dao_core.crysdb.sources.guards import check_file, open_text
from dao_core.crysdb.sources.mapping import MappingOptions, RowError, row_to_record

Rows = Iterator[CrysRecord | Refusal]
Reader = Callable[[Path, MappingOptions, int], Rows]


def _attempt(row: Mapping[str, Any], options: MappingOptions, path: Path, index: int) -> CrysRecord | Refusal:
    try:
        return row_to_record(row, options, f"{path.stem}-{index}")
    except RowError as error:
        return Refusal(f"{path.name} row {index}", str(error))


def read_parquet(path: Path, options: MappingOptions, start: int) -> Rows:
    """Rows of a Parquet table, a batch at a time."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    check_file(path)
    try:
        handle = pq.ParquetFile(path)
        index = 0
        for batch in handle.iter_batches(batch_size=2000):
            if index + batch.num_rows > start:
                skip = max(0, start - index)
                for offset, row in enumerate(batch.slice(skip).to_pylist(), start=index + skip):
                    yield _attempt(row, options, path, offset)
            index += batch.num_rows
    except (pa.ArrowInvalid, OSError) as error:
        raise SourceError(f"{path} is a damaged Parquet file ({error}): download it again") from error


def read_csv(path: Path, options: MappingOptions, start: int) -> Rows:
    """Rows of a CSV table with a `cif` column (the layout of CDVAE's benchmarks) or JSON in the structure columns."""
    csv.field_size_limit(min(sys.maxsize, 2**31 - 1))
    rows = csv.DictReader(StringIO(open_text(path)))
    for index, row in enumerate(islice(rows, start, None), start=start):
        try:
            unpacked = {k: _unpack(v) for k, v in row.items() if k is not None}
        except json.JSONDecodeError as error:
            yield Refusal(f"{path.name} row {index}", f"unreadable list: {error}")
            continue
        yield _attempt(unpacked, options, path, index)


def _unpack(value: Any) -> Any:
    return json.loads(value) if isinstance(value, str) and value.startswith("[") else value


def read_cif(path: Path, options: MappingOptions, start: int) -> Rows:
    """One CIF file as one row."""
    if start == 0:
        row = {"material_id": path.name.removesuffix(".gz").removesuffix(".cif"), "cif": open_text(path)}
        yield _attempt(row, options, path, 0)


def read_extxyz(path: Path, options: MappingOptions, start: int) -> Rows:
    """Frames of an extended-xyz file; energy is the total one, stress in eV/angstrom^3 with tension positive."""
    text = open_text(path)
    for index, frame in enumerate(_frames(text, path)):
        if index >= start:
            yield _frame_record(frame, options, path, index)


def _frames(text: str, path: Path) -> Iterator[str]:
    lines = text.splitlines(keepends=True)
    at = 0
    while at < len(lines) and lines[at].strip():
        try:
            n_atoms = int(lines[at])
        except ValueError:
            raise SourceError(f"{path} line {at + 1}: expected a number of atoms, found {lines[at][:40]!r}") from None
        yield "".join(lines[at : at + n_atoms + 2])
        at += n_atoms + 2


def _frame_record(frame: str, options: MappingOptions, path: Path, index: int) -> CrysRecord | Refusal:
    from ase.io import read

    name = f"{path.name} frame {index}"
    try:
        atoms = read(StringIO(frame), index=0, format="extxyz")
    except (ValueError, KeyError, IndexError, OSError) as error:
        return Refusal(name, f"unreadable frame: {error}")
    results = {} if atoms.calc is None else atoms.calc.results
    row: dict[str, Any] = {
        **atoms.info,
        "lattice": atoms.cell.array,
        "frac_coords": atoms.get_scaled_positions(wrap=True) if atoms.cell.rank == 3 else None,
        "atomic_numbers": atoms.numbers.tolist(),
        "energy": results.get("energy", atoms.info.get("energy")),
        "forces": results.get("forces"),
        "stress": _full_stress(results.get("stress", atoms.info.get("stress"))),
    }
    mapping = options.mapping.model_copy(update={"energy": "energy"})
    record = _attempt(row, options.model_copy(update={"mapping": mapping}), path, index)
    if isinstance(record, CrysRecord) and record.forces is not None:
        record.relaxation = "frame"
    return record


def read_lmdb(path: Path, options: MappingOptions, start: int) -> Rows:
    """Rows of an LMDB file: an ASE database, or JSON values as `read_json` takes them."""
    from dao_core.crysdb.sources.lmdb_reader import lmdb_rows

    for index, key, row in lmdb_rows(path, start):
        name = f"{path.name} key {key}"
        if isinstance(row, str):
            yield Refusal(name, row)
            continue
        if "energy" not in row or "structure" in row:
            yield _json_record(row, options, path, index)
            continue
        try:
            plain = {**row, "stress": _full_stress(row.get("stress"))}
        except (TypeError, ValueError) as error:
            yield Refusal(name, f"stress: {error}")
            continue
        total = options.mapping.model_copy(update={"energy": "energy"})
        record = _attempt(plain, options.model_copy(update={"mapping": total}), path, index)
        if isinstance(record, CrysRecord) and record.forces is not None:
            record.relaxation = "frame"
        yield record


def _full_stress(stress: Any) -> Any:
    if stress is None or np.size(stress) == 9:
        return stress
    xx, yy, zz, yz, xz, xy = np.ravel(stress)
    return np.array([[xx, xy, xz], [xy, yy, yz], [xz, yz, zz]])


def read_json(path: Path, options: MappingOptions, start: int) -> Rows:
    """A JSON list (or one object, or objects by id) of pymatgen structures, computed entries or plain rows."""
    try:
        data = json.loads(open_text(path))
    except json.JSONDecodeError as error:
        raise SourceError(f"{path} is not whole JSON ({error}): download it again") from error
    if isinstance(data, dict) and "@class" not in data and all(isinstance(v, dict) for v in data.values()):
        data = [{"material_id": key, **value} for key, value in data.items()]
    rows = data if isinstance(data, list) else [data]
    for index, row in enumerate(rows[start:], start=start):
        yield _json_record(row, options, path, index)


def _json_record(row: Mapping[str, Any], options: MappingOptions, path: Path, index: int) -> CrysRecord | Refusal:
    try:
        plain = _plain_row(row)
    except (KeyError, IndexError, TypeError, AttributeError) as error:
        return Refusal(f"{path.name} row {index}", f"not a structure or entry ({type(error).__name__}: {error})")
    if isinstance(plain, str):
        return Refusal(f"{path.name} row {index}", plain)
    return _attempt(plain, options, path, index)


def _plain_row(row: Mapping[str, Any]) -> dict[str, Any] | str:
    """A pymatgen Structure or (Computed)StructureEntry as a plain row; a string says why not."""
    structure = row.get("structure", row if "sites" in row else None)
    if structure is None:
        return dict(row)
    species = []
    for site in structure["sites"]:
        if len(site["species"]) != 1 or abs(site["species"][0]["occu"] - 1) > 1e-6:
            return "partially occupied sites: make an ordered approximation first"
        species.append(site["species"][0]["element"].rstrip("+-0123456789"))
    out = {
        **{k: v for k, v in row.items() if k not in ("structure", "sites", "lattice", "energy", "correction")},
        "lattice": structure["lattice"]["matrix"],
        "frac_coords": [site["abc"] for site in structure["sites"]],
        "species": species,
    }
    if row.get("energy") is not None:
        out["energy_per_atom"] = row["energy"] / len(species)
    if row.get("correction") is not None:
        out["energy_correction_per_atom"] = row["correction"] / len(species)
    return out


READERS: dict[str, Reader] = {
    ".parquet": read_parquet,
    ".csv": read_csv,
    ".cif": read_cif,
    ".xyz": read_extxyz,
    ".extxyz": read_extxyz,
    ".json": read_json,
    ".lmdb": read_lmdb,
    ".aselmdb": read_lmdb,
    ".mdb": read_lmdb,
}
