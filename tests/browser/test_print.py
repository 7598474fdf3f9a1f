"""The page on paper: light colours whatever the theme, nothing cut, no buttons."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.browser.devtools import Browser, Page

pytestmark = pytest.mark.browser
PAPER = "rgb(255, 255, 255)"


@pytest.fixture
def paper(browser: Browser, report: Path) -> Page:
    """The page as it is printed on A4 by somebody whose system is dark."""
    page = browser.page()
    page.size(794, 1123)
    dark = [{"name": "prefers-color-scheme", "value": "dark"}]
    page.send("Emulation.setEmulatedMedia", media="print", features=dark)
    page.open(report)
    return page


@pytest.mark.parametrize("chosen", ["", "dark"])
def test_paper_is_light(paper: Page, chosen: str) -> None:
    paper.run(f"document.documentElement.dataset.theme = {chosen!r}")
    assert paper.run("getComputedStyle(document.querySelector('.table-card')).backgroundColor") == PAPER
    ink = paper.run("getComputedStyle(document.querySelector('h1')).color")
    assert max(int(x) for x in ink.strip("rgb()").split(",")) < 80


def test_nothing_is_cut_and_nothing_is_there_to_press(paper: Page) -> None:
    every = "[...document.querySelectorAll('button, select, input')]"
    pressed = f"{every}.filter(e => e.offsetParent && !e.closest('th, td'))"
    assert paper.run(f"{pressed}.map(e => e.id || e.className || e.textContent)") == []
    for selector in (".table-wrap", ".detail"):
        cut = f"(() => {{ const e = document.querySelector('{selector}'); return e.scrollHeight - e.clientHeight; }})()"
        assert paper.run(cut) <= 1, selector
    assert paper.run("document.documentElement.scrollWidth") <= 794
