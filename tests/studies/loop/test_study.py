"""Figures of the loop: one final hull for all arms, hits per validation, paired over seeds."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
from pydantic import ValidationError
from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
from pymatgen.core import Composition

from dao_core.studies.loop.settings import LoopSettings
from dao_core.studies.loop.study import deepened, inputs, parts, plot, summarise, with_final_hull

KNOWN = [
    {"formula": f, "formation_energy_per_atom": e}
    for f, e in [("Na", 0.0), ("Zn", 0.0), ("Ge", 0.0), ("NaZn13", -0.05)]
]


def row(arm: str, seed: int, number: int, formula: str, energy: float | None) -> dict[str, object]:
    return {
        "arm": arm, "seed": seed, "round": number, "offered": 9, "id": f"{arm}{seed}{number}{formula}",
        "formula": formula,
        "predicted_above_hull": 0.1, "std": 0.05, "formation_energy_per_atom": energy,
        "above_hull_then": None if energy is None else 0.0,
    }  # fmt: skip


def validations() -> pd.DataFrame:
    rows = []
    for seed in (0, 1):
        rows += [row("loop", seed, 0, "NaZnGe", -0.40), row("loop", seed, 1, "Na2ZnGe", -0.43)]
        rows += [row("no retraining", seed, 0, "NaZnGe", -0.38), row("no retraining", seed, 1, "NaZn2Ge", -0.01)]
        rows += [row("random", seed, 0, "NaZnGe2", 0.30), row("random", seed, 1, "NaZnGe", None)]
    return pd.DataFrame(rows)


def test_distances_are_to_the_hull_of_everything_as_pymatgen_has_it() -> None:
    rows = with_final_hull(validations(), KNOWN)
    done = rows.dropna(subset=["formation_energy_per_atom"])
    pairs = list(zip(done["formula"], done["formation_energy_per_atom"], strict=True))
    pairs += [(e["formula"], e["formation_energy_per_atom"]) for e in KNOWN]
    entries = [PDEntry(Composition(f), e * Composition(f).num_atoms) for f, e in pairs]
    diagram = PhaseDiagram(entries)
    expected = [diagram.get_e_above_hull(entry) for entry in entries[: len(done)]]
    np.testing.assert_allclose(done["above_final_hull"], expected, atol=1e-9)
    assert rows["above_final_hull"].isna().sum() == 2


def test_another_version_of_the_judge_makes_another_study(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dao_core.studies.loop.study.identity_of", lambda _: [])
    monkeypatch.setattr("dao_core.studies.loop.study.library_content", lambda _: "")
    monkeypatch.setattr("dao_core.models.checkpoint_io.load_checkpoint", lambda *_, **__: SimpleNamespace(identity="g"))
    found = []
    for version in (1, 2):
        judge = SimpleNamespace(identity=f"sevennet-{version}")
        monkeypatch.setattr("dao_core.energy.registry.load_potential", lambda _, judge=judge: judge)
        found.append(inputs(LoopSettings()))
    assert found[0] != found[1]


def test_hits_are_counted_against_one_hull_and_paired_over_seeds(tmp_path: Path) -> None:
    report = summarise({"validations": validations()}, LoopSettings(seeds=(0, 1)), {"known_hull": KNOWN})
    arms = report["arms"]
    assert {arm: arms[arm]["hits"] for arm in arms} == {"loop": 4, "no retraining": 2, "random": 0}
    assert arms["random"]["without_energy"] == 2
    assert arms["loop"]["by_round"] == [1.0, 1.0]
    assert report["loop_less"]["no retraining"]["mean"] == pytest.approx(0.5)
    assert report["loop_less"]["no retraining"]["times"] == pytest.approx(2.0)
    assert report["loop_less"]["random"]["times"] is None
    assert set(report["final_hull"]) >= {"NaZnGe", "Na2ZnGe"}
    growth = {line["arm"]: line["deepening"] for line in report["growth"]}
    assert 0 < growth["loop"][0] < growth["loop"][1]
    assert growth["no retraining"][1] < growth["loop"][1]
    assert growth["random"] == [0.0, 0.0]
    plot({}, report, tmp_path)
    assert (tmp_path / "loop.png").stat().st_size > 1000


@pytest.mark.parametrize("arms", [("random", "no retraining"), ("random", "loop")])
def test_only_the_loop_is_compared_with_the_others(arms: tuple[str, ...]) -> None:
    rows = validations()
    report = summarise(
        {"validations": rows[rows["arm"].isin(arms)]},
        LoopSettings.model_validate({"seeds": (0, 1), "arms": arms}),
        {"known_hull": KNOWN},
    )
    assert report["loop_less"].keys() == ({"random"} if "loop" in arms else set())
    if "loop" in arms:
        assert report["loop_less"]["random"]["mean"] == pytest.approx(1.0)


def test_the_hull_is_pushed_down_by_what_lies_below_it() -> None:
    one = pd.DataFrame([row("loop", 0, 0, "NaZnGe", -0.40)])
    # before, NaZnGe fell apart into NaZn13, Na and Ge: a thirteenth of 14 atoms at -0.05 of 3
    assert deepened(one, KNOWN, ["NaZnGe"]) == pytest.approx(0.40 - 0.05 * 14 / 39)
    assert deepened(one, KNOWN, ["NaZn13"]) == pytest.approx(0.0)


def test_a_part_is_an_arm_and_a_seed() -> None:
    assert parts(LoopSettings(seeds=(0, 7)), Path())[:4] == [
        "loop seed 0", "no retraining seed 0", "random seed 0", "loop seed 7",
    ]  # fmt: skip


@pytest.mark.parametrize("system", [("Na", "Na", "Ge"), ("Na", "Zn", "Xx")])
def test_a_system_is_three_different_elements(system: tuple[str, str, str]) -> None:
    with pytest.raises(ValidationError, match="give three different elements"):
        LoopSettings(system=system)
