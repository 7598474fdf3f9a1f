"""Structures of the development data as CIF in five styles, read back: the same crystal each time?

python benchmarks/reader_round_trip.py --n 2000 --record
Styles: P1 as DAO writes it; symmetrised, with operations; the primitive cell with its operations; another origin
(operations of a shifted group, which no table lists); rhombohedral axes under their symbol alone, for the structures
that have them (seven space groups); and, beside the five, the standard setting under its symbol alone where that leaves
nothing open. A reading counts if the crystal has the same composition and is the same crystal by `same_crystal` and by
pymatgen's StructureMatcher on primitive cells. Files are written from spglib's operations by this script, not by DAO.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import warnings
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import spglib
from bars import record_bar
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.matching.same import same_crystal
from dao_core.readers.base import UnreadableError
from dao_core.readers.cif import crystal_from_cif

STYLES = ("P1", "symmetrised", "primitive", "other origin", "rhombohedral axes", "symbol alone")
SYMPREC = 0.01
Operations = Sequence[tuple[NDArray[np.int64], NDArray[np.float64]]]


def structures(path: Path, n: int, seed: int) -> list[Crystal]:
    import pyarrow.parquet as pq

    rows = pq.read_table(path, columns=["lattice", "atomic_numbers", "frac_coords"]).to_pylist()
    random.Random(seed).shuffle(rows)
    return [
        Crystal(np.reshape(r["lattice"], (3, 3)), np.reshape(r["frac_coords"], (-1, 3)), np.array(r["atomic_numbers"]))
        for r in rows[:n]
    ]


def triplet(rotation: NDArray[np.int64], translation: NDArray[np.float64]) -> str:
    """An operation as x,y,z text."""
    parts = []
    for row, shift in zip(rotation.tolist(), translation.tolist(), strict=True):
        signs = {1: "+", -1: "-"}
        words = "".join(f"{signs[r]}{axis}" for r, axis in zip(row, "xyz", strict=True) if r)
        fraction = Fraction(shift % 1).limit_denominator(24) % 1
        parts.append(f"{fraction}{words}" if fraction else words.removeprefix("+"))
    return ",".join(parts)


def with_operations(crystal: Crystal, operations: Operations, symbol: str = "") -> str:
    """A CIF with the sites that the operations don't make of each other."""
    from pymatgen.core import Composition

    lengths = np.linalg.norm(crystal.lattice, axis=1)
    unit = crystal.lattice / lengths[:, None]
    angles = [np.degrees(np.arccos(np.clip(unit[i] @ unit[j], -1, 1))) for i, j in ((1, 2), (0, 2), (0, 1))]
    lines = ["data_x", *(f"_cell_length_{a} {x:.9f}" for a, x in zip("abc", lengths, strict=True))]
    lines += [f"_cell_angle_{a} {x:.9f}" for a, x in zip(("alpha", "beta", "gamma"), angles, strict=True)]
    lines.append(f"_chemical_formula_sum '{Composition(crystal.composition).formula}'")
    if symbol:
        lines.append(f"_space_group_name_H-M_alt '{symbol}'")
    else:
        lines += ["loop_", "_space_group_symop_operation_xyz", *(f"'{triplet(r, t)}'" for r, t in operations)]
    lines += ["loop_", "_atom_site_label", "_atom_site_type_symbol"]
    lines += [f"_atom_site_fract_{a}" for a in "xyz"]
    for i in first_of_each_orbit(crystal, operations):
        x, y, z = crystal.frac_coords[i]
        lines.append(f"{crystal.symbols[i]}{i} {crystal.symbols[i]} {x:.9f} {y:.9f} {z:.9f}")
    return "\n".join(lines) + "\n"


def first_of_each_orbit(crystal: Crystal, operations: Operations) -> list[int]:
    owner = np.full(crystal.n_atoms, -1)
    for i in range(crystal.n_atoms):
        if owner[i] >= 0:
            continue
        for rotation, translation in operations:
            away = crystal.frac_coords - (rotation @ crystal.frac_coords[i] + translation)
            away -= np.rint(away)
            near = np.linalg.norm(away @ crystal.lattice, axis=1)
            near[crystal.atomic_numbers != crystal.atomic_numbers[i]] = np.inf
            owner[int(near.argmin())] = i
    return sorted(set(owner.tolist()))


def refined(crystal: Crystal, *, primitive: bool) -> tuple[Crystal, Operations, Any]:
    """The standard cell with exact symmetry, its operations, and spglib's dataset."""
    cell = (crystal.lattice, crystal.frac_coords, crystal.atomic_numbers)
    lattice, frac, numbers = spglib.standardize_cell(cell, to_primitive=primitive, no_idealize=False, symprec=SYMPREC)
    made = Crystal(np.array(lattice), np.array(frac), np.array(numbers))
    data = spglib.get_symmetry_dataset((made.lattice, made.frac_coords, made.atomic_numbers), symprec=1e-4)
    return made, list(zip(data.rotations, data.translations, strict=True)), data


