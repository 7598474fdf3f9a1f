"""Who may talk to a Dask cluster: whoever reaches a scheduler without TLS runs code as the user who started it.

Every cluster that a run starts gets a certificate of its own. It exists in memory and, for workers on Slurm, in files
that only the user can read and that go with the cluster. A cluster that stands, as on Kubernetes, has one in a Secret:

    python -m tasks.dask_security | kubectl apply -f -
"""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

from tasks.config import Workers

SECRET = "dao-dask-tls"
LOOPBACK = "127.0.0.1:0"  # Dask's HTTP server can't be left out: nobody but this machine reaches it
CERTIFICATES = Path("~/.cache/dao/dask")  # on the file system that Slurm's nodes share: the home


def local_options(workers: Workers) -> dict[str, Any]:
    """Arguments of `LocalCluster`: loopback, TLS, no dashboard unless the settings ask for one."""
    from distributed import Security

    return {"n_workers": workers.workers, "threads_per_worker": 1, "security": Security.temporary(),
            "protocol": "tls://", "dashboard_address": workers.dashboard}  # fmt: skip


def slurm_options(workers: Workers) -> dict[str, Any]:
    """Arguments of `SLURMCluster`: TLS, and a scheduler that listens where the workers come from and nowhere else.

    That is the `interface` of the settings, or else the address by which this machine is known.
    """
    from distributed import Security
    from distributed.utils import get_ip

    interface = workers.slurm.get("interface")
    scheduler = {"interface": interface} if interface else {"host": get_ip()}
    shown = {"dashboard": workers.dashboard is not None, "dashboard_address": workers.dashboard or LOOPBACK}
    folder = CERTIFICATES.expanduser()
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    extra = [*as_list(workers.slurm.get("worker_extra_args")), "--no-dashboard", "--dashboard-address", LOOPBACK]
    return {**workers.slurm, "security": Security.temporary(), "protocol": "tls://",
            "shared_temp_directory": str(workers.slurm.get("shared_temp_directory", folder)),
            "scheduler_options": {**scheduler, **shown}, "worker_extra_args": extra}  # fmt: skip


def as_list(value: str | int | list[str] | None) -> list[str]:
    """A setting that may be one word or several."""
    return [] if value is None else [str(v) for v in value] if isinstance(value, list) else [str(value)]


def secret_manifest() -> dict[str, Any]:
    """A Kubernetes Secret with a new certificate for scheduler, workers and flow runs; the old one is worth nothing."""
    from distributed import Security

    made = Security.temporary()
    files = {"ca.pem": made.tls_ca_file, "cert.pem": made.tls_scheduler_cert, "key.pem": made.tls_scheduler_key}
    data = {name: base64.b64encode(text.encode()).decode() for name, text in files.items()}
    return {"apiVersion": "v1", "kind": "Secret", "metadata": {"name": SECRET}, "type": "Opaque", "data": data}


if __name__ == "__main__":
    import yaml

    print(yaml.safe_dump(secret_manifest(), sort_keys=False), end="")
