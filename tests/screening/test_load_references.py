"""What a search is compared with: whose energies make the hull, and what the user is told about it."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.table import CrysTable, TableError, write_records
from dao_core.energy.potential import PotentialResult
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.screening.context import SearchContext
from dao_core.screening.load_models import SearchModels
from dao_core.screening.load_references import ReferenceSettings, hull_of_records, load_references
from dao_core.screening.rank_stages import references_of
from dao_core.screening.stages import FormulaRecords
from tests.helpers.potentials import emt
from tests.helpers.small_runs import PROTOTYPES, crystals


def table(folder: Path, functional: str, *, elements: bool = True) -> Path:
    """Copper-gold alloys with EMT's energies under the name `functional`, as a CrysDB table."""
    records = []
    for i, crystal in enumerate(crystals(len(PROTOTYPES))):
        if not elements and len(crystal.composition) == 1:
            continue
        outcome = emt().compute([crystal])[0]
        assert isinstance(outcome, PotentialResult)
        records.append(
            CrysRecord.from_crystal(
                crystal, material_id=f"m{i}", source="test", functional=functional,
                energy_per_atom=outcome.energy / crystal.n_atoms, e_above_hull=0.0,
            )
        )  # fmt: skip
    write_records(folder / "table", records)
    return folder / "table"


def test_energies_of_the_same_potential_are_taken_as_they_stand(tmp_path: Path) -> None:
    found = load_references(["CuAu"], ReferenceSettings(crysdb=table(tmp_path, "EMT")), emt())
    assert found.hull is not None
    assert found.hull.label.made_by == "EMT"
    assert found.notes == ()
    assert found.version == "0"
    assert found.known is not None
    assert found.known.n_records == len(PROTOTYPES)


def test_energies_of_another_potential_are_refused_or_relaxed_anew_and_told(tmp_path: Path) -> None:
    where = table(tmp_path, "PBE")
    with pytest.raises(ForeignEnergyError, match="'PBE'"):
        load_references(["CuAu"], ReferenceSettings(crysdb=where, hull="database"), emt())
    found = load_references(["CuAu"], ReferenceSettings(crysdb=where), emt(), Ledger(tmp_path / "ledger"))
    assert found.hull is not None
    assert found.hull.label.made_by == "EMT"
    assert "CrysDB's own hull is not used" in found.notes[0]
    assert list((tmp_path / "ledger" / "phases").glob("*/manifest.json"))
    own = load_references(["CuAu"], ReferenceSettings(crysdb=table(tmp_path / "same", "EMT")), emt()).hull
    assert own is not None
    relaxed, stored = (h.decompose({29: 1, 79: 1}).energy_per_atom for h in (found.hull, own))
    assert relaxed <= stored + 1e-9  # relaxation only lowers a phase
    assert not np.isclose(relaxed, stored, atol=1e-9)


def test_relaxed_relaxes_even_where_it_need_not_and_none_makes_no_hull(tmp_path: Path) -> None:
    where = table(tmp_path, "EMT")
    relaxed = load_references(["CuAu"], ReferenceSettings(crysdb=where, hull="relaxed"), emt())
    nothing = load_references(["CuAu"], ReferenceSettings(crysdb=where, hull="none"), emt())
    assert relaxed.hull is not None
    assert nothing.hull is None
    assert nothing.known is not None
    assert (
        len({r.key for r in (relaxed, nothing, load_references(["CuAu"], ReferenceSettings(crysdb=where), emt()))}) == 3
    )


def test_a_missing_element_is_told(tmp_path: Path) -> None:
    found = load_references(["CuAu"], ReferenceSettings(crysdb=table(tmp_path, "PBE", elements=False)), emt())
    assert any("no usable phase of Au, Cu" in note for note in found.notes)


def test_a_table_built_anew_with_the_same_ids_and_version_has_another_key(tmp_path: Path) -> None:
    settings = ReferenceSettings(crysdb=table(tmp_path, "EMT"), hull="none")
    before = load_references(["CuAu"], settings, emt())
    assert load_references(["CuAu"], settings, emt()).key == before.key
    records = list(CrysTable(tmp_path / "table").records("all"))
    shutil.rmtree(tmp_path / "table")
    write_records(tmp_path / "table", [replace(r, lattice=1.01 * r.lattice) for r in records])
    after = load_references(["CuAu"], settings, emt())
    assert after.version == before.version
    assert after.key != before.key


def test_a_process_that_outlives_an_update_reads_the_newest_version(tmp_path: Path) -> None:
    context = SearchContext(tmp_path, SearchModels(emt()), references=ReferenceSettings(crysdb=table(tmp_path, "EMT")))
    records = [FormulaRecords("CuAu", ())]
    assert references_of(records, context).version == "0"
    assert references_of(records, context) is references_of(records, context)
    rows = list(CrysTable(tmp_path / "table").records("all"))
    write_records(tmp_path / "table", [replace(r, material_id=f"again-{r.material_id}") for r in rows])
    newest = references_of(records, context)
    assert newest.version == str(CrysTable(tmp_path / "table").version) != "0"


def test_without_a_database_or_with_an_empty_system(tmp_path: Path) -> None:
    assert load_references(["CuAu"], ReferenceSettings(crysdb=None), emt()).hull is None
    found = load_references(["NaCl"], ReferenceSettings(crysdb=table(tmp_path, "EMT")), emt())
    assert found.hull is None
    assert found.notes == ("CrysDB has nothing in these systems.",)
    with pytest.raises(TableError):
        load_references(["CuAu"], ReferenceSettings(crysdb=tmp_path / "nowhere"), emt())


def test_a_hull_of_records_is_of_one_label() -> None:
    def row(name: str, functional: str, energy: float | None) -> CrysRecord:
        names = {"material_id": name, "source": "t", "functional": functional}
        return CrysRecord.from_crystal(crystals(1)[0], **names, energy_per_atom=energy)

    rows = [row("a", "PBE", -1.3), row("b", "PBE", -1.2), row("c", "SCAN", None)]
    hull = hull_of_records(rows, EnergyLabel("PBE"))
    assert [(e.id, e.energy_per_atom) for e in hull.phases()] == [("a", -1.3)]
    with pytest.raises(ForeignEnergyError, match="'SCAN'"):
        hull_of_records([*rows, row("d", "SCAN", -3.0)], EnergyLabel("PBE"))
