"""Tables of candidates: today's, and one that the version b90917e wrote (CuAu by ASE's EMT)."""

from __future__ import annotations

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from dao_core.hull.label import EnergyLabel
from dao_core.screening.candidate_table import StoredCandidatesError, load_candidates, save_candidates
from dao_core.screening.report.files import best_rows
from tests.helpers.candidates import candidate, rocksalt

BEFORE = Path(__file__).parent / "data" / "run_b90917e"


def test_a_table_of_the_version_before_is_read_with_todays_names() -> None:
    with pytest.warns(UserWarning, match="`confidence` is now called `probability`"):
        found = load_candidates(BEFORE / "ranked.parquet")
    raw = pq.read_table(BEFORE / "ranked.parquet").to_pylist()
    assert [c.probability for c in found] == [row["confidence"] for row in raw] == [1.0]
    assert found[0].energy_label == EnergyLabel("EMT", "total")
    assert (found[0].shown_formula, found[0].judged, found[0].held) == ("CuAu", False, False)


def test_the_best_of_a_report_of_the_version_before_go_to_pw_x() -> None:
    rows = best_rows(BEFORE / "report.parquet", top=3).rows
    assert [row["formula"] for row in rows] == ["CuAu"]
    assert len(rows[0]["atomic_numbers"]) == 2


def test_what_is_no_table_of_candidates_is_refused(tmp_path: Path) -> None:
    pq.write_table(pq.read_table(BEFORE / "ranked.parquet", columns=["id", "formula"]), tmp_path / "half.parquet")
    with pytest.raises(StoredCandidatesError, match="is not a file of candidates"):
        load_candidates(tmp_path / "half.parquet")


def test_every_field_comes_back(tmp_path: Path) -> None:
    whole = candidate("a", rocksalt(), -3.0, energy_kind="formation", judged=True, undecided=True, held=True,
                      given="lattice", first_energy_per_atom=-1.0, first_energy_identity="first",
                      first_energy_kind="total", library="L", library_id="L-1", library_e_above_hull=0.02,
                      display_formula="ClNa", probability=0.5, log_prior=-0.7, start_id="s")  # fmt: skip
    save_candidates([whole], tmp_path / "c.parquet")
    again = load_candidates(tmp_path / "c.parquet")[0]
    for name in whole.__dataclass_fields__:
        if name != "crystal":
            assert getattr(again, name) == getattr(whole, name), name
