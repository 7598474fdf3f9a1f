"""The report page in a real browser: it opens, sorts, filters, rotates, downloads, and says nothing on the console."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from pymatgen.analysis.structure_matcher import StructureMatcher
from pymatgen.core import Structure

from dao_core.screening.candidate import Candidate
from tests.browser.devtools import Browser, Page

pytestmark = pytest.mark.browser
ORDER = "[...document.querySelectorAll('#table tbody tr')].map(r => r.dataset.id)"
SELECTED = "document.querySelector('#table tr[aria-selected=true]').dataset.id"
VIEW = "document.querySelector('#viewer').dataset"
DASH = "\u2014"


def test_it_opens_with_the_best_candidate_and_counts_that_add_up(page: Page) -> None:
    assert page.run("document.title") == "NaCl · DAO"
    assert page.run(SELECTED) == "best"
    counts = page.run("[...document.querySelectorAll('#counts > div')].map(d => d.innerText.replace(/\\s+/g, ' '))")
    assert counts == ["12 asked", "9 relaxed", "2 judged", "1 failed", "7 merged", "4 distinct"]
    facts = page.run("document.querySelector('#facts').innerText")
    for words in ("test-model", "Database", "Seed"):
        assert words in facts
    assert page.run(ORDER) == ["best", "wurtzite", "zincblende", "cscl", "broken"]


def test_what_is_unknown_is_a_dash(page: Page) -> None:
    row = page.run("document.querySelector('#table tr[data-id=broken]').innerText")
    assert DASH in row
    assert "NaN" not in page.run("document.body.innerText")
    assert "null" not in page.run("document.body.innerText")
    assert "undefined" not in page.run("document.body.innerText")


def test_sorting_by_a_column_both_ways_keeps_unknown_values_last(page: Page) -> None:
    volumes = "[...document.querySelectorAll('#table tbody tr')].map(r => BY_ID.get(r.dataset.id).volume)"
    page.click("#table th [data-key=volume]")
    assert page.run(ORDER)[0] == "cscl"
    assert page.run(volumes) == sorted(page.run(volumes))
    page.click("#table th [data-key=volume]")
    assert page.run(volumes) == sorted(page.run(volumes), reverse=True)
    assert page.run("document.querySelector('th[aria-sort]').getAttribute('aria-sort')") == "descending"
    page.click("#table th [data-key=above_best]")
    assert page.run(ORDER) == ["best", "wurtzite", "zincblende", "cscl", "broken"]
    page.click("#table th [data-key=above_best]")
    assert page.run(ORDER) == ["cscl", "zincblende", "wurtzite", "best", "broken"]


def test_filters(page: Page) -> None:
    page.type("#search", "hexagonal")
    assert page.run(ORDER) == ["wurtzite"]
    assert page.run("document.querySelector('#shown').textContent") == "1 of 5"
    page.type("#search", " xyz")
    assert page.run(ORDER) == []
    assert page.run("document.querySelector('#empty').hidden") is False
    page.run("{ const s = document.querySelector('#search'); s.value = ''; s.dispatchEvent(new Event('input')); }")
    page.click("#usable")
    assert "broken" not in page.run(ORDER)


def test_selecting_by_row_plot_keyboard_and_address_moves_every_panel(page: Page, report: Path) -> None:
    page.click("#table tr[data-id=wurtzite]")
    assert page.run(f"{VIEW}.candidate") == "wurtzite"
    assert "63mc" in page.run("document.querySelector('#who').innerText")
    assert page.run("document.querySelector('#plot .dot.selected').dataset.id") == "wurtzite"
    page.run("document.querySelector('#table tr[data-id=wurtzite]').focus()")
    page.key("ArrowDown")
    assert page.run(SELECTED) == "zincblende"
    page.click("#plot .dot[data-id=cscl]")
    assert page.run(SELECTED) == "cscl"
    page.click("#previous")
    assert page.run(SELECTED) == "zincblende"
    assert page.run("location.hash") == "#zincblende"
    page.open(report, "?again#cscl")
    assert page.run(SELECTED) == "cscl"


def test_the_structure_turns_and_zooms(page: Page) -> None:
    page.run("document.querySelector('#viewer').scrollIntoView()")
    page.frame()
    before = page.run(f"{VIEW}.rotation")
    page.drag("#viewer", 80, 30)
    turned = page.run(f"{VIEW}.rotation")
    assert turned != before
    matrix = np.array([float(x) for x in turned.split(",")]).reshape(3, 3)
    assert matrix @ matrix.T == pytest.approx(np.eye(3), abs=1e-3)
    page.run("document.querySelector('#viewer').focus()")
    page.key("ArrowLeft")
    assert page.run(f"{VIEW}.rotation") != turned
    x, y = page.center("#viewer")
    page.send("Input.dispatchMouseEvent", type="mouseWheel", x=x, y=y, deltaX=0, deltaY=-200)
    page.until(f"Number({VIEW}.zoom) > 1.1")
    page.click("[data-value=reset]")
    assert page.run(f"{VIEW}.rotation") == before


def test_cells_shown_hold_the_right_atoms(page: Page) -> None:
    page.click("[data-option=images]")
    shown = {}
    for mode in ("conventional", "primitive", "supercell"):
        page.click(f"#cell-mode [data-value={mode}]")
        shown[mode] = page.run(f"Number({VIEW}.atoms)")
    # rock salt with the images on faces, edges and corners: (2n+1)^3 lattice points of the 2n-fold half cell
    assert shown["conventional"] == 27
    assert shown["supercell"] == 125
    assert page.run(f"Number({VIEW}.bonds)") == 3 * 5 * 5 * 4
    page.click("[data-option=bonds]")
    assert page.run(f"Number({VIEW}.bonds)") == 0
    page.click("[data-option=polyhedra]")
    assert page.run(f"Number({VIEW}.atoms)") > 125


def test_bonded_atoms_outside_the_cell_complete_every_coordination(page: Page) -> None:
    """Rock salt: each of the eight atoms of the cell itself has its six neighbours drawn."""
    bonds = """(() => {
        const viewer = document.querySelector('#viewer'); const { atoms, bonds } = window.daoViewer.scene;
        return atoms.map((a, i) => a.image ? null : bonds.filter(b => b.includes(i)).length).filter(n => n !== null);
    })()"""
    assert page.run(bonds) == [6] * 8
    page.click("[data-option=images]")
    assert min(page.run(bonds)) < 6


def test_sites_and_powder_pattern_stand_in_the_details(page: Page) -> None:
    sites = page.run("document.querySelector('#wyckoff').innerText")
    assert "4a" in sites
    assert "m-3m" in sites
    assert page.run("document.querySelectorAll('.powder').length") == 1
    assert "2 0 0" in page.run("document.querySelector('.powder').textContent")


def test_axis_labels_are_the_values_of_their_ticks(page: Page) -> None:
    for low, high in ((0, 10), (0, 17), (15, 32), (-0.1, 0.4), (0, 0.025), (100, 260)):
        found = page.run(
            f"(() => {{ const t = ticks({low}, {high}, 6); return t.values.map(v => [v, v.toFixed(t.digits)]); }})()"
        )
        assert len(found) >= 3
        for value, label in found:
            assert float(label) == pytest.approx(value, abs=1e-9)


def test_on_a_phone_the_structure_comes_before_the_table(browser: Browser, report: Path) -> None:
    tab = browser.page()
    tab.size(390, 844, mobile=True)
    tab.open(report)
    tops = [
        tab.run(f"document.querySelector('{s}').getBoundingClientRect().top") for s in ("#viewer", "#table", "#plot")
    ]
    assert tops == sorted(tops)
    assert tab.errors == []
    tab.close()


def test_markup_in_any_field_stays_text(browser: Browser, tmp_path: Path) -> None:
    from dao_core.screening.report.page import write_report
    from dao_core.screening.report.page_data import ReportInfo
    from tests.helpers.hostile import MARKUP, hostile_candidates

    names = ("title", "model", "potential", "judge", "library", "database_version", "created", "software")
    counts = {"n_asked": 3, "n_ok": 2, "n_failed": 1, "reasons": {MARKUP: 1}, "work": {MARKUP: 2}}
    info = ReportInfo(**dict.fromkeys(names, MARKUP), **counts, stages={MARKUP: 1.0}, notes=[MARKUP])
    tab = browser.page()
    tab.open(write_report(hostile_candidates(), tmp_path, info=info, with_files=False))
    for row in range(3):
        tab.click(f"#table tbody tr:nth-child({row + 1})")
        assert tab.run("document.querySelectorAll('img, iframe, b.planted').length") == 0
        assert tab.run("window.planted === undefined")
    for plot in tab.run("[...document.querySelectorAll('#plot-tabs button')].map(b => b.dataset.value)"):
        tab.click(f"#plot-tabs [data-value={plot}]")
    assert tab.run("document.querySelectorAll('img, iframe, b.planted').length") == 0
    assert MARKUP in tab.run("document.querySelector('#detail').textContent")
    assert tab.errors == []
    tab.close()


def test_a_script_that_got_into_the_page_does_not_run(page: Page) -> None:
    page.run("document.body.insertAdjacentHTML('beforeend', '<img src=x onerror=\"window.planted = 1\">')")
    page.run(
        "{ const s = document.createElement('script'); s.textContent = 'window.planted = 2'; document.body.append(s); }"
    )
    page.frame()
    assert page.run("window.planted === undefined")
    page.errors.clear()  # the browser reports what it refused
    page.requests.clear()


def test_something_is_painted(page: Page) -> None:
    page.frame()  # the page paints when the browser asks for a frame
    colours = page.run(
        "(() => { const c = document.querySelector('#viewer'); const d = c.getContext('2d').getImageData(0, 0, c.width,"
        " c.height).data; const s = new Set(); for (let i = 0; i < d.length; i += 40) s.add(d.slice(i, i + 3).join());"
        " return s.size; })()"
    )
    assert colours > 100


def test_distances_in_the_page_agree_with_python(page: Page, candidates: list[Candidate]) -> None:
    pairs = page.run("pairDistances(crystalOf(selected))")
    unlike = next(p for p in pairs if p["a"] != p["b"])
    assert unlike["distance"] == pytest.approx(candidates[0].min_distance, abs=0.02)
    assert unlike["coordination"] == 6


@pytest.mark.parametrize("name", ["best", "wurtzite"])
def test_downloads_are_the_candidate(page: Page, candidates: list[Candidate], tmp_path: Path, name: str) -> None:
    page.downloads_to(tmp_path)
    page.click(f"#table tr[data-id={name}]")
    file_name = page.run("selected.file")
    wanted = next(c for c in candidates if c.id == name).crystal.to_pymatgen()
    page.click("[data-get=cif]")
    text = page.downloaded(tmp_path / file_name)
    found = Structure.from_str(text, fmt="cif", primitive=False)
    assert found.lattice.parameters == pytest.approx(wanted.lattice.parameters, abs=1e-5)
    assert StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.1).fit(found, wanted)
    page.click("[data-get=poscar]")
    poscar = Structure.from_str(page.downloaded(tmp_path / file_name.replace(".cif", ".vasp")), fmt="poscar")
    assert StructureMatcher(ltol=0.01, stol=0.01, angle_tol=0.1).fit(poscar, wanted)


def test_hull_and_pressure_plots(page: Page) -> None:
    page.click("#plot-tabs [data-value=hull]")
    assert page.run("document.querySelectorAll('#plot .reference.stable').length") == 3
    assert page.run("document.querySelectorAll('#plot .hull-edge').length") == 2
    assert page.run("document.querySelectorAll('#plot .dot').length") == 4
    page.click("#plot-tabs [data-value=pressure]")
    assert page.run("document.querySelectorAll('#plot .curve').length") == 1


def test_the_cost_ledger_adds_up(page: Page) -> None:
    page.run("document.querySelector('#ledger').open = true")
    words = page.run("document.querySelector('#ledger').innerText").replace("\u202f", "").replace("\xa0", " ")
    for expected in ("propose", "4.0 s", "25 %", "relax", "12.0 s", "75 %", "16.0 s", "1234 relaxation steps"):
        assert expected in words
    assert page.run("[...document.querySelectorAll('#ledger tr')].pop().cells[3].textContent") == "1.3 s"  # 16 s / 12


def test_details_show_enthalpies(page: Page) -> None:
    words = page.run("document.querySelector('#detail').textContent")
    assert "above lowest meV/atom" in words
    assert "−3.4100" in words
    assert "20.0" in words


def test_marks_show_a_tip_under_the_pointer(page: Page) -> None:
    x, y = page.center("#plot .dot[data-id=cscl]")
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    page.until("!document.querySelector('#tip').hidden")
    assert "NaCl" in page.run("document.querySelector('#tip').innerText")
    page.send("Input.dispatchMouseEvent", type="mouseMoved", x=5, y=5)
    page.until("document.querySelector('#tip').hidden")


def test_details_show_phonons_cost_and_provenance_as_text(page: Page) -> None:
    words = page.run("document.querySelector('#detail').textContent")
    for expected in ("imaginary modes", "−1.25", "3.3 s", "halite", "</script><script>alert(1)</script>"):
        assert expected in words


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_it_is_readable_at_both_widths_and_in_both_themes(
    browser: Browser, report: Path, width: int, theme: str
) -> None:
    tab = browser.page()
    tab.size(width, 900, mobile=width < 600)
    tab.theme(theme)
    tab.open(report)
    assert tab.run("document.documentElement.scrollWidth") <= width
    sizes = tab.run(
        "[...document.querySelectorAll('body *')].filter(e => e.children.length === 0 && e.textContent.trim() &&"
        " e.getClientRects().length && !e.closest('svg') && !['SUB','SMALL'].includes(e.tagName))"
        ".map(e => parseFloat(getComputedStyle(e).fontSize))"
    )
    assert min(sizes) >= 10
    for selector in ("body", "#answer", "#facts dt", ".grid dt", "#table .sub", ".headline .note", ".unit", ".sgn"):
        assert contrast(tab, selector) >= 4.5, selector
    assert tab.errors == []
    tab.close()


def contrast(tab: Page, selector: str) -> float:
    """WCAG contrast of an element's text against the first opaque background behind it."""
    colours = tab.run(
        f"(() => {{ let e = document.querySelector('{selector}'); const ink = getComputedStyle(e).color;"
        " while (e && /0, 0, 0, 0|transparent/.test(getComputedStyle(e).backgroundColor)) e = e.parentElement;"
        " return [ink, getComputedStyle(e || document.body).backgroundColor]; })()"
    )
    lights = []
    for colour in colours:
        channels = [float(x) / 255 for x in re.findall(r"[\d.]+", colour)[:3]]
        linear = [x / 12.92 if x <= 0.04045 else ((x + 0.055) / 1.055) ** 2.4 for x in channels]
        lights.append(0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2])
    return (max(lights) + 0.05) / (min(lights) + 0.05)


