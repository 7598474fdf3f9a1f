from __future__ import annotations

import pytest
import yaml
from pydantic import ValidationError

from dao_core.crysdb.build.build import settings_key
from dao_core.crysdb.config import BuildConfig, FilesConfig, SampleConfig, open_source
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.sample import SampleSource

TEXT = """
sources:
  - kind: sample
  - {kind: files, name: mine, paths: [somewhere.csv], functional: PBE, mapping: mp_20}
  - {kind: oqmd, release: "1.7"}
clean: {min_atoms: 1, max_atoms: 20}
benchmarks:
  - {name: mp_20, paths: [test.parquet]}
  - {name: held, formulas: [Cr6Os2]}
workers: 1
"""


def test_yaml_becomes_typed_settings() -> None:
    config = BuildConfig(**yaml.safe_load(TEXT))
    assert [s.kind for s in config.sources] == ["sample", "files", "oqmd"]
    assert config.clean.max_atoms == 20
    assert BuildConfig(**yaml.safe_load(yaml.safe_dump(config.model_dump(mode="json")))) == config


@pytest.mark.parametrize("text", ["sauces: []", "sources: [{kind: mongo}]", "clean: {min_atoms: 0}", "workers: 0"])
def test_mistakes_are_refused(text: str) -> None:
    with pytest.raises(ValidationError):
        BuildConfig(**yaml.safe_load(text))


def test_local_sources_open() -> None:
    assert isinstance(open_source(SampleConfig()), SampleSource)
    source = open_source(FilesConfig(name="n", paths=("a.cif",), functional="f", license="MIT"))
    assert isinstance(source, FileSource)
    assert (source.name, source.functional) == ("n", "f")


def test_settings_key_follows_values_not_workers() -> None:
    plain = BuildConfig()
    assert settings_key(plain) == settings_key(BuildConfig(workers=1, shard_rows=7))
    assert settings_key(plain) != settings_key(BuildConfig(symprec=0.01))
