"""`prunescope survey`: ask people about what a run shows."""

from __future__ import annotations

import typer

survey = typer.Typer(
    help="Ask people: build an experiment from a run, serve it, export and analyse.", no_args_is_help=True
)
