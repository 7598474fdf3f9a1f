"""The Python face: a few lines from a formula to a DataFrame, structures of three kinds in, light to import."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from ase.build import bulk, fcc111, molecule
from ase.constraints import FixAtoms
from pymatgen.core import Lattice, Structure

import dao_core as dao
from dao_core.api import as_crystal
from dao_core.artifacts import ForeignFileError
from dao_core.crysdb.table import TableError
from dao_core.crystal import InvalidCrystalError
from dao_core.models.checkpoint_io import SHIPPED
from dao_core.screening.formulas import FormulaError
from dao_core.settings_error import SettingsError
from tests.helpers.benchmark_targets import rocksalt


@pytest.fixture(scope="module")
def salt() -> dao.Prediction:
    return dao.predict("NaCl", n=3, generator="none", judge="none", library="none", max_atoms=4)


def test_importing_it_costs_nothing() -> None:
    code = (
        "import sys, dao_core; print([m for m in ('torch', 'pymatgen', 'ase', 'numpy', 'pandas') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip() == "[]"
    assert {"predict", "relax", "calculator", "templates", "generate", "CrysDB"} <= set(dir(dao))
    with pytest.raises(AttributeError, match="'predicted'; it offers CrysDB"):
        dao.predicted  # noqa: B018


def test_a_formula_becomes_a_table_and_structures(salt: dao.Prediction) -> None:
    table = salt.to_dataframe()
    assert len(table) == len(salt) == len(list(salt)) > 0
    assert table["rank"].tolist() == list(range(1, len(salt) + 1))
    assert salt.best.spacegroup_after == 225
    assert salt.to_ase()[0].get_chemical_formula() == "ClNa"
    assert salt.to_ase()[0].info["energy_per_atom"] == salt.best.energy_per_atom
    assert salt.to_pymatgen()[0].composition.reduced_formula == "NaCl"
    assert "<table" in salt._repr_html_()
    assert "225" in salt._repr_html_()


def test_it_writes_what_the_command_writes(salt: dao.Prediction, tmp_path: Path) -> None:
    page = salt.write(tmp_path / "out")
    assert page.name == "index.html"
    assert (tmp_path / "out" / "candidates.parquet").exists()
    (tmp_path / "out" / "001_sampleA_225.cif").write_text("mine")
    assert salt.write(tmp_path / "out") == page
    assert (tmp_path / "out" / "001_sampleA_225.cif").read_text() == "mine"
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "index.html").write_text("mine")
    with pytest.raises(ForeignFileError, match=r"site/index\.html is not of this program"):
        salt.write(tmp_path / "site")
    assert [p.name for p in (tmp_path / "site").iterdir()] == ["index.html"]


def test_a_prediction_without_a_usable_structure_says_why(salt: dao.Prediction) -> None:
    empty = dao.Prediction("NaCl", [], salt.info)
    with pytest.raises(LookupError, match="no usable structure of NaCl"):
        empty.best  # noqa: B018
    as_proposed = salt.candidates[0].replace(energy_per_atom=None, relaxation_status="not_relaxed")
    with pytest.raises(LookupError, match="a larger budget_seconds relaxes them"):
        dao.Prediction("NaCl", [as_proposed], salt.info).best  # noqa: B018


def test_the_three_kinds_of_structures_relax_alike() -> None:
    crystal = rocksalt(11, 17)
    kinds = [crystal, crystal.to_ase(), crystal.to_pymatgen()]
    alone = [dao.relax(kind, max_steps=3) for kind in kinds]
    together = dao.relax(kinds, max_steps=3)
    energies = [r.energy_per_atom for r in (*alone, *together)]
    np.testing.assert_allclose(energies, energies[0], rtol=0, atol=1e-5)  # float32 sums in the order of the batch


def _salt() -> Structure:
    return Structure(Lattice.cubic(3.5), ["Na", "Cl"], [[0, 0, 0], [0.5, 0.5, 0.5]])


def _refused_structures() -> dict[str, tuple[Any, type[Exception], str]]:
    flat = _salt().copy()
    flat.lattice = Lattice(flat.lattice.matrix, pbc=(True, True, False))
    charged, mixed = _salt(), Structure(Lattice.cubic(3.5), [{"Na": 0.5, "K": 0.5}], [[0, 0, 0]])
    charged.set_charge(2)
    held, half = bulk("Cu"), bulk("Cu")
    held.set_constraint(FixAtoms([0]))
    half.info["occupancy"] = {"0": {"Cu": 0.5, "Au": 0.5}}  # as ASE reads it from a CIF
    moves = _salt().copy(site_properties={"selective_dynamics": [[True] * 3, [False, True, True]]})
    no_crystal = "not periodic in three directions, so no crystal"
    return {
        "slab": (fcc111("Cu", (1, 1, 3), vacuum=8.0), InvalidCrystalError, f"pbc='T T F': {no_crystal}"),
        "molecule": (molecule("H2O"), InvalidCrystalError, f"pbc='F F F': {no_crystal}"),
        "pymatgen slab": (flat, InvalidCrystalError, f"pbc='T T F': {no_crystal}"),
        "constraint": (held, InvalidCrystalError, "FixAtoms: a relaxation here moves every atom; remove it"),
        "selective dynamics": (moves, InvalidCrystalError, "selective_dynamics: a relaxation here moves every atom"),
        "mixed": (mixed, InvalidCrystalError, "partially occupied sites: make an ordered approximation first"),
        "mixed in ASE": (half, InvalidCrystalError, "partially occupied sites"),
        "charged": (charged, InvalidCrystalError, "charge 2: a crystal is neutral"),
        "path": ("x.cif", TypeError, "str is no structure: read the file first, by dao.read_structures('x.cif')"),
        "nothing": (None, TypeError, "NoneType is no structure: give a Crystal"),
    }


REFUSED = _refused_structures()


@pytest.mark.parametrize("name", REFUSED)
def test_what_is_no_free_crystal_is_refused_alone_and_by_its_place(name: str) -> None:
    value, kind, message = REFUSED[name]
    with pytest.raises(kind) as alone:
        dao.relax(value, max_steps=0)
    with pytest.raises(kind) as among:
        dao.relax([bulk("Cu"), value], max_steps=0)
    assert str(alone.value).startswith(message)
    assert str(among.value) == f"structures[1]: {alone.value}"


def test_atoms_that_all_may_move_relax() -> None:
    moves = _salt().copy(site_properties={"selective_dynamics": [[True] * 3] * 2})
    assert dao.relax(moves, max_steps=0).energy_per_atom is not None


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"pressure_gpa": float("nan")}, "pressures are in GPa, between -50 and 1000, got nan"),
        ({"pressure_gpa": 1e9}, "pressures are in GPa, between -50 and 1000"),
        ({"fmax": float("inf")}, "fmax: Input should be a finite number"),
        ({"stepz": 3}, "unknown key 'stepz': do you mean 'max_step'?; there are batch_size,"),
        ({"surprise": 3}, "unknown key 'surprise': remove it or correct its spelling; there are batch_size,"),
    ],
)
def test_a_wrong_setting_of_a_relaxation_is_one_line(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError) as error:
        dao.relax(bulk("Cu"), **settings)
    assert message in str(error.value)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize("make", [dao.predict, dao.templates, dao.generate])
def test_wrong_formulas_and_settings_are_refused_alike(make: Callable[..., Any]) -> None:
    for formula in (None, ["NaCl"], 5):
        with pytest.raises(FormulaError, match="is no formula: give one text such as 'SrTiO3'"):
            make(formula)
    for n in (0, -1, 2.5, None, "four"):
        with pytest.raises(SettingsError, match="settings: n: Input should be"):
            make("NaCl", n=n)
    with pytest.raises(SettingsError, match=r"unknown key 'max_atomz': do you mean 'max_atoms'\?; there are budget_s"):
        make("NaCl", max_atomz=4)


def test_how_many_are_judged_has_a_name_beside_the_judge_s() -> None:
    pytest.importorskip("sevenn", reason="sevenn is not installed")
    judged = dao.predict("NaCl", n=3, generator="none", library="none", max_atoms=4, n_judged=1)
    assert len(judged) > 1
    assert sum(c.judged for c in judged) == 1


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"judge": {"n_judged": 1}}, "judge: give the name of a model; n_judged says how many structures it relaxes"),
        ({"judge": "none", "n_judged": 1}, "n_judged: it counts what the judge relaxes, and judge is none"),
        ({"n_judged": 0}, "judge.n_judged: Input should be greater than or equal to 1"),
    ],
)
def test_a_judge_that_is_no_name_or_counts_nothing_is_refused(settings: dict[str, Any], message: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(message)):
        dao.predict("NaCl", **settings)


def test_models_may_be_named_by_a_path() -> None:
    shipped = SHIPPED / "predictor"
    quick: dict[str, Any] = {
        "n": 1,
        "generator": "none",
        "library": Path("none"),
        "max_atoms": 4,
        "judge": Path("none"),
    }
    one = dao.predict("NaCl", potential=shipped, **quick)
    assert one.best.energy_per_atom == dao.predict("NaCl", potential=str(shipped), **quick).best.energy_per_atom
    assert dao.relax(bulk("Cu"), potential=shipped, max_steps=0).energy_per_atom is not None


def test_the_calculator_agrees_with_the_relaxation() -> None:
    crystal = rocksalt(11, 17)
    atoms = crystal.to_ase()
    atoms.calc = dao.calculator()
    still = dao.relax(crystal, max_steps=0)
    assert atoms.get_potential_energy() / len(atoms) == pytest.approx(still.energy_per_atom, abs=1e-5)


def test_templates_and_samples_have_the_composition_asked_for() -> None:
    found = dao.templates("MgO", n=2)
    drawn = dao.generate("MgO", n=2, max_atoms=4)
    assert 0 < len(found) <= 2
    assert len(drawn) > 0
    for proposed in (*found, *drawn):
        assert proposed.crystal.formula_reduced == "MgO"
    assert {p.origin for p in found}.isdisjoint({p.origin for p in drawn})


def test_mistakes_keep_their_words(tmp_path: Path) -> None:
    with pytest.raises(FormulaError, match="Xx is not an element"):
        dao.predict("Xx2")
    with pytest.raises(TableError, match=r"no CrysDB at .*dao crysdb build"):
        dao.CrysDB(tmp_path)


def test_crysdb_answers_in_dataframes(tmp_path: Path) -> None:
    from dao_core.crysdb.build.build import build
    from dao_core.crysdb.config import BuildConfig

    build(BuildConfig(), tmp_path)
    database = dao.CrysDB(tmp_path)
    rows = database.query("SELECT count(*) AS n FROM crysdb")
    assert rows["n"][0] > 0
    assert repr(database).endswith(f"version {database.version})")
    with pytest.raises(TableError, match="version '0' is no number: give one of 0 to 0"):
        database.query("SELECT 1", version="0")  # type: ignore[arg-type]


def test_files_of_structures_are_read_from_the_package(tmp_path: Path) -> None:
    (tmp_path / "nacl.cif").write_text(rocksalt(11, 17).to_cif())
    (tmp_path / "bad.cif").write_text("data_x\n")
    ((name, crystal),) = dao.read_structures(tmp_path / "nacl.cif")
    assert (name, crystal.formula_reduced) == ("nacl", "NaCl")  # type: ignore[union-attr]
    ((_, refusal),) = dao.read_structures(tmp_path / "bad.cif")
    assert isinstance(refusal, dao.Refusal)
    assert dao.relax(dao.read_structures(tmp_path / "nacl.cif"), max_steps=0)[0].energy_per_atom is not None
    with pytest.raises(InvalidCrystalError, match=r"bad.cif could not be read: .*bad.cif"):
        dao.relax(dao.read_structures(tmp_path / "bad.cif")[0])


def test_what_holds_a_crystal_says_where_it_is(salt: dao.Prediction) -> None:
    with pytest.raises(TypeError, match=r"structures\[0\]: Candidate is no structure: give its `crystal`"):
        dao.relax(list(salt))


@pytest.mark.parametrize("isotope", ["D", "T"])
def test_isotopes_of_a_pymatgen_structure_are_hydrogen_with_a_warning(isotope: str) -> None:
    from pymatgen.core import Lattice, Structure

    with pytest.warns(UserWarning, match=f"{isotope} is read as H"):
        crystal = as_crystal(Structure(Lattice.cubic(4.0), ["Li", isotope], [[0, 0, 0], [0.5, 0.5, 0.5]]))
    assert crystal.symbols == ["Li", "H"]
