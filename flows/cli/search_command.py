"""What `dao predict` and `dao screen` share: the conductor run in this process, with tables as the answer grows.

Without an orchestrator: its start-up would be half of the wait.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from flows.cli.candidate_table import candidate_table, energies_line
from flows.cli.console import ProgressBar, progress_bar, quiet_libraries
from flows.cli.errors import fail
from flows.cli.outputs import prepare_folder
from tasks.run_log import RunLog, at_work, record_command

if TYPE_CHECKING:
    from dao_core.screening.candidate import Candidate
    from dao_core.screening.context import SearchContext
    from dao_core.screening.formulas import Formula
    from dao_core.screening.search import SearchOutcome

T = TypeVar("T")
PREVIEW_ROWS = 5
TITLES = {
    "proposed": "known and likely, before any relaxation",
    "relaxed": "by the first energies, before the judge",
    "judged": "so far",
}

SINGULAR = {  # of what is counted
    "proposals": "proposal",
    "starts kept beside their ends": "start kept beside its end",
    "relaxation steps": "relaxation step",
}


@dataclass(frozen=True)
class SearchCommand:
    """What a command asks of the conductor.

    Attributes:
        name: Of the command, for `dao status`.
        settings: Of the search, as `SearchSettings` takes them.
        models: As `ModelNames` takes them.
        references: As `ReferenceSettings` takes them.
        diagnostics: As `DiagnosticsSettings` takes them.
        out: Where the report goes; None prints tables only.
        keep: Whether finished pieces are kept below `out`, so that the same command goes on after a kill.
        top: Rows shown in the end.
        previews: Whether the tables on the way are printed.
    """

    name: str
    settings: dict[str, Any]
    models: dict[str, Any]
    references: dict[str, Any] = field(default_factory=dict)
    diagnostics: dict[str, Any] = field(default_factory=dict)
    out: Path | None = None
    keep: bool = False
    top: int = 10
    previews: bool = True


class CommandRunner:
    """Runs the steps of a search here, shows how far it is and notes each step in the run's log."""

    def __init__(self, run: RunLog, bar: ProgressBar) -> None:
        """Take the log and the bar."""
        self._run, self.bar = run, bar

    def step(self, name: str, work: Callable[..., T], *args: Any) -> T:
        """`work(*args)`."""
        return self.step_each(name, lambda _: work(*args), [None])[0]

    def step_each(self, name: str, work: Callable[..., T], items: Sequence[Any], *args: Any) -> list[T]:
        """`work(item, *args)` for each item, one after the other."""
        out = []
        with self._run.stage(name) as entry:
            for i, item in enumerate(items):
                self.bar(name, i, len(items))
                out.append(work(item, *args))
            entry["counts"] = {"n_asked": len(items), "n_ok": sum(record is not None for record in out)}
        return out


def run_search(formulas: Sequence[Formula], command: SearchCommand, started: float) -> int:
    """Search, print the tables and write the files.

    Args:
        formulas: At least one.
        command: What is asked.
        started: `time.time()` when the user began to wait; the budget counts from when the search begins.

    Returns:
        The exit status: 0, or 1 where no candidate was usable and not for want of time.
    """
    from dao_core.scratch import scratch_folder
    from dao_core.screening.load_models import check_model_names
    from dao_core.screening.settings import ModelNames

    check_model_names(ModelNames(**command.models))  # refused before the folder is made
    if command.out is not None:
        from dao_core.screening.report.publish import check_place

        prepare_folder(command.out)
        if (
            not command.keep and (other := at_work(command.out)) is not None
        ):  # whoever ends last would replace the files
            fail(f"{other['command']} works in {command.out} now: wait until it has ended, or name another --out")
        check_place(_report_folder(command.out, command), [formula.shown for formula in formulas])
    quiet_libraries()
    with (
        progress_bar(formulas[0].shown if len(formulas) == 1 else "screen") as bar,
        scratch_folder() as scratch,
        record_command(command.out, command.name) as run,
    ):
        bar("start", 0, 1)
        root = command.out / "ledger" if command.keep and command.out is not None else scratch
        outcome = _conduct(formulas, command, root, CommandRunner(run, bar))
        page = None if command.out is None else _publish(outcome, _report_folder(command.out, command))
        run.finish(
            "completed", summary={"counts": outcome.report.counts, "report": None if page is None else str(page)}
        )
    _print_answer(outcome, command, page, time.time() - started)
    return 0 if outcome.unrelaxed or any(c.usable for c in outcome.candidates) else 1


def _context(command: SearchCommand, root: Path) -> SearchContext:
    from dao_core.screening.analysis.settings import DiagnosticsSettings
    from dao_core.screening.context import SearchContext
    from dao_core.screening.load_references import ReferenceSettings
    from dao_core.screening.settings import ModelNames, SearchSettings

    return SearchContext(
        root,
        ModelNames(**command.models),
        SearchSettings(**command.settings),
        ReferenceSettings(**command.references),
        DiagnosticsSettings(**command.diagnostics),
        kept=command.keep,
    )


def _conduct(formulas: Sequence[Formula], command: SearchCommand, root: Path, runner: CommandRunner) -> SearchOutcome:
    from dao_core.screening.search import Conductor, title_of

    def show(kind: str, candidates: list[Candidate]) -> None:
        if candidates and command.previews:
            with runner.bar.hidden():
                candidate_table(candidates, limit=PREVIEW_ROWS, title=TITLES[kind])

    context = _context(command, root)  # after the imports: its clock runs from here
    return Conductor(context, runner, show).run(formulas, title_of(formulas))


def _report_folder(out: Path, command: SearchCommand) -> Path:
    """Where the report goes: the folder itself, or `report/` beside the ledger."""
    return out / "report" if command.keep else out


def _publish(outcome: SearchOutcome, folder: Path) -> Path:
    """Put the report in its place; the page's path."""
    from dao_core.screening.report.publish import publish_report

    return publish_report(outcome.report.file("report"), folder)


def _print_answer(outcome: SearchOutcome, command: SearchCommand, page: Path | None, seconds: float) -> None:
    info = outcome.info
    candidate_table(outcome.candidates, limit=command.top)
    print(energies_line(outcome.candidates))
    reasons = "".join(f", {n} {reason}" for reason, n in info.reasons.items())
    work = ", ".join(f"{n} {SINGULAR.get(kind, kind) if n == 1 else kind}" for kind, n in info.work.items())
    parts = (f"{info.n_asked} asked = {info.n_ok} ok + {info.n_failed} failed{reasons}", work, f"{seconds:.0f} s")
    print("; ".join(part for part in parts if part))
    for note in info.notes[:8]:
        print(f"note: {note}")
    if page is not None:
        print(f"CIF files and the page: {page}")
