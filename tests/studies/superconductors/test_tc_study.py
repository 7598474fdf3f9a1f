"""Folds by composition, paired arms, and the audit of what is learned from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.studies.study import StudyError
from dao_core.studies.superconductors.crystals import reference
from dao_core.studies.superconductors.settings import SuperconductorSettings, TcSettings
from dao_core.studies.superconductors.study import parts, plot, summarise
from dao_core.studies.superconductors.tc_study import ARMS, audited, fold_rows, summarise_tc, tc_parts
from dao_core.training.packed import PackedCrystals
from tests.helpers.networks import random_crystals


def test_folds_cover_every_row_once_and_share_no_composition() -> None:
    crystals = [c.niggli() for c in random_crystals(0, (1, 1, 2, 3) * 12)]
    data = PackedCrystals.from_crystals(crystals, value=np.arange(len(crystals)).tolist())
    tc = TcSettings(folds=4)
    covered: list[int] = []
    for fold in range(4):
        train, validation, rows = fold_rows(data, fold, tc, 0)
        sides = [{p.crystal(i).formula_reduced for i in range(len(p))} for p in (train, validation, data.take(rows))]
        assert not sides[0] & sides[1]
        assert not sides[2] & (sides[0] | sides[1])
        assert len(train) + len(validation) + len(rows) == len(data)
        covered += rows.tolist()
    assert sorted(covered) == list(range(len(data)))


def tables(advantage: float) -> dict[str, pd.DataFrame]:
    rng = np.random.default_rng(0)
    errors, held = [], []
    for seed in (0, 1):
        base = rng.uniform(0.2, 1.5, 20)
        for arm in ARMS:
            shift = advantage if arm == "generated" else 0.0
            errors += [
                {"fold": i % 2, "seed": seed, "arm": arm, "row": i, "error": e - shift} for i, e in enumerate(base)
            ]
            held += [{"fold": f, "seed": seed, "arm": arm, "crystal": "Zr16Pd8O4", "ln_tc": f} for f in (0.0, 2.0)]
    return {"tc_errors": pd.DataFrame(errors), "tc_held_out": pd.DataFrame(held)}


def test_differences_are_paired_over_compositions_after_the_mean_over_seeds() -> None:
    report = summarise_tc(tables(0.05), {})
    gap = report["less_than_measured_alone"]
    assert gap["generated"]["mean"] == pytest.approx(-0.05)
    assert gap["generated"]["interval"] == pytest.approx((-0.05, -0.05))
    assert gap["templates"]["mean"] == pytest.approx(0.0)
    assert report["n"] == 20
    found = report["held_out"]["Zr16Pd8O4"]
    assert found["published_kelvin"] == 2.73
    # ln Tc of 0 and 2: geometric mean e, spread a factor e
    assert found["measured"] == {"kelvin": pytest.approx(np.e), "factor": pytest.approx(np.e), "members": 4}


def test_a_held_out_composition_among_the_learned_rows_is_refused_by_name(tmp_path: Path) -> None:
    clean = PackedCrystals.from_crystals([c.niggli() for c in random_crystals(0, (2, 3))], value=[1.0, 1.0])
    table = audited([clean], {"Cr3Os"}, tmp_path)
    assert table[0]["rows"] == 2
    leak = PackedCrystals.from_crystals([reference("Cr6Os2")], value=[1.0])
    with pytest.raises(StudyError, match="held-out compositions among the rows of critical temperatures: Cr3Os"):
        audited([clean, leak], {"Cr3Os"}, tmp_path)


def test_temperatures_are_parts_and_figures_only_where_they_are_asked_for(tmp_path: Path) -> None:
    with_tc = SuperconductorSettings(tc=TcSettings(folds=2, seeds=(0, 5)), crystals=("Cr6Os2",))
    assert parts(with_tc, tmp_path)[0] == "Cr6Os2"
    assert parts(with_tc, tmp_path)[1:] == tc_parts(TcSettings(folds=2, seeds=(0, 5)))
    assert len(parts(SuperconductorSettings(), tmp_path)) == 3
    report = summarise(tables(0.1), with_tc, {"tc": {"rows": 1}, "leak_audit_of_training": []})
    assert report["crystals"] == {}
    assert report["held_out"] == {"leak_audit_of_training": []}
    assert report["tc"]["data"] == {"rows": 1}
    plot({}, report, tmp_path)
    assert (tmp_path / "superconductors.png").exists()
