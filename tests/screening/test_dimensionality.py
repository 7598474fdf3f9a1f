"""Layers, chains and molecules told from what is bonded in three dimensions, and the line on missing dispersion."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from ase.build import bulk

from dao_core.crystal import Crystal
from dao_core.elements import MAX_ATOMIC_NUMBER
from dao_core.energy.adapters.dispersion import METHOD
from dao_core.energy.potential import Potential
from dao_core.energy.registry import NO_DISPERSION, LoadedJudge
from dao_core.energy.relaxation.settings import RelaxSettings
from dao_core.library.known import KnownStructure
from dao_core.screening.dimensionality import dispersion_note, made_of
from dao_core.screening.formulas import parse_formula
from dao_core.screening.load_models import OnDemand, SearchModels
from dao_core.screening.report.page import read_data
from dao_core.screening.search import Conductor, SearchOutcome
from dao_core.screening.settings import JudgeSettings, SearchSettings
from tests.helpers.bonded import BONDED, LOOSE, textbook
from tests.helpers.candidates import candidate
from tests.helpers.potentials import Scripted, constant
from tests.helpers.search_models import context
from tests.helpers.structure_list import StructureList

JUDGED = {"judged": True, "energy_identity": "judge", "energy_kind": "total"}


@pytest.mark.parametrize("name", LOOSE)
def test_what_dispersion_holds_together_is_named(name: str) -> None:
    assert made_of(textbook(name)) == LOOSE[name]


@pytest.mark.parametrize("name", BONDED)
def test_what_is_bonded_in_three_dimensions_is_not(name: str) -> None:
    assert made_of(textbook(name)) is None


@pytest.mark.parametrize("symbol", ["Cu", "Zn", "Pb", "Na", "Ar"])
def test_metals_and_single_atoms_are_not(symbol: str) -> None:
    assert made_of(Crystal.from_ase(bulk(symbol))) is None


def test_any_element_alone_in_any_cell_is_no_obstacle() -> None:
    for number in range(1, MAX_ATOMIC_NUMBER + 1):
        for length in (1.5, 3.0, 9.0):
            assert made_of(Crystal(length * np.eye(3), np.zeros((1, 3)), np.array([number]))) is None


@pytest.mark.parametrize("name", [*LOOSE, *BONDED])
def test_the_cell_does_not_matter(name: str) -> None:
    crystal = textbook(name)
    other = Crystal.from_pymatgen(crystal.to_pymatgen() * ((1, 0, 0), (3, 1, 0), (0, 0, 2)))
    assert made_of(other) == made_of(crystal)


def test_the_line_names_the_structures_among_the_first_three() -> None:
    layers = candidate("a", textbook("graphite"), spacegroup_after=194, **JUDGED)
    molecules = candidate("b", textbook("dry ice"), spacegroup_after=205, **JUDGED)
    bonded = candidate("c", textbook("diamond"), **JUDGED)
    (line,) = dispersion_note([bonded, layers, molecules, layers])
    assert "number 2 (C P6_3/mmc) is made of layers, number 3 (CO2 Pa-3) is made of molecules" in line
    assert "without dispersion" in line
    assert "--dispersion adds" in line
    assert "numbers 1 (C P6_3/mmc), 2 (C P6_3/mmc) and 3 (C P6_3/mmc) are" in dispersion_note([layers] * 3)[0]
    assert dispersion_note([bonded, bonded, bonded, layers]) == []


@pytest.mark.parametrize(
    "changes",
    [{"judged": False}, {"energy_identity": f"{METHOD}+judge"}, {"energy_kind": "formation"}],
    ids=["nobody judged it", "with dispersion", "none can be added"],
)
def test_nothing_is_said_where_dispersion_is_there_or_cannot_be_added(changes: dict[str, object]) -> None:
    assert dispersion_note([candidate("a", textbook("graphite"), **{**JUDGED, **changes})]) == []


def searched(root: Path, judge: Potential | OnDemand[LoadedJudge] | None) -> SearchOutcome:
    """A search for carbon by models that leave the library's graphite where it is."""
    graphite = KnownStructure("L-1", "the library", None, textbook("graphite"), 194, 0.0, None)
    relax = RelaxSettings(max_steps=2)
    settings = SearchSettings(max_atoms=4, n_generated=0, n_seeded=0, n_templates=0, relax=relax,
                              judge=JudgeSettings(n_judged=1, relax=relax))  # fmt: skip
    models = SearchModels(Scripted(constant()), None, None, judge, StructureList("the library", (graphite,)))
    return Conductor(context(root, models, settings)).run([parse_formula("C")], "C")


def test_the_answer_and_its_page_say_it_where_a_judge_ran(tmp_path: Path) -> None:
    outcome = searched(tmp_path / "judged", Scripted(constant(-2.0)))
    (line,) = (note for note in outcome.info.notes if "dispersion" in note)
    assert "number 1 (C P6_3/mmc) is made of layers" in line
    assert line in read_data(outcome.report.file("report") / "index.html")["info"]["notes"]
    assert not any("dispersion" in note for note in searched(tmp_path / "not", None).info.notes)


def test_where_dispersion_was_asked_for_in_vain_only_that_is_said(tmp_path: Path) -> None:
    missing = OnDemand("a", lambda: LoadedJudge(Scripted(constant(-2.0)), f"{NO_DISPERSION}: not installed"))
    notes = searched(tmp_path, missing).info.notes
    assert [note for note in notes if "dispersion" in note] == [f"{NO_DISPERSION}: not installed"]
