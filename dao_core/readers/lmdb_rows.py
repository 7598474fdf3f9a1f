"""Rows of an LMDB file whose values are JSON: ASE databases (`.aselmdb`, as OMat24 ships them) and plain rows.

Pickled values, as many LMDB files of the field hold, are refused: reading a pickle runs whatever code it carries.
"""

from __future__ import annotations

import json
import zlib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.readers.base import UnreadableError
from dao_core.readers.content import check_file

BOOKKEEPING = (b"nextid", b"metadata", b"deleted_ids", b"length", b"__len__")  # keys that are no rows
PICKLE_MARK = b"\x80"
ZLIB_MARK = b"\x78"


def lmdb_rows(path: Path, start: int) -> Iterator[tuple[int, str, Mapping[str, Any] | str]]:
    """Read the rows of an LMDB file in the order of its keys.

    Args:
        path: The file.
        start: Number of the first row.

    Yields:
        (index, key, row or the reason why it is none).

    Raises:
        UnreadableError: The file is damaged, or the package lmdb is missing.
    """
    check_file(path)
    with _opened(path) as cursor:
        index = 0
        for key, value in cursor:
            if key in BOOKKEEPING:
                continue
            if index >= start:
                yield index, key.decode(errors="replace"), _decode(value)
            index += 1


@contextmanager
def _opened(path: Path) -> Iterator[Any]:
    try:
        import lmdb
    except ImportError as error:
        raise UnreadableError(f"{path} needs the package lmdb: pip install 'dao-csp[lmdb]'") from error
    try:
        with (
            lmdb.open(str(path), subdir=False, readonly=True, lock=False, readahead=False) as environment,
            environment.begin() as transaction,
            transaction.cursor() as cursor,
        ):
            yield cursor
    except lmdb.Error as error:
        raise UnreadableError(f"{path} is a damaged LMDB file ({error}): download it again") from error


def _decode(value: bytes) -> Mapping[str, Any] | str:
    try:
        text = zlib.decompress(value) if value.startswith(ZLIB_MARK) else value
    except zlib.error as error:
        return f"damaged value ({error})"
    if text.startswith(PICKLE_MARK):
        return "a pickled value, which is never read: export the file as extended xyz or JSON with its own tools"
    try:
        row = json.loads(text)
    except ValueError as error:
        return f"the value is not JSON ({error})"
    if not isinstance(row, dict):
        return f"the value is JSON but no row ({type(row).__name__})"
    if not ("positions" in row and "numbers" in row):
        return row
    try:
        return _from_ase(row)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        return f"no row of an ASE database ({type(error).__name__}: {error})"


def _from_ase(row: Mapping[str, Any]) -> Mapping[str, Any] | str:
    """A row of an ASE database under our names; energy total in eV, stress as six Voigt components."""
    values = {name: _array(row.get(name)) for name in ("cell", "positions", "forces", "stress")}
    cell, positions = values["cell"], values["positions"]
    if cell is None or cell.size != 9 or abs(np.linalg.det(cell.reshape(3, 3))) < 1e-6:
        return "no cell: only crystals are taken"
    periodic = _array(row.get("pbc"))
    if periodic is not None and not periodic.all():
        return f"pbc {periodic.astype(bool).tolist()}: not periodic in three directions, so no crystal"
    numbers = row["numbers"]
    named = {**(row.get("data") or {}), **(row.get("key_value_pairs") or {})}
    return {
        **{k: v for k, v in named.items() if isinstance(v, str | int | float)},
        "lattice": cell.reshape(3, 3),
        "frac_coords": np.linalg.solve(cell.reshape(3, 3).T, positions.reshape(-1, 3).T).T,
        "atomic_numbers": numbers if isinstance(numbers, list) else _array(numbers).tolist(),
        "energy": row.get("energy"),
        "forces": values["forces"],
        "stress": values["stress"],
    }


def _array(value: Any) -> Any:
    """A list, or ASE's spelling of an array: {"__ndarray__": [shape, type, numbers]}."""
    if isinstance(value, Mapping) and "__ndarray__" in value:
        shape, kind, numbers = value["__ndarray__"]
        return np.array(numbers, dtype=kind).reshape(shape)
    return None if value is None else np.asarray(value, dtype=np.float64)
