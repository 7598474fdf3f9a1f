"""Relaxations of a search: symmetry is kept, starts that were left stay, the judge's energy is beside the first."""

from __future__ import annotations

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.hull.label import EnergyLabel
from dao_core.library.known import KnownStructure
from dao_core.screening.candidate import Candidate
from dao_core.screening.proposed import KNOWN, Proposed
from dao_core.screening.ranking import rank
from dao_core.screening.relaxing import UNFINISHED, Relaxer, on_its_own, proposal_candidate, with_energies
from dao_core.screening.settings import JudgeSettings, SearchSettings
from dao_core.screening.symmetry import spacegroup_number
from tests.helpers.candidates import candidate, cesium_chloride, rocksalt
from tests.helpers.potentials import Scripted, emt
from tests.helpers.search_models import models, propose

SETTINGS = SearchSettings(
    max_atoms=4,
    n_generated=0,
    n_seeded=0,
    n_templates=4,
    relax=RelaxSettings(max_steps=15),
    judge=JudgeSettings(relax=RelaxSettings(max_steps=15)),
)


def proposals(formula: str = "CuAu") -> list[Candidate]:
    return [proposal_candidate(p) for p in propose(formula, models(), SETTINGS).items]


class Elsewhere:
    """A potential whose minimum at another place than the start: it pulls one atom of rock salt away."""

    identity = "elsewhere"
    label = EnergyLabel("elsewhere", "formation")

    def compute(self, crystals):
        home = np.array([0.25, 0.25, 0.25])
        out = []
        for c in crystals:
            delta = (c.frac_coords[1] - c.frac_coords[0] - home + 0.5) % 1.0 - 0.5
            pull = -2.0 * (delta @ c.lattice)
            energy = float(((delta @ c.lattice) ** 2).sum())
            out.append(PotentialResult(energy, np.array([-pull, pull]), np.zeros((3, 3))))
        return out


def test_every_proposal_is_relaxed_and_named() -> None:
    items = proposals()
    relaxed = Relaxer(emt(), SETTINGS).first(items)
    assert [c.id for c in relaxed if not c.start_kept] == [c.id for c in items]
    assert {c.energy_identity for c in relaxed} == {"EMT"}
    assert all(c.relaxed and c.energy_per_atom <= c.provenance["initial_energy_per_atom"] + 1e-3 for c in relaxed)
    assert all(c.cost["relax_s"] > 0 for c in relaxed if not c.start_kept)


def test_a_start_s_space_group_is_kept_unless_it_is_not_to_be() -> None:
    def crooked(crystal: Crystal, _: int) -> PotentialResult:  # pulls the last atom off any site, and shears
        result = emt().compute([crystal])[0]
        assert isinstance(result, PotentialResult)
        pull = np.zeros((crystal.n_atoms, 3))
        pull[-1], pull[0] = [0.3, 0.1, 0.2], [-0.3, -0.1, -0.2]
        shear = 0.01 * np.array([[0, 1, 0.5], [1, 0, 0.2], [0.5, 0.2, 0]])
        return PotentialResult(result.energy, result.forces + pull, shear)

    some = RelaxSettings(max_steps=4, optimizer="fire", max_energy_rise=100.0)  # the pull has no energy of its own
    settings = SETTINGS.model_copy(update={"relax": some})
    items = proposals("Cu3Au")
    before = [spacegroup_number(c.crystal) for c in items]
    assert max(before) > 200
    kept = Relaxer(Scripted(crooked), settings).first(items)
    assert [spacegroup_number(c.crystal) for c in kept if not c.start_kept] == before
    loose = Relaxer(Scripted(crooked), settings.model_copy(update={"keep_symmetry": False})).first(items)
    assert max(spacegroup_number(c.crystal) for c in loose if not c.start_kept) < max(before)


def test_a_start_that_its_relaxation_leaves_stays_a_candidate() -> None:
    settings = SETTINGS.model_copy(
        update={"keep_symmetry": False, "relax": RelaxSettings(max_steps=60, relax_cell=False)}
    )
    shifted = rocksalt().replace(frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.47]]))
    item = candidate("x", shifted, None, relaxation_status="not_relaxed", log_prior=-0.5)
    end, start = Relaxer(Elsewhere(), settings).first([item])
    assert (end.id, start.id, end.start_id) == ("x", "x-start", start.id)
    assert end.log_prior < start.log_prior == -0.5
    assert start.start_kept
    assert start.usable
    assert np.array_equal(start.crystal.frac_coords, shifted.frac_coords)
    assert start.energy_label == end.energy_label == EnergyLabel("elsewhere", "formation")
    sample = Relaxer(Elsewhere(), settings).first([item.replace(origin="de novo")])
    assert [c.id for c in sample] == ["x"]  # a sample from noise has nothing that its start would be right for


def test_a_start_whose_atoms_overlap_is_rejected_with_its_relaxation() -> None:
    def bursts(_: Crystal, __: int) -> PotentialResult:
        return PotentialResult(12.0, np.zeros((2, 3)), -40.0 * np.eye(3))

    usual = candidate("x", rocksalt("Nb", "Ta", 6.6), None, relaxation_status="not_relaxed", log_prior=-0.5)
    close = usual.replace(crystal=rocksalt("Nb", "Ta", 3.0))  # 1.5 angstrom where a bond has 3.3
    start, rejected = Relaxer(Scripted(bursts), SETTINGS).first([usual, close])
    assert (start.relaxation_status, rejected.relaxation_status) == ("start", "rejected_volume")
    assert rejected.rejected
    assert [c.id for c in rank([rejected.replace(id="y"), start])] == ["x", "y"]


