"""The protocols fast, balanced and stringent on some crystals: energy, lattice constant, seconds.

python benchmarks/dft_protocols.py [--only Si C] [--without-fast] [--relax] [--work runs/dft] [--record]

Energies are those of an SCF at the experimental cell, against the stringent protocol's; `--relax` adds the lattice
constant after vc-relax. Everything is kept in the ledger below `--work`: a repeated command goes on where it was.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from ase.build import bulk
from bars import show_bar

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.session import Session, StageFailedError, need
from dao_core.dft.settings import DftSettings

PROTOCOLS = ("fast", "balanced", "stringent")
BAR, ENOUGH = 0.003, 10  # eV/atom between balanced and stringent, on so many crystals
# cheapest first
CRYSTALS: dict[str, Crystal] = {
    "Si": Crystal.from_ase(bulk("Si", a=5.431)),
    "AlP": Crystal.from_ase(bulk("AlP", "zincblende", a=5.467)),
    "Al": Crystal.from_ase(bulk("Al", "fcc", a=4.046)),
    "SiC": Crystal.from_ase(bulk("SiC", "zincblende", a=4.358)),
    "BN": Crystal.from_ase(bulk("BN", "zincblende", a=3.616)),
    "C": Crystal.from_ase(bulk("C", "diamond", a=3.567)),
    "NaCl": Crystal.from_ase(bulk("NaCl", "rocksalt", a=5.640)),
    "MgO": Crystal.from_ase(bulk("MgO", "rocksalt", a=4.212)),
    "Li": Crystal.from_ase(bulk("Li", "bcc", a=3.440)),
    "LiF": Crystal.from_ase(bulk("LiF", "rocksalt", a=4.026)),
    "Cu": Crystal.from_ase(bulk("Cu", "fcc", a=3.615)),
}


def measure(name: str, protocols: Sequence[str], work: Path, *, relax: bool) -> dict[str, dict[str, Any]]:
    """Energy per atom, seconds and, with `relax`, the volume per atom of one crystal by each protocol."""
    found: dict[str, dict[str, Any]] = {}
    for protocol in protocols:
        settings = DftSettings(protocol=protocol)  # type: ignore[arg-type]
        session = Session(settings, find_library(), Ledger(work), LocalLauncher(settings))
        crystal = CRYSTALS[name]
        result, _, energy = need(session, "scf", session.build(crystal, "scf"))
        found[protocol] = {"energy_per_atom": energy / crystal.n_atoms, "seconds": result.wall_seconds}
        if relax:
            _, relaxed, _ = need(session, "vc-relax", session.build(crystal, "vc-relax"))
            found[protocol]["volume_per_atom"] = relaxed.volume / relaxed.n_atoms
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=sorted(CRYSTALS), default=None)
    parser.add_argument("--without-fast", action="store_true", help="balanced against stringent alone")
    parser.add_argument("--relax", action="store_true")
    parser.add_argument("--work", type=Path, default=Path("runs/dft"))
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    protocols = PROTOCOLS[args.without_fast :]
    rows: dict[str, Any] = {}
    failed: dict[str, str] = {}
    for name in args.only or CRYSTALS:
        try:
            rows[name] = measure(name, protocols, args.work, relax=args.relax)
        except StageFailedError as error:
            failed[name] = str(error)
            continue
        print(name, json.dumps(rows[name]), flush=True)
    differences = {
        name: {p: round(1000 * (row[p]["energy_per_atom"] - row["stringent"]["energy_per_atom"]), 2)
               for p in protocols[:-1]}
        for name, row in rows.items()
    }  # fmt: skip
    worst = max((abs(d["balanced"]) for d in differences.values()), default=None)
    met = len(rows) >= ENOUGH and worst is not None and worst <= 1000 * BAR
    line: dict[str, Any] = {
        "issue": "dft", "row": 7, "what": "energy differences to stringent, meV/atom (total energies, fixed cell)",
        "value": differences, "bar": 1000 * BAR, "met": met, "n": len(rows), "interval": None,
        "command": "python benchmarks/dft_protocols.py", "seed": None, "failed": failed,
        "seconds": {name: {p: row[p]["seconds"] for p in protocols} for name, row in rows.items()},
    }  # fmt: skip
    if not met:
        line["why"] = f"{len(rows)} of {ENOUGH} crystals; the largest difference is {worst} meV/atom"
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
