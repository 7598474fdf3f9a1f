"""One run of the loop: propose, rank, validate, store, retrain, and again."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.predictor import DaoPotential
from dao_core.generate.sampler import Generator
from dao_core.hull.hull import Hull, count_atoms
from dao_core.studies.loop.candidates import Candidate, Propose, proposer, ranked, relaxed_candidates, round_cells
from dao_core.studies.loop.phases import PhaseTable
from dao_core.studies.loop.settings import LoopSettings
from dao_core.studies.loop.validation import Validator
from dao_core.studies.retraining import Retraining, tuned_generator, tuned_predictor
from dao_core.studies.study import Rows

if TYPE_CHECKING:
    from dao_core.generate.symmetry.generator import SymmetryGenerator

NEAR_HULL = 0.1  # eV/atom: what DAO-G learns from


@dataclass
class Models:
    """The models as they are in a round, and the checkpoints they are continued from."""

    predictor: DaoPotential
    generator: Generator
    symmetry: SymmetryGenerator | None

    @classmethod
    def load(cls, settings: LoopSettings) -> Models:
        """Those of the settings."""
        generator = Generator.load(settings.generator)
        return cls(DaoPotential.load(settings.predictor), generator, generator.symmetry)


@dataclass
class Run:
    """One arm and seed.

    Attributes:
        settings: Of the study.
        arm: As in `ARMS`.
        seed: Of the cells, the draws and the trainings.
        phases: What is known and validated.
        validator: First principles, or what stands in for them.
        models: As they are now.
        folder: For checkpoints.
    """

    settings: LoopSettings
    arm: str
    seed: int
    phases: PhaseTable
    validator: Validator
    models: Models
    folder: Path

    def rounds(self) -> Rows:
        """All rounds, one after the other.

        Returns:
            A row a validated structure, with its predicted and validated energies and that of the hull before it.
        """
        rows: Rows = []
        validated: list[Crystal] = []
        for number in range(self.settings.rounds):
            propose = proposer(self.settings, self.models.generator, self.models.symmetry)
            chosen, offered = self._choose(number, propose, validated)
            validated += [c.crystal for c in chosen]
            rows += self._validate(number, chosen, offered)
            if self.arm == "loop" and number + 1 < self.settings.rounds:
                self._retrain(number)
        return rows

    def _choose(self, number: int, propose: Propose, validated: list[Crystal]) -> tuple[list[Candidate], int]:
        """What is validated in a round: the best ranked, or random ones; and of how many."""
        s = self.settings
        proposals = [c for cell in round_cells(s, self.seed, number) for c in propose(cell, self.seed + number)]
        crystals = relaxed_candidates(proposals, self.models.predictor, s.relax_steps, validated)
        candidates = ranked(crystals, self.models.predictor, self.phases.hull(), s.optimism)
        if self.arm == "random":
            order = np.random.default_rng([self.seed, number]).permutation(len(candidates))
            candidates = [candidates[int(i)] for i in order]
        return candidates[: s.validations], len(candidates)

    def _validate(self, number: int, chosen: list[Candidate], offered: int) -> Rows:
        """Validate, store what has an energy, and say what the hull was before."""
        hull, label = self.phases.hull(), self.validator.label
        results = self.validator.validate([c.crystal for c in chosen])
        rows: Rows = []
        new = []
        for i, (candidate, result) in enumerate(zip(chosen, results, strict=True)):
            name = f"{self.arm}, seed {self.seed}, round {number}, {i}"
            counts = count_atoms(candidate.crystal.atomic_numbers)
            about: dict[str, Any] = {
                "arm": self.arm, "seed": self.seed, "round": number, "offered": offered, "id": name,
                "formula": candidate.crystal.formula_reduced, "predicted_above_hull": candidate.predicted_above_hull,
                "std": candidate.std, "formation_energy_per_atom": None, "above_hull_then": None,
            }  # fmt: skip
            if result is not None:
                crystal, energy = result
                new.append((name, crystal, energy))
                about["formation_energy_per_atom"] = hull.formation_energy_per_atom(counts, energy, label=label)
                about["above_hull_then"] = hull.e_above_hull(counts, energy, label=label)
            rows.append(about)
        self.phases.add(new)
        return rows

    def _retrain(self, number: int) -> None:
        """Fine-tune the models on everything in the table, each time from where the study began."""
        s = self.settings
        how = Retraining(s.predictor, s.predictor_seconds, self.seed)
        self.models.predictor = tuned_predictor(self.phases.records(), how, self.folder / f"predictor-{number}")
        near = near_hull(self.phases) if s.generator_seconds else []
        if near:
            folder = self.folder / f"generator-{number}"
            how = Retraining(s.generator, s.generator_seconds, self.seed)
            tuned_generator(near, how, folder, "phases close to the hull")
            self.models.generator = Generator.load(folder / "checkpoint")


def near_hull(phases: PhaseTable) -> list[Crystal]:
    """Structures of the table that lie at most NEAR_HULL above its hull."""
    hull: Hull = phases.hull()
    found = []
    for record in phases.table.records():
        energy = float(record.energy_per_atom or 0.0)
        above = hull.e_above_hull(count_atoms(record.atomic_numbers), energy, label=phases.label)
        if above is not None and above <= NEAR_HULL:
            found.append(record.crystal)
    return found
