"""The phonon gate: vibrations from any potential through phonopy, and following an imaginary mode downhill.

Finite displacements in a supercell (Togo and Tanaka, Scr. Mater. 108, 1 (2015)); frequencies are judged at the wave
vectors that the supercell represents exactly, where no interpolation is involved.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.potential import label_of
from dao_core.screening.analysis.settings import PhononSettings
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.relaxing import prior_of_end

if TYPE_CHECKING:
    from phonopy import Phonopy

    from dao_core.energy.potential import Potential
    from dao_core.energy.relaxation.settings import RelaxationResult, RelaxSettings

N_DOS_POINTS = 80


class PhononError(RuntimeError):
    """Phonons could not be computed for a structure; the message says why."""


@dataclass(frozen=True, eq=False)
class SoftMode:
    """The softest vibration: frequency (THz, imaginary as negative), wave vector (3), displacements (N, 3) complex."""

    frequency: float
    q: NDArray[np.float64]
    displacements: NDArray[np.complex128]


@dataclass(frozen=True, eq=False)
class Phonons:
    """Vibrations of one crystal: the softest mode, how many are imaginary, those at Gamma, and the density of states.

    `gamma` (3N,) in THz, ascending, imaginary ones negative; without the splitting by the electric field.
    """

    softest: SoftMode
    n_imaginary: int
    gamma: NDArray[np.float64]
    supercell: tuple[int, int, int]
    n_displacements: int
    dos: list[tuple[float, float]]

    @property
    def stable(self) -> bool:
        """Whether no mode is imaginary."""
        return self.n_imaginary == 0


def supercell_size(crystal: Crystal, min_length: float, max_atoms: int) -> tuple[int, int, int]:
    """Repeats along each lattice vector: thick enough in each direction, thinner where there would be too many atoms.

    Args:
        crystal: The unit cell.
        min_length: Smallest thickness wanted, angstrom.
        max_atoms: Most atoms of the supercell.

    Returns:
        Repeats along a, b and c.
    """
    heights = 1 / np.linalg.norm(np.linalg.inv(crystal.lattice), axis=0)
    size = np.maximum(np.ceil(min_length / heights).astype(int), 1)
    while crystal.n_atoms * size.prod() > max_atoms and size.max() > 1:
        size[int(np.argmax(size * heights * (size > 1)))] -= 1
    return int(size[0]), int(size[1]), int(size[2])


def phonons(crystal: Crystal, potential: Potential, settings: PhononSettings | None = None) -> Phonons:
    """Phonons of a relaxed crystal, by finite displacements.

    Args:
        crystal: At its minimum of energy under the same potential.
        potential: Whose forces are taken.
        settings: Supercell, displacement and thresholds; None: the defaults.

    Returns:
        Frequencies in THz, and the softest mode where one is imaginary.

    Raises:
        PhononError: The potential fails on a displaced supercell.
    """
    settings = settings or PhononSettings()
    size = supercell_size(crystal, settings.min_length, settings.max_atoms)
    model = _phonopy(crystal, size)
    model.generate_displacements(distance=settings.displacement)
    displaced = [_crystal(cell) for cell in model.supercells_with_displacements]
    model.forces = _forces([_crystal(model.supercell), *displaced], potential)
    model.produce_force_constants()
    model.symmetrize_force_constants()
    softest, n_imaginary, gamma = _judge(model, size, settings.imaginary_below)
    return Phonons(softest, n_imaginary, gamma, size, len(displaced), _density_of_states(model, settings.mesh))


def _phonopy(crystal: Crystal, size: tuple[int, int, int]) -> Phonopy:
    from phonopy import Phonopy
    from phonopy.structure.atoms import PhonopyAtoms

    atoms = PhonopyAtoms(symbols=crystal.symbols, cell=crystal.lattice, scaled_positions=crystal.frac_coords)
    return Phonopy(atoms, supercell_matrix=np.diag(size), primitive_matrix=np.eye(3), symprec=1e-4)


def _crystal(cell: Any) -> Crystal:
    return Crystal(np.array(cell.cell), np.array(cell.scaled_positions), np.array(cell.numbers))


def _forces(crystals: Sequence[Crystal], potential: Potential) -> NDArray[np.float64]:
    """Forces (M, N, 3) of the displaced supercells, less those left in the perfect one (the first)."""
    from dao_core.energy.potential import PotentialResult, checked

    found = []
    for crystal, outcome in zip(crystals, potential.compute(crystals), strict=True):
        outcome = checked(outcome, crystal)
        if not isinstance(outcome, PotentialResult):
            raise PhononError(f"no forces for a supercell of {crystal.n_atoms} atoms: {outcome.reason}")
        found.append(outcome.forces)
    return np.array(found[1:]) - found[0]


def _judge(model: Phonopy, size: tuple[int, int, int], limit: float) -> tuple[SoftMode, int, NDArray[np.float64]]:
    """The softest mode, the number of imaginary ones over the supercell's own wave vectors, and all at Gamma."""
    axes = [np.arange(n) / n for n in size]
    points = np.array(np.meshgrid(*axes, indexing="ij")).reshape(3, -1).T  # (Q, 3)
    result = model.run_qpoints(points, with_eigenvectors=True)
    frequencies = np.array(result.frequencies)  # (Q, 3N), ascending at each point
    # three modes at Gamma move the whole crystal: their frequency is zero by symmetry, whatever the numbers say
    acoustic = np.argsort(np.abs(frequencies[0]))[:3]
    counted = frequencies.copy()
    counted[0, acoustic] = np.inf
    where = np.unravel_index(int(np.argmin(counted)), counted.shape)
    vectors = np.array(result.eigenvectors)[where[0]][:, where[1]].reshape(-1, 3)
    displacements = vectors / np.sqrt(np.array(model.primitive.masses))[:, None]
    softest = SoftMode(float(counted[where]), points[where[0]], displacements)
    return softest, int((counted < limit).sum()), frequencies[0]


