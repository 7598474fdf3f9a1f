"""Any OPTIMADE provider through the reference client, one page at a time so that a page can be continued."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpReport, bound_session
from dao_core.crysdb.sources.rows import (
    DUPLICATE,
    ROW_ERRORS,
    RowError,
    SeenRows,
    as_number,
    read_cursor,
    reason_of,
    required,
    write_cursor,
)
from dao_core.crysdb.sources.settings import OptimadeConfig
from dao_core.crystal import Crystal, crystal_from_symbols

if TYPE_CHECKING:
    from optimade.client import OptimadeClient
    from optimade.client.utils import QueryResults

    from dao_core.crysdb.sources.http import PoliteSession

_STRUCTURE = [
    "lattice_vectors",
    "cartesian_site_positions",
    "species",
    "species_at_sites",
    "nsites",
    "structure_features",
    "dimension_types",
    "nperiodic_dimensions",
]
_UNUSABLE = {"disorder", "implicit_atoms", "site_attachments", "assemblies"}


class OptimadeSource:
    """The `structures` endpoint of a provider.

    Energies come from the provider's own properties that the configuration names, in eV/atom, into
    `energy_per_atom`, `energy_correction_per_atom` and the two `_source` columns. `since` becomes a filter on
    `last_modified`. Raises SourceInterrupted (with cursor) or SourceError.
    """

    knows_dates = True  # gives only what changed after `since`

    def __init__(self, config: OptimadeConfig, *, session: type[PoliteSession] | None = None) -> None:
        self.config = config
        self._report = HttpReport()
        self._session = session or bound_session(config.http, self._report)
        if session is not None:
            self._report = session().report

    @property
    def name(self) -> str:
        """As configured."""
        return self.config.name

    @property
    def functional(self) -> str:
        """As configured: what made the provider's energies."""
        return self.config.functional

    @property
    def version(self) -> str | None:
        """The release, where the configuration names one: a server does not say."""
        return self.config.release

    @property
    def selection(self) -> dict[str, Any]:
        """What is read of the database: two readings of different parts or properties are different data."""
        return self.config.model_dump(mode="json", include={"base_url", "filter", "fields"})

    @property
    def report(self) -> HttpReport:
        """Requests, retries and waiting so far."""
        return self._report

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        """Every row once, page by page; the cursor is the page's address and the rows of it that were handed over."""
        position = read_cursor(cursor, "url", "rows", "before", "last")
        position = position or {"url": None, "rows": 0, "before": 0, "last": ""}
        condition = self._condition(since)
        seen = self._replay(position, condition, cursor)
        url, count, here, visited = position["url"], position["before"], cursor, set()
        while True:
            page = self._page(condition, url, [*_STRUCTURE, *self.config.fields.properties()], here)
            visited.add(url)
            rows, following = list(page.data), _next(page)
            ids = [self._row_id(row) for row in rows]
            seen.check_page(ids, full=following is not None or len(rows) >= self.config.page, where=self._where(count))
            skip = position["rows"] if url == position["url"] else 0
            if skip and ids[skip - 1 : skip] != [position["last"]]:
                raise SourceError(f"{self._where(count + skip)}: the database changed: start again without the cursor")
            for k, row in enumerate(rows, start=1):
                value = self._value(row, ids[k - 1], count + k, seen)
                here = write_cursor(url=url, rows=k, before=count, last=ids[k - 1])
                if k > skip:
                    yield SourceItem(value, here)
            count += len(rows)
            if following is None:
                return self._check_end(page, count)
            if following in visited or not rows:
                raise SourceError(f"{self._where(count)}: the server's link to the next page leads back or to nothing")
            url = following

    def _check_end(self, page: QueryResults, count: int) -> None:
        total = page.meta.get("data_returned")
        if isinstance(total, int) and count < total:
            raise SourceError(f"{self._where(count)}: the server ends after {count} of {total} rows; run it again")

    def _replay(self, position: dict[str, Any], condition: str, cursor: str | None) -> SeenRows:
        """The ids of the pages before the cursor's, so that a duplicate is one after an interruption too."""
        seen = SeenRows()
        url, count = None, 0
        own = self.config.fields.material_id
        while count < position["before"]:
            page = self._page(condition, url, [own.split(".")[0]] if own else [], cursor)
            for row in page.data:
                seen.add(self._row_id(row) or "")
            count += len(page.data)
            url = _next(page)
            if url is None or not page.data:
                break
        if count != position["before"]:
            raise SourceError(f"{self._where(count)}: the database changed: start again without the cursor")
        return seen

    def _page(self, condition: str, url: str | None, fields: list[str], cursor: str | None) -> QueryResults:
        self._report.failure = None
        replies = self._client.get_one(
            "structures",
            condition,
            self.config.base_url,
            response_fields=["id", *fields],
            page_limit=self.config.page,
            paginate=False,
            override_url=url,
        )
        page: QueryResults = next(iter(replies.values()))
        if self._report.failure is not None:
            raise SourceInterrupted(f"{self.name}: {self._report.failure}; continue from the cursor later", cursor)
        if page.errors:
            message = " ".join(str(page.errors[0]).split())[:300]
            if message.startswith("RuntimeError: 4"):
                raise SourceError(f"{self.name} refuses the request ({message}); check base_url, filter and fields")
            raise SourceInterrupted(f"{self.name}: {message}; continue from the cursor later", cursor)
        return page

    def _value(self, row: Any, name: str | None, nth: int, seen: SeenRows) -> CrysRecord | Refusal:
        if name is None:
            return Refusal(f"{self.name} row {nth}", "no id")
        if not seen.add(name):
            return Refusal(name, DUPLICATE)
        try:
            return record_from_resource(row, name, self.config)
        except ROW_ERRORS as error:
            return Refusal(name, reason_of(error))

    def _row_id(self, row: Any) -> str | None:
        if not isinstance(row, dict):
            return None
        path = self.config.fields.material_id
        value = _inside(row.get("attributes") or {}, path) if path else row.get("id")
        return None if value is None else f"{self.name}-{value}"

    def _condition(self, since: str | None) -> str:
        parts = [f"({self.config.filter})"] if self.config.filter and since else [self.config.filter or ""]
        if since:
            parts.append(f'last_modified >= "{since}"')
        return " AND ".join(part for part in parts if part)

    def _where(self, row: int) -> str:
        return f"{self.name}, row {row}"

    @cached_property
    def _client(self) -> OptimadeClient:
        from optimade.client import OptimadeClient

        # Its own retries are unusable in synchronous mode (the count of attempts starts anew each time): the session's.
        return OptimadeClient(
            base_urls=self.config.base_url,
            max_results_per_provider=10**9,
            use_async=False,
            silent=True,
            http_client=self._session,
        )


