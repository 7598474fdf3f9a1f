from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.crysdb.export import (
    PROVIDER_FIELDS,
    extxyz_text,
    optimade_resource,
    pack,
    provider_config,
    write_extxyz,
    write_optimade,
)
from dao_core.crysdb.schema import CrysRecord, records_to_table
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import MappingOptions
from tests.helpers.records import perovskite, record, rocksalt, salt_records


def test_extxyz_reads_back_exactly(tmp_path: Path) -> None:
    rows = [record("a", perovskite(), -7.0, forces=np.full((5, 3), 0.25), e_above_hull=0.1), record("b", rocksalt())]
    assert write_extxyz([records_to_table(rows)], tmp_path / "out.xyz") == 2
    items = FileSource(tmp_path / "out.xyz", MappingOptions(name="x", functional="f")).iter_records()
    first, second = (item.record for item in items)
    assert first is not None
    assert second is not None
    assert first.material_id == "a"
    assert first.energy_per_atom == pytest.approx(-7.0)
    assert first.forces is not None
    assert np.array_equal(first.forces, rows[0].forces)
    assert first.relaxation == "frame"  # nobody said what it is, and its forces are large
    assert np.allclose(first.lattice, rows[0].lattice, atol=1e-12)
    assert second.energy_per_atom is None


def test_what_was_relaxed_stays_so_and_structures_at_rest_are_no_frames(tmp_path: Path) -> None:
    still = np.full((2, 3), 0.01)
    rows = [
        record("a", rocksalt(), -3.4, forces=np.full((2, 3), 0.25), relaxation="converged", parent_id="p"),
        record("b", rocksalt(), -3.4, forces=still),
    ]
    write_extxyz([records_to_table(rows)], tmp_path / "out.xyz")
    items = FileSource(tmp_path / "out.xyz", MappingOptions(name="x", functional="f")).iter_records()
    found = [(item.record.relaxation, item.record.parent_id) for item in items if item.record]
    assert found == [("converged", "p"), (None, None)]


def test_any_id_and_every_number_come_back_equal(tmp_path: Path) -> None:
    ids = [
        "0012",
        "an id",
        "2e7",
        "F",
        "None",
        "k=v",
        'say "so"',
        "back\\slash",
        "{1}",
        "[2,3]",
        "a,b",
        "ü#",
        "'x'",
        "a\nb",
    ]
    stress = np.array([[0.01, 0.002, 0.003], [0.002, 0.02, 0.004], [0.003, 0.004, 1 / 3]])
    forces = np.random.default_rng(0).normal(size=(5, 3))
    rows = [record(i, perovskite(), -7.1 / 3, forces=forces, stress=stress) for i in ids]
    write_extxyz([records_to_table(rows)], tmp_path / "out.xyz")
    source = FileSource(tmp_path / "out.xyz", MappingOptions(name="x", functional="f"))
    back = [item.record for item in source.iter_records()]
    assert [r and r.material_id for r in back] == ids
    for again, row in zip(back, rows, strict=True):
        assert again is not None
        assert again.energy_per_atom == row.energy_per_atom
        np.testing.assert_array_equal(again.forces, row.forces)  # type: ignore[arg-type]
        np.testing.assert_array_equal(again.stress, row.stress)  # type: ignore[arg-type]


AWKWARD = [
    "0000844",
    "my id",
    "1e5",
    "T",
    "a=b",
    'quo"te',
    "it's",
    "mp-149",
    "7_1",
    "ÅΩ",
    "x,y",
    "[1,2]",
    "nan",
    "-inf",
    "1_0.5",
    "back\\slash",
    "tab\there",
    "two\nlines",
    "{}",
    "_JSON 1",
    " lead",
    "T F",
    "#",
    "0x10",
    "",
    "ends\\",
]


def labelled(name: str, k: int) -> CrysRecord:
    stress = np.array([[0.01, 0.002, 0.003], [0.002, 0.02, 0.004], [0.003, 0.004, 0.03]]) / (k + 3)
    forces = np.random.default_rng(k).normal(size=(5, 3))
    return record(name, perovskite(edge=3.9 + k / 7), -7.0 - k / 3, forces=forces, stress=stress,
                  functional="PBE+U (x=1)", energy_correction_per_atom=-k / 9)  # fmt: skip


