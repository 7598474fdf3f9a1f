"""What projwfc.x, pp.x, ph.x and dynmat.x write, fabricated; `ph.x` and the others beside this file run it.

$FAKE_QE_POST_PLAN names a file with one word a run: good, kill9, error, cut (no "JOB DONE."), unconverged. The count
of runs stands in `<plan>.count`. Standard library only.
"""

from __future__ import annotations

import math
import os
import re
import signal
import sys
from pathlib import Path

LINE = "%" * 79
DONE = "\n   JOB DONE.\n"
NAMES = {
    "projwfc.x": "PROJWFC",
    "pp.x": "POST-PROC",
    "ph.x": "PHONON",
    "dynmat.x": "DYNMAT",
    "q2r.x": "Q2R",
    "matdyn.x": "MATDYN",
    "hp.x": "HP",
}
GRID = 16


def symbols() -> list[str]:
    """Elements of the ground state, as the fake pw.x left them in its XML."""
    text = Path("../out/dao.save/data-file-schema.xml").read_text()
    return re.findall(r'<atom name="([A-Za-z]+)', text)


def projwfc() -> str:
    """A flat density of states, half of it s and half p, and charges that favour the last atom."""
    rows = [f"{e / 10:8.3f}  0.100E+01  0.100E+01" for e in range(-100, 120)]
    Path("dao.pdos_tot").write_text("# E (eV)  dos(E)    pdos(E)\n" + "\n".join(rows) + "\n")
    out = []
    elements = symbols()
    for i, element in enumerate(elements, start=1):
        for n, orbital in enumerate("sp", start=1):
            share = [f"{e / 10:8.3f}  0.250E+00  0.250E+00" for e in range(-100, 120)]
            path = Path(f"dao.pdos_atm#{i}({element})_wfc#{n}({orbital})")
            path.write_text("# E (eV)   ldos(E)   pdos(E)\n" + "\n".join(share) + "\n")
        charge = 3.5 + (i == len(elements))
        out.append(f"     Atom # {i:3d}: total charge = {charge:8.4f}, s =  1.0000,")
    return "Lowdin Charges:\n\n" + "\n".join(out) + "\n"


def pp() -> str:
    """An ELF with one maximum, in the middle of the cell."""
    lines = [" Cubefile", "Contains", "    1    0.0 0.0 0.0"]
    lines += [f"   {GRID}" + "".join(f"{(0.5 if i == j else 0.0):12.6f}" for j in range(3)) for i in range(3)]
    lines.append("   14   14.0  0.0 0.0 0.0")
    values = []
    for a in range(GRID):
        for b in range(GRID):
            for c in range(GRID):
                r2 = sum((x / GRID - 0.5) ** 2 for x in (a, b, c))
                values.append(f"{0.9 * math.exp(-20 * r2):.5E}")
    lines += [" ".join(values[i : i + 6]) for i in range(0, len(values), 6)]
    Path("elf.cube").write_text("\n".join(lines) + "\n")
    return "     Output\n"


def modes(values: list[float]) -> str:
    """Frequencies as ph.x and dynmat.x list them."""
    rows = [
        f"     freq ({i:5d}) = {v:15.6f} [THz] = {33.35641 * v:15.6f} [cm-1]" for i, v in enumerate(values, start=1)
    ]
    return "\n".join(rows) + "\n"


def ph() -> str:
    """A dynamical matrix at Gamma with Born charges, or one q of a grid."""
    if "ldisp" in Path(sys.argv[sys.argv.index("-in") + 1]).read_text():
        grid()
        return ""
    diagonal = ["".join(f"  {2.0 if a == b else 0.0:.12f}" for b in range(3)) for a in range(3)]
    block = "\n".join(diagonal) + "\n"
    charges = "".join(f"     atom #{i:5d}\n{block}" for i in range(1, len(symbols()) + 1))
    text = f"     Dielectric Tensor:\n\n{block}\n     Effective Charges E-U: Z_{{alpha}}{{s,beta}}\n\n{charges}"
    Path("dyn").write_text(
        text + "\n     Diagonalizing the dynamical matrix\n\n" + modes([-0.1, 0.0, 0.1, 12.0, 12.0, 12.0])
    )
    return "     Convergence has been achieved\n"


