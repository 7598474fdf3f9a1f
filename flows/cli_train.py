"""`dao train ...`: the generator's two stages and the energy model."""

from __future__ import annotations

import typer

app = typer.Typer(help="Train DAO-G (stage 1, stage 2) and DAO-P.", no_args_is_help=True, rich_markup_mode=None)
