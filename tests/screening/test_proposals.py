"""Proposals for one formula: shares, ids, and what cannot be made."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.generate.distinct_samples import repeats
from dao_core.generate.guidance import GuidanceError
from dao_core.generate.guidance_settings import GuidanceSettings
from dao_core.generate.integrate import SamplerSettings
from dao_core.generate.sampler import Generator
from dao_core.library.known import KnownStructure
from dao_core.screening.formulas import FormulaError, parse_formula
from dao_core.screening.generation import samples_a_cell
from dao_core.screening.load_models import SearchModels
from dao_core.screening.priors import unit_share
from dao_core.screening.proposals import Proposer, cells_of, propose_known
from dao_core.screening.settings import SearchSettings, proposal_shares
from tests.helpers.potentials import emt
from tests.helpers.search_models import models as alloys
from tests.helpers.search_models import propose
from tests.helpers.structure_list import StructureList
from tests.helpers.structures import rocksalt

SETTINGS = SearchSettings(max_atoms=6, n_generated=5, n_seeded=2, n_templates=3)


@lru_cache(maxsize=1)
def models() -> SearchModels:
    return SearchModels(emt(), flow(SamplerSettings(steps=3, seeded_steps=2)), alloys().templates)


def flow(settings: SamplerSettings) -> Generator:
    """The shipped generator without its symmetry model."""
    generator = Generator.load(settings=settings)
    generator.ships = False
    return generator


def test_symmetry_takes_places_of_samples_and_part_of_their_probability() -> None:
    alone = models().generator
    both = SearchModels(emt(), Generator.load(settings=SamplerSettings(steps=3)), None)
    settings = SearchSettings(z=1, n_generated=4, n_seeded=0, n_templates=0)
    made = propose("NaCl", both, settings).items
    symmetric = [p for p in made if p.origin == "symmetry"]
    assert symmetric[0].provenance["label"] == "225 Na:a Cl:b"
    assert len(made) == 4
    plain = propose("NaCl", SearchModels(emt(), alone, None), settings).items
    total, all_to_flow = (sum(math.exp(p.log_prior or 0.0) for p in items) for items in (made, plain))
    assert total == pytest.approx(all_to_flow, rel=0.05)


@pytest.mark.parametrize(
    ("max_atoms", "listed"),
    [({}, {"garnet"}), ({"max_atoms": 63}, set()), ({"max_atoms": 120}, {"garnet", "larger"})],
)
def test_what_the_library_lists_is_not_held_to_the_size_that_is_searched_unless_one_is_given(
    max_atoms: dict[str, int], listed: set[str]
) -> None:
    salt = rocksalt().to_pymatgen()
    library = StructureList("the library", tuple(
        KnownStructure(name, "the library", None, Crystal.from_pymatgen(salt * (1, 1, n)), None, 0.0, None)
        for name, n in (("garnet", 40), ("larger", 60))
    ))  # fmt: skip
    settings = SearchSettings(**max_atoms, n_generated=0, n_seeded=0, n_templates=0)
    found = propose_known(Proposer(parse_formula("NaCl"), SearchModels(emt(), None, None, library=library), settings))
    assert {p.known.material_id for p in found.items if p.known is not None} == listed
    assert len(found.not_tried) == (len(listed) < 2)


def test_every_share_is_made_or_told_and_ids_are_unique() -> None:
    made = propose("CuAu", models(), SETTINGS)
    origins = [p.origin for p in made.items]
    asked = SETTINGS.n_generated + SETTINGS.n_seeded + SETTINGS.n_templates
    assert len(made.items) + len(made.refused) == asked
    assert origins.count("template") == 2  # of those that fit: each crystal once
    assert origins.count("generated from template") <= 2
    assert len({p.id for p in made.items}) == len(made.items)
    assert all(p.crystal.formula_reduced == "CuAu" for p in made.items)
    assert {p.crystal.n_atoms for p in made.items if p.origin == "de novo"} <= {2, 4, 6}


def test_shares_that_no_template_fills_are_generated() -> None:
    made = propose(
        "Cu2Au5", models(), SETTINGS.model_copy(update={"max_atoms": 7})
    )  # no prototype of the index has 2:5
    assert len(made.items) + len(made.refused) == 10
    assert {p.origin for p in made.items} == {"de novo"}


@pytest.mark.parametrize("n", [1, 2, 3, 7, 20, 41])
def test_the_shares_of_n_proposals_add_up(n: int) -> None:
    assert sum(proposal_shares(n).values()) == n
    assert min(proposal_shares(n).values()) >= 0
    assert proposal_shares(n, generator=False) == {"n_generated": 0, "n_seeded": 0, "n_templates": n}


def test_seeds_are_templates_that_are_not_proposed_themselves() -> None:
    items = propose(
        "CuAu", models(), SETTINGS.model_copy(update={"n_templates": 1, "n_generated": 0, "n_seeded": 1})
    ).items
    plain = {p.provenance["template_id"] for p in items if p.origin == "template"}
    seeds = {p.provenance["start"].removeprefix("template ") for p in items if p.origin == "generated from template"}
    assert seeds
    assert not seeds & plain


def test_a_diffusion_makes_samples_from_noise_in_place_of_seeded_ones(monkeypatch: pytest.MonkeyPatch) -> None:
    generator = flow(SamplerSettings(diffusion_steps=1))
    monkeypatch.setattr(generator, "process", "diffusion")
    made = propose("CuAu", SearchModels(emt(), generator, models().templates), SETTINGS)
    assert {p.origin for p in made.items} <= {"template", "de novo"}
    asked = SETTINGS.n_generated + SETTINGS.n_seeded + SETTINGS.n_templates
    assert len(made.items) + len(made.refused) == asked  # samples of one step may well be refused


def test_the_largest_cell_is_the_one_warned_about() -> None:
    settings = SETTINGS.model_copy(update={"max_atoms": 24, "generated_atoms": 24, "n_generated": 1})
    with pytest.warns(UserWarning, match="24 atoms a cell, trained on at most 20"):
        propose("CuAu", models(), settings)


def test_a_repeat_among_the_samples_is_drawn_anew_and_only_then_kept() -> None:
    generator = flow(SamplerSettings(steps=10))
    settings = SearchSettings(z=1, n_generated=8, n_seeded=0, n_templates=0)
    drawn = [p.crystal for p in generator.propose({"Na": 1, "Cl": 1}, 8, settings.seed)]
    made = [p.crystal for p in propose("NaCl", SearchModels(emt(), generator), settings).items]
    assert len(made) == 8
    assert sum(repeats(made)) < sum(repeats(drawn))
    flags = repeats(made)
    assert flags == sorted(flags)  # what is asked for is filled up with repeats at the end


def test_what_is_drawn_more_often_is_more_probable() -> None:
    generator = flow(SamplerSettings(steps=10))
    settings = SearchSettings(z=1, n_generated=8, n_seeded=0, n_templates=0)
    priors = [p.log_prior for p in propose("NaCl", SearchModels(emt(), generator), settings).items]
    assert priors[0] == max(priors) > min(priors)
    assert sum(map(math.exp, priors)) == pytest.approx(1.0)  # of the only cell that is tried


def test_small_cells_get_more_of_the_samples_and_every_cell_its_due() -> None:
    likely = [unit_share({"Na": z, "Cl": z}) for z in range(1, 8)]
    counts = samples_a_cell(likely, 10)
    assert sum(counts) == 10
    assert counts[0] == max(counts)
    assert min(counts) >= 0
    assert counts[1] > counts[6]
    assert samples_a_cell(likely, 100)[6] >= 7  # half of all samples is shared out evenly
    assert samples_a_cell(likely, 0) == [0] * 7
    assert samples_a_cell(likely[:1], 5) == [5]


def test_a_likely_template_of_a_small_cell_comes_before_many_of_a_large_one() -> None:
    """Gold-copper at 1:1: the two-atom cell's prototype is not crowded out by four-atom ones."""
    items = propose("CuAu", models(), SETTINGS.model_copy(update={"n_templates": 1, "n_seeded": 0})).items
    first = next(p for p in items if p.origin == "template")
    assert first.crystal.n_atoms == 2


