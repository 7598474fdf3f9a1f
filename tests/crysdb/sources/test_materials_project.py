"""The Materials Project source: the unmodified MPRester against MP's own server, plain and through a faulty proxy."""

from __future__ import annotations

import gzip
import json
import logging
import traceback
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from pydantic import SecretStr

from dao_core.crysdb.sources.base import Source, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpReport, PoliteSession
from dao_core.crysdb.sources.materials_project import MaterialsProjectSource, record_from_document
from dao_core.crysdb.sources.rows import RowError
from dao_core.crysdb.sources.settings import MaterialsProjectConfig
from dao_core.crystal import InvalidCrystalError
from tests.crysdb.sources.conftest import FAST, RELEASE
from tests.helpers.reading import plain, read_through_interruptions, records, refusals
from tests.peers.entries import computed_entry, entries
from tests.peers.proxy import Fault, FaultProxy, fault_proxy

KEY = "k3yk3yk3yk3yk3yk3yk3yk3yk3yk3y32"
THERMO = "/materials/thermo/"
BATCH = 4
DETAIL = "material_ids="  # the requests for documents, as against the listing


def source(peer: FaultProxy, *, waits: list[float] | None = None, **changes: Any) -> MaterialsProjectSource:
    config = MaterialsProjectConfig(**{"endpoint": peer.url, "api_key": SecretStr(KEY), "batch": BATCH, **changes})
    sleep = (waits if waits is not None else []).append
    return MaterialsProjectSource(config, session=PoliteSession(FAST, HttpReport(), sleep=sleep))


def read(peer: FaultProxy, **changes: Any) -> list[SourceItem]:
    return list(source(peer, **changes).iter_records())


def document(number: int = 12, **changes: Any) -> dict[str, Any]:
    """A thermo document in the plain JSON that the server sends."""
    entry = entries()[number]
    return {
        "material_id": f"mp-{entry.number}",
        "thermo_type": "GGA_GGA+U",
        "uncorrected_energy_per_atom": entry.energy,
        "energy_per_atom": entry.energy + entry.correction,
        "formation_energy_per_atom": entry.delta_e,
        "energy_above_hull": 0.0,
        "energy_type": "GGA",
        "entries": {"GGA": computed_entry(entry)},
        "builder_meta": {"license": "BY-C"},
        "deprecated": False,
        **changes,
    }


@pytest.mark.peers
def test_every_material_comes_on_one_energy_scale(materials_project: FaultProxy) -> None:
    reader = source(materials_project)
    assert isinstance(reader, Source)
    assert reader.version == RELEASE
    found = records(list(reader.iter_records()))
    assert set(found) == {f"mp-{e.number}" for e in entries()}
    for entry in entries():
        record = found[f"mp-{entry.number}"]
        assert record.energy_per_atom == pytest.approx(entry.energy, abs=1e-9)  # raw, and never the other scale's -99
        assert record.energy_correction_per_atom == pytest.approx(entry.correction, abs=1e-9)
        assert (record.functional, record.source_version, record.license) == ("GGA_GGA+U", RELEASE, "CC-BY-4.0")
        assert record.crystal.symbols == list(entry.symbols)
        np.testing.assert_allclose(record.lattice, entry.lattice, atol=1e-6)


@pytest.mark.peers
def test_unstable_materials_are_included(materials_project: FaultProxy) -> None:
    above = [r.e_above_hull_source for r in records(read(materials_project)).values()]
    assert sum(value == 0 for value in above) == 15  # ten elements, five compounds
    assert sum((value or 0) > 0.1 for value in above) == 10


@pytest.mark.peers
def test_chemical_system_and_since_narrow_it(materials_project: FaultProxy) -> None:
    assert {r.chemsys for r in records(read(materials_project, chemsys="Cl-Na")).values()} == {"Cl-Na"}
    everything = records(read(materials_project))
    late = records(list(source(materials_project).iter_records("2025-06-15T00:00:00Z")))
    assert 0 < len(late) < len(everything)
    assert records(list(source(materials_project).iter_records("2030-01-01"))) == {}
    with pytest.raises(SourceError, match="no ISO 8601 date"):
        list(source(materials_project).iter_records("last week"))


