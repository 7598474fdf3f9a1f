"""The rows of the issue on first principles, by real runs of Quantum ESPRESSO on small cells.

python benchmarks/first_principles.py gaps elf phonons magnetism [--work runs/first_principles]

Each figure is kept in the ledger below `--work`: a repeated command goes on where it was. References: experiment for
phonons (Si: 15.5 THz, Dolling 1963; MgO: TO 12.0, Peckham 1967; NaCl: TO 4.95, Raunio 1969), PBE literature for gaps
(Materials Project; Heyd et al., J. Chem. Phys. 123, 174101 (2005)) and moments (Rohrbach et al., Phys. Rev. B 69,
075413 (2004)).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from ase.build import bulk

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.electronic.analysis import analyse_electrons
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.magnetism.search import search_orderings
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.session import Session
from dao_core.dft.settings import DftSettings
from dao_core.dft.vibrations.gamma import gamma_phonons

# experimental cells (angstrom), as the literature's gaps are quoted at
CRYSTALS: dict[str, Crystal] = {
    "Si": Crystal.from_ase(bulk("Si", a=5.431)),
    "MgO": Crystal.from_ase(bulk("MgO", "rocksalt", a=4.212)),
    "NaCl": Crystal.from_ase(bulk("NaCl", "rocksalt", a=5.640)),
    "GaAs": Crystal.from_ase(bulk("GaAs", "zincblende", a=5.653)),
    "ZnO": Crystal.from_ase(bulk("ZnO", "wurtzite", a=3.250, c=5.207, u=0.382)),
    "NiO": Crystal.from_ase(bulk("NiO", "rocksalt", a=4.177)),
    "MnO": Crystal.from_ase(bulk("MnO", "rocksalt", a=4.445)),
    "Fe": Crystal.from_ase(bulk("Fe", "bcc", a=2.866)),
    "Cr": Crystal.from_ase(bulk("Cr", "bcc", a=2.885)),
    "Cu": Crystal.from_ase(bulk("Cu", "fcc", a=3.615)),
    "Al": Crystal.from_ase(bulk("Al", "fcc", a=4.046)),
}
GAPS = {"Si": 0.61, "MgO": 4.45, "NaCl": 5.0, "GaAs": 0.53, "ZnO": 0.75}  # eV, PBE
GAMMA = {"Si": [15.53], "MgO": [12.0], "NaCl": [4.95]}  # THz, transverse optical
MOMENTS = {"NiO": 1.35, "MnO": 4.3, "Fe": 2.2, "Cr": 1.0, "Cu": 0.0, "Al": 0.0}  # Bohr magnetons a site, PBE


def calcium_nitride() -> Crystal:
    """Ca2N, a layered electride, R-3m, a 3.624, c 19.100, z(Ca) 0.268 (Gregory et al., J. Mater. Chem. 10, 2635)."""
    a, c, z = 3.624, 19.100, 0.2680
    lattice = np.array([[a / 2, a / (2 * 3**0.5), c / 3], [-a / 2, a / (2 * 3**0.5), c / 3], [0, -a / 3**0.5, c / 3]])
    return crystal_from_symbols(lattice.tolist(), ["Ca", "Ca", "N"], [[z] * 3, [1 - z] * 3, [0, 0, 0]])


def gaps(session: Session) -> dict[str, Any]:
    """Band gap of each crystal over a mesh and the standard path, against PBE literature."""
    found = {}
    for name, literature in GAPS.items():
        electrons = analyse_electrons(session, session.build(CRYSTALS[name], "scf"), ("states", "bands"))
        values = [r["gap"]["value"] for r in electrons.results.values()]
        found[name] = {"gap": min(values) if values else None, "literature": literature, **electrons.failures}
        print(name, found[name], flush=True)
    return found


def elf(session: Session) -> dict[str, Any]:
    """Maxima of the ELF off the nuclei, in an electride and in a salt."""
    found = {}
    for name, crystal in {"NaCl": CRYSTALS["NaCl"], "Ca2N": calcium_nitride()}.items():
        electrons = analyse_electrons(session, session.build(crystal, "scf"), ("elf",))
        maxima = electrons.results.get("elf", {}).get("maxima", [])
        off = [m for m in maxima if m["kind"] == "interstitial"]
        found[name] = {"interstitial": off, "n_maxima": len(maxima), **electrons.failures}
        print(name, found[name], flush=True)
    return found


def phonons(session: Session) -> dict[str, Any]:
    """Transverse optical modes at Gamma by ph.x, against experiment."""
    found = {}
    for name, experiment in GAMMA.items():
        result = gamma_phonons(session, session.build(CRYSTALS[name], "scf"))
        optical = [f for f in result["frequencies"] if f > 1.0]
        found[name] = {"transverse": min(optical), "experiment": experiment[0], "longitudinal": result["longitudinal"]}
        print(name, found[name], flush=True)
    return found


def magnetism(session: Session) -> dict[str, Any]:
    """Lowest ordering and moments, with all orderings."""
    found = {}
    for name, moment in MOMENTS.items():
        search = search_orderings(session, CRYSTALS[name])
        rows = [(r.label, r.energy_per_atom, r.moments.final) for r in search.results]
        found[name] = {"lowest": search.lowest.label if search.lowest else "none", "orderings": rows, "bar": moment}
        print(name, found[name], flush=True)
    return found


WORK: dict[str, Callable[[Session], dict[str, Any]]] = {
    "gaps": gaps, "elf": elf, "phonons": phonons, "magnetism": magnetism,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("what", nargs="+", choices=sorted(WORK))
    parser.add_argument("--work", type=Path, default=Path("runs/first_principles"))
    parser.add_argument("--protocol", default="fast")
    args = parser.parse_args()
    settings = DftSettings(protocol=args.protocol, max_orderings=3)
    session = Session(settings, find_library(), Ledger(args.work), LocalLauncher(settings))
    results = {name: WORK[name](session) for name in args.what}
    print(json.dumps(results, default=str))


if __name__ == "__main__":
    main()
