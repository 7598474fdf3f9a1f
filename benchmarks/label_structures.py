"""Label what DAO-P meets in use with the judge's energies, forces and stresses: the teacher's half of its training.

python benchmarks/label_structures.py --data ../shared/data --out runs/labels --n 60000
Kinds: training crystals at rest, rattled and strained; pairs of small displacements (curvature); elements in all simple
prototypes, alone and in supercells; DFT frames of trajectories, disturbed; other compositions' structures with
substituted elements; samples; what DAO-P relaxes both to; two atoms near contact; dense cells. Shards of 100 structures
go round the kinds, so that labels made so far are balanced at any moment; killed or stopped, the same command goes on.
`--kinds` adds more of some: the weights that ship learned from what was there of a round with seed 0, of `--seed 1 --n
7000 --kinds element_supercells elements frames`, of `--seed 2 --n 1600 --kinds usual_elements`, of `--seed 3 --n 6000
--kinds frames`, and of seeds 5 to 10, mostly `others` and `squeezed` first and then every kind with many elements:
60,381 structures. Energies are put on MP-20's
scale by one correction an element, fitted on crystals at rest (`elements.npy`), those of elements by the judge's energy
of their usual structure (`references.npy`); each shard keeps the judge's own total energies beside it (`*.energy.npy`).

Left out: every composition of the public validation and test splits of MP-20 and MPTS-52, and the textbook compounds
of ground_states.py; the kinds of elements leave out none.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import platform
import time
from collections.abc import Callable
from functools import cached_property
from pathlib import Path

import numpy as np
import pandas as pd
import torch
from ase.data import chemical_symbols
from disturbed_crystals import CUBIC, built, disturbed, doubled, element_crystal
from train_predictor import (
    SOURCES,
    Rows,
    crystal_of,
    dft_frames,
    formula_key,
    held_formulas,
    textbook_formulas,
)

from dao_core.crystal import Crystal
from dao_core.elements import MAX_ATOMIC_NUMBER
from dao_core.energy.adapters.sevennet import SevenNetPotential
from dao_core.energy.potential import PotentialResult
from dao_core.energy.predictor import DaoPotential
from dao_core.energy.relaxation.relax import RelaxSettings, relax
from dao_core.generate.sampler import DE_NOVO, Generator, SampleStart, sample_seed
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.elements import element_coordinates
from dao_core.generate.templates.index import TemplateIndex
from dao_core.generate.templates.store import load_index, save_index
from dao_core.training.packed import PackedCrystals

SHARD = 100
MAX_ATOMS = 16
MAX_FRAME_ATOMS = 24
MAX_FORCE = 50.0  # eV/angstrom: beyond it the judge extrapolates
MAX_FORMATION = 8.0  # eV/atom
ALIKE = 0.4  # difference of standardised electronegativities of elements that are exchanged
AT_REST = 20  # shards of crystals at rest before the element scale is fitted and everything else begins
ROUND = ("rest", "rattled", "templates", "elements", "relaxed", "rattled", "templates", "strained", "pairs", "rest",
         "templates", "relaxed", "elements", "rattled", "samples", "contact", "supercells")  # fmt: skip


class StructureSource:
    """Training structures, and the models that disturb them: one method a kind, each gives about SHARD crystals."""

    def __init__(self, data: Path, folder: Path) -> None:
        self.data, self.held = data, held_formulas(data) | textbook_formulas()
        frame = pd.read_parquet(data / "mp_20/train.parquet")
        frame = frame[[formula_key(z) not in self.held for z in frame.atomic_numbers]]
        self.frame = frame[[len(z) <= MAX_ATOMS for z in frame.atomic_numbers]].reset_index(drop=True)
        self.folder = folder

    def crystals(self, rng: np.random.Generator, n: int = SHARD) -> list[tuple[str, Crystal, float]]:
        """`n` random (id, structure, formation energy in eV/atom) of the training split."""
        out: list[tuple[str, Crystal, float]] = []
        while len(out) < n:
            row = self.frame.iloc[int(rng.integers(len(self.frame)))]
            crystal = crystal_of(row)
            if crystal is not None and np.isfinite(row.formation_energy_per_atom):
                out.append((str(row.material_id), crystal, float(row.formation_energy_per_atom)))
        return out

    def rest(self, rng: np.random.Generator) -> list[Crystal]:
        return [c for _, c, _ in self.crystals(rng)]

    def rattled(self, rng: np.random.Generator) -> list[Crystal]:
        """Displaced by 0.02 to 0.4 angstrom, strained, swollen or squeezed."""
        out = []
        for _, crystal, _ in self.crystals(rng):
            strain = rng.normal(scale=0.03, size=(3, 3)) + np.eye(3) * rng.uniform(-0.06, 0.08)
            out += disturbed(crystal, rng, np.exp(rng.uniform(np.log(0.02), np.log(0.4))), strain)
        return out

    def strained(self, rng: np.random.Generator) -> list[Crystal]:
        """Strained by up to 8 % in every direction, and a tenth dense or stretched by up to 25 % in length."""
        out = []
        for _, crystal, _ in self.crystals(rng):
            strain = rng.uniform(-0.08, 0.08, size=(3, 3))
            if rng.random() < 0.1:
                strain = np.eye(3) * rng.uniform(-0.2, 0.25)
            out += disturbed(crystal, rng, 0.0, strain)
        return out

    def squeezed(self, rng: np.random.Generator) -> list[Crystal]:
        """Dense cells under strong forces: lengths of 0.78 to 1, half of them with elements exchanged for ones of
        similar electronegativity but any size, displaced; what trajectories begin with after an exchange."""
        out = []
        known = np.array(sorted(self.atomic_volumes))
        pull = element_coordinates()[:, 0]
        for _, crystal, _ in self.crystals(rng):
            numbers = crystal.atomic_numbers
            if rng.random() < 0.5:
                for z in set(numbers.tolist()):
                    alike = known[np.abs(pull[known] - pull[z]) < ALIKE]
                    numbers = np.where(crystal.atomic_numbers == z, int(rng.choice(alike)), numbers)
            strain = rng.normal(scale=0.03, size=(3, 3)) + np.eye(3) * rng.uniform(-0.22, 0.0)
            moved = crystal.replace(atomic_numbers=numbers)
            out += disturbed(moved, rng, np.exp(rng.uniform(np.log(0.02), np.log(0.3))), strain)
        return out

    def others(self, rng: np.random.Generator) -> list[Crystal]:
        """Structures beyond MP-20's, to 24 atoms, displaced by 0.02 to 0.5 angstrom, half of them dense: forces of
        many elements and coordinations, as frames of trajectories have them."""
        out: list[Crystal] = []
        while len(out) < SHARD:
            crystal = crystal_of(self.other_frame.iloc[int(rng.integers(len(self.other_frame)))])
            if crystal is None:
                continue
            change = rng.uniform(-0.2, 0.0) if rng.random() < 0.5 else rng.uniform(-0.05, 0.08)
            strain = rng.normal(scale=0.03, size=(3, 3)) + np.eye(3) * change
            out += disturbed(crystal, rng, np.exp(rng.uniform(np.log(0.02), np.log(0.5))), strain)
        return out

    def pairs(self, rng: np.random.Generator) -> list[Crystal]:
        """Two crystals that differ by the displacement of one atom by +-0.01 to 0.05 angstrom: the curvature."""
        out = []
        for _, crystal, _ in self.crystals(rng, SHARD // 2):
            step = np.zeros((crystal.n_atoms, 3))
            direction = rng.normal(size=3)
            step[int(rng.integers(crystal.n_atoms))] = direction / np.linalg.norm(direction) * rng.uniform(0.01, 0.05)
            step = step @ np.linalg.inv(crystal.lattice)
            out += [crystal.replace(frac_coords=crystal.frac_coords + sign * step) for sign in (1, -1)]
        return out

    def supercells(self, rng: np.random.Generator) -> list[Crystal]:
        """Small crystals doubled to at most 40 atoms, atoms displaced by 0.01 to 0.05 angstrom."""
        out = []
        for _, crystal, _ in self.crystals(rng, SHARD // 2):
            axes = [int(rng.integers(1, 3)) for _ in range(3)]
            if crystal.n_atoms * np.prod(axes) <= 40 and max(axes) > 1:
                out += disturbed(doubled(crystal, axes), rng, rng.uniform(0.01, 0.05), np.zeros((3, 3)))
        return out

    def elements(self, rng: np.random.Generator) -> list[Crystal]:
        """One element in a simple structure, at 0.8 to 1.3 of its usual volume, at rest or displaced."""
        out = []
        known = [z for z in range(1, 95) if z in self.atomic_volumes]
        for _ in range(SHARD):
            z = int(rng.choice(known))
            volume = self.atomic_volumes[z] * rng.uniform(0.8, 1.3)
            name = str(rng.choice([*CUBIC, "hcp", "graphite", "dimer"]))
            crystal = element_crystal(name, z, volume)
            strain = rng.normal(scale=0.02, size=(3, 3)) if rng.random() < 0.5 else np.zeros((3, 3))
            out += disturbed(crystal, rng, float(rng.choice([0.0, 0.03, 0.15])), strain)
        return out

    def element_supercells(self, rng: np.random.Generator) -> list[Crystal]:
        """The same doubled to at most 16 atoms, displaced by 0.01 to 0.1 angstrom: curvatures away from Gamma."""
        out = []
        while len(out) < SHARD:
            z = int(rng.choice([z for z in range(1, 95) if z in self.atomic_volumes]))
            name = str(rng.choice([*CUBIC, "hcp", "graphite"]))
            crystal = element_crystal(name, z, self.atomic_volumes[z] * rng.uniform(0.85, 1.15))
            axes = [int(rng.integers(1, 3)) for _ in range(3)]
            if crystal.n_atoms * np.prod(axes) <= MAX_ATOMS and max(axes) > 1:
                out += disturbed(doubled(crystal, axes), rng, rng.uniform(0.01, 0.1), np.zeros((3, 3)))
        return out

    def usual_elements(self, rng: np.random.Generator) -> list[Crystal]:
        """An element in its usual structure near its usual volume, which compounds don't tell (silicon's is 1.7 times
        that), displaced, strained and in most cases doubled."""
        usual, out = [c for found in usual_crystals().values() for c in found], []
        for _ in range(SHARD):
            crystal = usual[int(rng.integers(len(usual)))]
            axes = [int(rng.integers(1, 3)) for _ in range(3)]
            if crystal.n_atoms * np.prod(axes) <= MAX_ATOMS:
                crystal = doubled(crystal, axes)
            strain = rng.normal(scale=0.01, size=(3, 3)) + np.eye(3) * rng.uniform(-0.05, 0.05)
            out += disturbed(crystal, rng, float(rng.choice([0.0, 0.02, 0.1])), strain)
        return out

    def templates(self, rng: np.random.Generator) -> list[Crystal]:
        """Other compositions' structures with these elements: MP-20's, own entry left out, and AFLOW's."""
        out = []
        for name, crystal, _ in self.crystals(rng):
            hits = self.index.query(crystal.composition, 12, (name,)) if rng.random() < 0.6 else []
            hits = hits or aflow_index().query(crystal.composition, 12)
            if hits:
                found = hits[int(rng.integers(len(hits)))].crystal
                out += built(found.lattice * np.exp(rng.normal(scale=0.03)), found.frac_coords, found.atomic_numbers)
        return out

    def frames(self, rng: np.random.Generator) -> list[Crystal]:
        """DFT frames of trajectories and of high stress that are not held out, strained and displaced a little."""
        out: list[Crystal] = []
        while len(out) < SHARD:
            crystal = self.dft_frames[int(rng.integers(len(self.dft_frames)))]
            strain = rng.normal(scale=0.03, size=(3, 3)) + np.eye(3) * rng.uniform(-0.08, 0.08)
            out += disturbed(crystal, rng, np.exp(rng.uniform(np.log(0.02), np.log(0.2))), strain)
        return out

    def samples(self, rng: np.random.Generator) -> list[Crystal]:
        """De novo samples of training compositions."""
        starts = []
        for _, crystal, _ in self.crystals(rng):
            if crystal.n_atoms <= 12 and not self.generator.unseen(crystal):
                seed = sample_seed(int(rng.integers(1 << 30)), crystal.composition, 0)
                starts.append(SampleStart(np.sort(crystal.atomic_numbers), seed, None, DE_NOVO))
        return [p.crystal for p in self.generator.sample(starts) if p.crystal is not None]

    def relaxed(self, rng: np.random.Generator) -> list[Crystal]:
        """Where DAO-P leads templates and samples, on the way and at the end: its own false minima."""
        starts = self.templates(rng) if rng.random() < 0.8 else self.samples(rng)
        settings = RelaxSettings(max_steps=int(rng.choice([5, 15, 40])), fmax=0.1, batch_size=32, max_energy_drop=50.0)
        results = relax(starts, self.predictor, settings)
        return [r.crystal for r in results if r.status in ("converged", "max_steps")]

    def contact(self, rng: np.random.Generator) -> list[Crystal]:
        """Two atoms, of equal or different elements, at 0.5 to 1.2 of their usual distance, in a cell of their own."""
        out = []
        known = [z for z in range(1, 95) if z in self.atomic_volumes]
        for _ in range(SHARD):
            a, b = (int(z) for z in rng.choice(known, 2))
            usual = 0.5 * sum(1.1 * self.atomic_volumes[z] ** (1 / 3) for z in (a, b))
            distance = max(0.6, usual * rng.uniform(0.5, 1.2))
            edge = max(4.5, 2.2 * distance)
            out += built(np.eye(3) * edge, np.array([[0, 0, 0], [distance / edge, 0, 0]]), np.array([a, b]))
        return out

    @cached_property
    def other_frame(self) -> pd.DataFrame:
        """Materials Project and WBM structures that no split of a benchmark has a composition of."""
        columns = ["lattice", "frac_coords", "atomic_numbers"]
        tables = [pd.read_parquet(self.data / f"{name}.parquet", columns=columns)
                  for name in ("mp_structures", "wbm_val")]  # fmt: skip
        frame = pd.concat(tables, ignore_index=True)
        frame = frame[[2 <= len(z) <= MAX_FRAME_ATOMS for z in frame.atomic_numbers]]
        return frame[[formula_key(z) not in self.held for z in frame.atomic_numbers]].reset_index(drop=True)

    @cached_property
    def index(self) -> TemplateIndex:
        path = self.folder / "templates"
        if not (path / "index.json").exists():
            items = ((str(row.material_id), crystal_of(row)) for row in self.frame.itertuples())
            save_index(TemplateIndex.build([(n, c) for n, c in items if c is not None], source="mp_20/train"), path)
        return load_index(path)

    @cached_property
    def dft_frames(self) -> list[Crystal]:
        frames = (crystal for crystal, *_ in dft_frames(self.data, held=False))
        return [c for c in frames if c.n_atoms <= MAX_FRAME_ATOMS and formula_key(c.atomic_numbers) not in self.held]

    @cached_property
    def generator(self) -> Generator:
        return Generator.load()

    @cached_property
    def predictor(self) -> DaoPotential:
        return DaoPotential.load()

    @cached_property
    def atomic_volumes(self) -> dict[int, float]:
        """Usual volume of each element's atom (angstrom^3), where the training split teaches one."""
        volumes = self.index.atomic_volumes
        seen = {int(z) for numbers in self.frame.atomic_numbers for z in numbers}
        return {z: float(np.clip(volumes[z], 6.0, 60.0)) for z in seen}


