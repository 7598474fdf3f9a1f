"""Relaxations per second: our batched relaxation against ASE one at a time, with the same potential.

    python benchmarks/relaxation_speed.py --potential dao --n 200
    python benchmarks/relaxation_speed.py --potential chgnet --n 40
    python benchmarks/relaxation_speed.py --against-chgnet --n 40      # DAO-P against CHGNet, both through ours

Both sides start from the same structures of 10-20 atoms and stop at the same force and stress. `--structures mp20`
takes known crystals (public MP-20 test half), rattled by 0.05 angstrom and strained by 1 %: both optimisers have the
same minimum to find. `--structures prototypes` takes decorated AFLOW prototypes, most of them far from any minimum.
ASE is FrechetCellFilter with LBFGS, its usual way. Sides take turns within one run. Times are CPU seconds of this
one-threaded process, so that other users of the machine count for neither side.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from bars import record_bar

from dao_core.crysdb.sources.prototypes import iter_decorated, load_prototypes
from dao_core.crystal import Crystal
from dao_core.energy.adapters.ase import AsePotential, PotentialCalculator
from dao_core.energy.potential import Potential
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxSettings, relax
from dao_core.units import GPA_PER_EV_A3

ELEMENTS = ["Na", "Cl", "Mg", "O", "Sr", "Ti", "Si", "Al", "F", "K", "Zn", "S"]
METALS = ["Cu", "Au", "Ag", "Al", "Ni", "Pd", "Pt"]


def make_potential(name: str, checkpoint: str) -> Potential:
    """The potential by its short name."""
    if name == "dao":
        from dao_core.energy.predictor import DaoPotential

        return DaoPotential.load(checkpoint)
    if name == "chgnet":
        from dao_core.energy.adapters.chgnet import ChgnetPotential

        return ChgnetPotential()
    from ase.calculators.lj import LennardJones

    return AsePotential(lambda: LennardJones(sigma=2.4, epsilon=0.2, rc=6.0, smooth=True), "LJ")


def known_structures(n: int, seed: int, data: Path) -> list[Crystal]:
    """Crystals of the public MP-20 test half with 10-20 atoms, rattled by 0.05 angstrom and strained by 1 %."""
    from train_mp20 import read_split

    rng = np.random.default_rng(seed)
    crystals = [c for c in read_split(data / "mp_20/test_public.parquet")[1] if 10 <= c.n_atoms <= 20]
    found = []
    for i in rng.permutation(len(crystals))[:n]:
        crystal = crystals[i]
        strain = rng.normal(0.0, 0.01, (3, 3))
        lattice = crystal.lattice @ (np.eye(3) + 0.5 * (strain + strain.T))
        shift = rng.normal(0.0, 0.05, (crystal.n_atoms, 3)) @ np.linalg.inv(lattice)
        found.append(crystal.replace(lattice=lattice, frac_coords=crystal.frac_coords + shift))
    return found


def structures(n: int, seed: int) -> list[Crystal]:
    """Prototypes of 10-20 atoms (small ones doubled along their shortest vector), rattled by 0.05 angstrom."""
    rng = np.random.default_rng(seed)
    fitting = [p for p in load_prototypes(20) if 5 <= p.n_atoms <= 20]
    found: list[Crystal] = []
    for decorated in iter_decorated(fitting, ELEMENTS, 20 * n, seed):
        crystal = decorated.crystal
        if crystal.n_atoms < 10:
            crystal = _doubled(crystal)
        shift = rng.normal(0.0, 0.05, (crystal.n_atoms, 3)) @ np.linalg.inv(crystal.lattice)
        if 10 <= crystal.n_atoms <= 20:
            found.append(crystal.replace(frac_coords=crystal.frac_coords + shift))
        if len(found) == n:
            break
    return found


def _doubled(crystal: Crystal) -> Crystal:
    axis = int(np.linalg.norm(crystal.lattice, axis=1).argmin())
    lattice = crystal.lattice.copy()
    lattice[axis] *= 2.0
    first = crystal.frac_coords.copy()
    first[:, axis] *= 0.5
    second = first.copy()
    second[:, axis] += 0.5
    return Crystal(lattice, np.concatenate([first, second]), np.tile(crystal.atomic_numbers, 2))


def ase_one(crystal: Crystal, potential: Potential, settings: RelaxSettings) -> tuple[float, bool, int]:
    """ASE's relaxation with our stopping rule: energy per atom, converged, evaluations."""
    from ase.calculators.calculator import CalculatorError
    from ase.filters import FrechetCellFilter
    from ase.optimize import LBFGS

    atoms = crystal.to_ase()
    atoms.calc = PotentialCalculator(potential)
    walk = LBFGS(FrechetCellFilter(atoms), logfile=None)
    done = False
    try:
        for _ in walk.irun(fmax=0.0, steps=settings.max_steps):
            fmax = float(np.linalg.norm(atoms.get_forces(), axis=1).max())
            stress = float(np.abs(atoms.get_stress()).max()) * GPA_PER_EV_A3
            if fmax < settings.fmax and stress < settings.stress_gpa:
                done = True
                break
        return float(atoms.get_potential_energy()) / len(atoms), done, walk.nsteps + 1
    except (CalculatorError, np.linalg.LinAlgError, ValueError):
        return float("nan"), False, walk.nsteps + 1


