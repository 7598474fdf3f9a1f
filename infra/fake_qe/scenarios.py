"""What a failing pw.x writes, fabricated for a given input: stdout, CRASH, exit code and behaviour, by scenario name.

The texts follow pw.x 6.7's own formats and messages; the numbers are invented. Standard library only: `pw.x` beside
this file runs it under any Python, and the tests of the handlers read the same texts without running anything.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import dataclass, field

LINE = "%" * 79
HARTREE = 27.211386245988  # eV
HEADER = """
     Program PWSCF v.6.7MaX starts on 22Nov2026 at  3:20:20

     Parallel version (MPI), running on     1 processors
     lattice parameter (alat)  =      10.0000  a.u.
     number of electrons       =         8.00
     number of Kohn-Sham states=            8
"""
FOOTER = """
     PWSCF        :     12.34s CPU     13.50s WALL

   This run was terminated on:   3:21: 1  22Nov2026
=------------------------------------------------------------------------------=
   JOB DONE.
=------------------------------------------------------------------------------=
"""


@dataclass(frozen=True)
class Job:
    """What the fake reads from an input file."""

    calculation: str
    symbols: list[str]
    cell: list[list[float]]
    positions: list[list[float]]
    text: str


@dataclass(frozen=True)
class Reply:
    """What the fake writes, and what it does `then`.

    exit, sleep (until killed), wait_exit (for an EXIT file), kill9, remove (its folders; _and_sleep: and work on).
    """

    stdout: str = ""
    crash: str = ""
    stderr: str = ""
    code: int = 0
    then: str = "exit"
    raw: bytes = field(default=b"")


def read_job(text: str) -> Job:
    """Calculation and structure of an espresso.pwi as ASE writes it."""
    calculation = re.search(r"calculation\s*=\s*'([\w-]+)'", text)
    cell = re.search(r"CELL_PARAMETERS angstrom\n((?:.*\n){3})", text)
    nat = re.search(r"nat\s*=\s*(\d+)", text)
    rows = re.search(r"ATOMIC_POSITIONS crystal\n((?:\S.*\n?)+)", text)
    if not (cell and nat and rows):
        raise ValueError("not an input of this project")
    atoms = [line.split() for line in rows.group(1).splitlines()[: int(nat.group(1))]]
    return Job(
        calculation.group(1) if calculation else "scf",
        [re.sub(r"\d", "", a[0]) for a in atoms],
        [[float(x) for x in line.split()] for line in cell.group(1).splitlines()],
        [[float(x) for x in a[1:4]] for a in atoms],
        text,
    )


def scf(
    energy: float = -16.9,
    *,
    iterations: int = 6,
    how: str = "converged",
    top: float = 0.0,
    filled: tuple[tuple[float, ...], ...] = (),
) -> str:
    """One self-consistency cycle; `how` is converged, allowed (it only says so), failed, stuck, stalled or cut.

    `filled` are the occupations at each k-point, by default those of one whose highest band has `top`.
    """
    out = ["     Self-consistent Calculation\n"]
    for i in range(iterations):
        accuracy = 1e-3 if how in ("stuck", "failed", "allowed") else 10.0 ** (-i - 1)
        if how == "stalled":  # near the solution, from one place in the gap to the next
            accuracy = max(accuracy, (0.75e-6, 3.1e-6, 6.7e-6)[i % 3])
        out.append(f"     iteration #{i + 1:3d}     ecut=    28.00 Ry     beta= 0.40")
        out.append(f"     total energy              =     {energy:.8f} Ry")
        out.append(f"     estimated scf accuracy    <       {accuracy:.8f} Ry\n")
    if how in ("converged", "allowed"):
        out.append("     End of self-consistent calculation\n")
        for point in filled or ((1.0, 0.9544, 0.9521, top),):
            out.append(
                "          k = 0.0000 0.0000 0.0000 (   719 PWs)   bands (ev):\n\n"
                "    -5.7938   5.9999   6.0018   9.0510\n"
            )
            out.append("     occupation numbers \n  " + "".join(f"{x:9.4f}" for x in point) + "\n")
        out.append(f"!    total energy              =     {energy:.8f} Ry")
        out.append(f"     estimated scf accuracy    <          {'8.7E-11' if how == 'converged' else '5.6E-04'} Ry\n")
        out.append(f"     convergence has been achieved in {iterations:3d} iterations\n")
    elif how in ("failed", "stalled"):
        out.append(f"     convergence NOT achieved after {iterations:3d} iterations: stopping\n")
    return "\n".join(out) + "\n"


def forces(job: Job, size: float = 0.0, pressure: float = 0.1) -> str:
    """Forces (Ry/bohr) and stress (kbar)."""
    along_x = [size, -size] + [0.0] * len(job.symbols)
    rows = [
        f"     atom {i + 1:4d} type  1   force =  {along_x[i]:14.8f}    0.00000000    0.00000000"
        for i in range(len(job.symbols))
    ]
    au = pressure / 147105.08  # kbar -> Ry/bohr^3
    stress = [
        "   ".join(f"{au if i == j else 0.0:13.8f}" for j in range(3))
        + "   " + "  ".join(f"{pressure if i == j else 0.0:10.2f}" for j in range(3))
        for i in range(3)
    ]  # fmt: skip
    return "\n".join(
        ["     Forces acting on atoms (cartesian axes, Ry/au):\n", *rows, "", f"     Total force = {size:10.6f}", "",
         f"          total   stress  (Ry/bohr**3)                   (kbar)     P=  {pressure:10.2f}", *stress, ""]
    ) + "\n"  # fmt: skip


def structure(job: Job, scale: float) -> str:
    """The next structure of a relaxation: the input's, with the cell scaled."""
    factor = scale if job.calculation == "vc-relax" else 1.0
    out = []
    if job.calculation == "vc-relax":
        out.append("CELL_PARAMETERS (angstrom)")
        out += ["".join(f"{factor * x:16.9f}" for x in row) for row in job.cell]
        out.append("")
    out.append("ATOMIC_POSITIONS (crystal)")
    out += [f"{s:4s}" + "".join(f"{x:16.10f}" for x in p) for s, p in zip(job.symbols, job.positions, strict=True)]
    return "\n".join([*out, "", ""])


