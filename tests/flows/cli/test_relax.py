"""`dao relax`: every structure of every file gets a result; what cannot be read is told and keeps the rest."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
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


def test_every_row_says_whose_energy_it_has_and_at_which_pressure(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / f"{name}.cif").write_text(rocksalt().to_cif())
    old = tmp_path / "done" / "old.cif"
    old.parent.mkdir()
    old.write_text(rocksalt().to_cif())
    header = "file,status,energy_per_atom,steps,fmax,reason,result"  # of the version before
    (tmp_path / "done" / "relaxed.csv").write_text(f"{header}\n{old.name},converged,-3.5,7,0.01,,{old.name}\n")
    first = dao("relax", "x.cif", *FAST, "--out", "done", cwd=tmp_path)
    assert first.returncode == 0, first.stderr
    assert "a row without them is of an earlier version" in first.stdout
    (tmp_path / "done" / "old.cif").unlink()
    alike = dao("relax", "y.cif", *FAST, "--out", "done", cwd=tmp_path)
    assert alike.returncode == 0, alike.stderr
    assert "note: " not in alike.stdout
    pressed = dao("relax", "y.cif", *FAST, "--pressure", "10", "--out", "done", "--json", cwd=tmp_path)
    assert "compare only rows with the same energy_identity, energy_kind and pressure_gpa" in pressed.stderr
    (shown,) = json.loads(pressed.stdout)["tables"][0]["rows"]
    identity = load_potential("dao").identity
    assert (shown["energy_identity"], shown["energy_kind"], shown["pressure_gpa"]) == (identity, "formation", 10.0)
    named = [(r["file"], r["energy_identity"], r["energy_kind"], r["pressure_gpa"]) for r in table(tmp_path / "done")]
    assert named == [("x.cif", identity, "formation", "0.0"), ("y.cif", identity, "formation", "10.0")]


def test_a_table_of_somebody_else_is_refused_before_the_work(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(rocksalt().to_cif())
    (tmp_path / "done").mkdir()
    for content in (b"name,energy\nx,1\n", "file,status,energy_per_atom\n\u00e9,,\n".encode("latin-1"), b""):
        (tmp_path / "done" / "relaxed.csv").write_bytes(content)
        result = dao("relax", "x.cif", *FAST, "--out", "done", cwd=tmp_path)
        assert result.returncode == 2
        assert "done/relaxed.csv is no table of `dao relax`, or was changed: move it away" in result.stderr
        assert len(result.stderr.strip().splitlines()) == 1
        assert [(p.name, p.read_bytes()) for p in (tmp_path / "done").iterdir()] == [("relaxed.csv", content)]


def test_a_name_of_an_old_encoding_is_spelled_out(tmp_path: Path) -> None:
    name = os.fsdecode(b"caf\xe9.cif")
    (tmp_path / name).write_text(rocksalt().to_cif())
    for _ in range(2):
        result = dao("relax", name, *FAST, "--out", "done", "--json", cwd=tmp_path)
        assert result.returncode == 0, result.stderr
        (shown,) = json.loads(result.stdout)["tables"][0]["rows"]
        (kept,) = table(tmp_path / "done")
        assert shown["file"] == kept["file"] == "caf\\xe9.cif"
        assert (tmp_path / "done" / kept["result"]).is_file()
    listed = dao("status", cwd=tmp_path)
    assert listed.returncode == 0, listed.stderr


def test_links_that_lead_in_a_circle_are_one_row_and_keep_the_rest(tmp_path: Path) -> None:
    (tmp_path / "x.cif").write_text(rocksalt().to_cif())
    (tmp_path / "a.cif").symlink_to("b.cif")
    (tmp_path / "b.cif").symlink_to("a.cif")
    result = dao("relax", "a.cif", "x.cif", *FAST, "--out", "done", cwd=tmp_path)
    assert result.returncode == 1, result.stderr
    assert "Traceback" not in result.stderr
    assert [(r["file"], r["result"]) for r in table(tmp_path / "done")] == [("a.cif", ""), ("x.cif", "x.cif")]


def test_a_kill_amid_the_results_leaves_none_that_the_next_run_takes_for_somebody_elses(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dao_core import artifacts
    from flows.cli.relax import relax_files

    for name in ("x", "y"):
        (tmp_path / f"{name}.cif").write_text(rocksalt().to_cif())
    monkeypatch.chdir(tmp_path)
    write = artifacts.write_atomic

    def killed_at_y(path: Path, data: str | bytes) -> None:
        if path.name == "y.cif":
            raise KeyboardInterrupt
        write(path, data)

    def work() -> int:
        return relax_files([Path("x.cif"), Path("y.cif")], Path("done"), "dao", {"max_steps": 0})

    monkeypatch.setattr(artifacts, "write_atomic", killed_at_y)
    with pytest.raises(KeyboardInterrupt):
        work()
    monkeypatch.setattr(artifacts, "write_atomic", write)
    assert [(r["status"], r["energy_per_atom"]) for r in table(tmp_path / "done")] == [("interrupted", "")] * 2
    assert work() == 0
    assert "interrupted" not in {r["status"] for r in table(tmp_path / "done")}


STOPPED = """
import os, signal
from flows.cli import relax
from flows.cli.main import main

relax.relax_files = lambda *_: os.kill(os.getpid(), signal.SIGINT)
main()
"""


def test_what_is_stopped_says_that_it_starts_again_as_the_questions_page_does() -> None:
    done = subprocess.run(
        [sys.executable, "-c", STOPPED, "relax", "x.cif"], capture_output=True, text=True, check=False, timeout=120
    )
    assert done.returncode == 130
    assert done.stderr == "\nstopped; the same command starts again from the beginning\n"
    page = Path(__file__).resolve().parents[3] / "docs" / "faq.md"
    assert "`dao predict` and `dao relax` start again from the beginning" in page.read_text()


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
