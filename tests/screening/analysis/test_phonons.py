from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, label_of
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.analysis.phonons import (
    PhononError,
    PhononSettings,
    SoftMode,
    _crystal,
    _forces,
    _phonopy,
    displaced_along,
    phonon_gate,
    phonons,
    supercell_size,
)
from tests.helpers.candidates import candidate
from tests.helpers.lennard_jones import LennardJonesPotential, calculator

ARGON_FCC = 5.25  # angstrom, near the minimum of this potential
SETTINGS = PhononSettings(min_length=7.0, max_atoms=64, mesh=4)


def fcc(a: float = ARGON_FCC) -> Crystal:
    return Crystal(a / 2 * np.array([[0, 1, 1], [1, 0, 1], [1, 1, 0]]), np.zeros((1, 3)), np.array([18]))


def simple_cubic(a: float = 3.6) -> Crystal:
    return Crystal(a * np.eye(3), np.zeros((1, 3)), np.array([18]))


def test_a_close_packed_solid_is_stable() -> None:
    found = phonons(fcc(), LennardJonesPotential(), SETTINGS)
    assert found.stable
    assert found.softest.frequency > 0.2
    assert found.n_displacements == 1
    densities = np.array(found.dos)
    assert np.trapezoid(densities[:, 1], densities[:, 0]) == pytest.approx(3, rel=0.1)  # three modes an atom


def test_the_cubic_cell_folds_the_zone_boundary_to_gamma() -> None:
    """Four atoms: the cell's own motion, and those of the three X points, each two transverse and one longitudinal."""
    places = np.array([[0, 0, 0], [0, 0.5, 0.5], [0.5, 0, 0.5], [0.5, 0.5, 0]])
    cubic = Crystal(ARGON_FCC * np.eye(3), places, np.full(4, 18))
    modes = phonons(cubic, LennardJonesPotential(), SETTINGS).gamma
    assert modes[:3] == pytest.approx(0, abs=1e-3)
    assert modes[3:9] == pytest.approx(modes[3], rel=1e-3)
    assert modes[9:] == pytest.approx(modes[9], rel=1e-3)
    assert modes[9] > 1.2 * modes[3] > 0.3


def test_frequencies_agree_with_finite_differences_of_ase() -> None:
    """At a wave vector of the supercell the frequency follows from the force constants alone: do it by hand."""
    size = supercell_size(fcc(), SETTINGS.min_length, SETTINGS.max_atoms)
    atoms = fcc().to_ase() * size
    atoms.calc = calculator()
    h = 0.01
    columns = []
    for axis in range(3):
        forces = []
        for sign in (1, -1):
            moved = atoms.copy()
            moved.calc = calculator()
            moved.positions[0, axis] += sign * h
            forces.append(moved.get_forces())
        columns.append(-(forces[0] - forces[1]) / (2 * h))
    constants = np.array(columns)  # (3, N, 3)
    cells = np.array([[i, j, k] for i in range(size[0]) for j in range(size[1]) for k in range(size[2])])
    lowest = np.inf
    for q in cells / np.array(size):
        if not q.any():
            continue
        dynamical = np.einsum("anb,n->ab", constants, np.exp(2j * np.pi * cells @ q)) / 39.948
        values = np.linalg.eigvalsh((dynamical + dynamical.conj().T) / 2)
        lowest = min(lowest, float(np.sqrt(max(values[0], 0)) * 15.633302))  # sqrt(eV/A^2/amu) in THz
    assert phonons(fcc(), LennardJonesPotential(), SETTINGS).softest.frequency == pytest.approx(lowest, rel=2e-3)


def test_simple_cubic_argon_falls_down_its_soft_mode() -> None:
    potential = LennardJonesPotential()
    start = simple_cubic()
    energy = potential.compute([start])[0].energy
    parent = candidate("sc", start, energy, energy_identity=potential.identity, log_prior=-1.0, display_formula="Ar2",
                       provenance={"template_id": "t"})  # fmt: skip
    judged, found = phonon_gate([parent], potential, SETTINGS, RelaxSettings(max_steps=60))
    facts = judged[0].extras["phonons"]
    assert facts["stable"] is False
    assert facts["min_frequency_thz"] < -0.15
    assert facts["followed_to"] == "sc-soft"
    assert found[0].energy_per_atom < energy - 0.001
    assert found[0].provenance["parent"] == "sc"
    assert found[0].energy_label == label_of(potential)
    assert found[0].display_formula == "Ar2"
    assert found[0].log_prior < parent.log_prior  # less likely than its parent, whatever the others are
    assert "template_id" not in found[0].provenance


