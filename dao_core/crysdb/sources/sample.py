"""The source `sample`: the structures that ship with the package (`dao_core/crysdb/data/sample.parquet`)."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

from dao_core.artifacts import file_sha256
from dao_core.crysdb.sources.base import SourceError
from dao_core.crysdb.sources.guards import check_file
from dao_core.crysdb.sources.records import RecordsSource


def sample_path() -> Path:
    """Where the installed package keeps the sample."""
    return Path(str(files("dao_core.crysdb") / "data" / "sample.parquet"))


class SampleSource(RecordsSource):
    """Rows of the embedded sample; see `sample_card.md` beside it.

    Raises SourceError when the file is missing or damaged, or differs from the SHA-256 that ships beside it.
    """

    def __init__(self, path: Path | None = None) -> None:
        path = sample_path() if path is None else path
        check_file(path)
        _check_sha256(path)
        super().__init__(path)


def _check_sha256(path: Path) -> None:
    """Compare the file's hash with the one in `<name>.sha256`. Raises SourceError."""
    beside = path.with_name(f"{path.name}.sha256")
    try:
        expected = beside.read_text().split()[0]
    except (OSError, IndexError) as error:
        raise SourceError(f"{beside} is missing or empty ({error}): reinstall the package") from error
    if file_sha256(path) != expected:
        raise SourceError(f"{path} is not the sample that was shipped (SHA-256 differs): reinstall the package")
