"""Measured minerals: read as pymatgen builds them, refused where they are not ordered or not at ordinary conditions."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Lattice, Structure

from dao_core.crysdb.sources.base import SourceError, SourceItem
from dao_core.library.mineral_source import MineralSource, is_counted, is_old, mineral_of
from tests.helpers.carriers import CASSITERITE, packed, write_minerals

CALCITE = {
    "formula": "Ca C O3", "group": "R-3c", "cell": (4.99, 4.99, 17.061, 90, 90, 120), "labels": ["Ca", "C", "O"],
    "points": [[0, 0, 0], [0, 0, 0.25], [0.2573, 0, 0.25]], "title": "Calcite\n Sample: T = 25 C, P = 1 atm",
}  # fmt: skip
WURTZITE = {  # thirds with four digits: images of one atom are 0.0006 angstrom apart
    "formula": "Zn S", "group": "P6_3mc", "cell": (3.811, 3.811, 6.234, 90, 90, 120), "labels": ["Zn1", "S1"],
    "points": [[0.3333, 0.6667, 0], [0.3333, 0.6667, 0.371]], "title": "Wurtzite",
}  # fmt: skip
BRUCITE = {
    "formula": "Mg (O H)2", "group": "P-3m1", "cell": (3.148, 3.148, 4.779, 90, 90, 120), "labels": ["Mg", "O", "H"],
    "points": [[0, 0, 0], [0.3333, 0.6667, 0.22], [0.3333, 0.6667, 0.42]], "title": "Brucite",
}  # fmt: skip


def read(tmp_path: Path, *entries: dict[str, Any]) -> list[SourceItem]:
    return list(MineralSource(write_minerals(tmp_path / "minerals.db", entries)).iter_records())


@pytest.mark.parametrize("entry", [CASSITERITE, CALCITE, WURTZITE, BRUCITE])
def test_an_entry_is_the_crystal_that_pymatgen_builds(tmp_path: Path, entry: dict[str, Any]) -> None:
    [item] = read(tmp_path, entry)
    assert item.record is not None, item.refusal
    species = [label.rstrip("1") for label in entry["labels"]]
    expected = Structure.from_spacegroup(
        entry["group"], Lattice.from_parameters(*entry["cell"]), species, entry["points"], tol=0.01
    )
    found = item.record.crystal
    assert StructureMatcher(0.01, 0.01, 0.5).fit(found.to_pymatgen(), expected)
    assert found.n_atoms == len(expected.get_primitive_structure())
    assert item.record.e_above_hull_source is None


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"title": "Calcite\n T = 900 K"}, "above 400 K"),
        ({"title": "Calcite\n T = 300 C"}, "above 400 K"),
        ({"title": "Calcite\n P = 15.4 kbar"}, "above 0.5 GPa"),
        ({"title": "Calcite at 6.95 GPa"}, "above 0.5 GPa"),
        ({"title": "Calcite\n Sample: Pressure = 21 kbar"}, "above 0.5 GPa"),
        ({"title": "Calcite at 1073 K"}, "above 400 K"),
        ({"title": "The structure of potassium bicarbonate"}, "hydrogen"),
        ({"title": "Calcite hexahydrate, CaCO3*6H2O"}, "hydrogen"),
        ({"title": "Calcite from density-functional theory"}, "computed"),
        ({"title": "Mathematical\n Modeling of the structures of calcite"}, "computed"),
        ({"title": "Model pyroxenes II: Structural variation as a function of tetrahedral rotation"}, "computed"),
        ({"title": "Phase behavior of calcite studied by atomistic simulations"}, "computed"),
        ({"title": "Calcite\n Note: model structure derived from quantum calculations"}, "computed"),
        ({"title": "Vaterite\n Note: Meyer (1959) model, not preferred"}, "computed"),
        ({"occupancy": packed([1, 0.5, 1])}, "partially occupied"),
        ({"formula": "Ca.5 Mg.5 C O3"}, "partially occupied"),
        ({"formula": "Ca H2 C O3"}, "do not add up"),
        ({"formula": "<missing>"}, "cannot be read"),
        ({"labels": ["Ca", "Wat", "O"]}, "do not add up"),
        ({"labels": ["Ca", "Xx", "O"]}, "no element"),
        ({"points": [[0, 0, 0], [0, 0, 0.25], [0.1, 0, 0.25]]}, "closer than 0.7"),
        ({"cell": (4.99, 4.99, "17,061", 90, 90, 120)}, "could not convert"),
    ],
)
def test_what_is_no_ordered_structure_at_ordinary_conditions_is_refused(
    tmp_path: Path, change: dict[str, Any], reason: str
) -> None:
    [item] = read(tmp_path, CALCITE | change)
    assert item.refusal is not None
    assert item.refusal.row == "amcsd-1"
    assert reason in item.refusal.reason


def test_an_entry_without_the_hydrogen_that_its_mineral_has_is_refused(tmp_path: Path) -> None:
    """Pyrochroite without its hydrogen would pass for MnO2; another mineral of that formula is what it says."""
    whole_one = BRUCITE | {"formula": "Mn (O H)2", "labels": ["Mn", "O", "H"]}
    bare = BRUCITE | {"formula": "Mn O2", "labels": ["Mn", "O"], "points": BRUCITE["points"][:2], "title": "X-rays"}
    whole, without, other = read(
        tmp_path, whole_one | {"mineral": "A"}, bare | {"mineral": "A"}, bare | {"mineral": "Another"}
    )
    assert whole.record is not None
    assert without.refusal is not None
    assert "hydrogen" in without.refusal.reason
    assert other.record is not None
    assert other.record.crystal.formula_reduced == "MnO2"


def test_a_sulphate_without_its_oxygen_is_no_sulphide(tmp_path: Path) -> None:
    anhydrite = {
        "formula": "Ca S O4", "group": "Cmcm", "cell": (6.993, 6.995, 6.245, 90, 90, 90),
        "labels": ["Ca", "S", "O", "O"],
        "points": [[0, 0.6524, 0.25], [0, 0.1556, 0.25], [0.1699, 0.0162, 0.25], [0, 0.2975, 0.0818]],
    }  # fmt: skip
    bare = {**anhydrite, "formula": "Ca S", "labels": ["Ca", "S"], "points": anhydrite["points"][:2]}
    whole, without = read(tmp_path, *({**e, "title": "Anhydrite", "mineral": "Anhydrite"} for e in (anhydrite, bare)))
    assert whole.record is not None, whole.refusal
    assert without.refusal is not None
    assert "oxygen that this one lacks" in without.refusal.reason


def test_a_structure_that_cannot_be_whole_is_refused(tmp_path: Path) -> None:
    """Ammonium chloride without hydrogen, under a title that says nothing of it."""
    salt = {
        "formula": "N Cl", "group": "Pm-3m", "cell": (3.876, 3.876, 3.876, 90, 90, 90), "labels": ["N", "Cl"],
        "points": [[0, 0, 0], [0.5, 0.5, 0.5]], "title": "Neutron diffraction",
    }  # fmt: skip
    [item] = read(tmp_path, salt)
    assert item.refusal is not None
    assert "has no neighbour" in item.refusal.reason


def test_nitrogen_of_an_ammonium_salt_lacks_hydrogen_and_the_potassium_salt_beside_it_does_not(tmp_path: Path) -> None:
    title = "The crystal structures of potassium and ammonium bromide; their hydration"
    bromide = WURTZITE | {"title": title, "formula": "N Br", "labels": ["N", "Br"]}
    salt, other = read(tmp_path, bromide, bromide | {"formula": "K Br", "labels": ["K", "Br"]})
    assert salt.refusal is not None
    assert "hydrogen" in salt.refusal.reason
    assert other.record is not None


@pytest.mark.parametrize(
    ("title", "id"),
    [
        ("Calcite", "amcsd-1-calcite"),
        ("Calcite\n Sample: T = 298 K", "amcsd-1-calcite"),
        ("Calcite at 250 K and T = 20 C", "amcsd-1-calcite"),
        ("Calcite synthesized at 13 GPa and 1600 K", "amcsd-1-calcite"),
        ("Calcite\n T = 15 K", "amcsd-1-calcite-cold"),
        ("Calcite\n Temperature = -100 C", "amcsd-1-calcite-cold"),
        ("Calcite at 25 K", "amcsd-1-calcite-cold"),
        ("Beta calcite\n Note: dimorphic with calcite", "amcsd-1-calcite-unstable"),
        ("The structure of metastable calcite", "amcsd-1-calcite-unstable"),
        ("Calcite\n Note: this is the quenchable high-temperature\n form", "amcsd-1-calcite-unstable"),
        ("The high-temperature beta modification of calcite", "amcsd-1-calcite-unstable"),
        ("Etude structurale de la forme haute temperature", "amcsd-1-calcite-unstable"),
        ("Calcite. Existence d'une forme haute temperature", "amcsd-1-calcite"),
        ("High-temperature structure refinements of calcite\n T = 24 C", "amcsd-1-calcite"),
        ("High-temperature polymorphism of calcite\n T = 294 K", "amcsd-1-calcite"),
        ("The alpha-beta high-temperature phase transition of calcite", "amcsd-1-calcite"),
        ("Crystal structure of beta-calcite, garnet simulation", "amcsd-1-calcite"),
        ("Ideal structure of calcite: cubic model", "amcsd-1-calcite"),
    ],
)
def test_what_is_of_other_conditions_says_so(tmp_path: Path, title: str, id: str) -> None:
    [item] = read(tmp_path, CALCITE | {"title": title, "mineral": "Calcite"})
    assert item.record is not None, item.refusal
    assert item.record.material_id == id
    assert mineral_of(id) == "calcite"
    assert is_counted(id) is not id.endswith(("cold", "unstable"))


def test_what_was_published_before_1940_says_so(tmp_path: Path) -> None:
    items = read(tmp_path, *(CALCITE | {"mineral": "Calcite", "year": year} for year in (1939, 1940)))
    ids = [item.record.material_id for item in items if item.record is not None]
    assert ids == ["amcsd-1-calcite-old", "amcsd-2-calcite"]
    assert [is_old(i) for i in ids] == [True, False]
    assert {mineral_of(i) for i in ids} == {"calcite"}


def test_a_paper_on_oxidation_products_names_no_mineral(tmp_path: Path) -> None:
    """LiFePO4 stands as ferrisicklerite, which triphylite turns into, in a paper on both."""
    title = "X-ray studies on calcite\n and their oxidation\n products"
    [item] = read(tmp_path, CALCITE | {"title": title, "mineral": "Ferrisicklerite", "year": 1938})
    assert item.record is not None
    assert item.record.material_id == "amcsd-1-old"
    assert mineral_of(item.record.material_id) is None
    assert is_old(item.record.material_id)


def test_elements_are_left_to_other_sources(tmp_path: Path) -> None:
    [item] = read(tmp_path, CALCITE | {"formula": "C", "labels": ["C"], "points": [[0, 0, 0]]})
    assert item.refusal is not None
    assert item.refusal.reason == "an element"


def test_reading_goes_on_after_the_cursor(tmp_path: Path) -> None:
    source = MineralSource(write_minerals(tmp_path / "minerals.db", [CASSITERITE, CALCITE, WURTZITE]))
    whole = list(source.iter_records())
    assert [item.cursor for item in whole] == ["1", "2", "3"]
    [last] = source.iter_records(cursor="2")
    assert last.record is not None
    assert last.record.material_id == "amcsd-3"


@pytest.mark.parametrize(
    ("name", "id", "mineral"),
    [
        ("Magnetite", "amcsd-1-magnetite", "magnetite"),
        ("Deveroite-(Ce)", "amcsd-1-deveroite-ce", "deveroite-ce"),
        ("<missing>", "amcsd-1", None),
    ],
)
def test_the_mineral_stands_in_the_id(tmp_path: Path, name: str, id: str, mineral: str | None) -> None:
    [item] = read(tmp_path, CALCITE | {"mineral": name})
    assert item.record is not None
    assert item.record.material_id == id
    assert mineral_of(id) == mineral
    assert mineral_of("oqmd-icsd-1-magnetite") is None


def test_a_damaged_or_missing_file_is_named(tmp_path: Path) -> None:
    path = tmp_path / "minerals.db"
    with pytest.raises(SourceError, match=r"minerals\.db"):
        MineralSource(path)
    path.write_bytes(b"not a database" * 100)
    with pytest.raises(SourceError, match="is damaged"):
        list(MineralSource(path).iter_records())
