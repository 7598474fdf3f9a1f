"""Bader charges where the program is installed: read, said, and named where it fails."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.crystal import Crystal
from dao_core.dft.electronic.analysis import PARTS, analyse_electrons, possible_parts
from dao_core.dft.electronic.bader import read_charges
from dao_core.dft.electronic.page import sections
from dao_core.dft.session import Session

TABLE = """    #         X           Y           Z       CHARGE      MIN DIST   ATOMIC VOL
 --------------------------------------------------------------------------------
    1    0.000000    0.000000    0.000000    3.250000    1.100000   130.000000
    2    2.560000    2.560000    2.560000    4.750000    1.200000   140.000000
 --------------------------------------------------------------------------------
    VACUUM CHARGE:               0.0000
    NUMBER OF ELECTRONS:         8.0000
"""


@pytest.fixture
def program(session: Session, tmp_path: Path) -> tuple[Session, Path]:
    """A session with a `bader` that copies a prepared table."""
    script = tmp_path / "bader"
    (tmp_path / "table").write_text(TABLE)
    script.write_text(f'#!/bin/sh\ntest -s "$1" || exit 3\ncp {tmp_path}/table ACF.dat\n')
    script.chmod(0o755)
    settings = session.settings.model_copy(update={"bader_command": str(script)})
    return replace(session, settings=settings), script


def test_table_of_charges() -> None:
    assert read_charges(TABLE) == [3.25, 4.75]
    assert read_charges("nothing") == []


def test_only_where_the_program_is(program: tuple[Session, Path], session: Session) -> None:
    assert possible_parts(program[0].settings) == (*PARTS, "bader")
    assert possible_parts(session.settings.model_copy(update={"bader_command": "/nowhere/bader"})) == PARTS


def test_charges_are_valence_less_basin(program: tuple[Session, Path], si: Crystal) -> None:
    session, script = program
    # the fake pp.x writes one file, whatever it is asked for
    script.write_text(script.read_text().replace('test -s "$1" || exit 3', "test -d ../density || exit 3"))
    electrons = analyse_electrons(session, session.build(si, "scf"), ("bader",))
    assert electrons.failures == {}
    assert [c["charge"] for c in electrons.results["bader"]["charges"]] == [0.75, -0.75]
    assert sections(electrons)[0]["sentence"].startswith("In Bader's basins")


@pytest.mark.parametrize(
    ("body", "words"), [("echo no density >&2; exit 1", "no density"), ("true", "left no ACF.dat")]
)
def test_a_failure_names_the_program(program: tuple[Session, Path], si: Crystal, body: str, words: str) -> None:
    session, script = program
    script.write_text(f"#!/bin/sh\n{body}\n")
    electrons = analyse_electrons(session, session.build(si, "scf"), ("elf", "bader"))
    assert set(electrons.results) == {"elf"}
    assert "bader: " in electrons.failures["bader"]
    assert words in electrons.failures["bader"]


def test_atoms_that_do_not_add_up_are_refused(program: tuple[Session, Path], si: Crystal) -> None:
    session, script = program
    script.write_text(f"#!/bin/sh\nhead -3 {script.parent}/table > ACF.dat\n")
    electrons = analyse_electrons(session, session.build(si, "scf"), ("bader",))
    assert "lists 1 of 2 atoms" in electrons.failures["bader"]
