"""Files cut at every byte and damaged at random: is the answer always a structure that the file states, or a refusal?

python benchmarks/reader_mutations.py --n 2000 --record
Three structures in five formats. Counted: exceptions of another kind than a refusal, and accepted structures whose
composition is not the file's own: that of the undamaged file, or, where the damage hit a symbol or a count in a format
that says its composition only once, what an independent reading of the damaged file finds (ASE for extended xyz and
POSCAR, the lists themselves for CSV and JSON; a CIF states its formula, so damage there has no such excuse).
"""

from __future__ import annotations

import argparse
import csv
import io
import json
import random
import tempfile
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

from bars import record_bar

from dao_core.crystal import Crystal
from dao_core.elements import SYMBOLS
from dao_core.readers.read import read_structures

Composition = dict[str, int]


def crystals() -> list[Crystal]:
    """A perovskite, rutile, and a monoclinic oxide."""
    from pymatgen.core import Lattice, Structure

    sites = [[0, 0, 0], [0.5, 0.5, 0.5], [0.5, 0.5, 0]]
    rutile = [[0, 0, 0], [0.305, 0.305, 0]]
    monoclinic = [[0.28, 0.04, 0.21], [0.07, 0.33, 0.34], [0.45, 0.76, 0.48]]
    made = [
        Structure.from_spacegroup("Pm-3m", Lattice.cubic(3.9), ["Sr", "Ti", "O"], sites),
        Structure.from_spacegroup("P4_2/mnm", Lattice.tetragonal(4.59, 2.96), ["Ti", "O"], rutile),
        Structure.from_spacegroup("P2_1/c", Lattice.monoclinic(5.1, 5.2, 5.4, 99), ["Hf", "O", "O"], monoclinic),
    ]
    return [Crystal.from_pymatgen(s) for s in made]


def plain_row(crystal: Crystal) -> dict[str, Any]:
    return {
        "material_id": "a", "lattice": crystal.lattice.tolist(), "frac_coords": crystal.frac_coords.tolist(),
        "atomic_numbers": crystal.atomic_numbers.tolist(), "energy_per_atom": -3.25,
    }  # fmt: skip


def as_cif(crystal: Crystal) -> str:
    return crystal.to_cif()


def as_symmetric_cif(crystal: Crystal) -> str:
    from pymatgen.io.cif import CifWriter

    return str(CifWriter(crystal.to_pymatgen(), symprec=0.01))


def as_extxyz(crystal: Crystal) -> str:
    return crystal.to_extxyz()


def as_poscar(crystal: Crystal) -> str:
    return str(crystal.to_pymatgen().get_sorted_structure().to(fmt="poscar"))


def as_csv(crystal: Crystal) -> str:
    row = plain_row(crystal)
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    writer.writerow(row)
    writer.writerow([v if isinstance(v, str | float) else json.dumps(v) for v in row.values()])
    return out.getvalue()


def as_json(crystal: Crystal) -> str:
    return json.dumps([plain_row(crystal)])


WRITERS: dict[str, Callable[[Crystal], str]] = {
    "cif": as_cif, "cif with symmetry": as_symmetric_cif, "extxyz": as_extxyz, "poscar": as_poscar, "csv": as_csv,
    "json": as_json,
}  # fmt: skip
ENDINGS = {
    "cif": ".cif",
    "cif with symmetry": ".cif",
    "extxyz": ".xyz",
    "poscar": ".vasp",
    "csv": ".csv",
    "json": ".json",
}


def damaged(data: bytes, rng: random.Random) -> bytes:
    out = bytearray(data)
    for _ in range(rng.choice([1, 1, 1, 2, 3])):
        at, kind = rng.randrange(len(out)), rng.random()
        if kind < 0.6:
            out[at] = rng.randrange(256)
        elif kind < 0.8:
            del out[at : at + rng.randrange(1, 9)]
        else:
            out[at:at] = bytes(rng.randrange(32, 127) for _ in range(rng.randrange(1, 4)))
    return bytes(out)


def stated(kind: str, data: bytes) -> Composition | None:
    """What the damaged file itself says, read without our readers; None where it can't be told."""
    try:
        text = data.decode("utf-8-sig", errors="replace")
        if kind in ("extxyz", "poscar"):
            from ase.io import read

            atoms = read(io.StringIO(text), format="extxyz" if kind == "extxyz" else "vasp")
            symbols = ["H" if s == "D" else s for s in atoms.get_chemical_symbols()]
        else:
            row = json.loads(text)[0] if kind == "json" else next(csv.DictReader(io.StringIO(text)))
            numbers = row["atomic_numbers"]
            numbers = json.loads(numbers) if isinstance(numbers, str) else numbers
            symbols = [SYMBOLS[z] for z in numbers]
        return dict(Counter(symbols))
    except Exception:  # noqa: BLE001 - any failure of the other reader means that it can't tell
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--n", type=int, default=2000, help="random damages of each structure in each format")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--record", action="store_true", help="append the row to results/bars.jsonl")
    args = parser.parse_args()
    warnings.simplefilter("ignore")
    totals: Counter[str] = Counter()
    table: dict[str, dict[str, int]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for kind, write in WRITERS.items():
            counts: Counter[str] = Counter()
            path = Path(folder) / f"x.{ENDINGS[kind]}"
            for which, crystal in enumerate(crystals()):
                data = write(crystal).encode()
                rng = random.Random(f"{args.seed} {kind} {which}")
                tries = [data[:end] for end in range(len(data))] + [damaged(data, rng) for _ in range(args.n)]
                for text in tries:
                    counts[judge(kind, path, text, crystal)] += 1
            table[kind] = dict(counts)
            totals += counts
            print(f"{kind}: {dict(counts)}", flush=True)
    n = sum(totals.values())
    value = [totals["exception"], totals["another composition"]]
    if args.record:
        record_bar(
            issue="faults", row=2, what="cuts and damages: other exceptions; accepted with another composition",
            value=value, bar=[0, 0], met=value == [0, 0], n=n, interval=None, by_format=table,
            command=f"python benchmarks/reader_mutations.py --n {args.n}", seed=args.seed,
        )  # fmt: skip
    print(json.dumps({"figure": value, "n": n, "seed": args.seed, "by_format": table}))


def judge(kind: str, path: Path, data: bytes, crystal: Crystal) -> str:
    """refused, right, its own (the damage is what the file now says), another composition, or exception."""
    path.write_bytes(data)
    try:
        found = [v for _, v in read_structures(path) if isinstance(v, Crystal)]
    except Exception as error:  # noqa: BLE001 - exactly this is counted
        print(f"{kind}: {type(error).__name__}: {error}")
        return "exception"
    if not found:
        return "refused"
    if all(c.composition == crystal.composition for c in found):
        return "right"
    if not kind.startswith("cif") and all(c.composition == stated(kind, data) for c in found):
        return "its own"
    print(f"{kind}: {[c.composition for c in found]} for {crystal.composition}, stated {stated(kind, data)}")
    return "another composition"


if __name__ == "__main__":
    main()
