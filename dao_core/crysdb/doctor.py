"""The doctor: is this table whole, and do its values make sense? Every check says what it saw and what to do."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal

import numpy as np

from dao_core.artifacts import ArtifactError, verify
from dao_core.crysdb.displaced import Displacement, displacements
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.guards import check_file
from dao_core.crysdb.steps.quarantine import QUARANTINE, read_quarantine
from dao_core.crysdb.table import RESTORE, CrysTable, TableError
from dao_core.elements import MAX_ATOMIC_NUMBER, SYMBOLS
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    import pyarrow as pa

Status = Literal["ok", "warning", "failed"]
SHOWN = 5  # of a longer list


@dataclass(frozen=True)
class Finding:
    """One check: `detail` says what was seen and, unless ok, the remedy."""

    check: str
    status: Status
    detail: str


def examine(root: str | Path) -> list[Finding]:
    """All checks of the database below `root`: files, ledger, counts against the build, ids, ranges, references."""
    root = Path(root)
    table = CrysTable(root / "table")
    if not table.exists:
        return [Finding("table", "failed", f"no table at {table.path}: run `dao crysdb build`")]
    findings = [_files(table), _ledger(root / "ledger")]
    if any(f.status == "failed" for f in findings[:1]):
        return findings
    tally = _Tally()
    try:
        for part in table.batches():
            tally.add(part)
    except (TableError, OSError, ValueError) as error:
        return [*findings, Finding("read", "failed", f"cannot read all rows ({error}): restore an older version")]
    return [*findings, *tally.findings(table), _quarantine(root)]


def _quarantine(root: Path) -> Finding:
    """Energies that are on no hull since they cannot be right, and what they would have displaced."""
    n = len(read_quarantine(root / QUARANTINE))
    if n == 0:
        return Finding("quarantine", "ok", "no energy is impossible for its elements")
    shown = [_displacement(d) for d in displacements(root, limit=SHOWN)]
    more = f"; {n - SHOWN} more in {root / QUARANTINE}" if n > SHOWN else ""
    what = "1 energy cannot be right and is" if n == 1 else f"{n} energies cannot be right and are"
    return Finding("quarantine", "warning", f"{what} on no hull: {'; '.join(shown)}{more}")


def _displacement(effect: Displacement) -> str:
    entry, ids = effect.quarantined.entry, effect.ids
    what = f"{entry.id} ({entry.formula}): {effect.quarantined.reason}"
    if not ids:
        return f"{what}; it would have displaced nothing"
    some = ", ".join(ids[:SHOWN]) + (f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else "")
    return f"{what}; it would have displaced {some}"


def _files(table: CrysTable) -> Finding:
    """Each Parquet file of the newest version: present, whole, no LFS pointer, readable footer, its checksum's own."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    files = table.files()
    for path in files:
        try:
            check_file(path)
            pq.read_metadata(path)
        except (SourceError, pa.ArrowInvalid, OSError) as error:
            return Finding("files", "failed", f"{error}; {RESTORE}")
    differ, unknown = table.unsealed()
    if differ:
        detail = f"{len(differ)} of {len(files)} differ from their checksums, such as {differ[0]}: {RESTORE}"
        return Finding("files", "failed", detail)
    if unknown:
        return Finding(
            "files", "warning", f"{len(unknown)} of {len(files)} have no recorded checksum: run the build once more"
        )
    return Finding("files", "ok", f"{len(files)} Parquet files of version {table.version} match their checksums")


def _ledger(folder: Path) -> Finding:
    """Checksums of every finished stage."""
    directories = [d for d in folder.glob("*/*") if d.is_dir() and ".tmp-" not in d.name and ".damaged-" not in d.name]
    bad = []
    for directory in directories:
        try:
            verify(directory)
        except ArtifactError as error:
            bad.append(str(error))
    if bad:
        return Finding("ledger", "warning", f"{len(bad)} stages are damaged and will be made again; first: {bad[0]}")
    return Finding("ledger", "ok", f"{len(directories)} stages match their checksums")


