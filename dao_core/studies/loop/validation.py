"""Validation in the loop: pw.x, or a potential that stands in for it. All energies of a run have one label."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from dao_core.crystal import Crystal
from dao_core.energy.potential import Potential, label_of
from dao_core.energy.relaxation.relax import RelaxationStatus, RelaxSettings, relax
from dao_core.hull.label import EnergyLabel
from dao_core.studies.loop.settings import LoopSettings

Relaxed = tuple[Crystal, float]  # and its total energy per atom in eV


@dataclass(frozen=True)
class Validator:
    """Relaxes structures and says their energies, or None where it has no answer.

    Attributes:
        label: What the energies mean.
        validate: Structures to (relaxed structure, eV/atom).
    """

    label: EnergyLabel
    validate: Callable[[Sequence[Crystal]], list[Relaxed | None]]


def load_validator(settings: LoopSettings, root: Path) -> Validator:
    """The validator of a run.

    Args:
        settings: Choose it.
        root: Folder where pw.x keeps its calculations.

    Raises:
        StudyError: pw.x has no pseudopotentials.
    """
    if settings.validator == "qe":
        return _first_principles(settings, root)
    from dao_core.energy.registry import load_potential

    return judge_validator(load_potential(settings.judge), settings.judge_steps)


def judge_validator(judge: Potential, steps: int) -> Validator:
    """A potential in the place of first principles.

    Args:
        judge: The potential.
        steps: At most so many steps downhill; a structure that is not at rest then keeps the energy it has.
    """
    rule = RelaxSettings(max_steps=steps, fmax=0.05, keep_symmetry=True)
    usable = (RelaxationStatus.CONVERGED, RelaxationStatus.MAX_STEPS)

    def validate(crystals: Sequence[Crystal]) -> list[Relaxed | None]:
        out: list[Relaxed | None] = []
        for result in relax(crystals, judge, rule) if crystals else []:
            energy = result.energy_per_atom if result.status in usable else None
            out.append(None if energy is None else (result.crystal, energy))
        return out

    return Validator(label_of(judge), validate)


def _first_principles(settings: LoopSettings, root: Path) -> Validator:
    from dao_core.dft.pseudo.library import find_library
    from dao_core.dft.session import functional_label
    from dao_core.dft.validate import ValidationRun, validate_crystal

    run = ValidationRun(settings.dft, root)
    label = functional_label(find_library(settings.dft.pseudo_dir), settings.dft)

    def validate(crystals: Sequence[Crystal]) -> list[Relaxed | None]:
        results = [validate_crystal(crystal, run) for crystal in crystals]
        return [
            (r.crystal, r.energy_per_atom) if r.ok and r.crystal is not None and r.energy_per_atom is not None else None
            for r in results
        ]

    return Validator(EnergyLabel(label), validate)