def test_proposals_say_what_made_them() -> None:
    for p in propose("CuAu", models(), SETTINGS).items:
        if p.origin == "template":
            assert p.provenance["templates"] == "prototypes of the test"
            assert "template_id" in p.provenance
        else:
            assert p.provenance["model"].startswith("dao-generator")
            assert isinstance(p.provenance["seed"], int)


def test_an_element_that_the_generator_never_saw_is_told_once_for_each_sample() -> None:
    made = propose("FmO", models(), SETTINGS)
    assert all(p.origin == "template" for p in made.items)
    assert len(made.items) + len(made.refused) == 10
    assert "never saw Fm" in made.refused[0]


def test_a_number_of_formula_units_is_taken_as_given() -> None:
    assert cells_of(parse_formula("CuAu"), SETTINGS.model_copy(update={"z": 4})) == [{"Cu": 4, "Au": 4}]
    with pytest.raises(FormulaError, match="z = 0"):
        cells_of(parse_formula("CuAu"), SETTINGS.model_copy(update={"z": 0}))
    with pytest.raises(FormulaError, match="a cell of 202 atoms, more than 200: z = 100 is the most"):
        cells_of(parse_formula("CuAu"), SETTINGS.model_copy(update={"z": 101}))


def test_priors_are_shares_of_one_and_follow_the_scores() -> None:
    items = propose("CuAu", models(), SETTINGS.model_copy(update={"n_seeded": 1})).items
    priors = [math.exp(p.log_prior) for p in items]
    assert 0 < sum(priors) <= 1 + 1e-9
    templates = [p.log_prior for p in items if p.origin == "template"]
    assert templates == sorted(templates, reverse=True)


