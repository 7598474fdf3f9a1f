"""A small real campaign for tests: copper-gold alloys with energies, forces and stresses of ASE's EMT."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from dao_core.crystal import Crystal, crystal_from_symbols

NETWORK = {
    "kind": "crysformer", "width": 16, "n_blocks": 1, "n_heads": 2, "n_frequencies": 2, "time_dim": 8,
    "distances": True, "n_radial": 8, "modulation": True, "modulation_dim": 8, "pair_width": 8,
}  # fmt: skip
TRAINING = {"model": NETWORK, "batch_size": 16, "max_steps": 12, "warmup_steps": 2, "ema_decay": 0.5}
PROTOTYPES: list[tuple[list[str], list[list[float]], float]] = [
    (["Cu"] * 4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.6),
    (["Au"] * 4, [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 4.06),
    (["Cu", "Cu", "Au", "Au"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.87),
    (["Au", "Cu", "Cu", "Cu"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.74),
    (["Cu", "Au", "Au", "Au"], [[0, 0, 0], [0.5, 0.5, 0], [0.5, 0, 0.5], [0, 0.5, 0.5]], 3.97),
    (["Cu", "Au"], [[0, 0, 0], [0.5, 0.5, 0.5]], 3.05),
]


def crystals(n: int, seed: int = 0) -> list[Crystal]:
    """The prototypes first as they are, then strained and rattled."""
    rng = np.random.default_rng(seed)
    out = []
    for i in range(n):
        symbols, frac, a = PROTOTYPES[i % len(PROTOTYPES)]
        size = 0.0 if i < len(PROTOTYPES) else 0.03
        lattice = a * (np.eye(3) + size * rng.normal(size=(3, 3)))
        out.append(crystal_from_symbols(lattice, symbols, np.array(frac) + size * rng.normal(size=(len(frac), 3))))
    return out


def write_dataset(path: Path, n: int = 42) -> Path:
    """Labelled structures as a Parquet file that the source `files` reads."""
    import pyarrow.parquet as pq

    from dao_core.crysdb.schema import CrysRecord, records_to_table
    from dao_core.energy.potential import PotentialResult
    from tests.helpers.potentials import emt

    structures = crystals(n)
    rows = []
    for i, (c, r) in enumerate(zip(structures, emt().compute(structures), strict=True)):
        assert isinstance(r, PotentialResult)
        rows.append(
            CrysRecord.from_crystal(
                c, material_id=f"emt-{i:03d}", source="emt", functional="EMT",
                energy_per_atom=r.energy / c.n_atoms, forces=r.forces, stress=r.stress,
            )
        )  # fmt: skip
    pq.write_table(records_to_table(rows), path)
    return path


def campaign_settings(folder: Path) -> dict[str, Any]:
    """Settings of a campaign that runs in seconds."""
    data = write_dataset(folder / "emt.parquet")
    return {
        "name": "small",
        "root": str(folder / "run"),
        "crysdb": {
            "sources": [{"kind": "files", "name": "emt", "paths": [str(data)], "functional": "EMT"}],
            "benchmarks": [],
            "workers": 1,
        },
        "stage1": TRAINING,
        "predictor": TRAINING,
        "relaxation": {"above_hull": [0.001, 0.5], "max_structures": 6, "shard_size": 3, "relax": {"max_steps": 2}},
        "stage2": {**TRAINING, "max_steps": 4},
        "formulas": ["CuAu", "Cu3Au"],
        "judge": "none",
        "search": {
            "max_atoms": 4, "n_generated": 2, "n_seeded": 1, "n_templates": 3,
            "relax": {"max_steps": 3, "batch_size": 2},
        },
    }  # fmt: skip
