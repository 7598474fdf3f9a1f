"""The Python face of DAO, reached as `import dao_core as dao`: a formula in, structures out.

Structures are taken as `Crystal`, ASE `Atoms` or pymatgen `Structure` everywhere.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.readers.base import NamedStructure, Refusal
from dao_core.settings_error import SettingsError, checked_settings

if TYPE_CHECKING:
    from ase import Atoms
    from pandas import DataFrame
    from pymatgen.core import Structure

    from dao_core.energy.adapters.ase import PotentialCalculator
    from dao_core.screening.candidate import Candidate
    from dao_core.screening.proposals import Proposer
    from dao_core.screening.proposed import Proposed
    from dao_core.screening.report.page_data import ReportInfo

SHOWN = ("rank", "formula", "spacegroup_after", "probability", "energy_per_atom", "energy_std", "relaxation_status",
         "origin")  # fmt: skip # columns of a notebook's table


@dataclass(frozen=True)
class Prediction:
    """Ranked structures of one formula, best first.

    Attributes:
        formula: As it was asked for.
        candidates: In order of probability; those whose relaxation failed stand last.
        info: What was asked, which models answered, and counts that add up.
    """

    formula: str
    candidates: list[Candidate]
    info: ReportInfo

    def __len__(self) -> int:
        return len(self.candidates)

    def __iter__(self) -> Iterator[Candidate]:
        return iter(self.candidates)

    @property
    def best(self) -> Candidate:
        """The candidate of highest probability. Raises LookupError where none is usable."""
        for candidate in self.candidates:
            if candidate.usable:
                return candidate
        if any(not candidate.rejected for candidate in self.candidates):
            raise LookupError(
                f"no structure of {self.formula} was relaxed: the candidates stand as they were proposed, likeliest "
                "first; info.notes say why, and a larger budget_seconds relaxes them"
            )
        reasons = ", ".join(f"{n} {reason}" for reason, n in self.info.reasons.items()) or "none was proposed"
        raise LookupError(f"no usable structure of {self.formula} ({reasons}): try more proposals or larger cells")

    def to_dataframe(self) -> DataFrame:
        """One row a candidate with all that is known of it; the columns of `candidates.parquet`."""
        from dao_core.screening.report.files import candidates_table

        return candidates_table(self.candidates).to_pandas()

    def to_ase(self) -> list[Atoms]:
        """The structures as ASE `Atoms`, in rank order; probability, energy (eV/atom) and origin stand in `info`."""
        out = []
        for candidate in self.candidates:
            atoms = candidate.crystal.to_ase()
            atoms.info |= {"probability": candidate.probability, "energy_per_atom": candidate.energy_per_atom,
                           "origin": candidate.origin}  # fmt: skip
            out.append(atoms)
        return out

    def to_pymatgen(self) -> list[Structure]:
        """The structures as pymatgen `Structure`, in rank order."""
        return [candidate.crystal.to_pymatgen() for candidate in self.candidates]

    def write(self, folder: str | Path) -> Path:
        """Write CIF files, `candidates.parquet` and the page into a folder; returns the page's path.

        What an earlier answer left there goes, other files stay. Raises ForeignFileError where one is in the way.
        """
        import tempfile

        from dao_core.screening.report.page import write_report
        from dao_core.screening.report.publish import publish_report

        with tempfile.TemporaryDirectory(prefix="dao-") as scratch:
            write_report(self.candidates, scratch, info=self.info)
            return publish_report(Path(scratch), Path(folder))

    def _repr_html_(self) -> str:
        """The table that a notebook shows."""
        table = self.to_dataframe()
        shown = table[[name for name in SHOWN if name in table]]
        return shown.to_html(index=False, na_rep="-", float_format="{:.4g}".format)


def predict(formula: str, *, n: int = 40, **options: Any) -> Prediction:
    """Predict the crystal structures of a formula: propose, relax, judge, rank.

    Args:
        formula: Such as "SrTiO3" or "Ca(OH)2".
        n: Structures proposed: known prototypes and generated ones.
        **options: The models by name or folder, as fields of `ModelNames` (`potential`, `judge`, `generator`,
            `templates`, `library`, `dispersion`), and fields of `SearchSettings` (`seed`, `max_atoms`, `z`,
            `budget_seconds`, ...). Of its field `judge` there is `n_judged`, how many structures the judge relaxes:
            `judge` itself names the model.

    Returns:
        The ranked candidates.

    Raises:
        FormulaError: The formula can't be read or has no cell within `max_atoms`.
        SettingsError: An option is unknown or its value wrong.
        CheckpointError: A model can't be loaded.

    Example:
        >>> import dao_core as dao
        >>> result = dao.predict("NaCl", n=8)  # doctest: +SKIP
        >>> result.best.spacegroup_after  # doctest: +SKIP
        225
    """
    from dao_core.screening.formulas import parse_formula
    from dao_core.screening.load_models import models_by_name
    from dao_core.screening.search import search
    from dao_core.screening.settings import ModelNames, ProposalCount, SearchSettings, proposal_shares

    parsed = parse_formula(formula)
    count = checked_settings(ProposalCount, {"n": n}).n
    allowed = {"n", "n_judged", *ModelNames.model_fields, *SearchSettings.model_fields}
    if not isinstance(options.get("judge", ""), str | Path):
        raise SettingsError("settings: judge: give the name of a model; n_judged says how many structures it relaxes")
    names = checked_settings(ModelNames, {k: options.pop(k) for k in ModelNames.model_fields if k in options})
    shares: dict[str, Any] = proposal_shares(count, generator=names.generator != "none")
    if "n_judged" in options:
        if names.judge == "none":
            raise SettingsError("settings: n_judged: it counts what the judge relaxes, and judge is none")
        shares["judge"] = {"n_judged": options.pop("n_judged")}
    outcome = search([parsed], models_by_name(names), checked_settings(SearchSettings, {**shares, **options}, allowed))
    return Prediction(formula, list(outcome.candidates), outcome.info)


def relax(structures: Any, *, potential: str | Path = "dao", **settings: Any) -> Any:
    """Relax one structure or several.

    Args:
        structures: A `Crystal`, ASE `Atoms`, pymatgen `Structure` or an entry of `read_structures`, or a sequence of
            them.
        potential: As for `predict`.
        **settings: Of `RelaxSettings`: `fmax` (eV/angstrom), `max_steps`, `pressure_gpa`, `relax_cell`, ...

    Returns:
        A `RelaxationResult` for one structure, a list for a sequence: `crystal`, `energy_per_atom` (eV), `status`.

    Raises:
        InvalidCrystalError: A structure is no crystal, or holds atoms fixed; of several the message names which.
        SettingsError: A setting is unknown or its value wrong.
        TypeError: What was given is no structure.
    """
    from dao_core.energy.registry import load_potential
    from dao_core.energy.relaxation.relax import RelaxSettings
    from dao_core.energy.relaxation.relax import relax as relax_all

    asked = checked_settings(RelaxSettings, settings, {"potential", *RelaxSettings.model_fields})
    if not isinstance(structures, Sequence) or isinstance(structures, str) or _is_structure(structures):
        return relax_all([_free_crystal(structures)], load_potential(potential), asked)[0]
    crystals = [_free_crystal(structure, f"structures[{i}]: ") for i, structure in enumerate(structures)]
    return relax_all(crystals, load_potential(potential), asked)


def calculator(potential: str | Path = "dao", *, dispersion: bool = False) -> PotentialCalculator:
    """An ASE calculator over DAO-P or any other energy model: `atoms.calc = dao.calculator()`.

    Args:
        potential: As for `predict`. A model is loaded once a process, however many calculators use it.
        dispersion: Add PBE-D3(BJ), to a model of total energies.

    Returns:
        The calculator, with energies in eV, forces in eV/angstrom and stress in eV/angstrom^3.

    Raises:
        DispersionError: Dispersion on formation energies, as DAO-P's are.
    """
    from dao_core.energy.adapters.ase import PotentialCalculator
    from dao_core.energy.registry import load_potential

    return PotentialCalculator(load_potential(potential, dispersion=dispersion))


def templates(formula: str, *, n: int = 16, source: str | Path = "auto", **settings: Any) -> list[Proposed]:
    """Known prototypes decorated with the formula's elements, the likeliest first, as they stand before a relaxation.

    Args:
        formula: Such as "SrTiO3".
        n: At most so many.
        source: "auto", a CrysDB table or the folder of a template index.
        **settings: Of `SearchSettings`.

    Returns:
        Each with `crystal`, `origin` and `provenance` (which structure it was taken from, and its score).
    """
    from dao_core.screening.proposals import propose_known

    names = {"templates": source, "generator": "none", "library": "none"}
    return propose_known(_proposer(formula, names, ("n_templates", n), settings)).items


def generate(formula: str, *, n: int = 8, generator: str | Path = "dao", **settings: Any) -> list[Proposed]:
    """Structures that DAO-G draws for a formula, as drawn.

    Args:
        formula: Such as "SrTiO3".
        n: How many; fewer where a draw is no crystal.
        generator: "dao" or a DAO-G checkpoint folder.
        **settings: Of `SearchSettings`: `seed`, `z`, `given`, ...

    Returns:
        Each with `crystal`, `origin` and `provenance`.
    """
    from dao_core.screening.generation import generate as generate_for
    from dao_core.screening.proposals import propose_known

    names = {"templates": "none", "generator": generator, "library": "none"}
    proposer = _proposer(formula, names, ("n_generated", n), settings)
    return propose_known(proposer).items + generate_for(proposer).items


def _proposer(formula: str, names: dict[str, str | Path], share: tuple[str, int], settings: dict[str, Any]) -> Proposer:
    """What proposes `share`, a field of `SearchSettings` and how many, for a formula."""
    from dao_core.screening.formulas import parse_formula
    from dao_core.screening.load_models import models_by_name
    from dao_core.screening.proposals import Proposer
    from dao_core.screening.settings import ModelNames, ProposalCount, SearchSettings

    parsed = parse_formula(formula)
    wanted = {share[0]: checked_settings(ProposalCount, {"n": share[1]}).n}
    shares = {"n_generated": 0, "n_seeded": 0, "n_templates": 0, **wanted}
    asked = checked_settings(SearchSettings, {**shares, **settings}, {"n", *SearchSettings.model_fields})
    return Proposer(parsed, models_by_name(checked_settings(ModelNames, {"judge": "none", **names})), asked)


class CrysDB:
    """A CrysDB to read: `dao.CrysDB("runs/crysdb").query("SELECT formula_reduced FROM crysdb WHERE is_stable")`."""

    def __init__(self, path: str | Path = "runs/crysdb") -> None:
        """Open the folder of a database, or its table. Raises TableError where there is none."""
        from dao_core.crysdb.table import CrysTable, TableError

        folder = Path(path)
        self.table = CrysTable(folder / "table" if (folder / "table").is_dir() else folder)
        if not self.table.exists:
            raise TableError(f"no CrysDB at {folder}: build one (dao crysdb build --root {folder}) or correct the path")

    @property
    def version(self) -> int:
        """The newest version of the table."""
        return int(self.table.version)

    def query(self, sql: str, *, version: int | None = None) -> DataFrame:
        """Rows of the database by SQL.

        Args:
            sql: A SELECT in DuckDB's dialect; the table is called `crysdb`.
            version: Version of the table; None: the newest.

        Returns:
            The rows as a pandas DataFrame.

        Raises:
            QueryError: The query is not one SELECT, or DuckDB refuses it.
            TableError: There is no such version.
        """
        from dao_core.crysdb.query import query

        return query(self.table, sql, version=version).to_pandas()

    def __repr__(self) -> str:
        return f"CrysDB({str(self.table.path)!r}, version {self.version})"


def as_crystal(structure: Any) -> Crystal:
    """A structure of any of the kinds that `relax` takes as a `Crystal`. Raises InvalidCrystalError, TypeError."""
    if isinstance(structure, NamedStructure):
        structure = structure.value
    if isinstance(structure, Crystal):
        return structure
    if isinstance(structure, Refusal):
        raise InvalidCrystalError(f"{structure.row} could not be read: {structure.reason}")
    if _is_ase(structure):
        return Crystal.from_ase(structure)
    if _is_pymatgen(structure):
        crystal = Crystal.from_pymatgen(structure)
        names = {
            getattr(site.specie, "element", site.specie).name for site in structure
        }  # `symbol` says H of all three
        for isotope in sorted({"D", "T"} & names):
            warnings.warn(f"{isotope} is read as H", stacklevel=2)
        return crystal
    kind = type(structure).__name__
    if isinstance(structure, str | Path):
        raise TypeError(f"{kind} is no structure: read the file first, by dao.read_structures({str(structure)!r})")
    if isinstance(getattr(structure, "crystal", None), Crystal):
        raise TypeError(f"{kind} is no structure: give its `crystal`")
    raise TypeError(f"{kind} is no structure: give a Crystal, ASE Atoms or a pymatgen Structure")


def _free_crystal(structure: Any, where: str = "") -> Crystal:
    """A structure all of whose atoms may move; `where` begins what is said of one that is refused."""
    try:
        _check_free(structure)
        return as_crystal(structure)
    except (InvalidCrystalError, TypeError) as error:
        raise type(error)(f"{where}{error}") from None


def _check_free(structure: Any) -> None:
    fixed = _what_is_fixed(structure)
    if fixed:
        raise InvalidCrystalError(
            f"{fixed}: a relaxation here moves every atom; remove it, or relax with ASE (atoms.calc = dao.calculator())"
        )


def _what_is_fixed(structure: Any) -> str:
    """What holds atoms of a structure in their places: ASE's constraints or VASP's selective dynamics."""
    if _is_ase(structure):
        return ", ".join(sorted({type(constraint).__name__ for constraint in structure.constraints}))
    if _is_pymatgen(structure):
        moves = structure.site_properties.get("selective_dynamics") or ()
        return "" if all(all(flags) for flags in moves if flags is not None) else "selective_dynamics"
    return ""


def _is_ase(value: Any) -> bool:
    return hasattr(value, "get_chemical_symbols")


def _is_pymatgen(value: Any) -> bool:
    return hasattr(value, "frac_coords") and hasattr(value, "is_ordered")  # `species` fails on a disordered one


def _is_structure(value: Any) -> bool:
    return isinstance(value, Crystal | NamedStructure) or _is_ase(value) or _is_pymatgen(value)
