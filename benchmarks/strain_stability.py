"""Cubic textbook crystals that DAO-P holds for unstable against a small strain, beside the judge.

python benchmarks/strain_stability.py [--checkpoint predictor] [--judge]
Each crystal is relaxed, then its cell is strained tetragonally and sheared by +-2 and +-5 % at equal volume, atoms at
their fractional coordinates; an energy more than 0.1 meV/atom below that of the relaxed cell counts. All of these are
stable at room temperature, but not all at 0 K: `--judge` asks SevenNet about those that fail. Prints one JSON line
last.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from bars import show_bar
from ground_states import references
from textbook import elements

from dao_core.crystal import Crystal
from dao_core.energy.adapters.sevennet import SevenNetPotential
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.matching.symmetry_dataset import symmetry_dataset

LOWER = 1e-4  # eV/atom below the unstrained cell
CUBIC = 195  # the first cubic space group


def cubic_crystals() -> dict[str, Crystal]:
    """Elements and compounds of the textbook list whose known structure is cubic, by formula."""
    known = elements() | references()
    return {
        name: c for name, c in known.items()
        if symmetry_dataset(c.lattice, c.frac_coords, c.atomic_numbers, (0.01,)).number >= CUBIC
    }  # fmt: skip


def strains() -> list[np.ndarray]:
    """Volume-keeping deformations, (3, 3) each."""
    found = []
    for e in (0.02, -0.02, 0.05, -0.05):
        for matrix in (
            np.diag([1 - e / 2, 1 - e / 2, 1 + e]),
            np.eye(3) + e / 2 * np.array([[0, 1, 0], [1, 0, 0], [0] * 3]),
        ):
            found.append(matrix / np.linalg.det(matrix) ** (1 / 3))
    return found


def falls(crystals: dict[str, Crystal], potential: Potential) -> dict[str, float]:
    """Largest fall of the energy under a strain, meV/atom, of the crystals where there is one."""
    ends = relax(list(crystals.values()), potential, RelaxSettings())
    out: dict[str, float] = {}
    for name, end in zip(crystals, ends, strict=True):
        if end.energy_per_atom is None:
            continue
        c = end.crystal
        results = potential.compute([c.replace(lattice=c.lattice @ m) for m in strains()])
        energies = [r.energy / c.n_atoms - end.energy_per_atom for r in results if isinstance(r, PotentialResult)]
        if min(energies) < -LOWER:
            out[name] = round(1000 * min(energies), 1)
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--checkpoint", default="predictor")
    parser.add_argument("--judge", action="store_true")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    crystals, potential = cubic_crystals(), DaoPotential.load(args.checkpoint)
    found = falls(crystals, potential)
    judged = falls({k: crystals[k] for k in found}, SevenNetPotential()) if args.judge else {}
    line: dict[str, Any] = {
        "issue": "predictor", "row": "strain", "what": "cubic textbook crystals unstable against a strain of 5 %",
        "value": len(found), "bar": "0, but for those that the judge agrees on", "met": set(found) <= set(judged),
        "n": len(crystals), "interval": None, "seed": None, "model": potential.identity, "falls_meV": found,
        "judge_falls_meV": judged, "command": "python benchmarks/strain_stability.py --judge --record",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
