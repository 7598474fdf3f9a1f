"""The whole validation over the fake pw.x: statuses, hull, row for CrysDB, repetition."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import cast

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.hull import DftEntry, add_entry, on_hull, read_entries
from dao_core.dft.launch.base import Launcher
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.session import functional_label
from dao_core.dft.settings import DftSettings
from dao_core.dft.to_crysdb import to_record
from dao_core.dft.validate import ValidationResult, ValidationRun, validate_crystal
from flows.cli.validate import _line

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
    xenon = validate(si.replace(atomic_numbers=[14, 54]))
    assert (xenon.status, xenon.material_id) == ("missing_pseudopotential", "c-1")  # its page says why there is nothing
    assert validate(si, pseudo_dir=tmp_path / "none").status == "invalid_settings"
    assert validate(si, protocols_file=tmp_path / "none.yaml").status == "invalid_settings"
    coarse = validate(si, ecutrho=80.0)
    assert (coarse.status, coarse.message[:51]) == (
        "invalid_settings",
        "ecutrho 80 Ry is less than 4 times the 28 Ry of the",
    )
    assert not (tmp_path / "ledger").exists()


def test_another_smearing_is_said(validate: Validate, si: Crystal) -> None:
    result = validate(si, "smearing_stalls", "good")
    assert result.ok
    assert "scf, vc-relax, final scf: Gaussian smearing" in result.message
    assert "scf, vc-relax, final scf: then fixed occupations" in result.message
    assert [s.rounds for s in result.stages] == [3, 2, 2]  # the later ones didn't stall first


def test_what_is_no_insulator_is_said(validate: Validate, si: Crystal) -> None:
    result = validate(si, "bands_overlap", electronic_type="insulator")
    assert result.ok
    assert "scf, vc-relax, final scf: the protocol's smearing, for bands overlap" in result.message
    assert [s.rounds for s in result.stages] == [2, 1, 1]


def test_a_cutoff_below_the_pseudopotentials_is_said(validate: Validate, si: Crystal) -> None:
    assert "ecutwfc 20 Ry is below the least that test-1 states for Si (28)" in validate(si, ecutwfc=20.0).message
    assert "ecutwfc" not in validate(si, ecutwfc=28.0).message


def test_warning_reaches_the_message(validate: Validate, si: Crystal) -> None:
    result = validate(si, "good", "final_scf_thresholds")
    assert result.ok
    assert "final SCF" in result.message


def test_hulls_never_mix_levels(library: PseudoLibrary, tmp_path: Path, nio: Crystal) -> None:
    ledger = Ledger(tmp_path / "ledger")
    fast = functional_label(library, DftSettings())
    balanced = functional_label(library, DftSettings(protocol="balanced"))
    assert len({fast, balanced, functional_label(library, DftSettings(ecutwfc=50.0))}) == 3
    assert fast.split("|")[4] == "collinear"  # how magnetism is treated is a part that people can read
    assert functional_label(library, DftSettings(spin="none")).split("|")[4] == "spin-none"
    assert functional_label(library, DftSettings(orderings="ferromagnetic")).split("|")[4] == "ferromagnetic"
    assert functional_label(library, DftSettings(), {"Ni": 6.2}).endswith("|U(Ni-3d 6.2)")
    ni = crystal_from_symbols(3.5 * np.eye(3), ["Ni"], [[0, 0, 0]])
    o = crystal_from_symbols(4.0 * np.eye(3), ["O"], [[0, 0, 0]])
    for crystal, energy in ((ni, -10.0), (o, -5.0)):
        add_entry(ledger, DftEntry(fast, crystal, energy, f"k{energy}", role="reference"))
    add_entry(ledger, DftEntry(fast, nio, -9.0, "nio"))
    assert on_hull(ledger, fast, nio, -9.0) == (pytest.approx(-1.5), pytest.approx(0.0))
    assert on_hull(ledger, fast, nio, -8.9)[1] == pytest.approx(0.1)
    assert on_hull(ledger, balanced, nio, -9.0) == (None, None)
    assert len(read_entries(ledger, fast, role="reference")) == 2


def test_all_that_changes_energies_is_in_the_label(library: PseudoLibrary, tmp_path: Path) -> None:
    changed = DftSettings().resolved_protocol().model_dump()
    protocols = {
        name: DftSettings(protocol=name).resolved_protocol().model_dump() for name in ("balanced", "stringent")
    }
    (tmp_path / "p.yaml").write_text(json.dumps({"fast": changed | {"degauss": 0.001}, **protocols}))
    (tmp_path / "q.yaml").write_text(json.dumps({"fast": changed | {"mixing_beta": 0.1}, **protocols}))
    edited = {element: row | {"sha256": "0"} for element, row in library.table.items()}
    labels = [
        functional_label(library, DftSettings()),
        functional_label(library, DftSettings(electronic_type="insulator")),
        functional_label(library, DftSettings(ecutwfc=50.0)),
        functional_label(library, DftSettings(ecutwfc=50.0, ecutrho=300.0)),
        functional_label(library, DftSettings(orderings="ferromagnetic")),
        functional_label(library, DftSettings(protocols_file=tmp_path / "p.yaml")),
        functional_label(replace(library, table=edited), DftSettings()),
    ]
    assert len(set(labels)) == len(labels)
    assert functional_label(library, DftSettings(protocols_file=tmp_path / "q.yaml")) == labels[0]


def test_the_lowest_magnetic_ordering_is_kept_and_all_are_reported(validate: Validate, nio: Crystal) -> None:
    result = validate(nio, "good", "low_energy", "scf_not_converged", max_orderings=2)
    assert result.ok
    assert [o.kind for o in result.orderings] == ["ferromagnetic", "antiferromagnetic"]
    assert result.ordering == "antiferromagnetic 2x #1"
    assert result.crystal is not None
    assert result.crystal.n_atoms == 4
    assert "lowest of 2 magnetic orderings: antiferromagnetic 2x #1" in result.message
    assert "2 of 3 magnetic orderings computed; max_orderings lifts the limit" in result.message
    assert result.moments is not None
    assert result.moments.changes == ("kept", "kept", "collapsed", "kept")
    assert "moments changed: Ni3 collapsed" in result.message


def test_an_ordering_that_fails_leaves_the_others(validate: Validate, nio: Crystal) -> None:
    result = validate(nio, "crashed", max_orderings=2)
    assert result.ok
    assert result.orderings[0].energy_per_atom is None
    assert "readpp" in result.orderings[0].message
    assert validate(nio, "crashed", "crashed", max_orderings=2, pressure_gpa=1.0).status == "code_failed"


def test_with_u_there_is_no_formation_energy_and_a_hull_of_its_own(validate: Validate, nio: Crystal) -> None:
    result = validate(nio, elements=True, hubbard="mp", orderings="ferromagnetic", qe_version="6.7")
    assert result.ok
    assert result.functional.endswith("|U(Ni-3d 6.2)")
    assert (result.formation_energy_per_atom, result.missing_references) == (None, ())
    assert "computed without U" in result.message


def test_u_for_a_pw_x_that_cannot_be_asked_needs_its_version(
    settings: DftSettings, plan: Callable[..., Path], tmp_path: Path, si: Crystal, nio: Crystal
) -> None:
    class Queue:
        """Runs programs elsewhere, where only the queue's machines have them."""

        def __init__(self) -> None:
            self.local = LocalLauncher(settings, poll_seconds=0.02)

        def __getattr__(self, name: str) -> object:
            return getattr(self.local, name)

    plan()
    missing = {"command": "no-such-pw.x", "hubbard": "mp", "orderings": "ferromagnetic"}
    run = ValidationRun(settings.model_copy(update=missing), tmp_path / "ledger", cast(Launcher, Queue()))
    refused = validate_crystal(nio, run)
    assert refused.status == "invalid_settings"
    assert "--qe-version" in refused.message
    told = replace(run, settings=run.settings.model_copy(update={"qe_version": "7.3"}))
    assert "--qe-version" not in validate_crystal(nio, told).message
    assert "--qe-version" not in validate_crystal(si, run).message  # no U on silicon


