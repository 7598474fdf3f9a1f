"""How likely each number of formula units is, from the structures of other compounds: two constants, fitted and judged.

python benchmarks/fit_cell_shares.py --work DIR [--n 3000] [--library DIR] [--record]

Compositions of the library, each asked of the templates without its own entries; right is the structure that the
library holds for the likeliest (on its hull or measured). Textbook formulas, and the further ones, are left out. The
constants of `cell_shares` (dao_core/screening/priors.py) are fitted by likelihood; the figures are cross-fitted in five
folds by formula: how often the likeliest cell is right, and how often the right structure is first, among five and
among sixteen templates over all cells of up to 64 atoms, beside the same with the number of formula units alone. What
the templates said is kept in the work folder.
"""

from __future__ import annotations

import argparse
import json
import random
import zlib
from dataclasses import asdict, dataclass, field
from math import gcd, log
from pathlib import Path
from typing import Any

import numpy as np
from bars import show_bar
from further_formulas import SPACE_GROUPS
from ground_states import references
from numpy.typing import NDArray
from textbook import elements, further

from dao_core.generate.templates.index import TemplateIndex
from dao_core.library.folder import open_library
from dao_core.library.known import KnownStructure, LibraryStructures
from dao_core.library.prior import known_log_priors
from dao_core.matching.seen import SeenCrystals
from dao_core.screening.formulas import FormulaError, enumerate_cells, parse_formula
from dao_core.screening.priors import ENOUGH_EVIDENCE, EVIDENCE_WEIGHT, unit_share

LARGEST = 64  # atoms
DEPTH = 20  # templates of a cell
FIRST = (1, 5, 16)
FOLDS = 5
STABLE = 0.01  # eV/atom above the library's hull
BEYOND = 9999
Floats = NDArray[np.float64]


@dataclass
class Asked:
    """What the templates say of the cells of one composition.

    Attributes:
        formula: Reduced.
        right: Position of the right cell.
        units: Log of how common each cell's number of formula units is.
        evidence: Of each cell; -inf where there is none.
        hits: Of each cell: log prior of each template and whether it is the right structure.
    """

    formula: str
    right: int
    units: list[float] = field(default_factory=list)
    evidence: list[float] = field(default_factory=list)
    hits: list[list[tuple[float, bool]]] = field(default_factory=list)


def meant(known: list[KnownStructure]) -> KnownStructure | None:
    """The likeliest known structure, where it is stable or measured and small enough."""
    if not known:
        return None
    likeliest = known[int(np.argmax(known_log_priors(known)))]
    stable = likeliest.e_above_hull is not None and likeliest.e_above_hull <= STABLE
    return likeliest if (stable or likeliest.n_measured) and likeliest.crystal.n_atoms <= LARGEST else None


def ask(formula: str, library: LibraryStructures, index: TemplateIndex) -> Asked | None:
    """Ask the templates for one composition; None where nothing can be said to be right."""
    known = library.of_formula(formula)
    target = meant(known)
    try:
        cells = enumerate_cells(formula, LARGEST)
    except FormulaError:
        return None
    if target is None or len(cells[0]) < 2:
        return None
    own, seen = {k.material_id for k in known}, SeenCrystals([target.crystal])
    out = Asked(formula, cells.index(target.crystal.composition))
    for cell in cells:
        evidence = index.log_evidence(cell, own)
        out.units.append(log(unit_share(cell)))
        out.evidence.append(-np.inf if evidence is None else evidence)
        fits = gcd(*cell.values()) == gcd(*target.crystal.composition.values())
        hits = index.query(cell, DEPTH, own)
        out.hits.append([(h.log_prior, fits and seen.find(h.crystal) is not None) for h in hits])
    return out


def log_shares(asked: Asked, weights: Floats | None) -> Floats:
    """Log probabilities of the cells, (Z,); by formula units alone without weights."""
    units = np.array(asked.units)
    odds = units if weights is None else np.logaddexp(weights[0] * np.array(asked.evidence), units + weights[1])
    return np.asarray(odds - np.logaddexp.reduce(odds))


def fit(rows: list[Asked]) -> Floats:
    """The weights of greatest likelihood, (2,)."""
    from scipy.optimize import minimize

    def loss(weights: Floats) -> float:
        return -float(np.mean([log_shares(row, weights)[row.right] for row in rows]))

    return np.asarray(minimize(loss, [EVIDENCE_WEIGHT, ENOUGH_EVIDENCE], method="Nelder-Mead").x)


def judge(rows: list[Asked], weights: list[Floats | None]) -> dict[str, float]:
    """Mean log share of the right cell, how often it is likeliest, and the place of the right template; in %."""
    shares = [log_shares(row, w) for row, w in zip(rows, weights, strict=True)]
    places = []
    for row, share in zip(rows, shares, strict=True):
        found = [(p + share[i], right) for i, hits in enumerate(row.hits) for p, right in hits]
        order = sorted(found, key=lambda pair: -pair[0])
        places.append(next((place for place, (_, right) in enumerate(order) if right), BEYOND))
    out = {f"among {k}": 100 * float(np.mean(np.array(places) < k)) for k in FIRST}
    out["cell"] = 100 * float(np.mean([s.argmax() == row.right for row, s in zip(rows, shares, strict=True)]))
    out["log_share"] = float(np.mean([s[row.right] for row, s in zip(rows, shares, strict=True)]))
    return {name: round(value, 3 if name == "log_share" else 1) for name, value in out.items()}


def gather(args: argparse.Namespace) -> list[Asked]:
    """What was asked before, and the rest of the wanted number."""
    kept = args.work / "cell_shares.jsonl"
    rows = [Asked(**json.loads(line)) for line in kept.read_text().splitlines()] if kept.exists() else []
    folder = open_library(args.library)
    if folder is None:
        raise SystemExit("no library: run `dao library install`")
    library, index = LibraryStructures(folder), folder.templates()
    left_out = {parse_formula(f).reduced for f in (*elements(), *further(), *references(), *SPACE_GROUPS)}
    formulas = sorted(library.formulas() - left_out - {row.formula for row in rows})
    random.Random(len(rows)).shuffle(formulas)
    with kept.open("a") as handle:
        while len(rows) < args.n and formulas:
            asked = ask(formulas.pop(), library, index)
            if asked is not None:
                rows.append(asked)
                handle.write(json.dumps(asdict(asked)) + "\n")
    return rows[: args.n]


def main() -> None:
    """Ask, fit, judge, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--n", type=int, default=3000)
    parser.add_argument("--library", type=Path, default=None)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    rows = gather(args)
    folds = np.array([zlib.crc32(row.formula.encode()) % FOLDS for row in rows])
    fitted = [fit([rows[i] for i in np.flatnonzero(folds != k)]) for k in range(FOLDS)]
    figure: dict[str, Any] = {
        "with evidence": judge(rows, [fitted[k] for k in folds]),
        "formula units alone": judge(rows, [None] * len(rows)),
        "any template": round(100 * float(np.mean([any(r for h in row.hits for _, r in h) for row in rows])), 1),
        "weights": [round(float(w), 2) for w in fit(rows)],
    }
    show_bar(
        {
            "issue": "first-answer", "row": "cells", "n": len(rows), "seed": 0, "value": figure,
            "bar": None, "met": None,
            "what": "right cell and structure among templates, library without the formula's own entries, %",
        },
        record=args.record,
    )  # fmt: skip


if __name__ == "__main__":
    main()
