"""One polite HTTP session for every remote source: paced, patient with a busy server, and counting what it did."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any
from urllib.parse import urlsplit

import requests

from dao_core.crysdb.sources.settings import HttpSettings

# The server says "later" (429, 503), or something between it and us failed; the same request may well succeed.
RETRY_STATUSES = frozenset({408, 429, 500, 502, 503, 504, 520, 522, 524})


class HttpGaveUpError(RuntimeError):
    """The server stayed unreachable through every attempt; continuing later from the cursor is the remedy."""


@dataclass
class HttpReport:
    """What it took to read a source: requests sent, retries and their reasons, seconds waited for the server."""

    requests: int = 0
    retries: int = 0
    waited: float = 0.0
    reasons: Counter[str] = field(default_factory=Counter)
    failure: HttpGaveUpError | None = None


class PoliteSession(requests.Session):
    """A requests session that paces itself and retries connection errors, 429, 5xx and cut replies.

    It is handed to clients that accept a session (mp-api, OPTIMADE), so that all sources behave alike. Waits double
    from `first_wait` up to `max_wait`; a `Retry-After` of the server is honoured, and one that asks for more than
    `max_wait` ends the attempt. `sleep` and `clock` are exchangeable. Raises HttpGaveUpError, which is no requests
    exception on purpose: clients swallow those.
    """

    def __init__(
        self,
        settings: HttpSettings | None = None,
        report: HttpReport | None = None,
        *,
        sleep: Callable[[float], None] = time.sleep,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.settings = settings or HttpSettings()
        self.report = report or HttpReport()
        self._sleep = sleep
        self._clock = clock
        self._next_at = 0.0

    def request(self, method: str, url: str, *args: Any, **kwargs: Any) -> requests.Response:  # type: ignore[override]
        """As requests' own, with pacing and retries. Raises HttpGaveUpError."""
        if kwargs.get("timeout") is None:
            kwargs["timeout"] = self.settings.timeout
        where = _address(url)
        reason, asked = "", None
        for attempt in range(self.settings.max_attempts):
            if attempt:
                self.back_off(attempt, reason, where, asked)
            self._pace()
            self.report.requests += 1
            try:
                response = super().request(method, url, *args, **kwargs)
            except (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError) as error:
                reason, asked = type(error).__name__, None  # the text may quote headers: only the kind is told
                continue
            if response.status_code in RETRY_STATUSES:
                reason, asked = f"status {response.status_code}", retry_after(response.headers.get("Retry-After"))
            elif _is_cut(response):
                reason, asked = "reply cut short", None
            else:
                return response
        raise self._give_up(f"{where}: {reason}, {self.settings.max_attempts} attempts")

    def rebuild_auth(self, prepared_request: requests.PreparedRequest, response: requests.Response) -> None:
        """On a redirect to another host, requests drops its own credentials only: an API key goes too."""
        super().rebuild_auth(prepared_request, response)
        here, there = urlsplit(response.request.url or ""), urlsplit(prepared_request.url or "")
        if (here.scheme, here.netloc) != (there.scheme, there.netloc):
            prepared_request.headers.pop("x-api-key", None)

    def back_off(self, attempt: int, reason: str, where: str, asked: float | None = None) -> None:
        """Wait before another try.

        Args:
            attempt: Number of the retry.
            reason: What failed.
            where: Address, for the message.
            asked: Seconds that the server asked for.

        Raises:
            HttpGaveUpError: There were too many tries.
        """
        if attempt >= self.settings.max_attempts:
            raise self._give_up(f"{where}: {reason}, {attempt} attempts")
        wait = min(self.settings.first_wait * 2 ** (attempt - 1), self.settings.max_wait)
        if asked is not None:
            if asked > self.settings.max_wait:
                raise self._give_up(f"{where}: {reason}, the server asks to come back in {asked:.0f} s")
            wait = max(wait, asked)
        self.report.retries += 1
        self.report.waited += wait
        self.report.reasons[reason] += 1
        self._sleep(wait)

    def _pace(self) -> None:
        now = self._clock()
        if now < self._next_at:
            self._sleep(self._next_at - now)
        self._next_at = max(now, self._next_at) + 1.0 / self.settings.requests_per_second

    def _give_up(self, message: str) -> HttpGaveUpError:
        self.report.failure = HttpGaveUpError(message)
        return self.report.failure


def bound_session(
    settings: HttpSettings, report: HttpReport, *, sleep: Callable[[float], None] = time.sleep
) -> type[PoliteSession]:
    """A session class with its settings built in, for clients that take a class and call it without arguments."""
    shared = PoliteSession(settings, report, sleep=sleep)

    class Bound(PoliteSession):
        def __new__(cls) -> PoliteSession:  # type: ignore[misc]
            return shared  # one session: one pace and one connection, however often the client asks for another

    return Bound


def retry_after(value: str | None) -> float | None:
    """Seconds that a `Retry-After` header asks for (a number or a date, RFC 9110 10.2.3), None where unreadable."""
    if not value:
        return None
    try:
        return max(0.0, float(value))
    except ValueError:
        pass
    try:
        when = parsedate_to_datetime(value)
    except (ValueError, TypeError):
        return None
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    return max(0.0, (when - datetime.now(UTC)).total_seconds())


def _address(url: str) -> str:
    """Host and path: a message needs no query, and a query may hold what must not be told."""
    parts = urlsplit(url)
    return f"{parts.hostname}{f':{parts.port}' if parts.port else ''}{parts.path}"


def _is_cut(response: requests.Response) -> bool:
    """True where a JSON reply doesn't end as JSON does (a proxy that closed early, with a matching length)."""
    if response.status_code != 200 or "json" not in response.headers.get("Content-Type", ""):
        return False
    return response.content.rstrip()[-1:] not in (b"}", b"]")
