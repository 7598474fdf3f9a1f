"""How often a known hydrogen network is found in a metal framework that is given."""

from __future__ import annotations

import time
from functools import lru_cache
from typing import Any

from dao_core.crystal import Crystal
from dao_core.studies.left_out import library_templates, query_without
from dao_core.studies.pressure.curves import USABLE
from dao_core.studies.pressure.phases import lah10, lanthanum_framework
from dao_core.studies.pressure.settings import HydrideSettings, PressureSettings
from dao_core.studies.study import Rows

ARMS = ("framework", "templates", "symmetry")
CELL = {"La": 1, "H": 10}


def propose(arm: str, settings: PressureSettings) -> list[Crystal]:
    """Structures of LaH10 by one way: drawn inside the framework, templates scaled to it, or from symmetry alone.

    Args:
        arm: One of `ARMS`.
        settings: Of the study.
    """
    how = settings.hydride
    if arm == "templates":
        hits, _ = query_without(library_templates(settings.library), CELL, how.n)
        return [_scaled(h.crystal, how) for h in hits]
    generator = _generator(settings.generator)
    if arm == "symmetry":
        symmetry = generator.symmetry
        made = [] if symmetry is None else symmetry.propose(CELL, how.n, spacegroup=225).items
        return [_scaled(p.crystal, how) for p in made]
    return _drawn(generator, settings)


def _drawn(generator: Any, settings: PressureSettings) -> list[Crystal]:
    from dao_core.generate.constraints import Constraint
    from dao_core.generate.sampler import SampleStart, sample_seed

    given = Constraint(framework=lanthanum_framework(settings.hydride.edge))
    numbers = given.numbers(CELL)
    starts = [
        SampleStart(numbers, sample_seed(settings.seed, CELL, i), constraint=given) for i in range(settings.hydride.n)
    ]
    return [p.crystal for p in generator.sample(starts) if p.crystal is not None]


@lru_cache(maxsize=1)
def _generator(name: str) -> Any:
    from dao_core.generate.sampler import Generator

    return Generator.load(name)


def _scaled(crystal: Crystal, how: HydrideSettings) -> Crystal:
    """At the volume that lanthanum's framework has."""
    wanted = lanthanum_framework(how.edge).volume * crystal.composition["La"]
    return crystal.replace(lattice=crystal.lattice * (wanted / crystal.volume) ** (1 / 3))


def measure_arm(arm: str, settings: PressureSettings) -> Rows:
    """Draw, relax with the framework's cell kept, compare with the known network.

    Args:
        arm: One of `ARMS`.
        settings: Of the study.

    Returns:
        One row a structure: `found` (same crystal at the benchmark tolerances), `rms` where it is, `seconds` for one.
    """
    from dao_core.energy.registry import load_potential
    from dao_core.energy.relaxation.relax import RelaxSettings, relax
    from dao_core.matching.pairs import match_pairs

    how = settings.hydride
    begin = time.process_time()
    made = propose(arm, settings)
    if how.relax_steps and made:
        rule = RelaxSettings(max_steps=how.relax_steps, relax_cell=False, min_distance=0.3, max_energy_drop=100.0)
        made = [r.crystal for r in relax(made, load_potential(settings.judge), rule)]
    seconds = (time.process_time() - begin) / max(1, len(made))
    known = lah10(how.edge)
    compared = match_pairs(predicted=made, reference=[known] * len(made))[0]
    rows: Rows = [
        {"arm": arm, "rank": i, "found": c.rms is not None, "rms": c.rms, "reason": c.reason,
         "cpu_seconds": round(seconds, 2)}
        for i, c in enumerate(compared)
    ]  # fmt: skip
    return rows or [{"arm": arm, "rank": -1, "found": False, "rms": None, "reason": "nothing proposed",
                     "cpu_seconds": 0.0}]  # fmt: skip


def measure_phonons(settings: PressureSettings) -> Rows:
    """Phonons of the known network at the pressure, by the judge, and the shortest H-H distance.

    Args:
        settings: Of the study.

    Returns:
        One row; without phonons, and with the reason, where the relaxation at the pressure was rejected.
    """
    from dao_core.energy.registry import load_potential
    from dao_core.energy.relaxation.relax import RelaxSettings, relax
    from dao_core.evaluate.validity import min_distance
    from dao_core.screening.analysis.phonons import PhononError, phonons
    from dao_core.screening.analysis.settings import PhononSettings

    how, judge = settings.hydride, load_potential(settings.judge)
    rule = RelaxSettings(
        max_steps=settings.relax_steps, pressure_gpa=how.gpa, keep_symmetry=True, fmax=settings.fmax, stress_gpa=1.0
    )
    result = relax([lah10(how.edge)], judge, rule)[0]
    crystal = result.crystal
    row: dict[str, Any] = {
        "gpa": how.gpa, "relaxation": str(result.status), "volume_per_atom": crystal.volume / crystal.n_atoms,
        "shortest_distance": min_distance(crystal), "softest_thz": None, "n_imaginary": None, "supercell": "",
        "reason": result.reason,
    }  # fmt: skip
    if str(result.status) not in USABLE:  # the judge has left its domain: forces there say nothing
        return [row]
    try:
        found = phonons(
            crystal, judge, PhononSettings(min_length=how.phonon_length, max_atoms=how.phonon_atoms, mesh=4)
        )
    except PhononError as error:
        return [{**row, "reason": str(error)}]
    size = "x".join(map(str, found.supercell))
    return [{**row, "softest_thz": found.softest.frequency, "n_imaginary": found.n_imaginary, "supercell": size}]