def grid() -> None:
    """Two q-points of a grid: the list of them, and the dynamical matrix of the one that is asked for (the grid's)."""
    text = Path(sys.argv[sys.argv.index("-in") + 1]).read_text()
    Path("dyn0").write_text("   2   2   2\n   2\n   0.0 0.0 0.0\n   0.5 0.0 0.0\n")
    number = re.search(r"start_q=(\d+)", text)
    size = re.search(r"nq1=(\d+)", text)
    Path(f"dyn{number.group(1) if number else 1}").write_text(modes([int(size.group(1)) / 2 if size else 1.0] * 6))


def q2r() -> str:
    """Force constants, of the dynamical matrices that must be there."""
    Path("fc").write_text(Path("../dyn/dyn1").read_text() + Path("../dyn/dyn2").read_text())
    return ""


def matdyn() -> str:
    """Frequencies of 100 cm-1 times the number of the mode at every q."""
    lines = Path(sys.argv[sys.argv.index("-in") + 1]).read_text().split("/\n")[1].splitlines()
    points = lines[1 : 1 + int(lines[0])]
    rows = [f"  {p}\n  " + " ".join(f"{100.0 * m:.4f}" for m in range(1, 7)) for p in points]
    Path("freq").write_text(f" &plot nbnd=   6, nks={len(points):4d} /\n" + "\n".join(rows) + "\n")
    return ""


def dynmat() -> str:
    """Three acoustic modes at zero, optical ones that split along a direction."""
    along = re.search(r"q\(\d\)=1", Path(sys.argv[sys.argv.index("-in") + 1]).read_text())
    Path("modes").write_text(modes([0.0, 0.0, 0.0, 12.0, 12.0, 21.0 if along else 12.0]))
    return ""


def hp() -> str:
    """The file of Hubbard parameters: 5 eV on each nickel, 0.25 more from site to site."""
    head = "                           Hubbard U parameters:\n\n"
    head += "       site n.  type  label  spin  new_type  new_label  Hubbard U (eV)\n"
    sites = [(i, e) for i, e in enumerate(symbols(), start=1) if e == "Ni"]
    rows = [f"       {i:3d}      {i:3d}   {e:4s}    {1:2d}    {i:3d}         {e:4s}   {5.0 + 0.25 * n:10.4f}"
            for n, (i, e) in enumerate(sites)]  # fmt: skip
    line = "\n  =-------------------------------------------------------------------=\n"
    Path("dao.Hubbard_parameters.dat").write_text(line + head + "\n".join(rows) + line)
    return ""


WORK = {"projwfc.x": projwfc, "pp.x": pp, "ph.x": ph, "dynmat.x": dynmat, "q2r.x": q2r, "matdyn.x": matdyn, "hp.x": hp}


def main(program: str) -> int:
    """Run a program once, as the plan says."""
    name = os.environ.get("FAKE_QE_POST_PLAN")
    word = "good"
    if name:
        plan, count = Path(name), Path(f"{name}.count")
        number = int(count.read_text()) if count.exists() else 0
        count.write_text(str(number + 1))
        words = plan.read_text().split()
        word = words[number] if number < len(words) else "good"
    print(
        f"     Program {NAMES.get(program, program[:-2].upper())} v.6.7MaX starts on 22Nov2026 at  3:20:20", flush=True
    )
    if word == "kill9":
        os.kill(os.getpid(), signal.SIGKILL)
    if word == "error":
        words = f"     Error in routine {program[:-2]}_check (1):\n     what it cannot do"
        print(f" {LINE}\n{words}\n {LINE}\n     stopping ...")
        return 1
    text = WORK[program]()
    if word == "unconverged":  # as ph.x does: "JOB DONE." all the same
        text += "     No convergence has been achieved\n"
    print(text + ("" if word == "cut" else DONE))
    return 0
