"""More sources for the library, and fewer: databases that answer without a key, and files."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

from dao_core.crysdb.config import FilesConfig, open_source
from dao_core.crysdb.sources.base import Source, SourceError
from dao_core.crysdb.sources.materials_project import KEY_VARIABLE, THERMO_TYPE
from dao_core.crysdb.sources.settings import MaterialsProjectConfig, OptimadeConfig, OptimadeFields, OqmdConfig
from dao_core.library.added_files import AddedFiles, files_config
from dao_core.library.build import build_library
from dao_core.library.collect import collect, collected, discard, ids_of_others
from dao_core.library.folder import MANIFEST, Library, LibraryError, LibrarySource, library_folder
from dao_core.library.install import INSTALLED, log_read
from dao_core.units import NEAR_HULL

DESCRIPTIONS = {
    "materials-project": "Materials Project, GGA and GGA+U",
    "alexandria": "Alexandria, PBE, most of it hypothetical",
    "oqmd": "OQMD, all of it",
    "cod": "Crystallography Open Database, experimental structures",
}
PROVIDERS = tuple(DESCRIPTIONS)


def add_source(
    what: str,
    folder: str | Path | None = None,
    *,
    filter: str | None = None,
    base_url: str | None = None,
    workers: int = 1,
    log: Callable[[str], None] = lambda _: None,
) -> Library:
    """Read one more source and build the library with it.

    Args:
        what: One of PROVIDERS, or a file or folder of structures.
        folder: Another folder than the user's own library.
        filter: What a provider is asked for, in its own filter language; for the Materials Project with a key a
            chemical system such as Li-Fe-O.
        base_url: Another server than the provider's own.
        workers: Processes.
        log: Called with a line for each step.

    Returns:
        The new library.

    Raises:
        LibraryError: The source cannot be read to its end; the library is what it was, what was read is kept, and the
            same call goes on behind it.
    """
    root = library_folder(folder)
    config = source_config(what, collected(root), filter=filter, base_url=base_url)
    described = DESCRIPTIONS.get(what, f"structures of {Path(what).name}")
    try:
        if isinstance(config, FilesConfig):
            origin = str(config.paths[0])
            source: Source = AddedFiles(config, ids_of_others(config.name, root))
        else:
            origin, source = _address(config), open_source(config)
        found = collect(source, root, description=described, origin=origin)
    except SourceError as error:
        raise LibraryError(
            f"{what} was not added ({error}); what was read is kept: run the same command again"
        ) from error
    log_read(found.source, log)
    return build_library(root, added=found, workers=workers, log=log)


def remove_source(
    name: str, folder: str | Path | None = None, *, workers: int = 1, log: Callable[[str], None] = lambda _: None
) -> Library | None:
    """Take a source that was added out of the library, and build it without that.

    Args:
        name: Of the source, as the library lists it.
        folder: Another folder than the user's own library.
        workers: Processes.
        log: Called with a line for each step.

    Returns:
        The new library; None where that was all of it.

    Raises:
        LibraryError: No source of this name was added; the message lists those that were.
    """
    root = library_folder(folder)
    present = [s.name for s in collected(root)]
    added = [s for s in present if s not in INSTALLED]
    if name not in added:
        why = "belongs to what `dao library install` brings" if name in present else "is no source of the library"
        raise LibraryError(f"{name} {why}; these were added: {', '.join(added) or 'none'}")
    if present == [name]:
        (root / MANIFEST).unlink(missing_ok=True)
        discard(name, root)
        return None
    return build_library(root, removed=name, workers=workers, log=log)


def source_config(
    what: str, present: Iterable[LibrarySource] = (), *, filter: str | None = None, base_url: str | None = None
) -> Any:
    """The configuration of what a user wants to add.

    Args:
        what: A provider by name, or the path of a file or folder.
        present: The library's sources.
        filter: What to ask a provider for, in its own language.
        base_url: Another server of the same kind.

    Returns:
        The source's settings.

    Raises:
        LibraryError: Neither a provider nor a path.
    """
    if what == "materials-project":
        if os.environ.get(KEY_VARIABLE) and base_url is None:
            return MaterialsProjectConfig(chemsys=filter)
        return _optimade(_MATERIALS_PROJECT, filter, base_url)
    if what in ("alexandria", "cod"):
        return _optimade(_ALEXANDRIA if what == "alexandria" else _COD, filter, base_url)
    if what == "oqmd":
        return OqmdConfig(route="optimade", filter=filter, **({"base_url": base_url} if base_url else {}))
    path = Path(what).expanduser()
    if not path.exists():
        raise LibraryError(f"{what} is neither one of {', '.join(PROVIDERS)} nor a file or folder: correct the name")
    return files_config(path, present)


def _optimade(config: OptimadeConfig, filter: str | None, base_url: str | None) -> OptimadeConfig:
    changes = {"filter": filter or config.filter, "base_url": base_url or config.base_url}
    return config.model_copy(update=changes)


def _address(config: Any) -> str:
    return str(getattr(config, "base_url", None) or config.endpoint)


_MATERIALS_PROJECT = OptimadeConfig(
    name="materials_project_optimade",
    base_url="https://optimade.materialsproject.org",
    functional=THERMO_TYPE,
    license="CC-BY-4.0",
    fields=OptimadeFields(
        formation_energy_per_atom="_mp_stability.gga_gga+u.formation_energy_per_atom",
        e_above_hull="_mp_stability.gga_gga+u.energy_above_hull",
    ),
)
_ALEXANDRIA = OptimadeConfig(
    name="alexandria",
    base_url="https://alexandria.icams.rub.de/pbe",
    functional="Alexandria_PBE",
    license="CC-BY-4.0",
    filter=f"_alexandria_hull_distance <= {NEAR_HULL}",
    fields=OptimadeFields(
        formation_energy_per_atom="_alexandria_formation_energy_per_atom", e_above_hull="_alexandria_hull_distance"
    ),
)
_COD = OptimadeConfig(
    name="cod",
    base_url="https://www.crystallography.net/cod/optimade",
    functional="experiment",
    license="CC0-1.0",
)
