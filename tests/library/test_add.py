from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.crysdb.sources.settings import MaterialsProjectConfig, OptimadeConfig, OqmdConfig
from dao_core.library.add import add_source, source_config
from dao_core.library.folder import Library, LibraryError, open_library
from dao_core.library.known import known_structures
from tests.helpers.structures import rocksalt


def test_a_file_of_one_s_own_joins_the_library(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "mine.cif"
    path.write_text(rocksalt("Li", "F", 4.03).to_cif())
    made = add_source(str(path), library.folder)
    assert [s.name for s in made.sources] == ["delta-elements", "oqmd-icsd", "file-mine", "aflow-encyclopedia", "amcsd"]
    (found,) = known_structures(made, "LiF")
    assert found.source == "file-mine"
    assert known_structures(made, "NaCl")


def test_the_folder_may_have_a_space_and_letters_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "mine.cif"
    path.write_text(rocksalt("Li", "F", 4.03).to_cif())
    for _ in range(2):  # what is there already is checked before it is replaced
        made = add_source(str(path), tmp_path / "\u00e4 b")
    assert [found.source for found in known_structures(made, "LiF")] == ["file-mine"]


def test_a_file_without_a_crystal_leaves_the_library_as_it_was(library: Library, tmp_path: Path) -> None:
    path = tmp_path / "bad.json"
    path.write_text('[{"material_id": "x"}]')
    with pytest.raises(LibraryError, match="no usable structure"):
        add_source(str(path), library.folder)
    found = open_library(library.folder)
    assert found is not None
    assert found.content == library.content


def test_a_name_that_is_nothing_is_refused_with_what_there_is(tmp_path: Path) -> None:
    with pytest.raises(LibraryError, match=r"materials-project, alexandria, oqmd, cod"):
        add_source("alexandra", tmp_path)


def test_providers_need_no_key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    project, alexandria, oqmd = (source_config(n) for n in ("materials-project", "alexandria", "oqmd"))
    assert isinstance(project, OptimadeConfig)
    assert isinstance(alexandria, OptimadeConfig)
    assert alexandria.functional != project.functional  # hulls of their own
    assert isinstance(oqmd, OqmdConfig)
    assert oqmd.route == "optimade"
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    assert isinstance(source_config("materials-project", filter="Li-O"), MaterialsProjectConfig)
