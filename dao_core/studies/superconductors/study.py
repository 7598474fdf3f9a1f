"""The study of superconductors: how often is the known structure of a held-out one among 20 proposals?"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.crystal import Crystal
from dao_core.evaluate.statistics import wilson
from dao_core.library.collect import source_file
from dao_core.library.folder import library_folder
from dao_core.studies.left_out import library_content, library_templates, own_entries, query_without
from dao_core.studies.polymorphs.arms import from_dao_g
from dao_core.studies.polymorphs.compositions import leaks_into_training
from dao_core.studies.study import Rows, Study, StudyError, identity_of
from dao_core.studies.superconductors.crystals import CRYSTALS, reference
from dao_core.studies.superconductors.settings import SuperconductorSettings
from dao_core.studies.superconductors.tc_data import COMPOSITIONS, MEASURED, STRUCTURES
from dao_core.studies.superconductors.tc_study import measure_tc, prepare_tc, summarise_tc, tc_parts

if TYPE_CHECKING:
    import pandas as pd

    from dao_core.generate.sampler import Generator
    from dao_core.generate.templates.index import TemplateHit

KNOWN_TO_SYMMETRY = "known_to_symmetry.json"
ARMS = ("templates", "dao-g", "seeded")


def prepare(settings: SuperconductorSettings, folder: Path) -> dict[str, Any]:
    """Look for these compositions among what DAO-G has learned from, and count what the library has of them.

    Where its flow has learned from one the study is refused. Where only its symmetry model has, that model is left out
    for the crystal.

    Args:
        settings: Of the study.
        folder: Gets which crystals the symmetry model knows, and what the trainings on critical temperatures share.

    Returns:
        The leak audit's table, by crystal the rows that the symmetry model has learned from and the library's entries
        of its own, which are left out, and, where they are asked for, the counts of the critical temperatures.

    Raises:
        StudyError: A composition is among the training rows of the flow, or a file of training rows is missing.
    """
    formulas = {name: reference(name).formula_reduced for name in settings.crystals}
    seen, table = leaks_into_training(settings.data / settings.trained_on, formulas.values(), "superconductors")
    if seen:
        named = "; ".join(f"{formula}: {', '.join(ids[:3])}" for formula, ids in sorted(seen.items()))
        raise StudyError(
            f"held-out compositions are among the {table[0]['rows']} rows of {settings.trained_on} ({named}): name a "
            "generator that was trained without them, and its rows (generator, trained_on)"
        )
    known = _known_to_symmetry(settings, formulas)
    (folder / KNOWN_TO_SYMMETRY).write_text(json.dumps(known))
    index = library_templates(settings.library)
    own = {name: own_entries(index, CRYSTALS[name]) for name in settings.crystals}
    facts = {
        "leak_audit_of_training": table,
        "symmetry_model_left_out": known,
        "own_entries_left_out": {name: len(ids) for name, ids in own.items()},
    }
    return facts if settings.tc is None else {**facts, "tc": prepare_tc(settings, settings.tc, folder)}


def _known_to_symmetry(settings: SuperconductorSettings, formulas: Mapping[str, str]) -> dict[str, list[str]]:
    """Ids of the rows that the symmetry model has learned from, by crystal; the others are not named."""
    found: dict[str, list[str]] = {}
    for path in _learned_by_symmetry(settings):
        seen, _ = leaks_into_training(path, formulas.values(), "superconductors")
        for name, formula in formulas.items():
            if formula in seen:
                found.setdefault(name, []).extend(seen[formula])
    return found


def _learned_by_symmetry(settings: SuperconductorSettings) -> list[Path]:
    root = library_folder(settings.library)
    return [
        settings.data / name if name.endswith(".parquet") else source_file(root, name)
        for name in settings.symmetry_trained_on
    ]


def parts(settings: SuperconductorSettings, folder: Path) -> list[str]:  # noqa: ARG001 - nothing is shared
    """A part a crystal, small cells first, then one a fold and seed of the critical temperatures."""
    crystals = sorted(settings.crystals, key=lambda name: (sum(CRYSTALS[name].values()), name))
    return crystals + ([] if settings.tc is None else tc_parts(settings.tc))


def measure(part: str, settings: SuperconductorSettings, folder: Path) -> dict[str, Rows]:
    """Propose structures of one crystal's cell by each arm and compare them, or train on critical temperatures.

    Args:
        part: Name of the crystal, or of a fold.
        settings: Of the study.
        folder: Of `prepare`.

    Returns:
        Table `matches` (a row a proposal, and one of rank -1 for an arm without any), or those of `measure_tc`.
    """
    from dao_core.matching.pairs import match_pairs

    if settings.tc is not None and part not in CRYSTALS:
        return measure_tc(part, settings, settings.tc, folder)

    known = reference(part)
    known_to_symmetry = json.loads((folder / KNOWN_TO_SYMMETRY).read_text())
    rows: Rows = []
    for arm, (crystals, seconds) in _proposed(CRYSTALS[part], settings, part not in known_to_symmetry).items():
        compared = match_pairs(predicted=crystals, reference=[known] * len(crystals))[0]
        each = round(seconds / max(1, len(crystals)), 3)
        about = {"crystal": part, "arm": arm, "cpu_seconds": each}
        rows += [{**about, "rank": i, "rms": c.rms, "reason": c.reason} for i, c in enumerate(compared)]
        if not crystals:
            rows.append({**about, "rank": -1, "rms": None, "reason": "nothing proposed"})
    return {"matches": rows}


def _proposed(
    cell: dict[str, int], settings: SuperconductorSettings, with_symmetry: bool
) -> dict[str, tuple[list[Crystal], float]]:
    """Structures of each arm with the processor seconds of all."""
    begin = time.process_time()
    hits, _ = query_without(library_templates(settings.library), cell, settings.n)
    middle = time.process_time()
    drawn: list[Crystal] = []
    seeded: list[Crystal] = []
    end = middle
    if sum(cell.values()) <= settings.largest_drawn:
        drawn = from_dao_g(_generator(settings.generator), cell, settings.n, settings.seed, with_symmetry=with_symmetry)
        end = time.process_time()
        seeded = _seeded(_generator(settings.generator), hits, cell, settings)
    last = time.process_time()
    return {
        "templates": ([h.crystal for h in hits], middle - begin),
        "dao-g": (drawn, end - middle),
        "seeded": (seeded, last - end),
    }


def _seeded(
    generator: Generator, hits: Sequence[TemplateHit], cell: dict[str, int], settings: SuperconductorSettings
) -> list[Crystal]:
    """Samples of DAO-G that start from templates, each template as often as it is probable: draws, not a ranking."""
    from dao_core.generate.sampler import SampleStart, sample_seed

    if not hits:
        return []
    weights = np.exp([h.log_prior - max(x.log_prior for x in hits) for h in hits])
    chosen = np.random.default_rng(settings.seed).choice(len(hits), settings.n, p=weights / weights.sum())
    starts = []
    for i, k in enumerate(chosen):
        template, name = hits[int(k)].crystal, hits[int(k)].template_id
        seed = sample_seed(settings.seed, cell, i, name)
        starts.append(SampleStart(template.atomic_numbers, seed, template, name))
    return [p.crystal for p in generator.sample(starts) if p.crystal is not None]


@lru_cache(maxsize=1)
def _generator(name: str) -> Generator:
    from dao_core.generate.sampler import Generator

    return Generator.load(name)


def summarise(
    tables: Mapping[str, pd.DataFrame], settings: SuperconductorSettings, facts: Mapping[str, Any]
) -> dict[str, Any]:
    """Matches and best RMSE by crystal and arm, and the errors of critical temperatures.

    Args:
        tables: Of the parts that are done.
        settings: Of the study.
        facts: Of `prepare`.
    """
    matches = tables.get("matches")
    crystals = {} if matches is None else {
        str(name): {arm: _arm(rows[rows["arm"] == arm], settings.n) for arm in ARMS}
        for name, rows in matches.groupby("crystal")
    }  # fmt: skip
    held_out = {name: fact for name, fact in facts.items() if name != "tc"}
    report = {"crystals": crystals, "n": settings.n, "held_out": held_out, "seed": settings.seed}
    return {**report, "tc": summarise_tc(tables, facts["tc"])} if "tc_errors" in tables else report


def _arm(rows: pd.DataFrame, n: int) -> dict[str, Any]:
    """Of `n` that were asked for: a proposal that was not made is no match."""
    made = rows[rows["rank"] >= 0]
    hit = int(made["rms"].notna().sum())
    low, high = wilson(n_hit=hit, n=n)
    first = made[made["rms"].notna()]["rank"].min()
    return {
        "n_proposed": len(made),
        "matches": hit,
        "interval": [n * low, n * high],
        "best_rms": float(made["rms"].min()) if hit else None,
        "first_match": int(first) + 1 if hit else None,
        "cpu_seconds_each": float(rows["cpu_seconds"].mean()) if len(made) else None,
        "reasons": made["reason"].value_counts().to_dict(),
    }


def plot(tables: Mapping[str, pd.DataFrame], report: Mapping[str, Any], folder: Path) -> None:  # noqa: ARG001
    """Matches among the proposals, a bar an arm.

    Args:
        tables: Not used.
        report: The figures.
        folder: Gets `superconductors.png`.
    """
    from matplotlib.figure import Figure

    figure = Figure(figsize=(6, 3), layout="constrained")
    axis = figure.subplots()
    names = list(report["crystals"])
    for i, arm in enumerate(ARMS):
        values = [report["crystals"][name][arm]["matches"] for name in names]
        axis.bar([x + 0.27 * (i - 1) for x in range(len(names))], values, width=0.25, label=arm)
    axis.set_xticks(range(len(names)), names)
    axis.set(ylabel=f"matches of {report['n']}", ylim=(0, report["n"]))
    axis.legend()
    figure.savefig(folder / "superconductors.png", dpi=130)


def inputs(settings: SuperconductorSettings) -> dict[str, Any]:
    """What the results depend on beside the settings."""
    from dao_core.models.checkpoint_io import load_checkpoint

    tc, files = settings.tc, [settings.trained_on]
    files += [] if tc is None else [MEASURED, COMPOSITIONS, STRUCTURES]
    return {
        "files": identity_of([*(settings.data / name for name in files), *_learned_by_symmetry(settings)]),
        "library": library_content(settings.library),
        "generator": load_checkpoint(settings.generator, kind="generator").identity,
        "predictor": None if tc is None else load_checkpoint(tc.predictor, kind="predictor").identity,
    }


STUDY = Study("superconductors", SuperconductorSettings, prepare, parts, measure, summarise, plot, inputs)
