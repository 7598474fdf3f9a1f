"""DAO-P fine-tuned on an AFLOW property, on the fixed split: beside from scratch (equal CPU time) and the mean.

python benchmarks/property_finetune.py --column bulk_modulus --seconds 240 --record
Trains on the train split with early stopping on the val split, measures on the test split. AFLOW structures carry no
ids of Materials Project; the shipped DAO-P saw energies of MP and WBM structures, never a modulus. Prints one JSON line
last.
"""

from __future__ import annotations

import argparse
import json
import platform
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch
from bars import record_bar

from dao_core.energy.property import PropertyModel
from dao_core.evaluate.properties import property_errors
from dao_core.models.checkpoint_io import load_checkpoint
from dao_core.training.fit_property import fit_member
from dao_core.training.packed import PackedCrystals
from dao_core.training.property_config import PropertySettings
from dao_core.training.property_data import PropertyRows, read_property

UNITS = {"bulk_modulus": "GPa", "shear_modulus": "GPa", "debye_temperature": "K"}


def pack(rows: PropertyRows) -> PackedCrystals:
    return PackedCrystals.from_crystals(rows.crystals, value=rows.labels.tolist())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data/properties/aflow"))
    parser.add_argument("--column", default="bulk_modulus", choices=list(UNITS))
    parser.add_argument("--checkpoint", default="predictor")
    parser.add_argument("--seconds", type=float, default=240.0, help="CPU seconds of each training")
    parser.add_argument("--limit", type=int, default=0, help="rows of each split; 0: all")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    parser.add_argument("--record", action="store_true")
    args = parser.parse_args()
    torch.set_num_threads(1)
    out = args.out or Path(tempfile.mkdtemp())
    splits = {}
    for name in ("train", "val", "test"):
        rows = read_property(args.data / f"{args.column}_{name}.parquet", args.column)
        limit = args.limit or len(rows.crystals)
        splits[name] = PropertyRows(rows.crystals[:limit], rows.labels[:limit], rows.groups[:limit], rows.refused)
    tuned = PropertySettings(
        column=args.column, transform="log", start=args.checkpoint, max_seconds=args.seconds, seed=args.seed
    )
    network = load_checkpoint(args.checkpoint, kind="predictor").config["model"]
    fresh = PropertySettings.model_validate({**tuned.model_dump(), "start": None, "model": network})
    test = splits["test"]
    seen = set(splits["train"].groups) | set(splits["val"].groups)
    new = np.array([g not in seen for g in test.groups])
    figure: dict[str, Any] = {"unit": UNITS[args.column], "refused": {k: v.refused for k, v in splits.items()}}
    centre = float(splits["train"].labels.mean())
    figure["mean"] = property_errors(predicted=np.full(len(test.labels), centre), labels=test.labels)[0]
    for name, settings in (("fine_tuned", tuned), ("from_scratch", fresh)):
        result = fit_member(pack(splits["train"]), pack(splits["val"]), settings, out / name)
        answers = PropertyModel.load(out / name).predict(test.crystals)
        values = [p.value for p in answers]
        errors, n_ok, n_failed, _ = property_errors(predicted=values, labels=test.labels)
        unseen = property_errors(predicted=np.array(values, dtype=float)[new], labels=test.labels[new])[0]
        training = {k: v for k, v in result.__dict__.items() if k != "history"}
        figure[name] = {**errors, "n_ok": n_ok, "n_failed": n_failed, "formula_unseen": unseen, "training": training}
        print(name, json.dumps(figure[name]), flush=True)
    line = {"figure": figure, "n": len(test.labels), "n_formula_unseen": int(new.sum()), "seed": args.seed,
            "machine": f"{platform.machine()}, 1 thread"}  # fmt: skip
    if args.record:
        _record(line, args)
    print(json.dumps(line))


def _record(line: dict[str, Any], args: argparse.Namespace) -> None:
    figure = line["figure"]
    maes = [round(figure[k]["mae"], 3) for k in ("fine_tuned", "from_scratch", "mean")]
    entry = {
        "issue": "energy",
        "row": 9,
        "what": f"{args.column} of AFLOW (fixed test split), MAE in {figure['unit']}: DAO-P fine-tuned, the same "
        "network from scratch on equal CPU time, the mean of the training rows",
        "value": maes,
        "bar": "shown on a set; no number given",
        "met": None,
        "n": line["n"],
        "n_failed": figure["fine_tuned"]["n_failed"],
        "interval": [[round(x, 2) for x in figure[k]["interval"]] for k in ("fine_tuned", "from_scratch", "mean")],
        "details": line,
        "command": f"python benchmarks/property_finetune.py --column {args.column} --seconds {args.seconds:.0f}",
        "seed": args.seed,
    }
    record_bar(**entry)


if __name__ == "__main__":
    main()
