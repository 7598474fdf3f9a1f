from __future__ import annotations

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.energy.potential import Outcome, PotentialFailure, PotentialResult
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxationStatus, RelaxSettings, relax
from dao_core.energy.relaxation.symmetry import find_operations
from dao_core.units import GPA_PER_EV_A3
from tests.helpers.hexagonal import hexagonal
from tests.helpers.potentials import Scripted, constant, copper, copper_gold, emt


def same_bits(a: RelaxationResult, b: RelaxationResult) -> None:
    np.testing.assert_array_equal(a.crystal.lattice, b.crystal.lattice)
    np.testing.assert_array_equal(a.crystal.frac_coords, b.crystal.frac_coords)
    assert (a.energy_per_atom, a.status, a.n_steps, a.fmax) == (b.energy_per_atom, b.status, b.n_steps, b.fmax)


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
def test_rattled_copper_comes_back_to_fcc(optimizer: str) -> None:
    settings = RelaxSettings(optimizer=optimizer, fmax=0.01, stress_gpa=0.05)
    result = relax([copper()], emt(), settings)[0]
    assert result.status is RelaxationStatus.CONVERGED
    assert result.fmax < 0.01
    assert result.stress_gpa < 0.05
    assert result.energy_per_atom is not None
    assert result.initial_energy_per_atom is not None
    assert result.energy_per_atom < result.initial_energy_per_atom - 0.01
    assert find_operations(result.crystal, symprec=0.05).spacegroup_number == 225


@pytest.mark.parametrize("optimizer", ["lbfgs", "fire"])
def test_result_is_the_same_bits_alone_and_in_any_batch(optimizer: str) -> None:
    crystals = [copper(0), copper(1, n=2), copper_gold(2), copper(3, n=3), copper(4), copper_gold(5)]
    settings = RelaxSettings(optimizer=optimizer, max_steps=25)
    alone = [relax([c], emt(), settings)[0] for c in crystals]
    pairs = relax(crystals, emt(), settings.model_copy(update={"batch_size": 2}))
    backwards = relax(crystals[::-1], emt(), settings.model_copy(update={"batch_size": 6}))[::-1]
    for a, b, c in zip(alone, pairs, backwards, strict=True):
        same_bits(a, b)
        same_bits(a, c)


def test_finished_crystals_leave_and_waiting_ones_board() -> None:
    def answer(crystal: Crystal, _: int) -> Outcome:
        return constant(force=1.0)(crystal, 0) if 79 in crystal.atomic_numbers else constant()(crystal, 0)

    slow = copper(0, n=2)
    slow = slow.replace(atomic_numbers=np.full(slow.n_atoms, 79))
    potential = Scripted(answer)
    settings = RelaxSettings(batch_size=2, max_steps=4, relax_cell=False, max_step=0.01, min_distance=0.0)
    results = relax([slow, *[copper(i, n=2) for i in range(1, 5)]], potential, settings)
    assert potential.batch_sizes == [2, 2, 2, 2, 1]  # the slow one shares each of its first four rides
    assert [r.status for r in results] == ["max_steps"] + ["converged"] * 4


@pytest.mark.parametrize("pressure", [-2.0, 20.0])
def test_pressure_is_balanced_by_the_stress(pressure: float) -> None:
    settings = RelaxSettings(fmax=0.01, stress_gpa=0.02, pressure_gpa=pressure)
    free, squeezed = relax([copper()], emt(), RelaxSettings(stress_gpa=0.02))[0], relax([copper()], emt(), settings)[0]
    assert squeezed.status is RelaxationStatus.CONVERGED
    outcome = emt().compute([squeezed.crystal])[0]
    assert isinstance(outcome, PotentialResult)
    np.testing.assert_allclose(outcome.stress * GPA_PER_EV_A3, -pressure * np.eye(3), atol=0.02)
    assert (squeezed.crystal.volume < free.crystal.volume) == (pressure > 0)


def test_symmetry_is_kept_against_a_potential_that_breaks_it() -> None:
    def answer(_: Crystal, call: int) -> Outcome:
        rng = np.random.default_rng(call)
        forces, stress = rng.normal(0, 2.0, (4, 3)), rng.normal(0, 0.01, (3, 3))
        return PotentialResult(-4.0, forces - forces.mean(axis=0), stress + stress.T)

    free = RelaxSettings(max_steps=15, min_distance=0.0, max_volume_ratio=1e3)
    kept = free.model_copy(update={"keep_symmetry": True})
    lost = relax([hexagonal()], Scripted(answer), free)[0]
    held = relax([hexagonal()], Scripted(answer), kept)[0]
    assert find_operations(lost.crystal).spacegroup_number == 1
    assert find_operations(held.crystal, symprec=1e-4).spacegroup_number == 186
    assert not np.allclose(held.crystal.lattice, hexagonal().lattice, atol=0.01)


