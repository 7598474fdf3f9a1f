"""Train DAO-P: the run behind the shipped predictor.

python benchmarks/train_predictor.py --data ../shared/data --out runs/predictor --seconds 3000 --extra runs/labels
Energies: MP-20 train, WBM, other Materials Project structures and the embedded sample; forces and stresses: the sample
(CHGNet), the DFT frames of forces/, of which every tenth is held out, and the CHGNet labels of label_structures.py. No
formula of the public MP-20 and MPTS-52 validation and test splits is used. Killed or stopped, the same command goes on.
"""

from __future__ import annotations

import argparse
import json
import platform
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow.parquet as pq
import yaml

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_predictor import PredictorData, TrainingLabels, fit_predictor, pack_labelled
from dao_core.training.packed import PackedCrystals

SOURCES = ["mp20", "wbm", "mp_older", "sample_chgnet", "sevennet_l3i5"]
MAX_ATOMS = 24


class Rows:
    """Structures with labels, collected from several files."""

    def __init__(self) -> None:
        self.crystals: list[Crystal] = []
        self.columns: dict[str, list[Any]] = {
            "formation_energy_per_atom": [], "e_above_hull": [], "source": [], "forces": [], "stress": []
        }  # fmt: skip

    def add(self, crystal: Crystal, **labels: Any) -> None:
        self.crystals.append(crystal)
        default = {
            "formation_energy_per_atom": np.nan,
            "e_above_hull": np.nan,
            "source": 0,
            "forces": None,
            "stress": None,
        }
        for name, column in self.columns.items():
            column.append(labels.get(name, default[name]))

    def pack(self) -> PackedCrystals:
        return pack_labelled(self.crystals, TrainingLabels(**self.columns))


def crystal_of(row: Any) -> Crystal | None:
    """Niggli cell of a table row; None where the row is no crystal."""
    try:
        return Crystal(
            np.reshape(row.lattice, (3, 3)), np.reshape(row.frac_coords, (-1, 3)), np.array(row.atomic_numbers)
        ).niggli()
    except InvalidCrystalError:
        return None


def held_formulas(data: Path) -> set[str]:
    """Reduced formulas of the public validation and test splits."""
    formulas = set()
    for name in ("mp_20/val", "mp_20/test_public", "mpts_52/val", "mpts_52/test_public"):
        for numbers in pq.read_table(data / f"{name}.parquet", columns=["atomic_numbers"])[
            "atomic_numbers"
        ].to_pylist():
            formulas.add(formula_key(numbers))
    return formulas


def formula_key(numbers: Any) -> str:
    values, counts = np.unique(np.asarray(numbers), return_counts=True)
    return str(list(zip(values.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True)))


def best_label(row: Any) -> tuple[float, int]:
    """Formation energy and its source: the benchmark's own value where there is one, else an older MP release."""
    own = row.formation_energy_per_atom
    if getattr(row, "energy_source", "mp20") in ("mp20", "mpts52") and np.isfinite(own):
        return own, SOURCES.index("mp20")
    older = [own, *(getattr(row, f"eform_{name}", np.nan) for name in ("agn2020", "megnet2018", "mtcgcnn2018"))]
    return next((e for e in older if np.isfinite(e)), np.nan), SOURCES.index("mp_older")


def add_energies(rows: Rows, data: Path) -> None:
    held = held_formulas(data)
    train = pd.read_parquet(data / "mp_20/train.parquet")
    wbm = pd.read_parquet(data / "wbm_val.parquet")
    rest = pd.read_parquet(data / "mp_structures.parquet")
    rest = rest[rest.formation_energy_per_atom.notna() & (rest.n_atoms <= MAX_ATOMS)]
    rest = rest[~rest.material_id.isin(set(train.material_id))]
    rest = rest[[formula_key(z) not in held for z in rest.atomic_numbers]]
    for frame, fixed in ((train, None), (wbm, SOURCES.index("wbm")), (rest, None)):
        for row in frame.itertuples():
            energy, source = best_label(row) if fixed is None else (row.formation_energy_per_atom, fixed)
            crystal = crystal_of(row)
            if crystal is None or crystal.n_atoms > MAX_ATOMS:
                continue
            rows.add(
                crystal, formation_energy_per_atom=energy, e_above_hull=getattr(row, "e_above_hull", np.nan),
                source=source
            )  # fmt: skip


