"""The command as a user meets it: real processes, one clear line for each mistake."""

from __future__ import annotations

import re
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from tasks.error_line import _EXTRAS
from tests.helpers.cli import dao

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("predict", "Xx2"), "Xx is not an element"),
        (("predict", "Sr1Ti0O3"), "Ti0 asks for zero atoms"),
        (("predict", "NaCl", "--z", "many"), "--z many: give 'auto' or a number"),
        (("predict", "SrTiO3", "--max-atoms", "4"), "raise max_atoms to 5"),
        (("predict", "NaCl", "--bogus"), "No such option: --bogus"),
        (("predict",), "Missing argument"),
        (("nonsense",), "No such command 'nonsense'"),
        (("relax", "missing.cif"), "missing.cif"),
        (("campaign", "missing.yaml"), "missing.yaml"),
        (("runs", "show", "zzz"), "no run 'zzz'"),
    ],
)
def test_a_mistake_is_one_line_and_status_2(tmp_path: Path, arguments: tuple[str, ...], message: str) -> None:
    result = dao(*arguments, cwd=tmp_path)
    assert result.returncode == 2
    assert message in result.stderr
    assert "Traceback" not in result.stderr
    assert list(tmp_path.iterdir()) == []  # nothing half-written


def test_a_warning_is_for_the_user_and_shows_no_source(tmp_path: Path) -> None:
    limits = ("--max-atoms", "22", "--generated-atoms", "22", "--judge", "none")
    result = dao("predict", "NaCl", *limits, "-n", "8", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    assert "warning: 22 atoms a cell, trained on at most 20: expect worse structures" in result.stderr
    assert ".py" not in result.stderr


def test_no_library_speaks_of_an_element_before_the_answer() -> None:
    result = dao("library", "list", "He", "--folder", "none")
    assert result.stderr.startswith("dao: no library is installed in none")
    assert len(result.stderr.splitlines()) == 1


def test_help_lists_the_commands_and_imports_nothing_heavy() -> None:
    code = (
        "import sys; sys.argv = ['dao', '--help']\n"
        "from flows.cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print([m for m in ('torch', 'pymatgen', 'prefect', 'rich', 'numpy', 'pydantic') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout
    assert out.strip().endswith("[]"), out
    for command in ("predict", "screen", "relax", "campaign", "crysdb", "train", "status", "runs"):
        assert f"\n  {command} " in out


def test_help_of_every_command_has_an_example() -> None:
    from typer.main import get_command

    from flows.cli.main import app

    def walk(name: str, command: object) -> list[tuple[str, str]]:
        children = getattr(command, "commands", None)
        if children is None:
            return [(name, getattr(command, "help", "") or "")]
        return [leaf for child, sub in children.items() for leaf in walk(f"{name} {child}", sub)]

    for name, text in walk("dao", get_command(app)):
        assert "Example" in text, f"{name} --help has no example"


def test_relax_refuses_what_is_not_a_structure(tmp_path: Path) -> None:
    (tmp_path / "bad.cif").write_text("not a cif")
    result = dao("relax", "bad.cif", cwd=tmp_path)
    assert result.returncode == 2
    assert "none of the formats that are read" in result.stderr
    assert "Traceback" not in result.stderr


BLOCK = """
import sys
missing = sys.argv.pop(1)
class Missing:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] == missing:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
sys.meta_path.insert(0, Missing())
from flows.cli.main import main
main()
"""


@pytest.mark.parametrize(
    ("package", "arguments", "extra"),
    [
        ("prefect", ("campaign", str(ROOT / "configs" / "campaign-demo.yaml")), "flows"),
        ("deltalake", ("crysdb", "build"), "crysdb"),
        ("deltalake", ("library", "install"), "crysdb"),
        ("duckdb", ("crysdb", "query", "SELECT 1"), "crysdb"),
        ("mp_api", ("relax", "no.cif"), None),  # not needed there: the mistake is the user's
    ],
)
def test_an_extra_that_is_missing_is_one_line_to_type(
    tmp_path: Path, package: str, arguments: tuple[str, ...], extra: str | None
) -> None:
    command = [sys.executable, "-c", BLOCK, package, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300)
    assert done.returncode == 2, done.stderr
    assert (f"pip install 'dao-csp[{extra}]'" in done.stderr) is (extra is not None)
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "runs" / "crysdb" / "ledger").exists()  # said before anything was computed


def test_a_search_without_the_judge_says_what_to_type_and_goes_on(tmp_path: Path) -> None:
    command = [
        sys.executable,
        "-c",
        BLOCK,
        "sevenn",
        "predict",
        "NaCl",
        "-n",
        "4",
        "--max-atoms",
        "8",
        "--generator",
        "none",
    ]
    done = subprocess.run(command, capture_output=True, text=True, cwd=tmp_path, check=False, timeout=300)
    assert done.returncode == 0, done.stderr
    assert "note: no judge: SevenNet is not installed: pip install 'dao-csp[judge]'" in done.stdout
    assert "eV/atom by dao-predictor" in done.stdout


def test_every_extra_that_an_error_names_exists() -> None:
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert set(_EXTRAS.values()) <= set(extras)
    named = {word for text in extras["all"] for word in re.findall(r"\w+", text.partition("[")[2])}
    assert named == {"judge", "flows", "train", "sources", "dft"}


def test_help_is_the_same_without_declaring_every_option() -> None:
    from typer.testing import CliRunner

    from flows.cli.main import app, needed

    run = CliRunner()
    assert run.invoke(needed(["--help"]), ["--help"]).stdout == run.invoke(app, ["--help"]).stdout
    for name in ("predict", "crysdb"):
        part = needed([name])
        assert len(part.registered_commands) + len(part.registered_groups) == 1
        assert run.invoke(part, [name, "--help"]).stdout == run.invoke(app, [name, "--help"]).stdout


def test_completion_and_mistyped_names_see_every_command(monkeypatch: pytest.MonkeyPatch) -> None:
    from flows.cli.main import app, needed

    assert needed(["predcit", "NaCl"]) is app
    assert needed(["--show-completion"]) is app
    monkeypatch.setenv("_DAO_COMPLETE", "complete_bash")
    assert needed([]) is app