def _rejected(result: RelaxationResult, original: Crystal) -> None:
    assert result.crystal is original
    assert result.reason


@pytest.mark.parametrize("stress", [-2.0, 2.0])
def test_volume_blow_up_is_rejected_and_the_original_kept(stress: float) -> None:
    crystal = copper()
    settings = RelaxSettings(max_volume_ratio=1.5, min_distance=0.0)
    result = relax([crystal], Scripted(lambda c, n: constant(-1.0 - n, stress=stress)(c, n)), settings)[0]
    assert result.status is RelaxationStatus.REJECTED_VOLUME
    assert result.energy_per_atom == -1.0
    _rejected(result, crystal)


def test_volume_outside_what_a_crystal_can_be_is_rejected() -> None:
    crystal = copper()
    settings = RelaxSettings(max_volume_ratio=1e9, min_distance=0.0, max_energy_drop=1e9, max_steps=2000)
    result = relax([crystal], Scripted(lambda c, n: constant(-1.0 - n, stress=2.0)(c, n)), settings)[0]
    assert result.status is RelaxationStatus.REJECTED_VOLUME
    assert "volume per atom" in result.reason


def test_atoms_that_fall_into_each_other_are_rejected() -> None:
    crystal = copper(n=2)
    settings = RelaxSettings(relax_cell=False, max_energy_drop=1e3, min_distance=1.0)
    result = relax([crystal], Scripted(lambda c, n: constant(-1.0 - n, force=-5.0)(c, n)), settings)[0]
    assert result.status is RelaxationStatus.REJECTED_DISTANCE
    assert "close" in result.reason
    _rejected(result, crystal)


def test_overlapping_atoms_are_rejected_before_any_energy() -> None:
    crystal = copper(n=2)
    crystal = crystal.replace(frac_coords=[[0.1, 0.1, 0.1], [0.1, 0.1, 0.11]])
    potential = Scripted(constant())
    result = relax([crystal], potential)[0]
    assert result.status is RelaxationStatus.REJECTED_DISTANCE
    assert "at the start" in result.reason
    assert result.energy_per_atom is None
    assert potential.calls == 0


def test_a_hole_in_the_potential_is_rejected() -> None:
    crystal = copper()
    result = relax([crystal], Scripted(lambda c, n: constant(-20.0 * n, force=1.0)(c, n)))[0]
    assert result.status is RelaxationStatus.REJECTED_ENERGY
    assert "fell" in result.reason
    assert result.energy_per_atom == 0.0
    _rejected(result, crystal)


def test_ending_above_the_start_is_rejected() -> None:
    crystal = copper()
    settings = RelaxSettings(max_steps=3, relax_cell=False)
    result = relax([crystal], Scripted(lambda c, n: constant(0.1 * n, force=1.0)(c, n)), settings)[0]
    assert result.status is RelaxationStatus.REJECTED_ENERGY
    assert "above the start" in result.reason
    _rejected(result, crystal)


@pytest.mark.parametrize("when", [0, 2])
def test_nan_ends_that_crystal_and_the_batch_goes_on(when: int) -> None:
    def answer(crystal: Crystal, call: int) -> Outcome:
        if crystal.n_atoms == 2 and call >= when:
            return PotentialResult(float("nan"), np.zeros((2, 3)), np.zeros((3, 3)))
        return emt().compute([crystal])[0]

    crystals = [copper(0), copper(1, n=2), copper_gold(2)]
    results = relax(crystals, Scripted(answer))
    assert [r.status for r in results] == ["converged", "potential_failed", "converged"]
    assert "NaN" in results[1].reason
    _rejected(results[1], crystals[1])
    same_bits(results[0], relax([crystals[0]], emt())[0])


def test_a_failure_carries_its_reason() -> None:
    result = relax([copper()], Scripted(lambda *_: PotentialFailure("element 99 unknown")))[0]
    assert result.status is RelaxationStatus.POTENTIAL_FAILED
    assert result.reason == "element 99 unknown"
    assert result.energy_per_atom is None


def test_one_atom_and_hundreds_of_atoms() -> None:
    from ase.build import bulk

    one, many = Crystal.from_ase(bulk("Cu", a=3.4)), Crystal.from_ase(bulk("Cu", a=3.5, cubic=True) * (5, 5, 4))
    small, large = relax([one, many], emt())
    assert many.n_atoms == 400
    assert small.status == large.status == RelaxationStatus.CONVERGED
    assert small.energy_per_atom == pytest.approx(large.energy_per_atom, abs=1e-3)


def test_out_of_steps_keeps_the_way_made_and_says_how_far() -> None:
    result = relax([copper()], emt(), RelaxSettings(max_steps=2, fmax=1e-6))[0]
    assert result.status is RelaxationStatus.MAX_STEPS
    assert result.n_steps == 2
    assert "after 2 steps" in result.reason
    assert result.crystal is not result.initial


