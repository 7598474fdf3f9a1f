"""Hull distances of all entries: ours against pymatgen's PhaseDiagram, in turn in one run.

python benchmarks/hull_speed.py --data ../shared/data
On complete chemical systems of the Materials Project. Each side starts from its own entries in memory (pymatgen's
objects, our arrays) and ends with the distance of every entry; medians of CPU time over --repeats turns.
"""

from __future__ import annotations

import argparse
import gzip
import json
import time
from pathlib import Path
from typing import Any

import numpy as np
from bars import machine, record_bar

from dao_core.hull.facets import system_distances

INNER = 20  # calls of ours in a turn: one is shorter than the clock is sure of
SYSTEMS = ("Mn_O_Y", "Cl_Mn_Na_O_Y", "Fe_Li_O_P")


def entry_arrays(entries: list[Any]) -> tuple[np.ndarray, np.ndarray]:
    """Atoms of each element (n, d) and corrected energy per atom (n,): what our table holds."""
    elements = sorted({el for e in entries for el in e.composition})
    counts = np.array([[e.composition[el] for el in elements] for e in entries], dtype=float)
    return counts, np.array([e.energy_per_atom for e in entries])


def theirs(entries: list[Any]) -> np.ndarray:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    diagram = PhaseDiagram(entries)
    return np.array([diagram.get_e_above_hull(e, allow_negative=True) for e in entries])


def turn(entries: list[Any], arrays: tuple[np.ndarray, np.ndarray], repeats: int) -> dict[str, float]:
    seconds: dict[str, list[float]] = {"pymatgen": [], "ours": []}
    difference = 0.0
    for _ in range(repeats):
        begin = time.process_time()
        a = theirs(entries)
        middle = time.process_time()
        for _ in range(INNER):
            b = system_distances(*arrays)
        seconds["pymatgen"].append(middle - begin)
        seconds["ours"].append((time.process_time() - middle) / INNER)
        difference = max(difference, float(np.abs(a - b).max()))
    slow, fast = (float(np.median(s)) for s in seconds.values())
    return {"n": len(entries), "pymatgen_s": slow, "ours_s": fast, "ratio": slow / fast, "difference": difference}


def main() -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--repeats", type=int, default=5)
    args = parser.parse_args()
    results = {}
    for system in SYSTEMS:
        with gzip.open(args.data / "mp_entries" / f"{system}.json.gz") as handle:
            entries = [ComputedStructureEntry.from_dict(d) for d in json.load(handle)]
        arrays = entry_arrays(entries)
        turn(entries, arrays, 1)  # imports and caches of both sides
        results[system] = turn(entries, arrays, args.repeats)
        print(system, results[system], flush=True)
    total = sum(r["pymatgen_s"] for r in results.values()) / sum(r["ours_s"] for r in results.values())
    worst = max(r["difference"] for r in results.values())
    ratios = [round(r["ratio"], 1) for r in results.values()]
    line = {
        "figure": round(total, 1),
        "unit": "times faster over all systems (CPU time)",
        "n": sum(int(r["n"]) for r in results.values()),
        "seed": None,
        "by_system": dict(zip(results, ratios, strict=True)),
        "largest_difference_eV": worst,
        "machine": machine(),
    }
    record_bar(
        issue="crysdb",
        row=3,
        what="hull of all entries against PhaseDiagram: times faster by system and in all; largest difference, eV",
        value=[*ratios, round(total, 1), worst],
        bar=[20, 20, 20, 20, 1e-6],
        met=min(ratios) >= 20 and worst < 1e-6,
        n=line["n"],
        interval="medians of process time, systems " + ", ".join(results),
        command=f"python benchmarks/hull_speed.py --repeats {args.repeats}",
        seed=None,
    )
    print(json.dumps(line))


if __name__ == "__main__":
    main()
