"""Structures as OPTIMADE sends them: resources with `attributes`, one, a list under `data`, or one a line.

The names are those of the specification, https://specs.optimade.org, 7.2 "Structures Entries".
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from dao_core.readers.base import UnreadableError
from dao_core.readers.formula_text import formula_counts
from dao_core.readers.plain_rows import real_array, wrong_proportions
from dao_core.readers.species import element_number

HEADER = "x-optimade"
PLACES = "cartesian_site_positions"
CELL = "lattice_vectors"
NO_CRYSTAL = ("disorder", "unknown_positions", "assemblies", "site_attachments", "implicit_atoms")


def is_resource(row: Mapping[str, Any]) -> bool:
    """Whether a row is a structure of OPTIMADE, with its attributes below it or beside it."""
    attributes = row.get("attributes")
    return PLACES in row or (
        isinstance(attributes, Mapping) and (PLACES in attributes or row.get("type") == "structures")
    )


def resources(data: Any) -> Any:
    """The rows of a response of OPTIMADE; anything else as it is."""
    if isinstance(data, Mapping):
        inner = data.get("data")
        rows = inner if isinstance(inner, list) else [inner]
        return rows if rows and all(isinstance(r, Mapping) and is_resource(r) for r in rows) else data
    if isinstance(data, list) and data and isinstance(data[0], Mapping) and HEADER in data[0]:
        return data[1:]
    return data


def resource_row(row: Mapping[str, Any]) -> dict[str, Any]:
    """A structure of OPTIMADE under plain column names.

    Raises:
        UnreadableError: It is not periodic in three directions, or its sites are no single, whole, located atoms.
    """
    said = row.get("attributes")
    attributes: Mapping[str, Any] = said if isinstance(said, Mapping) else row
    _check_kind(attributes)
    for name in (CELL, PLACES, "species_at_sites"):
        if attributes.get(name) is None:
            raise UnreadableError(f"the OPTIMADE structure has no {name}: ask the server for it (response_fields)")
    names = list(attributes["species_at_sites"])
    known = {s["name"]: s for s in attributes.get("species") or []}
    species = [_element(name, known.get(name)) for name in names]
    lattice = real_array(CELL, attributes[CELL], (3, 3))
    positions = real_array(PLACES, attributes[PLACES], (len(species), 3))
    if not abs(np.linalg.det(lattice)) > 1e-6:
        raise UnreadableError(f"the {CELL} span no volume: only crystals are read")
    _check_formula(attributes, species)
    return {
        **({"material_id": str(row["id"])} if row.get("id") is not None else {}),
        **{k: v for k, v in attributes.items() if isinstance(v, str | int | float)},
        "lattice": lattice.tolist(),
        "frac_coords": np.linalg.solve(lattice.T, positions.T).T.tolist(),
        "species": species,
    }


def _check_kind(attributes: Mapping[str, Any]) -> None:
    periods = attributes.get("dimension_types") or [1, 1, 1]
    n_periodic = attributes.get("nperiodic_dimensions")
    if list(periods) != [1, 1, 1] or n_periodic not in (3, None):
        said = f"dimension_types {list(periods)}, nperiodic_dimensions {n_periodic}"
        raise UnreadableError(f"{said}: not periodic in three directions, so no crystal")
    bad = [feature for feature in attributes.get("structure_features") or [] if feature in NO_CRYSTAL]
    if bad:
        raise UnreadableError(f"structure_features {bad}: only ordered crystals with all their atoms are read")


def _element(name: str, species: Mapping[str, Any] | None) -> str:
    symbols = [name] if species is None else list(species.get("chemical_symbols") or [])
    shares = [1.0] if species is None else list(species.get("concentration") or [1.0] * len(symbols))
    attached = species is not None and (species.get("attached") or species.get("nattached"))
    if len(symbols) != 1 or not abs(float(shares[0]) - 1) < 1e-6 or attached:
        raise UnreadableError(f"species {name!r} is no single, whole atom: make an ordered approximation first")
    if element_number(str(symbols[0])) is None:
        raise UnreadableError(f"{symbols[0]!r} is no element from H to Fm: correct the symbol")
    return str(symbols[0])


def _check_formula(attributes: Mapping[str, Any], species: list[str]) -> None:
    if attributes.get("nsites") not in (len(species), None):
        raise UnreadableError(f"{len(species)} sites, nsites says {attributes['nsites']}: atoms are missing")
    for name in ("chemical_formula_reduced", "chemical_formula_descriptive"):
        text = attributes.get(name)
        counts = formula_counts(text) if isinstance(text, str) else None
        if counts and wrong_proportions(counts, species):
            raise UnreadableError(f"the sites are not {text}, as {name} says: atoms are missing or wrong")
