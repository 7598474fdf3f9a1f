"""Tasks that train: DAO-G on a view of CrysDB (both stages) and DAO-P."""

from __future__ import annotations

import shutil
from collections import Counter
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np

from dao_core.artifacts import Ledger, StageRecord, content_key
from dao_core.code_version import code_version
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.table import CrysTable, TableRecord
from dao_core.training.card import Provenance, TrainingDataError, about_table, card, is_held_out
from dao_core.training.config import TrainingConfig
from dao_core.training.distributed import is_main_rank
from dao_core.training.progress import TrainingProgress, reporting
from tasks.crysdb import ledger_of
from tasks.prefect_api import create_table_artifact, get_run_logger, task
from tasks.progress import Progress, listeners, progress

if TYPE_CHECKING:
    from dao_core.models.checkpoint_io import Checkpoint
    from dao_core.training.fit_generator import GeneratorData
    from dao_core.training.fit_predictor import PredictorData
    from dao_core.training.packed import PackedCrystals

CHECKPOINT = "checkpoint"


@task(name="train DAO-G")
def train_generator(
    table: TableRecord,
    config: TrainingConfig,
    root: str,
    *,
    view: Literal["leak_free", "relaxed"],
    start_from: StageRecord | None = None,
) -> StageRecord:
    """Train the generator.

    Args:
        table: CrysDB.
        config: How.
        root: Folder of the run.
        view: Which rows.
        start_from: Stage whose weights are continued.

    Returns:
        The record of the stage, with the checkpoint.
    """
    start = None if start_from is None else start_from.file(CHECKPOINT)
    return report(fit_generator_stage(table, config, root, view=view, start_from=start))


@task(name="train DAO-P")
def train_predictor(table: TableRecord, config: TrainingConfig, root: str) -> StageRecord:
    """Train the energy model on leak-free structures and frames.

    Args:
        table: CrysDB.
        config: How.
        root: Folder of the run.

    Returns:
        The record of the stage, with the checkpoint.
    """
    return report(fit_predictor_stage(table, config, root))


def fit_generator_stage(
    table: TableRecord,
    config: TrainingConfig,
    root: str,
    *,
    view: Literal["leak_free", "relaxed"],
    start_from: Path | None = None,
) -> StageRecord:
    """The ledger stage behind `train_generator`.

    Args:
        table: CrysDB.
        config: How.
        root: Folder of the run.
        view: Which rows.
        start_from: Checkpoint folder whose weights are continued, before the settings' own.

    Returns:
        The record of the stage, with the checkpoint.

    Raises:
        TrainingDataError: The view is empty.
        CheckpointError: The checkpoint to continue cannot be read, or its weights mean something else.
        SettingsError: A setting is none of a generator.
    """
    from dao_core.models.checkpoint_io import load_checkpoint
    from dao_core.training.fit_generator import continued_path, fit_generator
    from dao_core.training.seeds import build_pairs

    settings = config.for_generator()
    begin = start_from or config.start_from
    earlier = None if begin is None else load_checkpoint(begin, kind="generator")
    if earlier is not None:
        settings = continued_path(config, earlier).model_copy(update={"start_from": str(begin)})

    def fit(directory: Path) -> dict[str, Any]:
        records = _records(table, view)
        if not records:
            raise TrainingDataError(f"the view {view!r} of {table.path} is empty: build the database with more sources")
        provenance = Provenance(
            about_table(table, view, len(records)),
            card("DAO-G, generator of crystal structures", table, view, records),
        )
        return fit_generator(_generator_data(records, settings, directory), settings, directory, provenance)

    key = content_key(
        table=table.key, view=view, config=config, flow=settings.flow,
        earlier=None if earlier is None else earlier.identity, code=code_version(fit_generator, build_pairs),
    )  # fmt: skip
    return _train(ledger_of(root), "train-generator", key, fit)


def _generator_data(records: list[CrysRecord], config: TrainingConfig, directory: Path) -> GeneratorData:
    """The structures, with templates for the seeded part of a training where it asks for them and some fit."""
    from dao_core.training.fit_generator import GeneratorData
    from dao_core.training.packed import PackedCrystals
    from dao_core.training.seeds import SeedError, build_pairs, load_pairs

    crystals = [r.crystal for r in records]
    structures = PackedCrystals.from_crystals(crystals)
    if not config.pairs or config.process != "flow" or not config.flow.seeded_share:
        return GeneratorData(structures)
    ids = [r.material_id for r in records]
    build_pairs(ids, crystals, config.pairs, directory / "pairs", config.seed)
    try:
        return GeneratorData(structures, *load_pairs(directory / "pairs", ids))
    except SeedError:
        get_run_logger().warning(
            "no structure has a template in the rest of the data: the seeded flow learns made-up ones"
        )
        return GeneratorData(structures)


