"""Hubbard U from linear response by hp.x (Timrov, Marzari and Cococcioni, Phys. Rev. B 98, 085127 (2018)).

The response is that of the ground state without U: the shells get a U of nothing, which makes pw.x keep their
occupations. hp.x is part of the suite since 6.4; where it is missing, the stage says so.
"""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

from dao_core.dft.chain import Chain, ProgramError, remove_chain
from dao_core.dft.electronic.analysis import stage_result
from dao_core.dft.hubbard import LARGEST_U, response_elements
from dao_core.dft.launch.local import OUT
from dao_core.dft.pw.build import PREFIX
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session

NO_U = 1e-8  # eV: no correction, but a shell that pw.x follows
PARAMETERS = f"{PREFIX}.Hubbard_parameters.dat"
# site, type, label, spin, new type, new label, shell (since 7.0), U
ROW = re.compile(
    r"^\s*\d+\s+\d+\s+([A-Z][a-z]?)\d*\s+-?\d+\s+\d+\s+\S+\s+(?:\d[spdf]\s+)?(-?\d+\.\d+)\s*$", re.MULTILINE
)


def response_u(session: Session, pw_input: PwInput) -> dict[str, float]:
    """U (eV) of each d element of an oxide or fluoride from its own response, a stage of the ledger.

    Args:
        session: Settings, ledger, launcher; the protocol's `response_grid` is hp.x's grid of q-points.
        pw_input: An SCF of the crystal.

    Returns:
        The mean over an element's sites; empty where no element has a shell for U.

    Raises:
        ProgramError: hp.x is not installed, failed, or gave no U.
    """
    elements = response_elements(pw_input.crystal)
    if not elements:
        return {}
    flat = replace(pw_input, hubbard=dict.fromkeys(elements, NO_U))
    grid = session.settings.resolved_protocol().response_grid
    found = stage_result(session, "dft_response", flat, _response, grid=grid)["u"]
    if not session.settings.keep_scratch:
        remove_chain(session, flat)
    return {element: float(u) for element, u in found.items()}


def _response(chain: Chain) -> dict[str, Any]:
    n = chain.session.settings.resolved_protocol().response_grid
    text = f"&inputhp\n prefix='{PREFIX}', outdir='../{OUT}', nq1={n}, nq2={n}, nq3={n}\n/\n"
    step = chain.run("hp", "hp.x", text)
    try:
        return {"u": read_response((step / PARAMETERS).read_text())}
    except OSError as error:
        raise ProgramError("hp.x", "unreadable", f"it left no {PARAMETERS}") from error


def read_response(text: str) -> dict[str, float]:
    """U (eV) by element from hp.x's file of parameters, the mean over sites.

    Args:
        text: Of the file.

    Raises:
        ProgramError: It has no U, or one that no shell has.
    """
    table = text.partition("Hubbard U parameters:")[2].partition("=---")[0]
    values: dict[str, list[float]] = {}
    for element, value in ROW.findall(table):
        if not 0.0 <= float(value) <= LARGEST_U:
            words = f"U of {element} is {value} eV, not between 0 and {LARGEST_U:g}"
            raise ProgramError(
                "hp.x", "crashed", f"{words}: take a denser mesh, a larger `response_grid`, or `hubbard_u`"
            )
        values.setdefault(element, []).append(float(value))
    if not values:
        raise ProgramError("hp.x", "unreadable", "its file of parameters lists no U")
    return {element: round(sum(us) / len(us), 3) for element, us in sorted(values.items())}
