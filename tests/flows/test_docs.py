"""The generated page of the command line is up to date; pages that are linked exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
WRITE = [sys.executable, "-m", "typer", "flows.cli", "utils", "docs", "--name", "dao"]


def test_the_command_line_page_is_what_the_commands_say() -> None:
    out = subprocess.run(WRITE, capture_output=True, text=True, check=True, cwd=ROOT).stdout
    page = (ROOT / "docs" / "cli.md").read_text()
    assert page.strip() == out.strip(), f"run: {' '.join(WRITE[1:])} --output docs/cli.md"


def test_every_page_of_the_navigation_exists() -> None:
    def pages(node: object) -> list[str]:
        if isinstance(node, str):
            return [node]
        values = node.values() if isinstance(node, dict) else node
        return [page for value in values for page in pages(value)]  # type: ignore[union-attr]

    listed = pages(yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"])
    assert [p for p in listed if not (ROOT / "docs" / p).exists()] == []
    found = {str(p.relative_to(ROOT / "docs")) for p in (ROOT / "docs").rglob("*.md")}
    assert found == set(listed), "a page is missing from the navigation in mkdocs.yml"


def test_links_of_the_readme_exist() -> None:
    for name in ("README.md", "CONTRIBUTING.md"):
        for target in re.findall(r"\]\((?!http)([^)#]+)", (ROOT / name).read_text()):
            assert (ROOT / target).exists(), f"{name} links to {target}"
