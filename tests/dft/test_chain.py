"""Steps on one ground state: done once, repeated after a kill, never after a finish; failures have names."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from dao_core.crystal import Crystal
from dao_core.dft.chain import ProgramError, ground_state, remove_chain
from dao_core.dft.session import Session

PP = "&inputpp\n/\n"


def test_a_finished_step_is_not_repeated(session: Session, post: Callable[..., Path], si: Crystal) -> None:
    count = post()
    pw_input = session.build(si, "scf")
    for _ in range(2):
        with ground_state(session, pw_input) as chain:
            step = chain.run("elf", "pp.x", PP)
            assert (step / "elf.cube").exists()
    assert count.read_text() == "1"
    with ground_state(session, pw_input) as chain:
        chain.run("elf", "pp.x", PP + "! another input\n")
    assert count.read_text() == "2"


def test_a_killed_program_is_run_once_more(session: Session, post: Callable[..., Path], si: Crystal) -> None:
    count = post("kill9")
    with ground_state(session, session.build(si, "scf")) as chain:
        assert (chain.run("elf", "pp.x", PP) / "elf.cube").exists()
    assert count.read_text() == "2"


@pytest.mark.parametrize(
    ("words", "failure", "final", "message"),
    [
        (["kill9", "kill9"], "out_of_memory", False, "killed from outside"),
        (["cut", "cut"], "interrupted", False, "pp.x: interrupted"),
        (["error"], "crashed", True, "pp_check: what it cannot do"),
        (["unconverged"], "scf_not_converged", True, "the response to a perturbation did not converge"),
    ],
)
def test_failures_have_names(
    session: Session, post: Callable[..., Path], si: Crystal, words: list[str], failure: str, final: bool, message: str
) -> None:
    post(*words)
    pw_input = session.build(si, "scf")
    with ground_state(session, pw_input) as chain, pytest.raises(ProgramError, match=message) as caught:
        chain.run("elf", "pp.x", PP)
    assert (caught.value.program, caught.value.failure, caught.value.final) == ("pp.x", failure, final)
    post()
    with ground_state(session, pw_input) as chain:
        assert (chain.run("elf", "pp.x", PP) / "elf.cube").exists()


def test_a_program_that_is_not_installed_is_named(session: Session, si: Crystal) -> None:
    with ground_state(session, session.build(si, "scf")) as chain, pytest.raises(ProgramError, match=r"neb\.x"):
        chain.run("neb", "neb.x", "&path\n/\n")


def test_a_program_of_another_version_is_refused(session: Session, si: Crystal) -> None:
    with ground_state(session, session.build(si, "scf")) as chain:
        schema = chain.save / "data-file-schema.xml"
        other = '<creator NAME="PWSCF" VERSION="7.3">x</creator>\n'
        schema.write_text(schema.read_text().replace("<output>", f"{other}<output>", 1))
        with pytest.raises(ProgramError, match=r"version 6\.7MaX on the files of pw\.x 7\.3: use one suite"):
            chain.run("elf", "pp.x", PP)
        schema.write_text(schema.read_text().replace('VERSION="7.3"', 'VERSION="6.7MaX"'))
        assert (chain.run("elf", "pp.x", PP) / "elf.cube").exists()


def test_a_lost_ground_state_is_made_again(session: Session, post: Callable[..., Path], si: Crystal) -> None:
    count = post()
    pw_input = session.build(si, "scf")
    with ground_state(session, pw_input) as chain:
        chain.run("elf", "pp.x", PP)
        (chain.save / "data-file-schema.xml").unlink()
    with ground_state(session, pw_input) as chain:
        chain.run("elf", "pp.x", PP)
        assert (chain.save / "charge-density.dat").exists()
    assert count.read_text() == "2"
    remove_chain(session, pw_input)
    assert not chain.folder.exists()


def test_a_branch_starts_from_the_charge_density_alone(session: Session, si: Crystal) -> None:
    with ground_state(session, session.build(si, "scf")) as chain:
        (chain.save / "wfc1.dat").write_text("of the scf")
        branch = chain.branch("bands")
        assert {p.name for p in branch.save.iterdir()} == {"data-file-schema.xml", "charge-density.dat"}
        (branch.save / "data-file-schema.xml").write_text("changed")
        assert chain.branch("bands").save.joinpath("data-file-schema.xml").read_text() == "changed"
        assert chain.save.joinpath("data-file-schema.xml").read_text() != "changed"