def test_a_u_that_is_given_alone_has_a_hull_of_its_own(validate: Validate, nio: Crystal) -> None:
    result = validate(nio, elements=True, hubbard_u={"Ni": 6.4}, orderings="ferromagnetic")
    assert result.ok
    assert result.functional.endswith("|U(Ni-3d 6.4)")
    assert (result.formation_energy_per_atom, result.missing_references) == (None, ())
    plain = validate(nio, hubbard_u={"Fe": 4.0}, orderings="ferromagnetic")  # which NiO doesn't hold
    assert plain.functional == result.functional.removesuffix("|U(Ni-3d 6.4)")


def test_a_reference_that_is_given_is_computed_without_the_others(
    settings: DftSettings, plan: Callable[..., Path], tmp_path: Path, si: Crystal, nio: Crystal
) -> None:
    """`--no-elements --reference si.cif`: what was given counts, and the advice is to leave out --no-elements."""
    plan()
    run = ValidationRun(settings, tmp_path / "ledger", LocalLauncher(settings, poll_seconds=0.02), {"Si": si})
    result = validate_crystal(si, run)
    assert result.missing_references == ()
    assert result.formation_energy_per_atom == pytest.approx(0.0)
    assert _line("si", result, run)[-1] is None
    oxide = validate_crystal(nio, run)
    assert oxide.missing_references == ("Ni", "O")
    assert not any(s.name.startswith("element") for s in oxide.stages)
    assert str(_line("nio", oxide, run)[-1]).endswith("no reference for Ni, O: leave out --no-elements")
    asked = replace(run, settings=settings.model_copy(update={"elements": True}), references={"Ni": nio})
    words = "the reference given for Ni could not be computed; no reference for O: give one with --reference"
    assert str(_line("nio", oxide, asked)[-1]).endswith(words)


def test_under_pressure_there_is_no_formation_energy(validate: Validate, si: Crystal) -> None:
    result = validate(si, pressure_gpa=5.0, elements=True)
    assert result.status == "validated"
    assert (result.formation_energy_per_atom, result.e_above_hull) == (None, None)
    assert "relaxed at 5 GPa: no formation energy" in result.message


def test_an_insulator_s_elements_are_computed_as_metals(validate: Validate, si: Crystal, tmp_path: Path) -> None:
    result = validate(si, electronic_type="insulator", elements=True)
    assert result.status == "validated"
    occupations = {
        json.loads(path.read_text())["namelists"]["system"]["occupations"]
        for path in (tmp_path / "ledger").glob("**/round_1/input.json")
    }
    assert occupations == {"fixed", "smearing"}


def test_unvalidated_result_is_no_row(si: Crystal) -> None:
    result = ValidationResult("Si", "validated", "", si)
    with pytest.raises(ValueError, match="only validated"):
        to_record(replace(result, energy_per_atom=-1.0))
