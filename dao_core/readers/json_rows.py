"""JSON: plain rows, pymatgen structures and computed entries, alone, in a list, by id, or one a line."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.readers.base import UnreadableError
from dao_core.readers.optimade import is_resource, resource_row, resources
from dao_core.readers.plain_rows import real_array
from dao_core.readers.species import element_number

OWN = ("structure", "sites", "lattice", "energy", "correction")
SAME_CELL = 0.01  # relative, of lengths, angles and volumes that are rounded
SAME_PLACE = 1e-3  # angstrom between the two positions that a pymatgen site gives


def read_json(text: str) -> Iterator[dict[str, Any] | str]:
    """Rows as plain columns (lattice, frac_coords, species and what else there is), or the reason why one is none.

    Args:
        text: A JSON text.

    Raises:
        UnreadableError: The text is not whole JSON, or names a key twice.
    """
    for row in _rows(_parsed(text)):
        yield plain_or_reason(row)


def plain_or_reason(row: Any) -> dict[str, Any] | str:
    """`plain_row`, or the reason why the row is none."""
    if not isinstance(row, Mapping):
        return row if isinstance(row, str) else f"not a structure or entry but {type(row).__name__}"
    try:
        return plain_row(row)
    except UnreadableError as error:
        return str(error)
    except (KeyError, IndexError, TypeError, AttributeError, ValueError, ArithmeticError) as error:
        return f"not a structure or entry ({type(error).__name__}: {error})"


def _parsed(text: str) -> Any:
    try:
        return json.loads(text, object_pairs_hook=_unique)
    except RecursionError as error:
        raise UnreadableError("the JSON is nested too deeply for a table of structures") from error
    except ValueError as error:
        if isinstance(error, UnreadableError):
            raise
        lines = [line for line in text.split("\n") if line.strip()]
        if len(lines) > 1 and all(line.lstrip().startswith("{") for line in lines):
            return [_line(line) for line in lines]
        raise UnreadableError(f"not whole JSON ({error}): the file may be cut; download it again") from error


def _line(line: str) -> Any:
    try:
        return json.loads(line, object_pairs_hook=_unique)
    except ValueError as error:
        return f"a line that is not whole JSON ({error})"


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    out = dict(pairs)
    if len(out) < len(pairs):
        names = [name for name, _ in pairs]
        raise UnreadableError(f"the key {next(n for n in names if names.count(n) > 1)!r} stands twice in one object")
    return out


def _rows(data: Any) -> list[Any]:
    data = resources(data)
    if isinstance(data, list):
        return data
    if isinstance(data, dict) and data and "@class" not in data and all(isinstance(v, dict) for v in data.values()):
        return [{"material_id": key, **value} for key, value in data.items()]
    return [data]


def plain_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A row, a pymatgen Structure, a (Computed)StructureEntry or a structure of OPTIMADE under plain column names.

    Raises:
        UnreadableError: Sites are shared or no elements, the structure is not periodic in three directions, or an
            entry's energy belongs to another composition.
    """
    if is_resource(row):
        return resource_row(row)
    structure = row.get("structure", row if "sites" in row else None)
    if structure is None:
        return dict(row)
    if not isinstance(structure, Mapping) or not isinstance(structure.get("lattice"), Mapping):
        raise UnreadableError("the structure is no crystal of pymatgen with a lattice: only crystals are read")
    lattice = structure["lattice"]
    if lattice.get("pbc", [True] * 3) != [True] * 3:
        raise UnreadableError(f"pbc {lattice['pbc']}: not periodic in three directions, so no crystal")
    matrix = real_array("lattice", lattice["matrix"], (3, 3))
    _check_lattice(lattice, matrix)
    species, coordinates = [], []
    for site in structure["sites"]:
        species.append(_site_element(site))
        frac = real_array("abc", site["abc"], (3,))
        if site.get("xyz") is not None:
            away = real_array("xyz", site["xyz"], (3,)) - frac @ matrix
            if not (abs(away) < SAME_PLACE).all():
                raise UnreadableError(f"abc and xyz of a {species[-1]} site are two places: the structure is damaged")
        coordinates.append(frac.tolist())
    _check_composition(row, species)
    out = {
        **({"charge": structure["charge"]} if structure.get("charge") else {}),
        **{k: v for k, v in row.items() if k not in OWN},
        "lattice": matrix.tolist(),
        "frac_coords": coordinates,
        "species": species,
    }
    for key, name in (("energy", "energy_per_atom"), ("correction", "energy_correction_per_atom")):
        if row.get(key) is not None:
            out[name] = float(real_array(key, [row[key]], (1,))[0]) / len(species)
    return out


def _check_lattice(lattice: Mapping[str, Any], matrix: NDArray[np.float64]) -> None:
    """Lengths, angles and volume that stand beside the vectors must be theirs."""
    lengths = np.linalg.norm(matrix, axis=1)
    cosines = (matrix @ matrix.T) / np.outer(lengths, lengths)
    angles = np.degrees(np.arccos(np.clip([cosines[1, 2], cosines[0, 2], cosines[0, 1]], -1, 1)))
    found = dict(zip(("a", "b", "c", "alpha", "beta", "gamma"), (*lengths, *angles), strict=True))
    found["volume"] = abs(np.linalg.det(matrix))
    for name, value in found.items():
        given = lattice.get(name)
        if given is None:
            continue
        number = float(real_array(name, [given], (1,))[0])
        if not abs(number - value) <= SAME_CELL * value:
            raise UnreadableError(f"the lattice says {name} = {number:g}, its matrix makes it {value:.5g}: correct one")


def _site_element(site: Mapping[str, Any]) -> str:
    if len(site["species"]) != 1 or not abs(site["species"][0]["occu"] - 1) < 1e-6:
        raise UnreadableError("partially occupied sites: make an ordered approximation first")
    symbol = str(site["species"][0]["element"]).rstrip("+-0123456789.")
    if element_number(symbol) is None:
        raise UnreadableError(f"{site['species'][0]['element']!r} is no element from H to Fm: correct the symbol")
    return symbol


def _check_composition(row: Mapping[str, Any], species: list[str]) -> None:
    composition = row.get("composition")
    if "structure" not in row or not isinstance(composition, Mapping):
        return
    counts = {s: float(species.count(s)) for s in set(species)}
    given: dict[str, float] = {}
    for key, value in composition.items():
        name = str(key).rstrip("+-0123456789.")
        given[name] = given.get(name, 0.0) + float(value)
    if given != counts:
        raise UnreadableError(f"the entry's composition {dict(composition)} is not that of its structure")
