"""The ten searches of docs/gallery.md and the pictures of their pages.

python infra/make_gallery.py --work runs/gallery
Each is `dao predict FORMULA --budget 90 --out runs/gallery/FORMULA`; what is there already is not searched again. The
page of each is drawn by Chromium, 768 x 600, into docs/images/gallery. Prints the three first candidates of each.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from PIL import Image

ROOT = Path(__file__).resolve().parents[1]
PICTURES = ROOT / "docs" / "images" / "gallery"
FORMULAS = ("SrTiO3", "Si", "TiO2", "LiFePO4", "MoS2", "GaN", "CaCO3", "Cs2AgBiBr6", "SiO2", "MgB2")
SIZE, DRAWN = (768, 600), (1280, 1000)  # of the picture, and of the window


def search(formula: str, folder: Path, budget: int) -> None:
    """One search, kept as JSON beside its page."""
    command = [
        sys.executable,
        "-m",
        "flows.cli.main",
        "predict",
        formula,
        "--budget",
        str(budget),
        "--out",
        str(folder),
        "--json",
    ]
    done = subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT)
    (folder / "answer.json").write_text(done.stdout)
    (folder / "notes.txt").write_text(done.stderr)


def draw(page: Path, picture: Path) -> None:
    """The upper part of a page as a picture."""
    with tempfile.TemporaryDirectory() as temporary:
        drawn = Path(temporary) / "page.png"
        subprocess.run(
            ["chromium", "--headless", "--no-sandbox", "--hide-scrollbars", f"--window-size={DRAWN[0]},{DRAWN[1]}",
             "--use-gl=angle", "--use-angle=swiftshader", "--enable-unsafe-swiftshader", "--virtual-time-budget=8000",
             f"--screenshot={drawn}", page.resolve().as_uri()], check=True, capture_output=True, timeout=180,
        )  # fmt: skip
        Image.open(drawn).convert("RGB").resize(SIZE, Image.Resampling.LANCZOS).save(picture, quality=80)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--work", type=Path, required=True)
    parser.add_argument("--budget", type=int, default=90)
    args = parser.parse_args()
    args.work.mkdir(parents=True, exist_ok=True)
    PICTURES.mkdir(parents=True, exist_ok=True)
    for formula in FORMULAS:
        folder = args.work.resolve() / formula
        if not (folder / "answer.json").exists():
            search(formula, folder, args.budget)
        draw(folder / "index.html", PICTURES / f"{formula}.webp")
        rows = json.loads((folder / "answer.json").read_text())["tables"][-1]["rows"][:4]
        keys = ("spacegroup_after", "probability", "energy_per_atom", "e_above_hull", "relaxation_status", "origin")
        print(formula, *([row.get(k) for k in keys] for row in rows), sep="\n  ")
        print("  " + (folder / "notes.txt").read_text().strip().replace("\n", "\n  ")[-500:])
        print(f"  load {os.getloadavg()[0]:.1f}", flush=True)


if __name__ == "__main__":
    main()
