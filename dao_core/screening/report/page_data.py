"""What the page shows, as one JSON-like value: numbers from `Candidate`, element colours, the hull's geometry."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import pairwise
from typing import Any

import numpy as np

from dao_core.artifacts import plain
from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS, atomic_number
from dao_core.hull.hull import Hull, fractions
from dao_core.screening.candidate import Candidate, model_name
from dao_core.screening.ranking import by_formula, deciding_identity, ground_states, relative_energy
from dao_core.screening.report.crystallography import powder_pattern, wyckoff_sites
from dao_core.screening.symmetry import (
    SYMPREC,
    SymmetryError,
    conventional_matrix,
    crystal_system,
    spacegroup_symbol,
)
from dao_core.units import STABLE_BELOW

HULL_DECIMALS = 9
N_PATTERNS = 12  # first candidates that get a powder pattern


@dataclass(frozen=True)
class ReportInfo:
    """The head of the page: what was asked, by which model, from which database, and how the counts add up.

    `n_asked` proposals were relaxed or failed: n_ok + n_failed == n_asked (checked). None means unknown and is shown
    as a dash. `stages` maps a stage to its seconds, `work` a kind of work to how much of it was done (the cost ledger);
    `notes` are shown as they are.
    """

    title: str
    model: str | None = None
    potential: str | None = None
    judge: str | None = None
    library: str | None = None
    database_version: str | None = None
    seed: int | None = None
    n_asked: int | None = None
    n_ok: int | None = None
    n_failed: int | None = None
    n_merged: int | None = None
    reasons: Mapping[str, int] = field(default_factory=dict)
    stages: Mapping[str, float] = field(default_factory=dict)
    work: Mapping[str, int] = field(default_factory=dict)
    notes: Sequence[str] = ()
    created: str | None = None
    software: str | None = None
    stable_below: float = STABLE_BELOW

    def __post_init__(self) -> None:
        counts = (self.n_asked, self.n_ok, self.n_failed)
        if None not in counts and self.n_ok + self.n_failed != self.n_asked:  # type: ignore[operator]
            raise ValueError(f"asked {self.n_asked}, but ok {self.n_ok} + failed {self.n_failed} don't add up to it")


def report_data(
    ranked: Sequence[Candidate], info: ReportInfo, file_names: Mapping[str, str], hull: Hull | None = None
) -> dict[str, Any]:
    """The page's data as plain JSON.

    Args:
        ranked: Best first.
        info: What the page's head says.
        file_names: Id -> name of its CIF.
        hull: For the hull plot.

    Returns:
        What the page's script reads.
    """
    best = ground_states(ranked)
    decides = {formula: deciding_identity(group) for formula, group in by_formula(ranked).items()}
    rows = [
        _row(c, i + 1, relative_energy(c, best, decides[c.formula]), file_names.get(c.id))
        | {"powder": powder_pattern(c.crystal) if i < N_PATTERNS and not c.rejected else None}
        for i, c in enumerate(ranked)
    ]
    return {
        "info": {**asdict(info), "notes": list(info.notes)},
        "elements": _elements(ranked),
        "candidates": rows,
        "hull": _hull(ranked, hull),
    }


def _row(c: Candidate, position: int, above_best: float | None, file_name: str | None) -> dict[str, Any]:
    return {
        "id": c.id,
        "rank": position,
        "formula": c.shown_formula,
        "z": c.z,
        "usable": c.usable,
        "rejected": c.rejected,
        "energy": _number(c.energy_per_atom),
        "std": _number(c.energy_std),
        "above_best": _number(above_best),
        "e_above_hull": _number(c.e_above_hull),
        "formation_energy": _number(c.formation_energy_per_atom),
        "decomposition": c.decomposition,
        "p_stable": _number(c.p_stable),
        "probability": _number(c.probability),
        "volume": _number(c.volume_per_atom),
        "density": _number(c.density),
        "min_distance": _number(c.min_distance),
        "sg_before": _spacegroup(c.spacegroup_before),
        "sg": _spacegroup(c.spacegroup_after if c.spacegroup_after is not None else c.spacegroup_before),
        "symprec": _number(c.symprec),
        "prototype": c.prototype,
        "novelty": c.novelty,
        "novelty_reference": c.novelty_reference,
        "status": c.relaxation_status,
        "origin": c.origin,
        "n_merged": c.n_merged,
        "merged_ids": list(c.merged_ids),
        "energy_identity": c.energy_identity,
        "energy_kind": None if c.energy_label is None else c.energy_label.kind,
        "energy_model": None if c.energy_identity is None else model_name(c.energy_identity),
        "first_energy": _number(c.first_energy_per_atom),
        "first_energy_model": None if c.first_energy_identity is None else model_name(c.first_energy_identity),
        "first_energy_kind": None if c.first_energy_label is None else c.first_energy_label.kind,
        "r2scan_shift": _number(c.r2scan_shift),
        "judged": c.judged,
        "relaxed": c.relaxed,
        "undecided": c.undecided,
        "library": c.library,
        "library_id": c.library_id,
        "library_e_above_hull": _number(c.library_e_above_hull),
        "library_sg": _spacegroup(c.library_spacegroup),
        "mineral": c.mineral,
        "n_measured": c.n_measured,
        "hull_identity": c.hull_identity,
        "provenance": plain(c.provenance),
        "cost": plain(c.cost),
        "extras": plain(c.extras),
        "file": file_name,
        "structure": structure_data(c.crystal),
        "sites": wyckoff_sites(c.crystal),
    }


def structure_data(crystal: Crystal) -> dict[str, Any]:
    """A crystal for the viewer: lattice (angstrom) and positions as flat lists, and its conventional cell's matrix."""
    try:
        matrix = conventional_matrix(crystal, SYMPREC).ravel().tolist()
    except SymmetryError:
        matrix = [1, 0, 0, 0, 1, 0, 0, 0, 1]
    return {
        "lattice": [round(float(x), 8) for x in crystal.lattice.ravel()],
        "frac": [round(float(x), 8) for x in crystal.frac_coords.ravel()],
        "species": crystal.symbols,
        "conventional": matrix,
    }


