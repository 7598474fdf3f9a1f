"""Every row of the table of pw.x failures through a fake pw.x: survived, accepted with a word, or lost.

python benchmarks/qe_faults.py [--record]

A row is survived when the calculation ends with an energy after the failure was named and repaired, and lost when
it ends without one or without the files of every run. A failure that has a repair and no row is lost too. Needs
neither pw.x nor pseudopotentials.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import tempfile
from dataclasses import replace
from pathlib import Path

from dao_core.artifacts import Ledger, file_sha256
from dao_core.dft.calculation import RunLimits, calculate
from dao_core.dft.launch.base import Launcher
from dao_core.dft.launch.local import LocalLauncher
from dao_core.dft.launch.slurm import SlurmLauncher, SlurmSettings
from dao_core.dft.pseudo.library import find_library
from dao_core.dft.pw.build import build_input
from dao_core.dft.pw.input import PwInput
from dao_core.dft.pw.result import PwResult
from dao_core.dft.repair.failures import FAILURES
from dao_core.dft.settings import DftSettings

sys.path.insert(0, str(Path(__file__).resolve().parent))
from bars import machine
from qe_common import cubic, record

INFRA = Path(__file__).resolve().parents[1] / "infra"
FAKE = INFRA / "fake_qe" / "pw.x"
WITHOUT_REPAIR = ("pw_missing", "disk_full", "crashed")  # they end with their own name: tests/faults/test_qe_replay.py
UPF = (
    '<UPF version="2.0.1">\n<PP_HEADER element="Si" pseudo_type="NC" relativistic="scalar" has_so="F"'
    ' functional="PBE" z_valence="4.00"/>\n</UPF>\n'
)
# exit codes of the table: (calculation, failures in sequence)
ROWS: dict[str, tuple[str, list[str]]] = {
    "0 top band occupied": ("scf", ["top_band_occupied"]),
    "monitor: SCF stuck in relax": ("vc-relax", ["scf_stuck"]),
    "520/521 BFGS history, vc-relax": ("vc-relax", ["bfgs_history", "bfgs_history"]),
    "520/521 BFGS history, relax": ("relax", ["bfgs_history"]),
    "520/521 but converged": ("vc-relax", ["bfgs_history_converged"]),
    "462 Cholesky": ("scf", ["cholesky"]),
    "463 too many bands": ("scf", ["too_many_bands"]),
    "464 S not positive definite": ("scf", ["s_matrix"]),
    "465 zhegvd": ("scf", ["zhegvd"]),
    "466 QR": ("scf", ["qr"]),
    "467 eigenvectors": ("scf", ["eigenvectors"]),
    "468 Broyden": ("scf", ["broyden"]),
    "400 max_seconds": ("vc-relax", ["max_seconds"]),
    "400 stopped in forces": ("scf", ["stopped_in_forces"]),
    "503 interrupted": ("vc-relax", ["interrupted"]),
    "501 final SCF thresholds": ("vc-relax", ["final_scf_thresholds"]),
    "500/502 nstep": ("vc-relax", ["nstep"]),
    "542 radial FFT": ("vc-relax", ["radial_fft"]),
    "510 SCF in relax": ("vc-relax", ["scf_in_relax"]),
    "511 final SCF": ("vc-relax", ["scf_in_final"]),
    "710 unconverged allowed": ("scf-allowed", ["scf_unconverged_allowed"]),
    "410 SCF not converged": ("scf", ["scf_not_converged"] * 3),
    "340 killed at wall time": ("vc-relax", ["killed_at_walltime"]),
    "350 unreadable": ("scf", ["unreadable"]),
    "360 no valid G-vector": ("scf-parallel", ["no_g_vector"]),
    "461 dexx negative": ("scf", ["dexx_negative"]),
    "481 too many pools": ("scf-parallel", ["too_many_pools"]),
    "531 charge wrong, insulator": ("scf-insulator", ["charge_wrong"]),
    "531 charge wrong, metal": ("scf", ["charge_wrong"]),
    "541 symmetry broken": ("vc-relax", ["symmetry_broken", "symmetry_broken"]),
    "301-322 no files": ("scf", ["no_output"]),
    "scheduler: killed for memory": ("vc-relax", ["out_of_memory", "out_of_memory"]),
    "hanging": ("scf", ["hanging"]),
    "bands overlap, insulator": ("scf-insulator", ["bands_overlap"]),
    "smearing stalls, gap": ("scf", ["smearing_stalls", "filled_bands"]),
    "smearing stalls, metal": ("scf", ["smearing_stalls", "crossing_bands"]),
    "stars in the energy": ("vc-relax", ["stars_in_energy"]),
    "NaN in the forces": ("scf", ["nan_in_forces"]),
    "stars in the stress": ("scf", ["stars_in_stress"]),
    "work folder removed": ("vc-relax", ["folder_removed"]),
    "100-119 scheduler": ("scf-slurm", ["NODE_FAIL"]),  # what the fake Slurm says; pw.x is good
    "four different ones": ("vc-relax", ["interrupted", "cholesky", "radial_fft", "nstep"]),
}


def library_folder(root: Path) -> Path:
    """A header-only pseudopotential: the fake computes nothing."""
    folder = root / "pseudo"
    folder.mkdir()
    (folder / "Si.upf").write_text(UPF)
    row = {"sha256": file_sha256(folder / "Si.upf"), "cutoff_hartree": [14, 18, 24]}
    listing = {"name": "fake", "version": "1", "functional": "PBE", "elements": {"Si": row}}
    (folder / "library.json").write_text(json.dumps(listing))
    return folder


def prepared(kind: str, settings: DftSettings) -> PwInput:
    """Input of a row's kind of calculation."""
    library = find_library(settings.pseudo_dir)
    if kind == "scf-insulator":
        return build_input(
            cubic("Si", 5.43), library, settings.model_copy(update={"electronic_type": "insulator"}), "scf"
        )
    calculation = "scf" if kind.startswith("scf") else kind
    pw_input = build_input(cubic("Si", 5.43), library, settings, calculation)  # type: ignore[arg-type]
    if kind == "scf-allowed":
        return pw_input.with_values("electrons", scf_must_converge=False)
    return replace(pw_input, ranks=2, pools=2) if kind == "scf-parallel" else pw_input


