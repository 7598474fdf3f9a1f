"""Which of two polymorphs is lower: potentials against one PBE scheme.

python benchmarks/polymorph_order.py --data ../shared/data --work DIR [--potentials sevennet,dao] [--n 200] [--record]

Pairs of Materials Project structures of one composition, at most 12 atoms each, with total energies of one scheme
(`energy_per_atom_mpf2021`, uncorrected PBE and PBE+U) that differ by 5 to 300 meV/atom, one pair a composition. The
potentials see the structures as they are relaxed there. The potentials were trained on earlier releases of the same
database, so this tells how well they keep order, not how well they generalise. Energies are kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
from collections import defaultdict
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
from bars import show_bar

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.evaluate.statistics import wilson

BARS = {"sevennet": ("first-answer", 5, 78.0), "dao": ("predictor", 4, 74.0)}  # issue, row and bar
GAPS = (0.005, 0.3)  # eV/atom
MAX_ATOMS = 12
FINE = 0.05  # eV/atom: the pairs that decide among polymorphs


def polymorph_pairs(path: Path, n: int) -> list[tuple[tuple[str, Crystal, float], tuple[str, Crystal, float]]]:
    """n pairs of (id, structure, energy per atom), drawn by seed 0."""
    groups: dict[str, list[tuple[str, Crystal, float]]] = defaultdict(list)
    for row in rows(path):
        groups[row[1].formula_reduced].append(row)
    rng = np.random.default_rng(0)
    names = sorted(f for f, g in groups.items() if len(g) > 1)
    pairs = []
    for formula in rng.permutation(names):
        group = groups[str(formula)]
        first, second = (group[int(i)] for i in rng.choice(len(group), 2, replace=False))
        if GAPS[0] <= abs(first[2] - second[2]) <= GAPS[1]:
            pairs.append((first, second))
        if len(pairs) == n:
            break
    return pairs


def rows(path: Path) -> list[tuple[str, Crystal, float]]:
    """Small structures with an energy of the scheme."""
    import pyarrow.compute as pc

    table = pq.read_table(path, columns=["material_id", "lattice", "frac_coords", "atomic_numbers", "n_atoms",
                                         "energy_per_atom_mpf2021"])  # fmt: skip
    small = pc.less_equal(table["n_atoms"], MAX_ATOMS)
    table = table.filter(pc.and_(small, pc.is_finite(pc.fill_null(table["energy_per_atom_mpf2021"], float("nan")))))
    found = []
    for row in table.to_pylist():
        lattice, frac = np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3))
        try:
            crystal = Crystal(lattice, frac, np.array(row["atomic_numbers"]))
        except InvalidCrystalError:
            continue
        found.append((str(row["material_id"]), crystal, float(row["energy_per_atom_mpf2021"])))
    return found


def energies(potential: Potential, crystals: dict[str, Crystal], path: Path) -> dict[str, float | None]:
    """Energy per atom of each structure; those in the file are not computed again."""
    done: dict[str, float | None] = {}
    if path.exists():
        done = {row["id"]: row["energy"] for row in map(json.loads, path.read_text().splitlines())}
    with path.open("a") as handle:
        for name, crystal in crystals.items():
            if name in done:
                continue
            outcome = potential.compute([crystal])[0]
            done[name] = outcome.energy / crystal.n_atoms if isinstance(outcome, PotentialResult) else None
            handle.write(json.dumps({"id": name, "energy": done[name]}) + "\n")
            handle.flush()
    return done


def figures(pairs: Any, found: dict[str, float | None]) -> dict[str, Any]:
    """Shares in the right order, all and the close ones, and the mean error of the differences."""
    known = [(a, b) for a, b in pairs if found[a[0]] is not None and found[b[0]] is not None]
    true = np.array([a[2] - b[2] for a, b in known])
    said = np.array([found[a[0]] - found[b[0]] for a, b in known])  # type: ignore[operator]
    right = np.sign(true) == np.sign(said)
    close = np.abs(true) < FINE
    low, high = wilson(n_hit=int(right.sum()), n=len(right))
    return {
        "right": round(100 * float(right.mean()), 1), "interval": [round(100 * low, 1), round(100 * high, 1)],
        "n": len(right), "n_failed": len(pairs) - len(known),
        "right_below_50_meV": round(100 * float(right[close].mean()), 1), "n_below_50_meV": int(close.sum()),
        "mean_error_meV": round(1e3 * float(np.abs(true - said).mean()), 1),
    }  # fmt: skip


def main() -> None:
    """Each potential on the same pairs."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--potentials", default="sevennet,dao")
    parser.add_argument("--n", type=int, default=200)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    from dao_core.energy.registry import load_potential

    args.work.mkdir(parents=True, exist_ok=True)
    pairs = polymorph_pairs(args.data / "mp_structures.parquet", args.n)
    crystals = {name: crystal for pair in pairs for name, crystal, _ in pair}
    value = {}
    for name in args.potentials.split(","):
        potential = load_potential(name)
        value[name] = figures(pairs, energies(potential, crystals, args.work / f"order-{potential.identity}.jsonl"))
    first = next(iter(value))
    issue, row, bar = BARS.get(first, BARS["sevennet"])
    line = {
        "issue": issue, "row": row, "what": f"polymorph pairs in PBE's order, gaps 5-300 meV, {first}, %",
        "value": value[first]["right"], "bar": bar, "met": value[first]["right"] >= bar, "n": value[first]["n"],
        "n_failed": value[first]["n_failed"], "interval": value[first]["interval"], "details": value, "seed": 0,
        "command": f"python benchmarks/polymorph_order.py --work DIR --potentials {args.potentials} --n {args.n}",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
