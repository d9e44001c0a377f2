"""`prunescope survey analyse`: what people's answers show, and how much of it hangs on who is excluded."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from prunescope.cli.survey_export import Database

MOST = 20  # conclusions on one question that are printed

if TYPE_CHECKING:
    from rich.console import Console


def survey_analyse(
    experiments: Annotated[
        list[Path],
        typer.Argument(
            help="An experiment; several of one run; or a run with votes, as import-published wrote it.",
            show_default=False,
        ),
    ],
    database: Database = None,
    simulated: Annotated[
        bool, typer.Option("--simulated", help="The simulated participants alone, of simulated.sqlite.")
    ] = False,
    exclude: Annotated[
        Literal["design", "none"], typer.Option(help="By which rules participants are excluded.")
    ] = "design",
    rule: Annotated[
        list[str] | None,
        typer.Option(
            help="Another bound of a rule: catch=.9, total_s=100,3000, rarer=none. May be repeated.",
            show_default=False,
        ),
    ] = None,
    unfinished: Annotated[
        bool, typer.Option("--unfinished", help="Keep the answers of those who have not answered all.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="Folder to write; by default analysis in the experiment.", show_default=False),
    ] = None,
) -> None:
    """Say in plain words what people's answers show, and write the tables, all conclusions and a page.

    The experiment may be served meanwhile. An earlier analysis is replaced.
    """
    from rich.console import Console

    from prunescope.cli.analyse import print_findings
    from prunescope.survey.analyse import Judging, analyse_survey

    judging = Judging(exclude == "design", tuple(rule or ()), unfinished)
    done = analyse_survey(experiments, database, simulated=simulated, judging=judging, out=out)
    console = Console(highlight=False)
    if done.simulated:
        console.print("These participants are simulated: no person answered.", style="bold")
    for experiment in done.experiments:
        _print_counts(console, experiment)
    print_findings(console, done.findings, MOST)
    if done.rules:
        _print_rules(console, done.rules)
    typer.echo(f"findings: {done.folder / 'analysis'}")
    typer.echo(f"report: {done.page}")


def _print_counts(console: Console, experiment: Mapping[str, Any]) -> None:
    counts = experiment["counts"]
    by_rule = ", ".join(f"{rule} {number}" for rule, number in experiment["excluded_by"].items())
    console.print(
        f"{experiment['title']} ({experiment['kind']}): {counts['participants']:,} participants, "
        f"{counts['finished']:,} answered all, {counts['excluded']:,} of these excluded"
        f"{f' ({by_rule})' if by_rule else ''}; {counts['votes']:,} answers count.",
        markup=False,
        soft_wrap=True,
    )


def _print_rules(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """Show what hangs on the rules: with all, with none, and where leaving out one of them changes most."""
    from rich.markup import escape
    from rich.table import Table

    console.print("\nWhat hangs on the rules (share right; of pairs, for the more pruned)", style="bold")
    names = list(dict.fromkeys(row["rules"] for row in rows))
    people = {name: max(row["participants"] for row in rows if row["rules"] == name) for name in names}
    said = ", ".join(f"{name} {number:,}" for name, number in people.items())
    console.print(f"Participants of a condition, at most: {said}.", markup=False, soft_wrap=True)
    table = Table()
    for title in ("Shown", "Of", *(name.capitalize() for name in names[:2]), "Leaving out one, most"):
        table.add_column(title, overflow="fold")
    for condition in dict.fromkeys((row["experiment"], row["stimulus"], row["condition"]) for row in rows):
        own = {
            row["rules"]: row
            for row in rows
            if (row["experiment"], row["stimulus"], row["condition"]) == condition
        }
        cells = [
            condition[1],
            own[names[0]]["about"],
            _shown(own[names[0]]),
            _shown(own[names[1]]),
            _most(own, names),
        ]
        table.add_row(*(escape(str(cell)) for cell in cells))
    console.print(table)


def _most(own: Mapping[str, Mapping[str, Any]], names: Sequence[str]) -> str:
    """Return the result that is farthest from that of all rules when one is other."""
    whole = own[names[0]]["estimate"]
    away = {name: abs(own[name]["estimate"] - whole) for name in names[2:] if name in own}
    most = max((name for name in away if away[name] > 0), key=lambda name: away[name], default=None)
    return "none" if most is None else f"{100 * own[most]['estimate']:.1f} % {most}"


def _shown(row: Mapping[str, Any]) -> str:
    if math.isnan(row["estimate"]):
        return "–"
    ends = "" if math.isnan(row["low"]) else f" ({100 * row['low']:.1f} to {100 * row['high']:.1f})"
    return f"{100 * row['estimate']:.1f} %{ends}"
