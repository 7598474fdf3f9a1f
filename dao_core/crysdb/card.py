"""The data card: what is in a version, where it comes from, under which licence, and how it is distributed."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from dao_core.artifacts import write_atomic
from dao_core.crysdb.table import CrysTable
from dao_core.elements import SYMBOLS
from dao_core.units import STABLE_BELOW

if TYPE_CHECKING:
    from matplotlib.axes import Axes

CITATIONS = {
    "materials_project": "A. Jain et al., APL Materials 1, 011002 (2013)",
    "oqmd": "S. Kirklin et al., npj Computational Materials 1, 15010 (2015)",
    "wbm": "H.-C. Wang, S. Botti, M. A. L. Marques, npj Computational Materials 7, 12 (2021)",
    "sample": "this project, energies by CHGNet: B. Deng et al., Nature Machine Intelligence 5, 1031 (2023)",
}


class _Numbers:
    """Distributions of a version, gathered in one pass."""

    def __init__(self, table: CrysTable) -> None:
        self.n_rows = 0
        self.sources: Counter[tuple[str, str, str | None]] = Counter()
        self.elements: Counter[int] = Counter()
        self.sizes: Counter[int] = Counter()
        self.kinds: Counter[int] = Counter()
        self.groups: Counter[int] = Counter()
        self.above: list[np.ndarray] = []
        self.formation: list[np.ndarray] = []
        self.duplicates = 0
        names = ["source", "functional", "license", "n_atoms", "atomic_numbers", "spacegroup_number", "duplicate_of",
                 "e_above_hull", "formation_energy_per_atom"]  # fmt: skip
        for part in table.batches(names):
            self._add(part)

    def _add(self, part: Any) -> None:
        self.n_rows += part.num_rows
        self.sources.update(zip(*(part[c].to_pylist() for c in ("source", "functional", "license")), strict=True))
        sizes = np.asarray(part["n_atoms"]).astype(np.int64)
        numbers = np.asarray(part["atomic_numbers"].combine_chunks().flatten()).astype(np.int64)
        pairs = np.unique(np.stack([np.repeat(np.arange(len(sizes)), sizes), numbers]), axis=1)
        self.elements.update(pairs[1].tolist())
        self.kinds.update(np.bincount(pairs[0], minlength=len(sizes)).tolist())
        self.sizes.update(sizes.tolist())
        self.groups.update(g for g in part["spacegroup_number"].to_pylist() if g is not None)
        self.duplicates += part.num_rows - part["duplicate_of"].null_count
        for name, into in (("e_above_hull", self.above), ("formation_energy_per_atom", self.formation)):
            values = np.asarray(part[name].combine_chunks().to_numpy(zero_copy_only=False), dtype=np.float64)
            into.append(values[np.isfinite(values)])


def write_card(root: str | Path, out: str | Path) -> Path:
    """Write the data card.

    Args:
        root: Folder of the database.
        out: Folder that gets `card.md` and `distributions.png`.

    Returns:
        Path of the card.

    Raises:
        TableError: There is no table.
    """
    root, out = Path(root), Path(out)
    table = CrysTable(root / "table")
    numbers = _Numbers(table)
    facts = table.facts()
    report = _report_of(root, table.version)
    out.mkdir(parents=True, exist_ok=True)
    _plot(numbers, out / "distributions.png")
    lines = [
        f"# CrysDB, version {table.version}",
        "",
        f"{numbers.n_rows} structures, {numbers.duplicates} of them duplicates of another row. "
        f"Content hash `{facts.get('content_hash', 'unknown')}`.",
        "",
        "![distributions](distributions.png)",
        "",
        *_source_lines(numbers, facts),
        *_report_lines(report),
        *_view_lines(facts),
        "## How energies are handled",
        "",
        "One convex hull for each source and functional; total energies are compared with the source's correction added"
        " where it gives one, and raw and corrected energies never share a hull. A row has no hull distance where a"
        " terminal element has no reference; of formation energies an element without a row of its own stands at its"
        " definition, zero, where the source's own hull distances are there to compare with. Rows that a source"
        " doesn't give make a hull too high and its distances too small, so stable"
        f" means at most {STABLE_BELOW:g} eV/atom above our hull and above the source's own, where it has one.",
        "",
        *_hull_lines(facts, report),
        "",
    ]
    path = out / "card.md"
    write_atomic(path, "\n".join(lines))
    return path


def _report_of(root: Path, version: int) -> dict[str, Any]:
    """The build's own report, if it is of this version."""
    path = root / "report.json"
    report: dict[str, Any] = json.loads(path.read_text()) if path.is_file() else {}
    return report if report.get("version") == version else {}


def _table(head: list[str], rows: list[list[Any]]) -> list[str]:
    cells = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(str(c) for c in row) + " |" for row in cells] + [""]


