"""Write a PwInput through ASE's Espresso, read the file back and compare."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import write_atomic
from dao_core.dft.hubbard import hubbard_card, hubbard_namelist
from dao_core.dft.pw.input import InputMismatchError, PwInput, to_dict

PWI, INPUT_JSON = "espresso.pwi", "input.json"
MAX_SECONDS_FRACTION = 0.95


def effective_namelists(pw_input: PwInput) -> dict[str, dict[str, Any]]:
    """Namelists with the restart mode and the clean-stop time put in."""
    names = {s: dict(d) for s, d in pw_input.namelists.items()}
    names["control"].setdefault("max_seconds", round(MAX_SECONDS_FRACTION * pw_input.wall_seconds, 1))
    names["control"]["restart_mode"] = "restart" if pw_input.restart == "full" else "from_scratch"
    if pw_input.hubbard and pw_input.hubbard_form == "namelist":
        names["system"] |= hubbard_namelist(pw_input.hubbard, pw_input.species)
    if pw_input.restart == "charge":
        names["electrons"]["startingpot"] = "file"
    return names


def write_input(pw_input: PwInput, directory: str | Path) -> Path:
    """Write espresso.pwi (through ASE) and input.json, read the first back and compare.

    Args:
        pw_input: What pw.x gets.
        directory: Of the run.

    Returns:
        Path of espresso.pwi.

    Raises:
        InputMismatchError: What was read back differs.
    """
    from ase.calculators.espresso import Espresso, EspressoProfile

    folder = Path(directory)
    folder.mkdir(parents=True, exist_ok=True)
    atoms = pw_input.crystal.to_ase()
    if pw_input.atom_magnetisation:
        atoms.set_initial_magnetic_moments(pw_input.atom_magnetisation)
    card = pw_input.hubbard and pw_input.hubbard_form == "card"
    calculator = Espresso(
        profile=EspressoProfile(command="pw.x", pseudo_dir=pw_input.pseudo_dir),
        directory=folder,
        input_data=effective_namelists(pw_input),
        pseudopotentials=dict(pw_input.pseudo_files),
        kpts=_kpoints(pw_input),
        crystal_coordinates=True,
        additional_cards=hubbard_card(pw_input.hubbard, pw_input.species) if card else None,
    )
    calculator.write_inputfiles(atoms, ["energy"])
    compare_written(pw_input, folder / PWI)
    write_atomic(folder / INPUT_JSON, json.dumps(to_dict(pw_input), indent=1))
    return folder / PWI


def _kpoints(pw_input: PwInput) -> Any:
    if not pw_input.kpoint_list:
        return pw_input.kpoints
    return np.array([[*point, 1.0 / len(pw_input.kpoint_list)] for point in pw_input.kpoint_list])  # (n, 4)


def compare_written(pw_input: PwInput, path: Path) -> None:
    """Read an input file back and compare structure, namelists, species and k-points. Raises InputMismatchError."""
    from ase.io.espresso import read_espresso_in, read_fortran_namelist

    with path.open() as handle:
        namelists, cards = read_fortran_namelist(handle)
    with path.open() as handle:
        atoms = read_espresso_in(handle)
    expected = effective_namelists(pw_input)
    differing = [
        f"{section}.{key}: {namelists.get(section, {}).get(key)!r} instead of {value!r}"
        for section, values in expected.items()
        for key, value in values.items()
        if not _same(namelists.get(section, {}).get(key), value)
    ]
    if [s.rstrip("0123456789") for s in atoms.get_chemical_symbols()] != pw_input.crystal.symbols:
        differing.append("the species")
    elif not np.allclose(atoms.cell.array, pw_input.crystal.lattice, atol=1e-8):
        differing.append("the cell")
    else:
        shift = atoms.get_scaled_positions(wrap=False) - pw_input.crystal.frac_coords
        if np.abs(shift - np.round(shift)).max() > 1e-8:
            differing.append("the positions")
    text = "\n".join(" ".join(card.split()) for card in cards)
    expected_points = [str(len(pw_input.kpoint_list))] if pw_input.kpoint_list else [*map(str, pw_input.kpoints)]
    if " ".join(expected_points) not in text:
        differing.append("the k-points")
    differing += [f"the file of {e}" for e, name in pw_input.pseudo_files.items() if name not in text]
    if differing:
        raise InputMismatchError(f"{path} differs from what was meant in {'; '.join(differing)}")


def _same(found: Any, meant: Any) -> bool:
    if isinstance(meant, float) and isinstance(found, int | float) and not isinstance(found, bool):
        return math.isclose(found, meant, rel_tol=1e-9, abs_tol=1e-30)
    return bool(found == meant)
