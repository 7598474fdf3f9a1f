"""The result of one benchmark shard as JSON, and back."""

from __future__ import annotations

import json
from typing import Any

import numpy as np

from dao_core.artifacts import StageRecord
from dao_core.crystal import Crystal
from dao_core.matching.rms import Comparison
from dao_core.studies.csp_benchmark import (
    ShardResult,
)

INDEX, RESULT, REPORT = "index", "result.json", "report.json"


def shard_to_json(result: ShardResult) -> dict[str, Any]:
    """Structures, their origins and their comparisons as plain lists; `load_shard` reads them back."""

    def arrays(c: Crystal | None) -> list[Any] | None:
        return None if c is None else [x.ravel().tolist() for x in (c.lattice, c.frac_coords, c.atomic_numbers)]

    return {
        "predicted": [[arrays(c) for c in row] for row in result.predicted],
        "origins": result.origins,
        "table": [[[c.rms, c.max_distance, c.reason] for c in row] for row in result.table],
        "n_failed_draws": result.n_failed_draws,
        "metre": None if result.metre is None else [None if np.isnan(x) else float(x) for x in result.metre],
    }


def load_shard(record: StageRecord) -> ShardResult:
    """Read what a shard stage wrote."""
    data = json.loads(record.file(RESULT).read_text())

    def crystal(value: list[Any] | None) -> Crystal | None:
        return None if value is None else Crystal(np.reshape(value[0], (3, 3)), np.reshape(value[1], (-1, 3)), value[2])

    metre = data["metre"]
    return ShardResult(
        [[crystal(c) for c in row] for row in data["predicted"]],
        data["origins"],
        [[Comparison(*c) for c in row] for row in data["table"]],
        None if metre is None else np.array([np.nan if x is None else x for x in metre]),
        data["n_failed_draws"],
    )
