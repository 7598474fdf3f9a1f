"""`dao crysdb ...`: build the database, look at its versions, ask it."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Any

import typer

from flows.cli.console import quiet_libraries, table

app = typer.Typer(
    help="Build, update, check, query and export the crystal database CrysDB.",
    no_args_is_help=True,
    rich_markup_mode=None,
)
Root = Annotated[Path, typer.Option(help="Folder of the database.")]
SAMPLE = Path("configs/crysdb-sample.yaml")
Version = Annotated[int | None, typer.Option(min=0, help="Version of the table; default: the newest.")]


@app.command()
def build(
    config: Annotated[Path, typer.Argument(help="YAML settings; default: those of the shipped sample.")] = SAMPLE,
    root: Root = Path("runs/crysdb"),
    profile: Annotated[
        str | None,
        typer.Option(
            help="Run on a machine's workers: laptop, workstation, slurm, kubernetes, or a YAML file; default: here."
        ),
    ] = None,
) -> None:
    """Build the database from its sources and publish a version; after an interruption the command continues.

    Examples:  dao crysdb build    dao crysdb build configs/crysdb-full.yaml --root runs/full --profile slurm
    """
    from flows.cli.console import working
    from flows.cli.errors import interruptible, require

    require("deltalake")
    with interruptible("the same command continues with the stage that was running"), working("build CrysDB"):
        build_database(config, root, profile)


@app.command()
def sample(root: Root = Path("runs/crysdb-sample")) -> None:
    """Build a small database from the shipped sample and show its data card.

    Example:  dao crysdb sample
    """
    from dao_core.crysdb.build.build import build as run_build
    from dao_core.crysdb.config import BuildConfig
    from dao_core.crysdb.sources.sample import sample_path
    from flows.cli.errors import require

    require("deltalake")
    quiet_libraries()
    report = run_build(BuildConfig(), root, log=print)
    card = sample_path().with_name("sample_card.md")
    if card.exists():
        print(card.read_text())
    print(f"version {report.version} in {root}/table: " + ", ".join(f"{n} {v}" for v, n in report.views.items()))


@app.command()
def history(root: Root = Path("runs/crysdb")) -> None:
    """List the versions of the table and what each was made from.

    Example:  dao crysdb history --root runs/crysdb
    """
    import json
    from datetime import UTC, datetime

    from dao_core.crysdb.table import CrysTable
    from flows.cli.console import table

    rows = []
    for entry in CrysTable(root / "table").history():
        facts: dict[str, Any] = json.loads(entry.get("dao", "{}"))
        when = datetime.fromtimestamp(entry["timestamp"] / 1000, UTC).isoformat(timespec="seconds")
        sources = ", ".join(f"{n}: {s['n_published']}" for n, s in facts.get("sources", {}).items())
        rows.append((entry["version"], when, sources or entry.get("operation"), facts.get("content_hash")))
    table(f"versions of {root}/table", ("version", "when", "rows by source", "content"), rows)


@app.command()
def query(
    sql: Annotated[str, typer.Argument(help="A query in DuckDB's SQL.")],
    root: Root = Path("runs/crysdb"),
    version: Version = None,
    limit: Annotated[int, typer.Option(min=1, help="Rows to print.")] = 50,
    level: Annotated[
        str,
        typer.Option(
            help="What counts as a leak of a benchmark's test in the views: none, structure, composition, prototype."
        ),
    ] = "structure",
    out: Annotated[
        Path | None, typer.Option(help="CSV or Parquet file for all rows with every digit, instead of printing.")
    ] = None,
) -> None:
    """Query the database in SQL; the tables are crysdb, crysdb_all, crysdb_leak_free, crysdb_relaxed, crysdb_forces.

    Example:  dao crysdb query "SELECT formula_reduced, e_above_hull FROM crysdb WHERE is_stable ORDER BY 1"
    """
    from dao_core.crysdb.query import query as ask
    from dao_core.crysdb.table import CrysTable
    from flows.cli.outputs import check_file

    if out is not None:
        check_file(out, (".csv", ".parquet"))
    result = ask(CrysTable(root / "table"), sql, version=version, level=level)
    if out is not None:
        frame = result.to_pandas()
        frame.to_csv(out, index=False) if out.suffix == ".csv" else frame.to_parquet(out, index=False)
        print(f"{result.num_rows} rows: {out}")
        return
    values = result.slice(0, limit).to_pylist()
    rows = [tuple(map(shown, row.values())) for row in values]
    more = f", {limit} shown" if result.num_rows > limit else ""
    table(f"{result.num_rows} rows{more}", result.column_names, rows, values=values)


@app.command()
def update(
    config: Annotated[Path, typer.Argument(help="YAML settings that the database was built with.")] = SAMPLE,
    root: Root = Path("runs/crysdb"),
    since: Annotated[
        str | None, typer.Option(help="Fetch only rows that changed after this date (YYYY-MM-DD).")
    ] = None,
) -> None:
    """Bring the database up to date with its sources; only what is new, changed or gone is worked on.

    Example:  dao crysdb update configs/crysdb-sample.yaml --root runs/crysdb
    """
    from dao_core.crysdb.build.changes import Reading
    from dao_core.crysdb.build.update import update as run_update
    from dao_core.crysdb.config import BuildConfig
    from flows.cli.console import quiet_libraries
    from tasks.config import load_config
    from tasks.secrets import open_sources

    if since is not None:
        check_date(since)
    settings = load_config(config_path(config), BuildConfig)
    quiet_libraries()
    r = run_update(settings, root, sources=open_sources(settings), reading=Reading(since=since), log=print)
    counts = {"read": r.n_in, "same": r.n_same, "new": r.n_new, "changed": r.n_changed, "gone": r.n_gone}
    print(f"version {r.version}: " + ", ".join(f"{n} {k}" for k, n in counts.items()) + f", {r.n_refused} refused")


@app.command()
def doctor(root: Root = Path("runs/crysdb")) -> None:
    """Check the database: checksums, counts, ids, ranges and references; exit code 1 where a check fails.

    Example:  dao crysdb doctor --root runs/crysdb
    """
    from dao_core.crysdb.doctor import examine, healthy

    raise typer.Exit(0 if healthy(examine(root), log=print) else 1)


@app.command()
def card(
    root: Root = Path("runs/crysdb"),
    out: Annotated[Path, typer.Option(help="Folder for card.md and its plots.")] = Path("crysdb-card"),
) -> None:
    """Write the data card: sources, licences, distributions, and what was refused and why.

    Example:  dao crysdb card --root runs/crysdb --out card
    """
    from dao_core.crysdb.card import write_card
    from flows.cli.console import quiet_libraries

    quiet_libraries()
    print(write_card(root, out))


@app.command()
def leaks(root: Root = Path("runs/crysdb")) -> None:
    """Show how much of each benchmark's test set the database contains: structures, compositions, prototypes.

    Example:  dao crysdb leaks --root runs/crysdb
    """
    import json

    from flows.cli.errors import fail

    path = root / "report.json"
    if not path.is_file():
        fail(f"no report at {path}: run `dao crysdb build` first, or give --root")
    show_leaks(json.loads(path.read_text()))


def check_date(text: str) -> None:
    """End with one line where a text is no date."""
    from datetime import datetime

    from flows.cli.errors import fail

    try:
        datetime.fromisoformat(text)
    except ValueError:
        fail(f"--since {text}: write a date such as 2025-01-31")


@app.command()
def vacuum(
    root: Root = Path("runs/crysdb"),
    hours: Annotated[
        int, typer.Option(min=0, help="Keep the files of versions younger than this, in hours; 0: only the newest.")
    ] = 90 * 24,
    yes: Annotated[
        bool, typer.Option("--yes", help="Delete; without it, only the number of files is printed.")
    ] = False,
) -> None:
    """Delete for good the files that only versions older than 90 days, or than --hours, need.

    Models name the version that they were trained on: keep those.

    Example:  dao crysdb vacuum --root runs/crysdb --hours 720 --yes
    """
    from dao_core.crysdb.table import CrysTable

    files = CrysTable(root / "table").vacuum(retention_hours=hours, dry_run=not yes)
    age = f"versions older than {hours} hours" if hours else "old versions"
    print(f"{len(files)} files " + (f"of {age} deleted" if yes else f"only {age} need: delete them with --yes"))


@app.command()
def export(
    out: Annotated[
        Path,
        typer.Argument(
            help="File to write; its ending decides the format: .extxyz, .jsonl (OPTIMADE) or .npz (for training)."
        ),
    ],
    root: Root = Path("runs/crysdb"),
    version: Version = None,
    view: Annotated[
        str | None, typer.Option(help="Only this view: all, leak_free, relaxed or forces; default: every row.")
    ] = None,
    level: Annotated[
        str | None,
        typer.Option(
            help="With --view: what counts as a leak of a benchmark's test: none, structure (default), composition, "
            "prototype."
        ),
    ] = None,
) -> None:
    """Write the database, or a view of it, in another format.

    Examples:  dao crysdb export all.extxyz    dao crysdb export train.npz --view leak_free --level composition
    """
    from dao_core.crysdb.export import pack, write_extxyz, write_optimade
    from dao_core.crysdb.table import CrysTable
    from dao_core.crysdb.views import select_view
    from flows.cli.errors import fail
    from flows.cli.outputs import check_file

    writers = {".extxyz": write_extxyz, ".xyz": write_extxyz, ".jsonl": write_optimade, ".npz": pack}
    check_file(out, tuple(writers), "OUT")
    if level is not None and view is None:
        fail("--level leaves rows out of a view: name one, such as --view leak_free")
    parts = CrysTable(root / "table").batches(version=version)
    chosen = parts if view is None else (select_view(part, view, level=level or "structure") for part in parts)
    print(f"{writers[out.suffix](chosen, out)} rows: {out}")


def shown(value: object) -> object:
    """A value as the terminal shows it: numbers to six digits. With --out every digit is written."""
    if isinstance(value, float):
        return f"{value:.6g}"
    if isinstance(value, list):
        return f"[{', '.join(str(shown(v)) for v in value)}]"
    return value


def build_database(config: Path, root: Path, profile: str | None) -> None:
    """Build what a settings file describes into `root` and say what came out. Raises what `build` raises."""
    from dao_core.crysdb.config import BuildConfig
    from tasks.config import load_config

    settings = load_config(config_path(config), BuildConfig)
    command = shlex.join(["dao", "crysdb", "build", str(config), "--root", str(root)])
    quiet_libraries()
    if profile is None:
        _here(settings, root, command)
    else:
        _as_flow(settings, root, profile, f"{command} --profile {profile}")
    show_report(root)


def config_path(path: Path) -> Path:
    """The file as given, else the one of that name that ships with the package."""
    from importlib.resources import files

    shipped = Path(str(files("configs"))) / path.name
    return shipped if not path.exists() and shipped.exists() else path


def _here(settings: Any, root: Path, command: str) -> None:
    from dao_core.crysdb.build.build import build
    from tasks.run_log import RunLog
    from tasks.secrets import open_sources

    with RunLog(root, name="crysdb", command=command).watch() as run:
        with run.stage("build CrysDB") as entry:
            report = build(settings, root, sources=open_sources(settings), log=print)
            entry["counts"] = {"n_published": sum(s["n_published"] for s in report.sources.values())}
        run.finish("completed", summary={"version": report.version})


def _as_flow(settings: Any, root: Path, profile: str, command: str) -> None:
    from flows.cli.campaign import load_profile, one_line_errors
    from tasks.config import RebuildConfig

    workers = load_profile(profile).workers
    config = RebuildConfig(name="crysdb", root=root, workers=workers, crysdb=settings, every="%Y-%m-%d")
    from flows.crysdb import rebuild_crysdb

    one_line_errors()
    rebuild_crysdb(config, command)


def show_report(root: Path) -> None:
    """The accounts of the last build, from its report."""
    import json

    report = json.loads((root / "report.json").read_text())
    names = ("n_in", "n_refused", "n_dropped", "n_published")
    table(f"version {report['version']} in {root}/table", ("source", "functional", *names),
          [(name, s["functional"], *(s[n] for n in names)) for name, s in report["sources"].items()])  # fmt: skip
    _reasons("refused", report["refused"])
    _reasons("dropped", report["dropped"])
    _reasons("noted", report.get("notes", {}))
    _hulls(report["hull"], report["agreement"])
    if report["reach"]:
        show_leaks(report)
    print("views: " + ", ".join(f"{n} {view}" for view, n in report["views"].items()))
    where = f"--root {shlex.quote(str(root))}"
    print(f"next: dao crysdb doctor {where}    dao crysdb card {where}    dao crysdb query ... {where}")


def _reasons(what: str, reasons: dict[str, int], *, limit: int = 10) -> None:
    for reason, n in list(reasons.items())[:limit]:
        print(f"{what}: {n} x {reason}")
    if len(reasons) > limit:
        print(f"{what}: {len(reasons) - limit} more reasons in report.json")


def _hulls(hull: dict[str, Any], agreement: dict[str, dict[str, float]]) -> None:
    print(f"hulls: {hull['n_with_hull']} rows with a hull distance, {hull['n_without_hull']} without")
    for identity, symbols in hull.get("elements_at_zero", {}).items():
        some = " ".join(symbols[:12]) + (f" and {len(symbols) - 12} more" if len(symbols) > 12 else "")
        print(f"hull {identity}: no row of its own, taken at zero: {some}")
    for source, a in agreement.items():
        print(
            f"hull distance of {source}, ours against its own: median {a['median']:.3f}, 95 % within {a['p95']:.3f} "
            f"eV/atom in {a['n']:.0f} rows"
        )


def show_leaks(report: dict[str, Any]) -> None:
    """Of each benchmark's test entries, how many the table reaches by which kind of likeness."""
    rows, counts = [], []
    for entry in report["leaks"]:
        reach = report["reach"][entry["benchmark"]]
        total = sum(reach[k] for k in ("structure", "polymorph", "prototype", "none"))
        kinds = _kinds(reach)
        by_kind = entry["rows_structure"], entry["rows_polymorph"], entry["rows_prototype"]
        rows.append((entry["benchmark"], total, *(_share(n, total) for n in kinds), *by_kind))
        counts.append((entry["benchmark"], total, *kinds, *by_kind))
    names = ("benchmark", "entries", "same structure", "same composition", "other polymorph only", "family only",
             "out of reach", "rows: same", "polymorph", "family")  # fmt: skip
    table("leak audit: test entries reached, by the strongest likeness; rows of the table by theirs", names, rows,
          values=[dict(zip(names, row, strict=True)) for row in counts])  # fmt: skip


def _kinds(reach: dict[str, int]) -> tuple[int, ...]:
    same, other = reach["structure"], reach["polymorph"]
    return same, same + other, other, reach["prototype"], reach["none"]


def _share(n: int, total: int) -> str:
    return f"{n} ({100 * n / total:.1f} %)" if total else "0"
