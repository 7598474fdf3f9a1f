"""The log of a run: what each stage did, in files that any process can read while the run goes on.

`run.json` is the state (replaced whole at each change), `events.jsonl` the structured log. Of two runs that work in one
folder at once the second has a state of its own, such as `run-0a1b2c.json`. The run log informs; whether a stage is
done is decided by the ledger alone.
"""

from __future__ import annotations

import json
import os
import platform
import shlex
import sys
import threading
import time
import uuid
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from dao_core.artifacts import locked, refuse_foreign, write_atomic
from tasks.error_line import in_one_line
from tasks.events import now, write_event
from tasks.metrics import costs, prometheus_text
from tasks.processes import process_start
from tasks.run_files import HEARTBEAT, METRICS, STATE, STATES_BESIDE, beside_of, run_file, state_files

if TYPE_CHECKING:
    from tasks.config import Workers

T = TypeVar("T")
BEAT_SECONDS = 20.0
SILENT_SECONDS = 180.0  # a run on another machine without a sign of life for so long counts as gone


class RunNotFoundError(FileNotFoundError):
    """No run with this id; the message lists the ones there are."""


class RunLog:
    """Writes the log of one run into its folder; a later attempt of the same run continues it."""

    def __init__(
        self,
        root: str | Path,
        *,
        name: str,
        command: str,
        flow_run_id: str | None = None,
        workers: Workers | None = None,
    ) -> None:
        """Begin an attempt.

        Args:
            root: Folder of the run, made where it is missing.
            name: Name of the run; its id is this and six hexadecimal digits.
            command: What a user types to continue the run.
            flow_run_id: Id of Prefect's flow run, where there is one.
            workers: Where the tasks of `step_each` run; threads of this process unless told otherwise.

        Raises:
            OSError: The folder cannot be made or written.
            ForeignFileError: It holds a `run.json` that is not the state of a run.
        """
        self.root = Path(root).absolute()
        self.root.mkdir(parents=True, exist_ok=True)
        refuse_foreign(self.root, [STATE], [] if read_state(self.root) is None else [STATE])
        self.workers = workers
        self._pool: Any = None
        with locked(self.root):  # one run at a time looks which files are free, and takes them
            before = read_state(self.root) or {}
            alone = before.get("status") != "running" or _is_own(before)
            begun = _begun(name, command, before if alone else {})
            self.state: dict[str, Any] = {**begun, "flow_run_id": flow_run_id, "stages": {}}
            self._beside = "" if alone else self.run_id.rpartition("-")[2]
            self._begin()
        _forget_ended(self.root, command)

    def _begin(self) -> None:
        run_file(self.root, HEARTBEAT, self._beside).touch()
        self._save()
        self.event("run started", attempt=self.state["attempts"])

    @property
    def run_id(self) -> str:
        """Id of the run, the same in every attempt."""
        return str(self.state["id"])

    @contextmanager
    def stage(self, name: str) -> Iterator[dict[str, Any]]:
        """Record a stage's time and outcome; put counts and facts into the yielded dictionary."""
        entry: dict[str, Any] = {"status": "running", "started": now()}
        self.state["stages"][name] = entry
        self._save()
        self.event("stage started", stage=name)
        begin = time.monotonic()
        try:
            yield entry
        except BaseException as error:
            status = "failed" if isinstance(error, Exception | SystemExit) else "interrupted"
            entry |= {"status": status, "error": _reason(error)}
            raise
        else:
            entry["status"] = "done"
        finally:
            entry["seconds"] = round(time.monotonic() - begin, 2)
            self._save()
            self.event(f"stage {entry['status']}", stage=name, **{k: v for k, v in entry.items() if k != "status"})

    @contextmanager
    def watch(self) -> Iterator[RunLog]:
        """Close the run as failed when its body raises; `finish` closes it otherwise. Ends the workers in any case.

        Ctrl-C and a worker's SIGTERM leave it open (`interrupted`, to be continued) and end every process it started.
        """
        from dao_core.dft.launch.programs import running_programs
        from tasks.processes import end_descendants

        stop = threading.Event()
        threading.Thread(target=self._beat, args=(stop,), daemon=True).start()
        scope = ExitStack()
        programs = scope.enter_context(running_programs())
        try:
            yield self
        except Exception as error:
            self.finish("failed", error=_reason(error))
            raise
        except BaseException:
            self.event("run interrupted")
            end_descendants(programs)
            raise
        finally:
            stop.set()
            scope.close()
            if self._pool is not None:
                self._pool.close()

    def _beat(self, stop: threading.Event) -> None:
        while not stop.wait(BEAT_SECONDS):
            run_file(self.root, HEARTBEAT, self._beside).touch()

    def step(self, name: str, work: Callable[..., T], *args: Any, **options: Any) -> T:
        """Run one task as a stage of this run.

        Args:
            name: Of the stage.
            work: The task.
            *args: What it gets.
            **options: Of the task by name.

        Returns:
            What the task returns.
        """
        with self.stage(name) as entry:
            out = work(*args, **options)
            entry.update(_facts([out]))
        return out

    def step_each(self, name: str, work: Any, items: Sequence[Any], *args: Any) -> list[Any]:
        """Run a task for each item on the run's workers and wait for all of them.

        One that fails doesn't stop the others; the first error is raised when all have ended.

        Args:
            name: Of the stage.
            work: The task.
            items: Its first argument, one a call.
            *args: The arguments that follow.

        Returns:
            What the task returns for each item, in order.
        """
        from tasks.progress import progress
        from tasks.workers import FanOut, RunStage, WorkerPool

        if self._pool is None:
            self._pool = WorkerPool(self.workers)
        fan_out = FanOut(work, items, args, RunStage(str(self.root), self.run_id, name))
        with self.stage(name) as entry, progress(self.root, name, len(items)) as shown:
            shown.update(0)
            entry["shards"] = len(items)
            out: list[Any] = self._pool.each(fan_out, on_done=lambda done, _: shown.update(done))
            entry.update(_facts([r for item in out for r in (item if isinstance(item, list) else [item])]))
        return out

    def finish(self, status: str, *, error: str | None = None, summary: Mapping[str, Any] | None = None) -> None:
        """Close the run as completed or failed."""
        total = {**(summary or {}), "costs": costs(self.state)}
        self.state |= {"status": status, "finished": now(), "error": error, "summary": total}
        self._save()
        self.event(f"run {status}", error=error)

    def event(self, message: str, **facts: Any) -> None:
        """Append one line to the structured log."""
        write_event(self.root, self.run_id, message, **facts)

    def _save(self) -> None:
        write_atomic(run_file(self.root, STATE, self._beside), json.dumps(self.state, indent=1, default=str))
        write_atomic(run_file(self.root, METRICS, self._beside), prometheus_text(self.state))


