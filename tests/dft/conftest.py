"""Fixtures of the DFT tests: a made-up library for the fake pw.x, a real one for the real pw.x."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dao_core.artifacts import Ledger, file_sha256
from dao_core.crystal import Crystal
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.pseudo.install import install_folder
from dao_core.dft.pseudo.library import PseudoLibrary, PseudopotentialError, find_library
from dao_core.dft.session import Session
from dao_core.dft.settings import DftSettings
from tests.conftest import SHARED
from tests.helpers.fake_pw import FAKE_COMMAND, nickel_oxide, silicon, upf_text


@pytest.fixture
def library(tmp_path: Path) -> PseudoLibrary:
    """Header-only files of Si, Ni and O: enough for everything but the real pw.x."""
    folder = tmp_path / "pseudo"
    folder.mkdir()
    rows = {}
    for element, valence in (("Si", 4), ("Ni", 18), ("O", 6)):
        path = folder / f"{element}.upf"
        path.write_text(upf_text(element, valence=valence))
        rows[element] = {"sha256": file_sha256(path), "cutoff_hartree": [14, 18, 24]}
    listing = {"name": "test", "version": "1", "functional": "PBE", "elements": rows}
    (folder / "library.json").write_text(json.dumps(listing))
    return find_library(folder)


@pytest.fixture
def plan(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Write the plan of the fake pw.x: scenario names, one a run; further runs are good."""
    path = tmp_path / "plan.txt"
    path.write_text("")
    monkeypatch.setenv("FAKE_QE_PLAN", str(path))

    def write(*names: str) -> Path:
        path.write_text("\n".join(names))
        Path(f"{path}.count").unlink(missing_ok=True)
        return path

    return write


@pytest.fixture
def settings(library: PseudoLibrary) -> DftSettings:
    """Settings for the fake pw.x."""
    return DftSettings(command=FAKE_COMMAND, pseudo_dir=library.folder, elements=False, min_free_bytes=0)


@pytest.fixture
def session(library: PseudoLibrary, settings: DftSettings, plan: Callable[..., Path], tmp_path: Path) -> Session:
    plan()
    return Session(settings, library, Ledger(tmp_path / "ledger"), LocalLauncher(settings, poll_seconds=0.01))


@pytest.fixture
def post(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """post(*words): what the programs after pw.x do, one word a run; the count of runs lies beside the plan."""
    path = tmp_path / "post"
    path.write_text("")
    monkeypatch.setenv("FAKE_QE_POST_PLAN", str(path))

    def write(*words: str) -> Path:
        path.write_text("\n".join(words))
        return Path(f"{path}.count")

    return write


@pytest.fixture
def si() -> Crystal:
    return silicon()


@pytest.fixture
def nio() -> Crystal:
    return nickel_oxide()


@pytest.fixture(scope="session")
def real_library(tmp_path_factory: pytest.TempPathFactory) -> PseudoLibrary:
    """A real library: the configured or installed one, else the development set."""
    try:
        return find_library(os.environ.get("DAO_PSEUDO_DIR"))
    except PseudopotentialError:
        development = SHARED / "pseudopotentials" / "sg15_pbe_sr"
        if not development.is_dir():
            pytest.skip("no pseudopotentials: run `dao validate setup` (infra/install_qe.sh does)")
        target = tmp_path_factory.mktemp("pseudo")
        cutoffs = {"Si": 40.0, "O": 90.0, "Mg": 60.0}
        return install_folder(development, target, functional="PBE", cutoffs=cutoffs)[0]