def _density_of_states(model: Phonopy, mesh: int) -> list[tuple[float, float]]:
    model.run_mesh([mesh] * 3, is_gamma_center=True)  # keeps the point group, whatever the lattice
    dos = model.run_total_dos()
    frequencies, density = np.array(dos.frequency_points), np.array(dos.dos)
    chosen = np.linspace(frequencies[0], frequencies[-1], N_DOS_POINTS)
    return [
        (round(float(f), 4), round(float(d), 5))
        for f, d in zip(chosen, np.interp(chosen, frequencies, density), strict=True)
    ]


def displaced_along(crystal: Crystal, mode: SoftMode, amplitude: float, phase: float = 0.0) -> Crystal:
    """The crystal in the smallest cell that holds a mode, displaced along it.

    Args:
        crystal: The unit cell.
        mode: With its wave vector and displacements u.
        amplitude: Of the atom that moves most, angstrom.
        phase: Radians; the atom at r moves by Re(u exp(2 pi i q r + phase)), r with the place in its own cell.

    Returns:
        The displaced crystal.
    """
    repeats = [_denominator(x) for x in mode.q]
    cells = np.array(np.meshgrid(*[range(n) for n in repeats], indexing="ij")).reshape(3, -1).T  # (R, 3)
    waves = np.exp(1j * (2 * np.pi * cells @ mode.q + phase))  # (R,)
    inside = mode.displacements * np.exp(2j * np.pi * crystal.frac_coords @ mode.q)[:, None]  # (N, 3)
    moves = np.real(inside[None] * waves[:, None, None])  # (R, N, 3)
    largest = float(np.linalg.norm(moves, axis=-1).max())
    if largest < 1e-12:
        return displaced_along(crystal, mode, amplitude, phase + np.pi / 3)
    positions = crystal.cart_coords[None] + (cells @ crystal.lattice)[:, None] + moves * amplitude / largest
    lattice = np.diag(repeats) @ crystal.lattice
    frac = positions.reshape(-1, 3) @ np.linalg.inv(lattice)
    return Crystal(lattice, frac, np.tile(crystal.atomic_numbers, len(cells)))


def _denominator(x: float) -> int:
    from fractions import Fraction

    return Fraction(float(x)).limit_denominator(24).denominator


