"""Structures of OPTIMADE: what DAO writes, what servers send, and what is no crystal."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from dao_core.crystal import Crystal
from dao_core.matching.same import same_crystal
from dao_core.readers.base import Refusal
from dao_core.readers.read import read_structures

SALT: dict[str, Any] = {
    "lattice_vectors": [[0, 3.3, 3.3], [3.3, 0, 3.3], [3.3, 3.3, 0]],
    "cartesian_site_positions": [[0, 0, 0], [3.3, 3.3, 3.3]],
    "species_at_sites": ["K", "Br1"],
    "species": [
        {"name": "K", "chemical_symbols": ["K"], "concentration": [1.0]},
        {"name": "Br1", "chemical_symbols": ["Br"], "concentration": [1.0]},
    ],
    "chemical_formula_reduced": "BrK", "dimension_types": [1, 1, 1], "nperiodic_dimensions": 3,
    "structure_features": [],
}  # fmt: skip


def resource(name: str = "7", **changes: Any) -> dict[str, Any]:
    return {"id": name, "type": "structures", "attributes": {**SALT, **changes}}


def found(tmp_path: Path, text: str) -> dict[str, Crystal | Refusal]:
    (tmp_path / "x.json").write_text(text)
    return dict(read_structures(tmp_path / "x.json"))


@pytest.mark.parametrize(
    "text",
    [
        json.dumps({"data": [resource("7"), resource("8")], "meta": {"more_data_available": False}}),
        json.dumps([resource("7"), resource("8")]),
        "\n".join(map(json.dumps, [{"x-optimade": {"meta": {}}}, resource("7"), resource("8")])),
    ],
)
def test_lists_in_every_wrapping(tmp_path: Path, text: str) -> None:
    structures = found(tmp_path, text)
    assert list(structures) == ["7", "8"]
    for crystal in structures.values():
        assert isinstance(crystal, Crystal)
        assert crystal.symbols == ["K", "Br"]
        assert crystal.frac_coords[1] == pytest.approx([0.5] * 3)


def test_a_single_entry(tmp_path: Path) -> None:
    (value,) = found(tmp_path, json.dumps({"data": resource(), "meta": {}})).values()
    assert isinstance(value, Crystal)
    (value,) = found(tmp_path, json.dumps(SALT)).values()
    assert isinstance(value, Crystal)


def test_what_dao_writes_is_read(tmp_path: Path) -> None:
    from dao_core.crysdb.export import optimade_resource
    from tests.helpers.records import perovskite, record

    crystal = perovskite()
    lines = [{"x-optimade": {"meta": {"api_version": "1.1.0"}}}, optimade_resource(record("a", crystal))]
    (value,) = found(tmp_path, "\n".join(json.dumps(line) for line in lines)).values()
    assert isinstance(value, Crystal)
    assert value.composition == crystal.composition
    assert same_crystal(value, crystal)


@pytest.mark.parametrize(
    ("changes", "match"),
    [
        ({"dimension_types": [1, 1, 0]}, "not periodic in three directions"),
        ({"nperiodic_dimensions": 2}, "nperiodic_dimensions 2: not periodic in three directions"),
        ({"nsites": 4}, "2 sites, nsites says 4: atoms are missing"),
        ({"species": [{"name": "K", "chemical_symbols": ["K"], "concentration": [1.0], "attached": ["H"]}]}, "ordered"),
        ({"structure_features": ["disorder"]}, "structure_features"),
        ({"species": [{"name": "K", "chemical_symbols": ["K", "Rb"], "concentration": [0.5, 0.5]}]}, "ordered"),
        ({"species": [{"name": "K", "chemical_symbols": ["K"], "concentration": [0.9]}]}, "ordered"),
        ({"species": [{"name": "K", "chemical_symbols": ["vacancy"], "concentration": [1.0]}]}, "no element"),
        ({"species_at_sites": ["K", "Wat"]}, "no element"),
        ({"lattice_vectors": [[0, 0, 0], [3.3, 0, 3.3], [3.3, 3.3, 0]]}, "span no volume"),
        ({"lattice_vectors": None}, "no lattice_vectors"),
        ({"cartesian_site_positions": [[0, 0, 0]]}, "3 numbers, expected 2 x 3"),
        ({"chemical_formula_reduced": "BrH2KO"}, "atoms are missing or wrong"),
    ],
)
def test_what_is_no_crystal_is_refused(tmp_path: Path, changes: dict[str, Any], match: str) -> None:
    (value,) = found(tmp_path, json.dumps([resource(**changes)])).values()
    assert isinstance(value, Refusal)
    assert match in value.reason