def test_the_judge_s_energy_comes_beside_the_first_one() -> None:
    first = Relaxer(Elsewhere(), SETTINGS).first([candidate("x", rocksalt(), None, relaxation_status="not_relaxed")])[0]
    alloy = proposals()[0].replace(
        energy_per_atom=-0.25, energy_identity="elsewhere", energy_kind="formation", relaxation_status="converged"
    )
    (seen,) = Relaxer(emt(), SETTINGS).judge(alloy)
    assert seen.judged
    assert seen.energy_label == EnergyLabel("EMT")
    assert (seen.first_energy_per_atom, seen.first_energy_label) == (-0.25, EnergyLabel("elsewhere", "formation"))
    assert seen.model_formation_energy == -0.25
    assert first.judged is False


def test_a_listed_structure_that_the_judge_leaves_stays_beside_what_it_became() -> None:
    loose = JudgeSettings(relax=RelaxSettings(max_steps=60, relax_cell=False))
    settings = SETTINGS.model_copy(update={"keep_symmetry": False, "judge": loose})
    shifted = rocksalt().replace(frac_coords=np.array([[0, 0, 0], [0.5, 0.5, 0.47]]))
    listed = candidate("x", shifted, None, relaxation_status="not_relaxed", log_prior=-0.5, origin=KNOWN,
                       library="L", library_id="L-1", n_measured=2, mineral="salt")  # fmt: skip
    end, start = Relaxer(Elsewhere(), settings).judge(listed)
    assert (end.id, start.id, end.start_id) == ("x", "x-start", "x-start")
    assert (end.library_id, end.n_measured, end.mineral) == (None, 0, None)
    assert end.log_prior < start.log_prior == -0.5
    assert (start.library_id, start.n_measured, start.judged, start.start_kept) == ("L-1", 2, True, True)
    assert start.energy_per_atom > end.energy_per_atom
    assert np.array_equal(start.crystal.frac_coords, shifted.frac_coords)
    merged = listed.replace(n_merged=3, merged_ids=("y", "z"))
    alone = [on_its_own(c, listed) for c in Relaxer(Elsewhere(), settings).judge(merged)]
    assert [(c.n_merged, c.merged_ids, c.library_id, c.log_prior) for c in alone] == [
        (1, (), None, end.log_prior), (1, (), "L-1", -0.5),
    ]  # fmt: skip
    (guess,) = Relaxer(Elsewhere(), settings).judge(listed.replace(library_id=None))
    assert guess.start_id is None


def test_a_judge_that_knows_r2scan_says_what_it_adds_at_the_structures_that_are_kept() -> None:
    class Two(Elsewhere):
        def r2scan_shifts(self, crystals):
            return [float(c.frac_coords[1, 2]) for c in crystals]

    free = SETTINGS.model_copy(update={"keep_symmetry": False})
    listed = candidate("x", rocksalt(), None, relaxation_status="not_relaxed", origin=KNOWN, library_id="L-1")
    end, start = Relaxer(Two(), free).judge(listed)
    assert (end.r2scan_shift, start.r2scan_shift) == (end.crystal.frac_coords[1, 2], rocksalt().frac_coords[1, 2])
    assert end.r2scan_shift != start.r2scan_shift
    off = free.model_copy(update={"judge": free.judge.model_copy(update={"r2scan": False})})
    assert [c.r2scan_shift for c in Relaxer(Two(), off).judge(listed)] == [None, None]
    assert {c.r2scan_shift for c in Relaxer(Elsewhere(), free).judge(listed)} == {None}  # a judge without it


def test_a_judge_that_fails_leaves_the_candidate_as_it_was() -> None:
    before = candidate("x", rocksalt(), -3.0)
    broken = Scripted(lambda _, __: PotentialFailure("no such chemistry"))
    (after,) = Relaxer(broken, SETTINGS).judge(before)
    assert (after.judged, after.energy_per_atom, after.energy_identity) == (False, -3.0, before.energy_identity)
    assert "no such chemistry" in after.provenance["judge"]


def test_what_is_broken_off_stays_as_it_was_whoever_relaxes_it() -> None:
    times = iter([False, False, True] * 2)
    hurried = Relaxer(emt(), SETTINGS, lambda: next(times))
    proposal = proposals()[0]
    (first,) = hurried.first([proposal])
    assert (first.relaxation_status, first.energy_per_atom) == ("not_relaxed", None)
    before = proposal.replace(energy_per_atom=-0.25, energy_identity="elsewhere", relaxation_status="converged")
    (judged,) = hurried.judge(before)
    assert (judged.judged, judged.energy_per_atom, judged.energy_identity) == (False, -0.25, "elsewhere")
    for c in (first, judged):
        assert np.array_equal(c.crystal.lattice, proposal.crystal.lattice)
        assert c.provenance[UNFINISHED] == "EMT: the time was up after 2 steps"
    (finished,) = Relaxer(emt(), SETTINGS).judge(first)
    assert finished.judged
    assert UNFINISHED not in finished.provenance


def test_a_known_structure_remembers_its_library() -> None:
    entry = KnownStructure("L-7", "the library", None, cesium_chloride(), 221, 0.01, -0.5)
    c = proposal_candidate(Proposed("k", entry.crystal, KNOWN, -0.1, known=entry), "ClNa")
    assert (c.library, c.library_id, c.library_e_above_hull, c.shown_formula) == ("the library", "L-7", 0.01, "ClNa")
    assert not c.usable
    assert not c.rejected


def test_energies_as_they_stand_name_their_potential() -> None:
    found = with_energies([candidate("x", rocksalt(), None, relaxation_status="not_relaxed")], Elsewhere())[0]
    assert found.energy_label == EnergyLabel("elsewhere", "formation")
    assert found.relaxation_status == "not_relaxed"
    failed = with_energies([found], Scripted(lambda _, __: PotentialFailure("no")))[0]
    assert failed.rejected
