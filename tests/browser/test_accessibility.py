"""axe-core looks at the page: nothing that it calls serious or critical, in both themes and three widths."""

from __future__ import annotations

import json
from importlib.resources import files
from pathlib import Path

import pytest

from tests.browser.devtools import Browser

pytestmark = pytest.mark.browser
AXE = """
axe.run(document, {resultTypes: ["violations"]}).then(found => JSON.stringify(found.violations
  .filter(v => ["serious", "critical"].includes(v.impact))
  .map(v => ({id: v.id, help: v.help, where: v.nodes.slice(0, 3).map(n => n.target.join(" "))}))))
"""


@pytest.fixture(scope="module")
def axe() -> str:
    pytest.importorskip("axe_core_python", reason="axe-core-python is not installed (pip install -e '.[dev]')")
    return (files("axe_core_python") / "axe.min.js").read_text(encoding="utf-8")


def violations(
    browser: Browser, page: Path, axe: str, *, theme: str, width: int, click: str | None = None
) -> list[dict]:
    """What axe-core calls serious or critical, after a click where one is asked for."""
    tab = browser.page()
    tab.size(width, 1000, mobile=width < 500)
    tab.theme(theme)
    tab.open(page)
    if click is not None:
        tab.click(click)
    tab.run(axe + "; 0")
    found: list[dict] = json.loads(tab.run(AXE))
    tab.close()
    return found


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_serious(browser: Browser, report: Path, axe: str, theme: str, width: int) -> None:
    assert violations(browser, report, axe, theme=theme, width=width) == []


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 390])
def test_nothing_serious_in_the_tab_of_first_principles(
    browser: Browser, validated: Path, axe: str, theme: str, width: int
) -> None:
    opened = "#detail-tabs [data-value=dft]"
    assert violations(browser, validated, axe, theme=theme, width=width, click=opened) == []
