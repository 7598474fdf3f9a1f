"""What the electrons do: bands, densities of states, gap, charges, ELF of one crystal, each a stage of the ledger."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import ArtifactError, content_key, plain, write_atomic
from dao_core.code_version import code_version
from dao_core.crystal import Crystal
from dao_core.dft.chain import DONE, OUTPUT, Chain, ProgramError, ground_state
from dao_core.dft.electronic.bader import bader_charges, bader_installed
from dao_core.dft.electronic.eigenvalues import (
    EigenvalueError,
    Eigenvalues,
    band_gap,
    occupied_bands,
    read_eigenvalues,
)
from dao_core.dft.electronic.elf import CubeError, elf_maxima, read_cube
from dao_core.dft.electronic.states import StatesError, lowdin_charges, read_density_of_states
from dao_core.dft.launch.local import OUT
from dao_core.dft.pw.build import PREFIX, kpoint_grid
from dao_core.dft.pw.input import Calculation, PwInput
from dao_core.dft.session import Session
from dao_core.dft.settings import DftSettings

RESULT = "result.json"
PARTS = ("states", "bands", "elf")
SMALL_GAP = 0.02  # eV


@dataclass(frozen=True)
class Electrons:
    """Results by part (states, bands, elf), and for each part that failed the reason; the others stand."""

    results: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    failures: Mapping[str, str] = field(default_factory=dict)


def analyse_electrons(session: Session, pw_input: PwInput, parts: tuple[str, ...] = PARTS) -> Electrons:
    """Bands, states and ELF of the structure of an SCF; finished parts are read back.

    Args:
        session: Settings, ledger, launcher.
        pw_input: The final SCF of a validation.
        parts: Which of "states", "bands", "elf" and "bader".

    Returns:
        Results as plain values, failures by name. Nothing is raised for what a program does wrong.
    """
    results: dict[str, Mapping[str, Any]] = {}
    failures: dict[str, str] = {}
    for part in parts:
        try:
            results[part] = stage_result(session, f"dft_{part}", pw_input, _WORK[part])
        except (ProgramError, EigenvalueError, CubeError, StatesError, ArtifactError) as error:
            failures[part] = str(error)
    return Electrons(results, failures)


def possible_parts(settings: DftSettings) -> tuple[str, ...]:
    """The parts whose programs are there: those of the suite, and Bader charges where `bader` is installed."""
    return (*PARTS, "bader") if bader_installed(settings) else PARTS


def stage_result(
    session: Session, stage: str, pw_input: PwInput, work: Callable[[Chain], dict[str, Any]], **more: Any
) -> dict[str, Any]:
    """The result of a stage that works on the ground state of an SCF; computed once.

    Args:
        session: Settings, ledger, launcher.
        stage: Its name in the ledger.
        pw_input: The SCF.
        work: From the chain to plain values; may raise ProgramError.
        more: What else determines the result, for the key.
    """

    def run(directory: Path) -> dict[str, Any]:
        begin = time.monotonic()
        with ground_state(session, pw_input) as chain:
            write_atomic(directory / RESULT, json.dumps(plain(work(chain))))
        return {"facts": {"seconds": round(time.monotonic() - begin, 2)}}

    protocol = session.settings.resolved_protocol()
    key = content_key(scf=pw_input.key(), protocol=protocol, code=code_version(work), **more)
    record = session.ledger.run(stage, key, run)
    session.note(stage, float(record.facts.get("seconds", 0.0)), record.path)
    content: dict[str, Any] = json.loads(record.file(RESULT).read_text())
    return content


def _states(chain: Chain) -> dict[str, Any]:
    """Mesh of k-points denser than the SCF's, densities of states, charges and the gap on that mesh."""
    branch = chain.branch("states")
    scf = read_eigenvalues(chain.save)
    mesh = _denser(chain, scf)
    dense = branch.pw("nscf", mesh)
    eigenvalues = read_eigenvalues(branch.save)
    crystal = chain.crystal_input.crystal
    emin, emax = _window(eigenvalues)
    step = branch.run("projwfc", "projwfc.x", _projwfc_input(emin, emax), reads=[dense / DONE])
    states = read_density_of_states(step, PREFIX)
    library = chain.session.library.select(set(crystal.symbols))
    valence = {element: p.z_valence for element, p in library.items()}
    charges = lowdin_charges((step / OUTPUT).read_text(errors="replace"), crystal, valence)
    gap = band_gap(eigenvalues, scf, filled=occupied_bands(scf) or occupied_bands(eigenvalues))
    return {
        "gap": asdict(gap),
        "warning": treatment_warning(chain.crystal_input, gap.is_metal, gap.value),
        "fermi": eigenvalues.fermi,
        "kpoints": mesh.kpoints,
        "energies": states.energies,
        "total": states.total,
        "projected": states.projected,
        "at_fermi": states.at(eigenvalues.fermi) if gap.is_metal else 0.0,
        "charges": [asdict(c) for c in charges],
    }


