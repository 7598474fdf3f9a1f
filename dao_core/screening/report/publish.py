"""A report in its place: beside what else the folder holds, and with what first principles said of it before."""

from __future__ import annotations

import re
import shutil
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from dao_core.artifacts import publish_into, published, refuse_foreign
from dao_core.scratch import scratch_folder
from dao_core.screening.report.files import NAMES, SYMMETRIZED, formula_in_names
from dao_core.screening.report.page import PageError, read_data

PAGE = "index.html"
_CIF_NAME = re.compile(r"\d{3,}_([A-Za-z0-9.]+)_\d{3}\.cif")  # as `cif_name` makes them


def check_place(folder: Path, formulas: Iterable[str] = ()) -> None:
    """See, before the work, that a report can go into a folder.

    Args:
        folder: Where it goes; it need not exist.
        formulas: Those that are searched, as they are shown; their CIF files are looked for too.

    Raises:
        ForeignFileError: Somebody else's file is in the place of one of the report's.
    """
    asked = {formula_in_names(formula) for formula in formulas}
    found = {p.name for part in (folder, folder / SYMMETRIZED) for p in part.glob("*.cif")}
    cifs = [name for name in found if (match := _CIF_NAME.fullmatch(name)) and match[1] in asked]
    names = [PAGE, *NAMES.values(), *_with_symmetrized(cifs)]
    refuse_foreign(folder, names, [*published(folder), *_on_page(folder)])


def publish_report(source: Path, folder: Path) -> Path:
    """Put a report in its place. What first principles said of a candidate stays where its structure is the same.

    Args:
        source: Folder that `write_report` filled; it stays as it is.
        folder: Where a copy goes; files there that are not of a report stay.

    Returns:
        The page's path.

    Raises:
        ForeignFileError: Somebody else's file is in the place of one of the report's; nothing is changed then.
    """
    page = folder / PAGE
    with scratch_folder() as scratch:
        fresh = Path(shutil.copytree(source, scratch / "report"))
        if kept := _validated_before(page, fresh / PAGE):
            from dao_core.screening.report.first_principles import add_first_principles

            add_first_principles(fresh / PAGE, kept)
        publish_into(fresh, folder, _on_page(folder))
    return page


def _on_page(folder: Path) -> list[str]:
    """Files of a report by its own page: one of an earlier version stands in a folder without a list."""
    candidates = _candidates(folder / PAGE)
    if candidates is None:
        return []
    return [PAGE, *NAMES.values(), *_with_symmetrized(row["file"] for row in candidates if row.get("file"))]


def _with_symmetrized(names: Iterable[str]) -> list[str]:
    return [path for name in names for path in (name, f"{SYMMETRIZED}/{name}")]


def _candidates(page: Path) -> list[dict[str, Any]] | None:
    """The candidates on a page; None where there is no page of ours."""
    try:
        candidates: list[dict[str, Any]] = read_data(page)["candidates"]
    except PageError:
        return None
    return candidates


def _validated_before(before: Path, now: Path) -> dict[str, Any]:
    """Id -> what first principles said on the page before, of candidates that stand on the new one unchanged."""
    validated = {row["id"]: row for row in _candidates(before) or () if row.get("dft")}
    return {
        row["id"]: validated[row["id"]]["dft"]
        for row in _candidates(now) or ()
        if row["id"] in validated and _structure(row) == _structure(validated[row["id"]])
    }


def _structure(row: dict[str, Any]) -> list[Any]:
    return [row["structure"][name] for name in ("species", "lattice", "frac")]
