"""Hostile text in every field a user can fill, through page, files, export and query: nothing runs, all comes back.

python benchmarks/hostile_text.py [--record]
Runs the tests that plant it (the page needs Chromium) and counts them; a skipped one counts as not right.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import xml.etree.ElementTree as ET
from pathlib import Path

from bars import machine, record_bar

ROOT = Path(__file__).resolve().parents[1]
FILES = ("tests/browser/test_report.py", "tests/crysdb/test_export.py", "tests/crysdb/test_query.py",
         "tests/readers/test_names.py", "tests/tasks/test_secrets.py")  # fmt: skip
CHOSEN = "markup or any_id or value or planted or control or distinct"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--record", action="store_true", help="append the row to results/bars.jsonl")
    args = parser.parse_args()
    files = [name for name in FILES if (ROOT / name).exists()]
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        command = [sys.executable, "-m", "pytest", "-q", f"--junitxml={report}", "-k", CHOSEN, *files]
        subprocess.run(command, cwd=ROOT, check=False)
        cases = ET.parse(report).getroot().findall(".//testcase")
    wrong = [f"{c.get('classname')}.{c.get('name')}" for c in cases if len(c.findall("*")) > 0]
    figure = {"right": len(cases) - len(wrong), "of": len(cases), "wrong": wrong}
    if args.record:
        record_bar(issue="faults", row=5, what="tests that plant hostile text in page, export, query, settings: right",
                   value=figure["right"], bar="all", met=bool(cases) and not wrong, n=len(cases), interval=None,
                   command="python benchmarks/hostile_text.py", seed=None)  # fmt: skip
    print(json.dumps({"figure": figure, "n": len(cases), "seed": None, "machine": machine()}))


if __name__ == "__main__":
    main()
