"""Examples of the documentation: the files that a page gives and the commands whose output it shows.

A block of the language `console` holds lines `$ command` and under each what it printed. A block of another language
whose first line is a comment with a file name, `# emt.py`, is that file. All are taken in order, in one folder.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BLOCK = re.compile(r"^```([\w-]+)[^\n]*\n(.*?)^```$", re.DOTALL | re.MULTILINE)
NAMED = re.compile(r"# (\S+\.\w+)(:.*)?\n")
NUMBER = re.compile(r"(?<![\w.])[-+]?\d+(?:\.\d+)?(?:e[-+]?\d+)?(?![\w.]*\w)")
RELATIVE, ABSOLUTE = 0.1, 0.02  # how far a number may be from the page's: machines and versions round differently
RULES = re.compile(r"[─-]{3,}")


@dataclass(frozen=True)
class PageFile:
    """A file that the page shows."""

    name: str
    text: str


@dataclass(frozen=True)
class PageCommand:
    """A command and what the page says that it prints."""

    command: str
    output: str


def examples(page: str) -> list[PageFile | PageCommand]:
    """Files and commands of a page, in order."""
    found: list[PageFile | PageCommand] = []
    for language, body in BLOCK.findall(page):
        if language == "console":
            for part in re.split(r"^\$ ", body, flags=re.MULTILINE)[1:]:
                command, _, output = part.partition("\n")
                found.append(PageCommand(command, output))
        elif named := NAMED.match(body):
            found.append(PageFile(named.group(1), body))
    return found


def environment(folder: Path, *, library: str | None = None) -> dict[str, str]:
    """An environment whose `dao` is this checkout's and whose library is the one that is given, or none."""
    programs = {"dao": "-c 'from dao_core.command import main; main()'", "python": ""}
    for name, what in programs.items():
        program = folder / "bin" / name
        program.parent.mkdir(exist_ok=True)
        program.write_text(f"#!/bin/sh\nexec '{sys.executable}' {what} \"$@\"\n")
        program.chmod(0o755)
    known = {**os.environ, "PATH": f"{folder / 'bin'}:{os.environ['PATH']}"}
    known |= {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "DO_NOT_TRACK": "1", "COLUMNS": "200"}
    return known | {"DAO_LIBRARY": library or str(folder / "no-library")}


def run(example: PageFile | PageCommand, folder: Path, known: dict[str, str]) -> str:
    """Write a file or run a command; what it printed. Raises AssertionError where a command fails."""
    if isinstance(example, PageFile):
        path = folder / example.name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(example.text)
        return ""
    done = subprocess.run(
        ["bash", "-c", example.command],
        cwd=folder, env=known, capture_output=True, text=True, check=False, timeout=1200,
    )  # fmt: skip
    assert "Traceback" not in done.stderr, done.stderr
    assert done.returncode == 0, f"{example.command}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def differs(expected: str, printed: str) -> str | None:
    """Why an output is not what the page shows, or None.

    `...` alone in a line stands for any lines, within a line for anything. Blanks and rules don't count, nor by how
    much a number differs within the tolerance; seconds may be any number.
    """
    left = _lines(printed)
    wanted = _lines(expected)
    skipping = False
    for line in wanted:
        if line == "...":
            skipping = True
            continue
        while skipping and left and not _same(line, left[0]):
            left.pop(0)
        if not left or not _same(line, left[0]):
            return f"the page has {line!r}, printed was {left[0] if left else 'nothing more'!r}"
        left.pop(0)
        skipping = False
    if left and not skipping:
        return f"printed beside what the page shows: {left[0]!r}"
    return None


def _lines(text: str) -> list[str]:
    plain = (" ".join(RULES.sub("", line).split()) for line in text.splitlines())
    return [line for line in plain if line]


def _same(expected: str, printed: str) -> bool:
    pattern, numbers = "", []
    for i, part in enumerate(expected.split("...")):
        pattern += ".*?" if i else ""
        last = 0
        for found in NUMBER.finditer(part):
            seconds = re.match(r" s\b", part[found.end() :]) is not None
            pattern += re.escape(part[last : found.start()]) + (NUMBER.pattern if seconds else f"({NUMBER.pattern})")
            if not seconds:
                numbers.append(float(found.group()))
            last = found.end()
        pattern += re.escape(part[last:])
    match = re.fullmatch(pattern, printed)
    if match is None:
        return False
    return all(
        abs(float(a) - b) <= max(ABSOLUTE, RELATIVE * abs(b)) for a, b in zip(match.groups(), numbers, strict=True)
    )
