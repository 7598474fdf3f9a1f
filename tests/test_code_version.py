"""The version of the code behind a result changes with what makes the result, and with nothing else."""

from __future__ import annotations

import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dao_core import code_version as module
from dao_core.code_version import code_version
from dao_core.generate.templates.ranker import Ranker
from dao_core.screening.report.page import write_report
from dao_core.training.fit_predictor import fit_predictor


def forget() -> None:
    for cached in (module._version, module._tree, module._imports_of, module._content):
        cached.cache_clear()


@pytest.fixture
def sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A copy of dao_core whose files may be edited; what is imported stays what it was."""
    copy = tmp_path / "dao_core"
    shutil.copytree(module.ROOT, copy, ignore=shutil.ignore_patterns("checkpoints", "__pycache__"))
    monkeypatch.setattr(module, "ROOT", copy)
    forget()
    yield copy
    forget()


def edited(path: Path, text: str = "\nEDITED = 1\n") -> None:
    path.write_text(path.read_text(encoding="utf-8") + text, encoding="utf-8")  # fails where there is no such file
    forget()


@pytest.mark.parametrize(
    ("target", "file", "changes"),
    [
        (fit_predictor, "models/noise.py", True),  # the noise of the second objective of DAO-P
        (fit_predictor, "generate/flow_matching.py", True),
        (fit_predictor, "crystal.py", True),
        (fit_predictor, "dft/validate.py", False),
        (fit_predictor, "screening/report/page.py", False),
        (write_report, "screening/report/page.py", True),
    ],
    ids=lambda value: getattr(value, "__name__", str(value)),
)
def test_it_follows_imports(sources: Path, target: object, file: str, changes: bool) -> None:
    before = code_version(target)  # type: ignore[arg-type]
    edited(sources / file)
    assert (code_version(target) != before) is changes  # type: ignore[arg-type]


def test_pages_and_text_for_people_change_nothing(sources: Path) -> None:
    before = code_version(fit_predictor), code_version(write_report)
    edited(next((sources / "screening" / "report" / "assets").glob("*.js")))
    edited(sources / "training" / "fit_predictor.py", "\n\n# a remark\n")
    path = sources / "training" / "fit_predictor.py"
    first, rest = path.read_text().split("\n", 1)
    assert first.startswith('"""')
    path.write_text(f'"""Other words.\n\nOn two lines.\n"""\n{rest}')
    forget()
    assert (code_version(fit_predictor), code_version(write_report)) == before


def test_a_number_sign_within_a_string_is_code(sources: Path) -> None:
    path = sources / "training" / "fit_predictor.py"
    edited(path, '\nTEXT = """\n# one\n"""\n')
    before = code_version(fit_predictor)
    path.write_text(path.read_text().replace("# one", "# two"))
    forget()
    assert code_version(fit_predictor) != before


def test_data_files_count_for_those_who_read_them_and_their_cards_do_not(sources: Path) -> None:
    data = sources / "generate" / "templates" / "data"
    before = code_version(Ranker), code_version(fit_predictor)
    edited(data / "card.md")
    assert (code_version(Ranker), code_version(fit_predictor)) == before
    edited(data / "template_ranker.json", " ")
    assert code_version(Ranker) != before[0]
    assert code_version(fit_predictor) == before[1]


def test_of_the_first_module_only_what_is_used_counts(sources: Path) -> None:
    """Two functions side by side don't share what only one of them imports."""
    (sources / "pair.py").write_text(
        "from dao_core.crystal import Crystal\nfrom dao_core import elements as table\n\n"
        "def first():\n    return helper()\n\ndef helper():\n    return Crystal\n\n"
        "def second():\n    return table\n"
    )
    (sources / "started.py").write_text('COMMAND = ["python", "-m", "dao_core.crystal"]\n')  # a program of its own
    assert module._imports_of("dao_core.started", None) == {"dao_core.crystal"}
    assert module._imports_of("dao_core.pair", "first") == {"dao_core.crystal"}
    assert module._imports_of("dao_core.pair", "second") == {"dao_core.elements"}
    assert module._imports_of("dao_core.pair", None) == {"dao_core.crystal", "dao_core.elements"}


def test_it_is_the_same_in_another_process_and_in_any_order() -> None:
    code = (
        "from dao_core.code_version import code_version; from dao_core.training.fit_predictor import fit_predictor;"
        "from dao_core.crystal import Crystal; print(code_version(Crystal, fit_predictor))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    from dao_core.crystal import Crystal

    assert done.stdout.strip() == code_version(fit_predictor, Crystal)


@pytest.mark.parametrize("target", [shutil.copytree, pytest, Path])
def test_other_code_has_no_version(target: object) -> None:
    with pytest.raises(ValueError, match="only code of dao_core has a version"):
        code_version(target)  # type: ignore[arg-type]