class _Tally:
    """Everything the row checks need, gathered in one pass."""

    def __init__(self) -> None:
        self.ids: set[str] = set()
        self.n_rows = 0
        self.repeated: list[str] = []
        self.sources: Counter[str] = Counter()
        self.elements: Counter[int] = Counter()
        self.bad: dict[str, list[str]] = {}
        self.pointers: list[tuple[str, str]] = []

    def add(self, table: pa.Table) -> None:
        import pyarrow.compute as pc

        ids = table["material_id"].to_pylist()
        self.n_rows += len(ids)
        for name in ids:
            if name in self.ids:
                self.repeated.append(name)
            self.ids.add(name)
        self.sources.update(table["source"].to_pylist())
        numbers = np.asarray(table["atomic_numbers"].combine_chunks().flatten()).astype(np.int64)
        sizes = np.asarray(table["n_atoms"]).astype(np.int64)
        owner = np.repeat(np.arange(len(ids)), sizes) if sizes.sum() == len(numbers) else None
        if owner is None:
            self._mark("number of atoms", ids)
            return
        pairs = np.unique(np.stack([owner, numbers]), axis=1)
        self.elements.update(pairs[1].tolist())
        for name, mask in self._range_checks(table, numbers, owner, sizes):
            self._mark(name, [ids[i] for i in np.flatnonzero(mask)])
        twins = table.filter(pc.is_valid(table["duplicate_of"])).select(["material_id", "duplicate_of"])
        self.pointers += zip(*(twins[c].to_pylist() for c in twins.column_names), strict=True)

    def _mark(self, check: str, ids: list[str]) -> None:
        if ids:
            self.bad.setdefault(check, []).extend(ids)

    @staticmethod
    def _range_checks(
        table: pa.Table, numbers: np.ndarray, owner: np.ndarray, sizes: np.ndarray
    ) -> Iterator[tuple[str, np.ndarray]]:
        rows = table.num_rows

        def floats(name: str) -> np.ndarray:
            return np.asarray(table[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)

        outside = (numbers < 1) | (numbers > MAX_ATOMIC_NUMBER)
        yield "atomic number", np.bincount(owner[outside], minlength=rows) > 0
        frac = np.asarray(table["frac_coords"].combine_chunks().flatten()).reshape(-1, 3)
        yield "coordinates in [0, 1)", np.bincount(owner[~((frac >= 0) & (frac < 1)).all(axis=1)], minlength=rows) > 0
        volume = np.linalg.det(np.asarray(table["lattice"].combine_chunks().flatten()).reshape(-1, 3, 3)) / sizes
        yield "volume per atom", ~((volume > 1.0) & (volume < 1000.0))
        above = floats("e_above_hull")
        yield "e_above_hull not below zero", above < -1e-6
        stable = table["is_stable"].to_pylist()
        distance = np.fmax(above, floats("e_above_hull_source"))
        known = np.isfinite(distance)
        yield "is_stable agrees", known & (np.array([s is True for s in stable]) != (distance <= STABLE_BELOW))
        formation = floats("formation_energy_per_atom")
        yield "formation energy", np.abs(np.nan_to_num(formation)) > 20.0

    def findings(self, table: CrysTable) -> list[Finding]:
        out = [self._unique(), self._counts(table), self._references()]
        out += [
            Finding(
                name, "failed", f"{len(ids)} rows, such as {ids[:3]}: the build should have refused them; build again"
            )
            for name, ids in self.bad.items()
        ]
        if not self.bad:
            out.append(Finding("ranges", "ok", f"{self.n_rows} rows have sound cells, elements and energies"))
        absent = [SYMBOLS[z] for z in range(1, 84) if self.elements[z] == 0 and SYMBOLS[z] not in _RARE]
        none = f"none with {' '.join(absent)}" if absent else "none up to Bi is missing"
        most = ", ".join(f"{SYMBOLS[z]} {n}" for z, n in self.elements.most_common(5))
        status: Status = "warning" if absent and self.n_rows > 100_000 else "ok"
        out.append(Finding("elements", status, f"{len(self.elements)} elements, most rows: {most}; {none}"))
        return out

    def _unique(self) -> Finding:
        if self.repeated:
            return Finding(
                "ids", "failed", f"{len(self.repeated)} ids occur twice, such as {self.repeated[:3]}: build again"
            )
        return Finding("ids", "ok", f"{self.n_rows} ids, each once")

    def _counts(self, table: CrysTable) -> Finding:
        published = {k: v["n_published"] for k, v in table.facts().get("sources", {}).items() if v["n_published"]}
        if published and published != dict(self.sources):
            return Finding("counts", "failed", f"the build published {published}, the table has {dict(self.sources)}")
        return Finding("counts", "ok", f"rows by source as the build said: {dict(self.sources)}")

    def _references(self) -> Finding:
        lost = [name for name, target in self.pointers if target not in self.ids]
        if lost:
            return Finding(
                "duplicates", "failed", f"{len(lost)} rows point to a row that isn't there: {lost[:3]}; build again"
            )
        return Finding("duplicates", "ok", f"{len(self.pointers)} duplicates point to rows that exist")


_RARE = {"He", "Ne", "Ar", "Kr", "Xe", "Tc", "Pm"}


def healthy(findings: list[Finding], *, log: Callable[[str], None] = lambda _: None) -> bool:
    """Whether no check failed.

    Args:
        findings: Of the checks.
        log: Gets each finding as one line.

    Returns:
        Whether all are sound.
    """
    for f in findings:
        log(f"{f.status:8} {f.check}: {f.detail}")
    return all(f.status != "failed" for f in findings)
