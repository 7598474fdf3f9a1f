"""Remote sources from configurations, and through the build's ingest."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from pydantic import SecretStr, ValidationError

from dao_core.artifacts import Ledger
from dao_core.crysdb.build.ingest import ingest, source_identity
from dao_core.crysdb.schema import table_to_records
from dao_core.crysdb.sources.base import Source, SourceError, SourceInterrupted
from dao_core.crysdb.sources.remote import RemoteConfig, open_remote, oqmd_through_optimade
from dao_core.crysdb.sources.settings import MaterialsProjectConfig, OptimadeConfig, OptimadeFields, OqmdConfig
from tests.crysdb.sources.conftest import FAST
from tests.peers.entries import entries
from tests.peers.proxy import Fault, FaultProxy

HURRIED = FAST.model_copy(update={"first_wait": 0.0})
ANY = OptimadeConfig(name="peer", base_url="http://127.0.0.1:9", functional="PBE")


@pytest.mark.parametrize(
    ("config", "name", "functional"),
    [
        (MaterialsProjectConfig(), "materials_project", "GGA_GGA+U"),
        (OqmdConfig(), "oqmd", "OQMD_PBE+U"),
        (OqmdConfig(route="optimade"), "oqmd", "OQMD_PBE+U"),
        (ANY, "peer", "PBE"),
    ],
)
def test_opening_asks_no_server(
    config: RemoteConfig, name: str, functional: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MP_API_KEY", "k" * 32)
    source = open_remote(config)
    assert (source.name, source.functional) == (name, functional)
    assert callable(source.iter_records)


def test_a_missing_key_is_noticed_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("MP_API_KEY", raising=False)
    with pytest.raises(SourceError, match="no API key: set MP_API_KEY"):
        open_remote(MaterialsProjectConfig())


def test_oqmds_optimade_route_keeps_the_settings() -> None:
    config = oqmd_through_optimade(OqmdConfig(route="optimade", base_url="http://x/", release="1.7", filter="nsites<9"))
    assert (config.base_url, config.release, config.filter) == ("http://x/optimade", "1.7", "nsites<9")


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (OqmdConfig(), OqmdConfig(filter="natoms<31")),
        (OqmdConfig(), OqmdConfig(noduplicate=True)),
        (ANY, ANY.model_copy(update={"filter": "nelements=2"})),
        (ANY, ANY.model_copy(update={"fields": OptimadeFields(energy_per_atom="_peer_e")})),
    ],
)
def test_another_selection_is_another_reading(one: RemoteConfig, other: RemoteConfig) -> None:
    assert source_identity(open_remote(one), "monday") != source_identity(open_remote(other), "monday")
    assert source_identity(open_remote(one), "monday") == source_identity(open_remote(one), "monday")


def test_pace_and_page_size_do_not_make_another_reading() -> None:
    other = OqmdConfig(page=17, http=HURRIED)
    assert source_identity(open_remote(OqmdConfig()), "monday") == source_identity(open_remote(other), "monday")


def test_settings_refuse_what_they_do_not_know() -> None:
    with pytest.raises(ValidationError, match="thermo_type"):
        MaterialsProjectConfig(thermo_type="R2SCAN")  # type: ignore[call-arg]
    with pytest.raises(ValidationError, match="requests_per_second"):
        OqmdConfig(http={"requests_per_second": 0})  # type: ignore[arg-type]


def test_key_is_in_no_printed_form_of_the_settings() -> None:
    config = MaterialsProjectConfig(api_key=SecretStr("hush" * 8))
    assert "hush" not in repr(config) + str(config) + config.model_dump_json() + str(config.model_dump())


def test_settings_load_without_network_libraries() -> None:
    code = "import sys, dao_core.crysdb.sources.settings; print({'requests', 'mp_api', 'optimade'} & set(sys.modules))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True).stdout == "set()\n"


def rows_of(shards: list[Any]) -> list[str]:
    import pyarrow.parquet as pq

    found = [table_to_records(pq.read_table(s.file("rows.parquet"))) for s in shards]
    return [
        f"{r.material_id} {r.formation_energy_per_atom_source} {r.frac_coords.tolist()}" for part in found for r in part
    ]


def test_ingest_that_was_interrupted_continues_where_it_stood(oqmd: FaultProxy, tmp_path: Path) -> None:
    def source() -> Source:
        return open_remote(OqmdConfig(base_url=oqmd.url, page=5, release="1.7", http=HURRIED))

    whole = rows_of(ingest(source(), Ledger(tmp_path / "whole"), shard_rows=7))
    assert len(whole) == len(entries())
    ledger = Ledger(tmp_path / "cut")
    oqmd.reset(Fault(skip=3, times=10**6, drop=True))
    with pytest.raises(SourceInterrupted):
        ingest(source(), ledger, shard_rows=7)
    oqmd.reset()
    assert rows_of(ingest(source(), ledger, shard_rows=7)) == whole
    assert not any("offset=0" in path and "sites" in path for path in oqmd.log)  # the first shards weren't read again
