"""Errors as one line, and how a command ends when it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    pass


USER_ERROR = 2


INTERRUPTED, TERMINATED = 130, 143


EXIT_SECONDS = 8.0  # after Ctrl-C at the latest; pw.x has its own few seconds to end


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
        return _explain_settings(error)
    if kind.__module__.startswith("yaml"):
        return f"not readable as YAML: {' '.join(str(error).split())}"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return f"{error.strerror}: {error.filename}"
    if isinstance(error, OSError) and error.errno in (28, 122):  # no space, over quota
        return f"no space left on the disk ({error.filename or 'while writing'}): free some and run it again"
    return None


def _explain_settings(error: Any) -> str:
    first = error.errors()[0]
    where = ".".join(str(part) for part in first["loc"]) or error.title
    more = f" (and {error.error_count() - 1} more)" if error.error_count() > 1 else ""
    if first["type"] == "extra_forbidden":
        return f"settings: unknown key {where!r}: remove it or correct its spelling{more}"
    return f"settings: {where}: {first['msg']}, got {first['input']!r}{more}"


def fail(message: str) -> NoReturn:
    """Print one line to stderr and leave with the status of a user error."""
    print(f"dao: {' '.join(message.split())}", file=sys.stderr)
    raise SystemExit(USER_ERROR)


@contextmanager
def interruptible(hint: str) -> Iterator[None]:
    """Turn Ctrl-C into one line and status 130, within seconds, whatever the libraries make of it on the way out.

    The terminal sends the signal to Prefect's ephemeral server too, and its client would wait for it for minutes.
    After SIGTERM Prefect tells the server how the run ended and sends the signal again: that is when it ends here.
    """
    import logging
    import os
    import signal
    import threading

    from dao_core.dft.launch.programs import running_programs
    from tasks.processes import end_descendants

    stopped: list[int] = []
    owner = os.getpid()
    scope = ExitStack()
    programs = scope.enter_context(running_programs())

    def leave(status: int = INTERRUPTED) -> NoReturn:
        print(f"\nstopped; {hint}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        if os.getpid() == owner:
            end_descendants(programs, keep=())
        os._exit(status)  # exit handlers of libraries would wait for a server that is gone

    def stop(number: int, _: object) -> None:
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
        scope.close()