class LightRunLog(RunLog):
    """The log of a command that no flow conducts: `run.json` and nothing else; without a folder nothing is written."""

    def __init__(self, root: str | Path | None, *, name: str, command: str) -> None:
        """Begin an attempt in the folder of the command's output, or in none."""
        self._written = root is not None
        before = None if root is None else read_state(Path(root))
        # every screening has the same name: only the command tells one from another
        other = before is not None and (before["name"], before["command"]) != (name, command)
        self._other = before if before is not None and other and before["status"] == "completed" else None
        if root is None:
            self.root, self.workers, self._pool, self._beside = Path(), None, None, ""
            self.state = {**_begun(name, command, {}), "flow_run_id": None, "stages": {}}
        else:
            super().__init__(root, name=name, command=command)

    def _begin(self) -> None:
        with suppress(OSError):  # its folder was removed: then nobody can go there
            self.state["typed_in"] = str(Path.cwd())
        self._save()

    def fail(self, error: BaseException) -> None:
        """Note why the attempt failed; a folder that holds the finished answer to another question keeps that state."""
        self.finish("failed", error=_reason(error))
        if self._other is not None:
            failed = {key: self.state[key] for key in ("name", "command", "started", "finished", "error")}
            self.state = {**self._other, "failed_since": failed}
            self._save()

    def _save(self) -> None:
        if self._written:
            write_atomic(run_file(self.root, STATE, self._beside), json.dumps(self.state, indent=1, default=str))

    def event(self, message: str, **facts: Any) -> None:
        """Stages stand in `run.json`; there is no log of events beside it."""


@contextmanager
def record_command(root: str | Path | None, name: str) -> Iterator[RunLog]:
    """Record one run of a command in its output folder, so that `dao status` lists it and says how to repeat it.

    The run is `completed` when the body ends, `failed` with the reason when it raises, and counts as `interrupted` when
    the process ends before that. A failure in a folder that holds the finished run of another command is noted there
    under `failed_since`: the files are still that run's. `stage` and `finish` of the yielded log may say more.

    Args:
        root: The folder of the command's output; None where it writes none, and then nothing is recorded.
        name: What the run is called, such as "predict-SrTiO3".

    Yields:
        The log.

    Raises:
        OSError: The folder cannot be made or written: the command stops before its work, not after.
        ForeignFileError: It holds a `run.json` that is not the state of a run.
    """
    run = LightRunLog(root, name=name, command=shlex.join(["dao", *sys.argv[1:]]))
    try:
        yield run
    except (Exception, SystemExit) as error:  # SystemExit: the user's mistake, told in one line
        run.fail(error)
        raise
    if run.state["status"] == "running":
        run.finish("completed")


