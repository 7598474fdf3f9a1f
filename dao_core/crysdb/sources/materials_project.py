"""The Materials Project through its own client, on one energy scale (GGA/GGA+U) and from one release."""

from __future__ import annotations

import itertools
import os
import re
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

import requests

from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpGaveUpError, HttpReport, PoliteSession
from dao_core.crysdb.sources.rows import (
    ROW_ERRORS,
    RowError,
    number,
    read_cursor,
    reason_of,
    required,
    write_cursor,
)
from dao_core.crysdb.sources.settings import MaterialsProjectConfig
from dao_core.crystal import Crystal

if TYPE_CHECKING:
    from mp_api.client import MPRester

THERMO_TYPE = "GGA_GGA+U"
KEY_VARIABLE = "MP_API_KEY"
_LICENSES = {"BY-C": "CC-BY-4.0", "BY-NC": "CC-BY-NC-4.0"}
_LISTING_PAGE = 1000  # the most the server gives
_Reply = dict[str, dict[str, Any] | RowError]


class MaterialsProjectSource:
    """MP's thermo documents with `thermo_type` pinned, stable and unstable alike.

    First the ids of the release are listed, then their documents are read in batches in the order of the ids: the
    cursor is the last id, so nothing shifts under it. `energy_per_atom` is the raw DFT energy, the MP2020 correction is
    `energy_correction_per_atom`, MP's own (corrected) formation energy and hull distance are the `_source` columns.
    The API key is sent to the server and told to nobody else. Raises SourceInterrupted (with cursor) or SourceError.
    """

    knows_dates = True  # gives only what changed after `since`
    name = "materials_project"
    functional = THERMO_TYPE

    def __init__(self, config: MaterialsProjectConfig | None = None, *, session: PoliteSession | None = None) -> None:
        self.config = config or MaterialsProjectConfig()
        self._session = session or PoliteSession(self.config.http)

    def __repr__(self) -> str:
        return f"MaterialsProjectSource({self.config.endpoint})"

    @property
    def selection(self) -> dict[str, Any]:
        """What part of the database is read: two readings of different parts are different data."""
        return self.config.model_dump(mode="json", include={"endpoint", "chemsys"})

    @property
    def report(self) -> HttpReport:
        """Requests, retries and waiting so far."""
        return self._session.report

    @cached_property
    def version(self) -> str:
        """The database release that the server has (it is asked once). Raises SourceError where another is pinned."""
        # MPRester remembers the release of an endpoint for the life of the process; a scheduler lives longer than that.
        reply = self._guarded(lambda: self._session.get(f"{self._endpoint}heartbeat"), None)
        try:
            release = str(reply.json()["db_version"])
        except (ValueError, KeyError, TypeError) as error:
            raise SourceError(
                f"{self._endpoint} is no Materials Project server (status {reply.status_code})"
            ) from error
        if self.config.release and release != self.config.release:
            raise SourceError(
                f"the Materials Project serves release {release}, the configuration pins {self.config.release}: "
                "change `release` to take the new one"
            )
        return release

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:
        """Every material once, in the order of ids; `since` keeps those that MP updated after it."""
        position = read_cursor(cursor, "release", "after")
        try:
            if position and position["release"] != self.version:
                raise SourceError(
                    f"the cursor is of release {position['release']}, the server has {self.version}: start without it"
                )
            names = self._listing(since)
        except SourceInterrupted as error:
            raise type(error)(str(error), cursor) from None
        after = _order(position["after"]) if position else (0, "")
        names = [name for name in names if _order(name) > after]
        here = cursor
        for start in range(0, len(names), self.config.batch):
            batch = names[start : start + self.config.batch]
            reply = self._documents(batch, here)
            for name in batch:
                here = write_cursor(release=self.version, after=name)
                yield SourceItem(self._value(name, reply), here)

    def _listing(self, since: str | None) -> list[str]:
        """The ids of the release, in order. Raises SourceError where pages were lost or repeated."""
        release = self.version  # also the first sign of a server that isn't there
        thermo = self._client.materials.thermo
        narrow = {"chemsys": self.config.chemsys} if self.config.chemsys else {}

        def ask() -> tuple[list[dict[str, Any]], int]:
            total = thermo.count({"thermo_types": THERMO_TYPE, **narrow})
            # Without `fields`: for each one that it checks the client derives the JSON schema anew (0.3 s).
            documents = thermo.search(thermo_types=[THERMO_TYPE], all_fields=False, chunk_size=_LISTING_PAGE, **narrow)
            return documents, total

        documents, total = self._guarded(ask, None)
        dates = {_canonical(row["material_id"]): row.get("last_updated") for row in documents if row.get("material_id")}
        if len(dates) != total:
            raise SourceError(
                f"the Materials Project ({release}) lists {len(dates)} different ids of {total}: pages were lost or "
                "came twice; run it again"
            )
        border = _moment(since) if since else None
        return sorted((n for n, date in dates.items() if border is None or _is_after(date, border)), key=_order)

    def _documents(self, names: Sequence[str], cursor: str | None) -> _Reply:
        """The documents of a batch by id; what the server left out or garbled is asked for once more, alone."""
        reply = self._search(names, cursor)
        missing = [name for name in names if name not in reply]
        for name in missing:
            reply.update(self._search([name], cursor))
        if len(names) > 1 and all(isinstance(reply.get(name), RowError) for name in names):
            raise SourceInterrupted(
                f"the Materials Project sends unreadable replies ({reply[names[0]]}); continue later", cursor
            )
        return reply

    def _search(self, names: Sequence[str], cursor: str | None) -> _Reply:
        def ask() -> list[dict[str, Any]]:
            return self._client.materials.thermo.search(
                material_ids=list(names),
                thermo_types=[THERMO_TYPE],
                chunk_size=len(names),
                num_chunks=1,
            )

        try:
            documents = self._guarded(ask, cursor)
        except _UnreadableReplyError as error:
            return {names[0]: RowError(str(error))} if len(names) == 1 else {}
        reply: _Reply = {}
        for row in documents:
            name = _canonical(row["material_id"]) if isinstance(row, dict) and row.get("material_id") else None
            if name is None:
                continue
            if name not in names:
                raise SourceInterrupted(
                    f"the Materials Project answers with {name}, which was not asked for (a page repeated by a cache "
                    "on the way?); continue from the cursor",
                    cursor,
                )
            again = reply.get(name, row) != row
            reply[name] = RowError("the server has two different documents for this id") if again else row
        return reply

    def _value(self, name: str, reply: _Reply) -> CrysRecord | Refusal:
        document = reply.get(name)
        if document is None:
            return Refusal(name, "listed by the server, which doesn't find it by its id")
        if isinstance(document, RowError):
            return Refusal(name, str(document))
        try:
            return record_from_document(document, self.version)
        except ROW_ERRORS as error:
            return Refusal(name, reason_of(error))

    @property
    def _endpoint(self) -> str:
        return self.config.endpoint.rstrip("/") + "/"

    @cached_property
    def _client(self) -> MPRester:
        from mp_api.client import MPRester

        key = api_key(self.config)
        self._session.headers["x-api-key"] = key

        def connect() -> MPRester:
            for attempt in itertools.count(1):
                try:
                    return MPRester(
                        key,
                        endpoint=self._endpoint,
                        session=self._session,
                        use_document_model=False,
                        mute_progress_bars=True,
                    )
                except (requests.RequestException, ValueError, KeyError) as error:
                    # The constructor asks for /heartbeat past the session, so the session's patience is lent to it.
                    self._session.back_off(attempt, type(error).__name__, "heartbeat")
            raise AssertionError("unreachable")

        return self._guarded(connect, None)

    def _guarded(self, call: Any, cursor: str | None) -> Any:
        """`call()` with every failure of client and network named as one of ours, and without the key in its text."""
        from mp_api.client.core.exceptions import MPRestError

        try:
            return call()
        except (HttpGaveUpError, requests.RequestException) as error:
            reason = error if isinstance(error, HttpGaveUpError) else type(error).__name__
            raise SourceInterrupted(f"Materials Project: {reason}; continue from the cursor later", cursor) from None
        except MPRestError as error:
            raise SourceError(f"the Materials Project refuses the request: {_plain(str(error))}") from None
        except (ValueError, KeyError, TypeError) as error:
            raise _UnreadableReplyError(f"the server's reply can't be read ({type(error).__name__})", cursor) from None


