"""`dao benchmark`: the structure prediction benchmarks, and the scripts of the checkout's `benchmarks/`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer
from typer.core import TyperGroup

from flows.cli.console import quiet_libraries, table
from flows.cli.errors import fail, interruptible

if TYPE_CHECKING:
    from tasks.benchmark import BenchmarkRun

FOLDER = Path(__file__).resolve().parents[2] / "benchmarks"
SETS = ("mp-20", "mpts-52", "perov-5", "carbon-24")
PASS_ON = {"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []}


class BenchmarkGroup(TyperGroup):
    """The published benchmarks are commands with options of their own; any other name is looked for as a script."""

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of this name. Ends the program with one line where there is none."""
        return super().get_command(ctx, cmd_name) or _script_command(cmd_name)


app = typer.Typer(cls=BenchmarkGroup, invoke_without_command=True, rich_markup_mode=None)


@app.callback()
def benchmark(context: typer.Context) -> None:
    """Run a benchmark by its name; without a name, list them. The last line printed is JSON.

    Finished parts are kept: after an interruption the same command continues.

    Examples:  dao benchmark mp-20 --help    dao benchmark mp-20 --data DATA --limit 100 --columns templates,denovo
    """
    if context.invoked_subcommand is None:
        rows = [(s, "match rate, RMSE, METRe and hard cases on a published split") for s in SETS]
        rows += [(stem, _headline(path)) for stem, path in _scripts().items()]
        table("benchmarks", ("name", "what"), rows)


def _scripts() -> dict[str, Path]:
    return {p.stem: p for p in sorted(FOLDER.glob("*.py")) if '__name__ == "__main__"' in p.read_text()}


def _headline(path: Path) -> str:
    import ast

    return (ast.get_docstring(ast.parse(path.read_text())) or "").partition("\n")[0]


def _script_command(name: str) -> Any:
    """A command that hands all its arguments to a script of the checkout."""
    scripts = _scripts()
    if not scripts:
        fail(f"no benchmarks at {FOLDER}: they belong to a checkout, not to an installed package")
    if name not in scripts:
        fail(f"no benchmark {name!r}: use one of {', '.join((*SETS, *scripts))}")
    single = typer.Typer(add_completion=False)

    @single.command(name, context_settings=PASS_ON)
    def run_script(context: typer.Context) -> None:
        import subprocess

        raise typer.Exit(subprocess.run([sys.executable, str(scripts[name]), *context.args], check=False).returncode)

    return typer.main.get_command(single)


def _seeds(text: str) -> tuple[int, ...]:
    try:
        return tuple(int(part) for part in text.split(","))
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no list of whole numbers such as 0,1,2") from None


def published(
    context: typer.Context,
    data: Annotated[Path, typer.Option(help="Folder that holds the benchmark's splits.")] = Path("../shared/data"),
    columns: Annotated[
        str, typer.Option(help="Methods to compare: templates, denovo, seeded, mixed, ranked, baseline.")
    ] = "templates,denovo,seeded",
    k: Annotated[int, typer.Option(help="Predictions for each target.")] = 20,
    seeds: Annotated[str, typer.Option(help="Random seeds of sampling; the match rate is their mean.")] = "0,1,2",
    steps: Annotated[
        int | None, typer.Option(help="Network evaluations for one sample; default: the checkpoint's.")
    ] = None,
    limit: Annotated[int, typer.Option(help="Number of targets, drawn at random; 0: all.")] = 0,
    generator: Annotated[str, typer.Option(help="DAO-G checkpoint, a name or a folder.")] = "generator",
    baseline: Annotated[
        str | None, typer.Option(help="Checkpoint for the column baseline, such as CSPNet trained by diffusion.")
    ] = None,
    potential: Annotated[str, typer.Option(help="Energy model for the column ranked, a name or a folder.")] = "dao",
    templates: Annotated[
        Literal["train", "shipped"], typer.Option(help="Templates from the training split, or the shipped ones.")
    ] = "train",
    root: Annotated[Path, typer.Option(help="Folder of the run, where finished parts are kept.")] = Path(
        "runs/benchmark"
    ),
) -> None:
    """Measure match rate and RMSE of the predictions for the test split, one column a method.

    Example:  dao benchmark perov-5 --data DATA --limit 100 --columns templates,denovo --seeds 0
    """
    names = tuple(columns.split(","))
    if "baseline" in names and baseline is None:
        fail("column baseline needs --baseline CHECKPOINT")
    from dao_core.studies.csp_benchmark import BenchmarkSettings
    from tasks.benchmark import BenchmarkRun, ModelNames

    settings = BenchmarkSettings.model_validate(
        {"columns": names, "k": k, "seeds": _seeds(seeds), "limit": limit, "steps": steps}
    )
    models = ModelNames(generator, baseline, potential, templates)
    run_published(BenchmarkRun(str(context.info_name), data, str(root), models, settings))


