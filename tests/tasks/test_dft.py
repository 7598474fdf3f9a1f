from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from dao_core.dft.candidate_files import CandidatesError
from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.ranking import rank
from dao_core.screening.report.files import best_rows, write_files
from tasks.config import HandOff
from tasks.dft import choose_best
from tests.helpers.small_runs import crystals


def candidates() -> list[Candidate]:
    out = []
    for i, crystal in enumerate(crystals(6)):
        status = "rejected_volume" if i == 2 else "converged"
        out.append(new_candidate(f"c{i}", crystal, origin="test", energy_per_atom=-1.0 - i, relaxation_status=status))
    return rank(out)


def choose(path: Path, **settings: int) -> list[dict[str, Any]]:
    return choose_best.fn(str(path / "candidates.parquet"), HandOff(**settings))


def test_the_best_candidate_of_each_formula(tmp_path: Path) -> None:
    write_files(candidates(), tmp_path)
    assert [r["id"] for r in best_rows(tmp_path / "candidates.parquet", top=3, max_atoms=2).rows] == ["c5"]
    assert len({r["formula"] for r in choose(tmp_path, top=9)}) == 5
    assert "c2" not in {r["id"] for r in choose(tmp_path, top=9)}  # rejected


def test_a_table_without_a_column_is_refused_by_name(tmp_path: Path) -> None:
    path = write_files(candidates(), tmp_path)["parquet"]
    pq.write_table(pq.read_table(path).drop_columns(["lattice"]), path)
    with pytest.raises(CandidatesError, match=r"candidates\.parquet has no column lattice"):
        choose(tmp_path, top=1)


def test_what_the_limit_of_size_leaves_out_is_named(tmp_path: Path) -> None:
    ranked = candidates()
    write_files(ranked, tmp_path)
    path = tmp_path / "candidates.parquet"
    assert best_rows(path, top=9).left_out == ""
    limited = best_rows(path, top=9, max_atoms=2)
    large = {c.formula for c in ranked if c.usable and c.crystal.n_atoms > 2} - {r["formula"] for r in limited.rows}
    assert large
    assert all(formula in limited.left_out for formula in large)
    assert "limit 2" in limited.left_out
