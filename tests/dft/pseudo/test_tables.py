"""Tables of SSSP and PseudoDojo: they choose files, bind them to checksums and give cutoffs."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from dao_core.dft.pseudo.install import install_folder
from dao_core.dft.pseudo.library import PseudopotentialError
from dao_core.dft.pseudo.tables import read_tables
from tests.helpers.fake_pw import upf_text


def md5(text: str) -> str:
    return hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()


def sssp(element: str, name: str, text: str) -> dict[str, Any]:
    return {element: {"filename": name, "md5": md5(text), "cutoff_wfc": 45.0, "cutoff_rho": 360.0}}


def dojo(element: str, name: str, text: str) -> dict[str, Any]:
    hints = {level: {"ecut": ecut} for level, ecut in (("low", 14.0), ("normal", 18.0), ("high", 24.0))}
    return {"pseudos_metadata": {element: {"basename": name, "md5": md5(text), "hints": hints}}}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    source = tmp_path / "library"
    source.mkdir()
    (source / "Si.pbe-n.UPF").write_text(upf_text("Si"))
    return source


def test_cutoffs_of_both_kinds_of_table(folder: Path, tmp_path: Path) -> None:
    (folder / "SSSP_1.3.json").write_text(json.dumps(sssp("Si", "Si.pbe-n.UPF", upf_text("Si"))))
    library, refused = install_folder(folder, tmp_path / "sssp")
    assert refused == {}
    assert library.cutoffs(["Si"], "low") == (45.0, 360.0)
    (folder / "SSSP_1.3.json").unlink()
    (folder / "standard.djson").write_text(json.dumps(dojo("Si", "Si.pbe-n.UPF", upf_text("Si"))))
    library, _ = install_folder(folder, tmp_path / "dojo")
    assert [library.cutoffs(["Si"], level)[0] for level in ("low", "normal", "high")] == [28.0, 36.0, 48.0]


@pytest.mark.parametrize("table", [sssp, dojo])
def test_a_file_that_is_not_the_table_s_is_refused(folder: Path, tmp_path: Path, table: Any) -> None:
    (folder / "table.json").write_text(json.dumps(table("Si", "Si.pbe-n.UPF", "another file")))
    with pytest.raises(PseudopotentialError, match="checksum differs"):
        install_folder(folder, tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_the_table_chooses_among_several_files(folder: Path, tmp_path: Path) -> None:
    (folder / "Si.pbe-old.UPF").write_text(upf_text("Si", valence=12))
    (folder / "SSSP.json").write_text(json.dumps(sssp("Si", "Si.pbe-n.UPF", upf_text("Si"))))
    library, _ = install_folder(folder, tmp_path / "out")
    assert library.select(["Si"])["Si"].path.name == "Si.pbe-n.UPF"


@pytest.mark.parametrize("text", ["[1, 2]", '{"Si": 3}', "{", '{"pseudos_metadata": {"Si": {"hints": {}}}}'])
def test_other_json_files_are_passed_over(folder: Path, text: str) -> None:
    (folder / "notes.json").write_text(text)
    assert read_tables(folder) == {}
