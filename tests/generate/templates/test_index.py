"""The template index: what it finds, what it leaves out, and what survives a save."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from dao_core.crystal import Crystal
from dao_core.elements import UnknownElementError
from dao_core.generate.templates.index import TemplateIndex, TemplateIndexError
from dao_core.generate.templates.store import load_index, save_index
from dao_core.matching.rms import compare, reduce_crystal
from tests.helpers.structures import cesium_chloride, perovskite, reset, rocksalt, rutile, zincblende

ALKALI = {"Na": 5.6, "K": 6.3, "Rb": 6.6}


@pytest.fixture(scope="module")
def index() -> TemplateIndex:
    items = [(f"rs-{a}{x}", rocksalt(a, x, length)) for a, length in ALKALI.items() for x in ("Cl", "Br")]
    items += [("rs-NaCl-again", reset(rocksalt("Na", "Cl", 5.65), 1))]
    items += [(f"zb-{a}{x}", zincblende(a, x)) for a in ("Zn", "Cd") for x in ("S", "Se")]
    items += [("cscl-CsCl", cesium_chloride()), ("cscl-CsBr", cesium_chloride("Cs", "Br", 4.3))]
    items += [(f"pv-{a}{b}O3", perovskite(a, b)) for a in ("Sr", "Ba", "Ca") for b in ("Ti", "Zr")]
    items += [("rutile-TiO2", rutile()), ("rutile-SnO2", rutile("Sn"))]
    return TemplateIndex.build(items, source="made for tests")


def _matches(found: Crystal, expected: Crystal) -> bool:
    return compare(reduce_crystal(found), reduce_crystal(expected)).rms is not None


def test_the_right_prototype_comes_first(index: TemplateIndex) -> None:
    assert _matches(index.query({"K": 1, "I": 1}, 3)[0].crystal, rocksalt("K", "I"))
    assert _matches(index.query({"Zn": 1, "Te": 1}, 3)[0].crystal, zincblende("Zn", "Te"))
    assert _matches(index.query({"Hf": 1, "Ba": 1, "O": 3}, 1)[0].crystal, perovskite("Ba", "Hf"))


def test_hits_are_distinct_prototypes_with_the_query_elements(index: TemplateIndex) -> None:
    hits = index.query({"K": 1, "Br": 1}, 3)
    assert len(hits) == 3
    assert all(h.crystal.composition == {"Br": 1, "K": 1} for h in hits)
    assert len({h.template_id.split("-")[0] for h in hits}) == 3
    assert [h.score for h in hits] == sorted((h.score for h in hits), reverse=True)


def test_every_assignment_of_elements_to_sites_is_there(index: TemplateIndex) -> None:
    hits = index.query({"Zr": 1, "Sr": 1, "O": 3}, 20)
    for wanted in (perovskite("Sr", "Zr"), perovskite("Zr", "Sr")):
        assert any(_matches(h.crystal, wanted) for h in hits)


def test_large_atoms_do_not_overlap_in_place_of_small_ones() -> None:
    from pymatgen.core import Structure

    ammonia = Crystal.from_pymatgen(Structure.from_spacegroup(
        "P2_13", 5.13 * np.eye(3), ["N", "H"], [[0.21, 0.21, 0.21], [0.373, 0.261, 0.111]]
    ))  # fmt: skip
    assert ammonia.composition == {"N": 4, "H": 12}
    layered = rocksalt("Na", "Cl", 5.6)  # so that the volumes of large atoms are known
    index = TemplateIndex.build([("ammonia", ammonia), ("salt", layered)], source="made for tests")
    assert [h.template_id for h in index.query({"P": 4, "H": 12}, 5)] == ["ammonia"]
    assert index.query({"Na": 4, "Cl": 12}, 5) == []


def test_excluded_entries_are_not_used(index: TemplateIndex) -> None:
    alone = index.query({"Ti": 2, "O": 4}, 5)
    assert alone[0].template_id == "rutile-TiO2"
    assert index.query({"Ti": 2, "O": 4}, 5, exclude_ids=["rutile-TiO2"])[0].template_id == "rutile-SnO2"
    assert index.query({"Ti": 2, "O": 4}, 5, exclude_ids=["rutile-TiO2", "rutile-SnO2"]) == []


def test_the_number_of_formula_units_counts(index: TemplateIndex) -> None:
    assert index.query({"Na": 2, "Cl": 2}, 5) == []


def test_volume_follows_the_elements(index: TemplateIndex) -> None:
    small, large = (index.query({a: 1, "Cl": 1}, 1)[0].crystal.volume for a in ("Na", "Rb"))
    assert large > 1.2 * small
    assert small == pytest.approx(rocksalt().volume, rel=0.15)


def test_saved_index_answers_the_same(index: TemplateIndex, tmp_path: Path) -> None:
    save_index(index, tmp_path)
    again = load_index(tmp_path)
    assert (again.source, again.ids, again.keys) == (index.source, index.ids, index.keys)
    for composition in ({"K": 1, "I": 1}, {"Ba": 1, "Hf": 1, "O": 3}):
        first, second = index.query(composition, 5), again.query(composition, 5)
        assert [h.template_id for h in first] == [h.template_id for h in second]
        np.testing.assert_allclose([h.score for h in first], [h.score for h in second], atol=0.02)


def test_damaged_or_missing_index_is_refused(index: TemplateIndex, tmp_path: Path) -> None:
    with pytest.raises(TemplateIndexError, match="build it again"):
        load_index(tmp_path)
    save_index(index, tmp_path)
    arrays = tmp_path / "index.npz"
    arrays.write_bytes(arrays.read_bytes()[:-100])
    with pytest.raises(TemplateIndexError, match="damaged"):
        load_index(tmp_path)


def test_an_index_whose_order_was_trained_on_other_features_is_to_be_built_again(
    index: TemplateIndex, tmp_path: Path
) -> None:
    save_index(index, tmp_path)
    description = json.loads((tmp_path / "index.json").read_text())
    description["ranker"]["features"] = ["evidence"]
    (tmp_path / "index.json").write_text(json.dumps(description))
    with pytest.raises(TemplateIndexError, match=r"other features.*build it again"):
        load_index(tmp_path)


def test_bad_input_is_named(index: TemplateIndex) -> None:
    with pytest.raises(UnknownElementError, match="Xx"):
        index.query({"Xx": 1, "O": 1}, 1)
    with pytest.raises(TemplateIndexError, match="empty composition"):
        index.query({"O": 0}, 1)
    with pytest.raises(TemplateIndexError, match="own id"):
        TemplateIndex.build([("a", rocksalt()), ("a", rutile())], source="twice")
    with pytest.raises(TemplateIndexError, match="0 structures"):
        TemplateIndex.build([], source="nothing")


def test_priors_are_probabilities_and_grow_with_the_evidence(index: TemplateIndex) -> None:
    near, far = (index.query({a: 1, b: 1}, 20) for a, b in (("Na", "Cl"), ("Xe", "W")))
    shares = [sum(np.exp(h.log_prior) for h in hits) for hits in (near, far)]
    assert 0 < shares[1] < shares[0] < 1
    swapped = [h for h in near[1:] if _matches(h.crystal, near[0].crystal)]  # the same structure a second time
    assert all(h.log_prior < near[0].log_prior - 5 for h in swapped)
    few = index.query({"Na": 1, "Cl": 1}, 2)  # how many are asked for changes nothing
    assert [h.log_prior for h in few] == [h.log_prior for h in near[:2]]


def test_close_packed_and_body_centred_metals_are_not_one_template() -> None:
    items = [(f"{form}-{s}", Crystal.from_ase(bulk(s, form, a=a))) for form, a in (("fcc", 4.0), ("bcc", 3.2)) for s in
             ("Cu", "Ag", "Nb")]  # fmt: skip
    hits = TemplateIndex.build(items, source="made for tests").query({"Au": 1}, 2)
    assert {h.template_id.split("-")[0] for h in hits} == {"fcc", "bcc"}
    assert sum(np.exp(h.log_prior) for h in hits) <= 1.0
    assert min(h.log_prior for h in hits) > -5.0  # neither counts as a repeat of the other
