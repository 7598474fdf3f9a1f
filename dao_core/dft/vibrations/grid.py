"""Phonon dispersion from ph.x on a grid of q-points: one run a q, merged by q2r.x, interpolated by matdyn.x.

Each q works on a copy of the ground state and is done once: after a kill or the wall time the next call goes on with
the q-points that are left.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.dft.chain import Chain, ProgramError
from dao_core.dft.electronic.analysis import band_path, stage_result
from dao_core.dft.launch.local import OUT
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session
from dao_core.dft.vibrations.gamma import (
    check_supported,
    converged_ph,
    gentler,
    ph_input,
    with_fixed_occupations,
)

THZ_PER_CM = 0.0299792458
DYN = "dyn"


def phonon_dispersion(session: Session, pw_input: PwInput, grid: tuple[int, int, int] = (2, 2, 2)) -> dict[str, Any]:
    """Frequencies along the standard path (THz, imaginary as negative), a stage of the ledger.

    Args:
        session: Settings, ledger, launcher.
        pw_input: The SCF of a relaxed crystal.
        grid: q-points along each axis.

    Returns:
        `frequencies` (Q, 3 N), `distances` (Q,), `labels`, `label_positions`, `path` and the number of q-points.

    Raises:
        ProgramError: A program failed; finished q-points are kept.
    """
    check_supported(pw_input)
    insulating = with_fixed_occupations(session, pw_input)

    def work(chain: Chain) -> dict[str, Any]:
        return _dispersion(chain, grid)

    return stage_result(session, "dft_dispersion", insulating or pw_input, work, grid=grid)


def _dispersion(chain: Chain, grid: tuple[int, int, int]) -> dict[str, Any]:
    folder = chain.folder / DYN
    folder.mkdir(exist_ok=True)
    first = _one_q(chain, grid, 1)
    shutil.copyfile(first / f"{DYN}0", folder / f"{DYN}0")
    n_q = number_of_points((folder / f"{DYN}0").read_text())
    for number in range(1, n_q + 1):
        step = first if number == 1 else _one_q(chain, grid, number)
        shutil.copyfile(step / f"{DYN}{number}", folder / f"{DYN}{number}")
    # their inputs say nothing of the grid, nor of how well its q-points were converged
    matrices = [folder / f"{DYN}{number}" for number in range(n_q + 1)]
    constants = chain.run(
        "q2r", "q2r.x", f"&input\n fildyn='../{DYN}/{DYN}', zasr='crystal', flfrc='fc'\n/\n", reads=matrices
    )
    path = band_path(chain.crystal_input.crystal, chain.session.settings.resolved_protocol().path_density)
    step = chain.run("matdyn", "matdyn.x", matdyn_input(path["kpoints"]), reads=[constants / "fc"])
    path.pop("kpoints")
    return {**path, "frequencies": read_dispersion((step / "freq").read_text()), "n_qpoints": n_q, "grid": grid}


def _one_q(chain: Chain, grid: tuple[int, int, int], number: int) -> Path:
    """The folder of one finished q; its copy of the ground state is deleted."""
    insulator = chain.crystal_input.get("system", "occupations") == "fixed"
    points = ", ".join(f"nq{i}={n}" for i, n in enumerate(grid, start=1))
    more = f"ldisp=.true., {points}, start_q={number}, last_q={number},"
    threshold = chain.session.settings.resolved_protocol().phonon_threshold
    text = ph_input(threshold, dielectric=insulator and number == 1, more=more, at_gamma=False)
    for tried in (text, gentler(text)):
        done = chain.finished(f"q{number}/ph", "ph.x", tried)
        if done is not None:
            return done
    branch = chain.branch(f"q{number}", wavefunctions=True)
    step = converged_ph(branch, "ph", text)
    shutil.rmtree(branch.folder / OUT, ignore_errors=True)
    return step


def number_of_points(text: str) -> int:
    """How many q-points ph.x found on the grid, from its file of them. Raises ProgramError where it says none."""
    match = re.match(r"\s*\d+\s+\d+\s+\d+\s+(\d+)", text)
    if match is None:
        raise ProgramError("ph.x", "unreadable", "its list of q-points is not readable")
    return int(match.group(1))


def matdyn_input(kpoints: np.ndarray) -> str:
    """Input of matdyn.x for q-points in fractional coordinates (Q, 3)."""
    rows = [f" {x:.8f} {y:.8f} {z:.8f}" for x, y, z in kpoints]
    head = "&input\n asr='crystal', flfrc='../q2r/fc', flfrq='freq', q_in_cryst_coord=.true.\n/"
    return "\n".join([head, str(len(rows)), *rows]) + "\n"


def read_dispersion(text: str) -> list[list[float]]:
    """Frequencies (THz) of each q-point from matdyn.x's file. Raises ProgramError where it is cut off."""
    match = re.search(r"nbnd\s*=\s*(\d+)\s*,\s*nks\s*=\s*(\d+)", text)
    if match is None:
        raise ProgramError("matdyn.x", "unreadable", "its file of frequencies is not readable")
    n_modes, n_q = int(match.group(1)), int(match.group(2))
    values = [float(x) for x in text[text.index("/") + 1 :].split()]
    if len(values) != n_q * (n_modes + 3):
        raise ProgramError("matdyn.x", "unreadable", "its file of frequencies is cut off")
    rows = np.array(values).reshape(n_q, n_modes + 3)[:, 3:] * THZ_PER_CM
    return [[float(f) for f in row] for row in rows]
