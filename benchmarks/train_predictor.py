"""Train DAO-P: the run behind the shipped predictor.

python benchmarks/train_predictor.py --out runs/predictor --start-from predictor --learning-rate 4e-4 --labels LABELS
The last run was with --repeat 2 --repeat-frames 4 --seconds 4200; what ships is the mean of its weights and of those it
began with (average_predictors.py; cards/predictor.md says why).
Energies: MP-20's training split, WBM and other Materials Project structures, all on MP-20's scale (mp_scale.py); forces
and stresses: the DFT frames of forces/, of which every tenth is held out, and the judge's labels of label_structures.py
where there are some. Beside MP-20's own training split, whose formulas its validation and test splits share, no formula
of the public MP-20 and MPTS-52 validation and test splits is used, and no textbook compound of ground_states.py at all.
Killed or stopped, the same command goes on.
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
from ground_states import COMPOUNDS
from mp_scale import MpScale

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import atomic_number
from dao_core.studies.superconductors.crystals import CRYSTALS, reference
from dao_core.training.card import Provenance
from dao_core.training.config import TrainingConfig
from dao_core.training.fit_predictor import PredictorData, TrainingLabels, fit_predictor, pack_labelled
from dao_core.training.packed import PackedCrystals

SOURCES = ["mp20", "wbm", "mp_older", "pbe_total", "sevennet_l3i5"]
MAX_ATOMS = 24
MAX_FORMATION = 6.0  # eV/atom
HOLE = 0.05  # eV/atom: how far below an element's usual structure the judge may be right


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
    """Formulas that nothing may learn from: the public validation and test splits and the held-out superconductors."""
    formulas = {formula_key(reference(name).atomic_numbers) for name in CRYSTALS}
    for name in ("mp_20/val", "mp_20/test_public", "mpts_52/val", "mpts_52/test_public"):
        for numbers in pq.read_table(data / f"{name}.parquet", columns=["atomic_numbers"])[
            "atomic_numbers"
        ].to_pylist():
            formulas.add(formula_key(numbers))
    return formulas


def formula_key(numbers: Any) -> str:
    values, counts = np.unique(np.asarray(numbers), return_counts=True)
    return str(list(zip(values.tolist(), (counts // np.gcd.reduce(counts)).tolist(), strict=True)))


def best_label(row: Any, scale: MpScale) -> tuple[float, int]:
    """Formation energy and its source: the benchmark's own value, else today's total energy on its scale, else an older
    release's."""
    own = row.formation_energy_per_atom
    if getattr(row, "energy_source", "mp20") in ("mp20", "mpts52") and np.isfinite(own):
        return own, SOURCES.index("mp20")
    if np.isfinite(row.energy_per_atom_mpf2021) and len(set(row.atomic_numbers)) > 1:  # the scale is of compounds
        return scale.formation_energy(row.energy_per_atom_mpf2021, row.atomic_numbers), SOURCES.index("pbe_total")
    older = [own, *(getattr(row, f"eform_{name}", np.nan) for name in ("agn2020", "megnet2018", "mtcgcnn2018"))]
    return next((e for e in older if np.isfinite(e)), np.nan), SOURCES.index("mp_older")


def add_energies(rows: Rows, data: Path, scale: MpScale) -> None:
    """DFT energies: MP-20's training split without the textbook compounds, WBM and other structures without any formula
    of a validation or test split."""
    textbook = textbook_formulas()
    held = held_formulas(data) | textbook
    train = pd.read_parquet(data / "mp_20/train.parquet")
    wbm = pd.read_parquet(data / "wbm_val.parquet")
    rest = pd.read_parquet(data / "mp_structures.parquet")
    rest = rest[~rest.material_id.isin(set(train.material_id))]
    for frame, left_out, fixed in ((train, textbook, None), (wbm, held, SOURCES.index("wbm")), (rest, held, None)):
        for row in frame.itertuples():
            if len(row.atomic_numbers) > MAX_ATOMS or formula_key(row.atomic_numbers) in left_out:
                continue
            energy, source = best_label(row, scale) if fixed is None else (row.formation_energy_per_atom, fixed)
            if not np.isfinite(energy) or abs(energy) > MAX_FORMATION:
                continue
            crystal = crystal_of(row)
            if crystal is not None:
                rows.add(
                    crystal, formation_energy_per_atom=energy, e_above_hull=getattr(row, "e_above_hull", np.nan),
                    source=source
                )  # fmt: skip


def textbook_formulas() -> set[str]:
    """Keys of the compounds by which first answers are judged."""
    keys = set()
    counts = {"fluorite": (1, 2), "rutile": (1, 2), "perovskite": (1, 1, 3), "CdI2": (1, 2), "corundum": (2, 3),
              "spinel": (1, 2, 4), "AuCu3": (1, 3), "MgCu2": (1, 2)}  # fmt: skip
    for prototype, compounds in COMPOUNDS.items():
        for names in compounds:
            symbols = names.split()
            numbers = counts.get(prototype, (1,) * len(symbols))
            keys.add(formula_key([atomic_number(s) for s, n in zip(symbols, numbers, strict=True) for _ in range(n)]))
    return keys


def add_frames(rows: Rows, data: Path, scale: MpScale) -> None:
    """DFT frames off equilibrium; the Materials Project's own with their energies too."""
    held = held_formulas(data) | textbook_formulas()
    for crystal, forces, stress, total in dft_frames(data, held=False):
        if formula_key(crystal.atomic_numbers) not in held:
            energy = np.nan if total is None else scale.formation_energy(total, crystal.atomic_numbers)
            rows.add(crystal, formation_energy_per_atom=energy, source=SOURCES.index("pbe_total"), forces=forces,
                     stress=stress)  # fmt: skip


