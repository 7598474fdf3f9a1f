"""What a file really holds: whole or cut, packed or not, in which encoding, in which format. Names are not believed."""

from __future__ import annotations

import gzip
import io
import re
import zlib
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from dao_core.readers.base import UnreadableError
from dao_core.readers.vasp_frames import names_elements

Format = Literal["cif", "extxyz", "poscar", "csv", "json", "parquet", "lmdb"]
FORMATS = "CIF, extended xyz, POSCAR, CSV, JSON, Parquet or LMDB, each text also as .gz"
LFS_MARK = b"version https://git-lfs"
GZIP_MARK = b"\x1f\x8b"
PARQUET_MARK = b"PAR1"
LMDB_MARKS = (b"\xde\xc0\xef\xbe", b"\xbe\xef\xc0\xde")  # in the first page, behind its header of 16 bytes
LMDB_ENDINGS = (".lmdb", ".aselmdb", ".mdb")
MAX_BYTES = 4 << 30  # a packed file that unpacks to more is not what it seems
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")
_NUMBER = r"[+-]?(?:\d+\.?\d*|\.\d+)(?:[eEdD][+-]?\d+)?"


@dataclass(frozen=True)
class Content:
    """A file whose format is known; `text` is None for the binary formats, which are read from `path`."""

    path: Path
    format: Format
    text: str | None = None

    @property
    def stem(self) -> str:
        """The file's name without the endings of packing and format; POSCAR stays POSCAR."""
        name = self.path.name.removesuffix(".gz")
        return Path(name).stem or name


def read_content(path: Path) -> Content:
    """Open a file and recognise its format.

    Args:
        path: Any file.

    Raises:
        UnreadableError: The file is missing, empty, cut or damaged, a Git-LFS pointer, no text, or of no format that is
            read here. The message names the file and the remedy.
    """
    head = check_file(path)
    if head.startswith(PARQUET_MARK):
        return Content(path, "parquet")
    if head[16:20] in LMDB_MARKS:
        return Content(path, "lmdb")
    if path.suffix.lower() in LMDB_ENDINGS:
        raise UnreadableError(f"{path} is a damaged LMDB file (no mark in its first page): download it again")
    text = read_text(path)
    try:
        return Content(path, recognise(text), text)
    except UnreadableError as error:
        raise UnreadableError(f"{path}: {error}") from None


def check_file(path: Path) -> bytes:
    """The first bytes of a file that is there and whole.

    Raises:
        UnreadableError: It is missing or empty, a Git-LFS pointer, or a truncated gzip or Parquet file.
    """
    if not path.is_file():
        raise UnreadableError(f"{path} is not a file: correct the path")
    try:
        size = path.stat().st_size
        with path.open("rb") as handle:
            head = handle.read(64)
            handle.seek(max(0, size - 8))
            tail = handle.read(8)
    except OSError as error:
        raise UnreadableError(f"{path} can't be opened ({error.strerror or error}): check its permissions") from error
    if size == 0:
        raise UnreadableError(f"{path} is empty: download it again")
    if head.startswith(LFS_MARK):
        raise UnreadableError(
            f"{path} is a Git-LFS pointer, not the data: run `git lfs pull`, or download the file itself"
        )
    if (path.suffix == ".parquet" or head.startswith(PARQUET_MARK)) and not (
        head.startswith(PARQUET_MARK) and tail.endswith(PARQUET_MARK)
    ):
        raise UnreadableError(f"{path} is a truncated Parquet file (no PAR1 mark at its end): download it again")
    if path.suffix == ".gz" and not head.startswith(GZIP_MARK):
        raise UnreadableError(f"{path} is not gzip data although its name says so: rename it or download it again")
    return head


def read_text(path: Path) -> str:
    """The text of a file, unpacked if it is gzip data whatever its name, with plain line breaks.

    UTF-8 with or without a byte order mark, UTF-16 with one; what is none of these is read as Latin-1, in which old
    files spell their authors.

    Raises:
        UnreadableError: The file is none (`check_file`), damaged, or no text.
    """
    check_file(path)
    data = path.read_bytes()
    if data.startswith(GZIP_MARK):
        data = _unpacked(path, data)
    return decode(data, str(path))


def check_gzip(path: Path) -> None:
    """Raise UnreadableError where gzip data end early or are damaged; read in pieces, so that size doesn't matter."""
    try:
        with gzip.open(path, "rb") as handle:
            while handle.read(1 << 20):
                pass
    except (EOFError, zlib.error, OSError) as error:
        raise UnreadableError(f"{path} is a truncated or damaged gzip file ({error}): download it again") from error


def _unpacked(path: Path, data: bytes) -> bytes:
    try:
        with gzip.open(io.BytesIO(data)) as handle:
            out = handle.read(MAX_BYTES + 1)
    except (EOFError, zlib.error, OSError) as error:
        raise UnreadableError(f"{path} is a truncated or damaged gzip file ({error}): download it again") from error
    if len(out) > MAX_BYTES:
        raise UnreadableError(f"{path} unpacks to more than {MAX_BYTES >> 30} GiB: unpack and split it first")
    return out


def decode(data: bytes, name: str) -> str:
    """Text of some bytes with plain line feeds.

    Args:
        data: Content of a file.
        name: How the file is called in messages.

    Returns:
        The text.

    Raises:
        UnreadableError: The bytes are no text.
    """
    try:
        text = data.decode("utf-16" if data.startswith(_UTF16_MARKS) else "utf-8-sig")
    except UnicodeDecodeError:
        text = "\0" if data.startswith(_UTF16_MARKS) else data.decode("latin-1")
    if "\0" in text:
        raise UnreadableError(f"{name} is not text: is it another format?")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def recognise(text: str) -> Format:
    """The format of a text by what stands in it.

    Raises:
        UnreadableError: It is of none; the message names those that are read.
    """
    lines = text.lstrip().split("\n", 12)[:12]
    start = lines[0].strip() if lines else ""
    if start[:1] in ("{", "["):
        return "json"
    if re.search(r"^\s*data_\S*", text, re.I | re.M) and re.search(r"^\s*(?:_\w|loop_)", text, re.I | re.M):
        return "csv" if _is_table(start) and not start.lower().startswith("data_") else "cif"
    if _is_poscar(text.split("\n", 9)):  # its title may be a number, or blank above a scaling factor of 1
        return "poscar"
    if re.fullmatch(r"\d+", start):
        return "extxyz"
    if _is_table(start):
        return "csv"
    if re.match(r"\s*data_", text, re.I):
        return "cif"
    raise UnreadableError(f"none of the formats that are read ({FORMATS}): convert it")


def _is_poscar(lines: list[str]) -> bool:
    """Three vectors below the second line, which is a scaling factor, or would be above elements and their numbers."""
    if len(lines) < 5:
        return False
    vector = re.compile(rf"\s*{_NUMBER}(?:\s+{_NUMBER}){{2}}\b")
    scaled = re.match(rf"\s*{_NUMBER}(?:\s|$)", lines[1]) is not None
    counted = len(lines) > 6 and names_elements(lines[5], lines[6])
    return (scaled or counted) and all(vector.match(x) for x in lines[2:5])


def _is_table(header: str) -> bool:
    """Names separated by commas, semicolons or tabs, one of which says that structures follow."""
    names = {name.strip().strip('"').strip().lower() for name in re.split(r"[,;\t]", header)}
    return len(names) > 1 and bool(names & {"cif", "cif_string", "structure_cif", "lattice", "frac_coords"})
