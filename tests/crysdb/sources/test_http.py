"""The polite session against a real server that misbehaves through the fault proxy."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
import requests

from dao_core.crysdb.sources.http import HttpGaveUpError, HttpReport, PoliteSession, bound_session, retry_after
from dao_core.crysdb.sources.settings import HttpSettings
from tests.peers.proxy import Fault, FaultProxy

PATH = "/oqmdapi/formationenergy?limit=3"


def test_answer_comes_through_and_is_counted(oqmd: FaultProxy, session: PoliteSession) -> None:
    assert len(session.get(oqmd.url + PATH).json()["data"]) == 3
    assert (session.report.requests, session.report.retries) == (1, 0)


@pytest.mark.parametrize(
    ("fault", "reason"),
    [
        (Fault(status=429), "status 429"),
        (Fault(status=503), "status 503"),
        (Fault(status=500), "status 500"),
        (Fault(cut=True), "ChunkedEncodingError"),
        (Fault(short=True), "reply cut short"),
        (Fault(drop=True), "ConnectionError"),
    ],
)
def test_passing_fault_is_retried(
    oqmd: FaultProxy, session: PoliteSession, waits: list[float], fault: Fault, reason: str
) -> None:
    oqmd.reset(fault)
    assert len(session.get(oqmd.url + PATH).json()["data"]) == 3
    assert dict(session.report.reasons) == {reason: 1}
    assert waits == [1.0]


def test_waits_double_up_to_the_cap_and_then_it_gives_up(
    oqmd: FaultProxy, session: PoliteSession, waits: list[float]
) -> None:
    oqmd.reset(Fault(status=503, times=99))
    session.settings = HttpSettings(requests_per_second=1e6, max_attempts=5, first_wait=2.0, max_wait=6.0)
    with pytest.raises(HttpGaveUpError, match="status 503, 5 attempts"):
        session.get(oqmd.url + PATH)
    assert waits == [2.0, 4.0, 6.0, 6.0]
    assert session.report.requests == 5
    assert session.report.waited == 18.0


def test_retry_after_is_honoured(oqmd: FaultProxy, session: PoliteSession, waits: list[float]) -> None:
    oqmd.reset(Fault(status=429, headers={"Retry-After": "37"}))
    session.get(oqmd.url + PATH)
    assert waits == [37.0]


def test_retry_after_beyond_the_cap_ends_it_without_waiting(
    oqmd: FaultProxy, session: PoliteSession, waits: list[float]
) -> None:
    oqmd.reset(Fault(status=429, headers={"Retry-After": "3600"}))
    with pytest.raises(HttpGaveUpError, match="3600 s"):
        session.get(oqmd.url + PATH)
    assert waits == []


def test_refusal_is_handed_back_at_once(oqmd: FaultProxy, session: PoliteSession) -> None:
    oqmd.reset(Fault(status=403))
    assert session.get(oqmd.url + PATH).status_code == 403
    assert session.report.requests == 1


def test_requests_keep_the_pace(oqmd: FaultProxy) -> None:
    now = [0.0]

    def sleep(seconds: float) -> None:
        now[0] += seconds

    session = PoliteSession(HttpSettings(requests_per_second=4.0), sleep=sleep, clock=lambda: now[0])
    for _ in range(9):
        session.get(oqmd.url + PATH)
    assert now[0] == pytest.approx(2.0)


def test_messages_hold_no_query(oqmd: FaultProxy, session: PoliteSession) -> None:
    oqmd.reset(Fault(drop=True, times=99))
    with pytest.raises(HttpGaveUpError) as caught:
        session.get(oqmd.url + PATH + "&token=hush")
    assert "hush" not in str(caught.value)


def test_key_does_not_follow_a_redirect_to_another_host(oqmd: FaultProxy, session: PoliteSession) -> None:
    response = requests.Response()
    response.status_code, response.headers["Location"] = 302, "http://elsewhere.example/"
    response.request = requests.Request("GET", oqmd.url).prepare()
    onward = requests.Request("GET", "http://elsewhere.example/", headers={"x-api-key": "hush"}).prepare()
    session.rebuild_auth(onward, response)
    assert "x-api-key" not in onward.headers


def test_bound_class_gives_one_shared_session() -> None:
    kind = bound_session(HttpSettings(), report := HttpReport())
    assert issubclass(kind, requests.Session)
    assert kind() is kind()
    assert kind().report is report


def test_retry_after_reads_seconds_and_dates() -> None:
    assert retry_after("12") == 12.0
    assert retry_after(format_datetime(datetime.now(UTC) - timedelta(hours=1))) == 0.0
    assert 3500 < (retry_after(format_datetime(datetime.now(UTC) + timedelta(hours=1))) or 0) <= 3600
    assert retry_after("soon") is None
    assert retry_after(None) is None
