"""A benchmark's splits as files."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from dao_core.crystal import Crystal


def write(path: Path, crystals: dict[str, Crystal]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    rows = {
        "material_id": list(crystals),
        "lattice": [c.lattice.ravel() for c in crystals.values()],
        "frac_coords": [c.frac_coords.ravel() for c in crystals.values()],
        "atomic_numbers": [c.atomic_numbers for c in crystals.values()],
    }
    pd.DataFrame(rows).to_parquet(path)
