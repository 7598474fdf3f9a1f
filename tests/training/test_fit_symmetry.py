"""The symmetry networks learn, and a stopped training goes on as if nothing had happened."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from dao_core.crystal import Crystal
from dao_core.generate.symmetry.description import (
    Description,
    describe,
    from_values,
    n_free_coordinates,
    values_of,
)
from dao_core.generate.symmetry.fill_network import FillNetwork
from dao_core.generate.symmetry.fill_tokens import FillBatch, encode_fill
from dao_core.generate.symmetry.label_network import LabelNetwork
from dao_core.generate.symmetry.label_search import LabelSearchSettings, search_labels
from dao_core.generate.symmetry.label_tokens import Source
from dao_core.generate.symmetry.labels import label_of, orders_of, standard_cell
from dao_core.training.fit_symmetry import LabelExamples, Substitution
from dao_core.training.fit_symmetry_fill import FillExamples
from dao_core.training.symmetry_data import describe_all, load_descriptions, save_descriptions
from dao_core.training.symmetry_loop import SymmetryTrainingConfig, train
from tests.helpers.structures import cesium_chloride, perovskite, rocksalt, rutile
from tests.helpers.symmetric import TINY, VOLUMES, labels, random_structure, random_values

CONFIG = SymmetryTrainingConfig(network=TINY, cpu_seconds=2.0, batch_size=16, learning_rate=1e-2, warmup=5)


def descriptions() -> list[Description]:
    return [from_values(label, random_values(label, 0), VOLUMES) for label in labels()]


def test_the_label_network_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    examples = LabelExamples(labels(), [Source.NEAR_HULL] * len(labels()), labels(), CONFIG)
    network = LabelNetwork(TINY)
    with torch.no_grad():
        before = examples.validate(network)
    facts = train(network, examples, CONFIG, tmp_path)
    assert facts["group"] + facts["letters"] < 0.8 * (before["group"] + before["letters"])


def test_the_fill_network_learns(tmp_path: Path) -> None:
    torch.manual_seed(0)
    examples = FillExamples(descriptions(), descriptions(), VOLUMES, CONFIG)
    network = FillNetwork(TINY)
    with torch.no_grad():
        before = examples.validate(network)["structure"]
    assert train(network, examples, CONFIG, tmp_path)["structure"] < 0.8 * before


def test_equivalent_descriptions_are_drawn_and_marked() -> None:
    every = CONFIG.model_copy(update={"equivalent": 1.0, "substitution": 0.0})
    examples = FillExamples(descriptions(), [], VOLUMES, every)
    rng = np.random.default_rng(0)
    n_marked = 0
    for k, row in enumerate(examples.rows):
        drawn = [examples.described(k, rng) for _ in range(8)]
        assert all(d.canonical == (len(examples.others[k]) < 2) for d in drawn)
        assert all(any(np.allclose(d.values, other) for other in (row.values, *examples.others[k])) for d in drawn)
        n_marked += not drawn[0].canonical
    assert n_marked > 5
    canonical = FillExamples(descriptions(), [], VOLUMES, CONFIG.model_copy(update={"equivalent": 0.0}))
    assert all(canonical.described(k, rng).canonical for k in range(len(canonical.rows)))


def test_the_mark_changes_what_is_predicted() -> None:
    torch.manual_seed(0)
    network = FillNetwork(TINY)
    torch.nn.init.normal_(network.equivalent)
    row = next(encode_fill(d.label, values_of(d, VOLUMES)) for d in descriptions() if n_free_coordinates(d.label) > 2)
    canonical, marked = (network(FillBatch.of([replace(row, canonical=c)])) for c in (True, False))
    assert not torch.allclose(canonical[:, -1], marked[:, -1])


def test_each_source_has_its_own_labels(tmp_path: Path) -> None:
    """The same composition: rock salt in one source, caesium chloride in another."""
    torch.manual_seed(0)
    salt, caesium = (label_of(standard_cell(c)) for c in (rocksalt("Na", "Cl"), cesium_chloride("Na", "Cl")))
    pairs = [(salt, Source.NEAR_HULL), (caesium, Source.EXPERIMENT)] * 8
    examples = LabelExamples([p[0] for p in pairs], [p[1] for p in pairs], [salt], CONFIG)
    network = LabelNetwork(TINY)
    train(network, examples, CONFIG, tmp_path)
    for label, source in pairs[:2]:
        settings = LabelSearchSettings(source=source)
        found = search_labels([network], [(label.elements, label.counts)], settings)[0]
        assert found[0].label == label
        assert found[0].log_probability > np.log(0.8)


def test_a_finished_training_is_not_repeated(tmp_path: Path) -> None:
    torch.manual_seed(0)
    examples = LabelExamples(labels(), [Source.NEAR_HULL] * len(labels()), labels(), CONFIG)
    first = train(LabelNetwork(TINY), examples, CONFIG, tmp_path)
    again = LabelNetwork(TINY)
    facts = train(again, examples, CONFIG, tmp_path)
    assert facts == first  # with the figures of the validation, which no state keeps
    state = torch.load(tmp_path / "state.pt", weights_only=True)
    assert torch.equal(dict(again.named_parameters())["start"], state["average"]["start"])


def test_other_orders_describe_the_same_structure() -> None:
    label = label_of(standard_cell(perovskite()))
    for other in orders_of(label, np.random.default_rng(0), 4):
        assert sorted(other.elements) == sorted(label.elements)
        assert other == label_of(standard_cell(perovskite()), other.elements)


def test_substitutes_are_elements_of_the_same_sites() -> None:
    salts = [label_of(standard_cell(rocksalt(a, b))) for a in ("Na", "K", "Li", "Rb") for b in ("Cl", "Br", "I")]
    substitution, rng = Substitution(salts), np.random.default_rng(0)
    drawn = [int(substitution.draw(np.array([11, 17]), 0.9, rng)[0]) for _ in range(300)]
    assert sum(z in (3, 11, 19, 37) for z in drawn) > 250
    pairs = [substitution.draw(np.array([11, 17]), 1.0, rng) for _ in range(100)]
    assert all(a != b for a, b in pairs)


def test_descriptions_are_kept_to_the_last_digit(tmp_path: Path) -> None:
    crystals = [perovskite(), rutile(), random_structure(labels()[3])]
    made, n_ok, n_failed, reasons = describe_all(crystals)
    assert (n_ok, n_failed, reasons) == (3, 0, {"described": 3})
    kept = [d for d in made if d is not None]
    save_descriptions(tmp_path / "d.parquet", ["a", "b", "c"], kept, list(Source))
    ids, again, sources = load_descriptions(tmp_path / "d.parquet")
    assert (ids, sources) == (["a", "b", "c"], list(Source))
    for first, second in zip(kept, again, strict=True):
        assert first.label == second.label
        assert np.array_equal(values_of(first, VOLUMES), values_of(second, VOLUMES))


def test_what_has_no_description_is_counted() -> None:
    crowd = Crystal(30 * np.eye(3), np.random.default_rng(0).random((70, 3)), np.full(70, 8))
    made, n_ok, n_failed, reasons = describe_all([crowd, perovskite()])
    assert made[0] is None
    assert (n_ok, n_failed) == (1, 1)
    assert sum(reasons.values()) == 2


def test_the_description_of_a_perovskite_is_its_label_and_volume() -> None:
    cell = standard_cell(perovskite())
    found = describe(cell, label_of(cell))
    assert np.linalg.det(found.lattice) == pytest.approx(3.9**3)
