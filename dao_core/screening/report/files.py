"""The answer as files: CIFs in rank order, Parquet, extended xyz and OPTIMADE-ready JSON, all of the same cells."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dao_core.artifacts import plain
from dao_core.screening.candidate import Candidate
from dao_core.screening.symmetry import SNAP_SYMPREC

PROVIDER = "dao"
SYMMETRIZED = "symmetrized"
NAMES = {"parquet": "candidates.parquet", "extxyz": "candidates.extxyz", "optimade": "optimade.jsonl"}


def formula_in_names(shown: str) -> str:
    """A formula as the names of its CIF files carry it."""
    return re.sub(r"[^A-Za-z0-9.]", "", shown)


def cif_name(candidate: Candidate, position: int) -> str:
    """`001_NaCl_225.cif`: rank, reduced formula, space group (000 where it is unknown)."""
    number = candidate.spacegroup_after if candidate.spacegroup_after is not None else candidate.spacegroup_before
    return f"{position:03d}_{formula_in_names(candidate.shown_formula)}_{number or 0:03d}.cif"


def file_names(ranked: Sequence[Candidate]) -> dict[str, str]:
    """Candidate id -> CIF name. Raises ValueError where two candidates share an id."""
    names = {c.id: cif_name(c, i) for i, c in enumerate(ranked, start=1)}
    if len(names) < len(ranked):
        ids = [c.id for c in ranked]
        raise ValueError(f"candidate ids repeat: {sorted({i for i in ids if ids.count(i) > 1})}")
    return names


def write_files(ranked: Sequence[Candidate], out_dir: str | Path) -> dict[str, Path]:
    """Write the candidates in every format.

    `NNN_formula_sg.cif` (usable candidates; the cell of all other formats, in P1, readable by any program),
    `symmetrized/` (the same structures in the conventional cell with their symmetry operations),
    `candidates.parquet`, `candidates.extxyz`, `optimade.jsonl`.

    Args:
        ranked: Best first.
        out_dir: Folder to write to; `publish_report` brings a report into one that holds other files.

    Returns:
        Kind -> path.
    """
    out = Path(out_dir)
    (out / SYMMETRIZED).mkdir(parents=True, exist_ok=True)
    names = file_names(ranked)
    for c in ranked:
        if c.rejected:
            continue
        (out / names[c.id]).write_text(c.crystal.to_cif())
        (out / SYMMETRIZED / names[c.id]).write_text(symmetrized_cif(c))
    paths = {"cif": out, **{kind: out / name for kind, name in NAMES.items()}}
    candidates_table(ranked, names).to_pandas().to_parquet(paths["parquet"], index=False)
    paths["extxyz"].write_text("".join(_extxyz(c) for c in ranked if not c.rejected))
    lines = [json.dumps(optimade_entry(c)) for c in ranked if not c.rejected]
    paths["optimade"].write_text("".join(line + "\n" for line in [_OPTIMADE_HEAD, *lines]))
    return paths


def symmetrized_cif(candidate: Candidate) -> str:
    """CIF of the conventional cell with symmetry operations, found at the candidate's own tolerance."""
    from pymatgen.io.cif import CifWriter
    from pymatgen.symmetry.analyzer import SymmetryUndeterminedError

    symprec = candidate.symprec or SNAP_SYMPREC
    try:
        writer = CifWriter(candidate.crystal.to_pymatgen(), symprec=symprec, significant_figures=10)
    except (
        SymmetryUndeterminedError
    ):  # atoms closer than the tolerance: spglib gives up, the structure is still written
        return f"# no symmetry could be found at {symprec} angstrom\n{candidate.crystal.to_cif()}"
    return f"# symmetry found at a tolerance of {symprec} angstrom\n{writer}"


def candidates_table(ranked: Sequence[Candidate], names: dict[str, str] | None = None) -> Any:
    """One row a candidate as a pyarrow Table: all scalar fields, the structure as lists, mappings as JSON text.

    Args:
        ranked: Best first.
        names: Id -> name of its CIF.

    Returns:
        The table.
    """
    import pyarrow as pa

    names = file_names(ranked) if names is None else names
    rows = []
    for position, c in enumerate(ranked, start=1):
        row: dict[str, Any] = {"rank": position, "file": None if c.rejected else names[c.id]}
        row |= {name: getattr(c, name) for name in _SCALARS}
        row |= {
            "n_atoms": c.crystal.n_atoms,
            "volume_per_atom": c.volume_per_atom,
            "model_formation_energy": c.model_formation_energy,
            "atomic_numbers": c.crystal.atomic_numbers.tolist(),
            "lattice": c.crystal.lattice.ravel().tolist(),
            "frac_coords": c.crystal.frac_coords.ravel().tolist(),
            "merged_ids": list(c.merged_ids),
        }
        row |= {name: json.dumps(plain(getattr(c, name))) for name in ("provenance", "cost", "extras")}
        rows.append(row)
    return pa.Table.from_pylist(rows, schema=_table_schema())


@dataclass(frozen=True)
class BestRows:
    """The candidates chosen for first principles, and in words those that a limit of size left out."""

    rows: list[dict[str, Any]]
    left_out: str = ""


