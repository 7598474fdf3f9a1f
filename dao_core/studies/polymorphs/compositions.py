"""Compositions with several known structures in the test halves, and what the generator has seen of them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.matching.same import STRICT, MatchSettings, same_crystal
from dao_core.studies.benchmark_data import read_targets
from dao_core.studies.study import StudyError

TEST_HALVES = ("mp-20", "mpts-52")
ENERGIES = "mp_structures.parquet"
SCHEME = "energy_per_atom_mpf2021"


@dataclass(frozen=True)
class Reference:
    """A known structure; `energy_per_atom` is the source's own (eV, one scheme for all), None where it has none."""

    id: str
    crystal: Crystal
    energy_per_atom: float | None = None


@dataclass(frozen=True)
class PolymorphSet:
    """All different known structures of a composition in the test halves.

    `seen` are the ids of this composition among the rows that the generator has learned from.
    """

    formula: str
    references: tuple[Reference, ...]
    seen: tuple[str, ...] = ()

    @property
    def n_atoms(self) -> int:
        """Of the largest cell."""
        return max(r.crystal.n_atoms for r in self.references)

    @property
    def cells(self) -> list[dict[str, int]]:
        """The different cell contents, smallest first."""
        found = {tuple(r.crystal.composition.items()): r.crystal.n_atoms for r in self.references}
        return [dict(cell) for cell in sorted(found, key=lambda c: (found[c], c))]


def read_references(data: Path) -> list[Reference]:
    """The test halves of MP-20 and MPTS-52, each id once. Raises BenchmarkDataError where a split is missing."""
    energies = _energies(data / ENERGIES)
    found: dict[str, Reference] = {}
    for name in TEST_HALVES:
        for target in read_targets(data, name)[0]:
            found.setdefault(target.id, Reference(target.id, target.crystal, energies.get(target.id)))
    return list(found.values())


def _energies(path: Path) -> dict[str, float]:
    import pyarrow.parquet as pq

    if not path.exists():
        return {}
    table = pq.read_table(path, columns=["material_id", SCHEME])
    pairs = zip(table["material_id"].to_pylist(), table[SCHEME].to_pylist(), strict=True)
    return {str(name): float(e) for name, e in pairs if e is not None and np.isfinite(e)}


def group(references: Iterable[Reference]) -> tuple[list[PolymorphSet], dict[str, int]]:
    """Compositions with at least two different structures, most first, and how many ids were repeats of another.

    Two are the same at pymatgen's default tolerances: what those cannot tell apart is one polymorph.
    """
    by_formula: dict[str, list[Reference]] = {}
    for reference in references:
        by_formula.setdefault(reference.crystal.formula_reduced, []).append(reference)
    sets, repeats = [], 0
    for formula, members in by_formula.items():
        if len(members) < 2:
            continue
        kept: list[Reference] = []
        for member in sorted(members, key=lambda r: r.id):
            if any(same_crystal(member.crystal, other.crystal, STRICT) for other in kept):
                repeats += 1
            else:
                kept.append(member)
        if len(kept) > 1:
            sets.append(PolymorphSet(formula, tuple(kept)))
    sets.sort(key=lambda s: (-len(s.references), s.n_atoms, s.formula))
    return sets, {"references_that_repeat_another": repeats}


def counts_by_size(sets: Sequence[PolymorphSet]) -> dict[str, int]:
    """How many compositions have 2, 3, ... polymorphs."""
    return {str(n): k for n, k in sorted(Counter(len(s.references) for s in sets).items())}


def leaks_into_training(
    path: Path, formulas: Iterable[str], name: str = "polymorphs"
) -> tuple[dict[str, list[str]], list[dict[str, Any]]]:
    """Which rows that a model has learned from have one of the formulas, by the leak audit of CrysDB.

    Args:
        path: Parquet with material_id, atomic_numbers, lattice, frac_coords.
        formulas: Reduced formulas that are to be found.
        name: Of the study, for the audit's table.

    Returns:
        Ids by formula, and the audit's own table.

    Raises:
        StudyError: The file is missing: what a generator has seen has to be known.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    from dao_core.crysdb.steps.leakage import Benchmark, audit, leak_table
    from dao_core.elements import reduced_formula

    if not path.exists():
        raise StudyError(f"{path} is not there: name what the generator was trained on (trained_on)")
    rows = pq.read_table(path, columns=["material_id", "atomic_numbers", "lattice", "frac_coords"])
    names = [reduced_formula(z) for z in rows["atomic_numbers"].to_pylist()]
    rows = rows.append_column("formula_reduced", pa.array(names, type=pa.string()))
    rows = rows.append_column("prototype_key", pa.nulls(len(rows), pa.string()))
    benchmark = Benchmark(name, formulas_only=frozenset(formulas))
    leaks = audit([rows], [benchmark], MatchSettings())
    found: dict[str, list[str]] = {}
    for row, formula in zip(rows["material_id"].to_pylist(), names, strict=True):
        if row in leaks:
            found.setdefault(formula, []).append(str(row))
    return found, leak_table(leaks, len(rows), [benchmark])


def choose(sets: Sequence[PolymorphSet], limit: int, max_atoms: int) -> tuple[list[PolymorphSet], dict[str, int]]:
    """Those that the generator has seen nothing of, small enough; all with three or more, then random ones.

    Args:
        sets: All compositions, with what was seen of them.
        limit: How many; 0: all.
        max_atoms: Largest reference cell.

    Returns:
        The chosen ones, and how many were left out for which reason.
    """
    clean = [s for s in sets if not s.seen]
    small = [s for s in clean if s.n_atoms <= max_atoms]
    many = [s for s in small if len(s.references) > 2]
    pairs = [s for s in small if len(s.references) == 2]
    if limit:
        order = np.random.default_rng(0).permutation(len(pairs))[: max(0, limit - len(many))]
        chosen = many[:limit] + [pairs[i] for i in sorted(order)]
    else:
        chosen = many + pairs
    return chosen, {
        "seen_in_training": len(sets) - len(clean),
        "cell_too_large": len(clean) - len(small),
        "not_drawn": len(small) - len(chosen),
    }


def set_to_row(item: PolymorphSet) -> dict[str, Any]:
    """Plain values of a set, for a file in the run's own folder."""
    return {
        "formula": item.formula,
        "seen": list(item.seen),
        "references": [
            {
                "id": r.id, "energy": r.energy_per_atom, "lattice": r.crystal.lattice.tolist(),
                "frac_coords": r.crystal.frac_coords.tolist(), "atomic_numbers": r.crystal.atomic_numbers.tolist(),
            }
            for r in item.references
        ],
    }  # fmt: skip


def set_from_row(row: Mapping[str, Any]) -> PolymorphSet:
    """Back from `set_to_row`. Raises StudyError where a structure is none."""
    try:
        references = tuple(
            Reference(r["id"], Crystal(r["lattice"], r["frac_coords"], r["atomic_numbers"]), r["energy"])
            for r in row["references"]
        )
    except InvalidCrystalError as error:
        raise StudyError(f"a structure of {row['formula']} is damaged ({error}): run the study in a new folder") from (
            error
        )
    return PolymorphSet(row["formula"], references, tuple(row["seen"]))
