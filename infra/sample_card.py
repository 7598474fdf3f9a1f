"""Writes `sample_card.md`, the data card of the embedded sample, from the sample: `python infra/sample_card.py`."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence

import numpy as np

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.sample import SampleSource, sample_path
from dao_core.hull.hull import Hull, HullEntry, count_atoms
from dao_core.hull.label import EnergyLabel

LABEL = EnergyLabel("CHGNet-0.3.0", source="sample")
KNOWN = ["NaCl", "MgO", "SrTiO3", "CaTiO3", "BaTiO3", "KMgF3", "TiO2", "Al2O3", "SiO2", "ZnS", "GaAs", "AlNi"]

TEXT = """# Data card: the embedded sample

{rows} rows, {bytes:.2f} MB, SHA-256 `{sha256}`. Made by this project; MIT licence like the code.

## What it is
Structures with energies, forces and stresses in 20 chemical systems that close to hulls: every element and every
sub-binary of each system is in it. It lets the whole of DAO run offline in minutes. It is not a benchmark and no
substitute for a database: {ends} relaxed structures, none larger than {max_atoms} atoms.

## How it was made
`python infra/make_sample.py --work DIR` (extra `chgnet`, about 30 minutes on one core; deterministic on one machine,
resumes after a kill), then `python infra/sample_card.py`.
1. Prototypes of the AFLOW library with at most 12 atoms in the primitive cell, as pymatgen carries them, decorated with
   the system's elements and scaled by covalent radii: usual ones for all (rock salt, CsCl, zincblende, wurtzite, NiAs,
   L1_0, fluorite, rutile, L1_2, D0_3, ... , perovskite) and others drawn by a seed of the system.
2. Relaxed with CHGNet 0.3.0 (weights in its wheel, BSD), positions and cell, symmetry of the start kept by the forces:
   L-BFGS to 0.02 eV/angstrom and 0.2 GPa, at most 80 steps. Runaways are dropped (volume per atom above 130 angstrom^3,
   forces above 20 eV/angstrom, or rejected by `dao_core.energy.relaxation.relax`).
3. Kept: the end point, the start and one frame on the way where they are more than 15 meV/atom above it, and one copy
   of the end point strained and rattled at random (1.5 % and 0.05 angstrom, or 4 % and 0.15 angstrom).

After the run the ids were renamed and 43 outlier rows were dropped by a conversion that is not in the repository.
This file comes from an early version of that code, same choices and settings. The line search of L-BFGS has been
improved since: of the 121 rows of Cl, Na and Cl-Na, a rebuild gives 94 alike in every digit, 23 with small differences
in loosely bound structures, and rejects one structure with its 3 frames.

## Columns
CrysDB's schema. `functional` is `CHGNet-0.3.0`: these are **energies of a neural network**, to be compared with nothing
but themselves. `relaxation` is `converged`, `max_steps` or `frame`; `parent_id` of a frame names its end point.
`material_id` carries system, number and AFLOW label. Hulls are left to the build.

## What is in it
| | end points | frames and rattled |
|---|---|---|
| rows | {ends} ({max_steps} of them not fully converged) | {frames} |
| atoms per cell, median and largest | {end_atoms} | {frame_atoms} |
| energy above the sample's hull, eV/atom: median, 90 %, largest | {end_hull} | {frame_hull} |
| share within 0.08 eV/atom of the hull | {end_stable} | {frame_stable} |
| largest force, eV/angstrom: median, largest | {end_force} | {frame_force} |
| volume per atom, angstrom^3: smallest, largest | {end_volume} | {frame_volume} |

Lowest structure of known compounds (space group of the lowest row, symprec 0.05): {lowest}.

| system | rows | end points | lowest formation energy, eV/atom | phases on the hull |
|---|---|---|---|---|
{systems}

## Limits
- CHGNet's errors are in it. Several energies are wrong by some meV/atom (fcc, hcp and bcc metals are nearly degenerate;
  LiCl is wurtzite by 1 meV, SiO2 cristobalite instead of quartz by 7 meV), molecular elements (O2, N2, F2, Cl2) are
  rough, and some compounds on its hulls are not known to exist (K2Cl, KF2, NaF2).
