from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig, open_source
from dao_core.crysdb.schema import CrysRecord
from dao_core.crysdb.sources.base import Source
from dao_core.crysdb.sources.decorated import PrototypeSource, unique_labels
from dao_core.crysdb.sources.prototypes import decorations, load_prototypes
from dao_core.crysdb.sources.settings import PrototypesConfig
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable

SALT = PrototypesConfig(elements=("Na", "Cl"), max_atoms=4)


def read(config: PrototypesConfig, cursor: str | None = None) -> list[CrysRecord]:
    values = [item.value for item in PrototypeSource(config).iter_records(cursor=cursor)]
    return [v for v in values if isinstance(v, CrysRecord)]


def test_without_a_limit_every_decoration_comes_once() -> None:
    rows = read(SALT)
    prototypes = [p for p in load_prototypes(4) if p.n_elements <= 2]
    wanted = sum(
        len(list(decorations(p, chosen)))
        for p in prototypes
        for chosen in ([["Na"], ["Cl"]] if p.n_elements == 1 else [["Na", "Cl"]])
    )
    assert len(rows) == wanted
    assert len({r.material_id for r in rows}) == len(rows)
    assert "AB_cF8_225_a_b-Na-Cl" in {r.material_id for r in rows}
    assert all(r.energy_per_atom is None and r.functional == "unrelaxed" for r in rows)


def test_a_limit_draws_by_seed_and_any_cursor_continues() -> None:
    config = PrototypesConfig(elements=("Na", "Cl", "Mg", "O", "Sr", "Ti"), limit=40, max_atoms=6)
    rows = [r.material_id for r in read(config)]
    assert len(rows) == len(set(rows)) == 40
    assert [r.material_id for r in read(config, cursor="25")] == rows[25:]
    assert [r.material_id for r in read(config.model_copy(update={"seed": 1}))] != rows


def test_labels_that_several_types_share_are_numbered() -> None:
    labels = unique_labels(load_prototypes(12))
    assert len(labels) == len(set(labels))
    assert "A_tI2_139_a.2" in labels


@pytest.mark.parametrize("elements", [(), ("Xx",), ("na",)])
def test_what_is_no_element_is_refused(elements: tuple[str, ...]) -> None:
    with pytest.raises(ValidationError):
        PrototypesConfig(elements=elements)


def test_a_build_takes_them_and_invents_no_energy(tmp_path: Path) -> None:
    assert isinstance(open_source(SALT), Source)
    report = build(BuildConfig(sources=(SALT,), clean=CleanSettings(min_atoms=2), workers=1), tmp_path)
    assert report.adds_up
    assert report.sources["prototypes"]["n_published"] > 20
    table = CrysTable(tmp_path / "table").read()
    assert table["e_above_hull"].null_count == table.num_rows
    assert table["is_stable"].null_count == table.num_rows
