"""Pseudopotential libraries: which files, from where, with which checksums and cutoffs.

A folder is a library once it holds `library.json` (written by `pseudo_setup`). pw.x falls back silently on files of its
own when `pseudo_dir` is wrong, so existence, checksum, element, functional and relativistic treatment are checked here,
before anything runs.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from importlib import resources
from pathlib import Path
from typing import Any, Literal

from dao_core.artifacts import content_key, file_sha256
from dao_core.elements import SYMBOLS

LIBRARY_FILE = "library.json"
SHIPPED_TABLE = "pseudodojo_0.4_pbe_sr_standard.json"
DEFAULT_LIBRARY = "PseudoDojo-PBE-SR-standard-0.4"
CutoffLevel = Literal["low", "normal", "high"]
LEVELS: tuple[CutoffLevel, ...] = ("low", "normal", "high")
RY_PER_HARTREE = 2.0
_HEADER_BYTES = 200_000  # PP_HEADER follows PP_INFO, which carries the generator's whole input


class PseudopotentialError(ValueError):
    """A library, a file or an element that cannot be used; the message says what to do."""


class MissingElementError(PseudopotentialError):
    """The library has no usable file for an element."""


@dataclass(frozen=True)
class UpfHeader:
    """What a UPF file says about itself (cutoff in Ry, None where the file gives no hint)."""

    element: str
    functional: str
    relativistic: str
    pseudo_type: str
    z_valence: float
    ecutwfc: float | None


@dataclass(frozen=True)
class Pseudopotential:
    """One verified UPF file; cutoffs in Ry for the levels low, normal, high."""

    element: str
    path: Path
    sha256: str
    z_valence: float
    ecutwfc: tuple[float, float, float] | None
    ecutrho: tuple[float, float, float] | None
    dual: float  # ecutrho over ecutwfc where nobody states it: 4, for ultrasoft and PAW files 8


def read_header(path: Path) -> UpfHeader:
    """Header of a UPF file (version 2). Raises PseudopotentialError on anything else.

    ONCVPSP writes the radius of the density mesh into `rho_cutoff`, so only `wfc_cutoff` counts as a hint.
    """
    try:
        with path.open("rb") as handle:
            text = handle.read(_HEADER_BYTES).decode("utf-8", errors="replace")
    except OSError as error:
        raise PseudopotentialError(f"cannot read {path}: {error}") from error
    block = re.search(r"<PP_HEADER\b(.*?)/?>", text, flags=re.DOTALL)
    if block is None:
        raise PseudopotentialError(
            f"{path} is not a UPF 2 file (no PP_HEADER); convert it or remove it from the folder"
        )
    fields = {k.lower(): v.strip() for k, v in re.findall(r"(\w+)\s*=\s*[\"']([^\"']*)[\"']", block.group(1))}
    cutoff = _number(fields.get("wfc_cutoff"))
    return UpfHeader(
        element=fields.get("element", "").capitalize(),
        functional=normal_functional(fields.get("functional", "")),
        relativistic="full"
        if fields.get("has_so", "F").upper() in ("T", ".TRUE.", "TRUE")
        else fields.get("relativistic", ""),
        pseudo_type=fields.get("pseudo_type", ""),
        z_valence=_number(fields.get("z_valence")) or 0.0,
        ecutwfc=cutoff if cutoff and cutoff > 0 else None,
    )


def _number(text: str | None) -> float | None:
    try:
        return float(text.replace("D", "E").replace("d", "e")) if text else None
    except ValueError:
        return None


def normal_functional(text: str) -> str:
    """One name for the spellings of a functional in UPF headers (`SLA PW PBX PBC`, `SLA  PW   PBE  PBE` are PBE)."""
    words = " ".join(text.upper().split())
    known = {
        "SLA PW PBX PBC": "PBE",
        "SLA PW PBE PBE": "PBE",
        "SLA PW PSX PSC": "PBESOL",
        "SLA PZ NOGX NOGC": "LDA",
        "PZ": "LDA",
    }
    return known.get(words, words)


@dataclass(frozen=True)
class PseudoLibrary:
    """A verified set of UPF files of one functional, at most one an element."""

    name: str
    version: str
    functional: str
    folder: Path
    table: Mapping[str, Mapping[str, Any]]

    @property
    def label(self) -> str:
        """Name and version, as they stand in results."""
        return f"{self.name}-{self.version}"

    def select(self, elements: Iterable[str]) -> dict[str, Pseudopotential]:
        """Files for `elements`, checksum and header verified. Raises MissingElementError naming all absent."""
        wanted = sorted(set(elements))
        missing = [e for e in wanted if e not in self.table or not self._path(e).is_file()]
        if missing:
            if foreign := [e for e in missing if e not in SYMBOLS]:
                raise MissingElementError(f"{', '.join(foreign)}: no element; give symbols such as Si O")
            raise MissingElementError(
                f"{self.label} in {self.folder} has no pseudopotential for {', '.join(missing)}; "
                "run `dao validate setup`, or point DAO_PSEUDO_DIR to a folder that has them"
            )
        return {e: self._verified(e) for e in wanted}

    def cutoffs(self, elements: Iterable[str], level: CutoffLevel) -> tuple[float, float]:
        """The cutoffs that a set of elements needs.

        Args:
            elements: Symbols.
            level: Of accuracy.

        Returns:
            (ecutwfc, ecutrho) in Ry, the largest over the elements.

        Raises:
            PseudopotentialError: None is stated.
        """
        chosen = self.select(elements)
        unknown = [e for e, p in chosen.items() if p.ecutwfc is None or p.ecutrho is None]
        if unknown:
            raise PseudopotentialError(
                f"{self.label} states no cutoff for {', '.join(unknown)}; set `ecutwfc` (Ry) in the settings, "
                "or set the folder up again with its table of cutoffs (see docs/dft.md)"
            )
        i = LEVELS.index(level)
        return max(p.ecutwfc[i] for p in chosen.values() if p.ecutwfc), max(
            p.ecutrho[i] for p in chosen.values() if p.ecutrho
        )

    def below_hint(self, elements: Iterable[str], ecutwfc: float | None) -> str:
        """A clause that names elements whose lowest stated cutoff a user's does not reach; empty where all are reached.

        Args:
            elements: Symbols.
            ecutwfc: The user's cutoff, Ry; None: the library's own.
        """
        if ecutwfc is None:
            return ""
        least = {e: p.ecutwfc[0] for e, p in self.select(elements).items() if p.ecutwfc}
        low = [f"{e} ({least[e]:g})" for e in sorted(least) if ecutwfc < least[e]]
        return f"ecutwfc {ecutwfc:g} Ry is below the least that {self.label} states for {', '.join(low)}" if low else ""

    def identity(self, elements: Iterable[str]) -> str:
        """Name of the library and a hash of the files chosen: part of every content key."""
        return f"{self.label}:{content_key(files={e: p.sha256 for e, p in self.select(elements).items()})}"

    def _path(self, element: str) -> Path:
        return self.folder / str(self.table[element].get("file", f"{element}.upf"))

    def _verified(self, element: str) -> Pseudopotential:
        row, path = self.table[element], self._path(element)
        digest = file_sha256(path)
        if digest != row["sha256"]:
            raise PseudopotentialError(
                f"{path} is not the file of {self.label} (checksum differs); run `dao validate setup` again"
            )
        header = read_header(path)
        check_header(header, path, element=element, functional=self.functional)
        low_to_high = row.get("cutoff_hartree")
        if low_to_high:
            wfc: tuple[float, float, float] | None = _three([RY_PER_HARTREE * float(x) for x in low_to_high])
        else:
            hint = _number(str(row.get("ecutwfc", ""))) or header.ecutwfc
            wfc = _three([hint] * 3) if hint else None
        rho_given = _number(str(row.get("ecutrho", "")))
        factor = 4.0 if header.pseudo_type == "NC" else 8.0
        rho = _three([rho_given or factor * x for x in wfc]) if wfc else None
        return Pseudopotential(element, path, digest, header.z_valence, wfc, rho, factor)


def _three(values: list[float]) -> tuple[float, float, float]:
    return values[0], values[1], values[2]


def check_header(header: UpfHeader, path: Path, *, element: str, functional: str) -> None:
    """Refuse a file that is not what it is taken for.

    Args:
        header: Of the file.
        path: For the message.
        element: That it must be for.
        functional: That it must be made for.

    Raises:
        PseudopotentialError: Another element, another functional, or fully relativistic.
    """
    if header.element != element:
        raise PseudopotentialError(f"{path} is for {header.element or 'an unnamed element'}, expected {element}")
    if header.functional != functional.upper():
        raise PseudopotentialError(
            f"{path} was made with {header.functional or 'no stated functional'}, the library is {functional}: "
            "functionals are never mixed"
        )
    if header.relativistic == "full":
        raise PseudopotentialError(f"{path} is fully relativistic; use the scalar-relativistic file of {element}")


@lru_cache(maxsize=1)
def shipped_table() -> dict[str, Any]:
    """Table of the default library: checksums and cutoffs of PseudoDojo 0.4, PBE, scalar relativistic, standard."""
    text = resources.files("dao_core.dft").joinpath("data", SHIPPED_TABLE).read_text()
    return dict(json.loads(text))


def user_folder() -> Path:
    """Where `setup` installs for the user: ~/.local/share/dao/pseudopotentials (or below XDG_DATA_HOME)."""
    base = os.environ.get("XDG_DATA_HOME") or str(Path.home() / ".local" / "share")
    return Path(base) / "dao" / "pseudopotentials" / DEFAULT_LIBRARY


def find_library(folder: str | Path | None = None) -> PseudoLibrary:
    """The library in `folder`, else in $DAO_PSEUDO_DIR, else the user's own.

    A folder without `library.json` is accepted when its files are those of the shipped table.
    Raises PseudopotentialError when there is no such folder.
    """
    chosen = Path(folder or os.environ.get("DAO_PSEUDO_DIR") or user_folder()).expanduser()
    if not chosen.is_dir():
        raise PseudopotentialError(
            f"no pseudopotentials at {chosen}; run `dao validate setup`, or set DAO_PSEUDO_DIR to a folder"
        )
    listing = chosen / LIBRARY_FILE
    if not listing.exists():
        table = shipped_table()
        return PseudoLibrary(table["name"], table["version"], table["functional"], chosen, table["elements"])
    try:
        table = json.loads(listing.read_text())
        return PseudoLibrary(table["name"], str(table["version"]), table["functional"], chosen, table["elements"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise PseudopotentialError(f"{listing} is unreadable ({error}); set the folder up again") from error
