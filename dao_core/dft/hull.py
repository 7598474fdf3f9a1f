"""QE's own hull: energies of elements and of everything computed so far at one level, kept in the ledger."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Literal

from dao_core.artifacts import Ledger, content_key, write_atomic
from dao_core.crystal import Crystal
from dao_core.dft.element_references import SPIN_MOLECULES, ElementReference, element_reference
from dao_core.dft.magnetism.search import search_orderings
from dao_core.dft.pseudo.library import PseudopotentialError
from dao_core.dft.pw.input import InputError
from dao_core.dft.session import Session, StageFailedError, need

ENTRIES, ENTRY = "dft_entries", "entry.json"
Role = Literal["candidate", "reference"]


def element_energies(run: Session, functional: str, crystal: Crystal, references: Mapping[str, Crystal] | None) -> None:
    """Compute the reference of every element that has none yet. A failed element fails no compound.

    Args:
        run: Session whose ledger gets them; without `elements` in its settings only what is given is computed.
        functional: Label of the energies.
        crystal: The compound.
        references: Structures that the caller prefers, by symbol.
    """
    missing = missing_references(run.ledger, functional, crystal)
    for element in sorted(set(crystal.symbols)):
        given = references is not None and element in references
        if not given and not (run.settings.elements and element in missing):
            continue
        reference = element_reference(element, references)
        if reference is not None:
            _run_element(run, functional, reference)


def _run_element(run: Session, functional: str, reference: ElementReference) -> None:
    name = f"element {reference.element}"
    if run.settings.electronic_type == "insulator":  # the compound is one, its elements may be metals
        run = replace(run, settings=run.settings.model_copy(update={"electronic_type": "metal"}))
    try:
        if reference.molecule:
            pw_input = replace(run.build(reference.crystal, "relax"), kpoints=(1, 1, 1))
            if reference.element in SPIN_MOLECULES and run.settings.spin != "none":
                pw_input = replace(
                    pw_input.with_values("system", nspin=2),
                    magnetisation={reference.element: SPIN_MOLECULES[reference.element]},
                )
            final, crystal, energy = need(run, name, pw_input)
        else:
            ordering = search_orderings(run, reference.crystal).lowest
            moments = _reference_moments(run, reference) if ordering is None else ordering.moments
            start = reference.crystal if ordering is None else ordering.crystal
            _, relaxed, _ = need(run, f"{name}, vc-relax", run.build(start, "vc-relax", moments))
            final, crystal, energy = need(run, f"{name}, scf", run.build(relaxed, "scf", moments))
    except (StageFailedError, InputError, PseudopotentialError):
        return  # its stage is in the summary; the compound's own result stands
    entry = DftEntry(functional, crystal, energy / crystal.n_atoms, final.key, role="reference")
    add_entry(run.ledger, entry)


def _reference_moments(run: Session, reference: ElementReference) -> tuple[float, ...] | None:
    """Starting moments of a solid of molecules that carry a spin: without it oxygen lies 0.46 eV/atom too high."""
    if reference.element not in SPIN_MOLECULES or run.settings.spin == "none":
        return None
    valence = run.library.select([reference.element])[reference.element].z_valence
    return (SPIN_MOLECULES[reference.element] * valence,) * reference.crystal.n_atoms


@dataclass(frozen=True)
class DftEntry:
    """An energy for the hull; a `reference` is the elements' zero, whatever candidates there are.

    Attributes:
        functional: Label of the energies; only equal ones share a hull.
        crystal: The structure.
        energy_per_atom: In eV/atom.
        calculation: Key of the calculation in the stage `dft_pw`.
        role: Candidate or elemental reference.
        parent_id: The candidate that the calculation started from.
    """

    functional: str
    crystal: Crystal
    energy_per_atom: float
    calculation: str
    role: Role = "candidate"
    parent_id: str | None = None


def add_entry(ledger: Ledger, entry: DftEntry) -> None:
    """Record an energy for the hull, once."""
    numbers = entry.crystal.atomic_numbers.tolist()
    content: dict[str, Any] = {
        "functional": entry.functional,
        "counts": {str(z): numbers.count(z) for z in sorted(set(numbers))},
        "energy_per_atom": entry.energy_per_atom,
        "calculation": entry.calculation,
        "role": entry.role,
        "parent_id": entry.parent_id,
    }
    key = content_key(functional=entry.functional, calculation=entry.calculation, role=entry.role)
    ledger.run(ENTRIES, key, lambda folder: write_atomic(folder / ENTRY, json.dumps(content)))


def entry_files(ledger: Ledger, functional: str) -> list[dict[str, Any]]:
    """Everything recorded at one level, as it was written."""
    contents = [json.loads(path.read_text()) for path in sorted((ledger.root / ENTRIES).glob(f"*/{ENTRY}"))]
    return [c for c in contents if c["functional"] == functional]


def entry_labels(ledger: Ledger) -> set[str]:
    """Labels of all energies in the ledger."""
    return {json.loads(path.read_text())["functional"] for path in (ledger.root / ENTRIES).glob(f"*/{ENTRY}")}


def read_entries(ledger: Ledger, functional: str, *, role: Role | None = None) -> list[tuple[dict[int, int], float]]:
    """Everything computed at one level so far.

    Args:
        ledger: Of the calculations.
        functional: Label of the energies.
        role: Only elements, or only compounds; None: both.

    Returns:
        (atomic number -> count, energy in eV/atom).
    """
    return [
        ({int(z): int(n) for z, n in content["counts"].items()}, float(content["energy_per_atom"]))
        for content in entry_files(ledger, functional)
        if role in (None, content.get("role", "candidate"))
    ]


def missing_references(ledger: Ledger, functional: str, crystal: Crystal) -> tuple[str, ...]:
    """Elements of a crystal that have no reference energy at this level yet."""
    known = {z for counts, _ in read_entries(ledger, functional, role="reference") for z in counts}
    pairs = set(zip(crystal.symbols, crystal.atomic_numbers.tolist(), strict=True))
    return tuple(sorted(s for s, z in pairs if z not in known))


def on_hull(
    ledger: Ledger, functional: str, crystal: Crystal, energy_per_atom: float
) -> tuple[float | None, float | None]:
    """Where an energy lies against what was computed at the same level.

    Args:
        ledger: Of the calculations.
        functional: Label of the energies.
        crystal: The compound.
        energy_per_atom: eV/atom.

    Returns:
        (formation energy, energy above the hull) in eV/atom; None where an element is missing.
    """
    from dao_core.hull.hull import Hull, HullEntry, count_atoms
    from dao_core.hull.label import EnergyLabel

    if missing_references(ledger, functional, crystal):
        return None, None  # a candidate element must not become its own zero
    label = EnergyLabel(functional)
    references = [HullEntry(*pair) for pair in read_entries(ledger, functional, role="reference")]
    entries = (HullEntry(*pair) for pair in read_entries(ledger, functional))
    hull = Hull.from_entries(entries, label, references=references)
    counts = count_atoms(crystal.atomic_numbers)
    formation = hull.formation_energy_per_atom(counts, energy_per_atom, label=label)
    return formation, hull.e_above_hull(counts, energy_per_atom, label=label)