def fractions(crystals: list[Crystal]) -> np.ndarray:
    return np.stack([np.bincount(c.atomic_numbers, minlength=MAX_ATOMIC_NUMBER + 1) / c.n_atoms for c in crystals])


def element_scale(source: StructureSource, folder: Path, judge: SevenNetPotential, seed: int) -> np.ndarray:
    """Energy of each element, (101,) eV: the judge's energies of training crystals minus MP-20's formation energies."""
    path = folder / "elements.npy"
    if path.exists():
        return np.load(path)
    rng = np.random.default_rng([seed, 0])
    rows = source.crystals(rng, AT_REST * SHARD)
    outcomes = judge.compute([c for _, c, _ in rows])
    good = [(c, e, o) for (_, c, e), o in zip(rows, outcomes, strict=True) if isinstance(o, PotentialResult)]
    x = fractions([c for c, _, _ in good])
    y = np.array([o.energy / c.n_atoms - e for c, e, o in good])
    scale = np.linalg.solve(x.T @ x + 1e-3 * np.eye(x.shape[1]), x.T @ y)
    kept = Rows()
    for (c, _, o), energy in zip(good, y + [e for _, e, _ in good] - x @ scale, strict=True):
        kept.add(c, formation_energy_per_atom=energy, source=SOURCES.index("sevennet_l3i5"), forces=o.forces,
                 stress=o.stress)  # fmt: skip
    kept.pack().save(folder / f"rest_{seed}_scale.npz")
    print(f"element scale from {len(good)}: left over MAE {np.abs(y - x @ scale).mean():.4f} eV/atom", flush=True)
    np.save(path, scale)
    return scale


