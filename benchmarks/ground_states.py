"""Textbook ground states among the first answers of a search: 50 compounds, 15 further formulas and 30 elements.

DAO_LIBRARY=DIR python benchmarks/ground_states.py --work DIR [--sides library,without] [--n 20] [--record]

Each formula is searched as `dao screen` does it, without a time budget. Side `library` has the library as a user has
it; side `without` has every structure of the formula that is searched taken out of it, known structures and templates.
A hit is a structure among the first k that is the same crystal as the textbook's. The networks were trained on MP-20
and the judge on MPtrj, which hold many of these compounds: their part is not leak-free. Candidates of finished formulas
are kept in DIR and ranked anew with the numbers of today's calibration.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

sys.path.insert(0, str(Path(__file__).resolve().parent))
import numpy as np
from bars import show_bar
from textbook import elements, further

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import wilson

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate
    from dao_core.screening.ranking import RankingRule
    from dao_core.screening.settings import SearchSettings

DEPTHS = (1, 3)
SIDES = {
    "library": (1, [92, 98], "library as it is"),
    "without": (2, [86, 95], "every structure of the formula taken out of the library"),
}
# prototype: (space group, sites of the species in the order of the formula as listed); lattice: a or (a, c), angstrom
PROTOTYPES: dict[str, tuple[int, list[list[float]]]] = {
    "rocksalt": (225, [[0, 0, 0], [0.5, 0.5, 0.5]]),
    "zincblende": (216, [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "wurtzite": (186, [[1 / 3, 2 / 3, 0], [1 / 3, 2 / 3, 0.38]]),
    "fluorite": (225, [[0, 0, 0], [0.25, 0.25, 0.25]]),
    "rutile": (136, [[0, 0, 0], [0.305, 0.305, 0]]),
    "perovskite": (221, [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]),
    "CdI2": (164, [[0, 0, 0], [1 / 3, 2 / 3, 0.25]]),
    "corundum": (167, [[0, 0, 0.352], [0.306, 0, 0.25]]),
    "spinel": (227, [[0, 0, 0], [0.625, 0.625, 0.625], [0.387, 0.387, 0.387]]),
    "AuCu3": (221, [[0, 0, 0], [0, 0.5, 0.5]]),
    "MgCu2": (227, [[0, 0, 0], [0.625, 0.625, 0.625]]),
    "CsCl": (221, [[0, 0, 0], [0.5, 0.5, 0.5]]),
}
# textbook structures at experimental lattice constants (rounded): the matcher compares at equal volume
COMPOUNDS: dict[str, dict[str, float | tuple[float, float]]] = {
    "rocksalt": {
        "Li F": 4.03, "Na Cl": 5.64, "Na F": 4.63, "K Cl": 6.29, "K Br": 6.60, "Li Cl": 5.13, "Ag Cl": 5.55,
        "Mg O": 4.21, "Ca O": 4.81, "Sr O": 5.16, "Ca S": 5.69, "Pb Te": 6.46, "Ti C": 4.33, "Ti N": 4.24,
    },
    "zincblende": {
        "Ga As": 5.65, "Ga P": 5.45, "In P": 5.87, "Al P": 5.46, "Al As": 5.66, "Zn Se": 5.67, "Cd Te": 6.48,
        "B P": 4.54,
    },
    "wurtzite": {
        "Al N": (3.11, 4.98), "Ga N": (3.19, 5.19), "Zn O": (3.25, 5.21), "In N": (3.54, 5.70), "Be O": (2.70, 4.38),
    },
    "fluorite": {
        "Ca F": 5.46, "Sr F": 5.80, "Ce O": 5.41, "O Li": 4.62, "O Na": 5.55, "Si Mg": 6.35, "S Li": 5.72,
    },
    "rutile": {"Sn O": (4.74, 3.19), "Mg F": (4.62, 3.05), "Zn F": (4.70, 3.13), "Ru O": (4.49, 3.11)},
    "perovskite": {"Sr Ti O": 3.905, "Ba Zr O": 4.19, "K Mg F": 3.99, "K Zn F": 4.06},
    "CdI2": {"Ti S": (3.41, 5.70), "Zr S": (3.66, 5.83)},
    "corundum": {"Al O": (4.76, 12.99)},
    "spinel": {"Mg Al O": 8.08},
    "AuCu3": {"Au Cu": 3.75, "Al Ni": 3.57},
    "MgCu2": {"Mg Cu": 7.03},
    "CsCl": {"Ni Al": 2.89},
}  # fmt: skip


def references() -> dict[str, Crystal]:
    """The known structure of each compound by reduced formula."""
    from pymatgen.core import Lattice, Structure

    out = {}
    for prototype, members in COMPOUNDS.items():
        number, sites = PROTOTYPES[prototype]
        for species, size in members.items():
            lattice = Lattice.cubic(size) if isinstance(size, float) else _lattice(number, *size)
            structure = Structure.from_spacegroup(number, lattice, species.split(), sites).get_primitive_structure()
            crystal = Crystal.from_pymatgen(structure)
            out[crystal.formula_reduced] = crystal
    return out


def _lattice(number: int, a: float, c: float) -> Any:
    from pymatgen.core import Lattice

    return Lattice.hexagonal(a, c) if number > 142 else Lattice.tetragonal(a, c)


def placed(reference: Crystal, candidates: list[Candidate], rule: RankingRule) -> dict[str, Any]:
    """The place of the known structure among ranked candidates (0: not found) and what stands first."""
    from dao_core.matching.same import same_crystal
    from dao_core.screening.ranking import rank, with_probability

    shown = [c for c in rank(with_probability(candidates, rule), rule) if not c.rejected]
    place = next((i for i, c in enumerate(shown, 1) if same_crystal(reference, c.crystal)), 0)
    first = shown[0] if shown else None
    return {
        "place": place, "distinct": len(shown), "known": _group(reference),
        "first": None if first is None else first.spacegroup_after,
        "probability": None if first is None else first.probability,
    }  # fmt: skip


def _group(crystal: Crystal) -> int:
    from dao_core.screening.symmetry import spacegroup_number

    return spacegroup_number(crystal)


def run_side(
    side: str, known: dict[str, Crystal], settings: SearchSettings, work: Path, *, done_only: bool
) -> list[dict[str, Any]]:
    """All formulas in an order that mixes their kinds; those in the work folder's file are read back."""
    from leave_out import without_the_compound

    from dao_core.screening.load_models import load_search_models

    models = load_search_models()
    if models.library is None:
        raise SystemExit("no usable library: set DAO_LIBRARY to one")
    if side == "without":
        models = without_the_compound(models)
    from dao_core.screening.candidate_table import load_candidates, save_candidates
    from dao_core.screening.ranking import RankingRule
    from dao_core.screening.search import search

    (work / side).mkdir(parents=True, exist_ok=True)
    rule = RankingRule(names=models.names)
    names = sorted(known)
    rows = []
    for i in np.random.default_rng(0).permutation(len(names)):
        formula = names[i]
        path, seconds = work / side / f"{formula}.parquet", work / side / f"{formula}.cpu"
        if not path.exists():
            if done_only:
                continue
            cpu = time.process_time()
            found = search([formula], models, settings).candidates
            seconds.write_text(f"{time.process_time() - cpu:.1f}")
            save_candidates(found, path)
        row = {"formula": formula, **placed(known[formula], load_candidates(path), rule)}
        rows.append({**row, "cpu": float(seconds.read_text())})
        print(json.dumps(rows[-1]), flush=True)
    return rows


