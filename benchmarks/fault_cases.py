"""Inputs that once gave a wrong answer, through every door that takes them: are they read right now, or refused?

python benchmarks/fault_cases.py --cases ../shared/cases --record
Doors: read_structures (Python), what the commands relax, validate and finetune predict read, --framework, and CrysDB's
source `files`, with a whole build for tables. Prints a line a case and door, and one JSON line last.
"""

from __future__ import annotations

import argparse
import json
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from bars import record_bar

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.export import write_extxyz
from dao_core.crysdb.schema import CrysRecord, table_to_records
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import MappingOptions
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from dao_core.crystal import Crystal
from dao_core.matching.same import same_crystal
from dao_core.readers.base import Refusal
from dao_core.readers.read import named_rows, read_structures
from dao_core.screening.given import GivenStructure, GivenStructureError

REFUSED = "refused"
# case -> the cells that are right, each as element counts; REFUSED: none may be read
EXPECTED: dict[str, Any] = {
    "cif/wat_label.cif": REFUSED, "cif/oh_label.cif": REFUSED, "cif/label_T.cif": REFUSED,
    "cif/mix_label_only.cif": REFUSED, "xyz/pbc_ttf.extxyz": REFUSED,
    "cif/hm_m3m.cif": [{"Cl": 4, "Na": 4}], "cif/p21c.cif": [{"O": 8, "Zr": 4}],
    "cif/spinel2.cif": [{"Al": 16, "Mg": 8, "O": 32}], "cif/rhomb_R.cif": [{"Bi": 2}],
    "cif/occdot.cif": [{"O": 3, "Sr": 1, "Ti": 1}], "cif/two_blocks.cif": [{"Cl": 1, "Cs": 1}, {"Cl": 1, "Rb": 1}],
    "cif/global_then_one.cif": [{"Cl": 1, "Cs": 1}], "cif/nonascii_latin1.cif": [{"Cl": 1, "Cs": 1}],
    "cif/bom.cif": [{"Cl": 1, "Cs": 1}], "cif/deuterium.cif": [{"Ca": 1, "H": 2, "O": 2}],
    "cif/hcp_rounded3.cif": [{"Mg": 2}], "xyz/blank_between.extxyz": [{"Cl": 2, "Na": 2}] * 3,
    "xyz/plain2.extxyz": [{"Cl": 2, "Na": 2}] * 2, "xyz/ref_forces.extxyz": [{"Cl": 2, "Na": 2}],
    "xyz/virial9.extxyz": [{"Cl": 2, "Na": 2}],
}  # fmt: skip


def by_python(path: Path) -> list[Crystal]:
    return [v for _, v in read_structures(path) if isinstance(v, Crystal)]


def by_commands(path: Path) -> list[Crystal]:
    """What `dao relax`, `dao validate` and `dao finetune predict` go on with."""
    return [row.value for _, row in named_rows(path) if isinstance(row.value, Crystal)]


def by_framework(path: Path) -> list[Crystal]:
    try:
        constraint = GivenStructure(framework=path).constraint()
    except GivenStructureError:
        return []
    return [] if constraint is None or constraint.framework is None else [constraint.framework]


def by_crysdb(path: Path) -> list[Crystal]:
    options = MappingOptions(name="case", functional="PBE")
    try:
        records = [item.record for item in FileSource(path, options).iter_records()]
    except SourceError:
        return []
    return [r.crystal for r in records if r is not None]


DOORS: dict[str, Callable[[Path], list[Crystal]]] = {
    "python": by_python, "commands": by_commands, "framework": by_framework, "crysdb": by_crysdb,
}  # fmt: skip


def right(found: list[Crystal], expected: Any, door: str) -> bool:
    compositions = [c.composition for c in found]
    if expected == REFUSED:
        return not compositions
    if door == "framework" and len(expected) > 1:
        return not compositions  # it takes one structure, and says so
    return compositions == expected


def records_of(path: Path, **mapping: Any) -> list[CrysRecord]:
    options = MappingOptions.model_validate({"name": "case", "functional": "PBE", "mapping": mapping})
    return [i.record for i in FileSource(path, options).iter_records() if i.record is not None]


def is_error(path: Path, **mapping: Any) -> bool:
    try:
        records_of(path, **mapping)
    except SourceError:
        return True
    return False