def _spacegroup(number: int | None) -> dict[str, Any] | None:
    if number is None:
        return None
    return {"number": number, "symbol": spacegroup_symbol(number), "system": crystal_system(number)}


def _elements(candidates: Sequence[Candidate]) -> dict[str, dict[str, Any]]:
    """Colour (after Jmol's table, through ASE), radius in angstrom and metal or not, of the elements present."""
    from ase.data import covalent_radii
    from ase.data.colors import jmol_colors
    from pymatgen.core import Element

    numbers = sorted({int(z) for c in candidates for z in c.crystal.atomic_numbers})
    out = {}
    for z in numbers:
        rgb = _calmer([float(x) for x in jmol_colors[z]])
        element = Element(SYMBOLS[z])
        out[SYMBOLS[z]] = {
            "color": rgb,
            "radius": round(float(covalent_radii[z]), 3),
            "metal": bool(element.is_metal),
            "name": str(element.long_name),
        }
    return out


def _calmer(rgb: list[float]) -> list[int]:
    """The familiar hue a little less glaring (8-bit): a quarter of the way to its own grey, never near white."""
    grey = 0.3 * rgb[0] + 0.59 * rgb[1] + 0.11 * rgb[2]
    return [round(255 * 0.96 * (0.75 * x + 0.25 * grey)) for x in rgb]


def _hull(candidates: Sequence[Candidate], hull: Hull | None) -> dict[str, Any] | None:
    """Reference points and hull edges for the plot, for two or three elements; None otherwise."""
    elements = sorted({s for c in candidates for s in c.crystal.composition})
    if hull is None or len(elements) not in (2, 3):
        return None
    points: list[dict[str, Any]] = []
    numbers = [atomic_number(e) for e in elements]
    if hull.system(numbers) is None:
        return None
    for entry in hull.phases(numbers):
        energy = hull.formation_energy_per_atom(entry.counts, entry.energy_per_atom, label=hull.label)
        x = fractions(entry.counts, numbers).tolist()
        points.append({"label": entry.formula, "id": entry.id, "x": x, "energy": energy})
    edges = hull_edges(np.array([[*p["x"][1:], p["energy"]] for p in points]))
    stable = {i for edge in edges for i in edge}
    for i, p in enumerate(points):
        p["stable"] = i in stable
    return {"elements": elements, "identity": hull.label.made_by, "points": points, "edges": edges}


def hull_edges(points: np.ndarray) -> list[tuple[int, int]]:
    """Edges (i < j) of the lower convex hull of (n, d) points, d = 2 or 3; the last column is the energy."""
    if points.shape[1] == 2:
        chain: list[int] = []
        for i in sorted(range(len(points)), key=lambda k: (points[k, 0], points[k, 1])):
            if chain and abs(points[chain[-1], 0] - points[i, 0]) < 1e-12:
                continue
            while len(chain) > 1 and _cross(points[chain[-2]], points[chain[-1]], points[i]) <= 0:
                chain.pop()
            chain.append(i)
        return [(min(a, b), max(a, b)) for a, b in pairwise(chain)]
    from scipy.spatial import ConvexHull, QhullError

    # A point far above closes the hull, so that every facet not touching it and facing down is the lower hull.
    roof = np.array([[1 / 3, 1 / 3, float(points[:, -1].max()) + 10.0]])
    try:
        facets = ConvexHull(np.vstack([points, roof]))
    except QhullError:
        return []
    edges: set[tuple[int, int]] = set()
    for simplex, equation in zip(facets.simplices, facets.equations, strict=True):
        if len(points) in simplex or equation[2] > -1e-10:
            continue
        for a, b in ((0, 1), (1, 2), (0, 2)):
            edges.add((int(min(simplex[a], simplex[b])), int(max(simplex[a], simplex[b]))))
    return sorted(edges)


def _cross(a: np.ndarray, b: np.ndarray, c: np.ndarray) -> float:
    return float((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0]))


def _number(value: float | None) -> float | None:
    """A finite float for JSON; NaN and infinity are unknown, not numbers."""
    if value is None or not math.isfinite(value):
        return None
    return round(float(value), HULL_DECIMALS)
