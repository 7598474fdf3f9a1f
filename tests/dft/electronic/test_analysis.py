"""Bands, states and ELF through fake programs: plain results, parts that fail alone, repetition."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import Ledger
from dao_core.crystal import Crystal
from dao_core.dft.electronic.analysis import analyse_electrons, band_path, coarse, treatment_warning
from dao_core.dft.electronic.page import sections
from dao_core.dft.pseudo.library import PseudoLibrary
from dao_core.dft.session import Session
from dao_core.dft.settings import DftSettings


def test_every_part_of_an_insulator(session: Session, si: Crystal) -> None:
    electrons = analyse_electrons(session, session.build(si, "scf"))
    assert electrons.failures == {}
    states, bands, elf = (electrons.results[p] for p in ("states", "bands", "elf"))
    assert states["gap"]["value"] == pytest.approx(1.0)
    assert states["gap"]["kind"] == "direct"
    assert states["warning"] == ""
    assert [c["charge"] for c in states["charges"]] == [0.5, -0.5]
    assert np.shape(states["projected"]["Si p"]) == np.shape(states["total"])
    assert np.sum(states["projected"]["Si s"]) == pytest.approx(0.5 * np.sum(states["total"]))
    assert bands["gap"]["value"] == pytest.approx(0.5)  # the path sees a lower band than the mesh
    assert bands["labels"][0] == "G"
    assert [m["kind"] for m in elf["maxima"]] == ["interstitial"]
    assert elf["maxima"][0]["frac_coords"] == pytest.approx([0.5, 0.5, 0.5])
    words = {s["title"]: s["sentence"] for s in sections(electrons)}
    assert "0.50 eV" in words["Bands"]
    assert "electride" in words["Electron localisation"]


def test_a_part_that_fails_leaves_the_others(
    session: Session,
    post: Callable[..., Path],
    si: Crystal,
) -> None:
    post("error")  # the first program after pw.x: projwfc.x
    electrons = analyse_electrons(session, session.build(si, "scf"))
    assert set(electrons.results) == {"bands", "elf"}
    assert "projwfc.x: crashed" in electrons.failures["states"]
    assert any("projwfc.x" in s["sentence"] for s in sections(electrons))
    again = analyse_electrons(session, session.build(si, "scf"))
    assert again.failures == {}


def test_finished_parts_run_nothing(session: Session, plan: Callable[..., Path], si: Crystal) -> None:
    first = analyse_electrons(session, session.build(si, "scf"))
    count = Path(f"{plan()}.count")
    again = analyse_electrons(session, session.build(si, "scf"))
    assert not count.exists()
    assert again == first


def test_overlapping_bands_are_a_metal(session: Session, nio: Crystal) -> None:
    plain = session.settings.model_copy(update={"spin": "none"})
    used = Session(plain, session.library, Ledger(session.ledger.root), session.launcher)
    states = analyse_electrons(used, used.build(nio, "scf"), ("states",)).results["states"]
    assert states["gap"]["is_metal"]
    assert states["at_fermi"] == pytest.approx(1.0)


def test_treatment_that_does_not_fit_is_named(library: PseudoLibrary, si: Crystal, session: Session) -> None:
    fixed = DftSettings(pseudo_dir=library.folder, electronic_type="insulator")
    insulator = Session(fixed, library, session.ledger, session.launcher).build(si, "scf")
    assert "use electronic_type metal" in treatment_warning(insulator, True, 0.0)
    assert treatment_warning(insulator, False, 1.0) == ""
    assert "size of the smearing" in treatment_warning(session.build(si, "scf"), False, 0.01)
    assert treatment_warning(session.build(si, "scf"), True, 0.0) == ""


def test_path_follows_the_cell_that_is_given(si: Crystal) -> None:
    path = band_path(si, 10.0)
    turned = si.replace(lattice=si.lattice @ np.array([[0, 1, 0], [-1, 0, 0], [0, 0, 1]]))
    assert band_path(turned, 10.0)["path"] == path["path"]
    assert np.allclose(band_path(turned, 10.0)["distances"], path["distances"])
    assert path["distances"][-1] > path["distances"][0]


def test_coarse_copy_fits_a_byte() -> None:
    grid = np.linspace(0, 1.2, 48 * 20 * 10).reshape(48, 20, 10)
    small = coarse(grid)
    assert small["shape"] == (24, 20, 10)
    assert small["values"].min() == 0
    assert small["values"].max() == 255
