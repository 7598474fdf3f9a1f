"""Vibrations of 20 textbook crystals by DAO-P beside the judge: false imaginary modes, and frequencies at Gamma.

python benchmarks/vibrations.py --work runs/vibrations [--potentials dao,sevennet] [--record]
Each potential relaxes the known structure with its symmetry and displaces atoms in a supercell at least 9 angstrom
thick (3x3x3 primitive cells of most). A mode below -0.15 THz is imaginary; it is false where the judge has none, and
all of these crystals are stable. The highest mode at Gamma is compared with the judge's and, where it is the transverse
optical mode of a diatomic crystal, with the measured one (rounded textbook values of infrared and Raman spectra at room
temperature). Results are kept: the same command goes on. `--approve`: a checkpoint folder that passes says so in its
config, without which `--phonons` refuses its forces.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bars import show_bar
from ground_states import references

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal
from dao_core.energy.registry import load_potential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.screening.analysis.phonons import PhononError, phonons

ELEMENTS = ("C", "Si", "Ge", "Al", "Cu", "Ag")
COMPOUNDS = ("LiF", "NaCl", "KCl", "KBr", "MgO", "CaO", "GaAs", "GaP", "InP", "ZnSe", "AlN", "ZnO", "CaF2", "AlNi")
# transverse optical mode at Gamma, THz
MEASURED = {
    "C": 39.9, "Si": 15.6, "Ge": 9.0, "LiF": 9.2, "NaCl": 4.9, "KCl": 4.3, "MgO": 12.0, "GaAs": 8.1, "GaP": 11.0,
    "InP": 9.1,
}  # fmt: skip
ACOUSTIC = 0.5  # THz; an element with one atom a cell has nothing above it at Gamma
STILL = RelaxSettings(fmax=0.001, stress_gpa=0.05, max_steps=300, keep_symmetry=True)


def crystals() -> dict[str, Crystal]:
    """The 20 crystals by formula."""
    from ase.build import bulk

    known = references()
    found = {symbol: Crystal.from_ase(bulk(symbol)) for symbol in ELEMENTS}
    return found | {name: known[name] for name in COMPOUNDS}


def vibrations(crystal: Crystal, name: str) -> dict[str, Any]:
    """Modes of one crystal by one potential, THz."""
    potential = load_potential(name)
    relaxed = relax([crystal], potential, STILL)[0]
    facts: dict[str, Any] = {"status": str(relaxed.status), "fmax": relaxed.fmax, "potential": potential.identity}
    if relaxed.status not in ("converged", "max_steps"):
        return {**facts, "n_imaginary": None, "reason": relaxed.reason}
    try:
        found = phonons(relaxed.crystal, potential)
    except PhononError as error:
        return {**facts, "n_imaginary": None, "reason": str(error)}
    return {
        **facts, "n_imaginary": found.n_imaginary, "softest": round(found.softest.frequency, 3),
        "highest": round(float(found.gamma[-1]), 3), "supercell": found.supercell,
    }  # fmt: skip


def row(found: dict[str, dict[str, Any]], judged: dict[str, dict[str, Any]]) -> dict[str, Any]:
    """The line of bars.jsonl: DAO-P's modes, and how they compare with the judge's and the measured ones."""
    false = {
        name: f["softest"] for name, f in found.items()
        if f["n_imaginary"] and not (name in judged and judged[name]["n_imaginary"])
    }  # fmt: skip
    failed = [name for name, f in found.items() if f["n_imaginary"] is None]
    return {
        "issue": "predictor", "row": 6, "what": "textbook crystals with false imaginary modes", "value": len(false),
        "bar": 0, "met": not false and not failed, "n": len(found), "n_failed": len(failed), "interval": None,
        "softest_of_these": false, "highest_off_judge": _off(found, {n: j.get("highest") for n, j in judged.items()}),
        "highest_off_measured": _off(found, MEASURED), "judge_off_measured": _off(judged, MEASURED),
        "judged": len(judged),
        "seed": None, "command": "python benchmarks/vibrations.py --work DIR --record",
    }  # fmt: skip


def _off(found: dict[str, dict[str, Any]], wanted: dict[str, Any]) -> dict[str, Any]:
    """Median and largest relative difference of the highest mode at Gamma, %, over those that have both."""
    off = [
        100 * abs(f["highest"] / wanted[name] - 1)
        for name, f in found.items()
        if f.get("highest") is not None and (wanted.get(name) or 0.0) > ACOUSTIC
    ]
    return (
        {"median": round(float(np.median(off)), 1), "largest": round(max(off), 1), "n": len(off)} if off else {"n": 0}
    )


def main() -> None:
    """Each potential in turn."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--potentials", default="dao,sevennet", help="the first is measured, the second is the judge")
    parser.add_argument("--approve", action="store_true")
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    args.work.mkdir(parents=True, exist_ok=True)
    sides: list[dict[str, dict[str, Any]]] = []
    for potential in args.potentials.split(","):
        sides.append({})
        for name, crystal in crystals().items():
            path = args.work / f"{Path(potential).name}-{name}.json"
            if not path.exists():
                write_atomic(path, json.dumps(vibrations(crystal, potential)))
                print(potential, name, path.read_text(), flush=True)
            sides[-1][name] = json.loads(path.read_text())
    line = row(sides[0], sides[1] if len(sides) > 1 else {})
    if args.approve and line["met"]:
        path = Path(args.potentials.split(",")[0]) / "config.json"
        passed = f"no false imaginary mode in {line['n']} textbook crystals (benchmarks/vibrations.py)"
        write_atomic(path, json.dumps(json.loads(path.read_text()) | {"phonons_tested": passed}, indent=1) + "\n")
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