class _UnreadableReplyError(SourceInterrupted):
    pass


def record_from_document(document: dict[str, Any], release: str) -> CrysRecord:
    """A record from a thermo document in plain JSON. Raises one of ROW_ERRORS."""
    from pymatgen.core import Structure

    kind = required(document, "thermo_type")
    if kind != THERMO_TYPE:
        raise RowError(f"thermo_type is {kind}, asked for {THERMO_TYPE}")
    if document.get("deprecated"):
        raise RowError("deprecated by the Materials Project")
    entry = required(document, "entries").get(required(document, "energy_type"))
    if not isinstance(entry, dict):
        raise RowError(f"entries has none of type {document['energy_type']}")
    crystal = Crystal.from_pymatgen(Structure.from_dict(required(entry, "structure")))
    raw, corrected = number(document, "uncorrected_energy_per_atom"), number(document, "energy_per_atom")
    if raw is None:
        raise RowError("field uncorrected_energy_per_atom is empty")
    meta = document.get("builder_meta") or {}
    return CrysRecord.from_crystal(
        crystal,
        material_id=_canonical(document["material_id"]),
        source=MaterialsProjectSource.name,
        functional=THERMO_TYPE,
        source_version=release,
        energy_per_atom=raw,
        energy_correction_per_atom=None if corrected is None else corrected - raw,
        formation_energy_per_atom_source=number(document, "formation_energy_per_atom"),
        e_above_hull_source=number(document, "energy_above_hull"),
        license=_LICENSES.get(meta.get("license") or "BY-C", meta.get("license")),
    )


def api_key(config: MaterialsProjectConfig) -> str:
    """The key from the configuration or the environment. Raises SourceError that doesn't quote it."""
    key = (config.api_key.get_secret_value() if config.api_key else os.environ.get(KEY_VARIABLE, "")).strip()
    if not key:
        raise SourceError(f"no API key: set {KEY_VARIABLE} (https://next-gen.materialsproject.org/api gives one)")
    if not re.fullmatch(r"[A-Za-z0-9]{32}", key):
        raise SourceError(
            f"{KEY_VARIABLE} is no key of today's API: 32 letters and digits, this has {len(key)} characters"
        )
    return key


def _plain(text: str) -> str:
    """A client's message, short, on one line and without what may be a key."""
    return re.sub(r"\b[A-Za-z0-9]{32}\b", "***", " ".join(text.split()))[:400]


def _canonical(name: str) -> str:
    """`mp-149` for any spelling of the id that the server may use (`mp-aaaaaaft` is the same material)."""
    from emmet.core.types.typing import format_identifier

    return str(format_identifier(str(name), legacy=True))


def _order(name: str) -> tuple[int, str]:
    """Ids in the order of their numbers: mp-9 before mp-10."""
    return len(name), name


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise SourceError(f"since {text!r} is no ISO 8601 date such as 2025-01-31T00:00:00Z") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _is_after(date: Any, border: datetime) -> bool:
    """True where the row was updated after the border, or doesn't say when."""
    try:
        return _moment(str(date)) > border
    except SourceError:
        return True
