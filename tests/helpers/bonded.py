"""Measured textbook crystals, by what holds them together."""

from __future__ import annotations

from functools import cache

from dao_core.crystal import Crystal

LOOSE = {"graphite": "layers", "molybdenite": "layers", "black phosphorus": "layers", "brucite": "layers",
         "tellurium": "chains", "iodine": "molecules", "dry ice": "molecules"}  # fmt: skip
BONDED = ("diamond", "silicon", "halite", "caesium chloride", "thallium chloride", "rutile", "anatase", "quartz",
          "calcite", "triphylite", "magnesium diboride", "ammonium chloride")  # fmt: skip


@cache
def textbook(name: str) -> Crystal:
    """The conventional cell of a crystal of `LOOSE` or `BONDED`."""
    from pymatgen.core import Lattice, Structure

    group, lengths, species, sites = _CELLS[name]
    a, b, c = lengths if len(lengths) == 3 else (lengths[0], lengths[0], lengths[-1])
    lattice = Lattice.from_parameters(a, b, c, 90, 90, 120 if group.startswith(("P6", "P3", "R", "P-3m1")) else 90)
    return Crystal.from_pymatgen(Structure.from_spacegroup(group, lattice, species, sites))


_CELLS: dict[str, tuple[str, tuple[float, ...], list[str], list[list[float]]]] = {
    "graphite": ("P6_3/mmc", (2.464, 6.711), ["C", "C"], [[0, 0, 1 / 4], [1 / 3, 2 / 3, 1 / 4]]),
    "molybdenite": ("P6_3/mmc", (3.161, 12.295), ["Mo", "S"], [[1 / 3, 2 / 3, 1 / 4], [1 / 3, 2 / 3, 0.621]]),
    "black phosphorus": ("Cmce", (3.314, 10.478, 4.376), ["P"], [[0, 0.1017, 0.0806]]),
    "brucite": ("P-3m1", (3.142, 4.766), ["Mg", "O", "H"],
                [[0, 0, 0], [1 / 3, 2 / 3, 0.2203], [1 / 3, 2 / 3, 0.430]]),
    "tellurium": ("P3_121", (4.457, 5.929), ["Te"], [[0.2636, 0, 1 / 3]]),
    "iodine": ("Cmce", (7.265, 4.786, 9.791), ["I"], [[0, 0.1543, 0.1174]]),
    "dry ice": ("Pa-3", (5.624,), ["C", "O"], [[0, 0, 0], [0.1185, 0.1185, 0.1185]]),
    "diamond": ("Fd-3m", (3.567,), ["C"], [[0, 0, 0]]),
    "silicon": ("Fd-3m", (5.431,), ["Si"], [[0, 0, 0]]),
    "halite": ("Fm-3m", (5.640,), ["Na", "Cl"], [[0, 0, 0], [1 / 2, 1 / 2, 1 / 2]]),
    "caesium chloride": ("Pm-3m", (4.123,), ["Cs", "Cl"], [[0, 0, 0], [1 / 2, 1 / 2, 1 / 2]]),
    "thallium chloride": ("Pm-3m", (3.834,), ["Tl", "Cl"], [[0, 0, 0], [1 / 2, 1 / 2, 1 / 2]]),
    "rutile": ("P4_2/mnm", (4.594, 2.959), ["Ti", "O"], [[0, 0, 0], [0.3053, 0.3053, 0]]),
    "anatase": ("I4_1/amd", (3.785, 9.514), ["Ti", "O"], [[0, 0, 0], [0, 0, 0.2081]]),
    "quartz": ("P3_221", (4.913, 5.405), ["Si", "O"], [[0.4697, 0, 2 / 3], [0.4135, 0.2669, 0.7858]]),
    "calcite": ("R-3c", (4.990, 17.061), ["Ca", "C", "O"], [[0, 0, 0], [0, 0, 1 / 4], [0.2568, 0, 1 / 4]]),
    "triphylite": ("Pnma", (10.332, 6.010, 4.692), ["Li", "Fe", "P", "O", "O", "O"],
                   [[0, 0, 0], [0.2822, 1 / 4, 0.9747], [0.0948, 1 / 4, 0.4182], [0.0968, 1 / 4, 0.7428],
                    [0.4571, 1 / 4, 0.2060], [0.1656, 0.0465, 0.2847]]),
    "magnesium diboride": ("P6/mmm", (3.086, 3.524), ["Mg", "B"], [[0, 0, 0], [1 / 3, 2 / 3, 1 / 2]]),
    "ammonium chloride": ("P-43m", (3.866,), ["N", "Cl", "H"],
                          [[0, 0, 0], [1 / 2, 1 / 2, 1 / 2], [0.153, 0.153, 0.153]]),
}  # fmt: skip
