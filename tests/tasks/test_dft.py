from __future__ import annotations

from pathlib import Path

from dao_core.screening.candidate import Candidate, new_candidate
from dao_core.screening.ranking import rank
from dao_core.screening.report.files import write_files
from tasks.config import HandOff
from tasks.dft import best, choose_best
from tests.helpers.small_runs import crystals


def candidates() -> list[Candidate]:
    out = []
    for i, crystal in enumerate(crystals(6)):
        status = "rejected_volume" if i == 2 else "converged"
        out.append(new_candidate(f"c{i}", crystal, origin="test", energy_per_atom=-1.0 - i, relaxation_status=status))
    return rank(out)


def test_the_best_small_candidate_of_each_formula() -> None:
    chosen = best(candidates(), HandOff(top=3, max_atoms=2))
    assert [c.id for c in chosen] == ["c5"]
    assert len({c.formula for c in best(candidates(), HandOff(top=9, max_atoms=8))}) == 5
    assert all(c.usable for c in best(candidates(), HandOff(top=9, max_atoms=8)))


def test_choosing_from_the_report_s_file_gives_the_same(tmp_path: Path) -> None:
    ranked = candidates()
    write_files(ranked, tmp_path)
    handoff = HandOff(top=3, max_atoms=8)
    rows = choose_best.fn(str(tmp_path / "candidates.parquet"), handoff)
    assert [r["id"] for r in rows] == [c.id for c in best(ranked, handoff)]
