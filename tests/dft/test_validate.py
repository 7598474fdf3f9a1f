"""The whole validation over the fake pw.x: statuses, hull, row for CrysDB, repetition."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.hull import DftEntry, add_entry, on_hull, read_entries
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.session import functional_label
from dao_core.dft.settings import DftSettings
from dao_core.dft.to_crysdb import to_record
from dao_core.dft.validate import ValidationResult, ValidationRun, validate_crystal

Validate = Callable[..., ValidationResult]


@pytest.fixture
def validate(settings: DftSettings, plan: Callable[..., Path], tmp_path: Path) -> Validate:
    """validate(crystal, *failures, **changes of the settings)."""

    def run(crystal: Crystal, *names: str, **changes: object) -> ValidationResult:
        plan(*names)
        used = settings.model_copy(update=changes)
        launcher = LocalLauncher(used, poll_seconds=0.02)
        run = ValidationRun(used, tmp_path / "ledger", launcher)
        return validate_crystal(crystal, run, material_id="c-1", dao_formation_energy_per_atom=0.02)

    return run


def test_three_stages_and_a_row(validate: Validate, si: Crystal) -> None:
    result = validate(si)
    assert (result.status, result.ok) == ("validated", True)
    assert [s.name for s in result.stages] == ["scf", "vc-relax", "final scf"]
    assert result.volume_change == pytest.approx(1.01**3 - 1, rel=1e-3)
    assert result.same_structure
    assert result.formation_energy_per_atom is None  # no element was computed
    record = to_record(result)
    assert (record.source, record.parent_id, record.source_version) == ("qe", "c-1", "6.7MaX")
    assert record.functional.startswith("PBE|QE|test-1|fast|")
    assert record.energy_per_atom == result.energy_per_atom
    assert record.forces is not None
    assert record.forces.shape == (2, 3)


def test_repeated_call_runs_nothing(validate: Validate, si: Crystal, tmp_path: Path) -> None:
    first = validate(si)
    count = tmp_path / "plan.txt.count"
    again = validate(si)
    assert not count.exists()  # the plan was reset and no run has counted
    assert again.energy_per_atom == first.energy_per_atom


def test_elements_give_a_formation_energy(validate: Validate, si: Crystal) -> None:
    result = validate(si, elements=True)
    assert result.missing_references == ()
    assert result.formation_energy_per_atom == pytest.approx(0.0)
    assert result.e_above_hull == pytest.approx(0.0)
    assert result.dao_error == pytest.approx(0.02)
    assert [s.name for s in result.stages][3:] == ["element Si, vc-relax", "element Si, scf"]


def test_failed_element_fails_no_compound(validate: Validate, si: Crystal) -> None:
    result = validate(si, "good", "good", "good", "crashed", elements=True)
    assert result.ok
    assert result.missing_references == ("Si",)
    assert result.formation_energy_per_atom is None


@pytest.mark.parametrize(
    ("names", "status"),
    [
        (["crashed"], "code_failed"),
        (["good", "scf_in_relax"] + ["scf_in_relax"] * 5, "not_converged"),
        (["disk_full"], "disk_full"),
        (["good"] + ["max_seconds"] * 6, "timeout"),
        (["out_of_memory"] * 3, "out_of_memory"),
        (["unreadable"] * 2, "code_failed"),
    ],
)
def test_failures_have_a_status_and_the_candidate_is_kept(
    validate: Validate, si: Crystal, names: list[str], status: str
) -> None:
    result = validate(si, *names)
    assert (result.status, result.ok) == (status, False)
    assert result.message
    assert np.array_equal(result.crystal_input.lattice, si.lattice)
    with pytest.raises(ValueError, match=status):
        to_record(result)


def test_missing_program_is_named(validate: Validate, si: Crystal) -> None:
    result = validate(si, command="/nowhere/pw.x")
    assert result.status == "pw_missing"
    assert "infra/install_qe.sh" in result.message


def test_input_mistakes_are_found_before_anything_runs(validate: Validate, si: Crystal, tmp_path: Path) -> None:
    near = si.replace(frac_coords=[[0.24, 0.25, 0.25], [0.25, 0.25, 0.25]])
    assert validate(near).status == "invalid_structure"
    assert validate(si.replace(atomic_numbers=[14, 54])).status == "missing_pseudopotential"
    assert validate(si, pseudo_dir=tmp_path / "none").status == "invalid_settings"
    assert validate(si, protocols_file=tmp_path / "none.yaml").status == "invalid_settings"
    assert not (tmp_path / "ledger").exists()


def test_warning_reaches_the_message(validate: Validate, si: Crystal) -> None:
    result = validate(si, "good", "final_scf_thresholds")
    assert result.ok
    assert "final SCF" in result.message


def test_hulls_never_mix_levels(library: PseudoLibrary, tmp_path: Path, nio: Crystal) -> None:
    ledger = Ledger(tmp_path / "ledger")
    fast = functional_label(library, DftSettings())
    balanced = functional_label(library, DftSettings(protocol="balanced"))
    assert len({fast, balanced, functional_label(library, DftSettings(ecutwfc=50.0))}) == 3
    ni = crystal_from_symbols(3.5 * np.eye(3), ["Ni"], [[0, 0, 0]])
    o = crystal_from_symbols(4.0 * np.eye(3), ["O"], [[0, 0, 0]])
    for crystal, energy in ((ni, -10.0), (o, -5.0)):
        add_entry(ledger, DftEntry(fast, crystal, energy, f"k{energy}", role="reference"))
    add_entry(ledger, DftEntry(fast, nio, -9.0, "nio"))
    assert on_hull(ledger, fast, nio, -9.0) == (pytest.approx(-1.5), pytest.approx(0.0))
    assert on_hull(ledger, fast, nio, -8.9)[1] == pytest.approx(0.1)
    assert on_hull(ledger, balanced, nio, -9.0) == (None, None)
    assert len(read_entries(ledger, fast, role="reference")) == 2


def test_unvalidated_result_is_no_row(si: Crystal) -> None:
    result = ValidationResult("Si", "validated", "", si)
    with pytest.raises(ValueError, match="only validated"):
        to_record(replace(result, energy_per_atom=-1.0))
