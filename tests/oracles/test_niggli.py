"""Our batched Niggli reduction against pymatgen's and moyopy's."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crysdb.steps.standardise import niggli_reduce
from tests.helpers.lattices import parameters, random_lattices


def close(a: np.ndarray, b: np.ndarray) -> bool:
    """Same lengths and angles; a right angle within tolerance may be on either side of 90 degrees."""
    return bool(np.allclose(a[:3], b[:3], atol=1e-4) and np.allclose(np.abs(a[3:]), np.abs(b[3:]), atol=1e-4))


def test_random_cells_agree_with_pymatgen_and_moyopy() -> None:
    import moyopy
    from pymatgen.core import Lattice

    lattices = random_lattices(200, seed=5)
    ours = niggli_reduce(lattices)[0]
    for lattice, mine in zip(lattices, ours, strict=True):
        theirs = Lattice(lattice).get_niggli_reduced_lattice().matrix
        assert close(parameters(mine), parameters(theirs))
        assert close(parameters(mine), parameters(np.array(moyopy.niggli_reduce(lattice.tolist())[0])))


@pytest.mark.shared
def test_real_cells_are_reduced_as_moyopy_judges(shared_data: Path) -> None:
    import moyopy
    import pyarrow.parquet as pq

    table = pq.read_table(shared_data / "mp_20" / "test_public.parquet", columns=["lattice"]).slice(0, 1000)
    lattices = np.array(table["lattice"].to_pylist()).reshape(-1, 3, 3)
    reduced, _, ended = niggli_reduce(lattices)
    assert ended.all()
    theirs = [np.array(moyopy.niggli_reduce(x.tolist())[0]) for x in lattices]
    lengths = np.linalg.norm(reduced, axis=2)
    assert np.allclose(lengths, np.linalg.norm(theirs, axis=2), atol=1e-3)
