"""Pieces that the DFT tests share: small crystals, made-up UPF headers, the fake pw.x and its texts."""

from __future__ import annotations

import importlib.util
import sys
from pathlib import Path
from types import ModuleType

from dao_core.crystal import Crystal, crystal_from_symbols
from dao_core.dft.launch.outcome import RunOutcome
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import Calculation, PwInput
from dao_core.dft.pw.output import PwOutput, parse_text
from dao_core.dft.pw.write import write_input
from dao_core.dft.settings import DftSettings

INFRA = Path(__file__).resolve().parents[2] / "infra"
# isolated and without site packages: a shim or a large environment would make each start slow
FAKE_COMMAND = f"{sys.executable} -I -S {INFRA / 'fake_qe' / 'pw.x'}"
FCC = [[0.0, 2.72, 2.72], [2.72, 0.0, 2.72], [2.72, 2.72, 0.0]]


def scenarios() -> ModuleType:
    """The module of fabricated outputs, which lies outside the packages."""
    if "fake_qe_scenarios" not in sys.modules:
        spec = importlib.util.spec_from_file_location("fake_qe_scenarios", INFRA / "fake_qe" / "scenarios.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
    return sys.modules["fake_qe_scenarios"]


def silicon(shift: float = 0.0) -> Crystal:
    return crystal_from_symbols(FCC, ["Si", "Si"], [[shift, 0, 0], [0.25, 0.25, 0.25]])


def nickel_oxide() -> Crystal:
    return crystal_from_symbols(
        [[0, 2.1, 2.1], [2.1, 0, 2.1], [2.1, 2.1, 0]], ["Ni", "O"], [[0, 0, 0], [0.5, 0.5, 0.5]]
    )


def upf_text(element: str, *, functional: str = "PBE", full: bool = False, valence: float = 4, extra: str = "") -> str:
    return (
        f'<UPF version="2.0.1">\n<PP_HEADER\n element="{element}"\n pseudo_type="NC"\n'
        f' relativistic="{"full" if full else "scalar"}"\n has_so="{"T" if full else "F"}"\n'
        f' functional="{functional}"\n z_valence="{valence:.2f}"\n rho_cutoff="1.5E+01"\n {extra}/>\n</UPF>\n'
    )


def an_input(library: PseudoLibrary, calculation: Calculation = "vc-relax", crystal: Crystal | None = None) -> PwInput:
    """An input for silicon."""
    return build_input(crystal or silicon(), library, DftSettings(pseudo_dir=library.folder), calculation)


def fake_output(pw_input: PwInput, scenario: str, folder: Path) -> tuple[PwOutput, RunOutcome]:
    """What a run with a scenario would have left, parsed; nothing is run."""
    module = scenarios()
    reply = module.SCENARIOS[scenario](module.read_job(write_input(pw_input, folder).read_text()))
    text = reply.raw.decode("utf-8", errors="replace") or reply.stdout
    kinds = {"kill9": "out_of_memory", "sleep": "timeout", "wait_exit": "stuck"}
    kinds |= {"remove": "folder_removed", "remove_and_sleep": "folder_removed"}
    if scenario == "hanging":
        kinds["sleep"] = "stalled"
    outcome = RunOutcome(kinds.get(reply.then, "exited"), None if reply.then != "exit" else reply.code)
    return parse_text(text, crash=reply.crash, stderr=reply.stderr, start=pw_input.crystal), outcome
