"""U from hp.x: read, used by the validation, in the name of the energy; a program that is not there is named."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.crystal import Crystal
from dao_core.dft.chain import ProgramError
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.linear_response import read_response, response_u
from dao_core.dft.session import Session
from dao_core.dft.validate import ValidationRun, validate_crystal

HEAD = "   Hubbard U parameters:\n\n   site n.  type  label  spin  new_type  new_label  {}Hubbard U (eV)\n"
END = "\n  =------------------=\n   Hubbard matrix:\n  9  9  Ni  1  9  Ni  99.0\n"


@pytest.mark.parametrize(
    ("column", "rows", "values"),
    [
        ("", "   1   1   Ni     1    1   Ni    5.0104\n   2   2   Ni    -1   1   Ni   5.0300", {"Ni": 5.02}),
        ("manifold  ", "   1   1   Co1   1   1   Co1   3d   6.7553\n   3   2   Fe    1   2   Fe   3d   4.1",
         {"Co": 6.755, "Fe": 4.1}),
    ],
)  # fmt: skip
def test_both_forms_of_the_table(column: str, rows: str, values: dict[str, float]) -> None:
    assert read_response(HEAD.format(column) + rows + END) == values


@pytest.mark.parametrize("text", ["", HEAD.format("") + END])
def test_a_file_without_u_is_named(text: str) -> None:
    with pytest.raises(ProgramError, match="lists no U"):
        read_response(text)


@pytest.mark.parametrize("value", ["59.4180", "-3.2000"])
def test_a_u_that_no_shell_has_is_refused(value: str) -> None:
    """TiO by hp.x 6.7 at Gamma alone: a number, but no U."""
    with pytest.raises(ProgramError, match=rf"U of Ti is {value} eV, .* denser mesh"):
        read_response(HEAD.format("") + f"   1   1   Ti     1    1   Ti    {value}" + END)


def test_no_shell_no_run(session: Session, si: Crystal, post: Callable[..., Path]) -> None:
    count = post()
    assert response_u(session, session.build(si, "scf")) == {}
    assert not count.exists()


def with_response(session: Session, **changes: object) -> ValidationRun:
    update = {"hubbard": "hp", "orderings": "ferromagnetic", "qe_version": "6.7", **changes}
    return ValidationRun(session.settings.model_copy(update=update), session.ledger.root, session.launcher)


def test_u_of_the_response_is_used_and_said(session: Session, nio: Crystal, post: Callable[..., Path]) -> None:
    count = post()
    result = validate_crystal(nio, with_response(session))
    assert result.ok, result.message
    assert result.hubbard == {"Ni": 5.0}
    assert result.functional.endswith("|U(Ni-3d 5)")
    assert "dft_response" in [s.name for s in result.stages]
    assert not list((session.ledger.root / "dft_scratch").glob("*-chain"))
    validate_crystal(nio, with_response(session))
    assert count.read_text() == "1"  # the second time it is read back


def test_a_value_that_is_given_needs_no_run(session: Session, nio: Crystal, post: Callable[..., Path]) -> None:
    count = post()
    result = validate_crystal(nio, with_response(session, hubbard_u={"Ni": 4.5}))
    assert result.hubbard == {"Ni": 4.5}
    assert not count.exists()


def test_hp_x_that_fails_is_a_status(session: Session, nio: Crystal, post: Callable[..., Path]) -> None:
    post("error")
    result = validate_crystal(nio, with_response(session))
    assert result.status == "code_failed"
    assert "U from linear response: hp.x: crashed" in result.message


def test_hp_x_that_is_missing_is_a_status(session: Session, nio: Crystal, tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    alone = tmp_path / "bin" / "pw.x"
    alone.write_text(f'#!/bin/sh\nexec {session.settings.command} "$@"\n')
    alone.chmod(0o755)
    run = with_response(session, command=str(alone))
    result = validate_crystal(nio, replace(run, launcher=LocalLauncher(run.settings, poll_seconds=0.01)))
    assert result.status == "pw_missing"
    assert "hp.x" in result.message
