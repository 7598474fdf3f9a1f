"""How-to pages and tutorials: every command that a page shows runs, and prints what the page says."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.helpers.page_examples import PageCommand, PageFile, differs, environment, examples, run

DOCS = Path(__file__).resolve().parents[1] / "docs"
PAGES = sorted(p for folder in ("howto", "tutorials") for p in (DOCS / folder).glob("*.md"))
PSEUDOPOTENTIALS = Path("~/.local/share/dao/pseudopotentials").expanduser()


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_every_page_shows_a_command_with_its_output(page: Path) -> None:
    assert any(isinstance(e, PageCommand) and e.output.strip() for e in examples(page.read_text()))


def of_quantum_espresso(command: str) -> bool:
    return command.startswith("dao validate") or "runs/dft" in command


@pytest.mark.slow
@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.stem)
def test_what_a_page_shows_is_what_is_printed(page: Path, tmp_path: Path) -> None:
    """Commands of Quantum ESPRESSO, and those that read what it made, only where it and its pseudopotentials are."""
    can_validate = shutil.which("pw.x") is not None and PSEUDOPOTENTIALS.is_dir()
    known = environment(tmp_path)
    folder = tmp_path / "work"
    folder.mkdir()
    for example in examples(page.read_text()):
        if isinstance(example, PageCommand) and not can_validate and of_quantum_espresso(example.command):
            continue
        printed = run(example, folder, known)
        if isinstance(example, PageCommand):
            why = differs(example.output, printed)
            assert why is None, f"$ {example.command}\n{why}\n\nall of it:\n{printed}"


def test_a_page_is_read_as_files_and_commands() -> None:
    page = (
        "```python\n# a/b.py: what it is\nx\n```\ntext\n```console\n$ one\nout\n\nmore\n$ two\n```\n"
        "```bash\nnot run\n```\n"
    )
    assert examples(page) == [
        PageFile("a/b.py", "# a/b.py: what it is\nx\n"), PageCommand("one", "out\n\nmore\n"), PageCommand("two", ""),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("expected", "printed", "same"),
    [
        ("a = 3.59 angstrom", "a = 3.61 angstrom", True),
        ("a = 3.59 angstrom", "a = 4.59 angstrom", False),
        ("4 asked; 54 s", "4 asked; 7 s", True),
        ("4 asked; 54 s", "5 asked; 54 s", False),
        ("Fm-3m (225)  1", "Fm-3m (225) 1", True),
        ("Fm-3m (225)", "F-43m (216)", False),
        ("first\n...\nlast", "first\nx\ny\nlast", True),
        ("first\n...\nlast", "first\nx", False),
        ("first", "first\nand more", False),
        ("folder .../checkpoint", "folder runs/0af3/checkpoint", True),
        ("mgo", "", False),
    ],
)
def test_outputs_are_compared_with_tolerance_for_numbers_alone(expected: str, printed: str, same: bool) -> None:
    assert (differs(expected, printed) is None) is same
