"""Beyond the energy of a validated crystal: electrons and vibrations, from the SCF that its validation ended with."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dao_core.artifacts import ArtifactError, Ledger
from dao_core.dft.calculation import STAGE
from dao_core.dft.chain import ProgramError, remove_chain
from dao_core.dft.electronic.analysis import analyse_electrons, possible_parts
from dao_core.dft.electronic.eigenvalues import EigenvalueError
from dao_core.dft.electronic.page import sections, without_bader
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.pw.input import PwInput, from_dict
from dao_core.dft.pw.write import INPUT_JSON
from dao_core.dft.session import Session, StageFailedError, StageSummary
from dao_core.dft.validate import ValidationResult, ValidationRun
from dao_core.dft.vibrations.displacements import displaced_phonons
from dao_core.dft.vibrations.gamma import fixed_occupations, gamma_phonons
from dao_core.dft.vibrations.grid import phonon_dispersion

PROPERTIES = ("electrons", "phonons")
IMAGINARY = -0.3  # THz: below it a mode is no noise


@dataclass(frozen=True)
class Properties:
    """What was computed of one crystal.

    Attributes:
        sections: Of a page: part, title, sentence, data; a failure is a sentence without data.
        seconds: What each stage took when it was computed, by name; a result that is read back costs what it cost then.
    """

    sections: tuple[Mapping[str, Any], ...] = field(default_factory=tuple)
    seconds: Mapping[str, float] = field(default_factory=dict)

    @property
    def sentences(self) -> list[str]:
        """One line a section, for a terminal."""
        return [f"{s['title']}: {s['sentence']}" for s in self.sections]


def compute_properties(run: ValidationRun, result: ValidationResult, wanted: Sequence[str] = PROPERTIES) -> Properties:
    """Electrons and vibrations of a validated crystal; what is in the ledger is read back.

    Args:
        run: Settings, ledger and launcher of the validation.
        result: A validated crystal.
        wanted: What to compute: "electrons", "phonons", and "dispersion N" for N q-points an axis.

    Returns:
        Sections; a program that fails leaves the others and is named.
    """
    ledger = Ledger(run.root)
    pw_input = final_input(ledger, result.key)
    if pw_input is None:
        return Properties()
    library = find_library(run.settings.pseudo_dir)
    session = Session(run.settings, library, ledger, run.launcher or LocalLauncher(run.settings))
    out: list[Mapping[str, Any]] = []
    failed = False
    if "electrons" in wanted:
        parts = possible_parts(session.settings)
        electrons = analyse_electrons(session, pw_input, parts)
        failed |= bool(electrons.failures)
        out += sections(electrons)
        if "bader" not in parts:
            out.append(without_bader(session.settings.bader_command))
    if "phonons" in wanted:
        section = _vibrations(session, pw_input)
        failed |= section["data"] is None
        out.append(section)
    for name in (w for w in wanted if w.startswith("dispersion ")):
        section = _dispersion(session, pw_input, int(name.split()[1]))
        failed |= section["data"] is None
        out.append(section)
    if not failed and not run.settings.keep_scratch:
        for used in (pw_input, fixed_occupations(pw_input)):
            remove_chain(session, used)
    return Properties(tuple(out), stage_seconds(session.stages))


def stage_seconds(stages: Sequence[StageSummary]) -> dict[str, float]:
    """Seconds by kind of stage: the line of a cost table; "displacement 3 of 8" and the like are one kind."""
    out: dict[str, float] = {}
    for stage in stages:
        name = re.sub(r" \d+ of \d+$", "s", stage.name.removeprefix("dft_"))
        name = "magnetic orderings" if name.startswith("scf, ") else name
        name = "elements" if name.startswith("element ") else name
        out[name] = round(out.get(name, 0.0) + stage.wall_seconds, 2)
    return out


def final_input(ledger: Ledger, key: str) -> PwInput | None:
    """The input with which a calculation of the ledger succeeded, repairs included; None where it isn't there."""
    record = ledger.find(STAGE, key)
    if record is None:
        return None
    rounds = sorted(Path(record.path).glob("round_*"), key=lambda p: int(p.name[6:]))
    try:
        return from_dict(json.loads((rounds[-1] / INPUT_JSON).read_text()))
    except (OSError, ValueError, KeyError, TypeError, IndexError):
        return None


def _vibrations(session: Session, pw_input: PwInput) -> dict[str, Any]:
    section: dict[str, Any] = {"part": "phonons", "title": "Vibrations at Gamma (ph.x)", "data": None}
    try:
        if pw_input.hubbard:  # which ph.x 6.7 doesn't know
            section["title"] = "Vibrations (finite displacements)"
            displaced = displaced_phonons(session, pw_input)
            result = {**displaced, "path_frequencies": displaced["frequencies"], "frequencies": displaced["gamma"]}
            result["longitudinal"] = {}
        else:
            result = gamma_phonons(session, pw_input)
    except (ProgramError, StageFailedError, EigenvalueError, ArtifactError) as error:
        return section | {"sentence": f"Not computed: {error}."}
    return section | {"data": result, "sentence": vibration_words(result)}


def _dispersion(session: Session, pw_input: PwInput, n: int) -> dict[str, Any]:
    section: dict[str, Any] = {"part": "dispersion", "title": f"Phonon dispersion (ph.x, {n}x{n}x{n})", "data": None}
    try:
        result = phonon_dispersion(session, pw_input, (n, n, n))
    except (ProgramError, EigenvalueError, ArtifactError) as error:
        return section | {"sentence": f"Not computed: {error}."}
    lowest, highest = (f(f(row) for row in result["frequencies"]) for f in (min, max))
    word = "imaginary modes" if lowest < IMAGINARY else "no imaginary mode"
    sentence = f"Along {result['path']}: {word}, frequencies from {lowest:.1f} to {highest:.1f} THz."
    return section | {"data": result, "sentence": sentence}


def vibration_words(result: Mapping[str, Any]) -> str:
    """The modes at Gamma in one sentence."""
    frequencies = sorted(result["frequencies"])
    if frequencies[0] < IMAGINARY:
        n = sum(f < IMAGINARY for f in frequencies)
        return f"{n} modes at Gamma are imaginary, down to {frequencies[0]:.1f} THz: the structure is not a minimum."
    optical = [f for f in frequencies if f > -IMAGINARY]
    if not optical:
        return "One atom a cell: no optical modes."
    longitudinal = [modes[-1] for modes in result["longitudinal"].values()]
    split = f", the highest longitudinal one {max(longitudinal):.1f} THz" if longitudinal else ""
    return f"No mode at Gamma is imaginary; optical modes from {optical[0]:.1f} to {optical[-1]:.1f} THz{split}."


__all__ = ["Properties", "compute_properties", "final_input", "vibration_words"]