def phonon_gate(
    candidates: Sequence[Candidate],
    potential: Potential,
    settings: PhononSettings | None = None,
    relax_settings: RelaxSettings | None = None,
) -> tuple[list[Candidate], list[Candidate]]:
    """Judge usable candidates by their phonons and follow imaginary modes.

    `extras["phonons"]` holds `stable`, `min_frequency_thz`, `n_imaginary`, `supercell`, `q`, `potential`, `dos`, and
    `followed_to`, the id of the lower structure. Where phonons failed `stable` is None and `reason` says why.

    Args:
        candidates: Relaxed with the same potential.
        potential: Whose forces are taken.
        settings: Of the phonons; None: the defaults.
        relax_settings: Of the relaxations along imaginary modes.

    Returns:
        (the candidates, new ones found); rank again together with the new ones.
    """
    settings = settings or PhononSettings()
    judged: list[Candidate] = []
    found: list[Candidate] = []
    for c in candidates:
        if not c.usable:
            judged.append(c)
            continue
        facts: dict[str, Any] = {"potential": potential.identity, "stable": None, "followed_to": None}
        try:
            result = phonons(c.crystal, potential, settings)
        except (PhononError, InvalidCrystalError) as error:
            judged.append(c.replace(extras={**c.extras, "phonons": {**facts, "reason": str(error)}}))
            continue
        lower = follow(c, result, potential, settings, relax_settings) if settings.follow else None
        if lower is not None:
            found.append(lower)
        facts |= {
            "stable": result.stable,
            "min_frequency_thz": result.softest.frequency,
            "n_imaginary": result.n_imaginary,
            "supercell": result.supercell,
            "q": result.softest.q.tolist(),
            "dos": result.dos,
            "followed_to": lower.id if lower is not None else None,
        }
        judged.append(c.replace(extras={**c.extras, "phonons": facts}))
    return judged, found


def follow(
    parent: Candidate,
    result: Phonons,
    potential: Potential,
    settings: PhononSettings,
    relax_settings: RelaxSettings | None = None,
) -> Candidate | None:
    """Displace along the softest imaginary mode, both ways and by each amplitude, relax, and return the lowest.

    Args:
        parent: The candidate with the imaginary mode.
        result: Its phonons.
        potential: Whose energies decide.
        settings: Amplitudes, `max_follow_atoms` and `min_gain` (eV/atom).
        relax_settings: Of the relaxations.

    Returns:
        The new candidate; None where there is no imaginary mode, the mode needs a larger cell than `max_follow_atoms`,
        or nothing lower than the parent by `min_gain` was found.
    """
    repeats = int(np.prod([_denominator(x) for x in result.softest.q]))
    if result.stable or parent.energy_per_atom is None or repeats * parent.crystal.n_atoms > settings.max_follow_atoms:
        return None
    starts = [
        displaced_along(parent.crystal, result.softest, amplitude, phase)
        for amplitude in settings.amplitudes
        for phase in (0.0, np.pi)
    ]
    best = _lowest(starts, potential, relax_settings)
    if (
        best is None
        or best.energy_per_atom is None
        or best.energy_per_atom > parent.energy_per_atom - settings.min_gain
    ):
        return None
    label = label_of(potential)
    return new_candidate(
        f"{parent.id}-soft",
        best.crystal,
        origin="soft mode",
        energy_per_atom=best.energy_per_atom,
        relaxation_status=str(best.status),
        energy_identity=label.made_by,
        energy_kind=label.kind,
        display_formula=parent.display_formula,
        log_prior=prior_of_end(parent),
        provenance={
            **{k: v for k, v in parent.provenance.items() if not k.startswith("template")},
            "parent": parent.id,
            "q": result.softest.q.tolist(),
            "frequency_thz": result.softest.frequency,
            "gain_per_atom": parent.energy_per_atom - best.energy_per_atom,
            "n_steps": best.n_steps,
            "fmax": best.fmax,
        },
    )


def _lowest(starts: Sequence[Crystal], potential: Potential, settings: RelaxSettings | None) -> RelaxationResult | None:
    """The lowest end of some relaxations, None where none has a usable energy."""
    from dao_core.energy.relaxation.relax import relax

    outcomes = relax(starts, potential, settings)
    usable = [r for r in outcomes if r.energy_per_atom is not None and str(r.status) in ("converged", "max_steps")]
    return min(usable, key=lambda r: float(r.energy_per_atom or 0.0), default=None)
