"""A small world of crystals with energies, served by every peer in its own dialect. The energies are invented."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np

_PAIRS = (("Li", "F", 4.0), ("Na", "Cl", 5.6), ("K", "Br", 6.6), ("Mg", "O", 4.2), ("Ca", "S", 5.7))
_FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])
_DIATOMIC = {  # prototype -> lattice in units of a, position of the anion, energy above the lowest in eV/atom
    "B1_NaCl": (_FCC, (0.5, 0.5, 0.5), 0.0),
    "B2_CsCl": (0.62 * np.eye(3), (0.5, 0.5, 0.5), 0.18),
    "B3_ZincBlende": (1.07 * _FCC, (0.25, 0.25, 0.25), 0.31),
}


@dataclass(frozen=True)
class Entry:
    """One crystal as a database knows it; energies in eV/atom, `correction` on top of the raw energy."""

    number: int
    symbols: tuple[str, ...]
    prototype: str
    lattice: tuple[tuple[float, ...], ...]
    frac_coords: tuple[tuple[float, ...], ...]
    energy: float
    correction: float
    delta_e: float
    stability: float | None


def entries() -> list[Entry]:
    """Ten elements and fifteen compounds of five binary systems, numbers not in order of anything."""
    out = []
    for k, (cation, anion, a) in enumerate(_PAIRS):
        for j, (symbol, scale) in enumerate(((cation, 0.9), (anion, 0.8))):
            lattice = scale * a * (np.ones((3, 3)) / 2 - np.eye(3))
            out.append(
                _entry(100 + 7 * k + j, (symbol,), "A2_W", lattice, [(0, 0, 0)], -2.0 - 0.1 * k - j, 0.0, 0.0, 0.0)
            )
        for j, (prototype, (shape, place, above)) in enumerate(_DIATOMIC.items()):
            delta = -1.5 - 0.2 * k + above
            energy = delta + (-4.0 - 0.2 * k - 1.0) / 2
            stability = -0.4 if not above else None if prototype == "B3_ZincBlende" and k == 4 else above
            where = [(0, 0, 0), place]
            out.append(
                _entry(500 - 9 * k + j, (cation, anion), prototype, shape * a, where, energy, -0.35, delta, stability)
            )
    return out


def _entry(
    number: int,
    symbols: tuple[str, ...],
    prototype: str,
    lattice: np.ndarray,
    where: list[tuple[float, float, float]],
    *energies: float | None,
) -> Entry:
    rows = tuple(tuple(float(x) for x in row) for row in lattice)
    return Entry(number, symbols, prototype, rows, tuple(where), *energies)  # type: ignore[arg-type]


def oqmd_row(entry: Entry) -> dict[str, Any]:
    """The entry as OQMD's REST API gives it."""
    sites = [f"{s} @ {x:.3g} {y:.3g} {z:.3g}" for s, (x, y, z) in zip(entry.symbols, entry.frac_coords, strict=True)]
    return {
        "name": "".join(entry.symbols),
        "entry_id": entry.number,
        "formationenergy_id": 40000 + entry.number,
        "calculation_id": 90000 + entry.number,
        "icsd_id": None,
        "spacegroup": "P1",
        "prototype": entry.prototype,
        "ntypes": len(set(entry.symbols)),
        "natoms": len(entry.symbols),
        "volume": abs(float(np.linalg.det(np.array(entry.lattice)))),
        "band_gap": 0.0,
        "delta_e": entry.delta_e,
        "stability": entry.stability,
        "unit_cell": [list(row) for row in entry.lattice],
        "sites": sites,
    }


def oqmd_row_of_sample(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the development data's OQMD sample in the API's own dialect."""
    sites = [f"{s} @ {x} {y} {z}" for s, (x, y, z) in zip(row["species"], row["frac_coords"], strict=True)]
    plain = {k: v for k, v in row.items() if k not in ("lattice", "species", "frac_coords")}
    return {**plain, "entry_id": int(row["entry_id"]), "unit_cell": row["lattice"], "sites": sites}


def optimade_line(entry: Entry) -> dict[str, Any]:
    """The entry as a line of OPTIMADE JSONL; the provider's own fields come unprefixed."""
    lattice = np.array(entry.lattice)
    elements = sorted(set(entry.symbols))
    attributes = {
        "last_modified": {"$date": f"2025-0{1 + entry.number % 9}-01T00:00:00Z"},
        "elements": elements,
        "nelements": len(elements),
        "elements_ratios": [entry.symbols.count(e) / len(entry.symbols) for e in elements],
        "chemical_formula_reduced": "".join(elements),
        "chemical_formula_descriptive": "".join(elements),
        "chemical_formula_anonymous": "AB"[: len(elements)],
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": lattice.tolist(),
        "cartesian_site_positions": (np.array(entry.frac_coords) @ lattice).tolist(),
        "nsites": len(entry.symbols),
        "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in elements],
        "species_at_sites": list(entry.symbols),
        "structure_features": [],
        "entry_id": entry.number,
        "delta_e": entry.delta_e,
        "stability": entry.stability,
    }
    return {"type": "structures", "id": str(entry.number), "attributes": attributes}


def optimade_line_of_sample(row: dict[str, Any]) -> dict[str, Any]:
    """A row of the development data's OQMD sample as a line of OPTIMADE JSONL."""
    entry = Entry(
        int(row["entry_id"]),
        tuple(row["species"]),
        "",
        tuple(map(tuple, row["lattice"])),
        tuple(map(tuple, row["frac_coords"])),
        0.0,
        0.0,
        row["delta_e"],
        row["stability"],
    )
    return optimade_line(entry)


def computed_entry(entry: Entry) -> dict[str, Any]:
    """The entry as pymatgen's ComputedStructureEntry, MP2020 correction apart from the raw energy."""
    from pymatgen.core import Lattice, Structure
    from pymatgen.entries.computed_entries import ComputedStructureEntry, ConstantEnergyAdjustment

    n = len(entry.symbols)
    adjustment = ConstantEnergyAdjustment(entry.correction * n, name="MP2020 anion correction")
    structure = Structure(Lattice(np.array(entry.lattice)), entry.symbols, entry.frac_coords)
    return ComputedStructureEntry(
        structure,
        entry.energy * n,
        energy_adjustments=[adjustment] if entry.correction else [],
        entry_id=f"mp-{entry.number}",
        parameters={"run_type": "GGA"},
    ).as_dict()