def usual_crystals() -> dict[int, list[Crystal]]:
    """Elements in the structures that ASE knows, graphite beside diamond, by atomic number."""
    from ase.build import bulk

    found = {6: [element_crystal("graphite", 6, 8.8)]}
    for z in range(1, 95):
        with contextlib.suppress(ValueError, RuntimeError, NotImplementedError, KeyError):
            found.setdefault(z, []).append(Crystal.from_ase(bulk(chemical_symbols[z])))
    return found


def element_references(judge: SevenNetPotential) -> np.ndarray:
    """The judge's energy of each element in its usual structure after relaxation, (101,) eV/atom; NaN: too complex.

    On MP-20's scale an element has the formation energy of its distance from that, whatever a scale that was fitted to
    compounds makes of its total energy (0.28 eV/atom for silicon).
    """
    starts = usual_crystals()
    numbers, crystals = zip(*((z, c) for z, found in starts.items() for c in found), strict=True)
    ends = relax(crystals, judge, RelaxSettings(fmax=0.02, max_steps=100))
    energies = np.full(MAX_ATOMIC_NUMBER + 1, np.nan)
    for z, end in zip(numbers, ends, strict=True):
        if end.status in ("converged", "max_steps") and end.energy_per_atom is not None:
            energies[z] = np.fmin(energies[z], end.energy_per_atom)
    return energies