def test_any_id_and_all_numbers_come_back_from_extxyz(tmp_path: Path) -> None:
    from ase.io import read

    rows = [labelled(name, k) for k, name in enumerate(AWKWARD)]
    assert write_extxyz([records_to_table(rows)], tmp_path / "out.extxyz") == len(rows)
    frames = read(tmp_path / "out.extxyz", index=":")
    assert [a.info["material_id"] for a in frames] == AWKWARD
    assert {a.info["functional"] for a in frames} == {"PBE+U (x=1)"}
    for row, atoms in zip(rows, frames, strict=True):
        assert atoms.get_potential_energy() == pytest.approx(row.energy_per_atom * 5, rel=1e-15)  # type: ignore[operator]
        assert np.array_equal(atoms.get_forces(), row.forces)  # type: ignore[arg-type]
        assert np.array_equal(atoms.get_stress(voigt=False), row.stress)  # type: ignore[arg-type]
    items = list(FileSource(tmp_path / "out.extxyz", MappingOptions(name="x", functional="f")).iter_records())
    for row, item in zip(rows, items, strict=True):
        again = item.record
        assert again is not None
        assert again.material_id == (row.material_id or again.material_id)  # an empty id is named by file and frame
        assert again.energy_per_atom == row.energy_per_atom
        assert again.energy_correction_per_atom == row.energy_correction_per_atom
        assert np.array_equal(again.forces, row.forces)  # type: ignore[arg-type]
        assert np.array_equal(again.stress, row.stress)  # type: ignore[arg-type]


@given(st.text(alphabet=st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20))
@settings(max_examples=200, deadline=None)
def test_any_text_is_read_back_by_ase(text: str) -> None:
    from ase.io.extxyz import key_val_str_to_dict

    assert key_val_str_to_dict(f"a={extxyz_text(text)} b=1") == {"a": text, "b": 1}


def test_optimade_resources_pass_the_reference_model(tmp_path: Path) -> None:
    from optimade.models import StructureResource

    table = records_to_table(salt_records())
    path = tmp_path / "structures.jsonl"
    assert write_optimade([table], path) == 6
    header, *lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert header["x-optimade"]["meta"]["api_version"] == "1.1.0"
    for line in lines:
        attributes = {k: v for k, v in line["attributes"].items() if k not in PROVIDER_FIELDS}
        StructureResource(**{**line, "attributes": {**attributes, "immutable_id": None}})
    salt = next(x for x in lines if x["id"] == "test-salt")
    assert salt["attributes"]["chemical_formula_reduced"] == "ClNa"
    assert salt["attributes"]["energy_per_atom"] == -3.4
    assert provider_config(path)["insert_from_jsonl"] == str(path)


def test_anonymous_formula_counts_down() -> None:
    resource = optimade_resource(record("a", perovskite()))
    assert resource["attributes"]["chemical_formula_anonymous"] == "A3BC"
    assert resource["attributes"]["elements_ratios"] == [0.6, 0.2, 0.2]


def test_packed_arrays_are_what_the_loader_reads(tmp_path: Path) -> None:
    from dao_core.training.packed import PackedCrystals, SizedBatches

    rows = [record("a", perovskite(), -7.0, e_above_hull=0.1), record("b\nc", rocksalt(), -3.4)]
    assert pack([records_to_table(rows[:1]), records_to_table(rows[1:])], tmp_path / "packed.npz") == 2
    data = PackedCrystals.load(tmp_path / "packed.npz")
    assert len(data) == 2
    assert data.n_atoms.tolist() == [5, 2]
    assert np.allclose(data.crystal(0).frac_coords, perovskite().frac_coords)
    assert data.labels["energy_per_atom"].tolist() == pytest.approx([-7.0, -3.4])
    assert np.isnan(data.labels["e_above_hull"][1])
    assert (tmp_path / "packed.npz.ids.txt").read_text().split("\n") == ["a", "b c", ""]  # a line for each row
    batch = next(iter(SizedBatches(data, batch_size=2, seed=0)))
    assert len(batch.crystals) == 2


def test_nothing_to_pack_says_so(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="another view"):
        pack([records_to_table([])], tmp_path / "packed.npz")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_export_leaves_the_old_file(tmp_path: Path) -> None:
    path = tmp_path / "out.xyz"
    path.write_text("old")

    def tables():  # type: ignore[no-untyped-def]
        yield records_to_table(salt_records())
        raise OSError("no space left on device")

    with pytest.raises(OSError, match="no space"):
        write_extxyz(tables(), path)
    assert path.read_text() == "old"
    assert len(list(tmp_path.iterdir())) == 1
