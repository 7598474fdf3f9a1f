from __future__ import annotations

import pytest

from tasks.code_version import code_hash


def test_code_hash_depends_on_the_rooms_named() -> None:
    assert code_hash("crystal") == code_hash("crystal")
    assert code_hash("crystal") != code_hash("elements")
    assert code_hash("crystal", "elements") == code_hash("elements", "crystal")
    with pytest.raises(ValueError, match="no room 'cellar'"):
        code_hash("cellar")
