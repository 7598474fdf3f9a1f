"""What first principles say about a candidate, for the page: energies beside the models', magnetism, electrons.

The page is written when a screening ends, and a validation comes later: `add_first_principles` puts its results into a
page that exists.
"""

from __future__ import annotations

import base64
import json
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import content_key, plain, write_atomic
from dao_core.dft.hubbard import hubbard_label
from dao_core.dft.properties import Properties, stage_seconds
from dao_core.dft.validate import ValidationResult
from dao_core.screening.report.page import read_data, write_page
from dao_core.screening.report.page_data import structure_data

N_ENERGIES = 500  # points of a density of states that a plot shows
N_PATH_POINTS = 240  # of a path
FOLDER = "first_principles"
STAGE = "pw.x: "  # what the page's cost ledger calls the stages of validations


def first_principles(result: ValidationResult, properties: Properties | None = None) -> dict[str, Any]:
    """The part of a candidate's page that a validation fills.

    Args:
        result: Of pw.x; one that failed shows its status and message.
        properties: Electrons and vibrations, where they were asked for.

    Returns:
        JSON-like values: energies in eV/atom, volume in angstrom^3/atom, moments in Bohr magnetons.
    """
    crystal = result.crystal if result.ok else None
    return {
        "status": result.status,
        "message": result.message,
        "functional": result.functional,
        "code_version": result.code_version,
        "energy": _rounded(result.energy_per_atom),
        "formation_energy": _rounded(result.formation_energy_per_atom),
        "e_above_hull": _rounded(result.e_above_hull),
        "missing_references": list(result.missing_references),
        "volume": None if crystal is None else round(crystal.volume / crystal.n_atoms, 4),
        "volume_change": _rounded(result.volume_change),
        "same_structure": result.same_structure,
        "hubbard": hubbard_label(result.hubbard),
        "magnetism": _magnetism(result),
        "structure": None if crystal is None else structure_data(crystal),
        "sections": [] if properties is None else [_section(s) for s in properties.sections],
        "seconds": {**stage_seconds(result.stages), **({} if properties is None else properties.seconds)},
    }


def add_first_principles(page: Path, records: Mapping[str, Mapping[str, Any]]) -> int:
    """Put the results of validations into a page that was written before; repeating it changes nothing.

    Args:
        page: The page, `index.html` of a report.
        records: Candidate id -> what `first_principles` made.

    Returns:
        How many candidates of the page got one.

    Raises:
        PageError: It is not a page of candidates.
    """
    data = read_data(page)
    found = 0
    for row in data["candidates"]:
        record = records.get(row["id"])
        if record is not None:
            row["dft"] = plain(record)
            row["cost"] |= {f"{STAGE}{name}_s": seconds for name, seconds in record["seconds"].items()}
            found += 1
    stages = {k: v for k, v in data["info"]["stages"].items() if not k.startswith(STAGE)}
    for row in data["candidates"]:
        for name, seconds in (row.get("dft") or {}).get("seconds", {}).items():
            stages[STAGE + name] = stages.get(STAGE + name, 0.0) + seconds
    data["info"]["stages"] = stages
    write_page(data, page)
    return found


def save_first_principles(root: Path, result: ValidationResult, properties: Properties | None = None) -> Path:
    """Keep a candidate's part of the page as a file below `root`, for a page that is written or found later."""
    name = re.sub(r"[^A-Za-z0-9_.-]+", "_", result.material_id or result.formula)
    path = root / FOLDER / f"{name}_{content_key(id=result.material_id, key=result.key)[:8]}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(path, json.dumps(plain({"id": result.material_id, "record": first_principles(result, properties)})))
    return path


def show_first_principles(page: Path, files: Sequence[Path]) -> int:
    """Put what `save_first_principles` kept into a page; returns how many of its candidates got a part."""
    kept = [json.loads(path.read_text()) for path in files]
    return add_first_principles(page, {entry["id"]: entry["record"] for entry in kept})