def _source_lines(numbers: _Numbers, facts: dict[str, Any]) -> list[str]:
    rows = []
    for (source, functional, license_), count in sorted(numbers.sources.items(), key=lambda kv: -kv[1]):
        counts = facts.get("sources", {}).get(source, {})
        rows.append(
            [
                source,
                counts.get("version") or "-",
                functional,
                count,
                license_ or "not stated",
                CITATIONS.get(source, "-"),
            ]
        )
    return ["## Sources", "", *_table(["source", "version", "functional", "rows", "licence", "cite"], rows)]


def _report_lines(report: dict[str, Any]) -> list[str]:
    if not report:
        return []
    names = ("n_in", "n_refused", "n_dropped", "n_published")
    rows = [[s, *(v[n] for n in names)] for s, v in report["sources"].items()]
    out = ["## Accounts", "", *_table(["source", "in", "refused", "dropped", "published"], rows)]
    reasons = [
        *((r, n, "refused") for r, n in report["refused"].items()),
        *((r, n, "dropped") for r, n in report["dropped"].items()),
    ]
    out += _table(["reason", "rows", "what"], [[r, n, w] for r, n, w in reasons[:25]])
    if report["agreement"]:
        rows = [
            [s, v["n"], f"{v['median']:.4f}", f"{v['p95']:.4f}", f"{v['max']:.3f}"]
            for s, v in report["agreement"].items()
        ]
        out += ["## Our hull distance against the source's own (eV/atom, absolute difference)", ""]
        out += _table(["source", "rows", "median", "95 %", "largest"], rows)
    if report["leaks"]:
        head = ["benchmark", "test entries", "rows: same structure", "polymorph", "prototype family"]
        rows = [
            [b["benchmark"], b["test_entries"], b["rows_structure"], b["rows_polymorph"], b["rows_prototype"]]
            for b in report["leaks"]
        ]
        out += ["## Leak audit", "", *_table(head, rows)]
        out += ["Test entries that can be reached from this table, by the strongest likeness:", ""]
        head = ["benchmark", "same structure", "same composition", "of these another polymorph only", "family only",
                "out of reach"]  # fmt: skip
        out += _table(head, [[name, *_reach_cells(reach)] for name, reach in report["reach"].items()])
    return out


def _reach_cells(reach: dict[str, int]) -> list[str]:
    same, other, family, none = (reach[k] for k in ("structure", "polymorph", "prototype", "none"))
    total = max(1, same + other + family + none)
    return [f"{n} ({100 * n / total:.1f} %)" for n in (same, same + other, other, family, none)]


def _hull_lines(facts: dict[str, Any], report: dict[str, Any]) -> list[str]:
    assumed = report.get("hull", {}).get("elements_at_zero", {})
    counts = {name: f"; taken at zero: {' '.join(symbols)}" for name, symbols in assumed.items()}
    return [f"- hull `{name}`{counts.get(name, '')}" for name in facts.get("hulls", [])]


def _view_lines(facts: dict[str, Any]) -> list[str]:
    rows = [[name, count] for name, count in facts.get("views", {}).items()]
    return ["## Views", "", *_table(["view / leak level", "rows"], rows)] if rows else []


def _plot(numbers: _Numbers, path: Path) -> None:
    from matplotlib.figure import Figure

    figure = Figure(figsize=(12, 7), layout="constrained")
    axes = figure.subplots(2, 3).ravel()
    _bars(axes[0], numbers.sizes, "atoms in the cell")
    _bars(axes[1], numbers.kinds, "elements in a structure")
    _bars(axes[2], numbers.groups, "space group number")
    _histogram(axes[3], np.concatenate([*numbers.above, np.zeros(0)]), "energy above the hull (eV/atom)")
    _histogram(axes[4], np.concatenate([*numbers.formation, np.zeros(0)]), "formation energy (eV/atom)")
    common = numbers.elements.most_common(20)
    axes[5].bar([SYMBOLS[z] for z, _ in common], [n for _, n in common])
    axes[5].set_xlabel("most frequent elements")
    axes[5].tick_params(axis="x", labelsize=7)
    for axis in axes:
        axis.set_ylabel("structures")
    figure.savefig(path, dpi=110)


def _bars(axis: Axes, counts: Counter[int], label: str) -> None:
    from matplotlib.ticker import MaxNLocator

    axis.bar(list(counts), list(counts.values()), width=0.9 if len(counts) < 40 else 1.0)
    axis.set_xlabel(label)
    axis.xaxis.set_major_locator(MaxNLocator(integer=True))


def _histogram(axis: Axes, values: np.ndarray, label: str) -> None:
    if len(values):
        low, high = np.percentile(values, [0.5, 99.5])
        axis.hist(values, bins=60, range=(low, high if high > low else low + 1.0))
    else:
        axis.text(0.5, 0.5, "no values", ha="center", transform=axis.transAxes)
    axis.set_xlabel(label)
