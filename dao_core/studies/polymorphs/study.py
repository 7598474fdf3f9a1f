"""The study of polymorphs: one composition, several answers; who finds all of them?"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from dao_core.artifacts import write_atomic
from dao_core.crystal import Crystal
from dao_core.studies.left_out import library_content, library_templates
from dao_core.studies.polymorphs.arms import from_dao_g, from_templates, merged, random_structures, relaxed
from dao_core.studies.polymorphs.compositions import (
    ENERGIES,
    PolymorphSet,
    choose,
    counts_by_size,
    group,
    leaks_into_training,
    read_references,
    set_from_row,
    set_to_row,
)
from dao_core.studies.polymorphs.figures import plot, summarise
from dao_core.studies.polymorphs.settings import PolymorphSettings
from dao_core.studies.study import Rows, Study, StudyError, identity_of

SETS = "compositions.json"
SAMPLED, RANDOM, TEMPLATES = "sampled", "random", "templates"
SAME_ENERGY = 0.001  # eV/atom: below it two polymorphs have no order


def prepare(settings: PolymorphSettings, folder: Path) -> dict[str, Any]:
    """Choose compositions of which the generator has seen nothing.

    Args:
        settings: Of the study.
        folder: Gets the compositions.

    Returns:
        Counts and the leak audit's table.

    Raises:
        StudyError: No composition is left.
    """
    from dataclasses import replace

    sets, counts = group(read_references(settings.data))
    seen, table = leaks_into_training(settings.data / settings.trained_on, [s.formula for s in sets])
    sets = [replace(s, seen=tuple(seen.get(s.formula, ()))) for s in sets]
    chosen, left_out = choose(sets, settings.limit, settings.max_atoms)
    rest = [s for s in sets if (s not in chosen and s.n_atoms <= settings.max_atoms) or s.formula in settings.named]
    rest = [s for s in rest if settings.templates_on_all or s.formula in settings.named]
    if not chosen:
        raise StudyError(f"no composition with several structures is left: {left_out}; raise max_atoms")
    kept = {"chosen": [set_to_row(s) for s in chosen], "rest": [set_to_row(s) for s in rest]}
    write_atomic(folder / SETS, json.dumps(kept))
    return {
        "in_test_halves": counts_by_size(sets),
        "unseen_by_dao_g": counts_by_size([s for s in sets if not s.seen]),
        "chosen": counts_by_size(chosen),
        "left_out": left_out,
        **counts,
        "leak_audit_of_training": table,
        "named": {
            s.formula: {"references": len(s.references), "seen_in_training": len(s.seen)}
            for s in sets
            if s.formula in settings.named
        },
    }


def parts(settings: PolymorphSettings, folder: Path) -> list[str]:
    """One part a composition and kind of arm: sampled, random for some, templates alone for what DAO-G has seen."""
    chosen, rest = _sets(folder)
    small = [s for s in chosen.values() if s.n_atoms <= settings.random.max_atoms]
    small.sort(key=lambda s: (s.n_atoms, s.formula))
    random = [s.formula for s in small[: settings.random.compositions]]
    return [
        *(f"{TEMPLATES} {f}" for f in rest if f not in chosen),
        *(f"{RANDOM} {f}" for f in random),
        *(f"{SAMPLED} {f}" for f in [*random, *(f for f in chosen if f not in random)]),
    ]


@lru_cache(maxsize=2)
def _read_sets(path: Path) -> tuple[dict[str, PolymorphSet], dict[str, PolymorphSet]]:
    rows = json.loads(path.read_text())
    chosen, rest = ({r["formula"]: set_from_row(r) for r in rows[kind]} for kind in ("chosen", "rest"))
    return chosen, rest


def _sets(folder: Path) -> tuple[dict[str, PolymorphSet], dict[str, PolymorphSet]]:
    return _read_sets(folder / SETS)


def measure(part: str, settings: PolymorphSettings, folder: Path) -> dict[str, Rows]:
    """Propose structures for one composition and compare each with all its references.

    Args:
        part: Of `parts`.
        settings: Of the study.
        folder: Of `prepare`.

    Returns:
        Tables `matches` (arm, rank, reference, rms), `arms` (how many, how many distinct), and of the sampled
        arms `order` (pairs of references that the judge orders as the source does, or not).
    """
    kind, formula = part.split(" ", 1)
    chosen, rest = _sets(folder)
    item = rest[formula] if kind == TEMPLATES else chosen[formula]
    proposed: dict[str, list[list[Crystal]]] = {}  # arm -> list for each cell content
    begin = time.process_time()
    for cell in item.cells:
        for arm, crystals in _proposed(kind, cell, settings).items():
            proposed.setdefault(arm, []).append(crystals)
    seconds = time.process_time() - begin
    tables = {"matches": _matches(item, proposed), "arms": _arms(item, kind, proposed, seconds)}
    if kind == SAMPLED and item.n_atoms <= settings.judge_atoms:
        tables["order"] = _order(item, settings)
    return tables


def _proposed(kind: str, cell: dict[str, int], settings: PolymorphSettings) -> dict[str, list[Crystal]]:
    from dao_core.energy.registry import load_potential

    if kind == RANDOM:
        made = random_structures(cell, settings.random.k, settings.seed)
        return {"random": relaxed(made, load_potential(settings.judge), settings.random.relax_steps)}
    known = from_templates(library_templates(settings.library), cell, settings.k)
    if kind == TEMPLATES:
        return {"templates": known}
    drawn = from_dao_g(_generator(settings.generator), cell, settings.k, settings.seed)
    return {"templates": known, "dao-g": drawn, "both": merged(known, drawn, settings.k)}


@lru_cache(maxsize=1)
def _generator(name: str) -> Any:
    from dao_core.generate.sampler import Generator

    return Generator.load(name)


def _matches(item: PolymorphSet, proposed: Mapping[str, list[list[Crystal]]]) -> Rows:
    """Every proposal against every reference of the composition, whatever cell content it was made for."""
    from dao_core.matching.pairs import match_pairs

    rows: Rows = []
    pairs: list[tuple[Crystal, Crystal]] = []
    for arm, cells in proposed.items():
        for n, (cell, crystals) in enumerate(zip(item.cells, cells, strict=True)):
            for rank, crystal in enumerate(crystals):
                for reference in item.references:
                    rows.append({"formula": item.formula, "arm": arm, "cell": n, "cell_atoms": sum(cell.values()),
                                 "rank": rank, "reference": reference.id})  # fmt: skip
                    pairs.append((crystal, reference.crystal))
    compared = match_pairs(predicted=[p for p, _ in pairs], reference=[r for _, r in pairs])[0]
    return [{**row, "rms": c.rms, "reason": c.reason} for row, c in zip(rows, compared, strict=True)]


def _arms(item: PolymorphSet, kind: str, proposed: Mapping[str, list[list[Crystal]]], seconds: float) -> Rows:
    """What each arm proposed; `part_cpu_seconds` is the time of all arms of the part together."""
    from dao_core.generate.distinct_samples import repeats

    return [
        {
            "formula": item.formula,
            "kind": kind,
            "arm": arm,
            "n_references": len(item.references),
            "references": ",".join(r.id for r in item.references),
            "n_atoms": item.n_atoms,
            "n_cells": len(cells),
            "n_proposed": sum(map(len, cells)),
            "n_distinct": sum(not again for crystals in cells for again in repeats(crystals)),
            "part_cpu_seconds": round(seconds, 2),
        }
        for arm, cells in proposed.items()
    ]


def _order(item: PolymorphSet, settings: PolymorphSettings) -> Rows:
    """Each pair of references with an energy of one scheme: does the judge order it as the source does?"""
    from dao_core.energy.potential import PotentialResult
    from dao_core.energy.registry import load_potential

    known = [r for r in item.references if r.energy_per_atom is not None]
    if len(known) < 2:
        return []
    outcomes = load_potential(settings.judge).compute([r.crystal for r in known])
    judged = [
        o.energy / r.crystal.n_atoms if isinstance(o, PotentialResult) else np.nan
        for o, r in zip(outcomes, known, strict=True)
    ]
    rows: Rows = []
    for i, first in enumerate(known):
        for j in range(i):
            gap = float(first.energy_per_atom or 0.0) - float(known[j].energy_per_atom or 0.0)
            said = judged[i] - judged[j]
            if abs(gap) >= SAME_ENERGY and np.isfinite(said):
                same = bool(np.sign(said) == np.sign(gap))
                rows.append({"formula": item.formula, "first": first.id, "second": known[j].id,
                             "judge_difference": float(said), "same_order": same})  # fmt: skip
    return rows


def inputs(settings: PolymorphSettings) -> dict[str, Any]:
    """What the results depend on beside the settings."""
    from dao_core.energy.registry import load_potential
    from dao_core.models.checkpoint_io import load_checkpoint

    folders = {"mp_20": "test_public.parquet", "mpts_52": "test_public.parquet"}
    paths = [settings.data / folder / name for folder, name in folders.items()]
    return {
        "files": identity_of([*paths, settings.data / ENERGIES, settings.data / settings.trained_on]),
        "library": library_content(settings.library),
        "generator": load_checkpoint(settings.generator, kind="generator").identity,
        "judge": load_potential(settings.judge).identity,
    }


STUDY = Study("polymorphs", PolymorphSettings, prepare, parts, measure, summarise, plot, inputs)
