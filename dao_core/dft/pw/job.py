"""A pw.x run as a launcher's job."""

from __future__ import annotations

from collections.abc import Callable

from dao_core.dft.launch.base import Job
from dao_core.dft.pw.build import OUTDIR, PREFIX
from dao_core.dft.pw.convergence import (
    may_have_gap,
    other_smearing_tried,
    scf_has_stalled,
    scf_is_stuck,
    smearing_is_non_monotonic,
)
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import STDERR, STDOUT, parse_text
from dao_core.dft.pw.write import PWI


def pw_job(pw_input: PwInput) -> Job:
    """The job of an input; what may be caught in an SCF that no longer improves is watched for it."""
    return Job(
        program="pw.x",
        input_file=PWI,
        stdout=STDOUT,
        stderr=STDERR,
        wall_seconds=pw_input.wall_seconds,
        ranks=pw_input.ranks,
        pools=pw_input.pools,
        memory_gb=pw_input.memory_gb,
        exit_file=f"{OUTDIR}/{PREFIX}.EXIT",
        is_stuck=_watch(pw_input),
    )


def _watch(pw_input: PwInput) -> Callable[[str], bool] | None:
    """What asks a running output whether to stop it: a relaxation that is stuck, a smearing that stalls the SCF."""
    relaxes = pw_input.calculation in ("relax", "vc-relax")
    may_stall = smearing_is_non_monotonic(pw_input) and not other_smearing_tried(pw_input)
    if not relaxes and (not may_stall or pw_input.calculation != "scf"):
        return None

    def is_stuck(text: str) -> bool:
        output = parse_text(text)
        if relaxes and scf_is_stuck(output.cycles):
            return True
        return may_stall and may_have_gap(pw_input, output) and scf_has_stalled(output.cycles)

    return is_stuck
