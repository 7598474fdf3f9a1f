"""What the Quantum ESPRESSO benchmarks share: known crystals, one line for the record, one line for the reader."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from bars import record_bar

from dao_core.crystal import Crystal, crystal_from_symbols

FCC = np.array([[0.0, 0.5, 0.5], [0.5, 0.0, 0.5], [0.5, 0.5, 0.0]])


def cubic(formula: str, a: float) -> Crystal:
    """Primitive cell of a cubic compound at lattice constant `a` (angstrom)."""
    if formula == "Si":
        return crystal_from_symbols(a * FCC, ["Si", "Si"], [[0, 0, 0], [0.25, 0.25, 0.25]])
    if formula == "SrTiO3":
        frac = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]]
        return crystal_from_symbols(a * np.eye(3), ["Sr", "Ti", "O", "O", "O"], frac)
    cation, anion = {"NaCl": ("Na", "Cl"), "MgO": ("Mg", "O")}[formula]
    return crystal_from_symbols(a * FCC, [cation, anion], [[0, 0, 0], [0.5, 0.5, 0.5]])


def cubic_lattice_constant(crystal: Crystal, formula: str) -> float:
    """Lattice constant (angstrom) of a primitive cell made by `cubic` and relaxed."""
    cells = {"Si": 4, "NaCl": 4, "MgO": 4, "SrTiO3": 1}[formula]
    units = {"Si": 2, "NaCl": 2, "MgO": 2, "SrTiO3": 5}[formula]
    return float((crystal.volume * cells * units / crystal.n_atoms) ** (1 / 3))


def record(**line: Any) -> None:
    """Append one line to the record of bars and print it; a bar that is not met says why."""
    if not line["met"] and "why" not in line:
        line["why"] = "; ".join(str(r) for r in line.get("reasons", [])) or "the figure is beyond the bar"
    line = {"issue": "screening-dft", **line}
    record_bar(**line)
    print(json.dumps(line))
