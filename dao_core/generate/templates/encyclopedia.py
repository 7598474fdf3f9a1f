"""Structures of the AFLOW Encyclopedia of Crystallographic Prototypes, from the labels and parameters in kim-tools.

An entry is a prototype label, such as A2B_tP6_136_f_a, with the free parameters of its cell and sites. Sources: Mehl
et al., Comput. Mater. Sci. 136, S1 (2017), Hicks et al., 161, S1 (2019), 199, 110450 (2021), Eckert et al., 240, 112988
(2024); the package kim-tools (CDDL-1.0) carries them as JSON.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from functools import lru_cache
from math import gcd
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.elements import UnknownElementError, atomic_number
from dao_core.generate.symmetry.wyckoff_sites import averaged_lattice, first_of_each, operations, orbit
from dao_core.generate.symmetry.wyckoff_tables import LETTERS, wyckoff_positions
from dao_core.package_data import CarrierPackage

CARRIER = CarrierPackage("kim-tools==0.4.15", "7f965449943935eeb92de0eb816ad490035583874a95be8541339682227abf42")
MEMBERS = "kim_tools/aflow_util/aflow_prototype_encyclopedia/data/"
SOURCE = f"AFLOW Encyclopedia of Crystallographic Prototypes as in {CARRIER.requirement}"
MIN_DISTANCE = 0.7  # angstrom; entries with a shorter one are misprints or hydrogen positions of old X-ray work
MAX_ATOMS = 64
SYMPREC = 0.01  # angstrom; parameters have five digits
_LABEL = re.compile(r"^(?P<formula>(?:[A-Z]\d*)+)_(?P<pearson>[a-z][A-Z]\d+)_(?P<number>\d+)_(?P<sites>[A-Za-z0-9_]+)")


class EncyclopediaError(ValueError):
    """An entry that does not describe a crystal; the message says why."""


def read_entry(path: Path, *, max_atoms: int = MAX_ATOMS) -> Crystal | str:
    """The primitive cell of one entry, or the reason why it has none that can be used.

    Args:
        path: The entry's `info.json`.
        max_atoms: Largest primitive cell that is taken.
    """
    try:
        crystal = entry_crystal(json.loads(path.read_text()))
    except (EncyclopediaError, InvalidCrystalError, UnknownElementError, ValueError, KeyError, TypeError) as error:
        return str(error)
    return crystal if crystal.n_atoms <= max_atoms else f"more than {max_atoms} atoms in the primitive cell"


def entry_crystal(entry: Mapping[str, Any]) -> Crystal:
    """The primitive cell of one entry, its space group confirmed.

    Args:
        entry: `label`, `prototype`, `parameter_symbols` and `parameter_values` as in kim-tools.

    Raises:
        EncyclopediaError: The entry contradicts itself, is partially occupied or has overlapping atoms.
    """
    match = _LABEL.match(str(entry["label"]))
    if match is None:
        raise EncyclopediaError("the label is not AFLOW's")
    number = int(match["number"])
    values = dict(zip(entry["parameter_symbols"], map(float, entry["parameter_values"]), strict=True))
    lattice = _lattice(number, match["pearson"], values)
    elements = _elements(str(entry["prototype"]), match["formula"])
    frac, numbers = [], []
    for element, point in zip(*_sites(number, match["sites"], elements, values), strict=True):
        images = _orbit(number, point)
        frac.append(images)
        numbers += [element] * len(images)
    return _primitive(Crystal(lattice, np.concatenate(frac), np.array(numbers)), number)


def _elements(prototype: str, formula: str) -> list[int]:
    """Atomic numbers of the label's species A, B, ...: the elements of the formula in alphabetical order.

    Some entries spell the formula as chemists do, such as NaClO3: its chlorine is the label's A all the same.
    """
    counts = {s: int(n or 1) for s, n in re.findall(r"([A-Z][a-z]?)(\d*)", prototype)}
    expected = [int(n or 1) for n in re.findall(r"[A-Z](\d*)", formula)]
    units = gcd(*counts.values()) if counts else 1  # labels are reduced, formulas such as B2H6 need not be
    whole = "".join(f"{s}{n if n > 1 else ''}" for s, n in counts.items()) == prototype
    species = sorted(counts)
    if not whole or [counts[s] // units for s in species] != expected:
        raise EncyclopediaError(f"{prototype} is not {formula} with whole elements: partially occupied")
    return [atomic_number(s) for s in species]


def _sites(
    number: int, sites: str, elements: list[int], values: Mapping[str, float]
) -> tuple[list[int], list[NDArray[np.float64]]]:
    """Element and first point of each orbit. AFLOW numbers parameters by Wyckoff letter, then by species."""
    orbits = []
    for species, text in enumerate(sites.split("_")[: len(elements)]):
        for count, letter in re.findall(r"(\d*)([A-Za-z])", text):
            orbits += [(LETTERS.index(letter), species)] * int(count or 1)
    positions = _aflow_positions(number)
    chosen, points = [], []
    for running, (letter, species) in enumerate(sorted(orbits), start=1):
        rotation, translation = positions[LETTERS[letter]]
        free = np.array([values.get(f"{axis}{running}", 0.0) for axis in "xyz"])
        points.append(rotation @ free + translation)
        chosen.append(elements[species])
    used = {f"{axis}{i}" for i in range(1, len(orbits) + 1) for axis in "xyz"}
    beyond = [name for name in values if name[0] in "xyz" and name not in used]
    if beyond:
        raise EncyclopediaError(f"parameters of no site: {', '.join(beyond)}")
    return chosen, points


def _lattice(number: int, pearson: str, values: Mapping[str, float]) -> NDArray[np.float64]:
    """Conventional lattice of AFLOW's setting (3, 3); for hR the rhombohedral axes."""
    from pymatgen.core import Lattice

    a = values["a"]
    b, c = a * values.get("b/a", 1.0), a * values.get("c/a", 1.0)
    if pearson.startswith("hR"):
        vectors = [[a / 2, -a / np.sqrt(12), c / 3], [0.0, a / np.sqrt(3), c / 3], [-a / 2, -a / np.sqrt(12), c / 3]]
        return np.array(vectors)
    if 143 <= number <= 194:
        return np.array(Lattice.hexagonal(a, c).matrix)
    angles = [values.get(name, 90.0) for name in ("alpha", "beta", "gamma")]
    return np.array(Lattice.from_parameters(a, b, c, *angles).matrix)


