"""`dao benchmark`: the structure prediction benchmarks, and the scripts of the checkout's `benchmarks/`."""

from __future__ import annotations

import argparse
import ast
import json
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table
from flows.cli.errors import fail, interruptible

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SETS = ("mp-20", "mpts-52", "perov-5", "carbon-24")


def run_benchmark(name: str | None, arguments: Sequence[str]) -> int:
    """List the benchmarks, or run one and return its status."""
    if name in SETS:
        return run_set(str(name), arguments)
    scripts = {p.stem: p for p in sorted(FOLDER.glob("*.py")) if '__name__ == "__main__"' in p.read_text()}
    if name is None:
        rows = [(s, "match rate, RMSE, METRe and hard cases on a published split") for s in SETS]
        rows += [(stem, _headline(path)) for stem, path in scripts.items()]
        table("benchmarks", ("name", "what"), rows)
        return 0
    if not scripts:
        fail(f"no benchmarks at {FOLDER}: they belong to a checkout, not to an installed package")
    if name not in scripts:
        fail(f"no benchmark {name!r}: use one of {', '.join((*SETS, *scripts))}")
    return subprocess.run([sys.executable, str(scripts[name]), *arguments], check=False).returncode


def _headline(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def _numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def _options(name: str, arguments: Sequence[str]) -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog=f"dao benchmark {name}",
        description="Match rate and RMSE of predictions for the test half, by column; finished shards are kept.",
        formatter_class=argparse.ArgumentDefaultsHelpFormatter,
    )
    parser.add_argument("--data", type=Path, default=Path("../shared/data"), help="folder with the splits")
    parser.add_argument(
        "--columns",
        default="templates,denovo,seeded",
        help="templates alone, denovo, seeded; also: mixed, ranked, baseline",
    )
    parser.add_argument("--k", type=int, default=20, help="predictions of each target")
    parser.add_argument("--seeds", type=_numbers, default="0,1,2", help="of sampling; the match rate is their mean")
    parser.add_argument(
        "--steps",
        type=int,
        help="network evaluations of a flow sample, such as 25, 50 or 100; unless given, the checkpoint's",
    )
    parser.add_argument("--limit", type=int, default=0, help="random targets; 0: all")
    parser.add_argument("--generator", default="generator", help="DAO-G checkpoint: a name or a folder")
    parser.add_argument("--baseline", help="checkpoint of column baseline, such as cspnet trained by diffusion")
    parser.add_argument(
        "--potential", default="dao", help="relaxes and ranks in column ranked: dao, chgnet or a folder"
    )
    parser.add_argument(
        "--templates", default="train", choices=("train", "shipped"), help="of the training split, or those that ship"
    )
    parser.add_argument("--root", type=Path, default=Path("runs/benchmark"), help="finished shards are kept here")
    return parser.parse_args(arguments)


def run_set(name: str, arguments: Sequence[str]) -> int:
    """One published benchmark in this process, shard by shard through the ledger; the last line printed is JSON.

    Raises BenchmarkDataError, CheckpointError.
    """
    options = _options(name, arguments)
    columns = tuple(options.columns.split(","))
    if "baseline" in columns and options.baseline is None:
        fail("column baseline needs --baseline CHECKPOINT")
    quiet_libraries()
    import torch

    from dao_core.studies.csp_benchmark import BenchmarkSettings
    from tasks.benchmark import REPORT, Names, index_stage, models_used, report_stage, shard_stage, works

    torch.set_num_threads(1)
    seeds = options.seeds
    settings = BenchmarkSettings.model_validate(
        {"columns": columns, "k": options.k, "seeds": seeds, "limit": options.limit, "steps": options.steps}
    )
    names = Names(options.generator, options.baseline, options.potential, options.templates)
    root = str(options.root)
    with interruptible("the same command continues with the next shard"):
        models_used(names, settings)  # a wrong name is told before the index is built
        pieces = works(options.data, name, settings)
        index = index_stage(options.data, name, root)
        done = []
        for i, piece in enumerate(pieces, start=1):
            done.append(shard_stage(piece, options.data, name, index, names, settings, root))
            print(f"{i}/{len(pieces)}: {piece.column}, seed {piece.seed}, shard {piece.number + 1}", flush=True)
        record = report_stage(done, options.data, name, index, names, settings, root)
    report = json.loads(record.file(REPORT).read_text())
    show(report)
    print(json.dumps({"figure": figures(report), "n": report["n_asked"], "seed": seeds, "report": str(record.path)}))
    return 0


def show(report: dict[str, Any]) -> None:
    """The table of all columns and rows, the misses and the coverage."""
    lines = []
    for column, found in report["columns"].items():
        for row, values in found["rows"].items():
            if row == "exact" and values["n"] == found["rows"]["all"]["n"]:
                continue
            first = next(iter(values["seeds"].values()))
            mean = values["mean_over_seeds"]
            lines.append(
                (
                    column, row, values["n"],
                    " / ".join(f"{m['match_rate']:.1f}" for m in mean.values()),
                    " / ".join(f"+-{(m['interval'][1] - m['interval'][0]) / 2:.1f}" for m in mean.values()),
                    " / ".join(f"{a['match_rate']:.1f}" for a in first["filtered"]),
                    " / ".join("-" if a["rmse"] is None else f"{a['rmse']:.4f}" for a in first["unfiltered"]),
                    None if first["metre"] is None else f"{first['metre']:.1f}",
                    None if first["metre_crmse"] is None else f"{first['metre_crmse']:.3f}",
                    f"{first['same_spacegroup']:.1f}", len(values["seeds"]), first["n_failed"],
                )
            )  # fmt: skip
    ks = "/".join(next(iter(next(iter(report["columns"].values()))["rows"].values()))["mean_over_seeds"])
    columns = ("column", "targets", "n", f"match rate % (k={ks})", "95 %", "filtered %", "RMSE", "METRe %", "cRMSE",
               "same space group %", "seeds", "failed")  # fmt: skip
    table(f"{report['benchmark']}: {report['n_asked']} of {report['of_split']['n_targets']} targets", columns, lines)
    print("match rates are means over the seeds with a bootstrap interval; all other figures are the first seed's")
    k = report["settings"]["k"]
    if k > 1 and report["settings"]["distinct"] and {"denovo", "baseline"} & set(report["columns"]):
        print(
            f"de novo, k = 1 is the structure drawn most often among {k} draws or more; published: --k 1, a single draw"
        )
    for column, found in report["columns"].items():
        first = next(iter(found["rows"]["all"]["seeds"].values()))
        print(f"{column} ({report['models'][column]}): misses {first['misses']}; coverage {found['coverage']}")


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Match rates of all targets by column, averaged over seeds."""
    return {
        column: {k: round(m["match_rate"], 2) for k, m in found["rows"]["all"]["mean_over_seeds"].items()}
        for column, found in report["columns"].items()
    }


def benchmark(
    context: typer.Context,
    name: Annotated[
        str | None,
        typer.Argument(help="mp-20, mpts-52, perov-5, carbon-24, or a script in benchmarks/; without it: the list."),
    ] = None,
) -> None:
    """Run a benchmark; options after the name go to it. The last line printed is JSON. Finished shards are kept.

    Examples:  dao benchmark mp-20 --help    dao benchmark mp-20 --data DATA --limit 100 --columns templates,denovo
    """
    if name in ("-h", "--help"):  # after a name it is the benchmark's own
        typer.echo(context.get_help())
        return
    raise typer.Exit(run_benchmark(name, context.args))