def test_fingers_turn_and_pinch_on_a_phone(browser: Browser, report: Path) -> None:
    tab = browser.page()
    tab.size(390, 844, mobile=True)
    tab.open(report)
    tab.run("document.querySelector('#viewer').scrollIntoView({block: 'center'})")
    tab.frame()
    before = tab.run(f"{VIEW}.rotation")
    tab.touch_drag("#viewer", [[(0, 0)], [(30, 5)], [(60, 10)]])
    assert tab.run(f"{VIEW}.rotation") != before
    tab.touch_drag("#viewer", [[(-20, 0), (20, 0)], [(-40, 0), (40, 0)], [(-60, 0), (60, 0)]])
    assert tab.run(f"Number({VIEW}.zoom)") > 1.5
    assert tab.errors == []
    tab.close()


def test_the_theme_switch_repaints(page: Page) -> None:
    background = "getComputedStyle(document.body).backgroundColor"
    page.theme("light")
    before = page.run(background)
    page.click("#theme")
    assert page.run(background) != before
    page.click("#theme")
    assert page.run(background) == before


def test_five_hundred_candidates_are_all_there(browser: Browser, many: Path) -> None:
    tab = browser.page()
    tab.size(1280, 1000)
    tab.open(many, "#c400")
    assert tab.run(SELECTED) == "c400"
    tab.until(f"{ORDER}.length === 500")
    tab.click("#table th [data-key=volume]")
    tab.until(f"{ORDER}.length === 500")
    volumes = tab.run("[...document.querySelectorAll('#table tbody tr')].map(r => BY_ID.get(r.dataset.id).volume)")
    assert volumes == sorted(volumes)
    assert tab.errors == []
    tab.close()


