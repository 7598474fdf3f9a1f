from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from threading import Event, Thread
from typing import Any

import pytest

from dao_core.crysdb.sources.settings import MaterialsProjectConfig, OptimadeConfig, OqmdConfig
from dao_core.library import build as library_build
from dao_core.library.add import add_source, remove_source, source_config
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


def test_what_was_understood_rather_than_read_is_kept_with_the_source(tmp_path: Path) -> None:
    path = tmp_path / "mine.xyz"
    path.write_text(rocksalt("Li", "F", 4.03).to_extxyz().replace("F ", "D "))
    made = add_source(str(path), tmp_path / "library")
    assert made.sources[0].notes == {"D is read as H": 1}


def test_the_folder_may_have_a_space_and_letters_beyond_ascii(tmp_path: Path) -> None:
    path = tmp_path / "mine.cif"
    path.write_text(rocksalt("Li", "F", 4.03).to_cif())
    for _ in range(2):  # what is there already is checked before it is replaced
        made = add_source(str(path), tmp_path / "\u00e4 b")
    assert [found.source for found in known_structures(made, "LiF")] == ["file-mine"]


def poscar(path: Path, *elements_and_a: object) -> str:
    path.parent.mkdir(exist_ok=True)
    path.write_text(rocksalt(*elements_and_a).to_pymatgen().to(fmt="poscar"))  # type: ignore[arg-type]
    return str(path)


def test_two_files_of_one_name_are_two_sources(tmp_path: Path) -> None:
    root = tmp_path / "library"
    add_source(poscar(tmp_path / "a" / "POSCAR", "Na", "Cl", 5.64), root)
    made = add_source(poscar(tmp_path / "b" / "POSCAR", "Li", "F", 4.03), root)
    assert [s.name for s in made.sources] == ["file-POSCAR", "file-b-POSCAR"]
    assert [s.origin for s in made.sources] == [str(tmp_path / "a" / "POSCAR"), str(tmp_path / "b" / "POSCAR")]
    assert [k.material_id for k in known_structures(made, "NaCl")] == ["POSCAR"]
    assert [k.material_id for k in known_structures(made, "LiF")] == ["b-POSCAR"]  # an id counts once in a database


def test_a_file_of_the_name_of_one_in_a_folder_takes_nothing_from_it(tmp_path: Path) -> None:
    root = tmp_path / "library"
    poscar(tmp_path / "all" / "POSCAR", "Na", "Cl", 5.64)
    add_source(str(tmp_path / "all"), root)
    made = add_source(poscar(tmp_path / "b" / "POSCAR", "Li", "F", 4.03), root)
    assert [s.name for s in made.sources] == ["file-POSCAR", "file-all"]
    assert [k.material_id for k in known_structures(made, "NaCl")] == ["POSCAR"]
    assert [k.material_id for k in known_structures(made, "LiF")] == ["POSCAR-POSCAR"]


def test_the_same_file_again_takes_its_own_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "library"
    add_source(poscar(tmp_path / "a" / "POSCAR", "Na", "Cl", 5.64), root)
    add_source(poscar(tmp_path / "b" / "POSCAR", "Li", "F", 4.03), root)
    poscar(tmp_path / "b" / "POSCAR", "Mg", "O", 4.21)
    monkeypatch.chdir(tmp_path)
    made = add_source("b/POSCAR", root)
    assert [s.name for s in made.sources] == ["file-POSCAR", "file-b-POSCAR"]
    assert known_structures(made, "MgO")
    assert known_structures(made, "NaCl")
    assert not known_structures(made, "LiF")


def test_only_the_ending_of_a_file_s_name_is_none_of_its_name(tmp_path: Path) -> None:
    for i, a in ((1, 5.64), (2, 5.9)):
        (tmp_path / f"lab.v{i}.cif").write_text(rocksalt("Na", "Cl", a).to_cif())
        made = add_source(str(tmp_path / f"lab.v{i}.cif"), tmp_path / "library")
    assert [s.name for s in made.sources] == ["file-lab.v1", "file-lab.v2"]


