"""`relaxed.csv` of `dao relax`: which structure ended how, with an energy of which model at which pressure.

Several runs may share a folder, so that each row says what made its energy: those of two models, or formation energies
and total ones, have nothing in common.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Collection, Iterable, Mapping
from pathlib import Path

from flows.cli.errors import fail

TABLE = "relaxed.csv"
SHOWN = ("file", "status", "energy_per_atom", "steps", "fmax", "reason", "result")  # in the terminal
MADE_BY = ("energy_identity", "energy_kind", "pressure_gpa")  # versions before 2026-12 wrote tables without these
COLUMNS = (*SHOWN, *MADE_BY)
OWN = {"file", "status", "energy_per_atom"}  # columns of the tables of every version
UNFINISHED = "interrupted"
RowOfTable = Mapping[str, object]


def earlier_rows(out: Path) -> list[dict[str, str]]:
    """Rows that earlier runs left in a folder.

    Ends with one line where the table there can't be read or is somebody else's: it would be lost at the end.

    Args:
        out: Folder of the results.

    Returns:
        Text by column; a column that the version which wrote the row didn't know is empty.
    """
    path = out / TABLE
    if not path.exists() and not path.is_symlink():
        return []
    try:
        reader = csv.DictReader(io.StringIO(path.read_text(encoding="utf-8-sig"), newline=""))
        rows = [{name: row.get(name) or "" for name in COLUMNS} for row in reader]
        own = set(reader.fieldnames or ()) >= OWN
    except (OSError, UnicodeDecodeError, csv.Error):
        own = False
    if not own:
        fail(f"{path} is no table of `dao relax`, or was changed: move it away, or name another folder with --out")
    return rows


def kept_rows(out: Path, anew: Collection[str]) -> list[dict[str, str]]:
    """Rows of earlier runs whose results are still there.

    Args:
        out: Folder of the results.
        anew: Results that are written anew.
    """
    rows = [row for row in earlier_rows(out) if row["result"] and row["result"] not in anew]
    return [row for row in rows if (out / row["result"]).is_file()]


def write_table(out: Path, rows: Iterable[RowOfTable]) -> None:
    """Replace the table of a folder."""
    from dao_core.artifacts import write_atomic

    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS)
    writer.writeheader()
    writer.writerows(rows)
    write_atomic(out / TABLE, text.getvalue())


def unfinished(row: RowOfTable) -> RowOfTable:
    """What stands in a row until its result is written: after a kill in between, the table still knows every result."""
    reason = "the run ended before all of its results were written: run it again"
    return {"file": row["file"], "status": UNFINISHED, "reason": reason, "result": row["result"]}


def mixed_note(rows: Iterable[RowOfTable]) -> str | None:
    """Which energies of a table may be compared, where that isn't all of them."""
    with_energy = [row for row in rows if row["energy_per_atom"] not in (None, "")]
    made_by = {tuple("" if row[name] is None else str(row[name]) for name in MADE_BY) for row in with_energy}
    if len(made_by) < 2:
        return None
    unnamed = "; a row without them is of an earlier version of dao" if any(not made[0] for made in made_by) else ""
    return (
        f"{TABLE} holds energies of several runs: compare only rows with the same {', '.join(MADE_BY[:-1])} and "
        f"{MADE_BY[-1]}{unnamed}"
    )


def readable(text: str) -> str:
    r"""A text that can be written as UTF-8: the bytes of a file's name that are none are spelled as in `\xe9`."""
    return text.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
