"""The Python face: a few lines from a formula to a DataFrame, structures of three kinds in, light to import."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import dao_core as dao
from dao_core.crysdb.table import TableError
from dao_core.screening.formulas import FormulaError
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


def test_a_prediction_without_a_usable_structure_says_why(salt: dao.Prediction) -> None:
    empty = dao.Prediction("NaCl", [], salt.info)
    with pytest.raises(LookupError, match="no usable structure of NaCl"):
        empty.best  # noqa: B018


def test_the_three_kinds_of_structures_relax_alike() -> None:
    crystal = rocksalt(11, 17)
    kinds = [crystal, crystal.to_ase(), crystal.to_pymatgen()]
    alone = [dao.relax(kind, max_steps=3) for kind in kinds]
    together = dao.relax(kinds, max_steps=3)
    energies = [r.energy_per_atom for r in (*alone, *together)]
    np.testing.assert_allclose(energies, energies[0], rtol=0, atol=1e-5)  # float32 sums in the order of the batch
    with pytest.raises(TypeError, match="str is no structure"):
        dao.relax("NaCl.cif")


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


def test_files_of_structures_are_read_from_the_package(tmp_path: Path) -> None:
    (tmp_path / "nacl.cif").write_text(rocksalt(11, 17).to_cif())
    (tmp_path / "bad.cif").write_text("data_x\n")
    ((name, crystal),) = dao.read_structures(tmp_path / "nacl.cif")
    assert (name, crystal.formula_reduced) == ("nacl", "NaCl")  # type: ignore[union-attr]
    ((_, refusal),) = dao.read_structures(tmp_path / "bad.cif")
    assert isinstance(refusal, dao.Refusal)