def add_sample(rows: Rows, folder: Path, elements: np.ndarray | None) -> None:
    """The embedded sample, hull distances on its own hull; formation energies from `elements` (101,) eV if given."""
    from dao_core.crysdb.build.build import build
    from dao_core.crysdb.config import BuildConfig, SampleConfig
    from dao_core.crysdb.steps.clean import CleanSettings
    from dao_core.crysdb.table import CrysTable

    # cells of one and two atoms (rock salt, the elements) and steep slopes matter here, unlike in the published CrysDB
    build(
        BuildConfig(sources=(SampleConfig(),), clean=CleanSettings(min_atoms=1, max_e_above_hull=5.0), workers=1),
        folder,
    )
    table = CrysTable(folder / "table")
    records = {r.material_id: r for view in ("all", "forces") for r in table.records(view)}
    for record in records.values():
        formation = np.nan if record.formation_energy_per_atom is None else record.formation_energy_per_atom
        if elements is not None and record.energy_per_atom is not None:
            formation = record.energy_per_atom - elements[record.crystal.atomic_numbers].mean()
        hull = np.nan if record.e_above_hull is None else record.e_above_hull
        rows.add(
            record.crystal, formation_energy_per_atom=formation, e_above_hull=hull,
            source=SOURCES.index("sample_chgnet"), forces=record.forces, stress=record.stress,
        )  # fmt: skip


def dft_frames(data: Path, *, held: bool) -> list[tuple[Crystal, np.ndarray, np.ndarray]]:
    """DFT frames with forces and stress; every tenth is held out."""
    from ase.io import read

    out = []
    for path in sorted((data / "forces").glob("*.xyz")):
        for i, atoms in enumerate(read(path, index=":")):
            if (i % 10 == 9) != held or len(atoms) > 40:
                continue
            try:
                crystal = Crystal.from_ase(atoms)
            except InvalidCrystalError:
                continue
            out.append((crystal, atoms.get_forces(), atoms.get_stress(voigt=False)))
    return out


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train-predictor-laptop.yaml"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--extra", type=Path, help="folder of further labelled sets (label_structures.py)")
    parser.add_argument("--start-from", type=Path, help="continue the weights of this checkpoint")
    args = parser.parse_args()
    settings = yaml.safe_load(args.config.read_text())
    if args.seconds:
        settings["max_seconds"] = args.seconds
    config = TrainingConfig(**settings, seed=args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    if not (args.out / "validation.npz").exists():
        rows = Rows()
        add_energies(rows, args.data)
        elements = np.load(args.extra / "elements.npy") if args.extra else None
        add_sample(rows, args.out / "sample", elements)
        for crystal, forces, stress in dft_frames(args.data, held=False):
            rows.add(crystal, forces=forces, stress=stress)
        rows.pack().save(args.out / "packed.npz")
        val = Rows()
        held = pd.read_parquet(args.data / "mp_20/val.parquet")
        for row in held[held.formation_energy_per_atom.notna()].head(2000).itertuples():
            crystal = crystal_of(row)
            if crystal is not None:
                val.add(crystal, formation_energy_per_atom=row.formation_energy_per_atom, e_above_hull=row.e_above_hull)
        val.pack().save(args.out / "validation.npz")
    data, validation = PackedCrystals.load(args.out / "packed.npz"), PackedCrystals.load(args.out / "validation.npz")
    if args.extra:
        shards = [p for p in sorted(args.extra.glob("*.npz")) if ".part" not in p.name]
        data = PackedCrystals.concatenate([data, *(PackedCrystals.load(p) for p in shards)])
    about = {
        "name": "mp_20/train + wbm_val + mp_structures + sample + forces",
        "rows": len(data),
        "licence": "CC BY 4.0",
    }
    card = (Path(__file__).parent / "cards" / "predictor.md").read_text()
    if args.start_from:
        config = config.model_copy(update={"start_from": str(args.start_from)})
    facts = fit_predictor(PredictorData(data, SOURCES, validation), config, args.out, Provenance(about, card))
    print(json.dumps({"figure": facts, "n": len(data), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
