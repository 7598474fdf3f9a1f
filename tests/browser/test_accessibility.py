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


@pytest.mark.parametrize("theme", ["light", "dark"])
@pytest.mark.parametrize("width", [1280, 768, 390])
def test_nothing_serious(browser: Browser, report: Path, axe: str, theme: str, width: int) -> None:
    tab = browser.page()
    tab.size(width, 1000, mobile=width < 500)
    tab.theme(theme)
    tab.open(report)
    tab.run(axe + "; 0")
    found = json.loads(tab.run(AXE))
    tab.close()
    assert found == []
