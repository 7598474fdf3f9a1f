from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from ase.io import read
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure
from pymatgen.io.cif import CifParser

from dao_core.crystal import Crystal
from dao_core.screening.ranking import rank
from dao_core.screening.report.files import cif_name, optimade_entry, symmetrized_cif, write_files
from tests.helpers.candidates import candidate, cesium_chloride, perovskite, rocksalt


def some() -> list:
    return rank(
        [
            candidate("b", cesium_chloride(), -3.0, spacegroup_after=221, symprec=0.1, e_above_hull=0.2),
            candidate(
                "a", rocksalt(), -3.2, spacegroup_after=225, symprec=0.1, e_above_hull=0.0, provenance={"seed": 7}
            ),
            candidate("x", rocksalt(length=9), -9.0, relaxation_status="rejected_volume"),
        ]
    )


def test_names_carry_rank_formula_and_space_group() -> None:
    assert cif_name(candidate("a", rocksalt(), spacegroup_after=225), 1) == "001_NaCl_225.cif"
    assert cif_name(candidate("a", perovskite()), 12) == "012_SrTiO3_000.cif"


def test_every_format_holds_the_same_cells(tmp_path: Path) -> None:
    ranked = some()
    paths = write_files(ranked, tmp_path)
    assert sorted(p.name for p in tmp_path.glob("*.cif")) == ["001_NaCl_225.cif", "002_NaCl_221.cif"]
    table = pq.read_table(paths["parquet"]).to_pylist()
    assert [(r["rank"], r["id"], r["file"]) for r in table] == [
        (1, "a", "001_NaCl_225.cif"),
        (2, "b", "002_NaCl_221.cif"),
        (3, "x", None),
    ]
    assert table[2]["energy_std"] is None
    assert json.loads(table[0]["provenance"]) == {"seed": 7}
    frames = read(paths["extxyz"], index=":", format="extxyz")
    entries = [json.loads(line) for line in paths["optimade"].read_text().splitlines()][1:]
    same = StructureMatcher(ltol=0.001, stol=0.001, angle_tol=0.01, primitive_cell=False)
    for c, row, frame, entry in zip(ranked[:2], table, frames, entries, strict=False):
        wanted = c.crystal.to_pymatgen()
        cif = Structure.from_file(tmp_path / row["file"], primitive=False)
        assert same.fit(cif, wanted)
        assert row["lattice"] == pytest.approx(c.crystal.lattice.ravel().tolist(), abs=0)
        assert frame.cell.array == pytest.approx(c.crystal.lattice)
        assert frame.get_potential_energy() == pytest.approx(c.energy_per_atom * c.crystal.n_atoms)
        assert entry["attributes"]["lattice_vectors"] == c.crystal.lattice.tolist()
        assert Structure.from_file(tmp_path / "symmetrized" / row["file"]).composition.reduced_formula == "NaCl"


def test_two_candidates_of_one_id_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="ids repeat"):
        write_files([candidate("a", rocksalt()), candidate("a", rocksalt())], tmp_path)


def test_optimade_entries_pass_the_models_of_the_standard() -> None:
    from optimade.models import StructureResource

    entry = optimade_entry(candidate("p", perovskite(), -8.0, spacegroup_after=221))
    entry["attributes"]["last_modified"] = "2026-01-01T00:00:00Z"
    resource = StructureResource(**entry)
    assert resource.attributes.chemical_formula_reduced == "O3SrTi"
    assert resource.attributes.chemical_formula_anonymous == "A3BC"
    assert entry["attributes"]["_dao_energy_per_atom"] == -8.0


def test_a_structure_whose_symmetry_cannot_be_found_is_still_written() -> None:
    """Atoms closer than the tolerance make spglib give up."""
    close = Crystal(np.eye(3) * 4.0, [[0, 0, 0], [0.001, 0, 0], [0.5, 0.5, 0.5]], np.array([11, 11, 17]))
    text = symmetrized_cif(candidate("x", close, symprec=0.1))
    assert text.startswith("# no symmetry could be found")
    written = CifParser.from_str(text.split("\n", 1)[1], site_tolerance=1e-6)
    assert len(written.parse_structures(primitive=False)[0]) == 3
    left = close.replace(lattice=-close.lattice)  # a CIF has no left-handed cells: as it stands it would be mirrored
    assert symmetrized_cif(candidate("x", left, symprec=0.1)).endswith(left.to_cif())
