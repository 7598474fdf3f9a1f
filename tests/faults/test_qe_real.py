"""The real pw.x: whole runs, and failures that can be had cheaply: a clean stop, an unconverged SCF, a wrong folder."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from ase.io import read

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.calculation import RunLimits, calculate
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Calculation, PwInput
from dao_core.dft.pw.output import parse_text
from dao_core.dft.settings import DftSettings
from tests.dft.conftest import real_library  # noqa: F401 - fixture
from tests.helpers.fake_pw import silicon

pytestmark = pytest.mark.qe
CHEAP = DftSettings(ecutwfc=20.0, elements=False, min_free_bytes=0)


def cheap(library: PseudoLibrary, calculation: Calculation, crystal: Crystal | None = None) -> PwInput:
    """Silicon at a cutoff and a k-grid that no result should be taken from."""
    return replace(build_input(crystal or silicon(), library, CHEAP, calculation), kpoints=(2, 2, 2))


def test_relaxation_agrees_with_ase(real_library: PseudoLibrary, tmp_path: Path) -> None:  # noqa: F811
    pressed = silicon(0.01).replace(lattice=silicon().lattice * 0.98)
    result = calculate(cheap(real_library, "vc-relax", pressed), LocalLauncher(CHEAP), Ledger(tmp_path))
    assert result.ok, result.message
    assert result.crystal is not None
    path = sorted(Path(result.directory).glob("round_*/espresso.pwo"))[-1]
    atoms = read(path, format="espresso-out")
    assert np.allclose(result.crystal.lattice, atoms.cell.array, atol=1e-8)
    assert result.energy == pytest.approx(atoms.get_potential_energy(), abs=1e-4)
    assert np.allclose(np.array(result.forces), atoms.get_forces(), atol=1e-6)
    assert np.allclose(np.array(result.stress), atoms.get_stress(voigt=False), atol=1e-7)
    assert result.crystal.volume > pressed.volume
    text = path.read_text()
    for end in range(0, len(text), len(text) // 7):
        parse_text(text[:end], start=pressed)


def test_clean_stop_is_continued(real_library: PseudoLibrary, tmp_path: Path) -> None:  # noqa: F811
    pw_input = cheap(real_library, "vc-relax", silicon(0.02)).with_values("control", max_seconds=0.5)
    launcher = LocalLauncher(CHEAP)
    first = calculate(pw_input, launcher, Ledger(tmp_path), RunLimits(max_rounds=1))
    assert (first.status, first.failure) == ("blocked", "max_seconds")
    second = calculate(pw_input.with_values("control", max_seconds=600.0), launcher, Ledger(tmp_path / "b"))
    assert second.ok, second.message


def test_unconverged_scf_is_repaired_from_where_it_was(real_library: PseudoLibrary, tmp_path: Path) -> None:  # noqa: F811
    pw_input = cheap(real_library, "scf").with_values("electrons", electron_maxstep=4)
    result = calculate(pw_input, LocalLauncher(CHEAP), Ledger(tmp_path))
    assert result.status == "done", result.message
    assert {(a.handler, a.restart) for a in result.actions} == {("gentler_mixing", "full")}
    assert "Starting wfcs from file" in (Path(result.directory) / "round_2" / "espresso.pwo").read_text()


def test_a_metal_that_is_called_an_insulator_gets_the_energy_of_a_metal(
    real_library: PseudoLibrary, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    """Simple cubic silicon: four electrons fill two bands by number, but bands overlap, and pw.x ends well."""
    cubic = Crystal(2.53 * np.eye(3), np.zeros((1, 3)), np.array([14]))
    insulating = CHEAP.model_copy(update={"electronic_type": "insulator"})
    inputs = [replace(build_input(cubic, real_library, s, "scf"), kpoints=(4, 4, 4)) for s in (insulating, CHEAP)]
    repaired, metal = (
        calculate(pw_input, LocalLauncher(CHEAP), Ledger(tmp_path / pw_input.key())) for pw_input in inputs
    )
    assert [(a.failure, a.handler) for a in repaired.actions] == [("bands_overlap", "protocol_smearing")]
    assert repaired.energy == pytest.approx(metal.energy, abs=1e-6)
    gapped = replace(build_input(silicon(), real_library, insulating, "scf"), kpoints=(2, 2, 2))
    assert calculate(gapped, LocalLauncher(CHEAP), Ledger(tmp_path / "gapped")).actions == ()


def test_allowed_unconverged_scf_is_never_taken_for_a_good_one(
    real_library: PseudoLibrary, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    allowed = cheap(real_library, "scf").with_values("electrons", electron_maxstep=3, scf_must_converge=False)
    result = calculate(allowed, LocalLauncher(CHEAP), Ledger(tmp_path))
    text = (Path(result.directory) / "round_1" / "espresso.pwo").read_text()
    assert "convergence has been achieved" in text  # pw.x's own words
    assert (result.status, result.failure) == ("accepted", "scf_unconverged_allowed")


def test_missing_folder_of_pseudopotentials_is_pw_x_own_trap(
    real_library: PseudoLibrary, tmp_path: Path  # noqa: F811
) -> None:  # fmt: skip
    lost = replace(cheap(real_library, "scf"), pseudo_files={"Si": "not-there.upf"}, pseudo_dir=str(tmp_path / "none"))
    result = calculate(lost, LocalLauncher(CHEAP), Ledger(tmp_path / "ledger"))
    assert (result.status, result.failure) == ("failed", "crashed")
    assert "not-there.upf" in result.message or "readpp" in result.message
