"""What every training says of itself: the card beside a checkpoint, and which rows were held out."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from dao_core.artifacts import content_key
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.table import TableRecord

VALIDATION_SHARE = 0.1


@dataclass(frozen=True)
class Provenance:
    """What is written beside weights: `about`, the data as facts, and `card`, the model card in Markdown."""

    about: dict[str, Any]
    card: str


class TrainingDataError(ValueError):
    """A view of CrysDB that cannot train the model; the message says what is missing."""


def is_held_out(record: CrysRecord) -> bool:
    """Whether a row calibrates instead of training.

    Args:
        record: A row of CrysDB.

    Returns:
        True for a tenth of the formulas, chosen by their name: frames of one material never stand on both sides.
    """
    return int(content_key(formula=record.formula_reduced), 16) % 1000 < 1000 * VALIDATION_SHARE


def about_table(table: TableRecord, view: str, rows: int) -> dict[str, Any]:
    """The data of a training as facts for a checkpoint's configuration.

    Args:
        table: CrysDB.
        view: Which rows.
        rows: How many.
    """
    return {"crysdb_version": table.version, "crysdb_key": table.key, "view": view, "rows": rows}


def card(title: str, table: TableRecord, view: str, records: list[CrysRecord]) -> str:
    """The model card: what the weights were trained on, under which licences, and what not to expect.

    Args:
        title: Heading.
        table: CrysDB.
        view: Which rows.
        records: The rows.

    Returns:
        Markdown.
    """
    sources = sorted({f"{r.source} ({r.functional}; licence: {r.license or 'not stated'})" for r in records})
    largest = max((r.n_atoms for r in records), default=0)
    lines = [
        f"# {title}",
        "",
        f"- Trained on CrysDB version {table.version} (key {table.key}), view `{view}`, {len(records)} rows.",
        *[f"- Data: {source}" for source in sources],
        f"- Largest training cell: {largest} atoms. Elements outside the training data are refused.",
        "- Figures of the run stand in `config.json` under `training`.",
        "- Limits: a generated structure is a claim. Let first principles decide before acting on it.",
    ]
    return "\n".join(lines) + "\n"
