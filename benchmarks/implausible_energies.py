"""How many true formation energies the bound of `dao_core/hull/plausible.py` refuses, and how many wrong ones it finds.

python benchmarks/implausible_energies.py --data ../shared/data
True ones: Materials Project, WBM (both looked at when the bound was chosen) and Perov-5 (not looked at). Wrong ones:
the true ones of stable compounds (below -0.5 eV/atom) times 2, 3 and 4.5, and those of whole cells given per atom.
"""

from __future__ import annotations

import argparse
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from bars import machine, record_bar

from dao_core.hull.plausible import lowest_formation_energy

SETS = {
    "mp": ("mp_structures.parquet", "formation_energy_per_atom"),
    "wbm": ("wbm_val.parquet", "formation_energy_per_atom"),
    "perov_5": ("perov_5/val.parquet", "heat_all"),
}
STABLE = -0.5  # eV/atom
FACTORS = (2.0, 3.0, 4.5)


def load(path: Path, column: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Energies, bounds (eV/atom) and atoms of the cells that have an energy."""
    table = pq.read_table(path)
    rows = zip(table["atomic_numbers"].to_pylist(), table[column].to_pylist(), strict=True)
    known = [(numbers, energy) for numbers, energy in rows if energy is not None]
    bounds = np.array([lowest_formation_energy(Counter(numbers)) for numbers, _ in known])
    return np.array([e for _, e in known]), bounds, np.array([len(numbers) for numbers, _ in known])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    args = parser.parse_args()
    found: dict[str, Any] = {}
    wrong: Counter[str] = Counter()
    n_stable = 0
    for name, (file, column) in SETS.items():
        energy, bound, atoms = load(args.data / file, column)
        refused = energy < bound
        found[name] = {
            "n": len(energy),
            "refused": int(refused.sum()),
            "closest": float((energy - bound)[~refused].min()),
        }
        stable = (energy < STABLE) & ~refused
        n_stable += int(stable.sum())
        for factor in FACTORS:
            wrong[f"times {factor:g}"] += int((factor * energy[stable] < bound[stable]).sum())
        wrong["whole cell"] += int((atoms[stable] * energy[stable] < bound[stable]).sum())
    n, refused = sum(f["n"] for f in found.values()), sum(f["refused"] for f in found.values())
    shares = {k: round(v / n_stable, 3) for k, v in wrong.items()}
    record_bar(
        issue="faults",
        row="energies",
        what="published formation energies that the bound refuses (two of the three contradict their own total "
        "energies), of how many; share of wrong energies found: times 2, 3, 4.5, and of whole cells",
        value=[refused, n, *shares.values()],
        bar="no number was asked for",
        met=True,
        n=n,
        interval=f"by set {found}; wrong ones made of {n_stable} stable compounds",
        command="python benchmarks/implausible_energies.py",
        seed=None,
    )
    print(
        json.dumps(
            {"figure": refused, "unit": "refused", "n": n, "by_set": found, "found": shares, "machine": machine()}
        )
    )


if __name__ == "__main__":
    main()
