"""`dao validate run` over the fake pw.x: named statuses, what is kept, and when the exit status is not zero."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dao_core.artifacts import file_sha256
from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.table import CrysTable
from dao_core.crystal import Crystal
from dao_core.dft.cutoff_convergence import ConvergenceReport, CutoffPoint
from dao_core.screening.report.files import write_files
from dao_core.screening.report.page import read_data, write_report
from dao_core.screening.report.page_data import ReportInfo
from flows.cli.console import json_output
from flows.cli.main import main
from flows.cli.pseudopotentials import print_convergence
from tasks.run_log import find_runs
from tests.helpers.candidates import candidate, cesium_chloride
from tests.helpers.fake_pw import FAKE_COMMAND, INFRA, nickel_oxide, silicon, upf_text
from tests.helpers.records import ListSource, salt_records

Dao = Callable[..., int]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A working folder with CIFs, header-only pseudopotentials and a plan for the fake pw.x."""
    pseudo = tmp_path / "pseudo"
    pseudo.mkdir()
    rows = {}
    for element, valence in (("Si", 4), ("Ni", 18), ("O", 6)):
        path = pseudo / f"{element}.upf"
        path.write_text(upf_text(element, valence=valence))
        rows[element] = {"sha256": file_sha256(path), "cutoff_hartree": [14, 18, 24]}
    listing = {"name": "test", "version": "1", "functional": "PBE", "elements": rows}
    (pseudo / "library.json").write_text(json.dumps(listing))
    (tmp_path / "si.cif").write_text(silicon().to_cif())
    (tmp_path / "nio.cif").write_text(nickel_oxide().to_cif())
    (tmp_path / "salt.cif").write_text(cesium_chloride().to_cif())
    (tmp_path / "bad.cif").write_text("nonsense")
    (tmp_path / "plan").write_text("")
    monkeypatch.setenv("FAKE_QE_PLAN", str(tmp_path / "plan"))
    monkeypatch.setenv("COLUMNS", "300")
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.fixture
def dao(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Dao:
    def run(*arguments: str, plan: str = "", command: str = FAKE_COMMAND) -> int:
        (folder / "plan").write_text(plan)
        (folder / "plan.count").unlink(missing_ok=True)
        options = ["--command", command, "--pseudo-dir", str(folder / "pseudo"), "--root", "dft", "--no-elements"]
        monkeypatch.setattr("sys.argv", ["dao", "validate", "run", *arguments, *options])
        with pytest.raises(SystemExit) as stop:
            main()
        return int(stop.value.code or 0)

    return run


def test_validated_kept_and_written_as_rows(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", "bad.cif") == 0
    out = capsys.readouterr().out
    assert "si.cif" in out
    assert "validated" in out
    assert "unreadable" in out
    assert "1 of 2 validated; 1 rows for CrysDB: dft/dft_rows/qe_PBE_QE_test_1_fast_" in out
    rows = pq.read_table(next(folder.glob("dft/dft_rows/qe_PBE_QE_test_1_fast_*.parquet"))).to_pylist()
    assert [(r["source"], r["parent_id"]) for r in rows] == [("qe", "si")]


def test_as_json_energies_have_every_digit(dao: Dao, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", "bad.cif", "--json") == 0
    validated, unreadable = json.loads(capsys.readouterr().out)["tables"][0]["rows"]
    kept = json.loads(next(Path("dft/first_principles").glob("si_*.json")).read_text())["record"]
    assert round(validated["eV/atom"], 6) == kept["energy"] != round(validated["eV/atom"], 4)
    assert unreadable["eV/atom"] is None


def test_convergence_as_json_has_every_digit(capsys: pytest.CaptureFixture[str]) -> None:
    low = CutoffPoint(20.5, "low", 0.001234567891, -1.98765432109, 3.14159)
    with json_output(["--json"]):
        print_convergence(ConvergenceReport("Si", (low, CutoffPoint(60.0, "high", 0.0, 0.0, 9.0))), "Si")
    first, last = json.loads(capsys.readouterr().out)["tables"][0]["rows"]
    assert first == {"ecutwfc": 20.5, "name": "low", "energy_difference_per_atom": 0.001234567891,
                     "pressure_difference_gpa": -1.98765432109, "seconds": 3.14159, "message": ""}  # fmt: skip
    assert last["energy_difference_per_atom"] == 0.0


def test_nothing_readable_is_the_users_mistake(dao: Dao, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("bad.cif", "missing.cif") == 2
    assert "none of 2 structures could be read; the first, bad.cif: " in capsys.readouterr().err


@pytest.mark.parametrize(
    ("plan", "status"),
    [("crashed\n" * 9, "code_failed"), ("unreadable\n" * 9, "code_failed"), ("disk_full\n" * 9, "disk_full")],
)
def test_everything_failed_is_status_1_with_a_name(
    dao: Dao, folder: Path, plan: str, status: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dao("si.cif", "nio.cif", plan=plan) == 1
    out = capsys.readouterr().out
    assert out.count(status) >= 2  # a line each
    assert "0 of 2 validated; 0 rows for CrysDB" in out
    assert list(folder.glob("dft/dft_*/*/round_*/espresso.pwi"))  # every file is kept


def test_one_failure_among_successes_is_status_0(dao: Dao, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", "nio.cif", plan="crashed") == 0
    out = capsys.readouterr().out
    assert "code_failed" in out
    assert "1 of 2 validated" in out


def test_a_missing_program_is_named_and_the_next_call_goes_on(dao: Dao, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", command="/nowhere/pw.x") == 1
    assert "pw_missing" in capsys.readouterr().out
    assert dao("si.cif") == 0


def test_a_missing_element_stops_before_anything_runs(
    dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dao("si.cif", "salt.cif") == 2
    assert "no pseudopotential for Cl, Na" in capsys.readouterr().err
    assert not (folder / "dft").exists()


def test_a_reference_of_two_elements_is_refused(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", "--reference", "nio.cif") == 2
    assert "nio.cif is NiO: give the structure of a pure element" in capsys.readouterr().err
    assert not (folder / "dft").exists()


def test_the_best_of_a_screening(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = Crystal(9 * np.eye(3), np.random.default_rng(0).random((30, 3)), np.full(30, 14))
    items = [candidate("Si-t1", silicon(), -5.0), candidate("Si-t2", silicon(0.01), -4.0), candidate("O-t1", big, -3.0)]
    write_files(items, folder / "report")
    assert dao("report", "--top", "2") == 0
    assert "#1 Si" in capsys.readouterr().out
    assert dao("other.parquet") == 2
    assert "other.parquet is not there" in capsys.readouterr().err


def test_a_table_of_structures_is_no_report_and_a_damaged_one_is_one_line(
    dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    crystal = silicon()
    pq.write_table(pa.table({
        "material_id": ["mine"], "lattice": [crystal.lattice.ravel()], "frac_coords": [crystal.frac_coords.ravel()],
        "atomic_numbers": [crystal.atomic_numbers],
    }), folder / "mine.parquet")  # fmt: skip
    assert dao("mine.parquet") == 0
    assert "1 of 1 validated" in capsys.readouterr().out
    (folder / "mine.parquet").write_bytes(b"PAR1" * 9)
    assert dao("mine.parquet") == 2
    assert "mine.parquet" in capsys.readouterr().err


def test_options_of_what_was_not_asked_for_are_refused(dao: Dao, capsys: pytest.CaptureFixture[str]) -> None:
    assert dao("si.cif", "--partition", "long") == 2
    assert "add --slurm" in capsys.readouterr().err
    assert dao("si.cif", "--crysdb-config", "x.yaml") == 2
    assert "name it with --crysdb" in capsys.readouterr().err


def test_what_a_limit_of_size_leaves_out_is_said(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    big = Crystal(9 * np.eye(3), np.argwhere(np.ones((3, 3, 3))) / 3, np.full(27, 8))
    write_files([candidate("O-t1", big, -6.0), candidate("Si-t1", silicon(), -5.0)], folder / "report")
    assert dao("report", "--max-atoms", "20") == 0
    assert "left out: O2 with 27 atoms (limit 20); a larger --max-atoms takes them" in capsys.readouterr().out


def test_electrons_and_the_record_of_an_energy(
    dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    assert dao("si.cif", "--electrons", "--phonons") == 0
    out = capsys.readouterr().out
    assert "si.cif: Bands: Along" in out
    assert "si.cif: Vibrations at Gamma (ph.x): No mode at Gamma is imaginary" in out
    sections = json.loads(next(folder.glob("dft/properties/si_*.json")).read_text())
    assert [s["part"] for s in sections] == ["bands", "states", "elf", "bader", "phonons"]
    assert ("si.cif: Bader charges: Not computed" in out) is (shutil.which("bader") is None)
    monkeypatch.setattr("sys.argv", ["dao", "validate", "export", "--root", "dft", "--out", "record.json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    record = json.loads((folder / "record.json").read_text())
    assert any(n["@type"] == "CreateAction" for n in record["@graph"])
    monkeypatch.setattr("sys.argv", ["dao", "validate", "export", "--root", "empty", "--out", "record.json"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "nothing has been validated below empty" in capsys.readouterr().err


def test_slurm_runs_the_job_and_its_script_has_the_lines(
    dao: Dao, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (folder / "queue").mkdir()
    monkeypatch.setenv("FAKE_SLURM_DIR", str(folder / "queue"))
    monkeypatch.setenv("PATH", f"{INFRA / 'fake_slurm'}:{Path('/usr/bin')}:{Path('/bin')}")
    flags = ("--slurm", "--partition", "cpu", "--account", "abc", "--line", "module load qe || true", "--poll", "0.05")
    assert dao("si.cif", *flags) == 0
    script = next(folder.glob("dft/dft_pw/*/round_1/job.sh")).read_text()
    for line in ("#SBATCH --partition=cpu", "#SBATCH --account=abc", "module load qe || true"):
        assert line in script.splitlines()


def test_rows_go_into_a_database(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (folder / "build.yaml").write_text("benchmarks: []\nclean: {min_atoms: 1}\n")
    config = BuildConfig.model_validate({"benchmarks": [], "clean": {"min_atoms": 1}})
    build(config, folder / "crysdb", sources=[ListSource(salt_records())])
    assert dao("si.cif", "--crysdb", "crysdb", "--crysdb-config", "build.yaml") == 0
    assert "in crysdb since version 1" in capsys.readouterr().out
    assert "qe" in set(CrysTable(folder / "crysdb" / "table").read(["source"])["source"].to_pylist())
    assert dao("si.cif", "--crysdb", "nowhere") == 0  # the file of rows stands, the problem is told
    assert "not in nowhere" in capsys.readouterr().out


def test_two_files_of_one_name_are_two_structures(tmp_path: Path) -> None:
    from flows.cli.validate import ValidateOptions, _structures, _with_own_ids

    options = ValidateOptions({}, tmp_path)
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        (tmp_path / folder / "x.cif").write_text(silicon().to_cif())
    found = [s for folder in ("a", "b") for s in _structures(tmp_path / folder / "x.cif", options)]
    assert [s.id for s in _with_own_ids(found)] == ["x", "x_2"]
    (tmp_path / "x_2.cif").write_text(silicon().to_cif())
    found += _structures(tmp_path / "x_2.cif", options)
    assert [s.id for s in _with_own_ids(found)] == ["x", "x_3", "x_2"]
    assert _structures(tmp_path / "a" / "x.cif", options, in_full=True)[0].name == str(tmp_path / "a" / "x.cif")


def test_a_report_s_page_shows_what_pw_x_says(dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    items = [candidate("Si-t1", silicon(), -5.0), candidate("NiO-t1", nickel_oxide(), -4.0)]
    page = write_report(items, folder / "report", info=ReportInfo(title="two"))
    assert dao("report", "--top", "1", "--electrons") == 0
    assert "report/index.html: 1 of its candidates show what pw.x says" in capsys.readouterr().out
    silicon_row, oxide = read_data(page)["candidates"]
    assert [s["part"] for s in silicon_row["dft"]["sections"]] == ["bands", "states", "elf", "bader"]
    assert silicon_row["dft"]["functional"].split("|")[4] == "collinear"
    assert silicon_row["cost"]["pw.x: vc-relax_s"] >= 0
    assert "dft" not in oxide


def test_a_page_of_what_could_not_be_validated_says_so(
    dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    items = [candidate("Si-t1", silicon(), -5.0), candidate("NiO-t1", nickel_oxide(), -4.0)]
    write_report(items, folder / "report", info=ReportInfo(title="two"))
    assert dao("report", "--top", "2", command="/nowhere/pw.x") == 1
    page = "report/index.html: "
    assert f"{page}2 of its candidates say why they could not be validated\n" in capsys.readouterr().out
    assert dao("report", "--top", "2", plan="crashed") == 0
    both = "1 of its candidates show what pw.x says, 1 of its candidates say why they could not be validated"
    assert f"{page}{both}\n" in capsys.readouterr().out


def test_a_validation_is_among_the_runs(dao: Dao, folder: Path) -> None:
    assert dao("si.cif", command="/nowhere/pw.x") == 1
    ((_, failed),) = find_runs(folder)
    assert failed["command"].startswith("dao validate run si.cif --command /nowhere/pw.x")
    assert failed["status"] == "failed"
    assert failed["error"].startswith("none of 1 structures could be validated: si.cif: ")
    assert dao("si.cif") == 0
    ((place, state),) = find_runs(folder)
    assert (place, state["name"], state["status"]) == (folder / "dft", "validate", "completed")


def test_a_report_without_a_column_is_refused_by_name(
    dao: Dao, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    paths = write_files([candidate("Si-t1", silicon(), -5.0)], folder / "report")
    pq.write_table(pq.read_table(paths["parquet"]).drop_columns(["id"]), paths["parquet"])
    assert dao("report") == 2
    assert "report/candidates.parquet has no column id: name the candidates.parquet" in capsys.readouterr().err


def test_candidates_of_a_record_are_checked(
    dao: Dao, folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    assert dao("si.cif") == 0
    pq.write_table(pa.table({"formula": ["Si"]}), folder / "other.parquet")
    for name, reason in (
        ("si.cif", "si.cif can't be read as Parquet"),
        ("other.parquet", "other.parquet has no column energy_identity, id, origin, provenance"),
        ("dft", "dft is a folder"),
    ):
        monkeypatch.setattr("sys.argv", ["dao", "validate", "export", "--root", "dft", "--candidates", name])
        with pytest.raises(SystemExit) as stop:
            main()
        assert stop.value.code == 2
        assert f"dao: {reason}: name the candidates.parquet" in capsys.readouterr().err


def test_converge_shows_each_cutoff(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["--command", FAKE_COMMAND, "--pseudo-dir", str(folder / "pseudo"), "--root", "dft"]
    monkeypatch.setattr("sys.argv", ["dao", "validate", "converge", "Si", "--cutoff", "20", "--cutoff", "30", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert not stop.value.code
    out = capsys.readouterr().out
    assert "against the highest cutoff" in out
    assert "Si: within 1 meV/atom from 20 Ry on" in out
    assert [(state["name"], state["status"]) for _, state in find_runs(folder)] == [("converge", "completed")]
    monkeypatch.setattr("sys.argv", ["dao", "validate", "converge", "Au", *options])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "no pseudopotential for Au" in capsys.readouterr().err
