"""`dao crysdb build`: in this process, or as the flow `rebuild-crysdb` on the workers of a profile."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from flows.console import quiet_libraries, table


def build_database(config: Path, root: Path, profile: str | None) -> None:
    """Build what a settings file describes into `root` and say what came out. Raises what `build` raises."""
    from dao_core.crysdb.config import BuildConfig
    from tasks.config import load_config

    settings = load_config(config_path(config), BuildConfig)
    command = f"dao crysdb build {config} --root {root}"
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
    from dao_core.crysdb.build import build
    from tasks.journal import Journal
    from tasks.secrets import open_sources

    with Journal(root, name="crysdb", command=command).watch() as run:
        with run.stage("build CrysDB") as entry:
            report = build(settings, root, sources=open_sources(settings), log=print)
            entry["counts"] = {"n_published": sum(s["n_published"] for s in report.sources.values())}
        run.finish("completed", summary={"version": report.version})


def _as_flow(settings: Any, root: Path, profile: str, command: str) -> None:
    from flows.running import load_profile, one_line_errors
    from tasks.config import RebuildConfig

    workers = load_profile(profile).workers
    config = RebuildConfig(name="crysdb", root=root, workers=workers, crysdb=settings, every="%Y-%m-%d")
    from flows.database import rebuild_crysdb

    one_line_errors()
    rebuild_crysdb(config, command)


def show_report(root: Path) -> None:
    """The accounts of the last build, from its report."""
    report = json.loads((root / "report.json").read_text())
    names = ("n_in", "n_refused", "n_dropped", "n_published")
    table(f"version {report['version']} in {root}/table", ("source", "functional", *names),
          [(name, s["functional"], *(s[n] for n in names)) for name, s in report["sources"].items()])  # fmt: skip
    _reasons("refused", report["refused"])
    _reasons("dropped", report["dropped"])
    _hulls(report["hull"], report["agreement"])
    if report["reach"]:
        show_leaks(report)
    print("views: " + ", ".join(f"{n} {view}" for view, n in report["views"].items()))
    print(
        f"next: dao crysdb doctor --root {root}    dao crysdb card --root {root}    dao crysdb query ... --root {root}"
    )


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
    rows = []
    for entry in report["leaks"]:
        reach = report["reach"][entry["benchmark"]]
        total = sum(reach[k] for k in ("structure", "polymorph", "prototype", "none"))
        shares = [_share(n, total) for n in _kinds(reach)]
        rows.append((entry["benchmark"], total, *shares, entry["rows_structure"], entry["rows_polymorph"],
                     entry["rows_prototype"]))  # fmt: skip
    names = ("benchmark", "entries", "same structure", "same composition", "other polymorph only", "family only",
             "out of reach", "rows: same", "polymorph", "family")  # fmt: skip
    table("leak audit: test entries reached, by the strongest likeness; rows of the table by theirs", names, rows)


def _kinds(reach: dict[str, int]) -> tuple[int, ...]:
    same, other = reach["structure"], reach["polymorph"]
    return same, same + other, other, reach["prototype"], reach["none"]


def _share(n: int, total: int) -> str:
    return f"{n} ({100 * n / total:.1f} %)" if total else "0"