def step(job: Job, number: int, *, size: float = 0.02, pressure: float = 5.0) -> str:
    """One ionic step of BFGS."""
    return (
        scf(-16.9 - 0.001 * number)
        + forces(job, size, pressure)
        + f"     BFGS Geometry Optimization\n     number of scf cycles    = {number:3d}\n"
        + f"     number of bfgs steps    = {number:3d}\n\n"
        + structure(job, 1.0 + 0.005 * number)
    )


def finished_relax(job: Job, *, final_force: float = 0.0, final_how: str = "converged", top: float = 0.0) -> str:
    """The end of a converged relaxation, with the final SCF of a variable cell."""
    end = (
        "     bfgs converged in   3 scf cycles and   2 bfgs steps\n     End of BFGS Geometry Optimization\n\n"
        "Begin final coordinates\n" + structure(job, 1.01) + "End final coordinates\n\n"
    )
    if job.calculation != "vc-relax":
        return scf(-16.905, top=top) + forces(job, final_force) + end
    end += "     Final scf calculation at the relaxed structure.\n" + scf(-16.906, how=final_how, top=top)
    return end + (forces(job, final_force) if final_how == "converged" else "")


def error(routine: str, message: str, code: int = 1) -> tuple[str, str]:
    """An error block as stdout and CRASH have it."""
    block = f" {LINE}\n     Error in routine {routine} ({code}):\n     {message}\n {LINE}\n"
    crash = f" {LINE}\n task #         0\n from {routine} : error #       {code:4d}\n {message}\n {LINE}\n"
    return HEADER + block + "\n     stopping ...\n", crash


def _stopped(routine: str, message: str, *, before: Callable[[Job], str] | None = None) -> Callable[[Job], Reply]:
    def reply(job: Job) -> Reply:
        stdout, crash = error(routine, message)
        body = before(job) if before else ""
        return Reply(stdout.replace(HEADER, HEADER + body), crash, code=1)

    return reply


def good(job: Job) -> Reply:
    """A run without any failure."""
    if job.calculation in ("nscf", "bands"):
        return Reply(HEADER + "     End of band structure calculation\n" + FOOTER)
    if job.calculation == "scf":
        return Reply(HEADER + scf() + moments(job) + forces(job) + FOOTER)
    return Reply(HEADER + step(job, 1) + step(job, 2) + finished_relax(job) + FOOTER)


