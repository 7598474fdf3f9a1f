"""Electrons and vibrations of a validated crystal, and the record of where its energy comes from."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import pytest

from dao_core.artifacts import Ledger, file_sha256
from dao_core.crystal import Crystal
from dao_core.dft.properties import compute_properties, vibration_words
from dao_core.dft.provenance import provenance
from dao_core.dft.session import Session
from dao_core.dft.validate import ValidationResult, ValidationRun, validate_crystal


@pytest.fixture
def run(session: Session) -> ValidationRun:
    settings = session.settings.model_copy(update={"bader_command": "no-such-bader"})
    return ValidationRun(settings, session.ledger.root, session.launcher)


@pytest.fixture
def validated(run: ValidationRun, si: Crystal) -> ValidationResult:
    return validate_crystal(si, run, material_id="Si-1")


def test_sentences_and_no_scratch_left(run: ValidationRun, validated: ValidationResult) -> None:
    properties = compute_properties(run, validated, ("electrons", "phonons", "dispersion 2"))
    parts = [s["part"] for s in properties.sections]
    assert parts == ["bands", "states", "elf", "bader", "phonons", "dispersion"]
    assert "the highest longitudinal one 21.0 THz" in properties.sentences[-2]
    assert "no imaginary mode, frequencies from 3.0 to 18.0 THz" in properties.sentences[-1]
    assert [s["part"] for s in properties.sections if s["data"] is None] == ["bader"]  # no such program here
    assert "the program `no-such-bader` is not installed" in properties.sections[3]["sentence"]
    left = [p.name for p in (Path(run.root) / "dft_scratch").glob("*-chain") if p.is_dir()]
    assert left == []
    again = compute_properties(run, validated, ("electrons",))
    assert json.dumps(again.sections[0], default=str) == json.dumps(properties.sections[0], default=str)


def test_with_u_vibrations_come_from_displacements(run: ValidationRun, nio: Crystal) -> None:
    settings = run.settings.model_copy(update={"hubbard": "mp", "orderings": "ferromagnetic", "qe_version": "6.7"})
    with_u = replace(run, settings=settings)
    properties = compute_properties(with_u, validate_crystal(nio, with_u), ("phonons",))
    assert properties.sections[0]["title"] == "Vibrations (finite displacements)"
    assert properties.sections[0]["data"]["n_displacements"] == 2


@pytest.mark.parametrize(
    ("frequencies", "words"),
    [([-2.0, 0.0, 0.0, 5.0, 5.0, 6.0], "1 modes at Gamma are imaginary"), ([0.0, 0.0, 0.1], "no optical modes"),
     ([-0.1, 0.0, 0.1, 5.0, 5.0, 6.0], "from 5.0 to 6.0 THz")],
)  # fmt: skip
def test_words_of_vibrations(frequencies: list[float], words: str) -> None:
    assert words in vibration_words({"frequencies": frequencies, "longitudinal": {}})


def test_record_names_files_programs_and_parents(run: ValidationRun, validated: ValidationResult) -> None:
    rows = {"Si-1": {"origin": "template", "formula": "Si", "provenance": '{"source": "mp-149"}'}}
    record = provenance(Ledger(run.root), rows)
    nodes = {n["@id"]: n for n in record["@graph"]}
    action = nodes[f"#calculation-{validated.key}"]
    read = {o["@id"] for o in action["object"]}
    assert "#candidate-Si-1" in read
    assert nodes["#candidate-Si-1"]["provenance"] == {"source": "mp-149"}
    inputs = [name for name in read if name.endswith("espresso.pwi")]
    assert nodes[inputs[0]]["sha256"] == file_sha256(Path(run.root) / inputs[0])
    pseudo = next(nodes[name] for name in read if name.startswith("#pseudopotential-Si"))
    assert pseudo["sha256"] == file_sha256(Path(run.settings.pseudo_dir or "") / pseudo["name"])
    assert nodes["#pw.x-6.7MaX"]["@type"] == "SoftwareApplication"
    structure = nodes[f"#structure-{validated.key}"]
    assert structure["energy_per_atom_eV"] == validated.energy_per_atom
    assert structure["functional"] == validated.functional
    referenced = {o["@id"] for n in record["@graph"] for o in (*n.get("object", []), *n.get("result", []))}
    assert referenced <= set(nodes)  # nothing is pointed to that isn't there
    json.dumps(record)


def test_an_empty_ledger_has_no_actions(tmp_path: Path) -> None:
    assert [n["@type"] for n in provenance(Ledger(tmp_path))["@graph"]] == ["CreativeWork", "Dataset"]
