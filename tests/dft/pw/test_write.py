"""What is written is what was meant: read back by ASE, compared, and refused when it differs."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.crystal import Crystal
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Action, InputMismatchError, from_dict
from dao_core.dft.pw.write import INPUT_JSON, compare_written, effective_namelists, write_input
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import an_input, silicon


def test_ase_reads_the_same_structure(nio: Crystal, library: PseudoLibrary, tmp_path: Path) -> None:
    pw_input = build_input(nio, library, DftSettings(), "vc-relax")
    atoms = read(write_input(pw_input, tmp_path), format="espresso-in")
    assert atoms.get_chemical_symbols() == nio.symbols
    assert np.allclose(atoms.cell.array, nio.lattice)
    text = (tmp_path / "espresso.pwi").read_text()
    assert "starting_magnetization(1) = 0.1111" in text
    assert "prefix           = 'dao'" in text


@pytest.mark.parametrize(
    ("old", "new", "what"),
    [
        ("ecutwfc          = 28.0", "ecutwfc          = 30.0", "system.ecutwfc"),
        ("Si.upf", "Ge.upf", "the file of Si"),
        ("0.2500000000 0.2500000000 0.2500000000", "0.3500000000 0.2500000000 0.2500000000", "the positions"),
        ("2.72000000000000", "2.73000000000000", "the cell"),
        ("7 7 7", "1 1 1", "the k-points"),
    ],
)
def test_every_difference_is_found(library: PseudoLibrary, tmp_path: Path, old: str, new: str, what: str) -> None:
    pw_input = an_input(library)
    path = write_input(pw_input, tmp_path)
    assert old in path.read_text()
    path.write_text(path.read_text().replace(old, new))
    with pytest.raises(InputMismatchError, match=what):
        compare_written(pw_input, path)


def test_restart_modes(library: PseudoLibrary) -> None:
    base = an_input(library)
    assert effective_namelists(base)["control"]["restart_mode"] == "from_scratch"
    assert effective_namelists(replace(base, restart="full"))["control"]["restart_mode"] == "restart"
    assert effective_namelists(replace(base, restart="charge"))["electrons"]["startingpot"] == "file"
    assert "startingpot" not in effective_namelists(base)["electrons"]
    assert effective_namelists(replace(base, wall_seconds=1000.0))["control"]["max_seconds"] == 950.0


def test_json_form_gives_the_input_back(library: PseudoLibrary, tmp_path: Path) -> None:
    action = Action("gentler_mixing", "scf_not_converged", "retry", "full", {"mixing_beta": [0.4, 0.32]})
    pw_input = replace(an_input(library), history=(action,), memory_gb=8.0)
    write_input(pw_input, tmp_path)
    again = from_dict(json.loads((tmp_path / INPUT_JSON).read_text()))
    assert again.history == (action,)
    assert again.key() == pw_input.key()
    assert (again.kpoints, again.memory_gb) == (pw_input.kpoints, 8.0)


@settings(max_examples=15, deadline=None)
@given(st.lists(st.floats(-0.05, 0.05), min_size=9, max_size=9), st.floats(0, 0.1))
def test_any_cell_survives_writing(strain: list[float], shift: float) -> None:
    import tempfile

    crystal = silicon(shift)
    crystal = crystal.replace(lattice=crystal.lattice @ (np.eye(3) + np.array(strain).reshape(3, 3)))
    with tempfile.TemporaryDirectory() as folder:
        from tests.helpers.fake_pw import upf_text

        pseudo = Path(folder) / "Si.upf"
        pseudo.write_text(upf_text("Si"))
        from dao_core.artifacts import file_sha256

        library = PseudoLibrary(
            "t", "1", "PBE", Path(folder), {"Si": {"sha256": file_sha256(pseudo), "cutoff_hartree": [1, 2, 3]}}
        )
        write_input(an_input(library, "scf", crystal), Path(folder) / "run")  # compares by itself