def judged_rows(folder: Path, scale: MpScale) -> list[PackedCrystals]:
    """The judge's labels of `label_structures.py`, its own total energies put on MP-20's scale.

    An element counts from its usual structure; what lies clearly below that is a hole of the judge and left out, and
    an element whose usual structure the judge wasn't asked for keeps its forces alone.
    """
    shards, references = [], np.load(folder / "references.npy")
    for path in sorted(folder.glob("*.npz")):
        energies = path.with_suffix(".energy.npy")
        if ".part" in path.name or not energies.exists():
            continue
        shard, totals = PackedCrystals.load(path), np.load(energies)
        numbers = np.split(shard.atomic_numbers.astype(int), shard.pointer[1:-1])
        formation = [
            scale.formation_energy(e, z) if len(set(z)) > 1 else e - references[z[0]]
            for e, z in zip(totals, numbers, strict=True)
        ]
        shard.labels["formation_energy_per_atom"] = np.array(formation, dtype=np.float32)
        hole = [len(set(z)) == 1 and e < -HOLE for e, z in zip(formation, numbers, strict=True)]
        shard = shard.take(np.flatnonzero(~np.array(hole)))
        shards.append(shard)
    return shards


def with_forces(data: PackedCrystals) -> PackedCrystals:
    """The rows whose forces are known."""
    known = np.isfinite(data.atom_labels["forces"]).all(axis=1)
    return data.take(np.flatnonzero(np.logical_and.reduceat(known, data.pointer[:-1])))


Frame = tuple[Crystal, np.ndarray, np.ndarray, float | None]


def dft_frames(data: Path, *, held: bool) -> list[Frame]:
    """DFT frames with forces, stress and, where it is on the Materials Project's scale, total energy an atom; every
    tenth is held out."""
    from ase.io import read

    out: list[Frame] = []
    for path in sorted((data / "forces").glob("*.xyz")):
        for i, atoms in enumerate(read(path, index=":")):
            if (i % 10 == 9) != held or len(atoms) > 40:
                continue
            try:
                crystal = Crystal.from_ase(atoms)
            except InvalidCrystalError:
                continue
            energy = atoms.get_potential_energy() / len(atoms) if path.name.startswith("mptrj") else None
            out.append((crystal, atoms.get_forces(), atoms.get_stress(voigt=False), energy))
    return out


def prepare(args: argparse.Namespace, scale: MpScale) -> None:
    """Pack the DFT rows and the validation rows once."""
    rows = Rows()
    add_energies(rows, args.data, scale)
    add_frames(rows, args.data, scale)
    rows.pack().save(args.out / "packed.npz")
    val = Rows()
    held = pd.read_parquet(args.data / "mp_20/val.parquet")
    for row in held[held.formation_energy_per_atom.notna()].head(2000).itertuples():
        crystal = crystal_of(row)
        if crystal is not None:
            val.add(crystal, formation_energy_per_atom=row.formation_energy_per_atom, e_above_hull=row.e_above_hull)
    val.pack().save(args.out / "validation.npz")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--config", type=Path, default=Path("configs/train-predictor-laptop.yaml"))
    parser.add_argument("--seconds", type=float)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--labels", type=Path, help="folder of the judge's labels (label_structures.py)")
    parser.add_argument("--repeat", type=int, default=1, help="how often the judge's labels come in an epoch")
    parser.add_argument("--repeat-frames", type=int, default=1, help="how often the DFT frames with forces come")
    parser.add_argument("--start-from", help="continue the weights of this checkpoint, which is on MP-20's scale")
    parser.add_argument("--learning-rate", type=float, help="first rate; 4e-4 continued what ships")
    args = parser.parse_args()
    settings = yaml.safe_load(args.config.read_text())
    if args.seconds:
        settings["max_seconds"] = args.seconds
    if args.start_from:
        names = ("tensor_width", "repulsion", "references", "softening")
        settings |= {"start_from": args.start_from, "grow": {n: settings["model"][n] for n in names}}
    if args.learning_rate:
        settings["learning_rate"] = args.learning_rate
    config = TrainingConfig(**settings, seed=args.seed)
    args.out.mkdir(parents=True, exist_ok=True)
    scale = MpScale.fit(args.data)
    if not (args.out / "validation.npz").exists():
        prepare(args, scale)
    data, validation = PackedCrystals.load(args.out / "packed.npz"), PackedCrystals.load(args.out / "validation.npz")
    labels = judged_rows(args.labels, scale) if args.labels else []
    data = PackedCrystals.concatenate([data, *[with_forces(data)] * (args.repeat_frames - 1)])
    data = PackedCrystals.concatenate([data, *labels * args.repeat])
    about = {
        "name": "mp_20/train + wbm_val + mp_structures + forces" + (" + judge's labels" if labels else ""),
        "rows": len(data), "judged": sum(map(len, labels)), "scale_error": round(scale.left, 4), "licence": "CC BY 4.0",
    }  # fmt: skip
    card = (Path(__file__).parent / "cards" / "predictor.md").read_text()
    rows = PredictorData(data, SOURCES, validation, one_scale=True)
    facts = fit_predictor(rows, config, args.out, Provenance(about, card))
    print(json.dumps({"figure": facts, "n": len(data), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
