"""`Candidate`: one proposed structure with everything that screening learned about it."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.energy.adapters.dispersion import METHOD
from dao_core.hull.label import EnergyKind, EnergyLabel
from dao_core.matching.distances import shortest_distance
from dao_core.screening.proposed import KNOWN

# Statuses of a relaxation that leave an energy worth ranking; `start` is a structure that its relaxation left.
START, NOT_RELAXED = "start", "not_relaxed"
START_SUFFIX = "-start"  # of the id of a start that its relaxation left
USABLE_STATUSES = frozenset({"converged", "max_steps", NOT_RELAXED, START})
RELAXED_STATUSES = frozenset({"converged", "max_steps"})
AMU_PER_A3_IN_G_PER_CM3 = 1.66053906660


@dataclass(frozen=True, eq=False)
class Candidate:
    """One proposed structure. A value that is not known is None, never a guess.

    Units: eV/atom for energies, GPa for pressures, angstrom for `min_distance` and `symprec`, g/cm^3 for `density`.

    Attributes:
        formula: Reduced formula in pymatgen's order, the key used in CrysDB.
        display_formula: The formula as the user typed it; see `shown_formula`.
        energy_per_atom: What the candidate is ranked by; `energy_identity` made it, `energy_kind` says what it means.
        judged: Whether the judge, the second energy model, relaxed it and made `energy_per_atom`.
        first_energy_per_atom: What it had before that, with `first_energy_identity` and `first_energy_kind`.
        r2scan_shift: What r2SCAN adds to that energy of PBE; it counts in the order of one formula's candidates only.
        hull_identity: What made the energies of the hull behind `e_above_hull`.
        log_prior: Log of the structure's probability before any energy (see screening/proposals.py).
        probability: The posterior among the candidates of its formula (see screening/ranking.py).
        undecided: Its energy is so close to another candidate's that the judge's own error is larger.
        start_id: The candidate from whose structure this one came, where its relaxation left that structure.
        library_id: The library's id of the structure, with `library`, and `library_e_above_hull` on its own hull
            and `library_spacegroup` before any relaxation.
        mineral: The name of the library's structure, such as "quartz".
        n_measured: How often it was measured at ordinary conditions.
        given: What of the structure the user gave; `held` says that its cell and those atoms stay as they are.
        extras: Results of optional stages (phonons, pressure, DFT).
        cost: Seconds (or counts) by stage.
    """

    id: str
    formula: str
    crystal: Crystal
    origin: str
    display_formula: str | None = None
    energy_per_atom: float | None = None
    energy_std: float | None = None
    energy_identity: str | None = None
    energy_kind: EnergyKind | None = None
    first_energy_per_atom: float | None = None
    first_energy_identity: str | None = None
    first_energy_kind: EnergyKind | None = None
    judged: bool = False
    r2scan_shift: float | None = None
    e_above_hull: float | None = None
    formation_energy_per_atom: float | None = None
    decomposition: str | None = None
    hull_identity: str | None = None
    p_stable: float | None = None
    log_prior: float | None = None
    probability: float | None = None
    undecided: bool = False
    spacegroup_before: int | None = None
    spacegroup_after: int | None = None
    symprec: float | None = None
    prototype: str | None = None
    novelty: str | None = None
    novelty_reference: str | None = None
    library: str | None = None
    library_id: str | None = None
    library_e_above_hull: float | None = None
    library_spacegroup: int | None = None
    mineral: str | None = None
    n_measured: int = 0
    relaxation_status: str = "not_relaxed"
    start_id: str | None = None
    given: str = ""
    held: bool = False
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
    def rejected(self) -> bool:
        """Whether something went wrong with it; what nobody has computed yet is not rejected."""
        return not self.usable and self.relaxation_status != NOT_RELAXED

    @property
    def relaxed(self) -> bool:
        """Whether a relaxation ended with this structure."""
        return self.usable and self.relaxation_status in RELAXED_STATUSES

    @property
    def start_kept(self) -> bool:
        """Whether it is the start of a relaxation that ended in another structure."""
        return self.relaxation_status == START

    @property
    def known_without_energy(self) -> bool:
        """Whether a library lists it but has no energy of it: a measured structure."""
        return self.origin == KNOWN and self.library_id is not None and self.library_e_above_hull is None

    @property
    def shown_formula(self) -> str:
        """The formula in the user's order of elements."""
        return self.display_formula or self.formula

    @property
    def energy_label(self) -> EnergyLabel | None:
        """What `energy_per_atom` means; None where nobody said who made it."""
        return None if self.energy_identity is None else EnergyLabel(self.energy_identity, self.energy_kind or "total")

    @property
    def first_energy_label(self) -> EnergyLabel | None:
        """What `first_energy_per_atom` means."""
        if self.first_energy_identity is None:
            return None
        return EnergyLabel(self.first_energy_identity, self.first_energy_kind or "total")

    @property
    def model_formation_energy(self) -> float | None:
        """Formation energy per atom (eV): against the hull's elements, else as a model gives it."""
        if self.formation_energy_per_atom is not None:
            return self.formation_energy_per_atom
        own = [(self.energy_label, self.energy_per_atom), (self.first_energy_label, self.first_energy_per_atom)]
        return next((e for label, e in own if label is not None and label.kind == "formation"), None)

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


def model_name(identity: str) -> str:
    """The identity of a potential as people read it: without the hash of its weights, with dispersion as +D3."""
    name = re.sub(r"[-+][0-9a-f]{8,}$", "", identity)
    return f"{name.removeprefix(f'{METHOD}+')}+D3" if name.startswith(f"{METHOD}+") else name


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
    label: EnergyLabel | None = None,
    **fields: Any,
) -> Candidate:
    """A candidate with formula, density and shortest distance filled in from its structure.

    An energy that is NaN or infinite is stored as unknown with the status `potential_failed`.

    Args:
        id: Unique within a search.
        crystal: The structure.
        origin: How it was proposed.
        label: What its energy means.
        **fields: Further fields of `Candidate`.

    Returns:
        The candidate.
    """
    energy = fields.get("energy_per_atom")
    if energy is not None and not np.isfinite(energy):
        fields |= {"energy_per_atom": None, "relaxation_status": "potential_failed"}
    if label is not None:
        fields |= {"energy_identity": label.made_by, "energy_kind": label.kind}
    return Candidate(
        id=id,
        formula=crystal.formula_reduced,
        crystal=crystal,
        origin=origin,
        min_distance=shortest_distance(crystal),
        density=mass_density(crystal),
        **fields,
    )
