"""The real thing for tests and benchmarks: PostgreSQL, a Prefect server and a process worker, to be killed and started.

Everything lies below one folder and listens on ports of its own; nothing of the machine's own services is touched.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
START_TIMEOUT = 300.0  # seconds; a server imports for 60 s on a crowded machine


def postgres_bin() -> Path | None:
    """Where initdb and postgres are: Debian keeps them off the path."""
    if found := shutil.which("initdb"):
        return Path(found).resolve().parent
    versions = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda p: int(p.parts[-3]))
    return versions[-1].parent if versions else None


def free_port() -> int:
    """A port that nobody listens on."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        return int(listener.getsockname()[1])


def wait_for(what: str, check: Callable[[], Any], timeout: float = START_TIMEOUT, alive: Any = None) -> Any:
    """Ask until `check` says something true. Raises TimeoutError naming `what`, RuntimeError where `alive` ended."""
    deadline = time.monotonic() + timeout
    while time.monotonic() < deadline:
        if found := check():
            return found
        if alive is not None and alive.poll() is not None:
            raise RuntimeError(f"{what}: the process ended with status {alive.returncode}")
        time.sleep(0.2)
    raise TimeoutError(f"{what} did not happen within {timeout:.0f} s")


class Service:
    """A process group that can be started, killed with SIGKILL, and started again."""

    name = "service"

    def __init__(self, folder: Path, environment: dict[str, str] | None = None) -> None:
        self.folder = folder
        self.environment = {**os.environ, "DO_NOT_TRACK": "1", "OMP_NUM_THREADS": "1", **(environment or {})}
        self.process: subprocess.Popen[bytes] | None = None

    def command(self) -> list[str]:
        raise NotImplementedError

    def ready(self) -> Any:
        return True

    @property
    def log(self) -> str:
        return (self.folder / f"{self.name}.log").read_text(errors="replace")

    def start(self) -> None:
        """Start and wait until it answers."""
        with (self.folder / f"{self.name}.log").open("ab") as out:
            self.process = subprocess.Popen(
                self.command(), stdout=out, stderr=subprocess.STDOUT, env=self.environment, cwd=ROOT,
                start_new_session=True,
            )  # fmt: skip
        wait_for(f"{self.name} ({self.folder})", self.ready, alive=self.process)

    def end(self, sign: signal.Signals = signal.SIGTERM) -> None:
        """Signal the whole group and wait; SIGKILL after half a minute."""
        if self.process is None:
            return
        for number in (sign, signal.SIGKILL):
            with contextlib.suppress(ProcessLookupError):
                os.killpg(self.process.pid, number)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self.process.wait(timeout=30)
                break
        self.process = None

    def kill(self) -> None:
        """As a power cut would."""
        self.end(signal.SIGKILL)


class Postgres(Service):
    """A cluster of its own. As root its processes run as the user `postgres`: PostgreSQL refuses root."""

    name = "postgres"

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self.port, self.data = free_port(), folder / "pg"
        found = postgres_bin()
        assert found is not None, "PostgreSQL is not installed"
        self.bin = found
        drop = ["setpriv", "--reuid=postgres", "--regid=postgres", "--init-groups", "--"]
        self.as_user = drop if os.geteuid() == 0 else []
        self.data.mkdir()
        if self.as_user:
            shutil.chown(self.data, "postgres")
        self._open_parents()
        initdb = [*self.as_user, str(self.bin / "initdb"), "-D", str(self.data / "db"), "-U", "prefect", "-A", "trust"]
        subprocess.run(initdb, check=True, capture_output=True, cwd="/")

    def _open_parents(self) -> None:
        """Let the user `postgres` through pytest's folders; another session of pytest closes them again."""
        for parent in self.data.parents if self.as_user else ():
            if parent.stat().st_uid == 0 and str(parent).startswith("/tmp/"):
                parent.chmod(0o755)

    @property
    def url(self) -> str:
        return f"postgresql+asyncpg://prefect@127.0.0.1:{self.port}/prefect"

    def _client(self, program: str, *arguments: str) -> bool:
        where = ["-h", "127.0.0.1", "-p", str(self.port), "-U", "prefect"]
        command = [str(self.bin / program), *where, *arguments]
        return subprocess.run(command, check=False, capture_output=True).returncode == 0

    def command(self) -> list[str]:
        return [*self.as_user, str(self.bin / "postgres"), "-D", str(self.data / "db"), "-p", str(self.port), "-k",
                str(self.data), "-c", "listen_addresses=127.0.0.1"]  # fmt: skip

    def ready(self) -> bool:
        return self._client("pg_isready", "-d", "postgres")

    def start(self) -> None:
        self._open_parents()
        for attempt in range(10):
            try:
                super().start()
                break
            except RuntimeError:  # the backends of a killed server need a moment to notice and let go of its memory
                if attempt == 9:
                    raise
                time.sleep(1)
        if not self._client("psql", "-d", "prefect", "-c", "select 1"):
            self._client("createdb", "prefect")


class Server(Service):
    """A Prefect server: on PostgreSQL where a database URL is given, else on SQLite."""

    name = "server"

    def __init__(self, folder: Path, database: str | None = None) -> None:
        self.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}/api"
        extra = {"PREFECT_HOME": str(folder / "home"), "PREFECT_SERVER_ANALYTICS_ENABLED": "false"}
        if database is not None:
            extra["PREFECT_API_DATABASE_CONNECTION_URL"] = database
        super().__init__(folder, extra)
        self.environment.pop("PREFECT_API_URL", None)

    def command(self) -> list[str]:
        return [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(self.port)]

    def ready(self) -> bool:
        import httpx

        with contextlib.suppress(httpx.HTTPError):
            return httpx.get(f"{self.url}/health", timeout=5).status_code == 200
        return False


class Worker(Service):
    """A process worker of the pool `dao` that takes every queue."""

    name = "worker"

    def __init__(self, folder: Path, server: Server, home: Path = ROOT, **environment: str) -> None:
        extra = {"PREFECT_API_URL": server.url, "DAO_HOME": str(home), "PREFECT_HOME": str(folder / "home-worker"),
                 "PREFECT_WORKER_QUERY_SECONDS": "2"}  # fmt: skip
        super().__init__(folder, {**extra, **environment})
        self.server, self.begin = server, 0

    def command(self) -> list[str]:
        queues = [word for queue in ("default", "gpu", "dft") for word in ("--work-queue", queue)]
        return [sys.executable, "-m", "prefect", "worker", "start", "--pool", "dao", "--type", "process", *queues]

    def ready(self) -> bool:
        return "started" in self.log[self.begin :]

    def start(self) -> None:
        path = self.folder / "worker.log"
        self.begin = len(path.read_text(errors="replace")) if path.exists() else 0
        super().start()


def cli(server: Server, *arguments: str, timeout: float = 300, **environment: str) -> subprocess.CompletedProcess[str]:
    """`python -m ...` against a server, as a user types it."""
    env = {**os.environ, "PREFECT_API_URL": server.url, "DO_NOT_TRACK": "1", "DAO_HOME": str(ROOT), **environment}
    return subprocess.run(
        [sys.executable, "-m", *arguments], capture_output=True, text=True, env=env, cwd=ROOT, timeout=timeout,
        check=False,
    )  # fmt: skip


@contextlib.contextmanager
def running(*services: Service) -> Iterator[None]:
    """Services started in order and ended in the opposite one."""
    with contextlib.ExitStack() as stack:
        for service in services:
            stack.callback(service.end)
            service.start()
        yield
