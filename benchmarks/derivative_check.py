"""Forces and stress of DAO-P against central differences of its energy, in float64.

python benchmarks/derivative_check.py --n 20 --record
For each structure: the force along a random direction of all atoms, each Cartesian force of one random atom, and the
stress along a random symmetric strain. Reported: the largest relative error (against the larger of the two numbers, and
at least a thousandth of the structure's largest component, below which a ratio says nothing). Prints one JSON line
last.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import torch
from bars import record_bar
from relaxation_speed import known_structures

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialResult
from dao_core.energy.predictor import DaoPotential

STEP = 1e-4  # angstrom, and strain times ten


def energy(potential: DaoPotential, crystal: Crystal) -> float:
    result = potential.compute([crystal])[0]
    if not isinstance(result, PotentialResult):
        raise TypeError(f"no energy: {result.reason}")
    return result.energy


def moved(crystal: Crystal, step: np.ndarray) -> Crystal:
    """Cartesian displacement (N, 3) in angstrom."""
    return crystal.replace(frac_coords=crystal.frac_coords + step @ np.linalg.inv(crystal.lattice))


def errors(potential: DaoPotential, crystal: Crystal, rng: np.random.Generator) -> tuple[list[float], float]:
    """Relative errors of the forces and of the stress of one structure."""
    result = potential.compute([crystal])[0]
    if not isinstance(result, PotentialResult):
        raise TypeError(f"no energy: {result.reason}")
    directions = [rng.normal(size=(crystal.n_atoms, 3))]
    atom = int(rng.integers(crystal.n_atoms))
    for axis in range(3):
        one = np.zeros((crystal.n_atoms, 3))
        one[atom, axis] = 1.0
        directions.append(one)
    floor = 1e-3 * float(np.abs(result.forces).max())
    found = []
    for d in directions:
        numeric = -(energy(potential, moved(crystal, STEP * d)) - energy(potential, moved(crystal, -STEP * d)))
        numeric /= 2 * STEP
        exact = float((result.forces * d).sum())
        found.append(abs(numeric - exact) / max(abs(numeric), abs(exact), floor))
    strain = rng.normal(size=(3, 3))
    strain = 0.5 * (strain + strain.T)
    h = 0.1 * STEP

    def strained(size: float) -> float:
        return energy(potential, crystal.replace(lattice=crystal.lattice @ (np.eye(3) + size * strain)))

    numeric = (strained(h) - strained(-h)) / (2 * h) / crystal.volume
    exact = float((result.stress * strain).sum())
    floor = 1e-3 * float(np.abs(result.stress).max())
    return found, abs(numeric - exact) / max(abs(numeric), abs(exact), floor)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--checkpoint", default="predictor")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    potential = DaoPotential.load(args.checkpoint, dtype=torch.float64)
    rng = np.random.default_rng(args.seed)
    forces: list[float] = []
    stresses: list[float] = []
    for crystal in known_structures(args.n, args.seed, args.data):
        by_force, by_stress = errors(potential, crystal, rng)
        forces += by_force
        stresses.append(by_stress)
    figure = {
        "model": potential.identity,
        "largest_force_error": max(forces),
        "largest_stress_error": max(stresses),
        "median_force_error": float(np.median(forces)),
        "median_stress_error": float(np.median(stresses)),
    }
    line = {"figure": figure, "n": args.n, "seed": args.seed, "machine": platform.machine()}
    if args.record:
        worst = max(*forces, *stresses)
        entry = {
            "issue": "energy", "row": 8,
            "what": "forces and stress against central differences, float64: largest relative error [forces, stress]",
            "value": [figure["largest_force_error"], figure["largest_stress_error"]], "bar": 1e-4, "met": worst < 1e-4,
            "n": args.n, "n_failed": 0, "interval": "largest of 4 force directions and 1 strain a structure",
            "model": potential.identity, "command": f"python benchmarks/derivative_check.py --n {args.n}",
            "seed": args.seed,
        }  # fmt: skip
        record_bar(**entry)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
