"""What is said of an error, in one line: on the terminal, in `--json` and in the log of a run."""

from __future__ import annotations

_EXTRAS = {
    **dict.fromkeys(("prefect", "prefect_dask", "dask", "distributed", "cryptography", "httpx", "sqlalchemy"), "flows"),
    **dict.fromkeys(("deltalake", "duckdb"), "crysdb"),
    **dict.fromkeys(("sevenn", "dftd3"), "judge"),
    **dict.fromkeys(("mp_api", "optimade", "requests", "matplotlib"), "sources"),
    **dict.fromkeys(("pytorch_lightning", "lightning", "lightning_fabric"), "train"),
    "phonopy": "dft", "chgnet": "chgnet", "lmdb": "lmdb", "dask_jobqueue": "slurm", "prefect_kubernetes": "kubernetes",
    "pyxtal": "studies",
}  # fmt: skip # which extra brings a package that is missing
_OURS = ("dao_core.", "tasks.", "flows.")


def explain(error: BaseException) -> str | None:
    """One line for an error that the user can act on, None for one that is a fault of the program.

    Exceptions defined in this project carry the remedy in their message; of others only missing or unwritable files
    and settings that do not validate are the user's.
    """
    kind = type(error)
    if kind.__module__.startswith(_OURS):
        return str(error)
    if kind.__module__.startswith("pydantic"):
        from dao_core.settings_error import explain_settings

        return explain_settings(error)  # type: ignore[arg-type]
    if kind.__module__.startswith("yaml"):
        return f"not readable as YAML: {' '.join(str(error).split())}"
    if isinstance(error, ModuleNotFoundError) and (extra := _EXTRAS.get((error.name or "").partition(".")[0])):
        return f"this needs the package {error.name}, which is not installed: pip install 'dao-csp[{extra}]'"
    if isinstance(error, FileNotFoundError | PermissionError | IsADirectoryError | NotADirectoryError):
        return str(error) if error.strerror is None else f"{error.strerror}: {error.filename}"
    if isinstance(error, OSError) and error.errno in (28, 122):  # no space, over quota
        return f"no space left on the disk ({error.filename or 'while writing'}): free some and run it again"
    return None


def in_one_line(error: BaseException) -> str | None:
    """What is said of an error that ends a command.

    Args:
        error: Any. A SystemExit carries its line as a note.

    Returns:
        One line without the values of secret settings; None where the command ends without a word of ours.
    """
    if isinstance(error, SystemExit):
        return next(iter(getattr(error, "__notes__", ())), None)
    if not isinstance(error, Exception):
        return f"stopped by {type(error).__name__}"
    return " ".join((explain(error) or f"{type(error).__name__}: {error}").split())