@pytest.mark.peers
def test_rows_come_in_the_order_of_ids_and_any_cursor_continues(materials_project: FaultProxy) -> None:
    whole = read(materials_project)
    numbers = [int(i.record.material_id.split("-")[1]) for i in whole if i.record]
    assert numbers == sorted(numbers)
    for cut_after in (1, BATCH, BATCH + 1, 25):
        rest = list(source(materials_project).iter_records(None, whole[cut_after - 1].cursor))
        assert [(plain(i), i.cursor) for i in rest] == [(plain(i), i.cursor) for i in whole[cut_after:]]


@pytest.mark.peers
@pytest.mark.parametrize("kind", [{"drop": True}, {"cut": True}, {"short": True}, {"status": 503}, {"status": 429}])
def test_dying_midway_and_continuing_gives_the_undisturbed_result(
    materials_project: FaultProxy, kind: dict[str, Any]
) -> None:
    whole = read(materials_project)
    materials_project.reset(Fault(THERMO, skip=3, times=4, **kind), Fault(THERMO, skip=7, times=4, **kind))
    items, interruptions = read_through_interruptions(lambda: source(materials_project))
    assert [plain(i) for i in items] == [plain(i) for i in whole]
    assert interruptions == 2


@pytest.mark.peers
def test_short_trouble_is_sat_out_and_counted(materials_project: FaultProxy) -> None:
    waits: list[float] = []
    throttled = Fault(THERMO, status=429, headers={"Retry-After": "7"}, skip=1, times=2)
    materials_project.reset(throttled, Fault(DETAIL, cut=True, skip=2))
    reader = source(materials_project, waits=waits)
    assert len(records(list(reader.iter_records()))) == 25
    assert reader.report.retries == 3
    assert waits == [7.0, 7.0, 1.0]


@pytest.mark.peers
@pytest.mark.parametrize("kind", [{"drop": True}, {"status": 503}])
def test_trouble_while_the_client_is_made_is_sat_out(materials_project: FaultProxy, kind: dict[str, Any]) -> None:
    waits: list[float] = []
    with fault_proxy(f"http://{materials_project.upstream}") as fresh:  # the client remembers addresses that answered
        fresh.reset(Fault("heartbeat", skip=1, times=2, **kind))
        assert len(records(list(source(fresh, waits=waits).iter_records()))) == 25
    assert waits == [1.0, 2.0]


@pytest.mark.peers
def test_another_release_is_refused(materials_project: FaultProxy) -> None:
    with pytest.raises(SourceError, match=f"serves release {RELEASE}, the configuration pins 2024.11.14"):
        read(materials_project, release="2024.11.14")
    assert len(read(materials_project, release=RELEASE, chemsys="Cl-Na")) == 3
    cursor = read(materials_project, chemsys="Cl-Na")[0].cursor
    materials_project.reset(Fault("/heartbeat", edit=lambda reply: reply.update(db_version="2026.01.01")))
    with pytest.raises(SourceError, match=f"cursor is of release {RELEASE}, the server has 2026.01.01"):
        list(source(materials_project).iter_records(None, cursor))


@pytest.mark.peers
def test_bad_documents_are_refused_by_name_and_the_others_are_kept(materials_project: FaultProxy) -> None:
    def spoil(reply: Any) -> None:
        rows = reply["data"]
        rows[0]["uncorrected_energy_per_atom"] = None  # what emmet makes of NaN
        del rows[1]["entries"]
        rows[2]["thermo_type"] = "R2SCAN"
        rows[3]["entries"]["GGA"]["structure"]["sites"][0]["species"][0]["occu"] = 0.5

    materials_project.reset(Fault(DETAIL, skip=1, edit=spoil))
    items = read(materials_project)
    assert set(refusals(items).values()) == {
        "field uncorrected_energy_per_atom is empty",
        "field entries is missing",
        "thermo_type is R2SCAN, asked for GGA_GGA+U",
        "partially occupied sites: make an ordered approximation first",
    }
    assert len(records(items)) == 21


