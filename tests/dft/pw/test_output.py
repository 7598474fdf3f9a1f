"""The parser on whole, cut, crashed and empty outputs; ASE is the oracle where it can read at all."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from dao_core.crystal import Crystal
from dao_core.dft.pw.output import CRASH, STDERR, STDOUT, parse_directory, parse_text
from dao_core.units import BOHR, EV_PER_RY
from tests.helpers.fake_pw import scenarios, silicon


def whole(calculation: str = "vc-relax") -> str:
    module, c = scenarios(), silicon()
    job = module.Job(calculation, c.symbols, c.lattice.tolist(), c.frac_coords.tolist(), "")
    return str(module.SCENARIOS["good"](job).stdout)


def test_last_image_is_the_relaxed_cell(si: Crystal) -> None:
    output = parse_text(whole(), start=si)
    assert output.crystal is not None
    assert np.allclose(output.crystal.lattice, 1.01 * si.lattice, atol=1e-6)
    assert output.energy == pytest.approx(-16.906 * EV_PER_RY)
    assert (output.relaxed, output.in_final_scf, output.job_done) == (True, True, True)
    assert output.wall_seconds == 13.5
    assert output.version == "6.7MaX"


def test_units_and_signs(si: Crystal) -> None:
    module, c = scenarios(), silicon()
    job = module.Job("scf", c.symbols, c.lattice.tolist(), c.frac_coords.tolist(), "")
    output = parse_text(module.HEADER + module.scf() + module.forces(job, 0.01, 14.71) + module.FOOTER, start=si)
    assert output.max_force == pytest.approx(0.01 * EV_PER_RY / BOHR)
    assert output.pressure == pytest.approx(1.471, rel=1e-2)  # kbar -> GPa, compression positive
    assert output.stress is not None
    assert output.stress[0, 0] < 0  # tension positive


@pytest.mark.parametrize("unit", ["bohr", "angstrom", "crystal", "alat"])
def test_positions_in_every_unit(si: Crystal, unit: str) -> None:
    alat = 10.0 * BOHR
    scale = {"bohr": BOHR, "angstrom": 1.0, "alat": alat}.get(unit)
    rows = si.frac_coords if scale is None else si.cart_coords / scale
    lines = [f"{s} {x:.10f} {y:.10f} {z:.10f}" for s, (x, y, z) in zip(si.symbols, rows, strict=True)]
    text = (
        f"     lattice parameter (alat)  =      10.0000  a.u.\nATOMIC_POSITIONS ({unit})\n" + "\n".join(lines) + "\n\n"
    )
    shifted = si.replace(frac_coords=si.frac_coords + 0.1)
    output = parse_text(text, start=shifted)
    assert len(output.crystals) == 2
    assert np.allclose(output.crystals[-1].frac_coords, si.frac_coords, atol=1e-8)


def test_cut_anywhere_never_raises_and_never_invents(si: Crystal) -> None:
    text = whole()
    full = parse_text(text, start=si)
    for end in range(0, len(text), 97):
        part = parse_text(text[:end], start=si)
        assert set(part.energies) <= set(full.energies)
        assert len(part.crystals) <= len(full.crystals)
        for found, known in zip(part.crystals[:-1], full.crystals, strict=False):
            assert np.allclose(found.lattice, known.lattice)


def test_garbage_and_absence(si: Crystal, tmp_path: Path) -> None:
    assert parse_directory(tmp_path, si).text_length == 0
    (tmp_path / STDOUT).write_bytes(bytes(range(256)) * 10)
    output = parse_directory(tmp_path, si)
    assert (output.started, output.energy, output.crystal) == (False, None, si)


def test_error_that_stands_only_in_crash(si: Crystal, tmp_path: Path) -> None:
    (tmp_path / STDOUT).write_text("     Program PWSCF v.6.7MaX starts\n")
    (tmp_path / CRASH).write_text(scenarios().error("cdiaghg", "problems computing cholesky", 12)[1])
    output = parse_directory(tmp_path, si)
    assert (output.routine, output.message) == ("cdiaghg", "problems computing cholesky")
    assert "problems computing cholesky" in output.log


def test_mpi_chatter_is_not_the_message(si: Crystal, tmp_path: Path) -> None:
    (tmp_path / STDERR).write_text("mpirun noticed that process rank 0 exited\nreal reason\n")
    assert parse_directory(tmp_path, si).message == "real reason"


def test_another_structure_in_the_file_is_not_taken(si: Crystal) -> None:
    text = "ATOMIC_POSITIONS (crystal)\nGe 0.0 0.0 0.0\nGe 0.25 0.25 0.25\n"
    assert len(parse_text(text, start=si).crystals) == 1


def test_overflowing_fortran_numbers_do_not_raise(si: Crystal) -> None:
    text = "     Forces acting on atoms (cartesian axes, Ry/au):\n\n"
    text += "     atom    1 type  1   force =  *********** 0.0 0.0\n"
    assert parse_text(text + whole("scf")[:400], start=si).forces is None


def test_moments_are_those_of_the_sites_in_the_formats_of_two_versions() -> None:
    head = "     Magnetic moment per site:\n"
    totals = "     total magnetization  =  4.00 Bohr mag/cell\n     absolute magnetization  =  4.31 Bohr mag/cell\n"
    old = head + "     atom:    1    charge:   13.9    magn:    2.1000    constr:    0.0000\n"
    new = head + "     atom   1 (R=0.357)  charge= 12.1  magn=  2.2\n"
    assert parse_text(totals + old + totals).site_moments == (2.1,)
    assert parse_text(totals + old + new + totals).site_moments == (2.2,)
    assert parse_text(totals).site_moments is None
