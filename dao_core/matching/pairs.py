"""Many pairs of structures compared for a benchmark: reductions kept, processes, a time limit for each pair."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from functools import lru_cache, partial
from multiprocessing import get_context

from dao_core.artifacts import content_key
from dao_core.crystal import Crystal
from dao_core.matching.alignment import Cell, TimeLimitError
from dao_core.matching.rms import Comparison, compare, reduce_crystal

FAILED = ("timeout", "failed")  # reasons that mean "not measured", as against "measured, no match"
CHUNK = 64  # pairs handed to a process at a time
GRACE_S = 5.0  # a search that looks at the clock itself ends by then, and its process goes on
Pair = tuple[Crystal | None, Crystal]
CompareChunk = Callable[[Sequence[Pair]], list[Comparison]]


@dataclass(frozen=True)
class MatchEffort:
    """How comparisons are run.

    More than one of `processes` starts new interpreters, so a script needs the usual `if __name__ == "__main__"`.
    `timeout_s` are seconds for one pair: a search looks at the clock itself, a process that doesn't answer is killed.
    """

    processes: int = 1
    timeout_s: float = 30.0


ONE_PROCESS = MatchEffort()


def match_pairs(
    *, predicted: Sequence[Crystal | None], reference: Sequence[Crystal], effort: MatchEffort = ONE_PROCESS
) -> tuple[list[Comparison], int, int, dict[str, int]]:
    """Compare predicted[i] with reference[i]: values of pymatgen's `get_rms_dist(predicted, reference)`, faster.

    Equal pairs are compared once. Keep pairs of one reference together: its reduction is then computed once.

    Args:
        predicted: One structure for each reference; None is measured as `none`.
        reference: What they are compared with.
        effort: Processes and time limit.

    Returns:
        (comparisons, n_ok, n_failed, reasons). Pairs over the limit and pairs whose process died are failed, with
        reason `timeout` or `failed`.
    """
    if len(predicted) != len(reference):
        raise ValueError(f"{len(predicted)} predictions for {len(reference)} references: give one for each")
    keys = [_pair_key(p, r) for p, r in zip(predicted, reference, strict=True)]
    first = {key: i for i, key in reversed(list(enumerate(keys)))}
    todo = sorted(first.values())
    pairs = [(predicted[i], reference[i]) for i in todo]
    chunk = partial(compare_chunk, timeout_s=effort.timeout_s)
    results = chunk(pairs) if effort.processes <= 1 else in_processes(chunk, pairs, effort)
    done = {keys[i]: result for i, result in zip(todo, results, strict=True)}
    comparisons = [done[key] for key in keys]
    reasons = Counter(c.reason for c in comparisons)
    n_failed = sum(reasons[r] for r in FAILED)
    return comparisons, len(comparisons) - n_failed, n_failed, dict(reasons)


def in_processes(chunk: CompareChunk, pairs: Sequence[Pair], effort: MatchEffort) -> list[Comparison]:
    """Compare pairs in new interpreters, many at a time; where those fail together, each alone.

    Args:
        chunk: Compares some pairs; a function that other processes can import.
        pairs: What to compare.
        effort: Processes and time limit of one pair. It is also the limit of a chunk, which usually takes a fraction
            of a second: a chunk that is slower, or kills its process, is repeated pair by pair, so that only the
            guilty ones fail.

    Returns:
        A comparison for each pair, in order.
    """
    from pebble import ProcessPool

    out: list[Comparison | None] = [None] * len(pairs)
    pieces = [range(i, min(i + CHUNK, len(pairs))) for i in range(0, len(pairs), CHUNK)]
    context = get_context("spawn")  # a fork of a process that runs torch threads can hang
    with ProcessPool(max_workers=effort.processes, context=context, initializer=_imported) as pool:

        def schedule(piece: Sequence[int]) -> Future[list[Comparison]]:
            limit = effort.timeout_s + GRACE_S
            return pool.schedule(chunk, args=([pairs[i] for i in piece],), timeout=limit)  # type: ignore[no-any-return]

        whole = [(piece, schedule(piece)) for piece in pieces]
        for piece, future in whole:
            if _failure(future) is None:
                out[piece.start : piece.stop] = future.result()
        single = [([i], schedule([i])) for i, c in enumerate(out) if c is None]
        for (i,), future in single:
            reason = _failure(future)
            out[i] = future.result()[0] if reason is None else Comparison(None, None, reason)
    return [c for c in out if c is not None]


def _imported() -> None:
    """Import what a comparison needs before the first limit begins to run."""
    from pymatgen.core import Lattice  # noqa: F401
    from pymatgen.util import coord_cython  # noqa: F401


def _failure(future: Future[list[Comparison]]) -> str | None:
    """Why a chunk has no result, once it has ended."""
    from pebble import ProcessExpired

    error = future.exception()
    if isinstance(error, TimeoutError):
        return "timeout"
    if isinstance(error, ProcessExpired):  # killed from outside: memory, a signal
        return "failed"
    if error is not None:
        raise error
    return None


def compare_chunk(pairs: Sequence[Pair], timeout_s: float) -> list[Comparison]:
    """Compare some pairs in this process.

    Args:
        pairs: (predicted or None, reference).
        timeout_s: Limit of each pair in seconds.

    Returns:
        A comparison for each pair; `timeout` where the limit ended it.
    """
    return [_compare_one(predicted, reference, timeout_s) for predicted, reference in pairs]


def _compare_one(predicted: Crystal | None, reference: Crystal, timeout_s: float) -> Comparison:
    if predicted is None:
        return Comparison(None, None, "none")
    deadline = time.monotonic() + timeout_s
    try:
        return compare(_reduced(_Key(predicted)), _reduced(_Key(reference)), deadline)
    except TimeLimitError:
        return Comparison(None, None, "timeout")
    except (ValueError, ArithmeticError, IndexError, RuntimeError):  # what degenerate cells raise in the reductions
        return Comparison(None, None, "failed")


class _Key:
    """A crystal that hashes by content, for the cache of reductions."""

    def __init__(self, crystal: Crystal) -> None:
        self.crystal = crystal
        self.key = _crystal_key(crystal)

    def __hash__(self) -> int:
        return hash(self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Key) and self.key == other.key


@lru_cache(maxsize=4096)
def _reduced(key: _Key) -> Cell:
    return reduce_crystal(key.crystal)


def _crystal_key(crystal: Crystal) -> bytes:
    return crystal.lattice.tobytes() + crystal.frac_coords.tobytes() + crystal.atomic_numbers.tobytes()


def _pair_key(predicted: Crystal | None, reference: Crystal) -> str:
    first = b"" if predicted is None else _crystal_key(predicted)
    return content_key(first=first.hex(), second=_crystal_key(reference).hex())