@pytest.mark.peers
def test_nan_that_spoils_a_whole_reply_costs_one_row(materials_project: FaultProxy) -> None:
    def spoil(reply: Any) -> None:
        for row in reply["data"]:
            if row["energy_per_atom"] == wanted:
                row["energy_per_atom"] = float("nan")

    entry = entries()[12]
    wanted = entry.energy + entry.correction
    materials_project.reset(Fault(DETAIL, times=10**6, edit=spoil))
    items = read(materials_project)
    assert set(refusals(items)) == {f"mp-{entry.number}"}
    assert "can't be read" in refusals(items)[f"mp-{entry.number}"]
    assert len(records(items)) == 24


@pytest.mark.peers
def test_replies_that_are_all_unreadable_interrupt(materials_project: FaultProxy) -> None:
    materials_project.reset(Fault(DETAIL, times=10**6, edit=lambda _: {"maintenance": True}))
    with pytest.raises(SourceInterrupted, match="unreadable replies"):
        read(materials_project)


@pytest.mark.peers
def test_document_left_out_is_asked_for_again_and_then_refused(materials_project: FaultProxy) -> None:
    def drop_first(reply: Any) -> None:
        del reply["data"][0]

    materials_project.reset(Fault(DETAIL, edit=drop_first))
    assert len(records(read(materials_project))) == 25
    materials_project.reset(Fault(DETAIL, edit=drop_first, times=2))
    items = read(materials_project)
    assert list(refusals(items).values()) == ["listed by the server, which doesn't find it by its id"]


@pytest.mark.peers
def test_duplicated_document_does_not_displace_another(materials_project: FaultProxy) -> None:
    materials_project.reset(Fault(DETAIL, edit=lambda reply: reply["data"].insert(1, reply["data"][0])))
    items = read(materials_project)
    assert len(records(items)) == 25
    assert refusals(items) == {}


@pytest.mark.peers
def test_repeated_page_is_noticed(materials_project: FaultProxy) -> None:
    materials_project.reset(Fault(DETAIL, skip=1, times=10**6, stale=True))
    with pytest.raises(SourceInterrupted, match="was not asked for"):
        read(materials_project)


@pytest.mark.peers
def test_listing_with_repeated_or_lost_rows_is_an_error(materials_project: FaultProxy) -> None:
    def repeat(reply: Any) -> None:
        reply["data"][5:] = reply["data"][:5]

    materials_project.reset(Fault("_limit=1000", edit=repeat))
    with pytest.raises(SourceError, match="lists 5 different ids of 25"):
        read(materials_project)


@pytest.mark.peers
def test_refused_key_is_told_without_the_key(
    materials_project: FaultProxy, caplog: pytest.LogCaptureFixture, capsys: pytest.CaptureFixture[str]
) -> None:
    caplog.set_level(logging.DEBUG)
    reader = source(materials_project)
    materials_project.reset(Fault(THERMO, status=403, times=10**6))
    with pytest.raises(SourceError, match="refuses the request") as caught:
        list(reader.iter_records())
    printed = capsys.readouterr()
    told = "".join(traceback.format_exception(caught.value)) + repr(reader) + repr(reader.config) + caplog.text
    assert KEY not in told + printed.out + printed.err + str(vars(reader.config)) + reader.config.model_dump_json()


def test_server_that_is_away_interrupts_with_the_cursor(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(drop=True, times=10**6))
    cursor = '{"after":"mp-7","release":"2025.09.25"}'
    with pytest.raises(SourceInterrupted, match="4 attempts") as caught:
        list(source(oqmd).iter_records(None, cursor))
    assert caught.value.cursor == cursor
    assert KEY not in str(caught.value)


