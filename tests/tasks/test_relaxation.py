from __future__ import annotations

from dao_core.crysdb.schema import CrysRecord
from dao_core.crystal import Crystal
from dao_core.energy.potential import PotentialFailure, PotentialResult
from dao_core.energy.relaxation.relax import RelaxSettings
from tasks.crysdb import RELAXED
from tasks.relaxation import relax_records
from tests.helpers.potentials import Scripted, constant, emt
from tests.helpers.small_runs import crystals


def records(n: int) -> list[CrysRecord]:
    return [
        CrysRecord.from_crystal(c, material_id=f"a-{i}", source="emt", functional="EMT", license="MIT")
        for i, c in enumerate(crystals(6 + n)[6:])
    ]


def test_relaxed_rows_name_parent_status_and_potential() -> None:
    rows, counts = relax_records(records(3), emt(), RelaxSettings(max_steps=60))
    assert counts["n_asked"] == counts["n_ok"] + counts["n_failed"] == 3
    assert counts["n_ok"] == len(rows) > 0
    for row in rows:
        assert row.parent_id is not None
        assert row.material_id == f"{row.parent_id}-relaxed"
        assert (row.source, row.functional, row.source_version, row.license) == (RELAXED, "EMT", "EMT", "MIT")
        assert row.relaxation in ("converged", "max_steps")
        assert row.energy_per_atom is not None


def test_relaxation_goes_down() -> None:
    potential = emt()
    before = records(3)
    start = {
        r.material_id: o.energy / r.n_atoms
        for r, o in zip(before, potential.compute([r.crystal for r in before]), strict=True)
        if isinstance(o, PotentialResult)
    }
    rows, _ = relax_records(before, potential, RelaxSettings(max_steps=60))
    assert all((r.energy_per_atom or 0.0) < start[str(r.parent_id)] for r in rows)


def test_what_lies_outside_the_training_of_the_potential_is_no_row() -> None:
    class Limited(Scripted):
        def outside(self, crystal: Crystal) -> str | None:
            return "no training data with Au" if 79 in crystal.atomic_numbers else None

    asked = records(6)
    rows, counts = relax_records(asked, Limited(constant()), RelaxSettings())
    known = [r.material_id for r in asked if 79 not in r.crystal.atomic_numbers]
    assert [r.parent_id for r in rows] == known
    assert counts == {
        "n_asked": 6, "n_ok": len(known), "n_failed": 6 - len(known), "converged": len(known),
        "outside": 6 - len(known),
    }  # fmt: skip


def test_what_is_rejected_is_counted_and_not_kept() -> None:
    rows, counts = relax_records(records(2), Scripted(lambda _, __: PotentialFailure("no")), RelaxSettings())
    assert rows == []
    assert counts == {"n_asked": 2, "n_ok": 0, "n_failed": 2, "potential_failed": 2}
    rows, counts = relax_records(records(2), Scripted(constant(force=5.0)), RelaxSettings(max_steps=3))
    assert counts["n_ok"] + counts["n_failed"] == 2
    assert counts["n_ok"] == len(rows)
