from __future__ import annotations

from pathlib import Path

from dao_core.artifacts import publish_folder


def test_a_folder_is_replaced_as_a_whole(tmp_path: Path) -> None:
    for name, text in (("one", "1"), ("two", "2")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "index.html").write_text(text)
    (tmp_path / "one" / "old.cif").write_text("x")
    target = publish_folder(tmp_path / "one", tmp_path / "report")
    assert sorted(p.name for p in target.iterdir()) == ["index.html", "old.cif"]
    publish_folder(tmp_path / "two", tmp_path / "report")
    assert [p.name for p in target.iterdir()] == ["index.html"]
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one", "report", "two"]
