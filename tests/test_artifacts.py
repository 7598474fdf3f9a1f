from __future__ import annotations

import fcntl
import json
import os
from datetime import date
from decimal import Decimal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import BaseModel

from dao_core import artifacts
from dao_core.artifacts import (
    MANIFEST,
    PUBLISHED,
    ArtifactError,
    ForeignFileError,
    Ledger,
    content_key,
    file_sha256,
    plain,
    publish_into,
    verify,
    write_atomic,
)


class Settings(BaseModel):
    steps: int = 3


def work(directory: Path) -> dict[str, Any]:
    (directory / "rows.txt").write_text("1\n2\n")
    (directory / "deep").mkdir()
    (directory / "deep" / "more.bin").write_bytes(b"\0" * 10)
    return {"counts": {"rows": 2}, "facts": {"unit": "eV"}}


def test_a_stage_runs_once_and_is_found_again(tmp_path: Path) -> None:
    ledger = Ledger(tmp_path)
    record = ledger.run("ingest", "abc", work)
    assert record.counts == {"rows": 2}
    assert record.facts == {"unit": "eV"}
    assert record.file("rows.txt").read_text() == "1\n2\n"

    def never(_: Path) -> None:
        raise AssertionError("done work was repeated")

    assert ledger.run("ingest", "abc", never) == record
    assert ledger.find("ingest", "other") is None
    listed = json.loads((tmp_path / "ingest" / "abc" / MANIFEST).read_text())["files"]
    assert sorted(listed) == ["deep/more.bin", "rows.txt"]


def test_keys_are_stable_and_differ() -> None:
    assert content_key(a=1, b=[2]) == content_key(b=[2], a=1)
    assert content_key(a=1) != content_key(a=2)
    assert content_key(c=Settings()) == content_key(c={"steps": 3})
    assert content_key(s={"b", "a"}) == content_key(s=["a", "b"])
    assert content_key(p=Path("x"), d=date(2026, 1, 2), n=np.int64(3)) == content_key(p="x", d="2026-01-02", n=3)


def test_a_value_without_stable_text_is_refused() -> None:
    with pytest.raises(TypeError, match="no stable text"):
        content_key(x=object())


@pytest.mark.parametrize("damage", ["truncate", "change", "delete", "manifest", "no manifest", "manifest is a list"])
def test_a_damaged_stage_is_set_aside_and_made_again(tmp_path: Path, damage: str) -> None:
    ledger = Ledger(tmp_path)
    directory = Path(ledger.run("ingest", "abc", work).path)
    rows, manifest = directory / "rows.txt", directory / MANIFEST
    if damage == "truncate":
        rows.write_text("1\n")
    elif damage == "change":
        rows.write_text("1\n3\n")
    elif damage == "delete":
        rows.unlink()
    elif damage == "manifest":
        manifest.write_text(manifest.read_text()[:20])
    elif damage == "no manifest":
        manifest.unlink()
    else:
        manifest.write_text("[]")
    with pytest.raises(ArtifactError, match="run the stage again"):
        verify(directory)
    assert ledger.find("ingest", "abc") is None
    again = ledger.run("ingest", "abc", work)
    assert again.file("rows.txt").read_text() == "1\n2\n"
    assert len(list((tmp_path / "ingest").glob("abc.damaged-*"))) == 1


def test_a_failing_stage_leaves_nothing(tmp_path: Path) -> None:
    def fail(directory: Path) -> None:
        (directory / "half").write_text("x")
        raise ValueError("row 7 has no energy")

    ledger = Ledger(tmp_path)
    with pytest.raises(ValueError, match="row 7"):
        ledger.run("ingest", "abc", fail)
    assert [p.name for p in (tmp_path / "ingest").iterdir()] == ["abc.lock"]


def test_a_missing_input_keeps_its_own_error(tmp_path: Path) -> None:
    def missing(directory: Path) -> None:
        (directory / "nowhere" / "x").read_text()

    with pytest.raises(FileNotFoundError):
        Ledger(tmp_path).run("ingest", "abc", missing)