def summary(rows: list[dict[str, Any]]) -> dict[str, Any]:
    """Shares of formulas whose ground state came first, and among the first three."""
    out: dict[str, Any] = {"value": [], "interval": []}
    for k in DEPTHS:
        hits = sum(0 < r["place"] <= k for r in rows)
        low, high = wilson(n_hit=hits, n=len(rows))
        out["value"].append(round(100 * hits / len(rows), 1))
        out["interval"].append([round(100 * low, 1), round(100 * high, 1)])
    found = sum(r["place"] > 0 for r in rows)
    missed = [f"{r['formula']} ({r['place'] or 'not found'})" for r in rows if not 0 < r["place"] <= DEPTHS[0]]
    return {**out, "found": found, "missed_first": missed, "cpu_s": round(sum(r["cpu"] for r in rows))}


def main() -> int:
    """Every side, one line each."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="finished formulas are kept here")
    parser.add_argument("--n", type=int, default=20)
    parser.add_argument("--judged", type=int, default=6)
    parser.add_argument("--sides", default="library,without")
    parser.add_argument("--done-only", action="store_true", help="rank what is in DIR, search nothing")
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/bars.jsonl")
    args = parser.parse_args()
    from dao_core.screening.settings import JudgeSettings, SearchSettings, proposal_shares

    settings = SearchSettings(**proposal_shares(args.n), judge=JudgeSettings(n_judged=args.judged))
    known = {**references(), **further(), **elements()}
    for side in args.sides.split(","):
        rows = run_side(side, known, settings, args.work, done_only=args.done_only)
        found = summary(rows)
        row, bar, words = SIDES[side]
        line = {
            "issue": "first-answer", "row": row, "what": f"textbook ground states among the first 1 / 3, {words}, %",
            "bar": bar, "met": all(v >= b for v, b in zip(found["value"], bar, strict=True)), "n": len(rows), "seed": 0,
            **found, "command": f"python benchmarks/ground_states.py --work DIR --n {args.n} --judged {args.judged} "
            f"--sides {side} --record",
        }  # fmt: skip
        show_bar(line, record=args.record)
    return 0


if __name__ == "__main__":
    sys.exit(main())
