"""OQMD through its REST API: formation energies with structures, paged by offset."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import numpy as np
import requests

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpGaveUpError, HttpReport, PoliteSession
from dao_core.crysdb.sources.rows import (
    DUPLICATE,
    ROW_ERRORS,
    RowError,
    SeenRows,
    number,
    read_cursor,
    reason_of,
    required,
    write_cursor,
)
from dao_core.crysdb.sources.settings import OqmdConfig
from dao_core.crystal import crystal_from_symbols

FUNCTIONAL = "OQMD_PBE+U"
LICENSE = "CC-BY-4.0"  # Kirklin et al. 2015
_FIELDS = "name,entry_id,formationenergy_id,delta_e,stability,natoms,unit_cell,sites"
_REPLAY = 1000  # ids a request when a cursor's past is read again
_SITE = re.compile(r"^([A-Z][a-z]?)\s*@\s*(\S+)\s+(\S+)\s+(\S+)$")


class OqmdSource:
    """OQMD's `/oqmdapi/formationenergy`.

    `delta_e` becomes `formation_energy_per_atom_source`, `stability` (distance from OQMD's hull, negative for a phase
    that makes the hull, null where unknown) `e_above_hull_source`, both eV/atom as served. The API has neither total
    energies nor dates: `energy_per_atom` stays None and `since` is not narrowed. Its sites carry three significant
    digits. Raises SourceInterrupted (with cursor) or SourceError.
    """

    name = "oqmd"
    functional = FUNCTIONAL

    def __init__(self, config: OqmdConfig | None = None, *, session: PoliteSession | None = None) -> None:
        self.config = config or OqmdConfig()
        self._session = session or PoliteSession(self.config.http)

    @property
    def version(self) -> str | None:
        """The release, where the configuration names one: the API does not say."""
        return self.config.release

    @property
    def selection(self) -> dict[str, Any]:
        """What part of the database is read: two readings of different parts are different data."""
        return self.config.model_dump(mode="json", include={"base_url", "filter", "noduplicate"})

    @property
    def report(self) -> HttpReport:
        """Requests, retries and waiting so far."""
        return self._session.report

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every row once. The API has no date of change: `since` changes nothing, an upsert sorts it out."""
        position = read_cursor(cursor, "offset", "total", "last") or {"offset": 0, "total": None, "last": ""}
        step = self.config.page
        start = position["offset"] // step * step  # the same page borders as without the interruption
        seen = self._replay(start, position, cursor)
        offset, total, here = start, position["total"], cursor
        while total is None or offset < total:
            rows, now = self._page(offset, step, _FIELDS, here)
            total = now if total is None else total
            self._check_page(rows, offset, total, now, seen)
            for k, row in enumerate(rows, start=1):
                last = _row_id(row) or ""
                here = write_cursor(offset=offset + k, total=total, last=last)
                if offset + k == position["offset"] and position["last"] and last != position["last"]:
                    raise SourceError(_changed(f"row {offset + k} was {position['last']} and is {last}"))
                value = self._value(row, offset + k, seen)
                if offset + k > position["offset"]:
                    yield SourceItem(value, here)
            offset += len(rows)

    def _check_page(self, rows: list[dict[str, Any]], offset: int, total: int, now: int, seen: SeenRows) -> None:
        if now != total:
            raise SourceError(_changed(f"it had {total} rows and has {now}"))
        if not rows and offset < total:
            raise SourceError(f"OQMD: an empty page at row {offset} of {total}; continue from the last cursor later")
        full = len(rows) >= self.config.page or offset + len(rows) < total  # a server may cap the page size
        seen.check_page([_row_id(r) for r in rows], full=full, where=f"OQMD, row {offset}")

    def _replay(self, stop: int, position: dict[str, Any], cursor: str | None) -> SeenRows:
        """The ids before row `stop`, so that a duplicate is one after an interruption too."""
        seen = SeenRows()
        offset = 0
        while offset < stop:
            rows, now = self._page(offset, min(_REPLAY, stop - offset), "entry_id", cursor)
            if now != position["total"] or not rows:
                raise SourceError(_changed(f"it had {position['total']} rows and has {now}"))
            for row in rows:
                seen.add(_row_id(row) or "")
            offset += len(rows)
        return seen

    def _page(self, offset: int, limit: int, fields: str, cursor: str | None) -> tuple[list[dict[str, Any]], int]:
        """Rows from `offset` and the number of all rows."""
        params: dict[str, str | int] = {"fields": fields, "limit": limit, "offset": offset, "format": "json"}
        params["noduplicate"] = str(self.config.noduplicate)
        if self.config.filter:
            params["filter"] = self.config.filter
        url = f"{self.config.base_url.rstrip('/')}/oqmdapi/formationenergy"
        try:
            response = self._session.get(url, params=params)
            if response.status_code != 200:
                answer = f"status {response.status_code} at row {offset}: {response.text[:200]}"
                raise SourceError(f"OQMD refuses the request ({answer}); check base_url and filter")
            reply = response.json()
            return list(reply["data"]), int(reply["meta"]["data_available"])
        except (HttpGaveUpError, requests.RequestException) as error:
            raise SourceInterrupted(f"OQMD, row {offset}: {error}; continue from the cursor later", cursor) from error
        except (KeyError, TypeError, ValueError) as error:
            raise SourceInterrupted(
                f"OQMD, row {offset}: a reply that is not OQMD's ({error!r}); continue from the cursor later", cursor
            ) from error

    def _value(self, row: dict[str, Any], nth: int, seen: SeenRows) -> CrysRecord | Refusal:
        name = _row_id(row)
        if name is None:
            return Refusal(f"oqmd row {nth}", "field entry_id is missing")
        if not seen.add(name):
            return Refusal(name, DUPLICATE)
        try:
            return record_from_row(row, self.config.release)
        except ROW_ERRORS as error:
            return Refusal(name, reason_of(error))


def record_from_row(row: dict[str, Any], release: str | None = None) -> CrysRecord:
    """A record from one row of `/oqmdapi/formationenergy`. Raises one of ROW_ERRORS."""
    symbols, coords = _sites(required(row, "sites"))
    if row.get("natoms") is not None and int(row["natoms"]) != len(symbols):
        raise RowError(f"{len(symbols)} sites for natoms {row['natoms']}")
    crystal = crystal_from_symbols(np.array(required(row, "unit_cell"), dtype=np.float64), symbols, coords)
    return CrysRecord.from_crystal(
        crystal,
        material_id=f"oqmd-{required(row, 'entry_id')}",
        source="oqmd",
        functional=FUNCTIONAL,
        source_version=release,
        formation_energy_per_atom_source=number(row, "delta_e"),
        e_above_hull_source=number(row, "stability"),
        license=LICENSE,
    )


def _sites(sites: list[str]) -> tuple[list[str], np.ndarray]:
    """Symbols and fractional coordinates (N, 3) of OQMD's site strings, `Al @ 0.5 0.5 0`."""
    symbols, coords = [], []
    for site in sites:
        match = _SITE.match(site)
        if match is None:
            raise RowError(f"site {site[:60]!r} is not one element at three coordinates")
        symbols.append(match[1])
        coords.append([float(x) for x in match.groups()[1:]])
    return symbols, np.array(coords, dtype=np.float64).reshape(-1, 3)


def _row_id(row: Any) -> str | None:
    value = row.get("entry_id") if isinstance(row, dict) else None
    return None if value is None else f"oqmd-{value}"


def _changed(how: str) -> str:
    return f"OQMD changed while it was read ({how}): start again without the cursor"