def test_a_report_without_candidates_says_so(browser: Browser, tmp_path: Path) -> None:
    from dao_core.screening.report.page import write_report
    from dao_core.screening.report.page_data import ReportInfo

    tab = browser.page()
    tab.open(write_report([], tmp_path, info=ReportInfo(title="NaCl", n_asked=3, n_ok=0, n_failed=3)))
    assert "without a candidate" in tab.run("document.body.innerText")
    assert tab.errors == []
    tab.close()


def test_first_principles_have_a_tab_of_a_validated_candidate_alone(browser: Browser, validated: Path) -> None:
    page = browser.page()
    page.size(1280, 1000)
    page.open(validated)
    page.click("#detail-tabs [data-value=dft]")
    words = page.run("document.querySelector('#detail').innerText")
    for expected in ("Models and first principles", "antiferromagnetic 2x #1", "candidate electride", "off the nuclei"):
        assert expected in words
    plots = "[...document.querySelectorAll('#detail [data-dft] svg')].length"
    assert page.run(plots) == 3  # bands, states, dispersion
    assert page.run("document.querySelector('#elf-slice').width") > 100
    assert page.run(f"{VIEW}.triangles") == "0"
    page.run("{ const s = document.querySelector('#elf-level'); s.value = 0.5; s.dispatchEvent(new Event('input')); }")
    page.click("#elf-surface")
    page.until(f"Number({VIEW}.triangles) > 100")
    page.click("#table tr[data-id=wurtzite]")
    page.until(f"{VIEW}.triangles === '0'")
    assert page.run("document.querySelector('#detail-tabs')") is None
    assert "Wyckoff sites" in page.run("document.querySelector('#detail').innerText")
    page.click("#table tr[data-id=best]")
    assert page.run("document.querySelector('#comparison') !== null")
    page.click("#detail-tabs [data-value=structure]")
    assert page.run("document.querySelector('#comparison')") is None
    assert page.errors == []
    page.close()