@lru_cache(maxsize=231)
def _hall_number(number: int) -> int:
    """AFLOW's setting: the second origin choice and rhombohedral axes where there is a choice, else the standard."""
    from moyopy import HallSymbolEntry

    entries = [h for h in range(1, 531) if HallSymbolEntry(h).number == number]
    return next((h for h in entries if HallSymbolEntry(h).setting[:1] in ("2", "R")), entries[0])


@lru_cache(maxsize=231)
def _operations(number: int) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """All operations of AFLOW's conventional cell: rotations (K, 3, 3), translations (K, 3)."""
    from moyopy import Setting, operations_from_number

    known = operations_from_number(number, setting=Setting.hall_number(_hall_number(number)))
    return np.array(known.rotations, dtype=float), np.array(known.translations)


def _orbit(number: int, point: NDArray[np.float64]) -> NDArray[np.float64]:
    """All distinct images (m, 3) of a point in AFLOW's conventional cell."""
    rotations, translations = _operations(number)
    images = rotations @ point + translations
    return np.asarray(images[first_of_each(images)])


@lru_cache(maxsize=231)
def _aflow_positions(number: int) -> dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]]:
    """Of each letter the first point in AFLOW's setting, rotation @ (x, y, z) + translation.

    moyopy names the positions of a structure's own standardised cell: one structure for each letter is made.
    """
    from moyopy import Cell, MoyoDataset, Setting
    from pymatgen.core.operations import SymmOp

    rng = np.random.default_rng(number)
    lattice = averaged_lattice(np.diag([7.0, 8.1, 9.3]) + rng.uniform(0.2, 0.6, (3, 3)), operations(number)[0])
    general = orbit(number, np.array([0.13, 0.29, 0.41]))
    by_letter: dict[str, tuple[NDArray[np.float64], NDArray[np.float64]]] = {}
    for position in wyckoff_positions(number).values():
        site = orbit(number, position.origin + position.directions @ rng.uniform(0.11, 0.37, position.n_free))
        cell = Cell(lattice.tolist(), [*general.tolist(), *site.tolist()], [1] * len(general) + [2] * len(site))
        dataset = MoyoDataset(cell, symprec=1e-5, setting=Setting.hall_number(_hall_number(number)))
        for named in dataset.normalizer_wyckoff_positions().wyckoffs:
            operation = SymmOp.from_xyz_str(named.coordinates)
            by_letter[named.letter] = (operation.rotation_matrix, operation.translation_vector)
    return by_letter


def _primitive(crystal: Crystal, number: int) -> Crystal:
    from moyopy import Cell, MoyoDataset

    if not crystal.to_pymatgen().is_valid(MIN_DISTANCE):
        raise EncyclopediaError(f"two atoms closer than {MIN_DISTANCE} angstrom")
    cell = Cell(crystal.lattice.tolist(), crystal.frac_coords.tolist(), crystal.atomic_numbers.tolist())
    dataset = MoyoDataset(cell, symprec=SYMPREC)
    if dataset.number != number:
        raise EncyclopediaError(f"the parameters give space group {dataset.number}, the label says {number}")
    primitive = dataset.prim_std_cell
    return Crystal(np.array(primitive.basis), np.array(primitive.positions), np.array(primitive.numbers))
