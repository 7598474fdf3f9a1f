"""JSON: plain rows and pymatgen's objects; numbers that are none are refused."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pymatgen.core import Molecule
from pymatgen.entries.computed_entries import ComputedStructureEntry

from dao_core.crystal import Crystal
from dao_core.readers.base import Refusal, UnreadableError
from dao_core.readers.json_rows import read_json
from dao_core.readers.read import named_rows, read_structures
from tests.helpers.structures import rocksalt

PLAIN: dict[str, Any] = {
    "material_id": "a", "lattice": [[4.1, 0, 0], [0, 4.1, 0], [0, 0, 4.1]], "frac_coords": [[0, 0, 0], [0.5, 0.5, 0.5]],
    "atomic_numbers": [19, 35],
}  # fmt: skip


def value(tmp_path: Path, data: object) -> Crystal | Refusal:
    (tmp_path / "x.json").write_text(data if isinstance(data, str) else json.dumps(data))
    ((_, found),) = read_structures(tmp_path / "x.json")
    return found


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"atomic_numbers": [19.5, 35]}, "19.5 is no atomic number"),
        ({"atomic_numbers": [True, 35]}, "True is no atomic number"),
        ({"atomic_numbers": [None, 35]}, "None is no atomic number"),
        ({"atomic_numbers": [[19], 35]}, "is no atomic number"),
        ({"atomic_numbers": "KBr"}, "is no list of elements"),
        ({"atomic_numbers": [19, 500]}, "atomic number outside"),
        ({"atomic_numbers": ["K", "Qq"]}, "'Qq' is no element"),
        ({"atomic_numbers": [19]}, "6 numbers, expected 1 x 3"),
        ({"lattice": [[True, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]}, "True"),
        ({"lattice": [["4.1", 0, 0], [0, 4.1, 0], [0, 0, 4.1]]}, "'4.1' is no number"),
        ({"lattice": [[4.1, 0], [0, 4.1]]}, "expected 3 x 3"),
        ({"lattice": None}, "lattice empty"),
        ({"atomic_numbers": [10**30, 35]}, "is no atomic number"),
        ({"atomic_numbers": [float("inf"), 35]}, "is no atomic number"),
        ({"lattice": [[10**400, 0, 0], [0, 4.1, 0], [0, 0, 4.1]]}, "401 digits"),
        ({"frac_coords": [[0, 0, 0], [0.5, 0.5]]}, "5 numbers"),
        ({"frac_coords": [[0, 0, float("nan")], [0.5, 0.5, 0.5]]}, "NaN"),
        ({"frac_coords": [[0, 0, 0], [0.5, 0.5, None]]}, "None"),
    ],
)
def test_what_is_no_number_is_refused(tmp_path: Path, changes: dict[str, Any], reason: str) -> None:
    found = value(tmp_path, {**PLAIN, **changes})
    assert isinstance(found, Refusal)
    assert reason in found.reason


@pytest.mark.parametrize("numbers", [[19, 35], [19.0, 35.0], ["K", "Br"]])
def test_whole_numbers_and_symbols_are_elements(tmp_path: Path, numbers: list[Any]) -> None:
    found = value(tmp_path, {**PLAIN, "atomic_numbers": numbers})
    assert isinstance(found, Crystal)
    assert found.symbols == ["K", "Br"]


def test_lists_objects_by_id_and_lines(tmp_path: Path) -> None:
    several = [PLAIN, {**PLAIN, "material_id": "b"}]
    nameless = {k: v for k, v in PLAIN.items() if k != "material_id"}
    texts = [
        json.dumps(several),
        json.dumps({"a": nameless, "b": nameless}),
        "\n".join(map(json.dumps, several)) + "\n",
    ]
    for text in texts:
        (tmp_path / "x.json").write_text(text)
        found = read_structures(tmp_path / "x.json")
        assert [name for name, _ in found] == ["a", "b"]
        assert all(isinstance(v, Crystal) for _, v in found)


def test_pymatgen_structures_and_entries(tmp_path: Path) -> None:
    structure = rocksalt().to_pymatgen()
    entry = ComputedStructureEntry(structure, -6.8, entry_id="e", parameters={"run_type": "R2SCAN"}).as_dict()
    for data in (structure.as_dict(), entry):
        assert isinstance(value(tmp_path, data), Crystal)
    (row,) = read_json(json.dumps(entry))
    assert isinstance(row, dict)
    assert (row["parameters"], row["energy_per_atom"]) == ({"run_type": "R2SCAN"}, -3.4)
    (tmp_path / "charged.json").write_text(json.dumps({**entry, "structure": {**entry["structure"], "charge": 2}}))
    ((_, charged),) = named_rows(tmp_path / "charged.json")
    assert charged.notes == ("charge 2 left aside: crystals are neutral here",)


def test_objects_that_contradict_themselves_are_refused(tmp_path: Path) -> None:
    structure = rocksalt().to_pymatgen()
    slab = structure.as_dict()
    slab["lattice"]["pbc"] = [True, True, False]
    moved = structure.as_dict()
    moved["sites"][1]["abc"] = [0.25, 0.5, 0.5]
    entry = ComputedStructureEntry(structure, -6.8).as_dict()
    entry["composition"] = {"Na": 1.0, "Cl": 2.0}
    longer = structure.as_dict()
    longer["lattice"]["a"] *= 1.5
    tilted = structure.as_dict()
    tilted["lattice"]["gamma"] += 3
    disordered = structure.copy()
    disordered.replace(0, {"Na": 0.5, "K": 0.5})
    for data, reason in (
        (slab, "not periodic"), (moved, "two places"), (longer, "the lattice says a ="),
        (tilted, "the lattice says gamma ="), (entry, "composition"),
        (disordered.as_dict(), "partially occupied"), ([3], "not a structure"),
        ({"sites": 3}, "only crystals are read"),
        ({"structure": json.dumps(structure.as_dict())}, "only crystals are read"),
        (Molecule(["H", "H"], [[0, 0, 0], [0, 0, 0.74]]).as_dict(), "only crystals are read"),
    ):  # fmt: skip
        found = value(tmp_path, data)
        assert isinstance(found, Refusal)
        assert reason in found.reason


def test_every_cut_is_refused() -> None:
    text = json.dumps([PLAIN])
    for end in range(1, len(text)):
        with pytest.raises(UnreadableError, match="not whole JSON"):
            list(read_json(text[:end]))


def test_a_key_that_stands_twice_is_refused() -> None:
    with pytest.raises(UnreadableError, match="'lattice' stands twice"):
        list(read_json('{"lattice": [1], "lattice": [2]}'))


def test_nesting_without_end_is_refused() -> None:
    with pytest.raises(UnreadableError):
        list(read_json("[" * 200_000))
