"""Hulls as a table: the file `hulls.parquet` that a build of CrysDB leaves beside its rows."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.hull.references import ElementalReferences

if TYPE_CHECKING:
    import pyarrow as pa

HULLS = "hulls.parquet"  # its name
_LABEL = ("made_by", "kind", "corrected", "source")


def hull_table(hulls: Iterable[Hull]) -> pa.Table:
    """All hulls as one table.

    Returns:
        One row for each elemental reference and for the lowest phase of each formula below the elements: the label's
        fields, `material_id` (null where it has no name), `atomic_numbers`, `counts` and `energy_per_atom` in eV.
    """
    import pyarrow as pa

    rows = [(hull.label, phase) for hull in hulls for phase in hull.phases(above=False)]
    columns: dict[str, Any] = {name: [getattr(label, name) for label, _ in rows] for name in _LABEL}
    columns |= {
        "material_id": [phase.id or None for _, phase in rows],
        "atomic_numbers": [list(phase.counts) for _, phase in rows],
        "counts": [list(phase.counts.values()) for _, phase in rows],
        "energy_per_atom": [phase.energy_per_atom for _, phase in rows],
    }
    return pa.table(columns, schema=_schema())


def _schema() -> pa.Schema:
    import pyarrow as pa

    return pa.schema(
        [
            ("made_by", pa.string()),
            ("kind", pa.string()),
            ("corrected", pa.bool_()),
            ("source", pa.string()),
            ("material_id", pa.string()),
            ("atomic_numbers", pa.list_(pa.int16())),
            ("counts", pa.list_(pa.int32())),
            ("energy_per_atom", pa.float64()),
        ]
    )


def current_hull_table(table: pa.Table) -> pa.Table:
    """A table of hulls with today's columns; one of the version before has the label as a text (`identity`)."""
    import pyarrow as pa

    if "identity" not in table.column_names:
        return table
    labels = [EnergyLabel.from_identity(text) for text in table["identity"].to_pylist()]
    columns: dict[str, Any] = {name: [getattr(label, name) for label in labels] for name in _LABEL}
    columns |= {"material_id": [None] * table.num_rows}
    columns |= {name: table[name].to_pylist() for name in ("atomic_numbers", "counts", "energy_per_atom")}
    return pa.table(columns, schema=_schema())


def label_of_row(row: Mapping[str, Any]) -> EnergyLabel:
    """The label that a row of a hull table stands under."""
    return EnergyLabel(row["made_by"], row["kind"], row["corrected"], row["source"])


def read_hull(path: str | Path, label: EnergyLabel) -> Hull:
    """The hull of one label from the file that a build leaves beside its table.

    Args:
        path: `hulls.parquet`.
        label: Which of its hulls.

    Returns:
        The hull.

    Raises:
        ForeignEnergyError: The file has no hull of this label; the message names those that it has.
    """
    import pyarrow.parquet as pq

    rows = current_hull_table(pq.read_table(path)).to_pylist()
    own = [r for r in rows if label_of_row(r) == label]
    if not own:
        known = ", ".join(sorted({repr(str(label_of_row(r))) for r in rows})) or "none"
        raise ForeignEnergyError(f"{path} has no hull of {str(label)!r}: use one of {known}")
    entries = [
        HullEntry(
            dict(zip(r["atomic_numbers"], r["counts"], strict=True)), r["energy_per_atom"], r["material_id"] or ""
        )
        for r in own
    ]
    elements = {next(iter(e.counts)): e for e in entries if len(e.counts) == 1}
    energies = {z: e.energy_per_atom for z, e in elements.items()}
    hull = Hull(ElementalReferences(label, energies, ids={z: e.id for z, e in elements.items()}))
    for e in entries:
        hull.add(e)
    return hull
