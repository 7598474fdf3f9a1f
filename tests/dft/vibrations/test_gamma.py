"""Phonons at Gamma through fake programs, and the texts of ph.x."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.crystal import Crystal
from dao_core.dft.chain import ProgramError
from dao_core.dft.properties import compute_properties
from dao_core.dft.session import Session
from dao_core.dft.validate import ValidationRun, validate_crystal
from dao_core.dft.vibrations.gamma import GENTLE, dielectric_response, gamma_phonons, ph_input, read_frequencies

DYN = """
     Dielectric Tensor:

          3.100000000000          0.000000000000          0.000000000000
         -0.000000000000          3.200000000000         -0.000000000000
         -0.000000000000         -0.000000000000          3.300000000000

     Effective Charges E-U: Z_{alpha}{s,beta}

     atom #    1
          1.980000000000          0.000000000000          0.000000000000
          0.000000000000          1.980000000000          0.000000000000
          0.000000000000          0.000000000000          1.980000000000
     atom #    2
         -1.980000000000          0.000000000000          0.000000000000
          0.000000000000         -1.980000000000          0.000000000000
          0.000000000000          0.000000000000         -1.980000000000

     Diagonalizing the dynamical matrix

     freq (    1) =      -0.287981 [THz] =      -9.606013 [cm-1]
     freq (    2) =      16.093819 [THz] =     536.832032 [cm-1]
"""


def test_tensors_and_frequencies_of_a_file() -> None:
    assert read_frequencies(DYN) == [-0.287981, 16.093819]
    response = dielectric_response(DYN)
    assert [response["dielectric"][i][i] for i in range(3)] == [3.1, 3.2, 3.3]
    assert [c[0][0] for c in response["born_charges"]] == [1.98, -1.98]
    assert dielectric_response("no tensor") == {}


def test_insulator_gets_fixed_occupations_and_a_splitting(session: Session, si: Crystal) -> None:
    result = gamma_phonons(session, session.build(si, "scf"))
    assert result["frequencies"] == [0.0, 0.0, 0.0, 12.0, 12.0, 12.0]
    assert result["longitudinal"]["100"][-1] == 21.0
    assert len(result["born_charges"]) == 2
    chains = sorted((session.ledger.root / "dft_scratch").glob("*-chain/ph_gamma/input"))
    assert [".true." in p.read_text() for p in chains] == [True]
    inputs = [p.read_text() for p in (session.ledger.root / "dft_scratch").glob("*-chain/scf/espresso.pwi")]
    assert sorted("'fixed'" in text for text in inputs) == [False, True]  # first the gap, then the phonons


def test_metal_has_no_field(session: Session, nio: Crystal) -> None:
    plain = replace(session, settings=session.settings.model_copy(update={"spin": "none"}))
    result = gamma_phonons(plain, plain.build(nio, "scf"))
    assert result["longitudinal"] == {}
    assert "born_charges" not in result


def test_ph_that_fails_is_named_and_the_next_call_goes_on(
    session: Session, post: Callable[..., Path], si: Crystal
) -> None:
    count = post("error")
    with pytest.raises(ProgramError, match="ph_check: what it cannot do"):
        gamma_phonons(session, session.build(si, "scf"))
    assert gamma_phonons(session, session.build(si, "scf"))["frequencies"][-1] == 12.0
    runs = count.read_text()
    gamma_phonons(session, session.build(si, "scf"))
    assert count.read_text() == runs


def test_a_response_that_does_not_converge_is_mixed_more_gently_once(
    session: Session, post: Callable[..., Path], si: Crystal
) -> None:
    count = post("unconverged")
    assert gamma_phonons(session, session.build(si, "scf"))["frequencies"][-1] == 12.0
    inputs = [p.read_text() for p in (session.ledger.root / "dft_scratch").glob("*-chain/ph_gamma/input")]
    assert [GENTLE in text for text in inputs] == [True]
    runs = count.read_text()
    gamma_phonons(session, session.build(si, "scf"))
    assert count.read_text() == runs


def test_a_response_that_never_converges_is_named_and_the_electrons_stay(
    session: Session, post: Callable[..., Path], si: Crystal
) -> None:
    run = ValidationRun(session.settings, session.ledger.root, session.launcher)
    validated = validate_crystal(si, run)
    post("good", "good", "unconverged", "unconverged")  # projwfc.x and pp.x of the electrons come first
    properties = compute_properties(run, validated, ("electrons", "phonons"))
    made = [s["data"] is not None for s in properties.sections if s["part"] != "bader"]  # where the program is there
    assert made == [True, True, True, False]
    assert "ph.x: scf not converged" in properties.sentences[-1]


def test_u_is_refused_with_the_way_out(session: Session, si: Crystal) -> None:
    with pytest.raises(ProgramError, match="finite displacements"):
        gamma_phonons(session, replace(session.build(si, "scf"), hubbard={"Ni": 6.2}))


def test_input_at_gamma_ends_with_the_point() -> None:
    assert ph_input(1e-14, dielectric=True).splitlines()[-1] == "0 0 0"
    assert ph_input(1e-14, dielectric=False, more="ldisp=.true.", at_gamma=False).splitlines()[-1] == "/"