def _begun(name: str, command: str, earlier: Mapping[str, Any]) -> dict[str, Any]:
    """The state of an attempt at its beginning; it goes on with the id of an earlier one."""
    return {
        "id": earlier.get("id") or f"{name}-{uuid.uuid4().hex[:6]}",
        "name": name,
        "command": command,
        "attempts": int(earlier.get("attempts", 0)) + 1,
        "status": "running",
        "host": platform.node(),
        "pid": os.getpid(),
        "pid_started": process_start(os.getpid()),
        "started": now(),
    }


def _reason(error: BaseException) -> str:
    """Why an attempt failed, as the terminal says it: a library's own text may repeat what settings hold."""
    return (in_one_line(error) or f"{type(error).__name__}: {error}")[:500]


def _facts(results: Sequence[Any]) -> dict[str, Any]:
    """Key, path and summed counts of what a stage returned, as far as it says."""
    counts: Counter[str] = Counter()
    for result in results:
        counts.update(getattr(result, "counts", {}))
    facts: dict[str, Any] = {"counts": dict(counts)} if counts else {}
    if len(results) == 1 and hasattr(results[0], "key"):
        facts |= {"key": results[0].key, "path": results[0].path}
    return facts


def read_state(root: Path, beside: str = "") -> dict[str, Any] | None:
    """The state of the run in `root`, or None where there is none. A run whose process is gone is `interrupted`.

    Args:
        root: Folder of the run.
        beside: Last digits of the id of a run that began there while another one worked.
    """
    try:
        state: Any = json.loads(run_file(root, STATE, beside).read_text())
    except (OSError, ValueError):
        return None
    if not _is_state(state):
        return None  # somebody else's file of that name
    if state.get("status") == "running" and not _lives(run_file(root, HEARTBEAT, beside), state):
        state["status"] = "interrupted"
    return state


def _is_state(state: Any) -> bool:
    """Whether the content of a `run.json` has what every state of a run has."""
    if not isinstance(state, dict) or not {"id", "name", "status", "command"} <= set(state):
        return False
    stages = state.get("stages", {})
    return isinstance(stages, dict) and all(isinstance(entry, dict) for entry in stages.values())


def _lives(heartbeat: Path, state: Mapping[str, Any]) -> bool:
    """Whether the run's process is there; on another machine, whether it has given a sign of life lately."""
    if state.get("host", platform.node()) == platform.node():
        pid = state.get("pid")
        return isinstance(pid, int) and process_start(pid) == state.get("pid_started")
    try:
        return time.time() - heartbeat.stat().st_mtime < SILENT_SECONDS
    except OSError:
        return False


def _is_own(state: Mapping[str, Any]) -> bool:
    """Whether a state is of an earlier attempt in this process."""
    return (state.get("host"), state.get("pid")) == (platform.node(), os.getpid())


def at_work(root: Path) -> dict[str, Any] | None:
    """The state of a run of another process that works in a folder now; None where none does."""
    states = [read_state(root, beside_of(path)) for path in (root / STATE, *sorted(root.glob(STATES_BESIDE)))]
    return next((s for s in states if s is not None and s["status"] == "running" and not _is_own(s)), None)


def _forget_ended(root: Path, command: str) -> None:
    """Remove what ended runs of a command that began beside others left: this attempt goes on where they were."""
    for path in root.glob(STATES_BESIDE):
        state = read_state(root, beside := beside_of(path))
        if state is not None and state["status"] != "running" and state["command"] == command:
            for name in (STATE, METRICS, HEARTBEAT):
                run_file(root, name, beside).unlink(missing_ok=True)


def find_runs(root: str | Path | None = None) -> list[tuple[Path, dict[str, Any]]]:
    """All runs one or two folders below `root`, newest first; without one those below `runs/` and this folder."""
    found = [(path.parent, read_state(path.parent, beside_of(path))) for path in state_files(root)]
    runs = [(folder, state) for folder, state in found if state is not None]
    return sorted(runs, key=lambda run: str(run[1].get("started")), reverse=True)


def find_run(root: str | Path | None, run_id: str) -> tuple[Path, dict[str, Any]]:
    """Find a run.

    Args:
        root: Folder that holds the runs; None: runs/ and this folder.
        run_id: Its id or name, or an unambiguous beginning.

    Returns:
        (folder, what its log says).

    Raises:
        RunNotFoundError: None or several are found.
    """
    runs = find_runs(root)
    hits = [r for r in runs if r[1]["id"] == run_id] or [r for r in runs if str(r[1]["id"]).startswith(run_id)]
    if len(hits) == 1:
        return hits[0]
    known = ", ".join(str(state["id"]) for _, state in runs) or "none"
    where = "runs/ and this folder" if root is None else root
    raise RunNotFoundError(f"{'no' if not hits else 'more than one'} run {run_id!r} below {where} (there: {known})")