def moments(job: Job) -> str:
    """Moments of the sites: those of the first atom stay, everything else has none."""
    if "nspin" not in job.text:
        return ""
    rows = [
        f"     atom:{i + 1:5d}    charge:    7.9    magn:    {1.4 if i == 0 else 0.0:6.4f}"
        for i in range(len(job.symbols))
    ]
    totals = (
        "\n     total magnetization       =     1.40 Bohr mag/cell\n"
        "     absolute magnetization    =     1.40 Bohr mag/cell\n"
    )
    return "     Magnetic moment per site:\n" + "\n".join(rows) + "\n" + totals


def top_band(job: Job) -> Reply:
    body = scf(top=0.2) + forces(job) if job.calculation == "scf" else step(job, 1) + finished_relax(job, top=0.2)
    return Reply(HEADER + body + FOOTER)


def overlap(job: Job) -> Reply:
    """Fixed occupations of a metal: pw.x fills the lowest bands at each k-point, ends well and prints two levels."""
    levels = "     highest occupied, lowest unoccupied level (ev):     6.0018    5.7412\n\n"
    return Reply(good(job).stdout.replace("!    total energy", levels + "!    total energy"))


def bfgs(size: float, pressure: float) -> Callable[[Job], Reply]:
    def reply(job: Job) -> Reply:
        body = step(job, 1) + step(job, 2, size=size, pressure=pressure)
        sign = "     bfgs failed after   3 scf cycles and   2 bfgs steps, with internal error\n"
        return Reply(HEADER + body + sign + "     history already reset at previous step: stopping\n" + FOOTER, code=3)

    return reply


def clean_stop(job: Job) -> Reply:
    body = scf(how="cut") if job.calculation == "scf" else step(job, 1) + scf(how="cut")
    return Reply(
        HEADER + body + "\n     Maximum CPU time exceeded\n\n     max_seconds     =       4.00\n" + FOOTER, code=2
    )


def schema(job: Job) -> str:
    """The XML file of eigenvalues: four electrons an atom and a gap of 1 eV, 0.5 along a path; none with nickel."""
    path = "calculation      = 'bands'" in job.text
    n = 2 * len(job.symbols)
    gap = -0.5 if "Ni" in job.symbols else 0.5 if path else 1.0
    points = []
    for k in range(4):
        below, above = range(n - 1, -1, -1), range(4)
        bands = [(-1.0 - i - 0.1 * k) / HARTREE for i in below] + [(gap - 1.0 + i + 0.1 * k) / HARTREE for i in above]
        points.append(
            f'<ks_energies><k_point weight="0.5">{0.25 * k} 0.0 0.0</k_point>'
            f"<eigenvalues>{' '.join(f'{b:.10e}' for b in bands)}</eigenvalues>"
            f"<occupations>{' '.join(['1.0'] * n + ['0.0'] * 4)}</occupations></ks_energies>"
        )
    atoms = "".join(f'<atom name="{s}" index="{i + 1}"/>' for i, s in enumerate(job.symbols))
    return (
        f"<espresso><output><atomic_structure>{atoms}</atomic_structure><band_structure><lsda>false</lsda>"
        f"<nelec>{2.0 * n}</nelec><fermi_energy>-0.03</fermi_energy><occupations_kind>smearing</occupations_kind>"
        f"{''.join(points)}</band_structure></output></espresso>"
    )