def test_another_server_is_named_as_such(oqmd: FaultProxy) -> None:
    with pytest.raises(SourceError, match="is no Materials Project server"):
        read(oqmd)


@pytest.mark.parametrize("key", ["short", "with\nline", "a" * 33, "ä" * 32])
def test_bad_key_is_never_quoted(monkeypatch: pytest.MonkeyPatch, key: str) -> None:
    from dao_core.crysdb.sources.materials_project import api_key

    monkeypatch.setenv("MP_API_KEY", key)
    with pytest.raises(SourceError, match="MP_API_KEY is no key") as caught:
        api_key(MaterialsProjectConfig())
    assert key not in str(caught.value)


def test_key_comes_from_the_environment_and_its_absence_names_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    from dao_core.crysdb.sources.materials_project import api_key

    monkeypatch.setenv("MP_API_KEY", KEY + "\n")
    assert api_key(MaterialsProjectConfig()) == KEY
    monkeypatch.delenv("MP_API_KEY")
    with pytest.raises(SourceError, match="set MP_API_KEY"):
        api_key(MaterialsProjectConfig())


def test_raw_energy_and_correction_stay_apart() -> None:
    record = record_from_document(document(), RELEASE)
    entry = entries()[12]
    assert record.energy_per_atom == entry.energy
    assert record.energy_correction_per_atom == pytest.approx(entry.correction)
    assert record_from_document(document(energy_per_atom=None), RELEASE).energy_correction_per_atom is None


def test_licence_is_the_documents_own() -> None:
    assert record_from_document(document(builder_meta={"license": "BY-NC"}), RELEASE).license == "CC-BY-NC-4.0"
    assert record_from_document(document(builder_meta=None), RELEASE).license == "CC-BY-4.0"


def test_both_spellings_of_an_id_are_one_material() -> None:
    assert record_from_document(document(material_id="mp-aaaaaaft"), RELEASE).material_id == "mp-149"


def test_deprecated_and_broken_documents_are_refused() -> None:
    with pytest.raises(RowError, match="deprecated"):
        record_from_document(document(deprecated=True), RELEASE)
    with pytest.raises(RowError, match="uncorrected_energy_per_atom is nan"):
        record_from_document(document(uncorrected_energy_per_atom=float("nan")), RELEASE)
    flat = document()
    flat["entries"]["GGA"]["structure"]["lattice"]["matrix"] = [[1, 0, 0], [2, 0, 0], [0, 0, 3]]
    with pytest.raises((InvalidCrystalError, ValueError)):
        record_from_document(flat, RELEASE)


@pytest.mark.peers
@pytest.mark.shared
@pytest.mark.slow
def test_real_chemical_system_keeps_mps_energies(shared_data: Path, tmp_path: Path) -> None:
    from pymatgen.entries.computed_entries import ComputedStructureEntry

    from tests.peers.processes import materials_project_server

    text = gzip.decompress((shared_data / "mp_entries" / "Mn_O_Y.json.gz").read_bytes())
    real = [ComputedStructureEntry.from_dict(d) for d in json.loads(text)]
    with materials_project_server(json.loads(text), tmp_path, RELEASE) as url:
        config = MaterialsProjectConfig(endpoint=url, api_key=SecretStr(KEY), http=FAST)
        items = list(MaterialsProjectSource(config).iter_records())
    lost = {e.entry_id for e in real if e.entry_id.startswith("mvc-")}  # this server looks ids up as mp- only
    assert set(refusals(items)) == lost
    found = records(items)
    assert (len(found), len(lost)) == (116, 16)
    for entry in real:
        if entry.entry_id in lost:
            continue
        record, n = found[entry.entry_id], entry.composition.num_atoms
        assert record.energy_per_atom == pytest.approx(entry.uncorrected_energy / n, abs=1e-6)
        assert record.energy_correction_per_atom == pytest.approx(entry.correction / n, abs=1e-6)