def run_row(name: str, root: Path, folder: Path) -> PwResult:
    """One row through the fake."""
    kind, failures = ROWS[name]
    plan = root / f"{abs(hash(name))}.plan"
    on_slurm = kind == "scf-slurm"
    plan.write_text("" if on_slurm else "\n".join(failures))
    os.environ["FAKE_QE_PLAN"] = str(plan)
    settings = DftSettings(
        command=f"{sys.executable} -I -S {FAKE}", pseudo_dir=folder, mpi_command="env", min_free_bytes=0,
        wall_seconds=10.0 if "killed_at_walltime" in failures else 3600.0,
        stall_seconds=10.0 if "hanging" in failures else None,
    )  # fmt: skip
    monitor = 0.1 if "scf_stuck" in failures else 60.0
    launcher: Launcher = LocalLauncher(settings, poll_seconds=0.05, monitor_seconds=monitor)
    if on_slurm:
        launcher = fake_slurm(settings, root / "slurm", failures)
    return calculate(prepared(kind, settings), launcher, Ledger(root / plan.stem), RunLimits(sleep=lambda _: None))


def fake_slurm(settings: DftSettings, folder: Path, words: list[str]) -> SlurmLauncher:
    """A Slurm of one folder that answers the submissions with these words, then well."""
    folder.mkdir()
    (folder / "plan").write_text("\n".join(words))
    os.environ["FAKE_SLURM_DIR"] = str(folder)
    names = ("sbatch", "squeue", "sacct", "scancel")
    commands = {name: f"{sys.executable} -I -S {INFRA / 'fake_slurm' / name}" for name in names}
    return SlurmLauncher(settings, SlurmSettings(poll_seconds=0.1, **commands))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--record", action="store_true", help="append to benchmarks/results/bars.jsonl")
    args = parser.parse_args()
    survived, lost = [], []
    named: set[str] = set()
    with tempfile.TemporaryDirectory(prefix="dao-faults-") as temporary:
        root = Path(temporary)
        folder = library_folder(root)
        for name in ROWS:
            result = run_row(name, root, folder)
            repairs = ", ".join(a.handler for a in result.actions)
            print(f"{name:34s} {result.status:9s} {result.rounds} runs  {repairs}")
            named |= {a.failure for a in result.actions}
            removed = ROWS[name][1].count("folder_removed")
            kept = len(list(Path(result.directory).glob("round_*/input.json"))) >= result.rounds - removed
            (survived if result.ok and kept and result.actions else lost).append(name)
    lost += [f"no row for {f.name}" for f in FAILURES if f.name not in (*named, *WITHOUT_REPAIR)]
    line = {
        "row": 4, "what": "rows of the table of pw.x failures survived in fake runs [survived, rows]",
        "value": [len(survived), len(ROWS)], "bar": "all rows, none lost", "met": not lost, "n": len(ROWS),
        "n_failed": len(lost), "reasons": lost, "interval": "exact",
        "command": "python benchmarks/qe_faults.py --record", "seed": None, "machine": machine(),
    }  # fmt: skip
    if args.record:
        record(**line)
    else:
        print(json.dumps(line))
    return 1 if lost else 0


if __name__ == "__main__":
    sys.exit(main())