def test_zero_steps_is_a_single_point() -> None:
    result = relax([copper()], emt(), RelaxSettings(max_steps=0))[0]
    assert result.energy_per_atom == result.initial_energy_per_atom
    np.testing.assert_array_equal(result.crystal.lattice, copper().lattice)


def test_observer_sees_every_evaluation_in_order() -> None:
    seen: list[tuple[int, int, float]] = []
    results = relax([copper(0), copper(1)], emt(), observer=lambda i, k, _, r: seen.append((i, k, r.energy)))
    for i, result in enumerate(results):
        steps = [(k, e) for j, k, e in seen if j == i]
        assert [k for k, _ in steps] == list(range(result.n_steps + 1))
        assert steps[-1][1] / 4 == result.energy_per_atom


def test_nothing_in_nothing_out() -> None:
    assert relax([], emt()) == []


class Bounded(Scripted):
    """A potential that was trained below a volume an atom."""

    def __init__(self, limit: float) -> None:
        super().__init__(constant(stress=-0.5))  # pushes the cell apart
        self.limit = limit

    def outside(self, crystal: Crystal) -> str | None:
        return "too sparse" if crystal.volume / crystal.n_atoms > self.limit else None


def test_a_path_out_of_the_trained_domain_ends_where_it_began() -> None:
    crystal = copper()
    volume = crystal.volume / crystal.n_atoms
    settings = RelaxSettings(max_steps=5, max_step=0.02)
    inside = relax([crystal], Bounded(10 * volume), settings)[0]
    assert (inside.status, inside.outside) == ("max_steps", None)
    left = relax([crystal], Bounded(1.01 * volume), settings)[0]
    assert left.status is RelaxationStatus.REJECTED_DOMAIN
    assert left.crystal is crystal
    assert left.energy_per_atom == left.initial_energy_per_atom
    assert left.reason == "left what the potential was trained on: too sparse"
    began_outside = relax([crystal], Bounded(0.5 * volume), settings)[0]
    assert (began_outside.status, began_outside.outside) == ("max_steps", "too sparse")


def test_what_the_time_does_not_suffice_for_ends_with_its_lowest_structure() -> None:
    settings = RelaxSettings(batch_size=2, max_steps=40)
    crystals = [copper(0), copper(1), copper(2)]
    energies: dict[int, list[float]] = {}

    def hear(i: int, _: int, crystal: Crystal, result: PotentialResult) -> None:
        energies.setdefault(i, []).append(result.energy / crystal.n_atoms)

    times = iter([False, False, False, True])
    done = relax(crystals, emt(), settings, observer=hear, stop=lambda: next(times))
    begun, waited = done[:2], done[2]
    for i, result in enumerate(begun):
        assert (result.status, result.n_steps, len(energies[i])) == (RelaxationStatus.TIME_UP, 3, 3)
        assert result.energy_per_atom == min(energies[i]) < energies[i][0]
        assert result.reason == "the time was up after 3 steps"
        again = emt().compute([result.crystal])[0]
        assert isinstance(again, PotentialResult)
        assert again.energy / result.crystal.n_atoms == pytest.approx(result.energy_per_atom)
    assert (waited.status, waited.n_steps, waited.energy_per_atom) == (RelaxationStatus.TIME_UP, 0, None)
    assert waited.crystal is crystals[2]


def test_a_path_that_went_uphill_ends_at_its_start_when_the_time_is_up() -> None:
    def uphill(crystal: Crystal, asked: int) -> Outcome:
        return constant(energy=-1.0 + 0.1 * asked, force=1.0)(crystal, asked)

    times = iter([False, False, True])
    (result,) = relax([copper()], Scripted(uphill), RelaxSettings(), stop=lambda: next(times))
    np.testing.assert_array_equal(result.crystal.frac_coords, copper().frac_coords)
    assert (result.status, result.energy_per_atom) == (RelaxationStatus.TIME_UP, -1.0)


def test_time_that_suffices_changes_nothing_and_what_leaves_the_domain_can_still_be_finished() -> None:
    (free,), (timed,) = (relax([copper()], emt(), RelaxSettings(), **more) for more in ({}, {"stop": lambda: False}))  # type: ignore[arg-type]
    same_bits(free, timed)

    class Small:
        """Trained on the start alone."""

        identity = "small"

        def compute(self, crystals: list[Crystal]) -> list[Outcome]:
            return list(emt().compute(crystals))

        def outside(self, crystal: Crystal) -> str | None:
            return None if np.array_equal(crystal.lattice, copper().lattice) else "never seen"

    times = iter([False] * 4 + [True])
    (result,) = relax([copper()], Small(), RelaxSettings(), stop=lambda: next(times))  # type: ignore[arg-type]
    assert (result.status, result.outside) == (RelaxationStatus.TIME_UP, "never seen")
