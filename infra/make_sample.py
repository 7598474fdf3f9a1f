"""Makes the embedded sample `dao_core/crysdb/data/sample.parquet`: small, ours, and closed to hulls.

AFLOW prototypes are decorated with common elements, relaxed with CHGNet 0.3.0, and kept as end points, frames on the
way and rattled copies. Needs the extra `chgnet` and about 20 minutes on one core; a killed run goes on where it was:

    python infra/make_sample.py --work /tmp/sample --out dao_core/crysdb/data/sample.parquet
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import zlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import Ledger, content_key, file_sha256, write_atomic
from dao_core.crysdb.schema import CrysRecord, records_to_table, table_to_records
from dao_core.crysdb.sources.prototypes import Decorated, Prototype, decorations, load_prototypes
from dao_core.crystal import Crystal, InvalidCrystalError
from dao_core.energy.potential import Potential, PotentialResult
from dao_core.energy.relaxation.relax import RelaxationResult, RelaxationStatus, RelaxSettings, relax
from dao_core.matching.distances import shortest_distance

FUNCTIONAL = "CHGNet-0.3.0"
VERSION = "1"
SYSTEMS = [
    "Al-Fe",
    "Al-N",
    "Al-Ni",
    "As-Ga",
    "Au-Cu",
    "Ca-F",
    "Cl-K",
    "Cl-Li",
    "Cl-Na",
    "F-Li",
    "F-Na",
    "Ga-N",
    "Mg-Si",
    "O-Si",
    "S-Zn",
    "Al-Mg-O",
    "Ba-O-Ti",
    "Ca-O-Ti",
    "F-K-Mg",
    "O-Sr-Ti",
]
SETTINGS = RelaxSettings(fmax=0.02, stress_gpa=0.2, max_steps=80, batch_size=8)

# labels and names of AFLOW; every element and every binary gets these, so that its usual ground state is a candidate
METALS: tuple[str, ...] = (
    "A_cF4_225_a",
    "A_cI2_229_a",
    "A_hP2_194_c",
    "A_hP4_194_ac",
    "A_cF8_227_a",
    "alpha As",
    "A_cP1_221_a",
    "alpha U",
)
MOLECULES = ("A_oC8_64_f", "alpha oxygen", "beta oxygen", "A_tP4_136_f", "alpha Selenium", "A_cF4_225_a", "A_hP2_194_c")
NONMETALS = frozenset(["N", "O", "F", "S", "Cl"])
BINARIES = (
    "AB_cF8_225_a_b", "AB_cP2_221_b_a", "AB_cF8_216_c_a", "Wurtzite", "AB_hP4_194_c_a", "AB_tP2_123_a_d",
    "Fluorite", "Rutile", "trigonal omega", "AB3_cP4_221_a_c", "AB3_cF16_225_a_bc",
)  # fmt: skip
TERNARIES = ("(Cubic) Perovskite",)
EXTRA = {
    "Al-O": ("Corundum",), "O-Ti": ("Anatase", "Corundum"), "O-Si": ("quartz (alpha)", "high (beta) Cristobalite"),
    "Mg-Si": ("AB_oP8_62_c_c",), "Al-Mg": ("Hexagonal Laves",), "O-Sr": ("AB_tP4_129_a_c",),
    "Al-Fe": ("Uranium Silicide",),
}  # fmt: skip
RANDOM_BINARY, RANDOM_TERNARY = 5, 40
MAX_RANDOM_ATOMS = 8
MAX_ATOM_VOLUME, MAX_FORCE = 130.0, 20.0  # angstrom^3, eV/angstrom


@dataclass(frozen=True)
class Unit:
    """The work that is done, stored and resumed as one: all decorations with exactly these elements."""

    elements: tuple[str, ...]

    @property
    def chemsys(self) -> str:
        return "-".join(self.elements)

    @property
    def seed(self) -> int:
        return zlib.crc32(self.chemsys.encode())


def units(systems: Sequence[str]) -> list[Unit]:
    """Every system with all its subsystems, once, elements first."""
    subsets = {c for s in systems for n in (1, 2, 3) for c in combinations(sorted(s.split("-")), n)}
    return [Unit(s) for s in sorted(subsets, key=lambda s: (len(s), s))]


def choose(unit: Unit, prototypes: Sequence[Prototype]) -> list[Decorated]:
    """The unit's decorations: the named ones, then some drawn by the unit's own seed."""
    size = len(unit.elements)
    named: tuple[str, ...]
    fitting = [p for p in prototypes if p.n_elements == size]
    if size == 1:
        named, n_random = (MOLECULES if unit.elements[0] in NONMETALS else METALS), 0
    elif size == 2:
        named, n_random = (*BINARIES, *EXTRA.get(unit.chemsys, ())), RANDOM_BINARY
    else:
        named, n_random = TERNARIES, RANDOM_TERNARY
    first = [p for p in fitting if p.label in named or p.name in named]
    rest = [
        d for p in fitting if p not in first and p.n_atoms <= MAX_RANDOM_ATOMS for d in decorations(p, unit.elements)
    ]
    picks = np.random.default_rng(unit.seed).permutation(len(rest))[:n_random]
    return [d for p in first for d in decorations(p, unit.elements)] + [rest[i] for i in sorted(picks)]


Frame = tuple[int, Crystal, PotentialResult]


def make_unit(
    unit: Unit, prototypes: Sequence[Prototype], potential: Potential
) -> tuple[list[CrysRecord], dict[str, int]]:
    """Relax the unit's decorations; its records and how the relaxations ended."""
    chosen = choose(unit, prototypes)
    paths: dict[int, list[Frame]] = {i: [] for i in range(len(chosen))}

    def observe(index: int, step: int, crystal: Crystal, result: PotentialResult) -> None:
        paths[index].append((step, crystal, result))

    results = relax([d.crystal for d in chosen], potential, SETTINGS, observer=observe)
    counts: dict[str, int] = {}
    records: list[CrysRecord] = []
    for i, (decorated, result) in enumerate(zip(chosen, results, strict=True)):
        counts[result.status] = counts.get(result.status, 0) + 1
        if result.status in (RelaxationStatus.CONVERGED, RelaxationStatus.MAX_STEPS):
            name = f"sample-{unit.chemsys}-{i:02d}-{decorated.prototype.label}"
            records += records_of(name, result, paths[i], potential, unit.seed + i)
    counts["evaluations"] = sum(len(p) for p in paths.values())
    return records, counts


