from __future__ import annotations

import pytest
from pydantic import SecretStr

import tasks.secrets
from dao_core.crysdb.config import BuildConfig
from dao_core.crysdb.sources.materials_project import MaterialsProjectSource
from dao_core.crysdb.sources.settings import MaterialsProjectConfig
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


def test_without_a_block_no_server_is_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tasks.secrets, "_load", None)
    given = MaterialsProjectConfig(api_key=SecretStr("x" * 32), api_key_block="unused")
    plain, keyed = open_sources(BuildConfig(sources=(MaterialsProjectConfig(), given)))
    assert isinstance(plain, MaterialsProjectSource)
    assert isinstance(keyed, MaterialsProjectSource)
    assert plain.config.api_key is None
    assert keyed.config.api_key == SecretStr("x" * 32)
