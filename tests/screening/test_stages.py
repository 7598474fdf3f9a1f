from __future__ import annotations

from pathlib import Path

import pytest
from ase.calculators.emt import EMT

from dao_core.artifacts import Ledger, StageRecord
from dao_core.energy.adapters.ase import AsePotential
from dao_core.energy.relaxation.relax import RelaxSettings
from dao_core.screening.candidate_table import StoredCandidatesError, load_candidates, save_candidates
from dao_core.screening.formulas import parse_formula
from dao_core.screening.search import SearchModels, SearchSettings
from dao_core.screening.stages import CANDIDATES, gather, n_chunks, propose_stage, rank_stage, relax_stage, report_stage
from tests.helpers.potentials import emt
from tests.helpers.search_models import models

SETTINGS = SearchSettings(
    max_atoms=4, n_generated=0, n_seeded=0, n_templates=3, relax=RelaxSettings(max_steps=5, batch_size=2)
)


def run(ledger: Ledger, search_tools: SearchModels) -> tuple[StageRecord, list[StageRecord]]:
    proposed = propose_stage(ledger, parse_formula("CuAu"), search_tools, SETTINGS)
    chunks = range(n_chunks(proposed, SETTINGS))
    return proposed, [relax_stage(ledger, proposed, i, search_tools.potential, SETTINGS) for i in chunks]


def test_stages_make_a_report_and_are_found_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    proposed, relaxed = run(ledger, models())
    candidates, refused = gather([proposed], relaxed)
    assert len(candidates) == proposed.counts["n_ok"]
    assert refused == []
    assert len({c.id for c in candidates}) == len(candidates)
    ranked = rank_stage(ledger, [proposed], relaxed, models().potential)
    assert ranked.counts["n_asked"] == ranked.counts["n_ok"] + ranked.counts["n_failed"]
    answer = report_stage(ledger, ranked, models().potential, title="test", facts={"seed": 3})
    assert answer.counts == ranked.counts
    page = (answer.file("report") / "index.html").read_text()
    assert '"seed":3' in page
    assert '"relaxation steps":' in page
    assert '"stages":{"propose":' in page

    class Unwilling:
        identity = emt().identity

        def compute(self, _: object) -> list[object]:
            raise AssertionError("finished work was repeated")

    again = run(ledger, SearchModels(Unwilling(), None, models().templates))  # type: ignore[arg-type]
    assert again == (proposed, relaxed)


def test_another_potential_is_another_result(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    other = AsePotential(EMT, "EMT-2")
    first = propose_stage(ledger, parse_formula("CuAu"), models(), SETTINGS)
    second = propose_stage(ledger, parse_formula("CuAu"), SearchModels(other, None, models().templates), SETTINGS)
    assert first.key != second.key


def test_what_was_not_relaxed_keeps_its_energy(tmp_path: Path) -> None:
    proposed, relaxed = run(Ledger(tmp_path), models())
    partly, _ = gather([proposed], relaxed[:1])
    assert sum(c.relaxation_status == "not_relaxed" for c in partly) == len(partly) - 2
    assert all(c.energy_per_atom is not None for c in partly)


def test_candidates_are_stored_bit_for_bit(tmp_path: Path) -> None:
    proposed, relaxed = run(Ledger(tmp_path), models())
    candidates, _ = gather([proposed], relaxed)
    save_candidates(candidates, tmp_path / "c.parquet")
    for before, after in zip(candidates, load_candidates(tmp_path / "c.parquet"), strict=True):
        assert after.crystal.lattice.tobytes() == before.crystal.lattice.tobytes()
        assert after.crystal.frac_coords.tobytes() == before.crystal.frac_coords.tobytes()
        assert after.energy_per_atom == before.energy_per_atom
        assert dict(after.provenance) == dict(before.provenance)
    save_candidates([], tmp_path / "none.parquet")
    assert load_candidates(tmp_path / "none.parquet") == []


def test_a_damaged_file_is_refused(tmp_path: Path) -> None:
    proposed, _ = run(Ledger(tmp_path), models())
    data = proposed.file(CANDIDATES).read_bytes()
    (tmp_path / "half.parquet").write_bytes(data[: len(data) // 2])
    with pytest.raises(StoredCandidatesError, match="run the stage again"):
        load_candidates(tmp_path / "half.parquet")
