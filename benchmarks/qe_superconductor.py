"""Cr6Os2 by pw.x: the first structure that templates propose against the reference, one SCF each at one protocol.

python benchmarks/qe_superconductor.py [--work runs/dft] [--record]

Entries of the composition itself are left out of the library, as in `dao study superconductors`. Without spin: both are
metals without moments. A15 leaves no coordinate free, so the two differ in volume alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from bars import show_bar

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.session import Session, need
from dao_core.dft.settings import DftSettings
from dao_core.studies.superconductors.crystals import CRYSTALS, reference
from dao_core.studies.superconductors.study import library_templates, query_without

NAME = "Cr6Os2"
PROTOCOL = "fast"


def first_template() -> Crystal:
    """The most probable template for the cell, of other compositions."""
    hits, _ = query_without(library_templates(None), CRYSTALS[NAME], 1)
    return hits[0].crystal


def main() -> None:
    """Both energies, then the row."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, default=Path("runs/dft"))
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    settings = DftSettings(protocol=PROTOCOL, spin="none")
    session = Session(settings, find_library(), Ledger(args.work), LocalLauncher(settings))
    energies, seconds = {}, {}
    for name, crystal in (("first template", first_template()), ("reference", reference(NAME))):
        result, _, energy = need(session, "scf", session.build(crystal, "scf"))
        energies[name], seconds[name] = energy / crystal.n_atoms, round(result.wall_seconds)
    gap = round(1000 * (energies["first template"] - energies["reference"]), 2)
    line = {
        "issue": "studies", "row": 4, "what": f"{NAME} by pw.x ({PROTOCOL}, no spin): first template less reference, "
        "meV/atom", "value": gap, "bar": "reported", "met": True, "n": 2, "interval": None, "seed": None,
        "seconds": seconds, "command": "python benchmarks/qe_superconductor.py --record",
    }  # fmt: skip
    show_bar(line, record=args.record)


if __name__ == "__main__":
    main()
