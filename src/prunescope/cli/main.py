"""`prunescope`: the command line. Each command imports what it needs when it runs, so that `--help` is instant."""

from __future__ import annotations

import sys

import typer

from prunescope.cli import (
    analyse,
    audit,
    check,
    compact,
    concepts,
    export,
    figure,
    import_published,
    layers,
    prune,
    recommend,
    report,
    run_study,
    schema,
    speed,
    survey,
    tables,
    verify,
)
from prunescope.cli.options import Answer
from prunescope.errors import PrunescopeError

app = typer.Typer(
    name="prunescope",
    help="Prune a vision network and see what that did.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
)
app.command("run")(run_study.run)
app.command("check")(check.check)
app.command("verify")(verify.verify)
app.command("tables")(tables.tables)
app.command("report")(report.report)
app.command("figure")(figure.figure)
app.command("analyse")(analyse.analyse)
app.command("import-published")(import_published.import_published)
app.command("recommend")(recommend.recommend)
app.command("audit")(audit.audit)
app.command("layers")(layers.layers)
app.command("prune")(prune.prune)
app.command("compact")(compact.compact)
app.command("export")(export.export)
app.command("speed")(speed.speed)
app.add_typer(concepts.concepts, name="concepts")
app.add_typer(survey.survey, name="survey")
app.command("schema")(schema.schema)

INTERRUPTED = 130
MISUSED = 2  # which is how typer ends after a wrong option
ANSWERING = {"audit", "recommend"}  # commands to whose callers 2 is an answer: for them, every error is 1
WHOLE_OR_NOT = {
    "recommend",
    "layers",
    "prune",
    "compact",
    "export",
    "figure",
    "speed",
}  # commands that keep nothing half done

_KEPT = "; what was finished is kept, and the same command goes on from there"


def run() -> None:
    """Run the command line; say what a user can mend in one message, without a traceback."""
    try:
        app()
    except PrunescopeError as error:
        typer.echo(f"error: {error}", err=True)
        sys.exit(1)
    except SystemExit as end:
        if end.code == INTERRUPTED:  # which is how typer ends after Ctrl-C
            kept = "" if WHOLE_OR_NOT & set(sys.argv[1:2]) else _KEPT
            typer.echo(f"\nstopped{kept}", err=True)
        if end.code == MISUSED and ANSWERING & set(sys.argv[1:2]) and not isinstance(end, Answer):
            sys.exit(1)
        raise
    except BrokenPipeError:  # the reader of our output has gone, say `| head`
        sys.stderr.close()
        sys.exit(1)