def treatment_warning(pw_input: PwInput, is_metal: bool, gap: float) -> str:
    """Whether occupations and result agree: a metal needs smearing, an insulator none.

    Args:
        pw_input: Of the calculation.
        is_metal: By its bands.
        gap: eV.

    Returns:
        A clause for people where they do not agree, else empty.
    """
    fixed = pw_input.get("system", "occupations") == "fixed"
    if fixed and is_metal:
        return "computed as an insulator, but bands overlap: use electronic_type metal"
    if not fixed and not is_metal and gap < SMALL_GAP:
        return f"the gap of {gap:.3f} eV is of the size of the smearing: confirm with electronic_type insulator"
    return ""


def _denser(chain: Chain, scf: Eigenvalues) -> PwInput:
    protocol = chain.session.settings.resolved_protocol()
    crystal = chain.crystal_input.crystal
    grid = kpoint_grid(crystal, protocol.dos_kpoint_factor * protocol.kpoint_distance)
    return replace(_non_scf(chain.crystal_input, scf, "nscf"), kpoints=grid)


def _non_scf(pw_input: PwInput, scf: Eigenvalues, calculation: Calculation) -> PwInput:
    """The SCF's input without forces, with empty bands to look at."""
    filled = max(scf.n_electrons) / (2 if len(scf.n_electrons) == 1 else 1)
    n_bands = max(int(1.3 * filled) + 4, scf.energies.shape[2])
    new = replace(pw_input, calculation=calculation, restart="scratch", history=())
    new = new.with_values("control", calculation=calculation, tprnfor=None, tstress=None)
    return new.with_values("system", nbnd=n_bands)


def _window(eigenvalues: Eigenvalues) -> tuple[float, float]:
    lowest = float(eigenvalues.energies.min())
    return max(lowest - 2.0, eigenvalues.fermi - 60.0), eigenvalues.fermi + 12.0


def _projwfc_input(emin: float, emax: float) -> str:
    return (
        f"&projwfc\n prefix='{PREFIX}', outdir='../{OUT}', filproj='{PREFIX}', filpdos='{PREFIX}',\n"
        f" degauss=0.008, DeltaE=0.05, Emin={emin:.2f}, Emax={emax:.2f}\n/\n"
    )


def _bands(chain: Chain) -> dict[str, Any]:
    """Eigenvalues along the lattice's standard path (Setyawan and Curtarolo, Comput. Mater. Sci. 49, 299 (2010))."""
    branch = chain.branch("bands")
    crystal = chain.crystal_input.crystal
    scf = read_eigenvalues(chain.save)
    path = band_path(crystal, chain.session.settings.resolved_protocol().path_density)
    points = tuple((float(x), float(y), float(z)) for x, y, z in path["kpoints"])
    branch.pw("path", replace(_non_scf(chain.crystal_input, scf, "bands"), kpoint_list=points))
    along = read_eigenvalues(branch.save)
    gap = band_gap(scf, along, filled=occupied_bands(scf))
    return {
        "path": path["path"],
        "labels": path["labels"],
        "label_positions": path["label_positions"],
        "distances": path["distances"],
        "energies": along.energies,
        "fermi": scf.fermi,
        "gap": asdict(gap),
    }


def band_path(crystal: Crystal, density: float) -> dict[str, Any]:
    """The standard path of a cell: fractional k-points, distances along it (1/angstrom) and the named points.

    Args:
        crystal: The cell that was computed.
        density: Points per 1/angstrom, 2 pi included.
    """
    cell = crystal.to_ase().cell
    path = cell.bandpath(density=density)
    distances, positions, labels = path.get_linear_kpoint_axis()
    return {
        "path": path.path,
        "kpoints": path.kpts,
        "distances": distances * 2 * np.pi,
        "labels": labels,
        "label_positions": positions * 2 * np.pi,
    }


def _elf(chain: Chain) -> dict[str, Any]:
    """ELF on the grid of the charge density, its maxima and a coarse copy for the viewer."""
    text = (
        f"&inputpp\n prefix='{PREFIX}', outdir='../{OUT}', filplot='elf.pp', plot_num=8\n/\n"
        "&plot\n nfile=1, filepp(1)='elf.pp', weight(1)=1.0, iflag=3, output_format=6, fileout='elf.cube'\n/\n"
    )
    step = chain.run("elf", "pp.x", text)
    grid, _ = read_cube(step / "elf.cube")
    maxima = elf_maxima(grid, chain.crystal_input.crystal)
    return {"maxima": [asdict(m) for m in maxima], "grid": coarse(grid), "shape": grid.shape}


def coarse(grid: np.ndarray, largest: int = 32) -> dict[str, Any]:
    """A copy of a grid for the viewer, with fewer points and values as bytes.

    Args:
        grid: (n1, n2, n3), values from 0 to 1.
        largest: Most points along an axis.

    Returns:
        Shape and values (0 to 255) as plain JSON.
    """
    steps = [max(1, -(-n // largest)) for n in grid.shape]
    small = grid[:: steps[0], :: steps[1], :: steps[2]]
    values = np.clip(np.round(255 * small), 0, 255).astype(int)
    return {"shape": small.shape, "values": values.ravel()}


_WORK: dict[str, Callable[[Chain], dict[str, Any]]] = {
    "states": _states, "bands": _bands, "elf": _elf, "bader": bader_charges,
}  # fmt: skip
