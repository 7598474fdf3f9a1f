"""Settings files: text in UTF-8, each key once, nothing that contains itself; else one line that says where."""

from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.crysdb.config import BuildConfig
from dao_core.dft.settings import ProtocolFileError, load_protocols
from dao_core.settings_file import ConfigFileError, read_settings_file
from tasks.config import load_config

REFUSED = {
    "sources: 1\nworkers: 2\nsources: []\n": "the key 'sources' stands twice, in lines 1 and 3: remove one",
    "clean: {min_atoms: 1, max_atoms: 5, min_atoms: 2}\n": "the key 'min_atoms' stands twice, in lines 1 and 1",
    "- a: 1\n  a: 2\n": "the key 'a' stands twice, in lines 1 and 2",
    "a: &a [*a]\n": "what begins in line 1 contains itself: write its values out",
    "a: &a\n  b: *a\n": "what begins in line 1 contains itself",
    "[" * 5000: "not readable as YAML",
    "a: 2026-13-45\n": "not readable as YAML",
    "? {b: 1}\n: 2\n": "not readable as YAML",
    "a: 1\n---\nb: 2\n": "not readable as YAML",
    "!!python/object/apply:os.system [id]\n": "not readable as YAML",
}


@pytest.mark.parametrize("text", REFUSED)
def test_what_is_no_plain_mapping_is_refused_in_one_line(tmp_path: Path, text: str) -> None:
    path = tmp_path / "x.yaml"
    path.write_text(text)
    with pytest.raises(ConfigFileError) as error:
        read_settings_file(path)
    assert REFUSED[text] in str(error.value)
    assert str(path) in str(error.value)
    assert "\n" not in str(error.value)
    with pytest.raises(ConfigFileError):
        load_config(path, BuildConfig)
    with pytest.raises(ProtocolFileError):
        load_protocols(path)


@pytest.mark.parametrize("data", ["workers: 2".encode("utf-16"), b"workers: 2\nname: caf\xe9\n", bytes(range(256))])
def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path, data: bytes) -> None:
    (tmp_path / "x.yaml").write_bytes(data)
    with pytest.raises(ConfigFileError, match=r"x\.yaml is no text in UTF-8 \(line \d+\): save it as UTF-8"):
        read_settings_file(tmp_path / "x.yaml")


def test_aliases_merges_and_a_byte_order_mark_are_read(tmp_path: Path) -> None:
    text = "\ufeffbase: &base {a: 1, b: 2}\nother: {<<: *base, a: 3}\nboth: [*base, *base]\n"
    (tmp_path / "x.yaml").write_text(text, encoding="utf-8")
    base = {"a": 1, "b": 2}
    assert read_settings_file(tmp_path / "x.yaml") == {"base": base, "other": {"a": 3, "b": 2}, "both": [base, base]}


def test_aliases_of_aliases_cost_no_time(tmp_path: Path) -> None:
    lines = ["a0: &a0 [1, 1]"] + [f"a{i}: &a{i} [*a{i - 1}, *a{i - 1}]" for i in range(1, 60)]
    (tmp_path / "x.yaml").write_text("\n".join(lines))
    assert len(read_settings_file(tmp_path / "x.yaml")) == 60
