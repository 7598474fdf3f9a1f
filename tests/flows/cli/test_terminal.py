"""The terminal: completion of the shells, few columns, no colour."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[3]
DAO = "import sys; sys.argv[0] = 'dao'; from dao_core.command import main; main()"
CODES = re.compile(r"\x1b\[[\d;?]*[a-zA-Z]")
WORKING = """
from flows.cli.console import working
with working("relax"):
    print("the answer")
"""
TABLE = """
from flows.cli.console import progress_bar, table
with progress_bar("NaCl") as bar:
    bar("start", 0, 1)
columns = ("rank", "formula", "space group", "probability", "above lowest", "known?")
rows = [(1, "NaCl", "Fm-3m (225)", "60 %", "0.0000 ± 0.127", None),
        (2, "NaCl", "P6_3/mmc (194)", "5 %", "0.0300 ± 0.127", "prototype: oqmd-icsd-10184")]
table("2 of 5 distinct structures", columns, rows)
"""


ANSWER = """
from dao_core.screening.candidate import new_candidate
from flows.cli.candidate_table import candidate_table
from tests.helpers.bonded import textbook
fields = {"energy_per_atom": -7.2, "energy_std": 0.027, "energy_identity": "SevenNet-l3i5", "spacegroup_after": 194,
          "relaxation_status": "converged", "judged": True, "library_e_above_hull": 0.0, "novelty": "match",
          "novelty_reference": "oqmd-icsd-48063", "mineral": "molybdenite", "n_measured": 4, "undecided": True}
found = [new_candidate(i, textbook("molybdenite"), origin="known", probability=0.58, **fields) for i in "ab"]
candidate_table(found, limit=2)
"""


def complete(**variables: str) -> list[str]:
    """What the shell is offered: the words of each line."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), **variables}
    done = subprocess.run([sys.executable, "-c", DAO], capture_output=True, text=True, env=environment, check=False)
    assert "Traceback" not in done.stderr
    return done.stdout.split()


def on_a_terminal(columns: int, code: str = TABLE, *, piped: Path | None = None, **variables: str) -> str:
    """What a program shows on a terminal of so many columns; its stdout may go to a file instead."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT), "TERM": "xterm-256color", **variables}
    environment.pop("COLUMNS", None)
    leader, follower = pty.openpty()
    fcntl.ioctl(follower, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))
    stdout = follower if piped is None else os.open(piped, os.O_WRONLY | os.O_CREAT)
    child = subprocess.Popen([sys.executable, "-c", code], stdout=stdout, stderr=follower, env=environment)
    os.close(follower)
    text = b""
    while True:
        try:
            part = os.read(leader, 4096)
        except OSError:  # the other end is closed
            break
        if not part:
            break
        text += part
    assert child.wait() == 0, text
    return text.decode()


def test_bash_completes_commands_and_options() -> None:
    assert complete(_DAO_COMPLETE="complete_bash", COMP_WORDS="dao pre", COMP_CWORD="1") == ["predict"]
    assert complete(_DAO_COMPLETE="complete_bash", COMP_WORDS="dao predict --jud", COMP_CWORD="2") == ["--judge"]
    assert "build" in complete(_DAO_COMPLETE="complete_bash", COMP_WORDS="dao crysdb ", COMP_CWORD="2")


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_other_shells_complete_commands(shell: str) -> None:
    asked = {"_TYPER_COMPLETE_ARGS": "dao crysdb bu", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    assert "build" in " ".join(complete(_DAO_COMPLETE=f"complete_{shell}", **asked))


def test_forty_columns_cut_nothing() -> None:
    said = CODES.sub("", on_a_terminal(40))
    assert "…" not in said.partition("2 of 5")[2]
    for value in ("rank: 2", "formula: NaCl", "space group: P6_3/mmc (194)", "0.0300 ± 0.127", "oqmd-icsd-10184"):
        assert value in said
    assert "known?: None" not in said


def test_eighty_columns_have_a_table_with_whole_values() -> None:
    said = CODES.sub("", on_a_terminal(80)).partition("2 of 5")[2]
    assert "…" not in said
    assert re.search(r"rank formula space group probability", " ".join(said.split()))
    assert "rank: 1" not in said


def answer(columns: int) -> str:
    return CODES.sub("", on_a_terminal(columns, ANSWER)).replace("\r", "")


def test_a_hundred_columns_hold_an_answer_with_its_densities() -> None:
    said = answer(100)
    assert re.search(r"space group +g/cm³ +probability +above lowest +known\?", said)
    first = r"1 +MoS2 +2 +P6_3/mmc \(194\) +5\.0\d +58 % +0\.0000 ± 0\.027 \? +known: +\n"
    assert re.search(first + r" +oqmd-icsd-48063, +\n +molybdenite, +\n +measured 4 times", said)
    assert "a wider terminal also shows: found, origin, relaxed by, eV/atom, in library\n" in said


def test_eighty_columns_hold_an_answer_with_whole_words_but_for_ids() -> None:
    said, hint = answer(80).split("a wider terminal also shows: ")
    assert max(map(len, said.splitlines())) <= 80
    for word in ("MoS2", "probability", "above lowest", "P6_3/mmc ", "(194) ", "0.0000 ± ", "0.027 ?", "molybdenite,"):
        assert word in said
    assert hint == "found, origin, relaxed by, eV/atom, in library, Z, g/cm³\n"


def test_a_wide_terminal_and_a_file_hold_every_column(tmp_path: Path) -> None:
    piped = tmp_path / "answer.txt"
    on_a_terminal(80, ANSWER, piped=piped)
    for said in (answer(220), piped.read_text()):
        assert re.search(r"g/cm³.*in library +eV/atom +relaxed by +origin +found +known\?", said)
        assert "a wider terminal" not in said


def test_no_colour_where_none_is_wanted() -> None:
    coloured = re.compile(r"\x1b\[(?:[\d;]*;)?(?:3[0-8]|9[0-7])[\d;]*m")
    assert coloured.search(on_a_terminal(120))
    assert not coloured.search(on_a_terminal(120, NO_COLOR="1"))


def test_a_command_at_work_says_so_and_its_answer_goes_where_it_should(tmp_path: Path) -> None:
    said = on_a_terminal(80, WORKING)
    assert "relax" in said
    assert "the answer" in said
    answer = tmp_path / "answer.txt"
    assert "relax" in on_a_terminal(80, WORKING, piped=answer)
    assert answer.read_text() == "the answer\n"
    silent = subprocess.run([sys.executable, "-c", WORKING], capture_output=True, text=True, cwd=ROOT, check=True)
    assert (silent.stdout, silent.stderr) == ("the answer\n", "")
