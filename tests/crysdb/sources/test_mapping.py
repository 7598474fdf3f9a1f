from __future__ import annotations

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from dao_core.crysdb.build.build import build
from dao_core.crysdb.config import BuildConfig, FilesConfig
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.files import FileSource
from dao_core.crysdb.sources.mapping import ColumnMapping, MappingOptions
from dao_core.crysdb.steps.clean import CleanSettings
from dao_core.crysdb.table import CrysTable
from tests.helpers.records import element, rocksalt


def row(name: str, crystal: object, energy: float, **more: object) -> dict[str, object]:
    return {
        "material_id": name,
        "lattice": crystal.lattice.tolist(),  # type: ignore[attr-defined]
        "frac_coords": crystal.frac_coords.tolist(),  # type: ignore[attr-defined]
        "atomic_numbers": crystal.atomic_numbers.tolist(),  # type: ignore[attr-defined]
        "energy_per_atom": energy,
        **more,
    }


def rows() -> list[dict[str, object]]:
    out = []
    for scheme, shift in (("GGA", 0.0), ("R2SCAN", -1.0)):
        energies = {"Na": -1.3, "Cl": -1.8, "NaCl": -3.4 if scheme == "GGA" else -3.1}
        for name, crystal in (("Na", element("Na")), ("Cl", element("Cl")), ("NaCl", rocksalt())):
            more = {"scheme": scheme, "parameters": {"run_type": scheme}}
            out.append(row(f"{name}-{scheme}", crystal, energies[name] + shift, **more))
    return out


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps(rows()))
    return path


def source(path: Path, **mapping: object) -> FileSource:
    return FileSource(path, MappingOptions(name="mine", functional="f", mapping=ColumnMapping(**mapping)))  # type: ignore[arg-type]


@pytest.mark.parametrize("column", ["scheme", "parameters.run_type", "run_type"])
def test_two_functionals_in_one_file_make_two_hulls(file: Path, tmp_path: Path, column: str) -> None:
    files = FilesConfig(
        name="mine", paths=(file,), functional="f", mapping=ColumnMapping(functional_column=column)
    )  # fmt: skip
    config = BuildConfig(sources=(files,), clean=CleanSettings(min_atoms=1), benchmarks=(), workers=1)
    report = build(config, tmp_path / "db")
    assert set(report.hull["labels"]) == {"total energy, mine f:GGA", "total energy, mine f:R2SCAN"}
    distances = {r.material_id: r.e_above_hull for r in CrysTable(tmp_path / "db" / "table").records()}
    assert set(distances.values()) == {0.0}


@pytest.mark.parametrize(
    "mapping",
    [
        {"functional_column": "run_typ"},
        {"energy_per_atom": "energy_ev"},
        {"forces": "REF_forces"},
        {"formation_energy_per_atom": ("ef", "delta")},
        {"functional_column": "parameters.scheme"},
    ],
    ids=str,
)
def test_a_setting_that_names_a_column_of_no_row_is_an_error(file: Path, mapping: dict[str, object]) -> None:
    setting = next(iter(mapping))
    with pytest.raises(SourceError, match=rf"no row has the column of {setting} \(.*there are atomic_numbers"):
        list(source(file, **mapping).iter_records())


def test_the_error_comes_after_an_interruption_too(file: Path) -> None:
    good, bad = source(file, functional_column="scheme"), source(file, functional_column="run_typ")
    cursor = next(iter(good.iter_records())).cursor
    assert len(list(good.iter_records(cursor=cursor))) == 5
    with pytest.raises(SourceError, match="run_typ"):
        list(bad.iter_records(cursor=cursor))


def test_a_column_that_only_the_first_row_has_is_enough(tmp_path: Path) -> None:
    content = rows()
    content[0]["once"] = "x"
    (tmp_path / "rows.json").write_text(json.dumps(content))
    one = source(tmp_path / "rows.json", functional_column="once")
    items = list(one.iter_records())
    assert len(items) == 6
    assert len(list(one.iter_records(cursor=items[2].cursor))) == 3


def test_an_unknown_layout_says_which_there_are(file: Path) -> None:
    with pytest.raises(ValidationError, match="no column mapping 'mp21': use one of default, mp_structures"):
        FilesConfig(name="m", paths=(file,), functional="f", mapping="mp21")  # type: ignore[arg-type]
