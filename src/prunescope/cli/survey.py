"""`prunescope survey`: ask people about what a run shows."""

from __future__ import annotations

import typer

from prunescope.cli import (
    survey_analyse,
    survey_build,
    survey_export,
    survey_power,
    survey_serve,
    survey_simulate,
)
from prunescope.survey.parts import survey_parts

survey = typer.Typer(
    help="Ask people: build an experiment from a run, serve it, export and analyse.", no_args_is_help=True
)
survey.command("build")(survey_build.build)
survey.command("design")(survey_build.design)
survey.command("export")(survey_parts()(survey_export.survey_export))
survey.command("analyse")(survey_parts()(survey_analyse.survey_analyse))
survey.command("serve")(survey_serve.serve)
survey.command("simulate")(survey_parts()(survey_simulate.simulate))
survey.command("power")(survey_power.power)
survey.command("withdraw")(survey_serve.withdraw)
survey.command("retain")(survey_serve.retain)
