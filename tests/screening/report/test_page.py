from __future__ import annotations

import base64
import hashlib
import json
import re
from pathlib import Path

import numpy as np
import pytest

from dao_core.artifacts import plain
from dao_core.hull.hull import Hull, HullEntry
from dao_core.hull.label import EnergyLabel
from dao_core.screening.report.page import write_report
from dao_core.screening.report.page_data import ReportInfo, hull_edges, report_data
from tests.helpers.candidates import candidate, perovskite, rocksalt

INFO = ReportInfo(title="NaCl", n_asked=3, n_ok=2, n_failed=1)


def page_data(path: Path) -> dict:
    text = path.read_text(encoding="utf-8")
    return json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', text, re.S).group(1))


def test_the_page_is_one_file_that_loads_nothing(tmp_path: Path) -> None:
    path = write_report([candidate("a", rocksalt(), spacegroup_after=225)], tmp_path, info=INFO)
    text = path.read_text(encoding="utf-8")
    assert path.name == "index.html"
    assert "default-src 'none'" in text
    assert not re.search(r'(src|href)="(?!data:|#)', text)
    assert not re.search(r"/\*(style|scripts|data|title)\*/", text)
    assert not list(tmp_path.glob("*.tmp*"))


def test_text_of_the_data_cannot_leave_its_element(tmp_path: Path) -> None:
    nasty = "</script><b>&/*style*/"
    item = candidate("a", rocksalt(), origin=nasty, provenance={"x": nasty, "y": float("nan")})
    path = write_report([item], tmp_path, info=ReportInfo(title=nasty))
    row = page_data(path)["candidates"][0]
    assert row["origin"] == nasty
    assert row["provenance"] == {"x": nasty, "y": None}
    assert "<b>" not in path.read_text().split('id="data">')[0].split("<title>")[1].split("</title>")[0]


def test_only_the_page_s_own_script_may_run(tmp_path: Path) -> None:
    text = write_report([candidate("a", rocksalt())], tmp_path, info=INFO).read_text(encoding="utf-8")
    policy = re.search(r'http-equiv="Content-Security-Policy" content="([^"]+)"', text).group(1)
    scripts = re.findall(r"<script>(.*?)</script>", text, re.S)
    assert len(scripts) == 1
    digest = base64.b64encode(hashlib.sha256(scripts[0].encode()).digest()).decode()
    assert f"script-src 'sha256-{digest}'" in policy
    assert "unsafe-inline" not in policy.split("script-src")[1]


def test_counts_must_add_up() -> None:
    with pytest.raises(ValueError, match="don't add up"):
        ReportInfo(title="x", n_asked=3, n_ok=3, n_failed=1)


def test_unknown_values_stay_unknown() -> None:
    row = report_data([candidate("a", rocksalt(), None)], INFO, {})["candidates"][0]
    for key in ("energy", "std", "above_best", "e_above_hull", "p_stable", "novelty", "sg", "file"):
        assert row[key] is None


def test_energies_are_counted_from_the_best_of_each_formula() -> None:
    items = [candidate("a", rocksalt(), -3.2), candidate("b", rocksalt(), -3.1), candidate("p", perovskite(), -8.0)]
    rows = report_data(items, INFO, {})["candidates"]
    assert [r["above_best"] for r in rows] == pytest.approx([0, 0.1, 0])


def test_hull_plot_of_a_binary_system() -> None:
    entries = (
        HullEntry({11: 1}, -1.0, "na"),
        HullEntry({17: 2}, -2.0, "cl"),
        HullEntry({11: 1, 17: 1}, -3.0, "h"),
    )
    hull = Hull.from_entries(entries, EnergyLabel("test-potential"))
    plot = report_data([candidate("a", rocksalt(), -3.0)], INFO, {}, hull)["hull"]
    assert plot["elements"] == ["Cl", "Na"]
    assert [p["energy"] for p in plot["points"]] == pytest.approx([0, 0, -1.5])
    assert sorted(tuple(e) for e in plot["edges"]) == [(0, 2), (1, 2)]
    foreign = Hull.from_entries([entries[0], entries[2]], EnergyLabel("x"))
    assert report_data([candidate("a", rocksalt(), -3.0)], INFO, {}, foreign)["hull"] is None


def test_hull_edges_of_a_ternary_system_agree_with_pymatgen() -> None:
    from pymatgen.analysis.phase_diagram import PDEntry, PhaseDiagram
    from pymatgen.core import Composition

    rng = np.random.default_rng(3)
    symbols = ["Li", "Fe", "O"]
    compositions = [
        {"Li": 1},
        {"Fe": 1},
        {"O": 1},
        *({s: int(n) for s, n in zip(symbols, rng.integers(1, 5, 3), strict=True)} for _ in range(10)),
    ]
    energies = [0.0, 0.0, 0.0, *rng.uniform(-2, 0, 10).tolist()]
    points = np.array(
        [
            [c.get("Fe", 0) / sum(c.values()), c.get("O", 0) / sum(c.values()), e]
            for c, e in zip(compositions, energies, strict=True)
        ]
    )
    pd = PhaseDiagram(
        [PDEntry(Composition(c), e * sum(c.values())) for c, e in zip(compositions, energies, strict=True)]
    )
    stable = {i for edge in hull_edges(points) for i in edge}
    assert {Composition(compositions[i]).reduced_formula for i in stable} == {
        e.composition.reduced_formula for e in pd.stable_entries
    }
    assert len(hull_edges(points)) >= 2 * len(stable) - 3 - 3  # a triangulation of points in convex position or less


def test_plain_values() -> None:
    assert plain({"a": np.float64(1.5), 2: (np.int64(3), None, float("inf")), "c": np.array([1, 2])}) == {
        "a": 1.5,
        "2": [3, None, None],
        "c": [1, 2],
    }
    assert plain(Path("x")) == "x"
