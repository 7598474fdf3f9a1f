"""Prefect's settings stand before Prefect is imported, and what the user has set is left alone."""

from __future__ import annotations

import json
import os
import subprocess
import sys

CODE = """
import json, tasks.prefect_api
from prefect.settings import get_current_settings as s
print(json.dumps([s().server.analytics_enabled, s().server.ephemeral.startup_timeout_seconds]))
"""


def settings(**changes: str) -> list[object]:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("PREFECT_")} | changes
    out = subprocess.run([sys.executable, "-c", CODE], capture_output=True, text=True, check=True, env=environment)
    return list(json.loads(out.stdout))


def test_no_telemetry_and_a_patient_start() -> None:
    assert settings() == [False, 600]


def test_the_user_s_own_values_win() -> None:
    assert settings(PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS="33") == [False, 33]
