"""Read what pw.x wrote: whole, truncated, crashed or empty. Never raises on the content of a file.

Our own reader because ase.io.read stops with an AssertionError on a cut file, which is when the content matters most.
Signs are those of pw.x 6.7 (`PW/src`); units are converted to eV, angstrom, eV/angstrom and eV/angstrom^3.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal
from dao_core.dft.pw.output_blocks import (
    FLOAT,
    crystals,
    forces,
    last,
    number,
    occupations,
    site_moments,
    stress,
    unreadable_values,
    wall,
)
from dao_core.units import EV_PER_RY, GPA_PER_EV_A3

STDOUT, STDERR, CRASH = "espresso.pwo", "espresso.err", "CRASH"
_ENERGY = re.compile(rf"^!\s+total energy\s+=\s+({FLOAT})\s+Ry", re.MULTILINE)
_ACCURACY = re.compile(rf"estimated scf accuracy\s+<\s+({FLOAT})\s+Ry")
_ERROR = re.compile(r"%{20,}\s*\n\s*(?:task #\s*\d+\s*\n\s*)?(?:from|Error in routine)\s+(\S+)(.*?)%{20,}", re.DOTALL)
_MPI_NOISE = ("mpirun", "MPI_ABORT", "PMIX", "vader", "btl_")


@dataclass(frozen=True)
class ScfCycle:
    """One self-consistency loop: the accuracies on the way (Ry) and how it ended."""

    accuracies: tuple[float, ...]
    converged: bool


@dataclass(frozen=True)
class PwOutput:
    """Everything known about one pw.x run.

    `energies` (eV) and `crystals` follow the ionic steps; `crystals` starts with the input structure and its last entry
    is the last structure seen. `forces` (N, 3), `stress` (3, 3), tension positive as in ASE, belong to the last step
    that printed them. `occupations` are those of the bands at each k-point, 0 to 1; `edges` the highest occupied and
    the lowest empty level (eV), which pw.x prints with fixed occupations and an empty band. `unreadable` names those of
    the last energy, forces and stress that are stars or NaN. `log` is all that was written (stdout, CRASH, stderr), in
    which the table of failures looks for its messages.
    """

    text_length: int = 0
    started: bool = False
    job_done: bool = False
    version: str = ""
    energies: tuple[float, ...] = ()
    cycles: tuple[ScfCycle, ...] = ()
    crystals: tuple[Crystal, ...] = ()
    forces: NDArray[np.float64] | None = None
    stress: NDArray[np.float64] | None = None
    forces_complete: bool = False
    relaxed: bool = False
    in_final_scf: bool = False
    nstep_reached: bool = False
    ionic_steps: int = 0
    occupations: tuple[tuple[float, ...], ...] = ()
    edges: tuple[float, float] | None = None
    n_bands: int | None = None
    n_electrons: float | None = None
    total_magnetization: float | None = None
    absolute_magnetization: float | None = None
    site_moments: tuple[float, ...] | None = None
    wall_seconds: float | None = None
    routine: str = ""
    message: str = ""
    unreadable: tuple[str, ...] = ()
    log: str = field(default="", repr=False)

    @property
    def energy(self) -> float | None:
        """Total energy (eV) of the last completed self-consistent calculation."""
        return self.energies[-1] if self.energies else None

    @property
    def crystal(self) -> Crystal | None:
        """The last structure seen."""
        return self.crystals[-1] if self.crystals else None

    @property
    def top_band_occupation(self) -> float | None:
        """Largest occupation of the highest band over the k-points, 0 to 1."""
        return max((point[-1] for point in self.occupations), default=None)

    @property
    def max_force(self) -> float | None:
        """Largest force component (eV/angstrom)."""
        return None if self.forces is None else float(np.abs(self.forces).max())

    @property
    def pressure(self) -> float | None:
        """Pressure (GPa), positive under compression."""
        return None if self.stress is None else float(-np.trace(self.stress) / 3 * GPA_PER_EV_A3)


def parse_text(text: str, *, crash: str = "", stderr: str = "", start: Crystal | None = None) -> PwOutput:
    """Parse the output of pw.x.

    Args:
        text: Its stdout.
        crash: Content of CRASH.
        stderr: What was written there.
        start: The input structure, which names the atoms.

    Returns:
        What was found; what wasn't is None.
    """
    routine, message = _error(crash) or _error(text) or ("", _first_words(stderr))
    version = re.search(r"Program PWSCF v\.(\S+)", text)
    n_atoms = start.n_atoms if start else None
    steps = len(re.findall(r"number of bfgs steps\s+=", text)) or len(re.findall(r"Entering Dynamics", text))
    return PwOutput(
        text_length=len(text),
        started=version is not None,
        job_done="JOB DONE." in text,
        version=version.group(1) if version else "",
        energies=tuple(number(x) * EV_PER_RY for x in _ENERGY.findall(text)),
        cycles=_cycles(text),
        crystals=crystals(text, start),
        forces=forces(text, n_atoms),
        stress=stress(text),
        forces_complete="Total force =" in text.split("convergence has been achieved in")[-1],
        relaxed="End final coordinates" in text or bool(re.search(r"bfgs converged in", text)),
        in_final_scf="Final scf calculation at the relaxed structure" in text,
        nstep_reached="The maximum number of steps has been reached" in text,
        ionic_steps=steps,
        occupations=occupations(text),
        edges=_edges(text),
        n_bands=_integer(r"number of Kohn-Sham states=\s*(\d+)", text),
        n_electrons=last(rf"number of electrons\s+=\s+({FLOAT})", text),
        total_magnetization=last(rf"total magnetization\s+=\s+({FLOAT})", text),
        absolute_magnetization=last(rf"absolute magnetization\s+=\s+({FLOAT})", text),
        site_moments=site_moments(text),
        wall_seconds=wall(text),
        routine=routine,
        message=message,
        unreadable=unreadable_values(text),
        log="\n".join((text, crash, stderr)),
    )


def parse_directory(directory: str | Path, start: Crystal | None = None) -> PwOutput:
    """Parse the files of one run.

    Args:
        directory: Of the run; a file that is absent counts as empty, bytes that are no text are replaced.
        start: The input structure, which names the atoms.

    Returns:
        What was found; what wasn't is None.
    """
    folder = Path(directory)
    stdout, crash, stderr = (_read(folder / name) for name in (STDOUT, CRASH, STDERR))
    return parse_text(stdout, crash=crash, stderr=stderr, start=start)


def _read(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8", errors="replace")
    except OSError:
        return ""


def _integer(pattern: str, text: str) -> int | None:
    match = re.search(pattern, text)
    return int(match.group(1)) if match else None


def _edges(text: str) -> tuple[float, float] | None:
    found = re.findall(rf"highest occupied, lowest unoccupied level \(ev\):\s+({FLOAT})\s+({FLOAT})", text)
    return (number(found[-1][0]), number(found[-1][1])) if found else None


def _error(text: str) -> tuple[str, str] | None:
    """Routine and message of the (last) error block; with pools it stands only in CRASH."""
    blocks = _ERROR.findall(text)
    if not blocks:
        return None
    routine, rest = blocks[-1]
    words = re.sub(r"^\s*(\(\d+\))?\s*:?\s*(error #\s*-?\d+)?", "", rest)
    return routine, " ".join(words.split())


def _first_words(stderr: str) -> str:
    lines = [s for s in stderr.splitlines() if s.strip() and not any(noise in s for noise in _MPI_NOISE)]
    return lines[0].strip()[:200] if lines else ""


def _cycles(text: str) -> tuple[ScfCycle, ...]:
    cycles = []
    for part in text.split("Self-consistent Calculation")[1:]:
        accuracies = tuple(number(x) for x in _ACCURACY.findall(part))
        cycles.append(ScfCycle(accuracies, "convergence has been achieved in" in part))
    return tuple(cycles)