def label(crystals: list[Crystal], judge: SevenNetPotential, scale: np.ndarray) -> tuple[Rows, list[float]]:
    """The rows that the judge can label, and its own total energy (eV/atom) of each."""
    rows, energies = Rows(), []
    for crystal in crystals:
        outcome = judge.compute([crystal])[0]
        if not isinstance(outcome, PotentialResult) or np.abs(outcome.forces).max() > MAX_FORCE:
            continue
        formation = outcome.energy / crystal.n_atoms - float(fractions([crystal])[0] @ scale)
        if abs(formation) < MAX_FORMATION:
            rows.add(crystal, formation_energy_per_atom=formation, source=SOURCES.index("sevennet_l3i5"),
                     forces=outcome.forces, stress=outcome.stress)  # fmt: skip
            energies.append(outcome.energy / crystal.n_atoms)
    return rows, energies


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--n", type=int, default=60_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kinds", nargs="+", default=ROUND, help="what to label in turn (default: the whole round)")
    args = parser.parse_args()
    torch.set_num_threads(1)
    logging.getLogger("moyo").setLevel(logging.ERROR)
    args.out.mkdir(parents=True, exist_ok=True)
    source, judge = StructureSource(args.data, args.out), SevenNetPotential()
    if not (args.out / "references.npy").exists():
        np.save(args.out / "references.npy", element_references(judge))
    scale = element_scale(source, args.out, judge, args.seed)
    made, begin = 0, time.process_time()
    counts: dict[str, int] = {}
    for shard in range(-(-args.n // SHARD)):
        kind = args.kinds[shard % len(args.kinds)]
        path = args.out / f"{kind}_{args.seed}_{shard:05d}.npz"
        if not path.exists():
            torch.manual_seed(shard)
            make: Callable[[np.random.Generator], list[Crystal]] = getattr(source, kind)
            rows, energies = label(make(np.random.default_rng([args.seed, 1, shard])), judge, scale)
            if not rows.crystals:
                continue
            np.save(path.with_suffix(".energy.npy"), np.array(energies))
            rows.pack().save(path.with_suffix(".part.npz"))
            path.with_suffix(".part.npz").rename(path)
            made += len(rows.crystals)
            print(f"{path.name}: {len(rows.crystals)}, {made / (time.process_time() - begin):.1f} a CPU s", flush=True)
        counts[kind] = counts.get(kind, 0) + len(PackedCrystals.load(path))
    print(json.dumps({"figure": counts, "n": sum(counts.values()), "seed": args.seed, "machine": platform.machine()}))


if __name__ == "__main__":
    main()