def test_two_adds_at_once_both_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The second begins while the first builds, which has then read what is collected already."""
    root = tmp_path / "library"
    salt, fluoride = poscar(tmp_path / "salt", "Na", "Cl", 5.64), poscar(tmp_path / "fluoride", "Li", "F", 4.03)
    waits = Event()

    def log(line: str) -> None:
        if line.startswith("waiting: "):
            waits.set()

    second = Thread(target=lambda: add_source(fluoride, root, log=log))
    build = library_build.build

    def build_beside_another(*args: Any, **kwargs: Any) -> Any:
        if not second.ident:
            second.start()
            assert waits.wait(60)
        return build(*args, **kwargs)

    monkeypatch.setattr(library_build, "build", build_beside_another)
    add_source(salt, root)
    second.join()
    made = open_library(root)
    assert made is not None
    assert [s.name for s in made.sources] == ["file-fluoride", "file-salt"]
    assert known_structures(made, "NaCl")
    assert known_structures(made, "LiF")


KILLED_WHILE_IT_BUILDS = """
import os, signal, sys
import dao_core.library.build as library
from dao_core.library.add import add_source
if sys.argv[3] == "before":
    library.build = lambda *_, **__: os.kill(os.getpid(), signal.SIGTERM)
else:
    library.write_stage = lambda *_: os.kill(os.getpid(), signal.SIGTERM)
add_source(sys.argv[1], sys.argv[2])
"""


@pytest.mark.parametrize("when", ["before", "after"])
def test_an_add_that_was_killed_does_not_enter_later(library: Library, tmp_path: Path, when: str) -> None:
    """Whether the build's table was published or not; the same command goes on without reading again."""
    killed, other = poscar(tmp_path / "a" / "killed", "Li", "F", 4.03), poscar(tmp_path / "other", "K", "F", 5.34)
    command = [sys.executable, "-c", KILLED_WHILE_IT_BUILDS, killed, str(library.folder), when]
    assert subprocess.run(command, check=False).returncode < 0
    made = add_source(other, library.folder)
    assert "file-other" in [s.name for s in made.sources]
    assert "file-killed" not in [s.name for s in made.sources]
    assert not known_structures(made, "LiF")
    made = add_source(killed, library.folder)
    assert known_structures(made, "LiF")
    assert known_structures(made, "KF")


def test_what_was_added_can_be_removed(library: Library, tmp_path: Path) -> None:
    add_source(poscar(tmp_path / "a" / "POSCAR", "Li", "F", 4.03), library.folder)
    add_source(poscar(tmp_path / "b" / "POSCAR", "K", "F", 5.34), library.folder)
    with pytest.raises(LibraryError, match="file-x is no source of the library; these were added: file-POSCAR, file-b"):
        remove_source("file-x", library.folder)
    with pytest.raises(LibraryError, match="oqmd-icsd belongs to what `dao library install` brings"):
        remove_source("oqmd-icsd", library.folder)
    made = remove_source("file-POSCAR", library.folder)
    assert made is not None
    assert "file-POSCAR" not in [s.name for s in made.sources]
    assert not known_structures(made, "LiF")
    assert known_structures(made, "KF")
    again = remove_source("file-b-POSCAR", library.folder)
    assert again is not None
    assert (again.sources, again.n_structures) == (library.sources, library.n_structures)


def test_the_only_source_can_be_removed(tmp_path: Path) -> None:
    path = poscar(tmp_path / "mine", "Li", "F", 4.03)
    add_source(path, tmp_path / "library")
    assert remove_source("file-mine", tmp_path / "library") is None
    assert open_library(tmp_path / "library") is None
    assert [s.name for s in add_source(path, tmp_path / "library").sources] == ["file-mine"]


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
