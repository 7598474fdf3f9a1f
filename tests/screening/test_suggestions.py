"""What a formula's cells are suggested: one order over cells, nothing known twice, within a given space group."""

from __future__ import annotations

import math
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any
from unittest.mock import patch

import pytest

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.generator import SymmetryGenerator, SymmetryProposal, SymmetryProposals
from dao_core.generate.symmetry.labels import Label
from dao_core.generate.templates.index import TemplateHit
from dao_core.library.known import KnownStructure
from dao_core.library.prior import KNOWN_SHARE
from dao_core.screening.formulas import parse_formula
from dao_core.screening.joint import Suggestion
from dao_core.screening.priors import cell_shares, unit_share
from dao_core.screening.proposals import Proposer, propose_known
from dao_core.screening.settings import SearchSettings
from dao_core.screening.suggestions import SAMPLES_FIND, Suggesters, before_samples, suggest
from tests.helpers.structure_list import StructureList
from tests.helpers.structures import cesium_chloride, reset, rocksalt, zincblende
from tests.helpers.symmetric import tiny_model

CELL = {"Na": 1, "Cl": 1}
DOUBLE = {"Na": 2, "Cl": 2}


class Suggests:
    """Stands for a symmetry model with known answers for cells of one formula unit."""

    identity = "dao-symmetry-test"

    def __init__(self, *answers: tuple[Crystal, float]) -> None:
        self.answers = answers
        self.asked: list[dict[str, int]] = []

    def propose_many(self, cells: Sequence[dict[str, int]], n: int, spacegroup: int | None = None) -> list[Any]:
        self.asked += cells
        label = Label(spacegroup or 225, (11, 17), ("a", "b"))
        items = [SymmetryProposal(c, label, math.log(p), math.log(p), 0.0) for c, p in self.answers]
        found = SymmetryProposals(items[:n], {} if items else {"no sites": 1})
        return [found if cell == CELL else SymmetryProposals([], {"no sites": 1}) for cell in cells]


class Index:
    """Stands for a template index with known answers for cells of one formula unit."""

    source = "index of the test"

    def __init__(self, *answers: tuple[str, Crystal, float], evidence: dict[int, float] | None = None) -> None:
        self.answers = answers
        self.evidence = evidence or {}

    def log_evidence(self, cell: dict[str, int], _excluded: Sequence[str] = ()) -> float | None:
        return self.evidence.get(sum(cell.values()))

    def query(self, cell: dict[str, int], k: int, excluded: Sequence[str] = ()) -> list[TemplateHit]:
        hits = [TemplateHit(c, name, 0.0, math.log(p)) for name, c, p in self.answers if name not in excluded]
        return hits[:k] if cell == CELL else []


def suggesters(symmetry: Any = None, templates: Any = None, **more: Any) -> Suggesters:
    return Suggesters(templates, symmetry, n_templates=20, **{"largest": 20, **more})


def proposer(symmetry: Any = None, templates: Any = None, library: Any = None, **settings: Any) -> Proposer:
    generator = SimpleNamespace(symmetry=symmetry, max_atoms=20)
    models = SimpleNamespace(generator=generator, templates=templates, library=library)
    return Proposer(parse_formula("NaCl"), models, SearchSettings(**{"z": 1, **settings}))  # type: ignore[arg-type]


def cscl() -> Crystal:
    return cesium_chloride("Na", "Cl", 3.5)


def test_templates_and_symmetry_share_a_cell_s_probability_and_units_weigh_the_cells() -> None:
    who = suggesters(Suggests((rocksalt(), 0.8)), Index(("t", cscl(), 0.3)))
    found = suggest([CELL, DOUBLE], who)
    assert {s.hit is None for s in found.ranked} == {True, False}
    assert 0 < sum(math.exp(s.log_prior) for s in found.ranked) < cell_shares([CELL, DOUBLE], [None, None])[0]
    assert {s.crystal.n_atoms for s in found.ranked} == {2}


def test_where_nothing_is_alike_common_numbers_of_formula_units_are_likely() -> None:
    cells = [{"Na": z, "Cl": z} for z in range(1, 5)]
    common = [unit_share(cell) for cell in cells]
    assert cell_shares(cells, [None] * 4) == pytest.approx([c / sum(common) for c in common])


def test_a_cell_that_alike_compounds_have_is_likely() -> None:
    cells = [{"Na": z, "Cl": z} for z in range(1, 5)]
    shares = cell_shares(cells, [None, 4.0, None, 7.0])
    assert sum(shares) == pytest.approx(1.0)
    assert shares[3] > 0.9
    assert cell_shares(cells, [None, 4.0, None, 4.0])[3] < shares[3]


def test_a_larger_cell_that_alike_compounds_have_is_tried_where_nothing_is_known() -> None:
    index = Index(evidence={80: 9.0})  # as garnets
    known = StructureList("test", (KnownStructure("k", "test", None, rocksalt(), 225, 0.0, None),))
    free: dict[str, Any] = {"z": "auto"}
    assert sum(proposer(None, index, **free).cells[-1].values()) == 80
    assert sum(proposer(None, index, known, **free).cells[-1].values()) == 64
    assert sum(proposer(None, index, **free, max_atoms=32).cells[-1].values()) == 32
    assert sum(proposer(None, Index(), **free).cells[-1].values()) == 64