def is_report(path: Path) -> bool:
    """Whether a Parquet file holds the candidates of a report; other tables of structures and damaged ones don't."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    try:
        return {"rank", "file", "model_formation_energy"} <= set(pq.read_schema(path).names)
    except pa.ArrowInvalid:
        return False


def best_rows(path: Path, *, top: int, max_atoms: int | None = None) -> BestRows:
    """The best candidate of each formula in a report's `candidates.parquet`, in rank order, as plain records.

    Args:
        path: The file of a report.
        top: So many formulas at most.
        max_atoms: Larger cells are left out, and named.

    Returns:
        The records, and what was left out.
    """
    import pyarrow.parquet as pq

    rows = sorted((r for r in pq.read_table(path).to_pylist() if r["file"] is not None), key=lambda r: r["rank"])
    first: dict[str, dict[str, Any]] = {}
    large: dict[str, int] = {}
    for row in rows:
        n_atoms = len(row["atomic_numbers"])
        if max_atoms is not None and n_atoms > max_atoms:
            if row["formula"] not in first:  # better than the one that is taken, if any is
                large.setdefault(str(row["formula"]), n_atoms)
        else:
            first.setdefault(str(row["formula"]), row)
    names = ("id", "formula", "lattice", "frac_coords", "atomic_numbers", "model_formation_energy", "rank")
    left_out = ", ".join(f"{formula} with {n} atoms" for formula, n in list(large.items())[:top])
    chosen = [{name: row[name] for name in names} for row in list(first.values())[:top]]
    return BestRows(chosen, f"{left_out} (limit {max_atoms})" if large else "")


_TEXT = ("id", "formula", "shown_formula", "origin", "energy_identity", "energy_kind", "first_energy_identity",
         "first_energy_kind", "decomposition", "hull_identity", "prototype", "novelty", "novelty_reference", "library",
         "library_id", "mineral", "relaxation_status", "start_id", "given")  # fmt: skip
_FLOATS = ("energy_per_atom", "first_energy_per_atom", "r2scan_shift", "energy_std", "e_above_hull",
           "formation_energy_per_atom", "library_e_above_hull", "p_stable", "symprec", "min_distance", "density",
           "log_prior", "probability")  # fmt: skip
_INTS = ("spacegroup_before", "spacegroup_after", "n_merged", "library_spacegroup", "n_measured")
_FLAGS = ("judged", "undecided", "held")
_SCALARS = (*_TEXT, *_FLOATS, *_INTS, *_FLAGS)


def _table_schema() -> Any:
    import pyarrow as pa

    fields = [("rank", pa.int32()), ("file", pa.string())]
    fields += [(name, pa.string()) for name in _TEXT]
    fields += [(name, pa.float64()) for name in _FLOATS]
    fields += [(name, pa.int32()) for name in _INTS]
    fields += [(name, pa.bool_()) for name in _FLAGS]
    fields += [("n_atoms", pa.int32()), ("volume_per_atom", pa.float64()), ("model_formation_energy", pa.float64())]
    fields += [("atomic_numbers", pa.list_(pa.int16())), ("lattice", pa.list_(pa.float64()))]
    fields += [("frac_coords", pa.list_(pa.float64())), ("merged_ids", pa.list_(pa.string()))]
    fields += [(name, pa.string()) for name in ("provenance", "cost", "extras")]
    return pa.schema(fields)


def _extxyz(c: Candidate) -> str:
    """One frame of the candidate with its energy (total, eV) and name in the comment line."""
    count, comment, *atoms = c.crystal.to_extxyz().splitlines()
    extra = f'config_name="{c.id}"'
    if c.energy_per_atom is not None:
        extra += f' energy={c.energy_per_atom * c.crystal.n_atoms!r} energy_label="{c.energy_label}"'
    if c.e_above_hull is not None:
        extra += f" e_above_hull={c.e_above_hull!r}"
    return "\n".join([count, f"{comment} {extra}", *atoms]) + "\n"


def _anonymous(counts: list[int]) -> str:
    """OPTIMADE's anonymous formula: A3BC, the most frequent element first."""
    ordered = enumerate(sorted(counts, reverse=True))
    return "".join("ABCDEFGHIJKLMNOPQRSTUVWXYZ"[i] + (str(n) if n > 1 else "") for i, n in ordered)


_OPTIMADE_HEAD = json.dumps({"x-optimade": {"meta": {"api_version": "1.1.0"}}})


def optimade_entry(c: Candidate) -> dict[str, Any]:
    """The candidate as an OPTIMADE 1.1 `structures` entry; our own fields carry the prefix `_dao_`."""
    elements = sorted(c.crystal.composition)
    total = c.crystal.n_atoms
    unit = {s: n // c.z for s, n in c.crystal.composition.items()}
    attributes: dict[str, Any] = {
        "elements": elements,
        "nelements": len(elements),
        "elements_ratios": [c.crystal.composition[e] / total for e in elements],
        "chemical_formula_descriptive": c.shown_formula,
        "chemical_formula_reduced": "".join(e + (str(unit[e]) if unit[e] > 1 else "") for e in elements),
        "chemical_formula_anonymous": _anonymous(list(unit.values())),
        "dimension_types": [1, 1, 1],
        "nperiodic_dimensions": 3,
        "lattice_vectors": c.crystal.lattice.tolist(),
        "cartesian_site_positions": c.crystal.cart_coords.tolist(),
        "nsites": total,
        "species": [{"name": e, "chemical_symbols": [e], "concentration": [1.0]} for e in elements],
        "species_at_sites": c.crystal.symbols,
        "structure_features": [],
        "last_modified": None,
        "immutable_id": None,
    }
    own = (
        "energy_per_atom",
        "energy_std",
        "e_above_hull",
        "p_stable",
        "probability",
        "energy_identity",
        "energy_kind",
        "first_energy_per_atom",
        "first_energy_identity",
        "library_e_above_hull",
        "hull_identity",
    )
    own2 = ("spacegroup_after", "novelty", "origin", "prototype", "relaxation_status")
    attributes |= {f"_{PROVIDER}_{name}": plain(getattr(c, name)) for name in (*own, *own2)}
    return {"id": c.id, "type": "structures", "attributes": attributes}
