"""`dao relax`: every structure of every file gets a result; what cannot be read is told and keeps the rest."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest

from dao_core.energy.registry import load_potential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.readers.read import read_structures
from tests.helpers.cif_text import cif
from tests.helpers.cli import dao
from tests.helpers.structures import rocksalt

FAST = ("--steps", "0", "--potential", "dao")


def table(folder: Path) -> list[dict[str, str]]:
    return list(csv.DictReader((folder / "relaxed.csv").read_text().splitlines()))


def test_equal_names_frames_and_blocks_all_have_results(tmp_path: Path) -> None:
    for folder, length in (("a", 5.6), ("b", 5.7)):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.cif").write_text(rocksalt(length=length).to_cif())
    frames = rocksalt().to_extxyz() + "\n" + rocksalt(length=5.8).to_extxyz()
    (tmp_path / "run.xyz").write_text(frames)
    (tmp_path / "POSCAR").write_text(rocksalt().to_pymatgen().to(fmt="poscar"))
    bad = cif("4 4 4", ["Wat1 0 0 0"])
    (tmp_path / "bad.cif").write_text(bad)
    result = dao("relax", "a/x.cif", "b/x.cif", "run.xyz", "POSCAR", "bad.cif", *FAST, "--out", "done", cwd=tmp_path)
    assert result.returncode == 1, result.stderr  # one could not be read
    written = sorted(p.name for p in (tmp_path / "done").glob("*.cif"))
    assert written == ["POSCAR.cif", "run_1.cif", "run_2.cif", "x.cif", "x_2.cif"]
    lines = table(tmp_path / "done")
    assert [(r["file"], r["result"]) for r in lines] == [
        ("bad.cif", ""), ("a/x.cif", "x.cif"), ("b/x.cif", "x_2.cif"), ("run.xyz frame 0", "run_1.cif"),
        ("run.xyz frame 1", "run_2.cif"), ("POSCAR", "POSCAR.cif"),
    ]  # fmt: skip
    assert "'Wat1' is no single element" in lines[0]["reason"]
    volumes = [read_structures(tmp_path / "done" / n)[0].value.volume for n in ("x.cif", "x_2.cif")]  # type: ignore[union-attr]
    assert volumes[0] < volumes[1]


def test_the_folder_is_checked_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(rocksalt().to_cif())
    (tmp_path / "taken").write_text("a file")
    for out in ("taken", "taken/below"):
        result = dao("relax", "x.cif", *FAST, "--out", out, cwd=tmp_path)
        assert result.returncode == 2
        assert f"--out {out}" in result.stderr
        assert "Traceback" not in result.stderr


def test_results_never_take_the_place_of_a_file_that_is_read_or_of_somebody_else(tmp_path: Path) -> None:
    text = rocksalt().to_cif()
    (tmp_path / "x.cif").write_text(text)
    result = dao("relax", "x.cif", *FAST, "--out", ".", cwd=tmp_path)
    assert result.returncode == 2
    assert "x.cif is read and would be overwritten" in result.stderr
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "x.cif").write_text("mine")
    result = dao("relax", "x.cif", *FAST, "--out", "out", cwd=tmp_path)
    assert result.returncode == 2
    assert "is there already" in result.stderr
    assert ((tmp_path / "x.cif").read_text(), (tmp_path / "out" / "x.cif").read_text()) == (text, "mine")
    for _ in range(2):  # its own results may be written anew
        result = dao("relax", "x.cif", *FAST, "--out", "done", "--json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    row = json.loads(result.stdout)["tables"][0]["rows"][0]
    assert isinstance(row["energy_per_atom"], float)
    assert isinstance(row["fmax"], float)
    (kept,) = table(tmp_path / "done")
    exact = relax([read_structures(tmp_path / "x.cif")[0].value], load_potential("dao"), RelaxSettings(max_steps=0))[0]
    for name in ("energy_per_atom", "fmax"):  # every digit, in the file too
        assert row[name] == float(kept[name]) == pytest.approx(getattr(exact, name), rel=1e-12)


def test_results_of_earlier_runs_in_the_folder_stay_its_own(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.cif").write_text(rocksalt().to_cif())
    for name in ("x", "y", "x"):
        result = dao("relax", f"{name}.cif", *FAST, "--out", "done", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
    listed = list(csv.DictReader((tmp_path / "done" / "relaxed.csv").read_text().splitlines()))
    assert sorted(row["result"] for row in listed) == ["x.cif", "y.cif"]


def test_nothing_readable_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text("data_x\n")
    result = dao("relax", "x.cif", "missing.cif", *FAST, cwd=tmp_path)
    assert result.returncode == 2
    assert "none of 2 files could be read; the first: " in result.stderr
    (tmp_path / "y.cif").write_text(rocksalt().to_cif().replace("_symmetry_", "_unknown_").replace("_space_", "_my_"))
    result = dao("relax", "y.cif", *FAST, cwd=tmp_path)
    assert result.returncode == 2
    assert "y.cif: " in result.stderr
    assert "none of" not in result.stderr


def test_a_pressure_beyond_solids_is_refused_as_in_a_screening(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(rocksalt().to_cif())
    words = "pressures are in GPa, between -50 and 1000"
    for pressure in ("nan", "1e9"):
        alone = dao("relax", "x.cif", *FAST, "--pressure", pressure, cwd=tmp_path)
        screened = dao("screen", "NaCl", "--pressure", pressure, "--generator", "none", cwd=tmp_path)
        for result in (alone, screened):
            assert result.returncode == 2
            assert words in result.stderr
            assert "Traceback" not in result.stderr
    assert not (tmp_path / "relaxed").exists()


def test_a_pressure_on_a_cell_that_is_kept_is_refused_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(rocksalt().to_cif())
    result = dao("relax", "x.cif", *FAST, "--keep-cell", "--pressure", "50", cwd=tmp_path)
    assert result.returncode == 2
    assert "a pressure has no effect on a cell that is kept" in result.stderr
    assert "Traceback" not in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "relaxed").exists()


def test_what_lies_outside_the_models_data_says_so(tmp_path: Path) -> None:
    (tmp_path / "dense.cif").write_text(rocksalt(length=3.6).to_cif())
    (tmp_path / "usual.cif").write_text(rocksalt().to_cif())
    result = dao("relax", "dense.cif", "usual.cif", *FAST, "--out", "done", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    shown = {row["file"]: row["reason"] or "" for row in json.loads(result.stdout)["tables"][0]["rows"]}
    assert "was trained on: " in shown["dense.cif"]
    assert "of the usual density" in shown["dense.cif"]
    assert "was trained on" not in shown["usual.cif"]
    assert {row["file"]: row["reason"] for row in table(tmp_path / "done")} == shown
