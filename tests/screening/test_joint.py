"""One order of templates and symmetry: the same crystal once, probabilities that add up, evidence that counts."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import numpy as np
import pytest
from ase.build import bulk

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.generator import SymmetryProposal
from dao_core.generate.symmetry.labels import label_of, standard_cell
from dao_core.generate.templates.index import TemplateHit
from dao_core.matching.seen import SeenCrystals
from dao_core.screening.joint import (
    FEATURES,
    JointWeights,
    Suggestion,
    features_of,
    group_same,
    joint_order,
    shipped_weights,
    without,
)
from tests.helpers.structures import cesium_chloride, reset, rocksalt, zincblende


def hit(crystal: Crystal, prior: float = 0.5, name: str = "t") -> TemplateHit:
    return TemplateHit(crystal, name, 0.0, math.log(prior))


def proposal(crystal: Crystal, p_label: float = 0.5, p_fill: float = 0.5) -> SymmetryProposal:
    label = label_of(standard_cell(crystal))
    return SymmetryProposal(crystal, label, math.log(p_label * p_fill), math.log(p_label), 0.0)


def other() -> Crystal:
    return cesium_chloride("Na", "Cl", 3.5)


def weights(**named: float) -> JointWeights:
    return JointWeights(tuple(named.get(name, 0.0) for name in FEATURES))


def test_a_crystal_that_both_suggest_is_one_suggestion_with_the_template_s_coordinates() -> None:
    template = rocksalt()
    groups = group_same([hit(template)], [proposal(reset(rocksalt(), 3)), proposal(other())])
    assert [(g.hit is not None, g.proposal is not None) for g in groups] == [(True, True), (False, True)]
    assert groups[0].crystal is template


def test_of_several_descriptions_of_one_crystal_the_first_counts() -> None:
    first, second = proposal(rocksalt(), 0.6), proposal(reset(rocksalt(), 5), 0.2)
    assert [g.proposal for g in group_same([], [first, second])] == [first]


def test_probabilities_and_what_is_left_add_up_to_one_and_are_in_order() -> None:
    hits = [hit(rocksalt(), 0.6), hit(other(), 0.1, "u")]
    order = joint_order(hits, [proposal(zincblende("Na", "Cl", 5.6))])
    priors = [s.log_prior for s in order.suggestions]
    assert sum(map(math.exp, priors)) + order.left == pytest.approx(1.0)
    assert priors == sorted(priors, reverse=True)
    assert len(priors) == 3


def test_log_odds_are_those_of_the_weights() -> None:
    chosen = weights(template=1.0, template_log_prior=2.0)
    order = joint_order([hit(rocksalt(), 0.5)], [], chosen)
    odds = math.exp(1.0 + 2.0 * math.log(0.5))
    assert math.exp(order.suggestions[0].log_prior) == pytest.approx(odds / (1 + odds))
    assert order.left == pytest.approx(1 / (1 + odds))


@pytest.mark.parametrize("better", ["template", "label", "fill", "symmetry beside a template"])
def test_more_evidence_makes_a_structure_likelier(better: str) -> None:
    """Whatever is fitted: each piece of evidence must count in its own direction."""
    weak = {"hits": [hit(rocksalt(), 0.1)], "proposals": [proposal(other(), 0.2, 0.3)]}
    strong = {
        "template": {**weak, "hits": [hit(rocksalt(), 0.6)]},
        "label": {**weak, "proposals": [proposal(other(), 0.8, 0.3)]},
        "fill": {**weak, "proposals": [proposal(other(), 0.2, 0.9)]},
        "symmetry beside a template": {**weak, "proposals": [proposal(rocksalt(), 0.5, 0.9), *weak["proposals"]]},
    }[better]
    favoured = other() if better in ("label", "fill") else rocksalt()

    def log_prior(evidence: dict[str, list]) -> float:
        order = joint_order(**evidence)
        return next(s.log_prior for s in order.suggestions if s.crystal.volume == favoured.volume)

    assert log_prior(strong) > log_prior(weak)


def test_features_say_what_is_known_and_what_is_not() -> None:
    def named(suggestion: Suggestion) -> dict[str, float]:
        found = zip(FEATURES, features_of([suggestion])[0], strict=True)
        return {k: v for k, v in found if v}

    assert named(Suggestion(hit=hit(rocksalt()))) == {"template": 1.0, "template_log_prior": math.log(0.5)}
    alone = named(Suggestion(proposal=proposal(rocksalt(), 0.5, 0.25)))
    assert alone == pytest.approx(
        {
            "symmetry": 1.0,
            "symmetry_log_label": math.log(0.5),
            "symmetry_log_fill": math.log(0.25),
            "symmetry_best": math.log(0.125),
        }
    )
    both = named(Suggestion(hit(rocksalt()), proposal(rocksalt(), 0.5, 0.25)))
    assert both["both"] == both["symmetry"] == both["template"] == 1.0
    assert both["both_symmetry_log_probability"] == pytest.approx(math.log(0.125))


def test_the_likeliest_of_a_cell_is_told_to_all_that_symmetry_suggests() -> None:
    cell = [Suggestion(hit=hit(other(), 0.6)), Suggestion(proposal=proposal(zincblende("Na", "Cl", 5.6), 0.5, 0.25)),
            Suggestion(hit(rocksalt(), 0.1), proposal(rocksalt(), 0.1, 0.25))]  # fmt: skip
    best = features_of(cell)[:, FEATURES.index("symmetry_best")]
    assert best == pytest.approx([0.0, math.log(0.125), math.log(0.125)])


def test_what_is_known_is_not_suggested_again_and_the_rest_is_given_that() -> None:
    order = joint_order([hit(rocksalt(), 0.7), hit(other(), 0.2, "u")], [])
    new = without(order, SeenCrystals([reset(rocksalt(), 4)]), 0.01)
    assert [s.hit.template_id for s in new.suggestions if s.hit] == ["u"]
    kept = next(s for s in order.suggestions if s.hit and s.hit.template_id == "u")
    scale = math.exp(kept.log_prior) + order.left
    assert math.exp(new.suggestions[0].log_prior) == pytest.approx(math.exp(kept.log_prior) / scale)
    assert new.left == pytest.approx(order.left / scale)
    assert without(order, SeenCrystals(), 0.01) is order


def test_a_known_polytype_does_not_hide_another_structure_with_a_like_fingerprint() -> None:
    fcc, hcp = (Crystal.from_ase(bulk("Ag", form, a=a)) for form, a in (("fcc", 4.1), ("hcp", 2.9)))
    order = joint_order([hit(fcc, 0.7)], [])
    assert without(order, SeenCrystals([hcp]), 0.01).suggestions
    assert not without(order, SeenCrystals([reset(fcc, 4), hcp]), 0.01).suggestions


def test_without_evidence_all_is_left() -> None:
    assert joint_order([], []).left == 1.0


def test_weights_of_other_features_are_refused() -> None:
    text = json.dumps({"weights": {"template": 1.0}})
    with pytest.raises(ValueError, match=r"fit_joint_prior\.py"):
        JointWeights.from_json(text)


def test_the_order_does_not_depend_on_the_cells_in_which_structures_come() -> None:
    plain = joint_order([hit(rocksalt(), 0.3)], [proposal(other())], shipped_weights())
    elsewhere = replace(proposal(other()), crystal=reset(other(), 2))
    moved = joint_order([hit(reset(rocksalt(), 7), 0.3)], [elsewhere])
    np.testing.assert_allclose(
        [s.log_prior for s in plain.suggestions], [s.log_prior for s in moved.suggestions], atol=1e-6
    )
