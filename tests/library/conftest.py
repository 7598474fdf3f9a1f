from __future__ import annotations

from pathlib import Path

import pytest

from dao_core.library.folder import Library
from dao_core.library.install import install_library
from tests.crysdb.sources.conftest import _optimade, _oqmd, optimade, oqmd
from tests.helpers.carriers import small_wheels

__all__ = ["_optimade", "_oqmd", "optimade", "oqmd", "small_wheels"]


@pytest.fixture
def library(small_wheels: dict[str, Path], tmp_path: Path) -> Library:
    """A small library, installed from the small wheels."""
    report = install_library(tmp_path / "library", wheels=small_wheels)
    assert report.library is not None
    return report.library