def records_of(
    name: str, result: RelaxationResult, path: list[Frame], potential: Potential, seed: int
) -> Iterator[CrysRecord]:
    """The end point, up to two frames before it and a rattled copy; they name the end point as parent."""
    _, end, final = path[-1]
    if not is_sane(end, final):
        return
    yield record(name, end, final, relaxation=str(result.status))
    others = [(f"{name}-f{k}", crystal, found) for k, (_, crystal, found) in enumerate(spaced_frames(path))]
    others += [(f"{name}-r", crystal, found) for crystal, found in rattled(end, potential, seed)]
    yield from (record(n, c, r, relaxation="frame", parent=name) for n, c, r in others if is_sane(c, r))


def is_sane(crystal: Crystal, result: PotentialResult) -> bool:
    """False for atoms flying apart and for clashes: nothing there is what CHGNet was fitted to."""
    return crystal.volume / crystal.n_atoms < MAX_ATOM_VOLUME and float(np.abs(result.forces).max()) < MAX_FORCE


def record(
    name: str, crystal: Crystal, result: PotentialResult, *, relaxation: str, parent: str | None = None
) -> CrysRecord:
    """One row, rounded to what float32 labels carry."""
    return CrysRecord.from_crystal(
        crystal.replace(lattice=np.round(crystal.lattice, 8), frac_coords=np.round(crystal.frac_coords, 8)),
        material_id=name,
        source="sample",
        source_version=VERSION,
        functional=FUNCTIONAL,
        energy_per_atom=round(result.energy / crystal.n_atoms, 6),
        forces=np.round(result.forces, 5),
        stress=np.round(result.stress, 7),
        relaxation=relaxation,
        parent_id=parent,
        license="MIT (made by this project)",
    )


def spaced_frames(path: list[Frame]) -> list[Frame]:
    """Frames at about 100 and 30 % of the way's energy, where they differ by more than 15 meV/atom and are sane."""
    energies = np.array([r.energy / c.n_atoms for _, c, r in path]) - path[-1][2].energy / path[-1][1].n_atoms
    chosen: list[int] = []
    for target in (1.0, 0.3):
        k = int(np.abs(energies - target * energies[0]).argmin())
        far = all(abs(energies[k] - energies[j]) > 0.015 for j in chosen)
        if far and energies[k] > 0.015 and np.abs(path[k][2].forces).max() < 30.0:
            chosen.append(k)
    return [path[k] for k in chosen]


