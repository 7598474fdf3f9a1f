from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.steps.energies import hull_entry_table
from dao_core.hull.hull import HullMismatchError, HullSet, fractions, lower_facets, reduce_counts

NA, CL, OX = 11, 17, 8


def salt_hull(**changes: object) -> HullSet:
    entries = [({NA: 1}, -1.3), ({CL: 1}, -1.8), ({CL: 2}, -1.75), ({NA: 1, CL: 1}, -3.4), ({NA: 3, CL: 1}, -2.2)]
    return HullSet.from_entries(entries, identity="me", **changes)  # type: ignore[arg-type]


def test_binary_by_hand() -> None:
    hull = salt_hull()
    assert hull.e_above_hull({NA: 2, CL: 2}, -3.4, identity="me") == 0.0
    assert hull.e_above_hull({NA: 1, CL: 1}, -3.3, identity="me") == pytest.approx(0.1)
    # halfway between Na and NaCl by composition 3:1 -> formation -1.85 * 0.5
    assert hull.e_above_hull({NA: 3, CL: 1}, -2.2, identity="me") == pytest.approx(-2.2 + 1.425 + 0.925)
    assert hull.e_above_hull({CL: 4}, -1.75, identity="me") == pytest.approx(0.05)
    assert hull.stable({NA, CL}) == [{NA: 1, CL: 1}]


def test_below_the_hull_is_negative() -> None:
    assert salt_hull().e_above_hull({NA: 1, CL: 1}, -3.6, identity="me") == pytest.approx(-0.2)


def test_missing_element_gives_none_never_a_number() -> None:
    hull = salt_hull()
    assert hull.e_above_hull({NA: 1, OX: 1}, -5.0, identity="me") is None
    assert hull.system((NA, OX)) is None
    assert hull.stable((NA, OX)) == []


def test_other_energies_are_refused() -> None:
    with pytest.raises(HullMismatchError, match="'other'"):
        salt_hull().e_above_hull({NA: 1, CL: 1}, -3.4, identity="other")


def test_formation_energies_need_their_elements_unless_told() -> None:
    entries = [({NA: 1, CL: 1}, -1.85), ({NA: 1}, 0.02)]
    strict = HullSet.from_entries(entries, identity="f", kind="formation")
    assert strict.e_above_hull({NA: 1, CL: 1}, -1.85, identity="f") is None
    told = HullSet.from_entries(entries, identity="f", kind="formation", zero=True)
    assert told.e_above_hull({NA: 1, CL: 1}, -1.8, identity="f") == pytest.approx(0.05)
    # an element's own row above zero lies above the hull: zero is the definition
    assert told.e_above_hull({NA: 1}, 0.02, identity="f") == pytest.approx(0.02)


def test_adding_an_entry_moves_the_hull_of_larger_systems() -> None:
    entries = [({z: 1}, 0.0) for z in (NA, CL, OX)] + [({NA: 1, CL: 1, OX: 1}, -0.5)]
    hull = HullSet.from_entries(entries, identity="x")
    before = hull.e_above_hull({NA: 1, CL: 1, OX: 1}, -0.5, identity="x")
    assert before == 0.0
    assert hull.add({NA: 1, CL: 1}, -3.0)
    assert not hull.add({NA: 1, CL: 1}, -2.0)
    assert hull.e_above_hull({NA: 1, CL: 1, OX: 1}, -0.5, identity="x") == pytest.approx(1.5)


def test_an_entry_on_the_tie_plane_is_no_vertex() -> None:
    coefficients, vertices = lower_facets(np.array([[0.5, 0.25, 0.25], [0.2, 0.3, 0.5]]), np.array([-1.0, -1e-13]))
    assert set(vertices) == {0}
    assert (np.eye(3) @ coefficients.T).max(axis=1) == pytest.approx(0.0, abs=1e-12)


def test_no_compounds_means_a_flat_hull() -> None:
    hull = HullSet.from_entries([({NA: 1}, -1.0), ({CL: 1}, -2.0)], identity="x")
    assert hull.e_above_hull({NA: 1, CL: 1}, -1.5, identity="x") == 0.0
    assert hull.e_above_hull({NA: 1}, -1.0, identity="x") == 0.0


def test_reduced_counts_and_fractions() -> None:
    assert reduce_counts({CL: 4, NA: 2}) == ((NA, CL), (1, 2))
    assert fractions({CL: 3, NA: 1}, (NA, CL)).tolist() == [0.25, 0.75]


def test_saved_hulls_give_the_same_answers(tmp_path: Path) -> None:
    import pyarrow.parquet as pq

    other = HullSet.from_entries(
        [({NA: 1}, 0.0), ({CL: 1}, 0.0), ({NA: 1, CL: 1}, -2.0)], identity="b", kind="formation"
    )
    pq.write_table(hull_entry_table([salt_hull(), other]), tmp_path / "hulls.parquet")
    loaded = HullSet.load(tmp_path / "hulls.parquet", identity="me")
    for counts, energy in (({NA: 1, CL: 1}, -3.1), ({NA: 3, CL: 1}, -2.2), ({NA: 1}, -1.0)):
        mine = salt_hull().e_above_hull(counts, energy, identity="me")
        assert loaded.e_above_hull(counts, energy, identity="me") == pytest.approx(mine)
    with pytest.raises(HullMismatchError, match="'b', 'me'"):
        HullSet.load(tmp_path / "hulls.parquet", identity="c")
