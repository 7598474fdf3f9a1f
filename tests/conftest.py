"""Fixtures and the rules by which marked tests are skipped (always with a reason)."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from tests.server.services import postgres_bin

# The tests share the machine with other processes: one thread each (two would spin against one another).
os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("DO_NOT_TRACK", "1")
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "180")
# A search takes the user's library where there is one; what a test finds must not depend on it.
os.environ["DAO_LIBRARY"] = str(Path(__file__).parent / "no-library-here")

PEERS = Path(os.environ.get("DAO_PEERS_VENV", Path(__file__).resolve().parents[1] / ".venv-peers"))
SHARED = Path(os.environ.get("DAO_SHARED_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    rules = {
        "shared": (SHARED.is_dir(), f"development data not found at {SHARED}"),
        "qe": (shutil.which("pw.x") is not None, "pw.x is not installed (infra/install_qe.sh)"),
        "peers": ((PEERS / ".installed-peers").exists(), "the peers' environment is missing (infra/peers/setup.sh)"),
        "server": (postgres_bin() is not None, "PostgreSQL is not installed (apt-get install postgresql)"),
        "browser": (shutil.which("chromium") is not None, "chromium is not installed"),
    }
    for item in items:
        for marker, (present, reason) in rules.items():
            if item.get_closest_marker(marker) and not present:
                item.add_marker(pytest.mark.skip(reason=reason))


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The development data folder; only for tests marked `shared`."""
    return SHARED
