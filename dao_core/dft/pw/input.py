"""`PwInput`, the value that says everything about one pw.x run, and `Action`, one recorded repair of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Literal

import numpy as np

from dao_core.artifacts import content_key
from dao_core.crystal import Crystal
from dao_core.elements import atomic_number

Calculation = Literal["scf", "relax", "vc-relax", "nscf", "bands"]
Restart = Literal["scratch", "charge", "full"]
Decision = Literal["retry", "resubmit", "accept", "give_up"]


class InputError(ValueError):
    """A structure or a setting from which no input can be made; the message says which."""


class CutoffError(InputError):
    """A cutoff with which pw.x would run and give wrong numbers."""


class InputMismatchError(RuntimeError):
    """The file that was written does not say what was meant: a bug in the writer or a change in ASE."""


@dataclass(frozen=True)
class Action:
    """One repair, as recorded: which handler, for which failure, what it decided and what it changed."""

    handler: str
    failure: str
    decision: Decision
    restart: Restart = "scratch"
    changes: Mapping[str, Any] = field(default_factory=dict)
    note: str = ""


@dataclass(frozen=True)
class PwInput:
    """Everything one pw.x run needs. `history` holds the repairs so far, so that handlers need no other state.

    `magnetisation` (by element) and `site_magnetisation` (by atom, preferred) are fractions of the valence, -1 to 1.
    `hubbard` is U in eV by element, `hubbard_form` how this pw.x is told. `kpoint_list` (fractional) replaces the grid.
    `smearing` is the protocol's (`smearing`, and `degauss` in Ry), for a repair of a calculation without one.
    """

    crystal: Crystal
    calculation: Calculation
    namelists: Mapping[str, Mapping[str, Any]]
    kpoints: tuple[int, int, int]
    pseudo_files: Mapping[str, str]
    pseudo_dir: str
    pseudo_identity: str
    magnetisation: Mapping[str, float] = field(default_factory=dict)
    site_magnetisation: tuple[float, ...] = ()
    hubbard: Mapping[str, float] = field(default_factory=dict)
    hubbard_form: Literal["namelist", "card"] = "namelist"
    kpoint_list: tuple[tuple[float, float, float], ...] = ()
    smearing: Mapping[str, Any] = field(default_factory=dict)
    restart: Restart = "scratch"
    ranks: int = 1
    pools: int = 1
    wall_seconds: float = 43200.0
    memory_gb: float | None = None
    history: tuple[Action, ...] = ()

    def get(self, section: str, key: str, default: Any = None) -> Any:
        """A namelist value."""
        return self.namelists.get(section, {}).get(key, default)

    def with_values(self, section: str, **values: Any) -> PwInput:
        """A copy with namelist values set; None removes one."""
        merged = {k: v for k, v in {**self.namelists.get(section, {}), **values}.items() if v is not None}
        return replace(self, namelists={**self.namelists, section: merged})

    def key(self) -> str:
        """Content key: what determines the result (not the repairs, the machine or the time limit)."""
        names = {s: {k: v for k, v in d.items() if k not in _NOT_IN_KEY} for s, d in self.namelists.items()}
        more = {
            "sites": list(self.site_magnetisation), "hubbard": dict(self.hubbard), "list": self.kpoint_list,
        }  # fmt: skip
        return content_key(
            lattice=np.round(self.crystal.lattice, 8).tolist(),
            frac_coords=np.round(self.crystal.frac_coords, 8).tolist(),
            numbers=self.crystal.atomic_numbers.tolist(),
            calculation=self.calculation,
            namelists=names,
            kpoints=self.kpoints,
            pseudo=self.pseudo_identity,
            magnetisation=dict(self.magnetisation),
            **{name: value for name, value in more.items() if value},  # so that older keys stay
        )

    @property
    def atom_magnetisation(self) -> tuple[float, ...]:
        """Starting magnetisation of each atom; empty without spin."""
        if self.site_magnetisation:
            return self.site_magnetisation
        return tuple(self.magnetisation[s] for s in self.crystal.symbols) if self.magnetisation else ()

    @property
    def species(self) -> list[str]:
        """Species in the order of the card ATOMIC_SPECIES: atoms of one element with other moments are another one."""
        spins = self.atom_magnetisation or (0.0,) * self.crystal.n_atoms
        kinds = dict.fromkeys(zip(self.crystal.symbols, spins, strict=True))
        seen: dict[str, int] = {}
        out = []
        for element, _ in kinds:
            out.append(f"{element}{seen[element]}" if element in seen else element)
            seen[element] = seen.get(element, 0) + 1
        return out


_NOT_IN_KEY = {"max_seconds", "outdir", "prefix", "restart_mode", "pseudo_dir", "disk_io", "verbosity"}


def to_dict(pw_input: PwInput) -> dict[str, Any]:
    """JSON form of an input, for the record and for resuming."""
    content = {k: v for k, v in vars(pw_input).items() if k not in ("crystal", "history")}
    crystal = pw_input.crystal
    return content | {
        "lattice": crystal.lattice.tolist(),
        "frac_coords": crystal.frac_coords.tolist(),
        "symbols": crystal.symbols,
        "history": [vars(a) for a in pw_input.history],
    }


def from_dict(content: Mapping[str, Any]) -> PwInput:
    """The input of a JSON form. Raises KeyError, TypeError or ValueError when it is not one."""
    values = dict(content)
    numbers = np.array([atomic_number(s) for s in values.pop("symbols")])
    crystal = Crystal(np.array(values.pop("lattice")), np.array(values.pop("frac_coords")), numbers)
    history = tuple(Action(**a) for a in values.pop("history"))
    a, b, c = values.pop("kpoints")
    values["site_magnetisation"] = tuple(values.get("site_magnetisation", ()))
    values["kpoint_list"] = tuple((x, y, z) for x, y, z in values.get("kpoint_list", ()))
    return PwInput(crystal=crystal, history=history, kpoints=(a, b, c), **values)
