"""Errors as one line, and how a command ends when it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED, TERMINATED = 130, 143
EXIT_SECONDS = 8.0  # after Ctrl-C at the latest; pw.x has its own few seconds to end
_EXTRAS = {
    **dict.fromkeys(("prefect", "prefect_dask", "dask", "distributed", "cryptography", "httpx", "sqlalchemy"), "flows"),
    **dict.fromkeys(("deltalake", "duckdb"), "crysdb"),
    **dict.fromkeys(("sevenn", "dftd3"), "judge"),
    **dict.fromkeys(("mp_api", "optimade", "requests", "matplotlib"), "sources"),
    **dict.fromkeys(("pytorch_lightning", "lightning", "lightning_fabric"), "train"),
    "phonopy": "dft", "chgnet": "chgnet", "lmdb": "lmdb", "dask_jobqueue": "slurm", "prefect_kubernetes": "kubernetes",
    "pyxtal": "studies",
}  # fmt: skip # which extra brings a package that is missing
_OURS = ("dao_core.", "tasks.", "flows.")


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can act on, None for one that is a fault of the program.

    Exceptions defined in this project carry the remedy in their message; of others only missing or unwritable files
    and settings that do not validate are the user's.
    """
    kind = type(error)
    if kind.__module__.startswith(_OURS):
        return str(error)
    if kind.__module__.startswith("pydantic"):
        from dao_core.settings_error import explain_settings

        return explain_settings(error)  # type: ignore[arg-type]
    if kind.__module__.startswith("yaml"):
        return f"not readable as YAML: {' '.join(str(error).split())}"
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        return f"this needs the package {error.name}, which is not installed: pip install 'dao-csp[{extra}]'"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, OSError) and error.errno in (28, 122):  # no space, over quota
        return f"no space left on the disk ({error.filename or 'while writing'}): free some and run it again"
    return None


def require(*packages: str) -> None:
    """Stop before a command begins to work for minutes if a package is missing that its end needs.

    Args:
        packages: As they are imported.

    Raises:
        ModuleNotFoundError: One is not installed; `explain` names the extra that brings it.
    """
    from importlib.util import find_spec

    for package in packages:
        if find_spec(package) is None:
            raise ModuleNotFoundError(f"No module named {package!r}", name=package)


def fail(message: str) -> NoReturn:
    """Print one line to stderr and leave with the status of a user error."""
    line = " ".join(message.split())
    print(f"dao: {line}", file=sys.stderr)
    stop = SystemExit(USER_ERROR)
    stop.add_note(line)
    raise stop


def in_one_line(error: BaseException) -> str | None:
    """What is said of an error that ends a command; None where it ends without a word of ours."""
    if isinstance(error, SystemExit):
        return next(iter(getattr(error, "__notes__", ())), None)
    if not isinstance(error, Exception):
        return f"stopped by {type(error).__name__}"
    return " ".join((explain(error) or f"{type(error).__name__}: {error}").split())


@contextmanager
def interruptible(hint: str) -> Iterator[None]:
    """Turn Ctrl-C and SIGTERM into one line and status 130 or 143, within seconds, whatever libraries make of them.

    The terminal sends Ctrl-C to Prefect's ephemeral server too, and its client would wait for it for minutes. After
    SIGTERM Prefect tells the server how the run ended and sends the signal again: that is when it ends here. In a child
    that was forked the signals end the child alone.

    Args:
        hint: What the user should know or do, after "stopped; ".
    """
    import os
    import signal

    stopped: list[int] = []
    owner = os.getpid()

    def leave(status: int = INTERRUPTED) -> NoReturn:
        if os.getpid() == owner:
            _last_words(f"\nstopped; {hint}\n")
            _end_children()
        os._exit(status)  # exit handlers of libraries would wait for a server that is gone

    def stop(number: int, _: object) -> None:
        import logging
        import threading

        if os.getpid() == owner and not stopped:
            last = threading.Timer(EXIT_SECONDS, leave)
            last.daemon = True
            last.start()
        stopped.append(number)
        logging.disable(logging.CRITICAL)
        raise KeyboardInterrupt

    previous = signal.signal(signal.SIGINT, stop), signal.signal(signal.SIGTERM, lambda *_: leave(TERMINATED))
    try:
        yield
    except BaseException as error:
        if not stopped and not isinstance(error, KeyboardInterrupt):
            raise
        leave()
    finally:
        signal.signal(signal.SIGINT, previous[0])
        signal.signal(signal.SIGTERM, previous[1])


def _last_words(text: str) -> None:
    """Write what stands in the buffers and one line more, even where the signal came amid a print."""
    import os
    from contextlib import suppress

    with suppress(RuntimeError, OSError, ValueError):  # "reentrant call": print is at work, and its line is lost
        sys.stdout.flush()
    with suppress(OSError):
        os.write(2, text.encode())


def _end_children() -> None:
    """End what this process started; without ever a traceback, for it may be amid the import of anything."""
    from contextlib import suppress

    with suppress(Exception):
        from tasks.processes import end_descendants

        end_descendants(keep=())
