"""The OPTIMADE source against the reference server, undisturbed and through a proxy with faults."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dao_core.crysdb.sources.base import Source, SourceError, SourceInterrupted, SourceItem
from dao_core.crysdb.sources.http import HttpReport, bound_session
from dao_core.crysdb.sources.optimade import OptimadeSource, record_from_resource
from dao_core.crysdb.sources.remote import open_remote, oqmd_through_optimade
from dao_core.crysdb.sources.rows import DUPLICATE, RowError
from dao_core.crysdb.sources.settings import OptimadeConfig, OptimadeFields, OqmdConfig
from tests.crysdb.sources.conftest import FAST
from tests.helpers.reading import plain, read_through_interruptions, records, refusals
from tests.peers.entries import entries, optimade_line
from tests.peers.proxy import Fault, FaultProxy

PAGE = 4
FIELDS = OptimadeFields(formation_energy_per_atom="_oqmd_delta_e", e_above_hull="_oqmd_stability")
CONFIG = OptimadeConfig(name="peer", base_url="http://nowhere", functional="PBE", license="CC-BY-4.0", fields=FIELDS)
HURRIED = FAST.model_copy(update={"first_wait": 0.0})


def source(peer: FaultProxy, **changes: Any) -> OptimadeSource:
    config = CONFIG.model_copy(update={"base_url": peer.url, "page": PAGE, "http": HURRIED, **changes})
    return OptimadeSource(config)


def read(peer: FaultProxy, **changes: Any) -> list[SourceItem]:
    return list(source(peer, **changes).iter_records())


def resource(number: int) -> dict[str, Any]:
    """A resource as a server gives it, prefixed fields and all."""
    line = optimade_line(entries()[number])
    attributes = {
        ("_oqmd_" + k if k in ("entry_id", "delta_e", "stability") else k): v for k, v in line["attributes"].items()
    }
    return {**line, "attributes": attributes}


@pytest.mark.peers
def test_every_entry_comes_with_its_energies(optimade: FaultProxy) -> None:
    reader = source(optimade)
    assert isinstance(reader, Source)
    found = records(list(reader.iter_records()))
    assert set(found) == {f"peer-{e.number}" for e in entries()}
    for entry in entries():
        record = found[f"peer-{entry.number}"]
        assert record.formation_energy_per_atom_source == entry.delta_e
        assert record.e_above_hull_source == entry.stability
        assert record.energy_per_atom is None
        assert (record.source, record.functional, record.license) == ("peer", "PBE", "CC-BY-4.0")
        assert record.crystal.symbols == list(entry.symbols)
        np.testing.assert_allclose(record.lattice, entry.lattice, atol=1e-9)
        np.testing.assert_allclose(record.frac_coords, entry.frac_coords, atol=1e-9)
    assert reader.report.requests == 7  # pages of 4 for 25 rows


@pytest.mark.peers
def test_filter_and_since_are_handed_to_the_server(optimade: FaultProxy) -> None:
    binary = read(optimade, filter="nelements=2 OR nelements=3")
    assert {r.n_atoms for r in records(binary).values()} == {2}
    late = {e.number for e in entries() if len(e.symbols) == 2 and 1 + e.number % 9 >= 5}
    found = source(optimade, filter="nelements=2 OR nelements=3").iter_records("2025-05-01T00:00:00Z")
    assert set(records(list(found))) == {f"peer-{n}" for n in late}


@pytest.mark.peers
@pytest.mark.parametrize("cut_after", [1, PAGE, PAGE + 1, 24, 25])
def test_any_cursor_continues_exactly(optimade: FaultProxy, cut_after: int) -> None:
    whole = read(optimade)
    rest = list(source(optimade).iter_records(None, whole[cut_after - 1].cursor))
    assert [(plain(i), i.cursor) for i in whole[cut_after:]] == [(plain(i), i.cursor) for i in rest]


@pytest.mark.peers
@pytest.mark.parametrize("kind", [{"drop": True}, {"cut": True}, {"short": True}, {"status": 503}, {"status": 429}])
def test_dying_midway_and_continuing_gives_the_undisturbed_result(optimade: FaultProxy, kind: dict[str, Any]) -> None:
    whole = read(optimade)
    optimade.reset(Fault(skip=2, times=4, **kind), Fault(skip=5, times=4, **kind))
    items, interruptions = read_through_interruptions(lambda: source(optimade))
    assert [plain(i) for i in items] == [plain(i) for i in whole]
    assert interruptions == 2


@pytest.mark.peers
def test_short_trouble_is_sat_out_and_counted(optimade: FaultProxy) -> None:
    waits: list[float] = []
    optimade.reset(Fault(status=429, headers={"Retry-After": "5"}, skip=1, times=2), Fault(cut=True, skip=4))
    kind = bound_session(FAST, HttpReport(), sleep=waits.append)
    reader = OptimadeSource(CONFIG.model_copy(update={"base_url": optimade.url, "page": PAGE}), session=kind)
    assert len(records(list(reader.iter_records()))) == 25
    assert reader.report.retries == 3
    assert waits == [5.0, 5.0, 1.0]


@pytest.mark.peers
def test_bad_rows_are_refused_by_name_and_the_others_are_kept(optimade: FaultProxy) -> None:
    def spoil(reply: Any) -> None:
        rows = reply["data"]
        rows[0]["attributes"]["_oqmd_delta_e"] = float("nan")
        del rows[1]["attributes"]["_oqmd_stability"]
        rows[2]["attributes"]["lattice_vectors"] = None

    whole = records(read(optimade))
    optimade.reset(Fault(skip=1, edit=spoil))
    items = read(optimade)
    reasons = list(refusals(items).values())
    assert reasons == [
        "field _oqmd_delta_e is nan",
        "field _oqmd_stability is missing",
        "field lattice_vectors is missing",
    ]
    assert set(records(items)) == set(whole) - set(refusals(items))


@pytest.mark.peers
def test_duplicate_is_refused(optimade: FaultProxy) -> None:
    whole = read(optimade)
    optimade.reset(Fault(skip=1, edit=lambda reply: reply["data"].append(reply["data"][0])))
    items = read(optimade)
    assert refusals(items) == {whole[PAGE].record.material_id: DUPLICATE}  # type: ignore[union-attr]
    assert set(records(items)) == set(records(whole))


@pytest.mark.peers
@pytest.mark.parametrize("times", [1, 10**6])
def test_repeated_page_stops_with_a_clear_error(optimade: FaultProxy, times: int) -> None:
    whole = read(optimade)
    optimade.reset(Fault(skip=2, times=times, stale=True))
    kept: list[SourceItem] = []
    with pytest.raises(SourceError, match="repeats a page"):
        kept.extend(source(optimade).iter_records())
    assert [plain(i) for i in kept] == [plain(i) for i in whole[: 2 * PAGE]]


@pytest.mark.peers
def test_link_that_leads_back_and_missing_rows_are_errors(optimade: FaultProxy) -> None:
    links: list[str] = []

    def back(reply: Any) -> None:
        links.append(reply["links"]["next"])
        reply["links"]["next"] = links[0]

    optimade.reset(Fault(times=10**6, edit=back))
    with pytest.raises(SourceError, match=r"repeats a page|leads back"):
        read(optimade)
    optimade.reset(Fault(skip=2, edit=lambda reply: reply["links"].update(next=None)))
    with pytest.raises(SourceError, match="ends after 12 of 25 rows"):
        read(optimade)


@pytest.mark.peers
def test_cursor_of_another_content_is_an_error(optimade: FaultProxy) -> None:
    place = json.loads(read(optimade)[5].cursor)
    with pytest.raises(SourceError, match="the database changed"):
        list(source(optimade).iter_records(None, json.dumps({**place, "last": "peer-1"})))


@pytest.mark.peers
def test_refused_filter_names_the_remedy(optimade: FaultProxy) -> None:
    with pytest.raises(SourceError, match="check base_url, filter and fields") as caught:
        read(optimade, filter="nelements=")
    assert not isinstance(caught.value, SourceInterrupted)


@pytest.mark.peers
def test_oqmd_through_optimade_has_the_ids_and_values_of_its_rest_api(optimade: FaultProxy, oqmd: FaultProxy) -> None:
    http = {"http": HURRIED, "page": 7}
    through = open_remote(OqmdConfig(base_url=oqmd.url, **http))
    config = oqmd_through_optimade(OqmdConfig(route="optimade", **http))
    other = OptimadeSource(config.model_copy(update={"base_url": optimade.url}))
    first, second = records(list(through.iter_records())), records(list(other.iter_records()))
    assert (through.name, through.functional) == (other.name, other.functional)
    assert set(first) == set(second)
    for name, record in first.items():
        assert second[name].formation_energy_per_atom_source == record.formation_energy_per_atom_source
        assert second[name].e_above_hull_source == record.e_above_hull_source
        np.testing.assert_allclose(second[name].frac_coords, record.frac_coords, atol=1e-3)


def test_server_that_is_away_interrupts_with_the_cursor(oqmd: FaultProxy) -> None:
    oqmd.reset(Fault(drop=True, times=10**6))
    cursor = '{"before":0,"last":"peer-1","rows":1,"url":null}'
    with pytest.raises(SourceInterrupted, match="4 attempts") as caught:
        list(source(oqmd).iter_records(None, cursor))
    assert caught.value.cursor == cursor


def test_disorder_and_shared_sites_are_refused() -> None:
    row = resource(12)
    species = row["attributes"]["species"]
    species[0].update(chemical_symbols=["Li", "Na"], concentration=[0.5, 0.5])
    with pytest.raises(RowError, match=f"partially occupied sites: {species[0]['name']}"):
        record_from_resource(row, "x", CONFIG)
    row["attributes"]["structure_features"] = ["disorder"]
    with pytest.raises(RowError, match="structure has disorder"):
        record_from_resource(row, "x", CONFIG)


def test_slabs_and_molecules_are_no_crystals() -> None:
    row = resource(12)
    row["attributes"] |= {"dimension_types": [1, 1, 0], "nperiodic_dimensions": 2}
    with pytest.raises(RowError, match="not periodic in three directions"):
        record_from_resource(row, "x", CONFIG)


def test_missing_sites_are_refused() -> None:
    row = resource(12)
    row["attributes"]["nsites"] = 3
    with pytest.raises(RowError, match="2 positions for nsites 3"):
        record_from_resource(row, "x", CONFIG)


def test_nested_energy_is_found_and_absent_scheme_stays_none() -> None:
    row = resource(12)
    row["attributes"]["_mp_stability"] = {"gga_gga+u": {"formation_energy_per_atom": -1.25}}
    fields = OptimadeFields(
        formation_energy_per_atom="_mp_stability.gga_gga+u.formation_energy_per_atom",
        e_above_hull="_mp_stability.r2scan.energy_above_hull",
    )
    record = record_from_resource(row, "x", CONFIG.model_copy(update={"fields": fields}))
    assert record.formation_energy_per_atom_source == -1.25
    assert record.e_above_hull_source is None


@pytest.mark.peers
@pytest.mark.shared
def test_real_oqmd_sample_through_the_reference_server(shared_data: Path, tmp_path: Path) -> None:
    from tests.peers.entries import optimade_line_of_sample
    from tests.peers.processes import optimade_server

    sample = json.loads((shared_data / "oqmd" / "oqmd_600.json").read_text())
    lines = [optimade_line_of_sample(row) for row in sample]
    with optimade_server(lines, tmp_path, ["entry_id", "delta_e", "stability"]) as url:
        config = oqmd_through_optimade(OqmdConfig(route="optimade", page=200, http=HURRIED))
        items = list(OptimadeSource(config.model_copy(update={"base_url": url})).iter_records())
    assert refusals(items) == {}
    found = records(items)
    assert len(found) == 600
    for row in sample:
        record = found[f"oqmd-{row['entry_id']}"]
        assert record.formation_energy_per_atom_source == row["delta_e"]
        assert record.crystal.symbols == row["species"]
