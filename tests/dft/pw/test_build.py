"""Inputs: k-points, spin, smearing, overlap, and every wrong thing said before a run."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from dao_core.artifacts import file_sha256
from dao_core.crystal import Crystal
from dao_core.dft.pseudo.library import MissingElementError, PseudoLibrary
from dao_core.dft.pw.build import build_input, check_distances, kpoint_grid
from dao_core.dft.pw.input import InputError
from dao_core.dft.settings import DftSettings
from tests.helpers.fake_pw import an_input, silicon, upf_text


@pytest.mark.parametrize("distance", [0.1, 0.15, 0.3, 0.7])
def test_kpoints_are_the_fewest_within_the_distance(si: Crystal, distance: float) -> None:
    lengths = 2 * np.pi * np.linalg.norm(np.linalg.inv(si.lattice).T, axis=1)
    grid = np.array(kpoint_grid(si, distance))
    assert (lengths / grid <= distance * (1 + 1e-6)).all()
    assert (lengths / np.maximum(grid - 1, 1) > distance * (1 - 1e-6)).all()


def test_supercell_has_half_the_points(si: Crystal) -> None:
    double = si.replace(lattice=si.lattice * 2)
    assert kpoint_grid(double, 0.25)[0] == -(-kpoint_grid(si, 0.25)[0] // 2)


def test_magnetic_elements_get_spin_as_a_fraction_of_the_valence(nio: Crystal, library: PseudoLibrary) -> None:
    pw_input = build_input(nio, library, DftSettings(), "scf")
    assert pw_input.get("system", "nspin") == 2
    assert pw_input.site_magnetisation == (round(2 / 18, 4), 0.0)
    assert build_input(nio, library, DftSettings(spin="none"), "scf").get("system", "nspin") is None
    assert build_input(silicon(), library, DftSettings(), "scf").site_magnetisation == ()


def test_insulators_can_go_without_smearing(si: Crystal, library: PseudoLibrary) -> None:
    assert build_input(si, library, DftSettings(), "scf").get("system", "smearing") == "cold"
    fixed = build_input(si, library, DftSettings(electronic_type="insulator"), "scf")
    assert fixed.get("system", "occupations") == "fixed"
    assert fixed.get("system", "degauss") is None
    assert fixed.get("system", "nbnd") == 8 // 2 + 4  # only beside empty bands can it be seen that there is a gap


def test_a_magnetic_crystal_keeps_its_smearing(nio: Crystal, library: PseudoLibrary) -> None:
    """With fixed occupations pw.x asks for the total moment of a spin-polarised crystal."""
    fixed = build_input(nio, library, DftSettings(electronic_type="insulator"), "scf")
    assert (fixed.get("system", "nspin"), fixed.get("system", "occupations")) == (2, "smearing")


def test_a_cutoff_of_the_user_s_has_the_density_s_of_the_files(si: Crystal, library: PseudoLibrary) -> None:
    own = DftSettings(ecutwfc=40.0)
    assert build_input(si, library, own, "scf").get("system", "ecutrho") == 160.0
    path = library.folder / "Si.upf"
    path.write_text(upf_text("Si", valence=4).replace('pseudo_type="NC"', 'pseudo_type="US"'))
    table = {**library.table, "Si": {**library.table["Si"], "sha256": file_sha256(path)}}
    ultrasoft = replace(library, table=table)
    assert build_input(si, ultrasoft, own, "scf").get("system", "ecutrho") == 320.0


def test_a_density_cutoff_alone_stands_beside_the_protocol_s_wavefunction_cutoff(
    si: Crystal, library: PseudoLibrary
) -> None:
    usual = build_input(si, library, DftSettings(), "scf")
    own = build_input(si, library, DftSettings(ecutrho=500.0), "scf")
    assert (own.get("system", "ecutwfc"), own.get("system", "ecutrho")) == (usual.get("system", "ecutwfc"), 500.0)


def test_protocol_and_pressure_reach_the_namelists(si: Crystal, library: PseudoLibrary) -> None:
    pw_input = build_input(si, library, DftSettings(protocol="balanced", pressure_gpa=5.0), "vc-relax")
    assert pw_input.get("system", "ecutwfc") == 36.0
    assert pw_input.get("electrons", "conv_thr") == pytest.approx(4e-10)
    assert pw_input.get("cell", "press") == 50.0


def test_overlap_and_missing_elements_are_refused(si: Crystal, library: PseudoLibrary) -> None:
    near = si.replace(frac_coords=[[0.24, 0.25, 0.25], [0.25, 0.25, 0.25]])
    with pytest.raises(InputError, match="atoms overlap: Si1-Si2"):
        build_input(near, library, DftSettings(), "scf")
    with pytest.raises(MissingElementError, match="Xe"):
        build_input(si.replace(atomic_numbers=[14, 54]), library, DftSettings(), "scf")


def test_an_atom_can_overlap_its_own_image() -> None:
    flat = Crystal(np.diag([0.8, 4.0, 4.0]), np.zeros((1, 3)), np.array([14]))
    with pytest.raises(InputError, match=r"Si1-Si1 at 0\.80"):
        check_distances(flat)


def test_key_ignores_machine_and_repairs_but_not_physics(library: PseudoLibrary) -> None:
    base = an_input(library)
    assert replace(base, ranks=4, pools=2, wall_seconds=10.0, restart="full").key() == base.key()
    assert base.with_values("control", max_seconds=5.0).key() == base.key()
    assert base.with_values("system", ecutwfc=99.0).key() != base.key()
    assert replace(base, kpoints=(1, 1, 1)).key() != base.key()
    assert an_input(library, "vc-relax", silicon(0.01)).key() != base.key()