def test_symmetry_is_asked_for_a_rare_cell_that_alike_compounds_have() -> None:
    model, cells = Suggests((rocksalt(), 0.5)), [{"Na": z, "Cl": z} for z in (1, 3)]
    suggest(cells, suggesters(model, Index(evidence={6: 8.0})))
    assert model.asked == [cells[1]]


def test_a_template_that_symmetry_finds_too_is_one_structure_with_both_reasons() -> None:
    made = propose_known(proposer(Suggests((reset(rocksalt(), 3), 0.5)), Index(("t", rocksalt(), 0.4)))).items
    assert [p.origin for p in made] == ["template"]
    assert made[0].provenance["template_id"] == "t"
    assert made[0].provenance["model"] == "dao-symmetry-test"
    assert made[0].provenance["label"] == "225 Na:a Cl:b"


def test_what_symmetry_alone_suggests_says_so() -> None:
    made = propose_known(proposer(Suggests((rocksalt(), 0.9)))).items
    assert [(p.origin, p.id, p.provenance["start"]) for p in made] == [("symmetry", "NaCl-s0000", "symmetry")]


def test_the_library_s_structures_are_not_suggested_again_and_keep_their_share() -> None:
    known = StructureList("test", (KnownStructure("k", "test", None, reset(rocksalt(), 2), 225, 0.0, None),))
    who = proposer(Suggests((rocksalt(), 0.7), (cscl(), 0.2)), Index(("t", rocksalt(), 0.6)), known)
    made = propose_known(who).items
    assert [p.origin for p in made] == ["known", "symmetry"]
    assert math.exp(made[0].log_prior or 0.0) == pytest.approx(KNOWN_SHARE)
    assert sum(math.exp(p.log_prior or 0.0) for p in made) < 1.0


def test_a_structure_gets_a_place_while_it_is_likelier_than_a_sample() -> None:
    answers = [(rocksalt(), 0.9), (cscl(), 0.3), (zincblende("Na", "Cl", 5.6), 1e-6)]
    few = proposer(Suggests(*answers), n_templates=0, n_generated=4)
    assert [s.crystal for s in few.chosen] == [c for c, _ in answers[:2]]
    assert len(proposer(Suggests(*answers), n_templates=0, n_generated=1).chosen) == 1


def test_what_stands_before_samples_leaves_them_less_only_where_they_are_drawn() -> None:
    priors = (0.5, 0.5, SAMPLES_FIND * 0.6 / 2)  # the third is worth a sample's place if the first two left 0.5, not 1
    ranked = [Suggestion(hit=TemplateHit(rocksalt(), str(i), 0.0), log_prior=math.log(p)) for i, p in enumerate(priors)]
    assert before_samples(ranked, 4, 1.5) == ranked
    assert before_samples(ranked, 4, 1.5, lambda _: False) == ranked[:2]
    assert before_samples(ranked, 2, 0.0) == ranked[:2]


def test_without_a_generator_every_place_is_for_a_template() -> None:
    index = Index(("t", rocksalt(), 0.9), ("u", cscl(), 1e-6))
    models = SimpleNamespace(generator=None, templates=index, library=None)
    alone = Proposer(parse_formula("NaCl"), models, SearchSettings(z=1, n_templates=2))  # type: ignore[arg-type]
    assert [s.hit.template_id for s in alone.chosen if s.hit] == ["t", "u"]


def test_symmetry_is_asked_for_cells_that_are_small_enough_and_not_rare() -> None:
    model = Suggests((rocksalt(), 0.5))
    cells = [{"Na": n, "Cl": n} for n in (1, 2, 3, 4, 7, 11)]
    suggest(cells, suggesters(model, largest=7))
    assert model.asked == [cells[0], cells[1]]
    suggest([cells[4]], suggesters(model, largest=20))  # the only one that is wanted
    assert model.asked[2:] == [cells[4]]


def test_reasons_are_told_where_symmetry_suggests_nothing() -> None:
    made = propose_known(proposer(Suggests()))
    assert (made.items, made.refused) == ([], ["NaCl: no sites"])


def test_a_reason_that_many_structures_share_is_counted() -> None:
    model = SymmetryGenerator(tiny_model(3))
    overlapping = SymmetryProposals([], {"atoms overlap": 3})
    with patch.object(model, "propose_many", return_value=[overlapping, overlapping]):
        found = suggest([CELL, DOUBLE], suggesters(model))
    assert found.ranked == []
    assert found.refused == ["atoms overlap (6 times)"]


def test_a_given_space_group_is_kept() -> None:
    index = Index(("t", rocksalt(), 0.6), ("u", cscl(), 0.3))
    found = suggest([CELL], suggesters(SymmetryGenerator(tiny_model()), index, spacegroup=221))
    assert {s.proposal.label.spacegroup_number for s in found.ranked if s.proposal} == {221}
    assert {s.hit.template_id for s in found.ranked if s.hit} == {"u"}