SCENARIOS: dict[str, Callable[[Job], Reply]] = {
    "good": good,
    "low_energy": lambda j: Reply(HEADER + scf(-99.9) + forces(j) + FOOTER),
    "top_band_occupied": top_band,
    "scf_stuck": lambda j: Reply(HEADER + step(j, 1) + scf(how="stuck", iterations=40), code=2, then="wait_exit"),
    "smearing_stalls": lambda _: Reply(HEADER + scf(how="stalled", iterations=80) + FOOTER, code=2),
    "smearing_stalls_in_relax": lambda j: Reply(
        HEADER + step(j, 1) + scf(how="stalled", iterations=40), code=2, then="wait_exit"
    ),
    "filled_bands": lambda j: Reply(HEADER + scf(filled=((1.0, 1.0, 1.0, 0.0),) * 2) + forces(j) + FOOTER),
    "crossing_bands": lambda j: Reply(
        HEADER + scf(filled=((1.0, 0.9, 0.8, 0.0), (1.0, 0.9, 0.3, 0.0))) + forces(j) + FOOTER
    ),
    "bfgs_history": bfgs(0.02, 5.0),
    "bfgs_history_converged": bfgs(1e-5, 0.01),
    "cholesky": _stopped("cdiaghg", "problems computing cholesky"),
    "too_many_bands": _stopped("c_bands", "too many bands are not converged"),
    "s_matrix": _stopped("cdiaghg", "S matrix not positive definite"),
    "zhegvd": _stopped("cdiaghg", "zhegvd failed"),
    "qr": _stopped("ppcg_gamma", "[Q, R] = qr(X, 0) failed"),
    "eigenvectors": _stopped("rdiaghg", "eigenvectors failed to converge"),
    "broyden": _stopped("broyden", "factorization", before=lambda _: scf(how="cut")),
    "max_seconds": clean_stop,
    "stopped_in_forces": lambda _: Reply(HEADER + scf() + "\n     Maximum CPU time exceeded\n" + FOOTER, code=2),
    "interrupted": lambda j: Reply(HEADER + step(j, 1) + step(j, 2) + scf(how="cut"), code=1),
    "final_scf_thresholds": lambda j: Reply(HEADER + step(j, 1) + finished_relax(j, final_force=0.01) + FOOTER),
    "nstep": lambda j: Reply(
        HEADER + step(j, 1) + step(j, 2) + "     The maximum number of steps has been reached.\n" + FOOTER, code=3
    ),
    "radial_fft": _stopped(
        "scale_h",
        "Not enough space allocated for radial FFT: try restarting with a larger cell_factor.",
        before=lambda j: step(j, 1),
    ),
    "scf_in_relax": lambda j: Reply(HEADER + step(j, 1) + scf(how="failed", iterations=80) + FOOTER, code=2),
    "scf_in_final": lambda j: Reply(HEADER + step(j, 1) + finished_relax(j, final_how="failed") + FOOTER, code=2),
    "scf_not_converged": lambda _: Reply(HEADER + scf(how="failed", iterations=80) + FOOTER, code=2),
    "scf_unconverged_allowed": lambda j: Reply(HEADER + scf(how="allowed") + forces(j) + FOOTER),
    "killed_at_walltime": lambda j: Reply(HEADER + step(j, 1) + scf(how="cut"), then="sleep"),
    "hanging": lambda _: Reply(HEADER, then="sleep"),
    "unreadable": lambda _: Reply(raw=bytes(range(256)) * 40, code=0),
    "no_output": lambda _: Reply(code=1),
    "no_g_vector": _stopped("kpoints", "probably because G_par is NOT a reciprocal lattice vector"),
    "dexx_negative": _stopped(
        "electrons", "dexx is negative!  Check that exxdiv_treatment is appropriate for the system"
    ),
    "too_many_pools": lambda _: Reply("", error("mp_pools", "some nodes have no k-points")[1], code=1),
    "charge_wrong": _stopped("electrons", "charge is wrong: smearing is needed"),
    "bands_overlap": overlap,
    "symmetry_broken": _stopped("checkallsym", "not orthogonal operation", before=lambda j: step(j, 1)),
    "out_of_memory": lambda j: Reply(HEADER + step(j, 1), then="kill9"),
    "disk_full": lambda _: Reply(HEADER, stderr="forrtl: No space left on device\n", code=1),
    "crashed": _stopped("readpp", "file Si.upf not readable"),
    "stars_in_energy": lambda j: Reply(
        HEADER + re.sub(r"(!    total energy  .*=).*Ry", r"\1 **************** Ry", good(j).stdout)
    ),
    "nan_in_forces": lambda j: Reply(
        re.sub(r"force =  .*", "force =           NaN           NaN           NaN", good(j).stdout)
    ),
    "stars_in_stress": lambda j: Reply(
        re.sub(r"(\(kbar\).*\n)  .*", r"\1   *************   0.0000   0.0000", good(j).stdout)
    ),
    "folder_removed": lambda _: Reply(HEADER, then="remove"),
    "folder_removed_while_working": lambda _: Reply(HEADER, then="remove_and_sleep"),
}
