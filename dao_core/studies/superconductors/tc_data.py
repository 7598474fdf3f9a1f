"""Measured critical temperatures: with a structure (3DSC), and of compositions alone (SuperCon)."""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.studies.study import StudyError

if TYPE_CHECKING:
    import pandas as pd

MEASURED = "superconductors/3dsc_mp_tc.csv"
COMPOSITIONS = "superconductors/supercon_formula_tc.csv"
STRUCTURES = "mp_structures.parquet"
COLUMNS = ("material_id", "lattice", "frac_coords", "atomic_numbers")


@dataclass(frozen=True)
class MeasuredTc:
    """A structure and the critical temperature (K) that was measured for its composition."""

    material_id: str
    crystal: Crystal
    tc: float


@dataclass(frozen=True)
class CompositionTc:
    """A composition without a structure: content of one formula unit, median of its critical temperatures (K)."""

    formula: str
    unit: dict[str, int]
    tc: float


def read_measured(data: Path, max_atoms: int, held_out: Collection[str]) -> tuple[list[MeasuredTc], dict[str, int]]:
    """Structures with a measured Tc, one a composition: the first of several, and why others are not used.

    A Tc of zero has no logarithm and mostly means "not found down to the lowest temperature": it is refused.

    Args:
        data: Folder of the development data.
        max_atoms: Larger cells are left out.
        held_out: Reduced formulas that nothing may learn from.

    Raises:
        StudyError: A file is missing or nothing usable is left.
    """
    table = _table(data / MEASURED, "tc")
    left = Counter({"doped": int(table["synth_doped"].sum())})
    table = table[~table["synth_doped"]]
    rows: list[MeasuredTc] = []
    seen: set[str] = set()
    structures = _structures(data / STRUCTURES, set(table["mp_id"]))
    for formula, name, tc in table[["formula_sc", "mp_id", "tc"]].itertuples(index=False):
        crystal = structures.get(name)
        reason = _no_temperature(tc) or _unusable(formula, crystal, max_atoms)
        if reason is None and crystal is not None:
            composition = crystal.formula_reduced
            reason = "held out" if composition in held_out else "composition again" if composition in seen else None
            if reason is None:
                seen.add(composition)
                rows.append(MeasuredTc(str(name), crystal, float(tc)))
        if reason is not None:
            left[reason] += 1
    if not rows:
        raise StudyError(f"no usable row in {data / MEASURED}: {dict(left)}")
    return rows, dict(+left)


def _no_temperature(tc: float) -> str | None:
    if not np.isfinite(tc):
        return "no Tc"
    return "Tc of zero" if tc <= 0 else None


def _unusable(formula: str, crystal: Crystal | None, max_atoms: int) -> str | None:
    if crystal is None:
        return "no structure"
    if crystal.n_atoms > max_atoms:
        return f"more than {max_atoms} atoms"
    unit = integer_unit(formula)
    return None if unit == _unit_of(crystal) else "structure of another composition"


def _unit_of(crystal: Crystal) -> dict[str, int]:
    divisor = int(np.gcd.reduce(list(crystal.composition.values())))
    return {s: n // divisor for s, n in sorted(crystal.composition.items())}


def integer_unit(formula: str) -> dict[str, int] | None:
    """The formula unit of a formula whose amounts have a ratio of small integers; None for a solid solution.

    Args:
        formula: Such as Nb3Sn, or In0.25Sb0.75, which is InSb3.
    """
    from pymatgen.core import Composition

    try:
        integers, _ = Composition(formula).get_integer_formula_and_factor(max_denominator=MAX_DENOMINATOR)
        unit = parse_formula(integers).unit
    except (ValueError, FormulaError):
        return None
    total = sum(unit.values())
    amounts = Composition(formula)
    exact = all(abs(amounts[s] / amounts.num_atoms - n / total) < 1e-6 for s, n in unit.items())
    return dict(sorted(unit.items())) if exact else None


MAX_DENOMINATOR = 12


def read_compositions(data: Path, max_atoms: int, known: Collection[str]) -> tuple[list[CompositionTc], dict[str, int]]:
    """Ordered compositions that have a Tc and no structure here, and why others are not used.

    Args:
        data: Folder of the development data.
        max_atoms: Largest formula unit.
        known: Reduced formulas that are left out: those with a structure, and the held-out ones.

    Raises:
        StudyError: The file is missing or nothing usable is left.
    """
    from dao_core.elements import atomic_number, reduced_formula

    left: Counter[str] = Counter()
    by_formula: dict[str, tuple[dict[str, int], list[float]]] = {}
    for formula, tc in _table(data / COMPOSITIONS, "Tc")[["name", "Tc"]].itertuples(index=False):
        reason = _no_temperature(tc)
        unit = None if reason else integer_unit(str(formula))
        if unit is None:
            left[reason or "not ordered"] += 1
            continue
        reduced = reduced_formula([atomic_number(s) for s, n in unit.items() for _ in range(n)])
        if sum(unit.values()) > max_atoms:
            left[f"more than {max_atoms} atoms"] += 1
        elif reduced in known:
            left["has a structure, or held out"] += 1
        else:
            by_formula.setdefault(reduced, (unit, []))[1].append(float(tc))
    if not by_formula:
        raise StudyError(f"no usable row in {data / COMPOSITIONS}: {dict(left)}")
    left["composition again"] = sum(len(values) - 1 for _, values in by_formula.values())
    return [CompositionTc(f, unit, float(np.median(v))) for f, (unit, v) in sorted(by_formula.items())], dict(+left)


def _table(path: Path, column: str) -> pd.DataFrame:
    import pandas as pd

    if not path.exists():
        raise StudyError(f"{path} is not there: --data names the folder with the data of the studies")
    table = pd.read_csv(path, comment="#")
    table[column] = pd.to_numeric(table[column], errors="coerce")
    return table


def _structures(path: Path, names: Collection[str]) -> dict[str, Crystal]:
    import pyarrow as pa
    import pyarrow.compute as pc
    import pyarrow.parquet as pq

    if not path.exists():
        raise StudyError(f"{path} is not there: --data names the folder with the data of the studies")
    wanted = pc.field("material_id").isin(pa.array(sorted(names), type=pa.string()))
    found: dict[str, Crystal] = {}
    for row in pq.read_table(path, columns=list(COLUMNS), filters=wanted).to_pylist():
        try:
            crystal = Crystal(
                np.reshape(row["lattice"], (3, 3)), np.reshape(row["frac_coords"], (-1, 3)),
                np.asarray(row["atomic_numbers"], dtype=np.int64),
            )  # fmt: skip
        except InvalidCrystalError:
            continue
        found[row["material_id"]] = crystal.niggli()
    return found
