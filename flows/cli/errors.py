"""How a command ends: with one line and a status after a mistake, within seconds when it is interrupted."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import NoReturn

USER_ERROR = 2
INTERRUPTED, TERMINATED = 130, 143
EXIT_SECONDS = 8.0  # after Ctrl-C at the latest; pw.x has its own few seconds to end


def require(*packages: str) -> None:
    """Stop before a command begins to work for minutes if a package is missing that its end needs.

    Args:
        packages: As they are imported.

    Raises:
        ModuleNotFoundError: One is not installed; `tasks.error_line.explain` names the extra that brings it.
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
    stop.add_note(line)  # read by `tasks.error_line.in_one_line`
    raise stop


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
            _remove_scratch()
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


def _remove_scratch() -> None:
    """Remove the temporary folders that no `with` block of this process will remove any more."""
    from contextlib import suppress

    with suppress(Exception):  # as above
        from dao_core.scratch import remove_scratch

        remove_scratch()