def moved(crystal: Crystal, operations: Operations, shift: NDArray[np.float64]) -> tuple[Crystal, Operations]:
    """Everything seen from an origin at `shift`."""
    new = [(r, t + r @ shift - shift) for r, t in operations]
    return crystal.replace(frac_coords=crystal.frac_coords - shift), new


def rhombohedral(crystal: Crystal, data: Any) -> tuple[Crystal, str]:
    """Hexagonal axes turned into rhombohedral ones (obverse), with the symbol of that setting."""
    to_rhombohedral = np.array([[2, 1, 1], [-1, 1, 1], [-1, -2, 1]]) / 3
    lattice = to_rhombohedral @ crystal.lattice
    frac = crystal.frac_coords @ crystal.lattice @ np.linalg.inv(lattice)
    frac -= np.floor(frac + 1e-9)
    keep = [
        i for i in range(len(frac))
        if not any(
            crystal.atomic_numbers[i] == crystal.atomic_numbers[j]
            and np.linalg.norm(((frac[i] - frac[j]) - np.rint(frac[i] - frac[j])) @ lattice) < 1e-3
            for j in range(i)
        )
    ]  # fmt: skip
    import gemmi

    symbol = gemmi.find_spacegroup_by_number(int(data.number)).hm
    return Crystal(lattice, frac[keep], crystal.atomic_numbers[keep]), f"{symbol} :R"


def texts(crystal: Crystal, rng: np.random.Generator) -> dict[str, str]:
    """The structure in every style."""
    import gemmi

    standard, operations, data = refined(crystal, primitive=False)
    smallest, its_operations, _ = refined(crystal, primitive=True)
    shift = rng.integers(1, 24, size=3) / 24
    out = {
        "P1": crystal.to_cif(),
        "symmetrised": with_operations(standard, operations),
        "primitive": with_operations(smallest, its_operations),
        "other origin": with_operations(*moved(standard, operations, shift)),
    }
    entry = next(e for e in gemmi.spacegroup_table() if e.number == data.number and e.is_reference_setting())
    if data.number in (146, 148, 155, 160, 161, 166, 167):
        cell, symbol = rhombohedral(standard, data)
        group = gemmi.find_spacegroup_by_name(symbol)
        named = [(np.array(o.rot) // 24, np.array(o.tran) / 24) for o in group.operations()]
        out["rhombohedral axes"] = with_operations(cell, named, symbol)
    elif entry.ext == "\x00" and not 3 <= data.number <= 15:
        named = [(np.array(o.rot) // 24, np.array(o.tran) / 24) for o in entry.operations()]
        out["symbol alone"] = with_operations(standard, named, entry.hm)
    return out


def judge(crystal: Crystal, text: str) -> str:
    """same, refused or another crystal."""
    from pymatgen.analysis.structure_matcher import StructureMatcher

    try:
        back = crystal_from_cif(text)
    except UnreadableError as error:
        return f"refused: {error}"
    if back.formula_reduced != crystal.formula_reduced or not same_crystal(crystal, back):
        return "another crystal"
    # its own reduction takes a primitive Ga4 for a cell of one atom (tolerance 0.25 A), the conventional one for four
    cells = [c.to_pymatgen().get_primitive_structure(tolerance=0.01) for c in (crystal, back)]
    matcher = StructureMatcher(ltol=0.05, stol=0.05, angle_tol=1, primitive_cell=False)
    return "same" if matcher.fit(*cells) else "another crystal for pymatgen"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/mp_20/test_public.parquet"))
    parser.add_argument("--n", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="append the row to results/bars.jsonl")
    args = parser.parse_args()
    os.environ.setdefault("SPGLIB_WARNING", "OFF")
    warnings.simplefilter("ignore")
    rng = np.random.default_rng(args.seed)
    counts: dict[str, Counter[str]] = {style: Counter() for style in STYLES}
    for i, crystal in enumerate(structures(args.data, args.n, args.seed)):
        for style, text in texts(crystal, rng).items():
            found = judge(crystal, text)
            counts[style][found.split(":")[0]] += 1
            if found != "same":
                print(f"structure {i}, {style}: {found}", flush=True)
    table = {style: dict(c) for style, c in counts.items()}
    n = sum(sum(c.values()) for c in counts.values())
    same = sum(c["same"] for c in counts.values())
    value = round(100 * same / n, 3)
    if args.record:
        record_bar(
            issue="faults", row=3, what=f"{args.n} structures as CIF in five styles read back as the same crystal, %",
            value=value, bar=100, met=same == n, n=n, interval=None, by_style=table,
            command=f"python benchmarks/reader_round_trip.py --n {args.n}", seed=args.seed,
        )  # fmt: skip
    print(json.dumps({"figure": value, "n": n, "seed": args.seed, "by_style": table}))


if __name__ == "__main__":
    main()
