"""Vocabulary of the remedies: a repair is a new input and the action that explains it.

All memory is in `PwInput.history`, so a remedy can be tested without running anything.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, TypeAlias

from dao_core.dft.pw.input import Action, Decision, PwInput, Restart
from dao_core.dft.pw.output import PwOutput

Repair: TypeAlias = tuple[PwInput, Action]
Remedy: TypeAlias = Callable[[PwInput, PwOutput], Repair]


def times(pw_input: PwInput, handler: str) -> int:
    """How often a handler acted before."""
    return sum(a.handler == handler for a in pw_input.history)


def go(
    new: PwInput, handler: str, restart: Restart, *, decision: Decision = "retry", note: str = "", **changes: Any
) -> Repair:
    """A repair that runs again."""
    return new, Action(handler=handler, failure="", decision=decision, restart=restart, changes=changes, note=note)


def stop(pw_input: PwInput, handler: str, note: str, decision: Decision = "give_up") -> Repair:
    """A decision that runs nothing again: accept or give up."""
    return go(pw_input, handler, pw_input.restart, decision=decision, note=note)


def give_up(reason: str, handler: str = "stop") -> Remedy:
    """The remedy of what has none, or none left: stop, with the reason and pw.x's own words."""

    def remedy(pw_input: PwInput, output: PwOutput) -> Repair:
        words = f"{output.routine}: {output.message}" if output.routine else output.message
        return stop(pw_input, handler, f"{reason} {words}".strip())

    return remedy


def at_last_structure(pw_input: PwInput, output: PwOutput) -> PwInput:
    """The input with the last structure that the output shows."""
    return replace(pw_input, crystal=output.crystal) if output.crystal is not None else pw_input
