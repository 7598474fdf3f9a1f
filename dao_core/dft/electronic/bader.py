"""Charges of atoms in Bader's basins (Henkelman, Arnaldsson and Jonsson, Comput. Mater. Sci. 36, 354 (2006)).

The program `bader` is none of the suite: the part is computed where it is installed. It works on the pseudopotentials'
valence density, so that charges of covalent crystals are rough where no core marks a nucleus.
"""

from __future__ import annotations

import shutil
from typing import Any

from dao_core.dft.chain import Chain, ProgramError
from dao_core.dft.launch.local import OUT
from dao_core.dft.pw.build import PREFIX
from dao_core.dft.settings import DftSettings

DENSITY, CHARGES = "density.cube", "ACF.dat"


def bader_installed(settings: DftSettings) -> bool:
    """Whether the program is there."""
    return shutil.which(settings.bader_command) is not None


def bader_charges(chain: Chain) -> dict[str, Any]:
    """Charge of each atom (electrons its pseudopotential has less those in its basin).

    Raises:
        ProgramError: pp.x or bader failed, or bader lists other atoms.
    """
    text = (
        f"&inputpp\n prefix='{PREFIX}', outdir='../{OUT}', filplot='density.pp', plot_num=0\n/\n"
        f"&plot\n nfile=1, filepp(1)='density.pp', weight(1)=1.0, iflag=3, output_format=6, fileout='{DENSITY}'\n/\n"
    )
    density = chain.run("density", "pp.x", text)
    step = chain.tool("bader", chain.session.settings.bader_command, (f"../{density.name}/{DENSITY}",))
    crystal = chain.crystal_input.crystal
    library = chain.session.library.select(set(crystal.symbols))
    try:
        electrons = read_charges((step / CHARGES).read_text())
    except OSError as error:
        raise ProgramError("bader", "unreadable", f"it left no {CHARGES}") from error
    if len(electrons) != crystal.n_atoms:
        raise ProgramError("bader", "unreadable", f"it lists {len(electrons)} of {crystal.n_atoms} atoms")
    charges = [
        {"symbol": symbol, "electrons": n, "charge": round(library[symbol].z_valence - n, 4)}
        for symbol, n in zip(crystal.symbols, electrons, strict=True)
    ]
    return {"charges": charges}


def read_charges(text: str) -> list[float]:
    """Electrons in each atom's basin from bader's table: number, x, y, z, charge, distance, volume."""
    rows = (line.split() for line in text.splitlines())
    return [float(row[4]) for row in rows if len(row) == 7 and row[0].isdigit()]
