"""A Dask cluster of a run: who holds its certificate is let in, any other process is refused."""

from __future__ import annotations

import socket
import subprocess
import sys
from typing import Any

import pytest
from distributed import Client, LocalCluster, Security

from tasks.config import Workers
from tasks.dask_security import local_options, slurm_options

KNOCK = """
import sys
from distributed import Client, Security
try:
    client = Client(sys.argv[1], security=Security.temporary() if sys.argv[2] == "own" else None, timeout="5s")
    print("ran as", client.submit(__import__("os").getpid).result(timeout=5))
except Exception as error:
    print("refused:", type(error).__name__)
"""


def knock(address: str, security: str = "none") -> str:
    """What a process without the cluster's certificate gets to hear."""
    command = [sys.executable, "-c", KNOCK, address, security]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False).stdout


def listening(host: str, port: int) -> bool:
    with socket.socket() as connection:
        connection.settimeout(5)
        return connection.connect_ex((host, port)) == 0


def other_address() -> str | None:
    """An address of this machine that isn't loopback."""
    from distributed.utils import get_ip

    return None if get_ip().startswith("127.") else get_ip()


def check_refusals(cluster: Any, security: Security) -> None:
    address = cluster.scheduler_address
    assert address.startswith("tls://")
    for where in (address, address.replace("tls://", "tcp://")):
        for certificate in ("none", "own"):
            assert knock(where, certificate).startswith("refused"), (where, certificate)
    with Client(address, security=security) as client:  # the run itself
        assert client.scheduler_info()["address"] == address


def test_a_process_without_the_certificate_is_refused_by_a_local_cluster() -> None:
    options = local_options(Workers(engine="dask", workers=1))
    with LocalCluster(**options) as cluster:
        check_refusals(cluster, options["security"])
        port = int(cluster.scheduler_address.rpartition(":")[2])
        assert listening("127.0.0.1", port)
        if (elsewhere := other_address()) is not None:
            assert not listening(elsewhere, port)
        with Client(cluster) as client:
            assert client.submit(pow, 3, 2).result(timeout=60) == 9


def test_a_process_without_the_certificate_is_refused_by_slurm_s_scheduler(
    tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("dask_jobqueue", reason="the extra `slurm` is not installed")
    from tasks.slurm_workers import SlurmWorkers

    monkeypatch.setenv("HOME", str(tmp_path))
    slurm = {"queue": "normal", "cores": 1, "memory": "1GB", "walltime": "00:10:00", "interface": "lo"}
    options = slurm_options(Workers(engine="slurm", slurm=slurm))
    with SlurmWorkers(processes=1, **options) as cluster:
        check_refusals(cluster, options["security"])
        host, _, port = cluster.scheduler_address.removeprefix("tls://").rpartition(":")
        assert host == "127.0.0.1"
        if (elsewhere := other_address()) is not None:
            assert not listening(elsewhere, int(port))
        job = cluster.job_script()
        assert "--no-dashboard" in job
        assert "--tls-key" in job
        files = list((tmp_path / ".cache" / "dao" / "dask").iterdir())
        assert files
        assert {f.stat().st_mode & 0o077 for f in files} == {0}
        assert "BEGIN" not in job  # the key itself is nowhere in the script


def test_without_an_interface_the_scheduler_has_one_address() -> None:
    options = slurm_options(Workers(engine="slurm", slurm={"queue": "normal"}))["scheduler_options"]
    assert options["host"]
    assert options["host"] != "0.0.0.0"


def test_the_dashboard_is_there_only_if_asked_for() -> None:
    assert local_options(Workers(engine="dask"))["dashboard_address"] is None
    hidden = slurm_options(Workers(engine="slurm"))["scheduler_options"]
    assert (hidden["dashboard"], hidden["dashboard_address"]) == (False, "127.0.0.1:0")
    asked = slurm_options(Workers(engine="slurm", dashboard="127.0.0.1:8787"))["scheduler_options"]
    assert (asked["dashboard"], asked["dashboard_address"]) == (True, "127.0.0.1:8787")
