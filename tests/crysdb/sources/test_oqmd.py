"""OQMD's REST source against a server of its shape, undisturbed and through a proxy with faults."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dao_core.crysdb.sources.base import Source, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpReport, PoliteSession
from dao_core.crysdb.sources.oqmd import OqmdSource, record_from_row
from dao_core.crysdb.sources.rows import DUPLICATE, RowError
from dao_core.crysdb.sources.settings import OqmdConfig
from tests.crysdb.sources.conftest import FAST
from tests.helpers.reading import plain, read_through_interruptions, records, refusals
from tests.peers.entries import entries, oqmd_row, oqmd_row_of_sample
from tests.peers.oqmd import oqmd_server
from tests.peers.proxy import Fault, FaultProxy

PAGE = 4


def source(peer: FaultProxy, **changes: Any) -> OqmdSource:
    config = OqmdConfig(base_url=peer.url, page=PAGE, release="1.7", **changes)
    return OqmdSource(config, session=PoliteSession(FAST, HttpReport(), sleep=lambda _: None))


def read(peer: FaultProxy, **changes: Any) -> list[SourceItem]:
    return list(source(peer, **changes).iter_records())


def test_every_entry_comes_with_its_energies(oqmd: FaultProxy) -> None:
    found = records(read(oqmd))
    assert set(found) == {f"oqmd-{e.number}" for e in entries()}
    for entry in entries():
        record = found[f"oqmd-{entry.number}"]
        assert record.formation_energy_per_atom_source == entry.delta_e
        assert record.e_above_hull_source == entry.stability
        assert (record.energy_per_atom, record.energy_correction_per_atom) == (None, None)
        assert (record.source, record.functional, record.source_version) == ("oqmd", "OQMD_PBE+U", "1.7")
        assert record.crystal.symbols == list(entry.symbols)
        np.testing.assert_allclose(record.lattice, entry.lattice)
        np.testing.assert_allclose(record.frac_coords, entry.frac_coords)


def test_stability_may_be_negative_or_unknown(oqmd: FaultProxy) -> None:
    values = [r.e_above_hull_source for r in records(read(oqmd)).values()]
    assert min(v for v in values if v is not None) < 0
    assert None in values


def test_filter_is_handed_to_the_server(oqmd: FaultProxy) -> None:
    assert set(records(read(oqmd, filter="natoms<2"))) == {f"oqmd-{e.number}" for e in entries() if len(e.symbols) < 2}


def test_it_is_a_source(oqmd: FaultProxy) -> None:
    assert isinstance(source(oqmd), Source)


@pytest.mark.parametrize("cut_after", [1, PAGE, PAGE + 1, 24, 25])
def test_any_cursor_continues_exactly(oqmd: FaultProxy, cut_after: int) -> None:
    whole = read(oqmd)
    rest = list(source(oqmd).iter_records(None, whole[cut_after - 1].cursor))
    assert [plain(i) for i in whole[cut_after:]] == [plain(i) for i in rest]
    assert [i.cursor for i in whole[cut_after:]] == [i.cursor for i in rest]


@pytest.mark.parametrize("kind", [{"drop": True}, {"cut": True}, {"short": True}, {"status": 503}, {"status": 429}])
def test_dying_midway_and_continuing_gives_the_undisturbed_result(oqmd: FaultProxy, kind: dict[str, Any]) -> None:
    whole = read(oqmd)
    oqmd.reset(Fault(skip=2, times=4, **kind), Fault(skip=5, times=4, **kind))
    items, interruptions = read_through_interruptions(lambda: source(oqmd))
    assert [plain(i) for i in items] == [plain(i) for i in whole]
    assert interruptions == 2


def test_short_trouble_is_sat_out_and_counted(oqmd: FaultProxy) -> None:
    whole = read(oqmd)
    oqmd.reset(Fault(status=429, headers={"Retry-After": "5"}, skip=1, times=2), Fault(cut=True, skip=4, times=1))
    reader = source(oqmd)
    assert [plain(i) for i in reader.iter_records()] == [plain(i) for i in whole]
    assert reader.report.retries == 3
    assert reader.report.reasons["status 429"] == 2


def edit_row(change: Callable[[dict[str, Any]], None], index: int = 1) -> Callable[[Any], None]:
    def edit(reply: Any) -> None:
        change(reply["data"][index])

    return edit


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        (lambda row: row.update(delta_e=float("nan")), "field delta_e is nan"),
        (lambda row: row.pop("delta_e"), "field delta_e is missing"),
        (lambda row: row.update(delta_e="-1.2"), "field delta_e is '-1.2', not a number"),
        (lambda row: row.pop("unit_cell"), "field unit_cell is missing"),
        (lambda row: row.update(sites=None), "field sites is missing"),
        (lambda row: row.update(sites=row["sites"] * 2), "sites for natoms"),
        (lambda row: row.update(unit_cell=[[0, 0, 0]] * 3), "volume per atom"),
        (lambda row: row.update(sites=["Xx @ 0 0 0"] * row["natoms"]), "Xx"),
        (lambda row: row.update(sites=["Li,Na @ 0 0 0"] * row["natoms"]), "not one element"),
        (lambda row: row.update(unit_cell="cubic"), "unexpected value"),
    ],
)
def test_bad_row_is_refused_by_name_and_the_others_are_kept(
    oqmd: FaultProxy, change: Callable[[dict[str, Any]], None], reason: str
) -> None:
    whole = records(read(oqmd))
    oqmd.reset(Fault(skip=1, edit=edit_row(change)))
    items = read(oqmd)
    (name,) = refusals(items)
    assert reason in refusals(items)[name]
    assert set(records(items)) == set(whole) - {name}


def test_row_without_an_id_is_refused_by_its_place(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(skip=1, edit=edit_row(lambda row: row.pop("entry_id"))))
    assert refusals(read(oqmd)) == {f"oqmd row {PAGE + 2}": "field entry_id is missing"}


def test_duplicates_are_refused_also_across_an_interruption() -> None:
    rows = [oqmd_row(e) for e in entries()]
    rows[9] = dict(rows[2])
    with oqmd_server(rows) as server:
        reader = lambda: OqmdSource(OqmdConfig(base_url=server.url, page=PAGE, http=FAST))  # noqa: E731
        whole = list(reader().iter_records())
        assert refusals(whole) == {f"oqmd-{rows[2]['entry_id']}": DUPLICATE}
        assert len(records(whole)) == 24
        rest = list(reader().iter_records(None, whole[8].cursor))
    assert [plain(i) for i in rest] == [plain(i) for i in whole[9:]]


def test_repeated_page_stops_with_a_clear_error_and_a_usable_cursor(oqmd: FaultProxy) -> None:
    whole = read(oqmd)
    oqmd.reset(Fault(skip=3, times=1, stale=True))
    kept: list[SourceItem] = []
    with pytest.raises(SourceError, match="row 12: the server repeats a page"):
        kept.extend(source(oqmd).iter_records())
    assert [plain(i) for i in kept] == [plain(i) for i in whole[:12]]
    rest = list(source(oqmd).iter_records(None, kept[-1].cursor))
    assert [plain(i) for i in kept + rest] == [plain(i) for i in whole]


def test_page_repeated_for_ever_ends_too(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(skip=1, times=10**6, stale=True))
    with pytest.raises(SourceError, match="row 4: the server repeats a page"):
        read(oqmd)


def test_lost_rows_are_an_error_and_not_a_shorter_table(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(skip=2, times=9, edit=lambda reply: reply.update(data=[])))
    with pytest.raises(SourceError, match="empty page at row 8 of 25"):
        read(oqmd)


def test_database_that_changes_while_it_is_read_is_an_error(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(skip=2, edit=lambda reply: reply["meta"].update(data_available=24)))
    with pytest.raises(SourceError, match="it had 25 rows and has 24"):
        read(oqmd)


def test_cursor_of_another_content_is_an_error(oqmd: FaultProxy) -> None:
    place = json.loads(read(oqmd)[5].cursor)
    with pytest.raises(SourceError, match="changed while it was read"):
        list(source(oqmd).iter_records(None, json.dumps({**place, "last": "oqmd-1"})))


@pytest.mark.parametrize("cursor", ["nonsense", "[]", '{"offset": 3}'])
def test_foreign_cursor_is_an_error(oqmd: FaultProxy, cursor: str) -> None:
    with pytest.raises(SourceError, match="no cursor of this source"):
        list(source(oqmd).iter_records(None, cursor))


def test_refused_request_names_the_remedy(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(status=404))
    with pytest.raises(SourceError, match="check base_url and filter") as caught:
        read(oqmd)
    assert not isinstance(caught.value, SourceInterrupted)


def test_reply_that_is_not_oqmds_interrupts(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(edit=lambda _: {"detail": "maintenance"}))
    with pytest.raises(SourceInterrupted, match="a reply that is not OQMD's") as caught:
        read(oqmd)
    assert caught.value.cursor is None


def test_total_energy_is_never_invented() -> None:
    assert record_from_row(oqmd_row(entries()[0])).energy_per_atom is None


def test_missing_stability_is_refused_and_null_is_not() -> None:
    row = oqmd_row(entries()[0])
    assert record_from_row({**row, "stability": None}).e_above_hull_source is None
    del row["stability"]
    with pytest.raises(RowError, match="stability"):
        record_from_row(row)


@pytest.mark.shared
def test_real_sample_is_read_whole(shared_data: Path) -> None:
    sample = json.loads((shared_data / "oqmd" / "oqmd_600.json").read_text())
    with oqmd_server([oqmd_row_of_sample(row) for row in sample]) as server:
        items = list(OqmdSource(OqmdConfig(base_url=server.url, page=100, http=FAST)).iter_records())
    assert refusals(items) == {}
    found = records(items)
    assert len(found) == 600
    for row in sample:
        record = found[f"oqmd-{row['entry_id']}"]
        assert (record.formation_energy_per_atom_source, record.e_above_hull_source) == (
            row["delta_e"],
            row["stability"],
        )
        assert record.crystal.symbols == row["species"]
        assert record.crystal.volume == pytest.approx(row["volume"], rel=1e-3)
