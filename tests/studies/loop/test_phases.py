"""The table of a run: a version a round, formation energies from the elements of the beginning."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.hull.label import EnergyLabel, ForeignEnergyError
from dao_core.studies.loop.phases import PhaseTable

LABEL = EnergyLabel("judge")
CU, AU = 29, 79


def crystal(*numbers: int) -> Crystal:
    n = len(numbers)
    frac = np.stack([np.arange(n) / n, np.zeros(n), np.zeros(n)], axis=1)
    return Crystal(np.diag([3.0 * n, 3.0, 3.0]), frac, np.array(numbers))


@pytest.fixture
def phases(tmp_path: Path) -> PhaseTable:
    known = [("cu", crystal(CU), -4.0), ("au", crystal(AU), -3.0), ("high", crystal(CU, AU), -3.4)]
    return PhaseTable(tmp_path / "crysdb", LABEL, known)


def test_a_validated_phase_moves_the_hull_and_is_a_new_version(phases: PhaseTable) -> None:
    counts, before = {CU: 1, AU: 1}, phases.table.version
    assert phases.hull().e_above_hull(counts, -3.6, label=LABEL) == pytest.approx(-0.1)
    phases.add([("new", crystal(CU, AU), -3.6)])
    assert phases.table.version > before
    assert phases.hull().e_above_hull(counts, -3.6, label=LABEL) == 0.0
    assert phases.hull().e_above_hull({CU: 3, AU: 1}, -3.75, label=LABEL) == pytest.approx(0.05)
    by_id = {r.material_id: r.formation_energy_per_atom for r in phases.records()}
    assert by_id == {
        "cu": pytest.approx(0.0), "au": pytest.approx(0.0), "high": pytest.approx(0.1), "new": pytest.approx(-0.1),
    }  # fmt: skip


def test_an_element_found_later_does_not_move_the_zero(phases: PhaseTable) -> None:
    phases.add([("cu again", crystal(CU, CU), -4.5), ("new", crystal(CU, AU), -3.6)])
    assert phases.hull().references.energies[CU] == -4.0


def test_energies_of_another_label_are_refused(phases: PhaseTable) -> None:
    with pytest.raises(ForeignEnergyError):
        phases.hull().e_above_hull({CU: 1, AU: 1}, -3.6, label=EnergyLabel("pbe"))


def test_nothing_validated_leaves_the_table_as_it_is(phases: PhaseTable) -> None:
    before = phases.table.version
    phases.add([])
    assert phases.table.version == before
