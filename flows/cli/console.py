"""What the terminal shows: one console, tables, progress bars, and errors as one line."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any


class ProgressBar:
    """How far a command is, on one line of stderr that disappears when it is done."""

    def __init__(self, bar: Any, title: str) -> None:
        """Take rich's progress and what is done."""
        self._bar, self._title = bar, title
        self._task = bar.add_task(title, total=None)

    def __call__(self, step: str, done: int, of: int) -> None:
        """Show a step and how much of it is done."""
        self._bar.update(self._task, description=f"{self._title}: {step}", completed=done, total=of)

    @contextmanager
    def hidden(self) -> Iterator[None]:
        """Make room for something that is printed."""
        self._bar.stop()
        try:
            yield
        finally:
            self._bar.start()


@contextmanager
def progress_bar(title: str) -> Iterator[ProgressBar]:
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
        yield ProgressBar(bar, title)


@contextmanager
def working(title: str) -> Iterator[None]:
    """A line on stderr that says from the first moment that a command is at work, and for how long.

    Nothing where stderr is no terminal. What the command prints goes where it would go without it.

    Args:
        title: What is done, such as "relax".
    """
    import sys

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    console = Console(stderr=True)
    if not console.is_terminal:
        yield
        return
    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    # through the line's console only what would be seen beside it
    with Progress(*columns, console=console, transient=True, redirect_stdout=sys.stdout.isatty()) as line:
        line.add_task(title, total=None)
        yield


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


NARROW = 60  # columns of a terminal below which a table that does not fit is printed line by line
_tables: list[dict[str, Any]] | None = None  # of a command with --json, which prints them at its end


@contextmanager
def json_output(arguments: list[str]) -> Iterator[None]:
    """With `--json` among the arguments (it is taken out), print the tables of the command as JSON and nothing else.

    What the command says beside its tables goes to stderr. The form is {"tables": [{"title", "rows"}]}, in the order in
    which they would be printed; numbers are not rounded where the command has them. A command that ends with an error
    adds {"error": its line}.
    """
    global _tables
    if "--json" not in arguments:
        yield
        return
    import json
    import sys
    from contextlib import redirect_stdout

    arguments.remove("--json")
    _tables, out = [], sys.stdout
    failed: dict[str, str] = {}
    try:
        with redirect_stdout(sys.stderr):
            yield
    except BaseException as error:
        from tasks.error_line import in_one_line

        if (line := in_one_line(error)) is not None:
            failed = {"error": line}
        raise
    finally:
        from dao_core.artifacts import plain

        print(json.dumps({"tables": plain(_tables), **failed}, indent=1, ensure_ascii=False), file=out)
        _tables = None


def table(
    title: str, columns: Sequence[str], rows: Sequence[Sequence[object]], *,
    values: Sequence[Mapping[str, object]] | None = None, spare: Sequence[str] = (),
) -> None:  # fmt: skip
    """Print a table without the columns that hold nothing; full width where stdout is no terminal.

    Args:
        title: Above the table.
        columns: Their names.
        rows: Cells as they are shown; None is a dash.
        values: The same for `--json`, if the cells are rounded or joined for people.
        spare: Columns that a terminal too narrow for all goes without, the first one first.
    """
    if _tables is not None:
        plain_rows = values if values is not None else [dict(zip(columns, row, strict=True)) for row in rows]
        _tables.append({"title": title, "rows": list(plain_rows)})
        return
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    if not console.is_terminal:
        console = Console(width=200)
    cells = [["-" if cell is None else printable(str(cell)) for cell in row] for row in rows]
    filled = [i for i in range(len(columns)) if any(row[i] is not None for row in rows)]
    shown, left_out = list(filled), []
    for name in spare if console.is_terminal and console.width >= NARROW else ():
        if columns.index(name) in shown and _width(columns, cells, shown) > console.width:
            shown.remove(columns.index(name))
            left_out.append(name)
    least = _width(columns, cells, shown, wrapped=shown)
    if least > console.width and (least > 2 * console.width or console.width < NARROW):
        _print_records(console, title, [columns[i] for i in filled], [[row[i] for i in filled] for row in rows])
        return
    whole = _width(columns, cells, shown) <= console.width
    view = Table(title=Text(printable(title)), title_justify="left", header_style="bold", box=box.SIMPLE_HEAD)
    for i in shown:  # a cell on two lines rather than cut
        view.add_column(Text(columns[i]), no_wrap=whole and i != shown[-1], overflow="fold")
    for row in cells:
        view.add_row(*(Text(row[i]) for i in shown))
    console.print(view)
    if left_out:
        print(f"a wider terminal also shows: {', '.join(left_out)}")


def _width(
    columns: Sequence[str], cells: Sequence[Sequence[str]], shown: Sequence[int], *, wrapped: Sequence[int] = ()
) -> int:
    """How wide a table has to be in which only the last column and those that may be wrapped go on between words."""
    from rich.cells import cell_len

    total = 3 * len(shown) + 1  # what stands between the columns
    for i in shown:
        texts = [columns[i], *(row[i] for row in cells)]
        parts = [word for text in texts for word in text.split()] if i in (*wrapped, shown[-1]) else texts
        total += max(map(cell_len, parts), default=0)
    return total


def _print_records(console: Any, title: str, columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """Print a table that is wider than the terminal as one block of lines a row, so that nothing is cut."""
    from rich.text import Text

    console.print(Text(printable(title)))
    for row in rows:
        known = [(name, value) for name, value in zip(columns, row, strict=True) if value is not None]
        for i, (name, value) in enumerate(known):
            line = Text("\n" if i == 0 else "  ")
            line.append(f"{printable(name)}: ", style="bold" if i == 0 else "")
            console.print(line.append(printable(str(value))))
    console.print()


def printable(text: str) -> str:
    """A text without what a terminal would obey: control characters are spelled out."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


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
