"""Structures as labels and degrees of freedom in one Parquet table: what the symmetry networks are trained on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.description import Description, describe
from dao_core.generate.symmetry.label_tokens import MAX_ELEMENTS, Source
from dao_core.generate.symmetry.labels import Label, SymmetryLabelError, label_of, standard_cell
from dao_core.generate.symmetry.wyckoff_tables import MAX_COUNT, conventional_cell
from dao_core.matching.atomic_volumes import fit_atomic_volumes

TOO_LARGE = f"more than {MAX_COUNT} atoms of an element or {MAX_ELEMENTS} elements"


def describe_all(crystals: Iterable[Crystal]) -> tuple[list[Description | None], int, int, dict[str, int]]:
    """The unique description of each structure, None where it has none: (descriptions, n_ok, n_failed, reasons)."""
    out: list[Description | None] = []
    reasons: Counter[str] = Counter()
    for crystal in crystals:
        description, reason = _describe(crystal)
        out.append(description)
        reasons[reason] += 1
    n_ok = sum(d is not None for d in out)
    return out, n_ok, len(out) - n_ok, dict(reasons)


def _describe(crystal: Crystal) -> tuple[Description | None, str]:
    try:
        cell = standard_cell(crystal)
        label = label_of(cell)
        if max(label.counts) > MAX_COUNT or len(label.elements) > MAX_ELEMENTS:
            return None, TOO_LARGE
        return describe(cell, label), "described"
    except SymmetryLabelError as error:
        return None, str(error).split(":")[-1].strip()


def save_descriptions(
    path: Path, ids: Sequence[str], descriptions: Sequence[Description], sources: Sequence[Source]
) -> None:
    """Write descriptions with their ids as Parquet.

    Args:
        path: The file.
        ids: One a description.
        descriptions: Labels and degrees of freedom.
        sources: What kind of structure each is.
    """
    import pyarrow as pa
    import pyarrow.parquet as pq

    columns = {
        "material_id": list(ids),
        "spacegroup_number": [d.label.spacegroup_number for d in descriptions],
        "elements": [list(d.label.elements) for d in descriptions],
        "letters": [list(d.label.letters) for d in descriptions],
        "lattice": [d.lattice.ravel().tolist() for d in descriptions],
        "free": [np.concatenate([*d.free, np.zeros(0)]).tolist() for d in descriptions],
        "n_free": [[len(u) for u in d.free] for d in descriptions],
        "source": [int(s) for s in sources],
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(pa.table(columns), path)


def load_descriptions(path: Path) -> tuple[list[str], list[Description], list[Source]]:
    """Read what `save_descriptions` wrote."""
    import pyarrow.parquet as pq

    ids, descriptions, sources = [], [], []
    for row in pq.read_table(path).to_pylist():
        label = Label(row["spacegroup_number"], tuple(row["elements"]), tuple(row["letters"]))
        ends = np.cumsum(row["n_free"])[:-1]
        free = np.split(np.array(row["free"], dtype=float), ends)
        ids.append(row["material_id"])
        descriptions.append(Description(label, np.reshape(row["lattice"], (3, 3)), list(free)))
        sources.append(Source(row["source"]))
    return ids, descriptions, sources


def atomic_volumes(descriptions: Sequence[Description]) -> NDArray[np.float64]:
    """Usual volume of each element in angstrom^3, (101,), fitted to the cells of the descriptions."""
    cells, volumes = [], []
    for d in descriptions:
        centring = abs(np.linalg.det(conventional_cell(d.label.spacegroup_number)))
        cells.append(np.repeat(d.label.elements, d.label.counts))
        volumes.append(float(abs(np.linalg.det(d.lattice)) / centring))
    return fit_atomic_volumes(cells, volumes)
