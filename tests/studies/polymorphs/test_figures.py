"""Figures of the polymorphs: a composition without proposals is not found, k cuts, arms stand on the same ones."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from dao_core.studies.polymorphs.figures import best_rms, plot, summarise
from dao_core.studies.polymorphs.settings import PolymorphSettings

SETTINGS = PolymorphSettings.model_validate(
    {"k": 2, "named": ["B"], "random": {"compositions": 1, "k": 1, "max_atoms": 4, "relax_steps": 0}}
)


def arm_row(formula: str, kind: str, arm: str, n: int = 2) -> dict[str, object]:
    return {"formula": formula, "kind": kind, "arm": arm, "n_references": 2, "references": f"{formula}1,{formula}2",
            "n_atoms": 2, "n_cells": 1, "n_proposed": n, "n_distinct": n, "part_cpu_seconds": 1.0}  # fmt: skip


def match_row(formula: str, arm: str, rank: int, reference: int, rms: float | None) -> dict[str, object]:
    return {"formula": formula, "arm": arm, "cell": 0, "cell_atoms": 2, "rank": rank,
            "reference": f"{formula}{reference}", "rms": np.nan if rms is None else rms,
            "reason": "sites" if rms is None else "matched"}  # fmt: skip


@pytest.fixture
def tables() -> dict[str, pd.DataFrame]:
    arms = [arm_row(f, "sampled", a) for f in "AC" for a in ("templates", "dao-g", "both")]
    arms[-2] = arm_row("C", "sampled", "dao-g", 0)
    arms += [arm_row("B", "templates", "templates"), arm_row("A", "random", "random", 1)]
    matches = [
        match_row("A", "templates", 0, 1, 0.2), match_row("A", "templates", 1, 1, 0.1),
        match_row("A", "templates", 0, 2, None), match_row("A", "dao-g", 1, 2, 0.05), match_row("A", "both", 0, 1, 0.2),
        match_row("A", "both", 1, 2, 0.05), match_row("B", "templates", 0, 1, 0.3),
        match_row("A", "random", 0, 1, None), match_row("C", "templates", 0, 1, None),
        match_row("C", "both", 0, 1, None),
    ]  # fmt: skip
    order = [{"formula": "A", "first": "A1", "second": "A2", "judge_difference": 0.1, "same_order": True}]
    return {"arms": pd.DataFrame(arms), "matches": pd.DataFrame(matches), "order": pd.DataFrame(order)}


def test_the_best_of_the_first_k_counts(tables: dict[str, pd.DataFrame]) -> None:
    one, two = (best_rms(tables["matches"], tables["arms"], "templates", k)["A"] for k in (1, 2))
    assert one[0] == pytest.approx(0.2)
    assert two[0] == pytest.approx(0.1)
    assert np.isnan(two[1])
    assert np.isnan(best_rms(tables["matches"], tables["arms"], "dao-g", 2)["C"]).all()


def test_arms_stand_on_the_same_compositions_and_the_differences_are_paired(tables: dict[str, pd.DataFrame]) -> None:
    report = summarise(tables, SETTINGS, {"chosen": 2})
    assert {a: r["n_references"] for a, r in report["arms"].items()} == {"templates": 4, "dao-g": 4, "both": 4}
    assert report["arms"]["both"]["metre"] == pytest.approx(50.0)
    assert report["arms"]["templates"]["metre"] == pytest.approx(25.0)
    assert report["both_less_templates"]["mean"] == pytest.approx(25.0)
    assert report["arms"]["dao-g"]["without_any_proposal"] == 1
    assert report["with_random"]["random"]["n_references"] == 2
    assert report["with_random"]["templates"]["n_references"] == 2
    assert report["order_by_energy"]["same_order"] == 1
    assert report["templates_on_all"]["n_references"] == 6
    assert report["named"] == {"B": {"B1": 0.3, "B2": None}}


def test_a_report_of_templates_alone_has_no_arms(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    arms = tables["arms"]
    some = {"arms": arms[arms["kind"] == "templates"], "matches": tables["matches"]}
    report = summarise(some, SETTINGS, {})
    assert report["arms"] == {}
    assert "both_less_templates" not in report
    assert report["templates_on_all"]["n_references"] == 2
    assert report["with_random"] is None
    plot(some, report, tmp_path)
    assert (tmp_path / "polymorphs.png").stat().st_size > 1000


@pytest.mark.parametrize("kinds", [("random",), ("random", "templates")])
def test_a_report_of_random_structures_whose_other_arms_are_not_done_yet(
    tables: dict[str, pd.DataFrame], kinds: tuple[str, ...], tmp_path: Path
) -> None:
    """With --done-only: their parts come first."""
    arms = tables["arms"]
    some = {"arms": arms[arms["kind"].isin(kinds)], "matches": tables["matches"]}
    report = summarise(some, SETTINGS, {})
    assert report["with_random"] is None
    assert (report["templates_on_all"] is None) == ("templates" not in kinds)
    plot(some, report, tmp_path)


def test_an_odd_k_is_refused() -> None:
    with pytest.raises(ValueError, match="even number"):
        PolymorphSettings.model_validate({"k": 3})


def test_the_picture_is_written(tables: dict[str, pd.DataFrame], tmp_path: Path) -> None:
    plot(tables, summarise(tables, SETTINGS, {}), tmp_path)
    assert (tmp_path / "polymorphs.png").stat().st_size > 1000
