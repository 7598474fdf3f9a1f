"""Remedies for the electrons: bands, mixing, diagonalisation, smearing, thresholds of the SCF."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

from dao_core.dft.pw.convergence import has_gap
from dao_core.dft.pw.input import PwInput, Restart
from dao_core.dft.pw.output import PwOutput
from dao_core.dft.repair.actions import Repair, at_last_structure, go, stop, times

DIAGONALIZATIONS = ("david", "paro", "cg")
MIXING_FACTOR = 0.8
UPSCALE_FACTOR = 0.3
# handlers whose changes the next calculations of a crystal start with
SMEARED, GAUSSIAN = "protocol_smearing", "gaussian_smearing"


def more_bands(pw_input: PwInput, output: PwOutput) -> Repair:
    """With smearing the highest band is occupied: 5 % more bands, at least 4, from the charge density."""
    bands = output.n_bands or pw_input.get("system", "nbnd")
    if not bands:
        return stop(pw_input, "more_bands", "the number of bands is not in the output")
    nbnd = bands + max(math.ceil(0.05 * bands), 4)
    new = at_last_structure(pw_input, output).with_values("system", nbnd=nbnd)
    return go(new, "more_bands", "charge", nbnd=[bands, nbnd])


def smeared(pw_input: PwInput) -> PwInput:
    """The input with the protocol's smearing: with another width its energy would meet none of the same protocol."""
    return pw_input.with_values(
        "system", occupations="smearing", nbnd=None, tot_magnetization=None, **pw_input.smearing
    )


def smear_or_add_bands(pw_input: PwInput, output: PwOutput) -> Repair:
    """A metal treated as an insulator gets the protocol's smearing; where that is there already, more bands, once."""
    if pw_input.get("system", "occupations") != "smearing":
        if not pw_input.smearing:  # an input that an older version wrote
            return stop(pw_input, SMEARED, "no insulator, and the protocol's smearing is not known: use metal")
        new = at_last_structure(smeared(pw_input), output)
        return go(new, SMEARED, "scratch", occupations=["fixed", "smearing"], degauss=pw_input.smearing["degauss"])
    if times(pw_input, "more_bands_for_charge") or not output.n_bands:
        return stop(pw_input, "more_bands_for_charge", "the charge is still wrong with more bands")
    nbnd = math.ceil(1.2 * output.n_bands)
    new = at_last_structure(pw_input, output).with_values("system", nbnd=nbnd)
    return go(new, "more_bands_for_charge", "scratch", nbnd=[output.n_bands, nbnd])


def smaller_upscale(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The SCF accuracy is stuck inside a relaxation: tighten less from step to step (`upscale` x 0.3, at least 1)."""
    old = float(pw_input.get("ions", "upscale", 100.0))
    if old <= 1.0:
        return stop(pw_input, "smaller_upscale", "upscale is 1 already and the SCF is still stuck")
    new = max(1.0, UPSCALE_FACTOR * old)
    return go(pw_input.with_values("ions", upscale=new), "smaller_upscale", "full", upscale=[old, new])


def other_diagonalization(pw_input: PwInput, output: PwOutput) -> Repair:
    """The iterative diagonalisation broke down: the next one not tried yet."""
    current = pw_input.get("electrons", "diagonalization", "david")
    tried = {current} | {a.changes["diagonalization"][0] for a in pw_input.history if "diagonalization" in a.changes}
    left = [d for d in DIAGONALIZATIONS if d not in tried]
    if not left:
        return stop(pw_input, "other_diagonalization", f"every diagonalisation failed: {', '.join(sorted(tried))}")
    new = at_last_structure(pw_input, output).with_values("electrons", diagonalization=left[0])
    return go(new, "other_diagonalization", "scratch", diagonalization=[current, left[0]])


def _gentler_mixing(pw_input: PwInput, handler: str, restart: Restart) -> Repair:
    old = float(pw_input.get("electrons", "mixing_beta", 0.7))
    new = round(MIXING_FACTOR * old, 6)
    return go(pw_input.with_values("electrons", mixing_beta=new), handler, restart, mixing_beta=[old, new])


def gentler_mixing_in_relax(pw_input: PwInput, output: PwOutput) -> Repair:
    """The SCF failed inside a relaxation: `mixing_beta` x 0.8 at the last structure, from scratch."""
    return _gentler_mixing(at_last_structure(pw_input, output), "gentler_mixing_in_relax", "scratch")


def gentler_mixing(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The SCF did not converge: `mixing_beta` x 0.8 and on from where it was."""
    return _gentler_mixing(pw_input, "gentler_mixing", "full")


def gaussian_smearing(pw_input: PwInput, output: PwOutput) -> Repair:
    """Gaussian smearing, once: it fixes the Fermi energy of a gapped crystal, which cold smearing leaves to jump about.

    pw.x stalls there, and gentler mixing is of no use. Where all bands turn out whole the energy is the same;
    `own_occupations` sees to the rest.
    """
    old = pw_input.get("system", "smearing")
    new = at_last_structure(pw_input, output).with_values("system", smearing="gaussian")
    restart: Restart = "charge" if pw_input.calculation == "scf" else "scratch"
    note = "the SCF stalled near its solution, as it does with this smearing where there is a gap"
    return go(new, GAUSSIAN, restart, smearing=[old, "gaussian"], note=note)


def own_occupations(pw_input: PwInput, output: PwOutput) -> Repair:
    """Converged with Gaussian smearing, but the width counts: a crystal with a gap goes without, a metal as it was."""
    moved = at_last_structure(pw_input, output)
    if has_gap(pw_input, output):
        values: dict[str, Any] = {"occupations": "fixed", "smearing": None, "degauss": None}
        if pw_input.get("system", "nspin", 1) == 2:  # pw.x must know how many bands each spin fills
            values["tot_magnetization"] = float(round(output.total_magnetization or 0.0))
        changed = moved.with_values("system", **values)
        return go(changed, "fixed_occupations", "charge", occupations=["smearing", "fixed"])
    first = next(a.changes["smearing"][0] for a in pw_input.history if "smearing" in a.changes)
    back = moved.with_values("system", smearing=first)
    new, action = _gentler_mixing(back, "own_smearing", "charge")
    return new, replace(action, changes={**action.changes, "smearing": ["gaussian", first]})


def tighter_scf(pw_input: PwInput, _output: PwOutput) -> Repair:
    """Negative exact-exchange change: it is noise of a loose SCF, so a tenfold tighter one, once."""
    old = float(pw_input.get("electrons", "conv_thr", 1e-6))
    return go(
        pw_input.with_values("electrons", conv_thr=0.1 * old), "tighter_scf", "scratch", conv_thr=[old, 0.1 * old]
    )


def continue_from_charge(pw_input: PwInput, output: PwOutput) -> Repair:
    """Stopped between the SCF and the forces: nothing to resume there, but the charge density is converged."""
    return go(at_last_structure(pw_input, output), "continue_from_charge", "charge")


def accept_unconverged(pw_input: PwInput, _output: PwOutput) -> Repair:
    """The input allows an unconverged SCF (`scf_must_converge = .false.`): accepted, and marked so for ever."""
    return stop(pw_input, "accept_unconverged", "SCF not converged, allowed by scf_must_converge", "accept")
