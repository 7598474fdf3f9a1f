"""Label what DAO-P relaxes to: structures where the model fools itself, with CHGNet's energies, forces and stresses.

python benchmarks/label_relaxed.py --data ../shared/data --out runs/labelled.npz --formulas 80
Proposals (AFLOW prototypes and de novo samples) for formulas of the embedded sample's elements are relaxed with
DAO-P; the
end points and some starts are labelled by CHGNet. `train_predictor.py --extra` trains on them as sample_chgnet.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from pymatgen.core import Composition
from train_predictor import SOURCES, Rows

from dao_core.crysdb.schema import CrysRecord, table_to_records
from dao_core.crysdb.sources.sample import sample_path
from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.energy.chgnet import ChgnetPotential
from dao_core.energy.potential import PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relax import RelaxSettings, relax
from dao_core.generate.sampler import Generator
from dao_core.generate.templates import TemplateIndex


def sample_records() -> list[CrysRecord]:
    import pyarrow.parquet as pq

    return list(table_to_records(pq.read_table(sample_path())))


def element_energies(records: list[CrysRecord]) -> dict[str, float]:
    """Lowest CHGNet energy per atom of each element in the sample."""
    lowest: dict[str, float] = {}
    for r in records:
        if "-" not in r.chemsys and r.energy_per_atom is not None:
            lowest[r.chemsys] = min(lowest.get(r.chemsys, np.inf), r.energy_per_atom)
    return lowest


def formulas(data: Path, elements: set[str], n: int, seed: int) -> list[str]:
    """Compounds of the sample, then MP-20 training formulas of the same elements, at random."""
    own = sorted({r.formula_reduced for r in sample_records() if "-" in r.chemsys})
    train = pd.read_parquet(data / "mp_20/train.parquet", columns=["atomic_numbers"])
    known = set()
    for numbers in train.atomic_numbers:
        symbols = [SYMBOLS[z] for z in numbers]
        if set(symbols) <= elements and len(set(symbols)) > 1:
            known.add(Composition({s: symbols.count(s) for s in set(symbols)}).reduced_formula)
    rng = np.random.default_rng(seed)
    rest = sorted(known - set(own))
    picked = [rest[i] for i in rng.permutation(len(rest))[: max(0, n - len(own))]]
    return (own + picked)[:n] if len(own) <= n else [own[i] for i in rng.permutation(len(own))[:n]]


def proposals(formula: str, generator: Generator, index: TemplateIndex, seed: int) -> list[Crystal]:
    """A few prototypes and samples in cells of at most 12 atoms."""
    unit = {str(e): int(a) for e, a in Composition(formula).get_el_amt_dict().items()}
    out: list[Crystal] = []
    for z in range(1, 5):
        cell = {s: a * z for s, a in unit.items()}
        if sum(cell.values()) > 12:
            break
        hits = index.query(cell, 3)
        samples = generator.propose(cell, 2, seed, [(h.template_id, h.crystal) for h in hits[:1]])
        out += [h.crystal for h in hits] + [p.crystal for p in samples if p.crystal is not None]
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--formulas", type=int, default=80)
    parser.add_argument("--predictor", default="predictor")
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.set_num_threads(1)
    reference = element_energies(sample_records())
    generator, index = Generator.load(), TemplateIndex.default()
    potential, judge = DaoPotential.load(args.predictor), ChgnetPotential()
    starts = []
    for formula in formulas(args.data, set(reference), args.formulas, args.seed):
        starts += proposals(formula, generator, index, args.seed)
    print(f"{len(starts)} proposals", flush=True)
    relaxed = relax(starts, potential, RelaxSettings(max_steps=40, fmax=0.1, batch_size=32))
    ends = [r.crystal for r in relaxed if r.status in ("converged", "max_steps")]
    chosen = ends + starts[::4]
    print(f"{len(ends)} relaxed, {len(chosen)} to label", flush=True)
    rows = Rows()
    for begin in range(0, len(chosen), 50):
        block = chosen[begin : begin + 50]
        for crystal, outcome in zip(block, judge.compute(block), strict=True):
            if not isinstance(outcome, PotentialResult) or np.abs(outcome.forces).max() > 50.0:
                continue  # CHGNet is no judge of overlapping atoms
            elements = sum(reference[s] * n for s, n in crystal.composition.items())
            formation = (outcome.energy - elements) / crystal.n_atoms
            rows.add(crystal, formation_energy_per_atom=formation, source=SOURCES.index("sample_chgnet"),
                     forces=outcome.forces, stress=outcome.stress)  # fmt: skip
        print(f"{begin + len(block)}/{len(chosen)} labelled", flush=True)
    rows.pack().save(args.out)
    predicted = [p.formation_energy_per_atom for p in potential.predict(rows.crystals)]
    error = np.array(predicted) - np.array(rows.columns["formation_energy_per_atom"])
    figure = {
        "labelled": len(rows.crystals),
        "mean_error": round(float(error.mean()), 4),
        "mae": round(float(np.abs(error).mean()), 4),
    }
    print(json.dumps({"figure": figure, "n": len(rows.crystals), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