def test_write_atomic_replaces_whole_files(tmp_path: Path) -> None:
    target = tmp_path / "a.json"
    write_atomic(target, "old")
    write_atomic(target, b"new")
    assert target.read_text() == "new"
    assert [p.name for p in tmp_path.iterdir()] == ["a.json"]
    assert file_sha256(target) == "11507a0e2f5e69d5dfa40a62a1bd7b6ee57e6bcd85c67c9b8431b36fff21c437"


def filled(folder: Path, *names: str) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(f"{folder.name} {name}")
    return folder


def content(folder: Path) -> dict[str, str]:
    return {str(p.relative_to(folder)): p.read_text() for p in folder.rglob("*") if p.is_file() and p.name != PUBLISHED}


def test_what_an_earlier_report_left_goes_and_what_is_somebody_else_s_stays(tmp_path: Path) -> None:
    large = filled(tmp_path / "large", "index.html", "001_a.cif", "002_b.cif", "deep/002_b.cif")
    small = filled(tmp_path / "small", "index.html", "001_a.cif")
    target = filled(tmp_path / "target", "paper.tex", "002_mine.cif", "deep/003_mine.cif")
    publish_into(large, target)
    publish_into(small, target)
    assert content(target) == {
        "index.html": "small index.html", "001_a.cif": "small 001_a.cif", "paper.tex": "target paper.tex",
        "002_mine.cif": "target 002_mine.cif", "deep/003_mine.cif": "target deep/003_mine.cif",
    }  # fmt: skip
    assert json.loads((target / PUBLISHED).read_text()) == ["001_a.cif", "index.html"]


@pytest.mark.parametrize("name", ["index.html", "001_a.cif", PUBLISHED])
def test_a_foreign_file_in_the_way_is_named_and_nothing_is_changed(tmp_path: Path, name: str) -> None:
    source = filled(tmp_path / "source", "index.html", "001_a.cif")
    target = filled(tmp_path / "target", name)
    before = {p.name: p.read_text() for p in target.iterdir()}
    with pytest.raises(ForeignFileError, match=f"target/{name} is not of this program: move it away, or name another"):
        publish_into(source, target)
    assert {p.name: p.read_text() for p in target.iterdir()} == before
    with pytest.raises(ForeignFileError, match=r"index\.html is not of this program"):
        publish_into(source, source / "index.html")


def test_a_report_that_was_half_brought_is_brought_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = filled(tmp_path / "source", "a.cif", "index.html")
    whole = artifacts.write_atomic

    def stopped(path: Path, data: str | bytes) -> None:
        if path.name == "index.html":
            raise KeyboardInterrupt
        whole(path, data)

    monkeypatch.setattr(artifacts, "write_atomic", stopped)
    with pytest.raises(KeyboardInterrupt):
        publish_into(source, tmp_path / "target")
    monkeypatch.undo()
    publish_into(source, tmp_path / "target")
    assert content(tmp_path / "target") == content(source)


def test_of_two_reports_at_once_the_second_waits_for_the_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, target = filled(tmp_path / "source", "a.cif"), tmp_path / "target"
    whole = artifacts.write_atomic
    refused: list[str] = []

    def another_comes(path: Path, data: str | bytes) -> None:
        whole(path, data)
        handle = os.open(target, os.O_RDONLY)
        with pytest.raises(BlockingIOError):
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.close(handle)
        refused.append(path.name)

    monkeypatch.setattr(artifacts, "write_atomic", another_comes)
    publish_into(source, target)
    assert refused == [PUBLISHED, "a.cif", PUBLISHED]
    with artifacts.locked(target):  # free again
        pass


def test_numbers_of_a_database_stay_numbers() -> None:
    """DuckDB gives sums of whole numbers as decimals."""
    assert plain([Decimal("12345678901234567890"), Decimal("0.5"), Decimal("nan")]) == [12345678901234567890, 0.5, None]
