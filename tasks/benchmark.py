"""Tasks of a structure prediction benchmark: the index, one shard of one column and seed, the table."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, Literal

from dao_core.artifacts import StageRecord, content_key, write_atomic
from dao_core.code_version import code_version
from dao_core.energy.registry import load_potential
from dao_core.generate.templates.aflow import aflow_index
from dao_core.generate.templates.store import load_index
from dao_core.matching.pairs import FAILED
from dao_core.screening.load_models import SearchModels
from dao_core.studies import benchmark_figures
from dao_core.studies.benchmark_data import STAND_IN, mp20_training_ids, read_targets, training_items
from dao_core.studies.benchmark_figures import cards, coverage, hard_cases, merged, over_seeds
from dao_core.studies.benchmark_store import INDEX, REPORT, RESULT, load_shard, shard_to_json
from dao_core.studies.csp_benchmark import (
    BenchmarkSettings,
    Models,
    Target,
    ranked_predictions,
    run_shard,
    shards,
)
from tasks.crysdb import ledger_of
from tasks.prefect_api import task

KS = (1, 5, 20)
UNSEEN = "outside mp-20 training"
FREE = ("denovo", "baseline")  # columns without templates


@dataclass(frozen=True)
class ModelNames:
    """The models of a benchmark by name or folder; `templates`: of the training split (train), or those that ship."""

    generator: str = "generator"
    baseline: str | None = None
    potential: str = "dao"
    templates: Literal["train", "shipped"] = "train"


@dataclass(frozen=True)
class BenchmarkRun:
    """What all stages of one run share: the benchmark `name` on the splits below `data`, results below `root`."""

    name: str
    data: Path
    root: str
    models: ModelNames
    settings: BenchmarkSettings


@dataclass(frozen=True)
class Shard:
    """One shard of one column and seed."""

    column: str
    seed: int
    number: int


def all_shards(run: BenchmarkRun) -> list[Shard]:
    """Every shard of a benchmark. Templates don't depend on a seed: they are asked once."""
    targets, _ = read_targets(run.data, run.name)
    settings = run.settings
    numbers = range(len(shards(targets, settings)))
    return [
        Shard(column, seed, number)
        for column in settings.columns
        for seed in (settings.seeds[:1] if column == "templates" else settings.seeds)
        for number in numbers
    ]


@task(name="build benchmark index")
def build_index(run: BenchmarkRun) -> StageRecord:
    """The template index of the training split."""
    return index_stage(run)


@task(name="benchmark shard", retries=1)
def predict_shard(shard: Shard, index: StageRecord, run: BenchmarkRun) -> StageRecord:
    """Predict and compare one shard."""
    return shard_stage(shard, index, run)


@task(name="benchmark table")
def tabulate(done: Sequence[StageRecord], index: StageRecord, run: BenchmarkRun) -> StageRecord:
    """All figures of the finished shards."""
    return report_stage(done, index, run)


def index_stage(run: BenchmarkRun) -> StageRecord:
    """The ledger stage behind `build_index`. Raises BenchmarkDataError."""
    from dao_core.generate.templates.index import TemplateIndex
    from dao_core.generate.templates.store import save_index

    data, name = run.data, run.name

    def work(directory: Path) -> dict[str, Any]:
        items = list(training_items(data, name))
        index = TemplateIndex.build(items, source=f"{name} training split, {len(items)} rows")
        save_index(index, directory / INDEX)
        return {"counts": {"n_ok": len(index), "n_failed": 0}}

    key = content_key(name=name, data=_identity(data, name), code=code_version(TemplateIndex, training_items))
    return ledger_of(run.root).run("benchmark-index", key, work)


def shard_stage(shard: Shard, index: StageRecord, run: BenchmarkRun) -> StageRecord:
    """The ledger stage behind `predict_shard`; a killed benchmark repeats only the shard that was in work.

    Args:
        shard: Targets, method and seed.
        index: Stage that holds the templates.
        run: Settings and ledger of the benchmark.

    Returns:
        The record of the stage.
    """
    settings, models = run.settings, run.models
    targets = shards(read_targets(run.data, run.name)[0], settings)[shard.number]

    def work(directory: Path) -> dict[str, Any]:
        result = run_shard(targets, shard.column, _models(index, models, shard.column, settings), settings, shard.seed)  # type: ignore[arg-type]
        write_atomic(directory / RESULT, json.dumps(shard_to_json(result)))
        n_failed = sum(c.reason in FAILED for row in result.table for c in row)
        counts = {"n_ok": sum(map(len, result.table)) - n_failed, "n_failed": n_failed}
        return {"counts": counts, "facts": {"column": shard.column, "seed": shard.seed, "shard": shard.number}}

    others = set() if shard.column == "ranked" else {"proposals", "relax_steps"}
    others |= set() if shard.column == "mixed" else {"free"}
    plain = settings.model_dump(exclude={"columns", "seeds", "limit", "shard_size"} | others)
    key = content_key(
        targets=[t.id for t in targets], column=shard.column, seed=shard.seed, settings=plain, index=index.key,
        models=_identities(models, shard.column), data=_identity(run.data, run.name),
        code=code_version(run_shard, aflow_index),
    )  # fmt: skip
    return ledger_of(run.root).run("benchmark-shard", key, work)


