"""The peers, each started once a session, each with a fault proxy before it."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from dao_core.crysdb.sources.http import HttpReport, PoliteSession
from dao_core.crysdb.sources.settings import HttpSettings
from tests.peers.entries import computed_entry, entries, optimade_line, oqmd_row
from tests.peers.oqmd import oqmd_server
from tests.peers.processes import materials_project_server, optimade_server
from tests.peers.proxy import FaultProxy, fault_proxy

RELEASE = "2025.09.25"
FAST = HttpSettings(requests_per_second=1e6, max_attempts=4, first_wait=1.0, max_wait=60.0)


@pytest.fixture
def waits() -> list[float]:
    """The seconds that `session` was told to wait, in order; nobody really waits."""
    return []


@pytest.fixture
def session(waits: list[float]) -> PoliteSession:
    """A polite session whose sleep only takes notes."""
    return PoliteSession(FAST, HttpReport(), sleep=waits.append)


@pytest.fixture(scope="session")
def _oqmd() -> Iterator[FaultProxy]:
    with oqmd_server([oqmd_row(e) for e in entries()]) as server, fault_proxy(server.url) as proxy:
        yield proxy


@pytest.fixture
def oqmd(_oqmd: FaultProxy) -> FaultProxy:
    """OQMD's REST API behind a proxy without faults."""
    _oqmd.reset()
    return _oqmd


@pytest.fixture(scope="session")
def _optimade(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    lines = [optimade_line(e) for e in entries()]
    folder = tmp_path_factory.mktemp("optimade")
    with optimade_server(lines, folder, ["entry_id", "delta_e", "stability"]) as url, fault_proxy(url) as proxy:
        yield proxy


@pytest.fixture
def optimade(_optimade: FaultProxy) -> FaultProxy:
    """The OPTIMADE reference server behind a proxy without faults (mark the test `peers`)."""
    _optimade.reset()
    return _optimade


@pytest.fixture(scope="session")
def _materials_project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FaultProxy]:
    folder = tmp_path_factory.mktemp("materials_project")
    found = [computed_entry(e) for e in entries()]
    with materials_project_server(found, folder, RELEASE) as url, fault_proxy(url) as proxy:
        yield proxy


@pytest.fixture
def materials_project(_materials_project: FaultProxy) -> FaultProxy:
    """The Materials Project's own server behind a proxy without faults (mark the test `peers`)."""
    _materials_project.reset()
    return _materials_project
