"""Keys of sources come from where they are kept, and stand in nothing that a run leaves behind."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
import yaml
from pydantic import SecretStr, ValidationError

import tasks.secrets
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.materials_project import MaterialsProjectSource
from dao_core.crysdb.sources.settings import MaterialsProjectConfig
from tasks.config import RebuildConfig
from tasks.error_line import explain
from tasks.secrets import open_sources


def test_a_named_block_gives_the_key_and_nobody_else_sees_it(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def load(name: str) -> SecretStr:
        asked.append(name)
        return SecretStr("k" * 32)

    monkeypatch.setattr(tasks.secrets, "_load", load)
    config = BuildConfig(sources=(MaterialsProjectConfig(api_key_block="mp-api-key"),))
    (source,) = open_sources(config)
    assert isinstance(source, MaterialsProjectSource)
    assert source.config.api_key is not None
    assert source.config.api_key.get_secret_value() == "k" * 32
    assert asked == ["mp-api-key"]
    assert "kkkk" not in f"{source!r} {source.config} {config} {config.model_dump_json()} {source.selection}"


def test_settings_without_any_source_are_refused() -> None:
    with pytest.raises(SourceError, match="the settings name no source"):
        open_sources(BuildConfig(sources=()))


def test_without_a_block_no_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.secrets, "_load", None)
    monkeypatch.setenv("MP_API_KEY", "e" * 32)
    given = MaterialsProjectConfig(api_key=SecretStr("x" * 32), api_key_block="unused")
    plain, keyed = open_sources(BuildConfig(sources=(MaterialsProjectConfig(), given)))
    assert isinstance(plain, MaterialsProjectSource)
    assert isinstance(keyed, MaterialsProjectSource)
    assert plain.config.api_key is None
    assert keyed.config.api_key == SecretStr("x" * 32)


PLANTED = "planted-0123456789abcdef0123456789"
FLOW = """
import sys
from pathlib import Path
from flows.crysdb import rebuild_crysdb
from tasks.config import RebuildConfig, load_config
rebuild_crysdb(load_config(sys.argv[1], RebuildConfig))
"""


@pytest.mark.slow
def test_a_planted_key_is_in_no_artifact_of_a_flow_that_fails(tmp_path: Path) -> None:
    """Neither in the run log nor in Prefect's database, its log, or what the terminal shows."""
    gone = {"kind": "files", "name": "x", "paths": [str(tmp_path / "gone.cif")], "functional": "PBE"}
    settings = {"name": "db", "root": str(tmp_path / "run"), "crysdb": {"sources": [
        {"kind": "materials_project", "api_key": PLANTED}, gone,
    ]}}  # fmt: skip
    path = tmp_path / "settings.yaml"
    path.write_text(yaml.safe_dump(settings))
    root = Path(__file__).parents[2]
    environment = {k: v for k, v in os.environ.items() if k != "PREFECT_API_URL"}
    environment |= {"PREFECT_HOME": str(tmp_path / "prefect"), "PYTHONPATH": str(root)}
    script = [sys.executable, "-c", FLOW, str(path)]
    done = subprocess.run(script, capture_output=True, text=True, env=environment, check=False, timeout=300)
    assert "gone.cif is not there" in done.stderr
    path.unlink()
    files = [p for p in tmp_path.rglob("*") if p.is_file()]
    assert any(p.name == "prefect.db" for p in files)
    assert [p for p in files if PLANTED.encode() in p.read_bytes()] == []
    assert PLANTED not in done.stdout + done.stderr


@pytest.mark.parametrize(
    "source",
    [
        {"kind": "materials_projekt", "api_key": PLANTED},  # no such kind: the error is about the whole mapping
        {"kind": "materials_project", "api_key": [PLANTED]},
        {"kind": "materials_project", "api_key": PLANTED, "bogus": 1},
        {"api_key": PLANTED},
    ],
)
def test_a_planted_key_is_in_no_validation_error(source: dict[str, object]) -> None:
    with pytest.raises(ValidationError) as caught:
        RebuildConfig.model_validate({"name": "db", "root": "r", "crysdb": {"sources": [source]}})
    message = explain(caught.value)
    assert message is not None
    assert "crysdb.sources.0" in message
    assert PLANTED not in message
    assert PLANTED not in str(caught.value)
