"""What the terminal shows: one console, tables, progress bars, and errors as one line."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NoReturn

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate
    from dao_core.screening.search import Progress

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

    from tasks.processes import end_descendants

    stopped: list[int] = []
    owner = os.getpid()

    def leave(status: int = INTERRUPTED) -> NoReturn:
        print(f"\nstopped; {hint}", file=sys.stderr, flush=True)
        sys.stdout.flush()
        if os.getpid() == owner:
            end_descendants(keep=())
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


@contextmanager
def progress_bar(title: str) -> Iterator[Progress]:
    """A rich progress bar on stderr that disappears when done; silent where stderr is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn(),
               TimeRemainingColumn())  # fmt: skip
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)

        def update(step: str, done: int, of: int) -> None:
            bar.update(task, description=f"{title}: {step}", completed=done, total=of)

        yield update


@contextmanager
def live_progress() -> Iterator[None]:
    """A bar for every stage under way, with rate and time left; log lines scroll above. Nothing without a terminal."""
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    from tasks.progress import Progress as Stage
    from tasks.progress import listeners

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f} %"),
               TextColumn("{task.fields[note]}"), TimeElapsedColumn())  # fmt: skip
    shown: dict[str, Any] = {}
    with Progress(*columns, console=console, transient=True) as bar, _logs_above(bar.console):

        def listen(stage: Stage) -> None:
            if stage.ended:
                if stage.stage in shown:
                    bar.remove_task(shown.pop(stage.stage))
                return
            if stage.stage not in shown:
                shown[stage.stage] = bar.add_task(stage.stage, total=stage.total, note="")
            bar.update(shown[stage.stage], completed=stage.done, note=stage.sentence(), refresh=True)

        listeners.append(listen)
        try:
            yield
        finally:
            listeners.remove(listen)


@contextmanager
def _logs_above(console: Any) -> Iterator[None]:
    """Let Prefect's console handlers print through the console of the bar, which else would be torn."""
    import logging

    names = ["", *logging.root.manager.loggerDict]
    found = {h for name in names for h in logging.getLogger(name).handlers if hasattr(h, "console")}
    kept = {handler: handler.console for handler in found}
    for handler in found:
        handler.console = console
    try:
        yield
    finally:
        for handler, own in kept.items():
            handler.console = own  # type: ignore[attr-defined]


def table(title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table without the columns that hold nothing; full width where stdout is no terminal."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    view = Table(title=title, title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    filled = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    for i in filled:
        view.add_column(columns[i], no_wrap=i < len(columns) - 1)
    for row in rows:
        view.add_row(*("-" if row[i] is None else str(row[i]) for i in filled))
    console = Console()
    (console if console.is_terminal else Console(width=200)).print(view)


def quiet_libraries() -> None:
    """Silence warnings and advertisements of libraries about their own insides; ours stay."""
    import logging
    import warnings

    for module in ("pymatgen", "chgnet", "torch", "spglib", "ase", "pytorch_lightning", "lightning", "smact"):
        warnings.filterwarnings("ignore", module=module)
    warnings.filterwarnings("ignore", message="No Pauling electronegativity")  # pymatgen's, in functools' name
    chatty = ("utilities.rank_zero", "trainer.connectors.checkpoint_connector", "trainer.connectors.signal_connector")
    for logger in (f"pytorch_lightning.{name}" for name in chatty):
        logging.getLogger(logger).setLevel(logging.WARNING)
    logging.getLogger("moyo").setLevel(logging.ERROR)  # tells of every cell that is not primitive
    # what is left is for the user, to whom a line of our source says nothing
    warnings.formatwarning = lambda message, *_, **__: f"warning: {message}\n"  # type: ignore[assignment]


def candidate_table(candidates: Sequence[Candidate], *, limit: int) -> None:
    """The best candidates as a table, energies relative to the best polymorph of each formula."""
    from dao_core.screening.ranking import ground_states, relative_energy
    from dao_core.screening.symmetry import spacegroup_symbol

    best = ground_states(candidates)
    rows = []
    for i, c in enumerate(candidates[:limit], start=1):
        number = c.spacegroup_after or c.spacegroup_before
        above = relative_energy(c, best)
        rows.append(
            (
                i,
                c.formula,
                c.z,
                f"{spacegroup_symbol(number)} ({number})" if number else None,
                None if c.confidence is None else f"{100 * c.confidence:.0f} %",
                _decimals(c.energy_per_atom, 4),
                _decimals(above, 4),
                _decimals(c.e_above_hull, 3),
                c.relaxation_status,
                c.origin,
                c.n_merged,
                c.novelty,
            )
        )
    names = ("rank", "formula", "Z", "space group", "trust", "eV/atom", "above lowest", "above hull", "relaxation",
             "origin", "found", "known?")  # fmt: skip
    table(f"{min(limit, len(candidates))} of {len(candidates)} distinct structures", names, rows)


def _decimals(value: float | None, digits: int) -> str | None:
    return None if value is None else f"{value:.{digits}f}"