def _identity(data: Path, name: str) -> str:
    """Content of the splits, through the size and time of their files."""
    folder = data / name.replace("-", "_")
    files = sorted(folder.glob("*.parquet")) + [p for p in [data / STAND_IN] if name == "mpts-52" and p.exists()]
    return content_key(files=[(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files])


def models_used(run: BenchmarkRun) -> dict[str, str]:
    """What makes the predictions of each column. Raises CheckpointError for a model that can't be used."""
    return {c: _identities(run.models, c) or f"{run.models.templates} templates" for c in run.settings.columns}


def _identities(names: ModelNames, column: str) -> str | None:
    from dao_core.models.checkpoint_io import load_checkpoint

    if column not in FREE and names.templates == "shipped":
        source = aflow_index().source
        model = _identities(replace(names, templates="train"), column)
        return source if model is None else f"{source}, {model}"
    if column == "templates":
        return None
    chosen = names.baseline if column == "baseline" else names.generator
    if chosen is None:
        return None
    own = load_checkpoint(chosen, kind="generator").identity
    return own if column != "ranked" else f"{own}, {load_potential(names.potential).identity}"


def _models(index: StageRecord, names: ModelNames, column: str, settings: BenchmarkSettings) -> Models:
    from dao_core.generate.integrate import SamplerSettings
    from dao_core.generate.sampler import Generator

    templates = None
    if column not in FREE:
        shipped = names.templates == "shipped"
        templates = aflow_index() if shipped else load_index(index.file(INDEX))
    sampler = None if settings.steps is None else SamplerSettings(steps=settings.steps)
    generator = Generator.load(names.generator, sampler) if column not in ("templates", "baseline") else None
    baseline = Generator.load(names.baseline) if column == "baseline" and names.baseline else None
    search = None
    if column == "ranked":
        search = partial(ranked_predictions, models=SearchModels(load_potential(names.potential), generator, templates))
    return Models(templates, generator, baseline, search)


def report_stage(done: Sequence[StageRecord], index: StageRecord, run: BenchmarkRun) -> StageRecord:
    """The ledger stage behind `tabulate`."""
    data, name, settings = run.data, run.name, run.settings
    models = models_used(run)

    def work(directory: Path) -> dict[str, Any]:
        everything, read = read_targets(data, name)
        parts = shards(everything, settings)
        targets = [t for part in parts for t in part]
        rows = hard_cases(targets, load_index(index.file(INDEX)))
        if name == "mpts-52":  # a generator trained on MP-20 has seen a quarter of this test split
            seen = mp20_training_ids(data)
            rows[UNSEEN] = [i for i, t in enumerate(targets) if t.id not in seen] if seen else []
        table = {column: _column(done, column, targets, rows, settings) for column in settings.columns}
        about = {"benchmark": name, "n_asked": len(targets), "of_split": read, "settings": settings.model_dump(),
                 "models": models}  # fmt: skip
        write_atomic(directory / REPORT, json.dumps({**about, "columns": table}, indent=1))
        counts = {k: sum(r.counts[k] for r in done) for k in ("n_ok", "n_failed")}  # of comparisons
        return {"counts": counts, "facts": {"targets": len(targets), "shards": len(done), "of": len(parts)}}

    key = content_key(
        done=[r.key for r in done], settings=settings, name=name, models=models, code=code_version(benchmark_figures),
        **({"seen": _identity(data, "mp-20")} if name == "mpts-52" else {}),
    )  # fmt: skip
    return ledger_of(run.root).run("benchmark-report", key, work)


def _column(
    done: Sequence[StageRecord],
    column: str,
    targets: Sequence[Target],
    rows: dict[str, list[int]],
    settings: BenchmarkSettings,
) -> dict[str, Any]:
    """Figures of one column: for each row the card of each seed, and the mean over seeds."""
    ks = [k for k in KS if k <= settings.k] or [settings.k]
    by_seed: dict[int, list[StageRecord]] = {}
    for record in done:
        if record.facts["column"] == column:
            by_seed.setdefault(record.facts["seed"], []).append(record)
    results = [merged([load_shard(r) for r in sorted(rs, key=lambda r: r.facts["shard"])]) for rs in by_seed.values()]
    own = [cards(targets, r, rows, ks) for r in results]
    return {
        "coverage": coverage(targets, results[0]),
        "rows": {
            row: {
                "n": len(members),
                "mean_over_seeds": over_seeds(results, members, ks),
                "seeds": {seed: card[row].as_dict() for seed, card in zip(by_seed, own, strict=True)},
            }
            for row, members in rows.items()
            if members
        },
    }
