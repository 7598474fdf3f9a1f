"""`PwResult`, what one calculation gave, and its JSON form."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from dao_core.artifacts import StageRecord
from dao_core.crystal import Crystal
from dao_core.dft.pw.input import Action
from dao_core.elements import atomic_number

RESULT = "result.json"
Status = Literal["done", "accepted", "failed", "blocked"]


@dataclass(frozen=True)
class PwResult:
    """What came out.

    `status`: done, accepted (with a warning in `message`), failed (for good), blocked (run it again later).
    Units: energy eV (total), forces eV/angstrom, stress eV/angstrom^3 (tension positive). `directory` holds all files.
    """

    key: str
    status: Status
    failure: str
    message: str
    directory: str
    crystal: Crystal | None = None
    energy: float | None = None
    forces: tuple[tuple[float, ...], ...] | None = None
    stress: tuple[tuple[float, ...], ...] | None = None
    total_magnetization: float | None = None
    absolute_magnetization: float | None = None
    site_moments: tuple[float, ...] | None = None
    actions: tuple[Action, ...] = ()
    rounds: int = 0
    wall_seconds: float = 0.0
    version: str = ""

    @property
    def ok(self) -> bool:
        """Whether there is an energy to use."""
        return self.status in ("done", "accepted") and self.energy is not None


def read_result(record: StageRecord) -> PwResult:
    """The result of a finished stage."""
    return result_from_dict(json.loads(record.file(RESULT).read_text()) | {"directory": record.path})


def result_to_dict(result: PwResult) -> dict[str, Any]:
    """JSON form of a result."""
    content = {k: v for k, v in vars(result).items() if k not in ("crystal", "actions", "directory")}
    c = result.crystal
    crystal = (
        None
        if c is None
        else {"lattice": c.lattice.tolist(), "frac_coords": c.frac_coords.tolist(), "symbols": c.symbols}
    )
    return content | {"crystal": crystal, "actions": [vars(a) for a in result.actions]}


def result_from_dict(content: dict[str, Any]) -> PwResult:
    """The result of a JSON form."""
    values = dict(content)
    c = values.pop("crystal")
    crystal = None
    if c is not None:
        numbers = np.array([atomic_number(s) for s in c["symbols"]])
        crystal = Crystal(np.array(c["lattice"]), np.array(c["frac_coords"]), numbers)
    actions = tuple(Action(**a) for a in values.pop("actions"))
    if values.get("site_moments") is not None:
        values["site_moments"] = tuple(values["site_moments"])
    for name in ("forces", "stress"):
        values[name] = None if values[name] is None else tuple(map(tuple, values[name]))
    return PwResult(crystal=crystal, actions=actions, **values)
