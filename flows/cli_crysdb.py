"""`dao crysdb ...`: build, update, check and ask the database."""

from __future__ import annotations

import typer

app = typer.Typer(help="Build, update, check and query CrysDB.", no_args_is_help=True, rich_markup_mode=None)
