"""`Candidate`: one proposed structure with everything that screening learned about it."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.hull.label import EnergyLabel
from dao_core.matching.distances import shortest_distance

# Statuses of a relaxation that leave an energy worth ranking.
USABLE_STATUSES = frozenset({"converged", "max_steps", "not_relaxed"})
LOG_PRIOR = "log_prior"  # where proposals carry it in their provenance
AMU_PER_A3_IN_G_PER_CM3 = 1.66053906660


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposed structure. A value that is not known is None, never a guess.

    Units: eV/atom for energies, GPa for pressures, angstrom for `min_distance` and `symprec`, g/cm^3 for `density`.
    `energy_identity` names the potential that made `energy_per_atom`; `hull_identity` the one that made the hull.
    `log_prior` is the log of the structure's probability before any energy (see screening/proposals.py),
    `probability` the posterior among the candidates of its formula (see screening/ranking.py).
    `extras` holds the results of optional stages (phonons, pressure, DFT), `cost` seconds (or counts) by stage.
    """

    id: str
    formula: str
    crystal: Crystal
    origin: str
    energy_per_atom: float | None = None
    energy_std: float | None = None
    energy_identity: str | None = None
    e_above_hull: float | None = None
    formation_energy_per_atom: float | None = None
    decomposition: str | None = None
    hull_identity: str | None = None
    p_stable: float | None = None
    log_prior: float | None = None
    probability: float | None = None
    spacegroup_before: int | None = None
    spacegroup_after: int | None = None
    symprec: float | None = None
    prototype: str | None = None
    novelty: str | None = None
    novelty_reference: str | None = None
    relaxation_status: str = "not_relaxed"
    min_distance: float | None = None
    density: float | None = None
    n_merged: int = 1
    merged_ids: tuple[str, ...] = ()
    provenance: Mapping[str, Any] = field(default_factory=dict)
    cost: Mapping[str, float] = field(default_factory=dict)
    extras: Mapping[str, Any] = field(default_factory=dict)

    @property
    def usable(self) -> bool:
        """Whether the candidate has an energy from a relaxation that was not rejected."""
        return self.energy_per_atom is not None and self.relaxation_status in USABLE_STATUSES

    @property
    def energy_label(self) -> EnergyLabel | None:
        """What `energy_per_atom` means; None where nobody said who made it."""
        return None if self.energy_identity is None else EnergyLabel.from_identity(self.energy_identity)

    @property
    def model_formation_energy(self) -> float | None:
        """Formation energy per atom (eV) as the model has it: against the hull's elements, else DAO-P's own zero."""
        label = self.energy_label
        own = self.energy_per_atom if label is not None and label.kind == "formation" else None
        return own if self.formation_energy_per_atom is None else self.formation_energy_per_atom

    @property
    def volume_per_atom(self) -> float:
        """Cell volume over atoms in angstrom^3."""
        return self.crystal.volume / self.crystal.n_atoms

    @property
    def z(self) -> int:
        """Formula units in the cell."""
        from functools import reduce
        from math import gcd

        return reduce(gcd, self.crystal.composition.values())

    def replace(self, **changes: Any) -> Candidate:
        """A copy with some fields exchanged."""
        return dataclasses.replace(self, **changes)


def mass_density(crystal: Crystal) -> float:
    """Mass density in g/cm^3, from ASE's standard atomic masses."""
    from ase.data import atomic_masses

    mass = float(atomic_masses[crystal.atomic_numbers].sum())
    return mass / crystal.volume * AMU_PER_A3_IN_G_PER_CM3


def new_candidate(
    id: str,
    crystal: Crystal,
    *,
    origin: str,
    energy_per_atom: float | None = None,
    relaxation_status: str = "not_relaxed",
    **fields: Any,
) -> Candidate:
    """A candidate with formula, density and shortest distance filled in from its structure.

    An energy that is NaN or infinite is stored as unknown with the status `potential_failed`.
    """
    if energy_per_atom is not None and not np.isfinite(energy_per_atom):
        energy_per_atom, relaxation_status = None, "potential_failed"
    return Candidate(
        id=id,
        formula=crystal.formula_reduced,
        crystal=crystal,
        origin=origin,
        energy_per_atom=energy_per_atom,
        relaxation_status=relaxation_status,
        min_distance=shortest_distance(crystal),
        density=mass_density(crystal),
        **{LOG_PRIOR: (fields.get("provenance") or {}).get(LOG_PRIOR), **fields},
    )