def fit_predictor_stage(table: TableRecord, config: TrainingConfig, root: str) -> StageRecord:
    """The ledger stage behind `train_predictor`; a tenth of the formulas calibrates the spread.

    Args:
        table: CrysDB.
        config: How.
        root: Folder of the run.

    Returns:
        The record of the stage, with the checkpoint.

    Raises:
        TrainingDataError: No row has a formation energy, or none is of the functional that is to be the reference.
        CheckpointError: The checkpoint to continue cannot be read.
    """
    from dao_core.models.checkpoint_io import load_checkpoint
    from dao_core.training.fit_predictor import fit_predictor

    begin = config.start_from
    earlier = None if begin is None else load_checkpoint(begin, kind="predictor")

    def fit(directory: Path) -> dict[str, Any]:
        records = [r for r in _records(table, "energies") if r.formation_energy_per_atom is not None]
        if not records:
            raise TrainingDataError(
                f"no row of {table.path} has a formation energy: add a source that carries energies"
            )
        data = _predictor_data(records, config, earlier)
        provenance = Provenance(
            about_table(table, "energies", len(records)),
            card("DAO-P, energies, forces and stresses", table, "energies", records),
        )
        return fit_predictor(data, config, directory, provenance)

    identity = None if earlier is None else earlier.identity
    key = content_key(table=table.key, config=config, earlier=identity, code=code_version(fit_predictor, is_held_out))
    return _train(ledger_of(root), "train-predictor", key, fit)


def _predictor_data(records: list[CrysRecord], config: TrainingConfig, earlier: Checkpoint | None) -> PredictorData:
    """The rows that train, and those of a tenth of the formulas, which calibrate; where that leaves none, all train."""
    from dao_core.training.fit_predictor import PredictorData

    train = [r for r in records if not is_held_out(r)] or records
    held = [] if train is records else [r for r in records if is_held_out(r)]
    reference = _reference(Counter(r.functional for r in train), config, earlier)
    sources = [reference, *sorted({r.functional for r in records} - {reference})]
    return PredictorData(_pack(train, sources), sources, _pack(held, sources) if held else None)


def _reference(rows: Counter[str], config: TrainingConfig, earlier: Checkpoint | None) -> str:
    """The functional on whose scale the predictor will answer, chosen from those of the training rows."""
    if config.reference is not None:
        if config.reference not in rows:
            raise TrainingDataError(
                f"reference: no row to train on has the functional {config.reference!r}, only {', '.join(sorted(rows))}"
            )
        return config.reference
    before = None if earlier is None else str(earlier.config["energy_scale"]["sources"][0])
    if before is not None and before in rows:
        return before
    return max(sorted(rows), key=rows.__getitem__)


def _pack(records: list[CrysRecord], sources: list[str]) -> PackedCrystals:
    from dao_core.training.fit_predictor import TrainingLabels, pack_labelled

    labels = TrainingLabels(
        formation_energy_per_atom=[float(r.formation_energy_per_atom or 0.0) for r in records],
        e_above_hull=[np.nan if r.e_above_hull is None else r.e_above_hull for r in records],
        source=[sources.index(r.functional) for r in records],
        forces=[r.forces for r in records],
        stress=[r.stress for r in records],
    )
    return pack_labelled([r.crystal for r in records], labels)


def _train(ledger: Ledger, stage: str, key: str, fit: Callable[[Path], dict[str, Any]]) -> StageRecord:
    """Train in a working folder that outlives a kill (training continues there) and publish the checkpoint."""
    working = ledger.root / "in-progress" / f"{stage}-{key}"
    if not is_main_rank():
        fit(working)
        raise SystemExit(0)  # the first rank has the result and the ledger; this one has done its part

    def work(directory: Path) -> dict[str, Any]:
        facts = fit(working)
        shutil.copytree(working / CHECKPOINT, directory / CHECKPOINT)
        for log in working.glob("*.jsonl"):
            shutil.copy(log, directory / log.name)
        counts = {k: int(v) for k, v in facts.items() if isinstance(v, int)}
        return {"counts": counts, "facts": facts}

    with progress(ledger.root.parent, stage, 100, "%") as shown, reporting(partial(_show, shown)):
        record = ledger.run(stage, key, work)
    shutil.rmtree(working, ignore_errors=True)
    return record


def _show(shown: Progress, state: TrainingProgress) -> bool:
    if not shown.done:
        shown.start_at(100 * state.share)
    shown.update(100 * state.share, f"loss {state.loss:.4f}, {state.structures_per_s:.0f} structures/s")
    return bool(listeners)


def _records(table: TableRecord, view: str) -> list[CrysRecord]:
    """Rows of a view at the version of the record; `energies` is leak-free structures and frames with forces.

    In the order of their ids: that of a table's files is chance, and the batches of a training follow the rows.
    """
    crysdb = CrysTable(table.path)
    views = ("leak_free", "forces") if view == "energies" else (view,)
    rows = {r.material_id: r for v in views for r in crysdb.records(v, version=table.version)}  # type: ignore[arg-type]
    return [rows[name] for name in sorted(rows)]


def report(record: StageRecord) -> StageRecord:
    """One line about a finished training in the flow's log, and its facts as a table.

    Args:
        record: Of the training.

    Returns:
        The same record.
    """
    get_run_logger().info("%s %s: %s", record.stage, record.key, record.facts)
    rows = [{"fact": k, "value": str(v)} for k, v in record.facts.items()]
    create_table_artifact(key=record.stage, table=rows, description=record.path)
    return record
