"""A pw.x run as a launcher's job."""

from __future__ import annotations

from dao_core.dft.launch.base import Job
from dao_core.dft.pw.build import OUTDIR, PREFIX
from dao_core.dft.pw.convergence import scf_is_stuck
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.output import STDERR, STDOUT, parse_text
from dao_core.dft.pw.write import PWI


def pw_job(pw_input: PwInput) -> Job:
    """The job of an input; a relaxation is watched for an SCF that no longer improves."""
    relaxes = pw_input.calculation in ("relax", "vc-relax")
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
        is_stuck=_is_stuck if relaxes else None,
    )


def _is_stuck(text: str) -> bool:
    return scf_is_stuck(parse_text(text).cycles)
