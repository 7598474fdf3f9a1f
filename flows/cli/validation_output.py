"""What a validation leaves beside its table: sentences and numbers, pages of reports, a record of provenance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from flows.cli.errors import fail

if TYPE_CHECKING:
    from dao_core.dft.properties import Properties
    from dao_core.dft.validate import ValidationResult


def show_in_pages(parts: Sequence[Path], pages: Sequence[Path]) -> None:
    """Put what was computed into the pages of the reports that the structures came from.

    Args:
        parts: Files of what a page shows, one a candidate; those that could not be validated say why.
        pages: Of the reports.
    """
    import json

    from dao_core.screening.report.first_principles import show_first_principles
    from dao_core.screening.report.page import read_data

    kept = [json.loads(path.read_text()) for path in parts]
    validated = {entry["id"] for entry in kept if entry["record"]["status"] == "validated"}
    for page in pages:
        if n := show_first_principles(page, parts):
            n_ok = sum(row["id"] in validated for row in read_data(page)["candidates"])
            said = [f"{n_ok} of its candidates show what pw.x says"] if n_ok else []
            said += [f"{n - n_ok} of its candidates say why they could not be validated"] if n > n_ok else []
            print(f"{page}: {', '.join(said)}")


def print_properties(name: str, root: Path, result: ValidationResult, properties: Properties) -> None:
    """Print a sentence for each property, keep the numbers of the plots beside the ledger, say what each took.

    Args:
        name: Of the structure, for people.
        root: Folder where every calculation is kept.
        result: Of the validation.
        properties: What was computed.
    """
    import json
    import re

    from dao_core.artifacts import plain, write_atomic

    for sentence in properties.sentences:
        print(f"{name}: {sentence}")
    folder = root / "properties"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{re.sub(r'[^A-Za-z0-9_.-]+', '_', result.material_id or result.formula)}_{result.key[:8]}.json"
    write_atomic(path, json.dumps(plain(list(properties.sections))))
    cost = ", ".join(f"{stage} {seconds:.0f} s" for stage, seconds in properties.seconds.items())
    print(f"{name}: the numbers are in {path}" + (f"; {cost}" if cost else ""))


def pages_of(files: Sequence[Path]) -> tuple[Path, ...]:
    """The pages of those files that are reports of a screening."""
    folders = [path if path.is_dir() else path.parent for path in files if path.is_dir() or path.suffix == ".parquet"]
    return tuple(folder / "index.html" for folder in dict.fromkeys(folders) if (folder / "index.html").is_file())


def export_provenance(root: Path, out: Path, candidates: Sequence[Path]) -> None:
    """Write the record of a folder of validations; says so where there is none.

    Args:
        root: Folder of the validations.
        out: File to write.
        candidates: `candidates.parquet` of the screenings that the structures came from.

    Raises:
        CandidatesError: One of these is no such table.
    """
    import json

    from dao_core.artifacts import Ledger, write_atomic
    from dao_core.dft.provenance import candidate_rows, provenance

    for path in (*candidates, out.parent):
        if not path.exists():
            fail(f"{path} is not there: correct the path")
    record = provenance(Ledger(root), candidate_rows(candidates))
    n = sum(node["@type"] == "CreateAction" for node in record["@graph"])
    if not n:
        fail(f"nothing has been validated below {root}: name the folder that `dao validate run --root` was given")
    write_atomic(out, json.dumps(record, indent=1, default=str))
    print(f"{n} calculations, {len(record['@graph'])} nodes: {out}")
