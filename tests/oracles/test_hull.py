"""Our hulls against pymatgen's PhaseDiagram: less than 1e-6 eV apart for every entry."""

from __future__ import annotations

import gzip
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dao_core.elements import SYMBOLS
from dao_core.hull.facets import system_distances
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel

LABEL = EnergyLabel("x")


def compare(entries: list) -> float:
    from pymatgen.analysis.phase_diagram import PhaseDiagram

    diagram = PhaseDiagram(entries)
    theirs = [diagram.get_e_above_hull(e, allow_negative=True) for e in entries]
    pairs = [({el.Z: round(n) for el, n in e.composition.items()}, e.energy_per_atom) for e in entries]
    hull = Hull.from_entries((HullEntry(*p) for p in pairs), LABEL)
    ours = [hull.e_above_hull(c, e, label=LABEL) for c, e in pairs]
    assert None not in ours
    stable = {e.composition.reduced_formula for e in diagram.stable_entries if not e.is_element}
    assert len(hull.stable({el.Z for el in diagram.elements})) == len(stable)
    return float(np.abs(np.array(ours) - np.array(theirs)).max())


@pytest.mark.parametrize(("n_elements", "n_entries"), [(2, 40), (3, 80), (4, 100), (5, 120)])
@pytest.mark.parametrize("seed", [0, 1])
def test_random_systems(n_elements: int, n_entries: int, seed: int) -> None:
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    rng = np.random.default_rng(seed)
    symbols = ["Li", "Fe", "P", "O", "Mn"][:n_elements]
    entries = [ComputedEntry(Composition({s: 1}), float(rng.normal(-4, 1))) for s in symbols]
    while len(entries) < n_entries:
        counts = rng.integers(0, 4, n_elements)
        if counts.sum() == 0:
            continue
        base = sum(int(n) * entries[i].energy for i, n in enumerate(counts))
        energy = base + float(rng.normal(-0.3, 0.5)) * int(counts.sum())
        if (counts > 0).sum() == 1:
            energy = base + abs(energy - base)
        entries.append(ComputedEntry(Composition(dict(zip(symbols, counts.tolist(), strict=True))), energy))
    assert compare(entries) < 1e-6


@pytest.mark.parametrize("compounds", [{"LiFePO4": -2.0}, {"Li2O": -1.5, "FeO": -1.0}, {"Fe2P": -0.4, "LiFePO4": -2.0}])
def test_sparse_systems_one_compound_or_none_of_their_own(compounds: dict[str, float]) -> None:
    """Few compounds below the elements, and unstable rows all over the system and its subsystems."""
    from pymatgen.core import Composition
    from pymatgen.entries.computed_entries import ComputedEntry

    rng = np.random.default_rng(0)
    symbols = ["Li", "Fe", "P", "O"]
    entries = [ComputedEntry(Composition(s), 0.0) for s in symbols]
    entries += [
        ComputedEntry(c, e * Composition(c).num_atoms) for c, e in ((Composition(k), v) for k, v in compounds.items())
    ]
    for counts in rng.integers(0, 4, (40, 4)):
        if (counts > 0).sum() > 1:
            formula = Composition(dict(zip(symbols, counts.tolist(), strict=True)))
            entries.append(ComputedEntry(formula, float(abs(rng.normal(0.2, 0.1))) * formula.num_atoms))
    assert compare(entries) < 1e-6


@pytest.mark.shared
@pytest.mark.parametrize("system", ["Mn_O_Y", "Cl_Mn_Na_O_Y", "Fe_Li_O_P"])
def test_complete_systems_of_the_materials_project(shared_data: Path, system: str) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    with gzip.open(shared_data / "mp_entries" / f"{system}.json.gz") as handle:
        entries = [ComputedStructureEntry.from_dict(d) for d in json.load(handle)]
    assert compare(entries) < 1e-6


@pytest.mark.parametrize("n_elements", [2, 3, 4])
def test_one_system_in_one_go_agrees_with_the_hulls_built_from_subsystems(n_elements: int) -> None:
    rng = np.random.default_rng(n_elements)
    counts = np.concatenate([np.eye(n_elements, dtype=int), rng.integers(0, 4, (60, n_elements))])
    counts = counts[counts.sum(axis=1) > 0]
    energies = rng.normal(-3, 0.5, len(counts))
    numbers = [3, 8, 15, 26][:n_elements]
    pairs = [
        ({z: int(n) for z, n in zip(numbers, row, strict=True) if n}, e)
        for row, e in zip(counts, energies, strict=True)
    ]
    hull = Hull.from_entries((HullEntry(*p) for p in pairs), LABEL)
    slow = np.array([hull.e_above_hull(c, e, label=LABEL) for c, e in pairs])
    assert np.abs(system_distances(counts.astype(float), energies) - slow).max() < 1e-9
    without = counts[:, 0] != counts.sum(axis=1)  # the first element's own entries taken away
    assert np.isnan(system_distances(counts[without].astype(float), energies[without])).all()


@given(st.integers(0, 100_000))
@settings(max_examples=25, deadline=None)
def test_decompositions_agree_with_pymatgen_on_random_systems(seed: int) -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram

    rng = np.random.default_rng(seed)
    numbers = [3, 8, 15, 26][: rng.integers(2, 5)]
    entries = [HullEntry({z: 1}, float(rng.normal(-4, 2))) for z in numbers]
    for _ in range(12):
        counts = rng.integers(0, 4, size=len(numbers))
        if counts.sum():
            composition = {z: int(n) for z, n in zip(numbers, counts, strict=True) if n}
            entries.append(HullEntry(composition, float(rng.normal(-4.5, 1))))
    diagram = PhaseDiagram([PDEntry(composition_of(e), e.energy_per_atom * sum(e.counts.values())) for e in entries])
    target = {z: int(n) for z, n in zip(numbers, rng.integers(1, 6, size=len(numbers)), strict=True)}
    ours = Hull.from_entries(entries, LABEL).decompose(target)
    theirs = diagram.get_decomposition(composition_of(HullEntry(target, 0.0)))
    expected = {e.composition.reduced_formula: w for e, w in theirs.items() if w > 1e-6}
    assert {e.formula: w for e, w in ours.phases if w > 1e-6} == pytest.approx(expected, abs=1e-6)
    assert ours.energy_per_atom == pytest.approx(sum(e.energy_per_atom * w for e, w in theirs.items()), abs=1e-8)


def composition_of(entry: HullEntry) -> Any:
    from pymatgen.core import Composition

    return Composition({SYMBOLS[z]: n for z, n in entry.counts.items()})
