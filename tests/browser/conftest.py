"""A report of real structures and a browser to look at it with, both made once a session."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.screening.candidate import Candidate
from dao_core.screening.pipeline import symmetrize
from dao_core.screening.ranking import with_probability
from dao_core.screening.report.page import write_report
from dao_core.screening.report.page_data import ReportInfo
from tests.browser.devtools import Browser, Page
from tests.helpers.candidates import candidate, cesium_chloride, rattled, rocksalt

HULL = Hull.from_entries(
    [
        HullEntry({11: 2}, -1.3, "na"),
        HullEntry({17: 4}, -1.8, "cl"),
        HullEntry({11: 1, 17: 1}, -3.4, "halite"),
    ],
    EnergyLabel("test-potential+0123456789ab"),
)


def some_candidates() -> list[Candidate]:
    """Five NaCl structures in rank order: four usable (with phonons and pressures on the first), one rejected."""
    from pymatgen.analysis.prototypes import AFLOW_PROTOTYPE_LIBRARY

    from dao_core.crystal import Crystal
    from dao_core.elements import atomic_number

    entries = {e["tags"]["aflow"]: e["snl"].structure for e in AFLOW_PROTOTYPE_LIBRARY}

    def sodium_chloride(label: str) -> Crystal:
        structure = entries[label].get_primitive_structure()
        first, second = sorted({s.symbol for s in structure.composition})
        swapped = structure.replace_species({first: "Na", second: "Cl"}, in_place=False)
        crystal = Crystal.from_pymatgen(swapped.scale_lattice(22.5 * len(structure)))
        assert atomic_number("Na") in crystal.atomic_numbers
        return crystal

    items = [
        candidate("best", rattled(rocksalt(), 0.01), -3.41, novelty="match", novelty_reference="halite", n_merged=7),
        candidate("wurtzite", sodium_chloride("AB_hP4_186_b_b"), -3.36, novelty="new", energy_std=0.02),
        candidate("zincblende", sodium_chloride("AB_cF8_216_c_a"), -3.33, novelty="same prototype"),
        candidate("cscl", cesium_chloride(), -3.30, relaxation_status="max_steps"),
        candidate("broken", rocksalt(length=9.5), -9.0, relaxation_status="rejected_volume"),
    ]
    items = [c.replace(energy_identity=HULL.label.made_by) for c in symmetrize(items)]
    curve = [
        {"gpa": 0.0, "above_best": 0.0, "enthalpy_per_atom": -3.41, "volume_per_atom": 22.4, "status": "converged"},
        {"gpa": 10.0, "above_best": 0.02, "enthalpy_per_atom": None, "volume_per_atom": None, "status": "max_steps"},
    ]
    phonons = {
        "stable": False,
        "min_frequency_thz": -1.25,
        "n_imaginary": 2,
        "dos": [[-1.5, 0.2], [1.0, 1.0], [4.0, 0.1]],
    }
    items[0] = items[0].replace(
        energy_std=0.025,
        extras={"pressure": curve, "phonons": phonons},
        provenance={"seed": 7, "n_steps": 12, "fmax": 0.01, "remark": "</script><script>alert(1)</script>"},
        cost={"relax_s": 3.25},
    )
    from dao_core.screening.place_on_hull import place_on_hull

    return with_probability(place_on_hull(items, HULL))


@pytest.fixture(scope="session")
def candidates() -> list[Candidate]:
    return some_candidates()


@pytest.fixture(scope="session")
def report(candidates: list[Candidate], tmp_path_factory: pytest.TempPathFactory) -> Path:
    info = ReportInfo(
        title="NaCl",
        model="test-model",
        potential=HULL.label.made_by,
        database_version="3",
        seed=7,
        n_asked=12,
        n_ok=11,
        n_failed=1,
        n_merged=7,
        reasons={"rejected_volume": 1},
        stages={"propose": 4.0, "relax": 12.0},
        work={"relaxed": 9, "judged": 2, "relaxation steps": 1234},
        judge="a-judge+0123456789ab",
        notes=["NaCl is charge balanced."],
    )
    return write_report(candidates, tmp_path_factory.mktemp("report"), info=info, hull=HULL)


@pytest.fixture(scope="session")
def browser() -> Iterator[Browser]:
    with Browser() as running:
        yield running


@pytest.fixture
def page(browser: Browser, report: Path) -> Iterator[Page]:
    """The report at 1280 x 1000; the test fails when anything was logged or loaded."""
    tab = browser.page()
    tab.size(1280, 1000)
    tab.open(report)
    yield tab
    assert tab.errors == []
    assert [r for r in tab.requests if not r.startswith(("file:", "data:", "blob:"))] == []
    tab.close()


@pytest.fixture(scope="session")
def many(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A report of 500 candidates of 2 to 16 atoms."""
    from dao_core.crystal import Crystal

    rng = np.random.default_rng(0)
    items = []
    for i in range(500):
        base = (
            [rocksalt(), cesium_chloride()][i % 2]
            .to_pymatgen()
            .make_supercell([1, 1 + i % 4, 1 + i % 2], in_place=False)
        )
        crystal = rattled(Crystal.from_pymatgen(base), 0.2, i)
        items.append(
            candidate(
                f"c{i:03d}",
                crystal,
                -3.4 + 0.001 * i,
                spacegroup_before=1,
                spacegroup_after=1,
                energy_std=float(rng.random() * 0.05),
                novelty="new",
            )
        )
    info = ReportInfo(title="NaCl", n_asked=500, n_ok=500, n_failed=0, n_merged=0)
    return write_report(items, tmp_path_factory.mktemp("many"), info=info, with_files=False)


@pytest.fixture
def validated(report: Path, tmp_path: Path) -> Path:
    """The report's page with what pw.x says about its first candidate."""
    from dao_core.screening.report.first_principles import add_first_principles, first_principles
    from tests.helpers.candidates import rocksalt
    from tests.helpers.validated import magnetic, properties, validation

    page = tmp_path / "index.html"
    page.write_bytes(report.read_bytes())
    record = first_principles(validation(rocksalt(), **magnetic()), properties(rocksalt()))
    assert add_first_principles(page, {"best": record}) == 1
    return page
