"""Run notebooks from their first cell to the last: python infra/run_notebooks.py docs/notebooks/*.ipynb

What a cell raises, a kernel that is missing and one that dies are one line each.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import Any

SECONDS_PER_CELL = 900


class NotebookError(RuntimeError):
    """A notebook could not be run, or one of its cells failed; the message says what to do."""


def run_notebook(path: Path, folder: Path) -> Any:
    """Run all cells of a notebook in a folder.

    Args:
        path: The notebook; it is not changed.
        folder: Where its cells read and write.

    Returns:
        The notebook with its outputs.

    Raises:
        NotebookError: No kernel, a kernel that died, or a cell that failed.
    """
    try:
        import nbformat
        from jupyter_client.kernelspec import NoSuchKernel
        from nbclient import NotebookClient
        from nbclient.exceptions import CellExecutionError, CellTimeoutError, DeadKernelError
    except ModuleNotFoundError as error:
        raise NotebookError(f"{error.name} is not installed: pip install nbclient ipykernel") from error

    notebook = nbformat.read(path, as_version=4)
    kernel = notebook.metadata.get("kernelspec", {}).get("name", "python3")
    client = NotebookClient(
        notebook, timeout=SECONDS_PER_CELL, kernel_name=kernel, resources={"metadata": {"path": str(folder)}}
    )
    try:
        return client.execute()
    except NoSuchKernel as error:
        raise NotebookError(
            f"{path.name} needs the Jupyter kernel {kernel}, which is not installed: pip install ipykernel, "
            f"then python -m ipykernel install --user --name {kernel}"
        ) from error
    except (CellTimeoutError, DeadKernelError) as error:
        raise NotebookError(
            f"{path.name}: the kernel stopped answering ({type(error).__name__}): run it again"
        ) from error
    except CellExecutionError as error:
        raise NotebookError(f"{path.name}: a cell failed: {error.ename}: {error.evalue}") from error


def main() -> None:
    """Run the notebooks that are named; exit code 2 with one line at the first that fails."""
    for name in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            try:
                run_notebook(Path(name), Path(folder))
            except NotebookError as error:
                raise SystemExit(f"run_notebooks: {error}") from error
        print(f"{name}: every cell ran")


if __name__ == "__main__":
    main()