def rattled(end: Crystal, potential: Potential, seed: int) -> list[tuple[Crystal, PotentialResult]]:
    """The end point strained and displaced at random, gently (about kT) or roughly by turns; none where it fails."""
    rng = np.random.default_rng(seed)
    strain, shift = ((0.015, 0.05), (0.04, 0.15))[seed % 2]
    lattice = end.lattice @ (np.eye(3) + _symmetric(rng.normal(0.0, strain, (3, 3))))
    cart = end.frac_coords @ lattice + rng.normal(0.0, shift, (end.n_atoms, 3))
    try:
        copy = end.replace(lattice=lattice, frac_coords=cart @ np.linalg.inv(lattice))
    except InvalidCrystalError:
        return []
    outcomes = potential.compute([copy] if shortest_distance(copy) > 0.6 else [])
    return [(copy, o) for o in outcomes if isinstance(o, PotentialResult)]


def _symmetric(matrix: np.ndarray) -> np.ndarray:
    return 0.5 * (matrix + matrix.T)


def run_unit(ledger: Ledger, unit: Unit, prototypes: Sequence[Prototype], potential: Potential) -> Path:
    """The unit's Parquet file, from the ledger where it is done already."""
    import pyarrow.parquet as pq

    def work(directory: Path) -> dict[str, Any]:
        records, counts = make_unit(unit, prototypes, potential)
        pq.write_table(records_to_table(records), directory / "rows.parquet")
        return {"counts": {"rows": len(records), **counts}}

    key = content_key(
        version=VERSION,
        unit=unit.chemsys,
        settings=SETTINGS.model_dump(),
        potential=potential.identity,
        chosen=[(d.prototype.label, d.elements) for d in choose(unit, prototypes)],
    )
    started = time.time()
    done = ledger.run("sample", key, work)
    print(f"{unit.chemsys:10s} {done.counts} {time.time() - started:.0f} s", flush=True)
    return done.file("rows.parquet")


def merge(files: Sequence[Path], out: Path) -> dict[str, Any]:
    """Write the sample and its hash; what is in it."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    table = pa.concat_tables([pq.read_table(f) for f in files])
    sink = pa.BufferOutputStream()
    pq.write_table(table, sink, compression="zstd", compression_level=19, version="2.6")
    out.parent.mkdir(parents=True, exist_ok=True)
    write_atomic(out, sink.getvalue().to_pybytes())
    write_atomic(out.with_suffix(".parquet.sha256"), file_sha256(out) + "\n")
    records = table_to_records(table)
    return {"rows": len(records), "bytes": out.stat().st_size, "checks": checks(records)}


def checks(records: Sequence[CrysRecord]) -> dict[str, Any]:
    """Which structure is lowest at NaCl and SrTiO3, by space group. Rock salt is 225, cubic perovskite 221."""
    import moyopy

    found = {}
    for formula in ("NaCl", "SrTiO3", "MgO", "ZnS", "TiO2"):
        same = [r for r in records if r.formula_reduced == formula and r.relaxation != "frame"]
        if not same:
            continue
        lowest = min(same, key=lambda r: r.energy_per_atom or np.inf)
        cell = moyopy.Cell(lowest.lattice.tolist(), lowest.frac_coords.tolist(), lowest.atomic_numbers.tolist())
        number = moyopy.MoyoDataset(cell, symprec=0.05).number
        found[formula] = [number, lowest.material_id, lowest.energy_per_atom, len(same)]
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True, help="directory for finished parts (resume)")
    parser.add_argument("--out", type=Path, default=Path("dao_core/crysdb/data/sample.parquet"))
    parser.add_argument("--systems", nargs="*", default=SYSTEMS)
    options = parser.parse_args(arguments)
    import torch

    from dao_core.energy.adapters.chgnet import ChgnetPotential

    torch.set_num_threads(1)
    potential, prototypes, ledger = ChgnetPotential(), load_prototypes(12), Ledger(options.work)
    files = [run_unit(ledger, unit, prototypes, potential) for unit in units(options.systems)]
    print(json.dumps({"potential": potential.identity, **merge(files, options.out)}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