def against_ase(
    crystals: Sequence[Crystal], potential: Potential, settings: RelaxSettings, chunk: int
) -> dict[str, Any]:
    """Both sides by turns, chunk by chunk; seconds, evaluations and energies."""
    ours: list[RelaxationResult] = []
    theirs: list[tuple[float, bool, int]] = []
    seconds = [0.0, 0.0]
    relax(crystals[:1], potential, settings.model_copy(update={"max_steps": 2}))  # warm up
    for start in range(0, len(crystals), chunk):
        part = crystals[start : start + chunk]
        t0 = time.process_time()
        ours += relax(part, potential, settings)
        t1 = time.process_time()
        theirs += [ase_one(c, potential, settings) for c in part]
        seconds[0] += t1 - t0
        seconds[1] += time.process_time() - t1
    both = [
        (o.energy_per_atom, e) for o, (e, done, _) in zip(ours, theirs, strict=True) if done and o.status == "converged"
    ]
    difference = np.array([o - e for o, e in both if o is not None])
    return {
        "n": len(crystals),
        "relaxations_per_s": [round(len(crystals) / s, 3) for s in seconds],
        "ratio": round(seconds[1] / seconds[0], 2),
        "evaluations": [sum(o.n_steps + 1 for o in ours), sum(k for _, _, k in theirs)],
        "converged": [sum(o.status == "converged" for o in ours), sum(done for _, done, _ in theirs)],
        "n_both_converged": len(difference),
        "within_1_meV_share": round(float((np.abs(difference) < 1e-3).mean()), 4) if len(difference) else None,
        "ours_lower_or_within_1_meV_share": round(float((difference < 1e-3).mean()), 4) if len(difference) else None,
        "median_abs_difference_meV": round(1e3 * float(np.median(np.abs(difference))), 3) if len(difference) else None,
    }


def against_chgnet(crystals: Sequence[Crystal], dao: Potential, settings: RelaxSettings, chunk: int) -> dict[str, Any]:
    """DAO-P and CHGNet through our relaxation, by turns."""
    chgnet = make_potential("chgnet", "")
    seconds, evaluations, converged = [0.0, 0.0], [0, 0], [0, 0]
    for potential in (dao, chgnet):
        relax(crystals[:1], potential, settings.model_copy(update={"max_steps": 2}))
    for start in range(0, len(crystals), chunk):
        for side, potential in enumerate((dao, chgnet)):
            t0 = time.process_time()
            results = relax(crystals[start : start + chunk], potential, settings)
            seconds[side] += time.process_time() - t0
            evaluations[side] += sum(r.n_steps + 1 for r in results)
            converged[side] += sum(r.status == "converged" for r in results)
    return {
        "n": len(crystals),
        "relaxations_per_s": [round(len(crystals) / s, 3) for s in seconds],
        "ratio": round(seconds[1] / seconds[0], 2),
        "evaluations": evaluations,
        "converged": converged,
        "ms_per_evaluation": [round(1e3 * s / k, 2) for s, k in zip(seconds, evaluations, strict=True)],
    }


def main() -> None:
    """Command line: measure, print one JSON line last, and add it to the record of bars."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--potential", choices=("dao", "chgnet", "lj"), default="dao")
    parser.add_argument("--checkpoint", default="predictor", help="DAO-P: a shipped name or a directory")
    parser.add_argument("--against-chgnet", action="store_true")
    parser.add_argument("--structures", choices=("mp20", "prototypes"), default="mp20")
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--chunk", type=int, default=0, help="structures per turn; 0: a quarter of them")
    parser.add_argument("--max-steps", type=int, default=200)
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/bars.jsonl")
    options = parser.parse_args()
    import torch

    torch.set_num_threads(1)
    settings = RelaxSettings(fmax=0.05, max_steps=options.max_steps, batch_size=options.batch_size)
    if options.structures == "mp20":
        crystals = known_structures(options.n, options.seed, options.data)
    else:
        crystals = structures(options.n, options.seed)
    potential = make_potential("dao" if options.against_chgnet else options.potential, options.checkpoint)
    measure = against_chgnet if options.against_chgnet else against_ase
    found = measure(crystals, potential, settings, options.chunk or max(1, len(crystals) // 4))
    line = {
        "what": "DAO-P against CHGNet, relaxations/s" if options.against_chgnet else "batched relaxation against ASE",
        "potential": potential.identity,
        "structures": options.structures,
        **found,
        "seed": options.seed,
        "machine": f"{platform.machine()}, 1 thread",
    }
    if options.record:
        _record(line, options)
    print(json.dumps(line))


def _record(line: dict[str, Any], options: argparse.Namespace) -> None:
    entry = {
        "issue": "energy",
        "row": 4 if options.against_chgnet else 3,
        "what": line["what"],
        "value": line["ratio"],
        "bar": 5,
        "met": line["ratio"] >= 5 and (options.against_chgnet or (line["within_1_meV_share"] or 0) >= 0.95),
        "n": line["n"],
        "interval": None,
        "command": f"python benchmarks/relaxation_speed.py --potential {options.potential} "
        f"--structures {options.structures} --n {options.n}" + (" --against-chgnet" if options.against_chgnet else ""),
        "seed": options.seed,
        "details": line,
    }
    record_bar(**entry)


if __name__ == "__main__":
    main()
