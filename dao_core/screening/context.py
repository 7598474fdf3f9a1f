"""The run context of a search, and who runs its steps: this process, or the tasks of a flow."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol, TypeVar

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.screening.analysis.settings import DiagnosticsSettings
from dao_core.screening.load_models import SearchModels, models_by_name
from dao_core.screening.load_references import ReferenceSettings
from dao_core.screening.settings import ModelNames, SearchSettings

T = TypeVar("T")
Progress = Callable[[str, int, int], None]  # (step, done, of)


class TimeLimit:
    """Says whether a piece of work has had its time, and remembers that it said so."""

    def __init__(self, seconds: float, clock: Callable[[], float] = time.monotonic) -> None:
        """Start to count the seconds of a clock."""
        self._clock, self._end = clock, clock() + seconds
        self.passed = False

    def __call__(self) -> bool:
        """Whether the time is up."""
        self.passed = self.passed or self._clock() > self._end
        return self.passed


class UnfinishedError(Exception):
    """A stage's work was broken off; `write` fills a folder with what there is of it."""

    def __init__(self, write: Callable[[Path], dict[str, Any]]) -> None:
        """Take what writes the unfinished stage."""
        super().__init__("broken off")
        self.write = write


@dataclass(frozen=True)
class SearchContext:
    """Everything that the steps of one search share; small enough to travel to workers where models are names.

    Attributes:
        root: Folder of the ledger.
        models: By name, or loaded (in this process only).
        settings: What is searched.
        references: What candidates are compared with.
        diagnostics: What is asked of the best ones.
        kept: Whether the ledger outlives the search, so that finished work is found again.
        started: `time.time()` when the search began; its budget counts from there, without the time for loading models.
    """

    root: Path
    models: ModelNames | SearchModels
    settings: SearchSettings = field(default_factory=SearchSettings)
    references: ReferenceSettings = field(default_factory=ReferenceSettings)
    diagnostics: DiagnosticsSettings = field(default_factory=DiagnosticsSettings)
    kept: bool = True
    started: float = field(default_factory=time.time)

    @property
    def ledger(self) -> Ledger:
        """Where finished steps are."""
        return Ledger(self.root)

    @property
    def loaded(self) -> SearchModels:
        """The models, loaded once a process and each when it is first asked for."""
        return models_by_name(self.models) if isinstance(self.models, ModelNames) else self.models

    def late(self, share: float = 1.0) -> bool:
        """Whether this share of the time budget is spent.

        What this process spent with loading models doesn't count: on a busy machine that alone takes longer than a
        small budget.
        """
        budget = self.settings.budget_seconds
        if budget is None:
            return False
        return time.time() - self.loaded.seconds_loading(self.started) > self.started + share * budget

    def limit(self, times: float = 1.0) -> TimeLimit | None:
        """When a relaxation that begins now is broken off: after some times the whole budget; None without one."""
        budget = self.settings.budget_seconds
        return None if budget is None else TimeLimit(times * budget)


class StageRunner(Protocol):
    """Runs the steps of a search and keeps account of them."""

    def step(self, name: str, work: Callable[..., T], *args: Any) -> T:
        """Do one piece of work.

        Args:
            name: Of the step.
            work: What is done.
            *args: What it gets.

        Returns:
            `work(*args)`.
        """
        ...

    def step_each(self, name: str, work: Callable[..., T], items: Sequence[Any], *args: Any) -> list[T]:
        """Do a piece of work for each item, perhaps side by side.

        Args:
            name: Of the step.
            work: What is done.
            items: Its first argument, one a call.
            *args: The arguments that follow.

        Returns:
            `work(item, *args)` in the order of the items.
        """
        ...


class InProcess:
    """Runs every step here, one after the other."""

    def __init__(self, on_progress: Progress | None = None) -> None:
        """Take who wants to know how far it is."""
        self._on_progress = on_progress or (lambda _step, _done, _of: None)

    def step(self, name: str, work: Callable[..., T], *args: Any) -> T:
        """`work(*args)`."""
        self._on_progress(name, 0, 1)
        return work(*args)

    def step_each(self, name: str, work: Callable[..., T], items: Sequence[Any], *args: Any) -> list[T]:
        """`work(item, *args)` for each item, in the order of the items."""
        out = []
        for i, item in enumerate(items):
            self._on_progress(name, i, len(items))
            out.append(work(item, *args))
        self._on_progress(name, len(items), len(items))
        return out


@dataclass(frozen=True)
class Stage:
    """A stage to run: its name, the functions that make it, and the values that it depends on."""

    name: str
    makers: tuple[Callable[..., Any], ...]
    parts: Callable[[], Mapping[str, Any]]

    def run(self, context: SearchContext, work: Callable[[Path], dict[str, Any]]) -> StageRecord:
        """The finished stage, or do its work once.

        Args:
            context: Of the search; its ledger keeps the stage.
            work: Called with an empty directory to fill.

        Returns:
            The record; the seconds that it took are among its facts, and `unfinished` where its work was broken off.
        """
        begins: list[float] = []

        def timed(directory: Path, fill: Callable[[Path], dict[str, Any]] = work) -> dict[str, Any]:
            begins.append(time.monotonic())
            done = fill(directory)
            return {**done, "facts": {**done.get("facts", {}), "seconds": time.monotonic() - begins[0]}}

        try:
            return context.ledger.run(self.name, self._key(context), timed)
        except UnfinishedError as error:
            write = error.write
        # for this search alone: under the stage's own key a later one, with more time, would take it for finished
        return context.ledger.run(self.name, _any_key(), lambda directory: timed(directory, write))

    def found(self, context: SearchContext) -> StageRecord | None:
        """What an earlier search in the same folder finished of it, which costs no time; None where nothing is kept."""
        if not (context.kept and (context.ledger.root / self.name).is_dir()):  # else no model is loaded for a key
            return None
        return context.ledger.find(self.name, self._key(context))

    def _key(self, context: SearchContext) -> str:
        if not context.kept:  # nobody will look for it again: no key has to be made
            return _any_key()
        from dao_core.code_version import code_version

        return content_key(code=code_version(*self.makers), **self.parts())


def _any_key() -> str:
    return uuid.uuid4().hex[:20]
