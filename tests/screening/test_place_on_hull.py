from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from dao_core.hull.reference_hull import (
    HullCoverageError,
    HullEntry,
    HullIdentityError,
    ReferenceHull,
    hull_from_records,
)
from dao_core.screening.place_on_hull import place_on_hull
from tests.helpers.candidates import candidate, perovskite, rocksalt

ENTRIES = (
    HullEntry("na", {"Na": 2}, -1.3),
    HullEntry("cl", {"Cl": 4}, -1.8),
    HullEntry("nacl", {"Na": 1, "Cl": 1}, -3.4),
    HullEntry("nacl-high", {"Na": 2, "Cl": 2}, -3.1),
)


def test_distance_decomposition_and_formation_energy() -> None:
    hull = ReferenceHull("test-potential", ENTRIES)
    placed = place_on_hull([candidate("a", rocksalt(), -3.38)], hull)[0]
    assert placed.e_above_hull == pytest.approx(0.02)
    assert placed.formation_energy_per_atom == pytest.approx(-3.38 + 1.55)
    assert placed.decomposition == "NaCl"
    assert placed.hull_identity == "test-potential"


def test_a_candidate_below_the_hull_is_negative() -> None:
    placed = place_on_hull([candidate("a", rocksalt(), -3.5)], ReferenceHull("test-potential", ENTRIES))[0]
    assert placed.e_above_hull == pytest.approx(-0.1)


def test_energies_of_another_potential_are_refused_before_anything_is_computed() -> None:
    hull = ReferenceHull("MP2020", ENTRIES)
    with pytest.raises(HullIdentityError, match=r"MP2020.*test-potential.*relax the hull"):
        place_on_hull([candidate("a", rocksalt(), -3.5)], hull)
    with pytest.raises(HullIdentityError):
        place_on_hull([candidate("a", rocksalt(), -3.5, energy_identity=None)], hull)


def test_a_missing_element_leaves_the_distance_unknown_and_says_why() -> None:
    placed = place_on_hull([candidate("a", perovskite(), -8.0)], ReferenceHull("test-potential", ENTRIES))[0]
    assert placed.e_above_hull is None
    assert "no elemental reference for O, Sr, Ti" in placed.provenance["hull"]


def test_rejected_candidates_get_no_distance() -> None:
    item = candidate("a", rocksalt(), -9.0, relaxation_status="rejected_energy", energy_identity="other")
    assert place_on_hull([item], ReferenceHull("test-potential", ENTRIES))[0].e_above_hull is None


def test_an_empty_hull_is_refused() -> None:
    with pytest.raises(HullCoverageError, match="at least one"):
        ReferenceHull("x", ())


@given(st.integers(0, 100_000))
@settings(max_examples=20, deadline=None)
def test_agrees_with_pymatgen_on_random_systems(seed: int) -> None:
    rng = np.random.default_rng(seed)
    symbols = ["Li", "Fe", "O", "P"][: rng.integers(2, 5)]
    entries = [HullEntry(s, {s: 1}, float(rng.normal(-4, 2))) for s in symbols]
    for i in range(12):
        counts = rng.integers(0, 4, size=len(symbols))
        if counts.sum():
            composition = {s: int(n) for s, n in zip(symbols, counts, strict=True) if n}
            entries.append(HullEntry(str(i), composition, float(rng.normal(-4.5, 1))))
    hull = ReferenceHull("x", tuple(entries))
    pd = PhaseDiagram(
        [PDEntry(Composition(e.composition), e.energy_per_atom * sum(e.composition.values())) for e in entries]
    )
    target = {s: int(n) for s, n in zip(symbols, rng.integers(1, 6, size=len(symbols)), strict=True)}
    expected = pd.get_hull_energy_per_atom(Composition(target))
    assert hull.decompose(target).energy_per_atom == pytest.approx(expected, abs=1e-8)


def record(id: str, functional: str, numbers: list[int], energy: float | None) -> SimpleNamespace:
    return SimpleNamespace(
        material_id=id,
        functional=functional,
        atomic_numbers=np.array(numbers),
        energy_per_atom=energy,
        formation_energy_per_atom=None,
    )


def test_hull_from_records_of_one_functional() -> None:
    rows = [record("a", "PBE", [11], -1.3), record("b", "PBE", [17, 17], -1.8), record("c", "PBE", [11, 17], None)]
    hull = hull_from_records(rows)
    assert hull.identity == "PBE"
    assert hull.elemental == {"Na": -1.3, "Cl": -1.8}
    with pytest.raises(HullIdentityError, match="several functionals"):
        hull_from_records([*rows, record("d", "OQMD-PBE", [11, 17], -3.0)])


@pytest.mark.shared
def test_published_hull_distances_are_reproduced(shared_data) -> None:
    import gzip
    import json

    with gzip.open(shared_data / "mp_entries" / "Mn_O_Y.json.gz", "rt") as handle:
        content = json.load(handle)
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    rows = [ComputedStructureEntry.from_dict(e) for e in (content if isinstance(content, list) else content["entries"])]
    pd = PhaseDiagram(rows)
    entries = tuple(
        HullEntry(str(e.entry_id), {s: int(n) for s, n in e.composition.as_dict().items()}, e.energy_per_atom)
        for e in rows
    )
    hull = ReferenceHull("MP2020", entries)
    for row, entry in zip(rows, entries, strict=True):
        above = entry.energy_per_atom - hull.decompose(entry.composition).energy_per_atom
        assert above == pytest.approx(pd.get_e_above_hull(row), abs=1e-8)