for _name in SETS:
    app.command(_name)(published)


def run_published(run: BenchmarkRun) -> None:
    """One published benchmark in this process, shard by shard through the ledger; the last line printed is JSON.

    Args:
        run: Benchmark, data, models and settings.

    Raises:
        BenchmarkDataError: A split is missing.
        CheckpointError: A model can't be used.
    """
    quiet_libraries()
    import torch

    from tasks.benchmark import REPORT, all_shards, index_stage, models_used, report_stage, shard_stage
    from tasks.run_log import record_command

    torch.set_num_threads(1)
    hint = "the same command continues with the next shard"
    with interruptible(hint), record_command(run.root, f"benchmark-{run.name}"):
        models_used(run)  # a wrong name is told before the index is built
        shards = all_shards(run)
        index = index_stage(run)
        done = []
        for i, shard in enumerate(shards, start=1):
            done.append(shard_stage(shard, index, run))
            print(f"{i}/{len(shards)}: {shard.column}, seed {shard.seed}, shard {shard.number + 1}", flush=True)
        record = report_stage(done, index, run)
    import json

    report = json.loads(record.file(REPORT).read_text())
    show(report)
    seeds = list(run.settings.seeds)
    print(json.dumps({"figure": figures(report), "n": report["n_asked"], "seed": seeds, "report": str(record.path)}))


def show(report: dict[str, Any]) -> None:
    """The table of all columns and rows, the misses and the coverage."""
    lines, plain_rows = [], []
    for column, entry in report["columns"].items():
        for row, values in entry["rows"].items():
            if row == "exact" and values["n"] == entry["rows"]["all"]["n"]:
                continue
            first = next(iter(values["seeds"].values()))
            mean = values["mean_over_seeds"]
            plain_rows.append({"column": column, "targets": row, "mean_over_seeds": mean, "first_seed": first,
                               "n": values["n"], "n_seeds": len(values["seeds"])})  # fmt: skip
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
    title = f"{report['benchmark']}: {report['n_asked']} of {report['of_split']['n_targets']} targets"
    table(title, columns, lines, values=plain_rows)
    print("match rates are means over the seeds with a bootstrap interval; all other figures are the first seed's")
    k = report["settings"]["k"]
    if k > 1 and report["settings"]["distinct"] and {"denovo", "baseline"} & set(report["columns"]):
        print(
            f"de novo, k = 1 is the structure drawn most often among {k} draws or more; published: --k 1, a single draw"
        )
    for column, entry in report["columns"].items():
        first = next(iter(entry["rows"]["all"]["seeds"].values()))
        print(f"{column} ({report['models'][column]}): misses {first['misses']}; coverage {entry['coverage']}")


def figures(report: dict[str, Any]) -> dict[str, Any]:
    """Match rates of all targets by column, averaged over seeds."""
    return {
        column: {k: m["match_rate"] for k, m in entry["rows"]["all"]["mean_over_seeds"].items()}
        for column, entry in report["columns"].items()
    }
