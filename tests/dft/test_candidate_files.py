"""Tables of candidates: what a validation needs of one is there, or the file is refused by name."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from dao_core.dft.candidate_files import REPORT_COLUMNS, CandidatesError, require_columns
from dao_core.screening.report.files import write_files
from tests.helpers.candidates import candidate, cesium_chloride


def test_a_report_has_what_is_read_of_it(tmp_path: Path) -> None:
    report = write_files([candidate("NaCl-t1", cesium_chloride(), -3.0)], tmp_path)["parquet"]
    require_columns(report, REPORT_COLUMNS)


def test_what_is_no_report_is_refused_by_name(tmp_path: Path) -> None:
    pq.write_table(pa.table({"id": ["a"], "rank": [1]}), tmp_path / "other.parquet")
    (tmp_path / "text.parquet").write_text("no table")
    for name, reason in (
        ("other.parquet", r"other\.parquet has no column file, formula: name the candidates\.parquet"),
        ("text.parquet", r"text\.parquet can't be read as Parquet"),
        ("missing.parquet", r"missing\.parquet can't be read as Parquet"),
        (".", "is a folder"),
    ):
        with pytest.raises(CandidatesError, match=reason):
            require_columns(tmp_path / name, ("id", "formula", "file"))
