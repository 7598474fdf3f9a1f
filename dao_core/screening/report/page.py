"""The page: one self-contained HTML file that works offline, from `Candidate` objects."""

from __future__ import annotations

import base64
import hashlib
import json
import re
from collections.abc import Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any

from dao_core.artifacts import write_atomic
from dao_core.hull.hull import Hull
from dao_core.screening.candidate import Candidate
from dao_core.screening.report.files import file_names, write_files
from dao_core.screening.report.page_data import ReportInfo, report_data

DATA = re.compile(r'<script type="application/json" id="data">(.*?)</script>', re.DOTALL)
SCRIPTS = (
    "core.js",
    "geometry.js",
    "formats.js",
    "viewer.js",
    "axes.js",
    "plots.js",
    "surface.js",
    "electrons.js",
    "table.js",
    "detail.js",
    "app.js",
)


def write_report(
    ranked: Sequence[Candidate],
    out_dir: str | Path,
    *,
    info: ReportInfo,
    hull: Hull | None = None,
    with_files: bool = True,
) -> Path:
    """Write the page of a search, one file that loads nothing and opens from a file system.

    Args:
        ranked: Best first (`ranking.rank`).
        out_dir: Folder to write to.
        info: What the page's head says.
        hull: Adds the hull plot for two or three elements.
        with_files: Whether CIFs, Parquet, extxyz and OPTIMADE JSON are written too.

    Returns:
        Path of `index.html`.

    Raises:
        ValueError: Two candidates have the same id.
    """
    out = Path(out_dir)
    out.mkdir(parents=True, exist_ok=True)
    data = report_data(ranked, info, file_names(ranked), hull)
    if with_files:
        write_files(ranked, out)
    return write_page(data, out / "index.html")


def write_page(data: dict[str, Any], page: Path) -> Path:
    """Write the page of `report_data`'s value, whole or not at all; returns its path."""
    write_atomic(page, render(data))
    return page


class PageError(ValueError):
    """A file that is not a page of candidates; the message names it."""


def read_data(page: Path) -> dict[str, Any]:
    """The data inside a page that `write_report` made. Raises PageError."""
    try:
        match = DATA.search(page.read_text(encoding="utf-8"))
        data: dict[str, Any] = json.loads(match.group(1)) if match else {}
    except (OSError, ValueError) as error:
        raise PageError(f"{page} is no readable page ({error}); screen again, or name the report's folder") from error
    if "candidates" not in data or "info" not in data:
        raise PageError(f"{page} holds no candidates; name the report folder of a screening")
    return data


def render(data: dict[str, Any]) -> str:
    """The page's text: template, style, scripts and data in one."""
    assets = files("dao_core.screening.report") / "assets"
    text = (assets / "page.html").read_text(encoding="utf-8")
    script = '"use strict";\n' + "\n".join((assets / name).read_text(encoding="utf-8") for name in SCRIPTS)
    parts = {
        "style": (assets / "style.css").read_text(encoding="utf-8"),
        "scripts": script,
        # the one script that may run; whatever markup gets into the page, its scripts don't
        "hash": base64.b64encode(hashlib.sha256(script.encode()).digest()).decode(),
        # "<" is written as an escape, so that no text inside the data can close the script element
        "data": json.dumps(data, separators=(",", ":"), allow_nan=False).replace("<", "\\u003c"),
        "title": _escape(f"{data['info']['title']} · DAO"),
    }
    # one pass, so that nothing inside a part is taken for a placeholder
    return re.sub(r"/\*(style|scripts|hash|data|title)\*/", lambda match: parts[match.group(1)], text)


def _escape(text: str) -> str:
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")