def test_without_templates_all_probability_goes_to_the_samples() -> None:
    only = SearchModels(emt(), models().generator, None)
    items = propose("CuAu", only, SETTINGS.model_copy(update={"z": 1, "n_templates": 0, "n_seeded": 0})).items
    assert sum(math.exp(p.log_prior) for p in items) == pytest.approx(1.0)


def test_guidance_moves_the_samples_from_noise_and_nothing_else() -> None:
    from dao_core.energy.predictor import DaoPotential

    guided_tools = SearchModels(DaoPotential.load("predictor"), models().generator, models().templates)
    guided_settings = SETTINGS.model_copy(update={"guidance": GuidanceSettings(scale=5.0, window=(0.0, 1.0))})
    plain, guided = (propose("CuAu", guided_tools, s).items for s in (SETTINGS, guided_settings))
    moved = {
        a.origin: not np.allclose(a.crystal.frac_coords, b.crystal.frac_coords)
        for a, b in zip(plain, guided, strict=True)
    }
    assert moved == {"template": False, "generated from template": False, "de novo": True}


def test_of_several_draws_a_search_keeps_those_that_dao_p_puts_lowest() -> None:
    from dao_core.energy.predictor import DaoPotential

    guide = DaoPotential.load("predictor")
    tools = SearchModels(guide, models().generator, None)
    settings = SETTINGS.model_copy(update={"z": 2, "n_templates": 0, "n_seeded": 0, "n_generated": 2})

    def energies(draws: int) -> list[float]:
        chosen = settings.model_copy(update={"guidance": GuidanceSettings(scale=0.0, draws=draws)})
        return guide.cautious_energies([p.crystal for p in propose("CuAu", tools, chosen).items])

    one, many = energies(1), energies(6)
    assert len(one) == len(many) == 2
    assert many == sorted(many)
    assert many[0] < min(one)  # the first draws are among those that it chooses from


def test_guidance_without_dao_p_is_refused() -> None:
    with pytest.raises(GuidanceError, match="not EMT"):
        propose("CuAu", models(), SETTINGS.model_copy(update={"guidance": GuidanceSettings()}))