def built(path: Path, folder: Path, **mapping: Any) -> dict[str, CrysRecord]:
    """Rows of a database built from one file."""
    source = FilesConfig.model_validate({"name": "case", "paths": [path], "functional": "PBE", "mapping": mapping})
    config = BuildConfig(sources=(source,), clean=CleanSettings(min_atoms=1), benchmarks=(), workers=1)
    build(config, folder)
    return {r.material_id: r for r in table_to_records(CrysTable(folder / "table").read())}


def mapped_forces(path: Path) -> bool:
    (row,) = records_of(path, energy="REF_energy", forces="REF_forces")
    return row.energy_per_atom == -3.3 and row.forces is not None and is_error(path, energy="REF_enrgy")


def virial(path: Path) -> bool:
    (row,) = records_of(path)
    wanted = [[0.01, 0.006, 0.005], [0.006, 0.02, 0.004], [0.005, 0.004, 0.03]]
    return row.stress is not None and bool(np.allclose(row.stress, wanted, atol=1e-12))


def close_contacts(path: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        rows = built(path, Path(folder))
    return not rows.keys() & {"skew_overlap_038", "cubic_overlap_038", "self_image_045", "one_atom_045", "collide_wrap"}


def two_cells(path: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        rows = built(path, Path(folder))
    first, second = (v for _, v in read_structures(path))
    assert not isinstance(first, Refusal)
    assert not isinstance(second, Refusal)
    return sum(r.duplicate_of is not None for r in rows.values()) == 1 and same_crystal(first, second)


def two_functionals(path: Path) -> bool:
    with tempfile.TemporaryDirectory() as folder:
        rows = built(path, Path(folder), functional_column="run_type")
    labels = {r.functional for r in rows.values()}
    return {"PBE:GGA", "PBE:R2SCAN"} <= labels and is_error(path, functional_column="run_typ")


def awkward_ids(path: Path) -> bool:
    """Through a build, an export and a reading."""
    with tempfile.TemporaryDirectory() as folder:
        rows = built(path, Path(folder))
        tables = [CrysTable(Path(folder) / "table").read()]
        write_extxyz(tables, Path(folder) / "out.xyz")
        back = {r.material_id: r for r in records_of(Path(folder) / "out.xyz")}
    given = {r.material_id for r in records_of(path)}
    return back.keys() == rows.keys() == given and all(
        b.energy_per_atom == rows[i].energy_per_atom
        and np.array_equal(b.forces, rows[i].forces)  # type: ignore[arg-type]
        and np.array_equal(b.stress, rows[i].stress)  # type: ignore[arg-type]
        for i, b in back.items()
    )


CHECKS: dict[str, Callable[[Path], bool]] = {
    "xyz/ref_forces.extxyz": mapped_forces, "xyz/virial9.extxyz": virial, "json/close_contacts.json": close_contacts,
    "json/one_crystal_two_cells.json": two_cells, "json/two_functionals.json": two_functionals,
    "json/awkward_ids.json": awkward_ids,
}  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--cases", type=Path, default=Path("../shared/cases"))
    parser.add_argument("--record", action="store_true", help="append the row to results/bars.jsonl")
    args = parser.parse_args()
    results: dict[str, bool] = {}
    for name, expected in EXPECTED.items():
        for door, read in DOORS.items():
            results[f"{name} by {door}"] = right(read(args.cases / name), expected, door)
    for name, check in CHECKS.items():
        results[f"{name} in CrysDB"] = check(args.cases / name)
    for name, good in results.items():
        print(f"{'right' if good else 'WRONG'}  {name}")
    n_right = sum(results.values())
    figure = {"figure": n_right, "n": len(results), "cases": len(EXPECTED.keys() | CHECKS.keys()), "seed": None}
    if args.record:
        record_bar(
            issue="faults", row=1, what="cases through every door that takes them, right", value=n_right,
            bar=f"all {len(results)}", met=n_right == len(results), n=len(results), interval=None,
            command="python benchmarks/fault_cases.py", seed=None,
        )  # fmt: skip
    print(json.dumps({**figure, "wrong": [n for n, good in results.items() if not good]}))


if __name__ == "__main__":
    main()