def test_a_displacement_along_a_mode_has_the_mode_s_frequency() -> None:
    """The curvature of the energy along it is omega squared: in a cell of two atoms their phases decide."""
    potential = LennardJonesPotential()
    pair = Crystal(fcc().lattice * 1.26, np.array([[0, 0, 0], [0.5, 0.5, 0.5]]), np.array([18, 36]))
    model = _phonopy(pair, (2, 2, 2))
    model.generate_displacements(distance=0.005)
    cells = [_crystal(c) for c in (model.supercell, *model.supercells_with_displacements)]
    model.forces = _forces(cells, potential)
    model.produce_force_constants()
    q = np.array([0.5, 0.5, 0.0])
    result = model.run_qpoints([q], with_eigenvectors=True)
    masses = np.array(model.primitive.masses)
    for squared, vector in zip(np.array(result.frequencies)[0], np.array(result.eigenvectors)[0].T, strict=True):
        moves = vector.reshape(-1, 3) / np.sqrt(masses)[:, None]
        mode = SoftMode(float(squared), q, moves)
        energies, mass = [], 0.0
        for step in (0.01, 1e-9, -0.01):
            moved = displaced_along(pair, mode, abs(step), 0.0 if step > 0 else np.pi)
            energies.append(potential.compute([moved])[0].energy)
            if step == 0.01:
                still = displaced_along(pair, mode, 1e-9)
                away = (moved.frac_coords - still.frac_coords + 0.5) % 1.0 - 0.5
                mass = float((np.tile(masses, moved.n_atoms // 2)[:, None] * (away @ moved.lattice) ** 2).sum())
        curvature = (energies[0] - 2 * energies[1] + energies[2]) / mass
        found = np.sign(curvature) * np.sqrt(abs(curvature)) * 15.633302
        assert found == pytest.approx(squared, abs=0.05)


def test_a_potential_that_fails_leaves_stability_unknown() -> None:
    class Broken(LennardJonesPotential):
        def compute(self, crystals):
            return [PotentialFailure("out of range") for _ in crystals]

    with pytest.raises(PhononError, match="out of range"):
        phonons(fcc(), Broken(), SETTINGS)
    judged, found = phonon_gate([candidate("a", fcc(), -0.08)], Broken(), SETTINGS)
    assert judged[0].extras["phonons"]["stable"] is None
    assert "out of range" in judged[0].extras["phonons"]["reason"]
    assert found == []


def test_rejected_candidates_are_passed_through() -> None:
    item = candidate("x", fcc(), None, relaxation_status="rejected_volume")
    judged, found = phonon_gate([item], LennardJonesPotential(), SETTINGS)
    assert judged == [item]
    assert found == []


def test_supercells_are_thick_enough_and_bounded() -> None:
    assert supercell_size(simple_cubic(4.0), 9.0, 1000) == (3, 3, 3)
    assert supercell_size(Crystal(np.diag([3.0, 10.0, 30.0]), np.zeros((1, 3)), np.array([18])), 9.0, 99) == (3, 1, 1)
    assert np.prod(supercell_size(simple_cubic(3.0), 30.0, 50)) <= 50


@pytest.mark.parametrize("q", [(0.5, 0, 0), (0.5, 0.5, 0), (1 / 3, 0, 0)])
def test_a_mode_is_held_by_the_smallest_cell(q: tuple[float, float, float]) -> None:
    mode = SoftMode(-1.0, np.array(q), np.array([[0, 0, 1.0 + 0j]]))
    start = simple_cubic()
    moved = displaced_along(start, mode, 0.2)
    repeats = [2 if x == 0.5 else 3 if x else 1 for x in q]
    assert moved.n_atoms == np.prod(repeats)
    heights = (moved.cart_coords[:, 2] + 1.8) % 3.6 - 1.8
    assert np.abs(heights).max() == pytest.approx(0.2)
    assert heights.sum() == pytest.approx(0, abs=1e-9)  # the wave has no net displacement
