from __future__ import annotations

from pathlib import Path

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from dao_core.library.exclude import exclude_compositions
from dao_core.library.folder import Library
from dao_core.library.known import LibraryStructures, known_structures


def test_all_polymorphs_lowest_first_with_the_library_s_hull_distance(library: Library) -> None:
    found = known_structures(library, "ClNa")
    assert [k.material_id for k in found] == ["oqmd-icsd-101", "oqmd-icsd-102"]
    assert found[0].e_above_hull == 0.0  # the database's -0.3 says how far it makes the hull
    assert found[1].e_above_hull == pytest.approx(0.1)
    assert [k.spacegroup_number for k in found] == [225, 221]
    assert all(k.formula_reduced == "NaCl" for k in found)


def test_measured_structures_without_an_energy_come_last_and_unknown(library: Library) -> None:
    (only,) = known_structures(library, "FeCuO2")
    assert only.source == "aflow-encyclopedia"
    assert only.e_above_hull is None


def test_a_composition_that_is_not_there_is_empty(library: Library) -> None:
    assert known_structures(library, "LaB6") == []


def test_a_formula_is_found_whole_wherever_its_rows_end(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pq.read_table(library.structures_file)
    by_rows = {f: rows.filter(pc.equal(rows["formula_reduced"], f))["material_id"].to_pylist()
               for f in rows["formula_reduced"].unique().to_pylist()}  # fmt: skip
    cut = library.folder / "cut.parquet"
    pq.write_table(rows, cut, row_group_size=1)  # one formula lies in several row groups
    for path in (library.structures_file, cut):
        monkeypatch.setattr(Library, "structures_file", path)
        for formula, ids in by_rows.items():
            assert sorted(k.material_id for k in known_structures(library, formula)) == sorted(ids)


def test_a_search_asks_by_reduced_formula(library: Library) -> None:
    structures = LibraryStructures(library)
    assert {"NaCl", "TiO2", "SrTiO3", "ZnS"} <= structures.formulas()
    assert [k.material_id for k in structures.of_formula("ZnS")] == ["oqmd-icsd-103"]
    assert library.content in structures.source


def test_a_search_in_another_library_takes_its_templates_too(
    library: Library, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Else what was taken out of it would be answered by the templates of the user's own."""
    from dao_core.screening.load_models import installed_library, load_search_models, load_templates

    without = exclude_compositions(library, ["TiO2"], tmp_path / "without")
    monkeypatch.setenv("DAO_LIBRARY", str(library.folder))
    installed_library.cache_clear()
    own = load_templates("auto")
    other = load_search_models(library=str(without.library.folder), generator="none", judge="none").templates
    installed_library.cache_clear()
    assert own is not None
    assert other is not None
    assert not set(without.material_ids).isdisjoint(own.ids)
    assert set(without.material_ids).isdisjoint(other.ids)


def test_a_search_takes_the_templates_of_the_library(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    from dao_core.screening.load_models import installed_library, load_templates

    found = []
    for place in (library.folder / "nothing", library.folder):
        monkeypatch.setenv("DAO_LIBRARY", str(place))
        installed_library.cache_clear()
        found.append(load_templates("auto"))
    installed_library.cache_clear()
    shipped, own = found
    assert shipped is not None
    assert own is not None
    assert "oqmd-icsd-101" in own.ids
    assert "oqmd-icsd-101" not in shipped.ids