def _magnetism(result: ValidationResult) -> dict[str, Any] | None:
    """Orderings above the lowest one (eV/atom), and what became of each site's moment; None without magnetism."""
    if result.moments is None or result.crystal is None:
        return None
    energies = [r.energy_per_atom for r in result.orderings if r.energy_per_atom is not None]
    lowest = min(energies, default=0.0)
    moments = result.moments
    final = moments.final or (None,) * len(moments.start)
    return {
        "ordering": result.ordering,
        "orderings": [
            {
                "label": r.label,
                "above_lowest": None if r.energy_per_atom is None else round(r.energy_per_atom - lowest, 6),
                "message": r.message,
            }
            for r in result.orderings
        ],
        "sites": [
            {"symbol": symbol, "start": start, "final": end}
            for symbol, start, end in zip(result.crystal.symbols, moments.start, final, strict=False)
        ],
        "total": moments.total,
        "absolute": moments.absolute,
        "warning": moments.warning(result.crystal.symbols),
    }


def _section(section: Mapping[str, Any]) -> dict[str, Any]:
    """A section whose numbers are as many and as exact as a picture needs."""
    data = section["data"]
    small: dict[str, Callable[[Mapping[str, Any]], dict[str, Any]]] = {
        "bands": _path, "dispersion": _path, "phonons": _vibrations, "states": _states, "elf": _elf, "bader": dict,
    }  # fmt: skip
    shown = None if data is None else small[section["part"]](plain(data))
    return {"part": section["part"], "title": section["title"], "sentence": section["sentence"], "data": shown}


def _path(data: Mapping[str, Any]) -> dict[str, Any]:
    """Values along a path: (S, K, B) energies or (Q, 3 N) frequencies become one list of branches."""
    name = next(k for k in ("energies", "path_frequencies", "frequencies") if k in data)
    along = np.asarray(data[name], dtype=float)
    along = along[None] if along.ndim == 2 else along  # (S, K, B)
    n = min(along.shape[1], len(data["distances"]))
    step = max(1, -(-n // N_PATH_POINTS))
    kept = sorted({*range(0, n, step), *(i for i in _corners(data) if i < n), n - 1})
    gap = data.get("gap") or {}
    zero = gap.get("valence_top") if not gap.get("is_metal", True) else data.get("fermi")
    return {
        "distances": [round(float(data["distances"][i]), 4) for i in kept],
        "branches": [np.round(spin[kept].T - (zero or 0.0), 3).tolist() for spin in along],
        "labels": data["labels"],
        "label_positions": [round(float(x), 4) for x in data["label_positions"]],
        "gap": gap,
    }


def _corners(data: Mapping[str, Any]) -> list[int]:
    """Points of the path at its named points, which thinning must keep."""
    distances = np.asarray(data["distances"], dtype=float)
    return [int(np.abs(distances - x).argmin()) for x in data["label_positions"]]


def _vibrations(data: Mapping[str, Any]) -> dict[str, Any]:
    """Frequencies at Gamma, and along the path where displacements gave them."""
    out: dict[str, Any] = {
        "frequencies": [round(float(f), 3) for f in sorted(data["frequencies"])],
        "longitudinal": {k: [round(float(f), 3) for f in v] for k, v in (data.get("longitudinal") or {}).items()},
        "dielectric": data.get("dielectric"),
    }
    return out | ({"curve": _path(data)} if "path_frequencies" in data else {})


def _states(data: Mapping[str, Any]) -> dict[str, Any]:
    energies = np.asarray(data["energies"], dtype=float)
    step = max(1, -(-len(energies) // N_ENERGIES))
    gap = data["gap"]
    zero = data["fermi"] if gap["is_metal"] else gap["valence_top"]

    def thinned(values: Any) -> list[list[float]]:
        array: list[list[float]] = np.round(np.asarray(values, dtype=float)[:, ::step], 4).tolist()
        return array

    return {
        "energies": np.round(energies[::step] - zero, 3).tolist(),
        "total": thinned(data["total"]),
        "projected": {name: thinned(values) for name, values in data["projected"].items()},
        "charges": data["charges"],
        "gap": gap,
    }


def _elf(data: Mapping[str, Any]) -> dict[str, Any]:
    """The coarse grid as text (a byte a point) and the maxima off the nuclei's own shells first."""
    values = np.asarray(data["grid"]["values"], dtype=np.uint8)
    order = {"interstitial": 0, "lone_pair": 1, "bond": 2, "shell": 3}
    maxima = sorted(data["maxima"], key=lambda m: (order[m["kind"]], -m["value"]))
    return {
        "shape": list(data["grid"]["shape"]),
        "grid": base64.b64encode(values.tobytes()).decode(),
        "maxima": [
            m | {"frac_coords": [round(x, 4) for x in m["frac_coords"]], "value": round(m["value"], 3)} for m in maxima
        ],
    }


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
