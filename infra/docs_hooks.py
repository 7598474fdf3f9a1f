"""Pages of the documentation that are made while the site is built (mkdocs.yml: hooks): benchmarks, command line."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
BARS = ROOT / "benchmarks" / "results" / "bars.jsonl"
PAGE, COMMANDS = "benchmarks.md", "cli.md"
TITLES = {
    "first-light": "First light",
    "crysdb": "CrysDB",
    "generator": "DAO-G, the generator",
    "energy": "DAO-P, the energy model",
    "screening-dft": "Screening and Quantum ESPRESSO",
    "orchestration": "Orchestration",
    "studies": "Studies",
    "house": "The code base",
    "faults": "Faults and hostile input",
    "first-answer": "The first answer",
    "predictor": "DAO-P, the predictor",
    "dft": "First principles",
    "people": "Installing and using it",
}
INTRODUCTION = """# Benchmarks

Made from `benchmarks/results/bars.jsonl` when this site was built: the newest line of every bar. A bar is a number that
was set before anything was measured; one that was not reached says so, and a dash stands where there was no number to
reach. Every figure is repeated by its command.

{n_met} of {n} bars are met.
"""


def newest(path: Path = BARS) -> list[dict[str, Any]]:
    """The last line of each (issue, row), in the order of issues and rows. Raises ValueError on a damaged line."""
    lines: dict[tuple[str, str], dict[str, Any]] = {}
    for number, text in enumerate(path.read_text().splitlines(), start=1):
        if not text.strip():
            continue
        try:
            line = json.loads(text)
            lines[(line["issue"], str(line["row"]))] = line
        except (ValueError, KeyError) as error:
            raise ValueError(f"{path}:{number}: {error}") from error
    order = list(TITLES)
    return sorted(lines.values(), key=lambda x: (order.index(x["issue"]) if x["issue"] in order else 99, str(x["row"])))


def benchmark_page(lines: list[dict[str, Any]]) -> str:
    """The page as Markdown: one table an issue."""
    judged = [x for x in lines if x["met"] is not None]
    parts = [INTRODUCTION.format(n=len(judged), n_met=sum(bool(x["met"]) for x in judged))]
    for issue in dict.fromkeys(x["issue"] for x in lines):
        parts.append(f"\n## {TITLES.get(issue, issue)}\n")
        parts.append("| what | figure | bar | | n | interval |\n|---|---|---|---|---|---|")
        rows = [x for x in lines if x["issue"] == issue]
        parts += [_row(x) for x in rows]
        parts.append("")
        for x in rows:
            why = f" Not met: {_cell(x['why'])}." if not x["met"] and x.get("why") else ""
            where = f" {_cell(x['machine'])}." if x.get("machine") else ""
            parts.append(f"- `{x.get('command', '')}` ({x.get('date', '')}).{where}{why}")
    return "\n".join(parts) + "\n"


def command_page() -> str:
    """The page of the command line as Markdown: what `--help` says of every command."""
    write = [sys.executable, "-m", "typer", "flows.cli.main", "utils", "docs", "--name", "dao"]
    return subprocess.run(write, capture_output=True, text=True, check=True, cwd=ROOT).stdout


def _row(x: dict[str, Any]) -> str:
    met = "-" if x["met"] is None else "met" if x["met"] else "**not met**"
    cells = (x["what"], _figure(x["value"]), _figure(x["bar"]), met, x.get("n", ""), x.get("interval", ""))
    return "| " + " | ".join(_cell(c) for c in cells) + " |"


def _figure(value: Any) -> str:
    """Numbers with four significant digits; several with slashes, none as a dash."""
    if isinstance(value, list):
        return " / ".join(_figure(v) for v in value)
    if isinstance(value, dict):
        return ", ".join(f"{k}: {_figure(v)}" for k, v in value.items())
    if isinstance(value, float):
        return f"{value:.4g}"
    return "-" if value is None else str(value)


def _cell(value: Any) -> str:
    return str(value).replace("|", "\\|").replace("\n", " ")


def on_files(files: Any, config: Any) -> Any:
    """Add the pages; mkdocs calls this before it builds."""
    from mkdocs.structure.files import File

    files.append(File.generated(config, PAGE, content=benchmark_page(newest())))
    files.append(File.generated(config, COMMANDS, content=command_page()))
    return files