- SrTiO3, BaTiO3 and CaTiO3 are lowest as perovskites that are a little distorted (by 0.5, 13 and 22 meV/atom below the
  cubic one), KMgF3 as the cubic one.
- Different prototypes may relax to the same structure (fcc from an R-3m cell): those rows are left in and the build
  marks them as duplicates.
- No magnetism, no charge states, no partial occupation. We chose the prototypes: absence from the sample says nothing.
- Spinel and other cells above 12 atoms are missing, so Al-Mg-O lacks MgAl2O4 as nature has it.
"""


def _half(records: Sequence[CrysRecord], above: np.ndarray, prefix: str) -> dict[str, str]:
    forces = [float(np.abs(r.forces).max()) for r in records if r.forces is not None]
    volumes = [r.crystal.volume / r.n_atoms for r in records]
    atoms = [r.n_atoms for r in records]
    return {
        f"{prefix}_atoms": f"{np.median(atoms):.0f}, {max(atoms)}",
        f"{prefix}_hull": f"{np.median(above):.3f}, {np.quantile(above, 0.9):.3f}, {above.max():.2f}",
        f"{prefix}_stable": f"{(above <= 0.08).mean():.0%}",
        f"{prefix}_force": f"{np.median(forces):.3f}, {max(forces):.2f}",
        f"{prefix}_volume": f"{min(volumes):.1f}, {max(volumes):.1f}",
    }


def _lowest(records: Sequence[CrysRecord]) -> str:
    import moyopy

    said = []
    for formula in KNOWN:
        same = [r for r in records if r.formula_reduced == formula]
        if same:
            r = min(same, key=lambda r: r.energy_per_atom or 0.0)
            cell = moyopy.Cell(r.lattice.tolist(), r.frac_coords.tolist(), r.atomic_numbers.tolist())
            said.append(f"{formula} {moyopy.MoyoDataset(cell, symprec=0.05).number}")
    return ", ".join(said)


def card() -> str:
    """The card's text."""
    records = [i.record for i in SampleSource().iter_records() if i.record is not None]
    phases = [HullEntry(count_atoms(r.atomic_numbers), r.energy_per_atom or 0.0) for r in records]
    hull = Hull.from_entries(phases, LABEL)
    about = [(p.counts, p.energy_per_atom) for p in phases]
    above = np.array([hull.e_above_hull(*a, label=LABEL) for a in about], dtype=float)
    formation = np.array([hull.formation_energy_per_atom(*a, label=LABEL) for a in about], dtype=float)
    frame = np.array([r.relaxation == "frame" for r in records])
    rows = []
    members: dict[str, list[int]] = defaultdict(list)
    for k, r in enumerate(records):
        members[r.chemsys].append(k)
    for system, ks in sorted(members.items(), key=lambda item: (item[0].count("-"), item[0])):
        lowest = formation[ks].min()
        on_hull = sorted({records[k].formula_reduced for k in ks if above[k] < 1e-6})
        ends = sum(not frame[k] for k in ks)
        rows.append(f"| {system} | {len(ks)} | {ends} | {lowest:.3f} | {', '.join(on_hull) or 'none'} |")
    halves = {
        **_half([r for r in records if r.relaxation != "frame"], above[~frame], "end"),
        **_half([r for r in records if r.relaxation == "frame"], above[frame], "frame"),
    }
    path = sample_path()
    return TEXT.format(
        rows=len(records),
        bytes=path.stat().st_size / 1e6,
        sha256=file_sha256(path),
        ends=int((~frame).sum()),
        frames=int(frame.sum()),
        max_steps=sum(r.relaxation == "max_steps" for r in records),
        max_atoms=max(r.n_atoms for r in records),
        lowest=_lowest(records),
        systems="\n".join(rows),
        **halves,
    )


if __name__ == "__main__":
    write_atomic(sample_path().with_name("sample_card.md"), card())
