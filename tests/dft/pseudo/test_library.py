"""The registry: checksums, headers, cutoffs, and refusal before anything runs."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from dao_core.artifacts import file_sha256
from dao_core.dft.pseudo.library import (
    MissingElementError,
    PseudoLibrary,
    PseudopotentialError,
    find_library,
    read_header,
    shipped_table,
)
from tests.helpers.fake_pw import upf_text


def test_cutoffs_are_the_largest_in_ry(library: PseudoLibrary) -> None:
    assert library.cutoffs(["Si", "O"], "normal") == (36.0, 144.0)


def test_missing_elements_are_named_all_at_once(library: PseudoLibrary) -> None:
    with pytest.raises(MissingElementError, match=r"U, Xe; run `dao validate setup`"):
        library.select(["Si", "Xe", "U"])
    with pytest.raises(MissingElementError, match="Xx: no element"):
        library.select(["Si", "Xx"])


def test_changed_file_is_refused(library: PseudoLibrary) -> None:
    path = library.folder / "Si.upf"
    path.write_text(path.read_text() + " ")
    with pytest.raises(PseudopotentialError, match="checksum differs"):
        library.select(["Si"])


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (upf_text("Ge"), "is for Ge, expected Si"),
        (upf_text("Si", functional="PBESOL"), "functionals are never mixed"),
        (upf_text("Si", full=True), "fully relativistic"),
        ("<html>not found</html>", "not a UPF 2 file"),
    ],
)
def test_wrong_header_is_refused_although_the_checksum_fits(library: PseudoLibrary, text: str, message: str) -> None:
    path = library.folder / "Si.upf"
    path.write_text(text)
    listing = json.loads((library.folder / "library.json").read_text())
    listing["elements"]["Si"]["sha256"] = file_sha256(path)
    (library.folder / "library.json").write_text(json.dumps(listing))
    with pytest.raises(PseudopotentialError, match=message):
        find_library(library.folder).select(["Si"])


def test_oncv_mesh_radius_is_no_cutoff(tmp_path: Path) -> None:
    path = tmp_path / "Si.upf"
    path.write_text(upf_text("Si"))
    assert read_header(path).ecutwfc is None
    path.write_text(upf_text("Si", extra='wfc_cutoff="4.4E+01"'))
    assert read_header(path).ecutwfc == 44.0


def test_library_without_cutoffs_says_so(library: PseudoLibrary) -> None:
    bare = PseudoLibrary("bare", "1", "PBE", library.folder, {"Si": {"sha256": library.select(["Si"])["Si"].sha256}})
    with pytest.raises(PseudopotentialError, match="set `ecutwfc`"):
        bare.cutoffs(["Si"], "low")


def test_functional_spelled_by_its_parts_is_the_same(tmp_path: Path) -> None:
    path = tmp_path / "Si.upf"
    path.write_text(upf_text("Si", functional=" SLA  PW   PBX  PBC "))
    assert read_header(path).functional == "PBE"


def test_identity_follows_the_files(library: PseudoLibrary) -> None:
    assert library.identity(["Si"]) != library.identity(["Si", "O"])
    assert library.identity(["O", "Si"]) == library.identity(["Si", "O"])


def test_configured_folder_wins_and_absence_is_said(
    library: PseudoLibrary, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("DAO_PSEUDO_DIR", str(library.folder))
    assert find_library().label == "test-1"
    with pytest.raises(PseudopotentialError, match="run `dao validate setup`"):
        find_library(tmp_path / "nowhere")


def test_shipped_table_is_whole() -> None:
    table = shipped_table()
    assert len(table["elements"]) == 72
    for row in table["elements"].values():
        assert len(row["sha256"]) == 64
        low, normal, high = row["cutoff_hartree"]
        assert 10 <= low < normal < high <= 65
