"""A grid of q-points, split and merged; finished ones are not repeated after a kill."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.dft.chain import ProgramError
from dao_core.dft.session import Session
from dao_core.dft.vibrations.grid import number_of_points, phonon_dispersion, read_dispersion


def test_every_q_once_then_a_path(session: Session, post: Callable[..., Path], si: Crystal) -> None:
    count = post()
    result = phonon_dispersion(session, session.build(si, "scf"))
    assert result["n_qpoints"] == 2
    assert np.shape(result["frequencies"]) == (len(result["distances"]), 6)
    assert result["frequencies"][0][0] == pytest.approx(100 * 0.0299792458)
    assert count.read_text() == "4"  # two q, q2r.x, matdyn.x
    assert not list((session.ledger.root / "dft_scratch").glob("*-chain/q*/out"))
    phonon_dispersion(session, session.build(si, "scf"))
    assert count.read_text() == "4"


def test_another_grid_on_a_kept_ground_state_is_not_answered_with_the_first_ones_force_constants(
    session: Session, post: Callable[..., Path], si: Crystal
) -> None:
    count = post()
    phonon_dispersion(session, session.build(si, "scf"), (2, 2, 2))
    phonon_dispersion(session, session.build(si, "scf"), (3, 3, 3))
    assert count.read_text() == "8"  # q2r.x and matdyn.x again too, though their inputs are the same
    (constants,) = (session.ledger.root / "dft_scratch").glob("*-chain/q2r/fc")
    assert "1.500000 [THz]" in constants.read_text()


def test_a_killed_q_is_repeated_and_the_finished_one_is_not(
    session: Session, post: Callable[..., Path], si: Crystal
) -> None:
    count = post("good", "kill9", "kill9")
    with pytest.raises(ProgramError, match=r"ph\.x: out of memory"):
        phonon_dispersion(session, session.build(si, "scf"))
    assert count.read_text() == "3"
    assert phonon_dispersion(session, session.build(si, "scf"))["n_qpoints"] == 2
    assert count.read_text() == "6"  # one q, q2r.x, matdyn.x


def test_cut_files_are_named() -> None:
    assert number_of_points("   4   4   4\n   8\n  0.0 0.0 0.0\n") == 8
    with pytest.raises(ProgramError, match="list of q-points"):
        number_of_points("   4   4\n")
    whole = " &plot nbnd=   3, nks=   1 /\n  0.0 0.0 0.0\n  1.0 2.0 -3.0\n"
    assert read_dispersion(whole)[0][2] == pytest.approx(-3 * 0.0299792458)
    with pytest.raises(ProgramError, match="cut off"):
        read_dispersion(whole[:-6])
    with pytest.raises(ProgramError, match="not readable"):
        read_dispersion("")