def record_from_resource(row: dict[str, Any], name: str, config: OptimadeConfig) -> CrysRecord:
    """A record from one resource of the `structures` endpoint. Raises one of ROW_ERRORS."""
    attributes = required(row, "attributes")
    energies = {}
    for column, path in config.fields.model_dump(exclude={"material_id"}).items():
        if path is None:
            continue
        if path.split(".")[0] not in attributes:
            raise RowError(f"field {path} is missing")
        energies[column] = as_number(_inside(attributes, path), path)
    return CrysRecord.from_crystal(
        _crystal(attributes),
        material_id=name,
        source=config.name,
        functional=config.functional,
        source_version=config.release,
        energy_per_atom=energies.get("energy_per_atom"),
        energy_correction_per_atom=energies.get("energy_correction_per_atom"),
        formation_energy_per_atom_source=energies.get("formation_energy_per_atom"),
        e_above_hull_source=energies.get("e_above_hull"),
        license=config.license,
    )


def _crystal(attributes: dict[str, Any]) -> Crystal:
    """The structure. Raises RowError where sites are shared, empty or left out."""
    unusable = _UNUSABLE & set(attributes.get("structure_features") or [])
    if unusable:
        raise RowError(f"structure has {', '.join(sorted(unusable))}")
    periods = attributes.get("dimension_types") or [1, 1, 1]
    if list(periods) != [1, 1, 1] or attributes.get("nperiodic_dimensions") not in (3, None):
        raise RowError(f"dimension_types {list(periods)}: not periodic in three directions, so no crystal")
    symbols = {}
    for species in required(attributes, "species"):
        kinds, shares = species["chemical_symbols"], species["concentration"]
        if len(kinds) == 1 and abs(shares[0] - 1.0) < 1e-6:
            symbols[species["name"]] = kinds[0]
    at_sites = required(attributes, "species_at_sites")
    shared = sorted({name for name in at_sites if name not in symbols})
    if shared:
        raise RowError(f"partially occupied sites: {', '.join(shared)[:80]}")
    positions = np.array(required(attributes, "cartesian_site_positions"), dtype=np.float64).reshape(-1, 3)
    if len(positions) != attributes.get("nsites", len(positions)):
        raise RowError(f"{len(positions)} positions for nsites {attributes['nsites']}")
    lattice = np.array(required(attributes, "lattice_vectors"), dtype=np.float64)
    if lattice.shape != (3, 3) or not np.isfinite(lattice).all() or abs(np.linalg.det(lattice)) < 1e-6:
        raise RowError("lattice_vectors are no cell with a volume")
    return crystal_from_symbols(lattice, [symbols[name] for name in at_sites], positions @ np.linalg.inv(lattice))


def _inside(attributes: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, None where a part of it isn't there."""
    value: Any = attributes
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return value


def _next(page: QueryResults) -> str | None:
    """Address of the next page, None on the last one."""
    link = page.links.get("next")
    address = link.get("href") if isinstance(link, dict) else link
    return str(address) if address else None
