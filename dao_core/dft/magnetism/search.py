"""The lowest magnetic ordering of a crystal, by an SCF of each; all of them are reported.

Orderings have cells of their own, and a mesh of k-points of one cell is none of another: two cells of the same
non-magnetic chromium differ by 20 meV/atom on a coarse mesh. Where the ferromagnetic ordering is that close to the
lowest, each is therefore compared with the ferromagnetic one in the same cell, where the mesh is the same.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from dao_core.crystal import Crystal
from dao_core.dft.magnetism.moments import MomentReport, magnetic_elements, moment_changes
from dao_core.dft.magnetism.orderings import Ordering, Orderings, enumerate_orderings
from dao_core.dft.pw.result import PwResult
from dao_core.dft.session import Session, StageFailedError

MESH_ERROR = 0.02  # eV/atom: energies of different cells that close may differ by their k-points alone
SAME_STATE = 0.1  # Bohr magnetons an atom: two cells of one ferromagnet agree so well in its absolute magnetisation


@dataclass(frozen=True)
class OrderingResult:
    """One ordering as computed; energy in eV/atom, None where its SCF failed (`message` says why).

    Of an ordering close to the ferromagnetic one, the energy is moved by what the mesh of its own cell changes.
    """

    label: str
    kind: str
    n_atoms: int
    energy_per_atom: float | None
    moments: MomentReport
    message: str = ""


@dataclass(frozen=True)
class MagneticSearch:
    """What was computed: all orderings, the lowest one, and what a limit left out."""

    results: tuple[OrderingResult, ...] = ()
    lowest: Ordering | None = None
    energy_per_atom: float | None = None
    note: str = ""


def possible_orderings(run: Session, crystal: Crystal) -> Orderings:
    """The orderings that the settings ask for; none for a crystal without a magnetic element."""
    settings = run.settings
    moments = {} if settings.spin == "none" else magnetic_elements(crystal)
    if not moments:
        return Orderings((), 0)
    if settings.orderings == "ferromagnetic":
        return enumerate_orderings(crystal, moments, max_cell=1, max_orderings=1)
    return enumerate_orderings(
        crystal, moments, max_cell=settings.max_magnetic_cell, max_orderings=settings.max_orderings
    )


def search_orderings(run: Session, crystal: Crystal) -> MagneticSearch:
    """An SCF of every ordering.

    Args:
        run: The session; each SCF is a stage of its ledger.
        crystal: Primitive cell at its starting structure.

    Raises:
        StageFailedError: No ordering has an energy.
    """
    orderings = possible_orderings(run, crystal)
    if not orderings.kept:
        return MagneticSearch(note=f"computed ferromagnetic only: {orderings.note}" if orderings.note else "")
    results, energies, failed = [], {}, None
    for ordering in orderings.kept:
        result = run.do(f"scf, {ordering.label}", run.build(ordering.crystal, "scf", ordering.moments))
        energy = result.energy / ordering.crystal.n_atoms if result.ok and result.energy is not None else None
        report = moment_report(ordering.moments, result)
        message = report.warning(ordering.crystal.symbols) if energy is not None else result.message
        results.append(OrderingResult(ordering.label, ordering.kind, ordering.crystal.n_atoms, energy, report, message))
        if energy is None:
            failed = result
        else:
            energies[ordering.label] = (energy, ordering)
    if not energies:
        assert failed is not None
        raise StageFailedError("scf of the magnetic orderings", failed)
    compared = on_one_mesh(run, results, energies)
    label = min(compared, key=lambda name: compared[name])
    energy, lowest = energies[label]
    rows = tuple(replace(r, energy_per_atom=compared.get(r.label)) for r in results)
    return MagneticSearch(rows, lowest, energy, orderings.note)


def on_one_mesh(
    run: Session, results: list[OrderingResult], energies: Mapping[str, tuple[float, Ordering]]
) -> dict[str, float]:
    """Energies that different meshes don't spoil: near the ferromagnetic one, each against that in its own cell.

    Args:
        run: The session; each further SCF is a stage of its ledger.
        results: Of the orderings, the ferromagnetic one first.
        energies: eV/atom and ordering by label, of those that have an energy.

    Returns:
        eV/atom by label; as they came where nothing is close, or an SCF that the comparison needs has no result.
    """
    compared = {label: energy for label, (energy, _) in energies.items()}
    first = results[0]
    lowest = min(compared.values())
    close = [energies[label][1] for label, energy in compared.items() if energy - lowest < MESH_ERROR]
    cells = [o for o in close if o.crystal.n_atoms > first.n_atoms]
    if first.energy_per_atom is None or first.label not in [o.label for o in close]:
        return compared  # among antiferromagnets alone, insulators for the most part, the mesh matters little
    moved = dict(compared)
    for ordering in cells:
        n_atoms = ordering.crystal.n_atoms
        twin = run.build(ordering.crystal, "scf", tuple(abs(m) for m in ordering.moments))
        result = run.do(f"scf, ferromagnetic in the cell of {ordering.label}", twin)
        if not result.ok or result.energy is None:
            return compared
        size = (result.absolute_magnetization or 0.0) / n_atoms
        if abs(size - (first.moments.absolute or 0.0) / first.n_atoms) > SAME_STATE:
            return compared  # another solution of the SCF: its difference is not the mesh's
        moved[ordering.label] += first.energy_per_atom - result.energy / n_atoms
    return moved


def moment_report(start: tuple[float, ...], result: PwResult) -> MomentReport:
    """Starting and final moments of a calculation side by side."""
    final = result.site_moments
    changes = moment_changes(start, final) if final is not None and len(final) == len(start) else ()
    return MomentReport(start, final, result.total_magnetization, result.absolute_magnetization, changes)
