"""Vibrations at Gamma from density-functional perturbation theory (ph.x), with LO-TO splitting for insulators."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

from dao_core.dft.chain import Chain, ProgramError
from dao_core.dft.electronic.analysis import stage_result
from dao_core.dft.electronic.eigenvalues import band_gap, read_eigenvalues
from dao_core.dft.launch.local import OUT
from dao_core.dft.pw.build import PREFIX
from dao_core.dft.pw.input import PwInput
from dao_core.dft.session import Session

GENTLE = "alpha_mix(1)=0.2, niter_ph=200,"  # for a response that oscillates at ph.x's own mixing of 0.7
INSULATING_ABOVE = 0.1  # eV: a gap that allows fixed occupations
DIRECTIONS = {"100": (1, 0, 0), "010": (0, 1, 0), "001": (0, 0, 1)}  # along which q goes to zero, Cartesian
FREQUENCY = re.compile(r"freq\s*\(\s*\d+\)\s*=\s*(-?[\d.]+)\s*\[THz\]")
FLOAT = r"-?\d+\.\d+(?:[EeDd][-+]?\d+)?"


def gamma_phonons(session: Session, pw_input: PwInput) -> dict[str, Any]:
    """Frequencies at Gamma (THz, imaginary as negative), a stage of the ledger.

    Args:
        session: Settings, ledger, launcher.
        pw_input: The SCF of a relaxed crystal.

    Returns:
        `frequencies` (transverse, acoustic sum rule applied), `longitudinal` by direction, `dielectric` (3, 3),
        `born_charges` (N, 3, 3); the last three only for insulators.

    Raises:
        ProgramError: ph.x is not installed, does not converge, or refuses (Hubbard U, meta-GGA).
    """
    check_supported(pw_input)
    insulating = with_fixed_occupations(session, pw_input)
    return stage_result(session, "dft_gamma", insulating or pw_input, _gamma)


def check_supported(pw_input: PwInput) -> None:
    """Raises ProgramError for what ph.x cannot do."""
    if pw_input.hubbard:
        raise ProgramError("ph.x", "crashed", "6.7 has no Hubbard U in phonons: use finite displacements")


def fixed_occupations(pw_input: PwInput) -> PwInput:
    """The same SCF without smearing."""
    return pw_input.with_values("system", occupations="fixed", smearing=None, degauss=None)


def with_fixed_occupations(session: Session, pw_input: PwInput) -> PwInput | None:
    """The SCF without smearing where the crystal has a gap: only then is there a response to an electric field.

    Args:
        session: Of the calculations.
        pw_input: The ground state with smearing.

    Returns:
        The input without; None where there is no gap, or with spin polarisation.
    """
    if pw_input.get("system", "occupations") == "fixed":
        return pw_input
    gap = stage_result(session, "dft_gap", pw_input, _gap)
    if gap["is_metal"] or gap["value"] < INSULATING_ABOVE or pw_input.get("system", "nspin") == 2:
        return None
    return fixed_occupations(pw_input)


def _gap(chain: Chain) -> dict[str, Any]:
    gap = band_gap(read_eigenvalues(chain.save))
    return {"value": gap.value, "is_metal": gap.is_metal}


def ph_input(threshold: float, *, dielectric: bool, more: str = "", at_gamma: bool = True) -> str:
    """Input of ph.x on the chain's ground state.

    Args:
        threshold: Of its self-consistency, Ry.
        dielectric: Whether it also computes the response to an electric field.
        more: Added to the namelist.
        at_gamma: Whether the only q-point is Gamma; else `more` names them.

    Returns:
        The text.
    """
    epsil = ".true." if dielectric else ".false."
    lines = ["phonons", "&inputph", f" prefix='{PREFIX}', outdir='../{OUT}', fildyn='dyn', tr2_ph={threshold:.1e},",
             f" epsil={epsil},", f" {more}" if more else "", "/", "0 0 0" if at_gamma else ""]  # fmt: skip
    return "\n".join(line for line in lines if line) + "\n"


def gentler(text: str) -> str:
    """An input of ph.x with gentler mixing and more iterations."""
    return text.replace("&inputph", f"&inputph\n {GENTLE}", 1)


def converged_ph(chain: Chain, name: str, text: str) -> Path:
    """The folder of a run of ph.x; one that does not converge is run once more with gentler mixing.

    Args:
        chain: The ground state.
        name: Of the step.
        text: Input of ph.x.

    Raises:
        ProgramError: It failed, or does not converge with gentler mixing either.
    """
    careful = gentler(text)
    done = chain.finished(name, "ph.x", careful)
    if done is not None:
        return done
    try:
        return chain.run(name, "ph.x", text)
    except ProgramError as error:
        if error.failure != "scf_not_converged":
            raise
    return chain.run(name, "ph.x", careful)


def _gamma(chain: Chain) -> dict[str, Any]:
    insulator = chain.crystal_input.get("system", "occupations") == "fixed"
    threshold = chain.session.settings.resolved_protocol().phonon_threshold
    step = converged_ph(chain, "ph_gamma", ph_input(threshold, dielectric=insulator))
    text = (step / "dyn").read_text()
    dyn = step / "dyn"
    out: dict[str, Any] = {"frequencies": dynmat(chain, "dynmat", dyn, (0, 0, 0)), "longitudinal": {}}
    if insulator:
        out |= dielectric_response(text)
        out["longitudinal"] = {
            name: dynmat(chain, f"dynmat_{name}", dyn, direction) for name, direction in DIRECTIONS.items()
        }
    return out


def dynmat(chain: Chain, name: str, dyn: Path, direction: tuple[int, int, int]) -> list[float]:
    """Frequencies of a dynamical matrix at Gamma with the sum rule, q going to zero along a direction.

    Args:
        chain: Of the calculation.
        name: Of the step.
        dyn: File of the dynamical matrix.
        direction: Of q.

    Returns:
        THz, ascending.
    """
    q = ", ".join(f"q({i + 1})={x}" for i, x in enumerate(direction))
    text = f"&input\n fildyn='../{dyn.parent.name}/dyn', asr='crystal', {q}, filout='modes'\n/\n"
    step = chain.run(name, "dynmat.x", text, reads=[dyn])
    return read_frequencies((step / "modes").read_text())


def read_frequencies(text: str) -> list[float]:
    """Frequencies in THz of a file of modes or a dynamical matrix."""
    return [float(x) for x in FREQUENCY.findall(text)]


def dielectric_response(text: str) -> dict[str, Any]:
    """Dielectric tensor and Born effective charges of a file of dynamical matrices; empty where there are none."""
    match = re.search(r"Dielectric Tensor:(.*?)Effective Charges(.*?)Diagonalizing", text, re.DOTALL)
    if match is None:
        return {}
    epsilon, charges = ([float(x) for x in re.findall(FLOAT, part)] for part in match.groups())
    return {
        "dielectric": [epsilon[i : i + 3] for i in (0, 3, 6)],
        "born_charges": [
            [charges[i + k : i + k + 3] for k in (0, 3, 6)] for i in range(0, len(charges) - len(charges) % 9, 9)
        ],
    }
