"""`prunescope schema`: the JSON schema of study files, for editors."""

from __future__ import annotations

import json

import typer


def schema() -> None:
    """Print the JSON schema of study files, for editors that complete and check YAML."""
    from prunescope.study.settings import StudySettings

    typer.echo(json.dumps(StudySettings.model_json_schema(), indent=2))
