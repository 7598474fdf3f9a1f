from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.library.exclude import exclude_compositions
from dao_core.library.folder import Library, LibraryError, open_library
from dao_core.library.known import known_structures


def test_a_composition_is_gone_from_everything(library: Library, tmp_path: Path) -> None:
    made = exclude_compositions(library, ["O2Ti", "TiO2", "LaB6"], tmp_path / "without")
    assert "2 structures of 1 compositions" in str(made)  # of OQMD and of the encyclopedia
    assert made.n_asked == 2
    other = open_library(tmp_path / "without")
    assert other is not None
    assert known_structures(other, "TiO2") == []
    assert known_structures(other, "NaCl")
    assert "TiO2" not in other.table().read(columns=["formula_reduced"])["formula_reduced"].to_pylist()
    assert not [c for c in other.templates().crystals if c.formula_reduced == "TiO2"]
    assert [c for c in library.templates().crystals if c.formula_reduced == "TiO2"]
    assert known_structures(library, "TiO2")  # the whole one is as it was


def test_the_library_itself_is_no_target(library: Library) -> None:
    with pytest.raises(LibraryError, match="another folder"):
        exclude_compositions(library, ["TiO2"], library.folder)
