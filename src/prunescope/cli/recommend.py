"""`prunescope recommend`: which network of a study to take."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from prunescope.cli.options import Answer, Results

if TYPE_CHECKING:
    from rich.table import Table

    from prunescope.analysis.recommendation import Recommendation

NONE_KEEPS_ALL = 2  # the exit code
FOLDER = "recommendation"
MOST_LISTED = 12  # networks on the screen; the page has all


def recommend(
    results: Results,
    keep: Annotated[
        list[str] | None,
        typer.Option(
            help="What is to be kept: 'top1 >= dense - 0.01', 'unique_detectors >= 0.95 * dense'. May be repeated.",
            show_default=False,
        ),
    ] = None,
    by: Annotated[
        str,
        typer.Option(
            help="What is to be least: pruned (weights left that can act), nonzero, macs, file, fastest, or a time "
            "of the run such as ms_onnxruntime_b1."
        ),
    ] = "pruned",
    sure: Annotated[
        bool, typer.Option("--sure", help="Ask that the whole 95 % interval keeps each wish, not the mean.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            help="Folder of the page and of recommendation.json; by default RESULTS/recommendation.",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Find the most pruned, or the fastest, network of a study that keeps all that is asked.

    Exit code 2: none does; the nearest is named.
    """
    from rich.console import Console

    from prunescope.analysis.recommend import recommend as find
    from prunescope.report.recommendation import write_recommendation

    found = find(results, keep or [], by=by, sure=sure)
    page = write_recommendation(found, out or results / FOLDER)
    console = Console(highlight=False)
    if not console.is_terminal:  # a pipe has no width to fit
        console = Console(highlight=False, width=200)
    for sentence in found.sentences:
        console.print(sentence, markup=False, soft_wrap=True)
    console.print(_table(found))
    typer.echo(f"page: {page}")
    if found.best is None:
        raise Answer(NONE_KEEPS_ALL)


def _table(found: Recommendation) -> Table:
    """List the networks that keep all, then those nearest to it, up to what a screen holds."""
    from rich.table import Table
    from rich.text import Text

    from prunescope.analysis.recommend_words import number, verdict
    from prunescope.analysis.recommendation import Network, of
    from prunescope.analysis.results import records

    table = Table(box=None, header_style="bold", pad_edge=False)
    for heading in ("", "series", "target", found.by.axis.lower(), *(wish.text for wish in found.wishes)):
        table.add_column(Text(heading), overflow="fold")
    kept = found.networks["shown" if found.sure else "kept"]
    chosen = of(found.networks, found.shown) if found.shown else kept
    order = found.networks.assign(
        missed=~kept, short=-found.networks["worst"].where(~kept, 0.0), other=~chosen
    )
    rows = records(order.sort_values(["other", "missed", "short"], kind="stable")[:MOST_LISTED])
    rows.sort(key=lambda row: row["cost"])
    for row in rows:
        network = Network(row["series"], row["target"])
        answers = [f"{number(each['value'])}: {verdict(each)}" for each in found.answers_of(network)]
        cells = ["→" if network == found.shown else "", *network, found.by.write(row["cost"]), *answers]
        table.add_row(*map(Text, cells))
    if len(found.networks) > len(rows):
        table.add_row("", Text(f"… and {len(found.networks) - len(rows)} more, on the page"))
    return table
