"""What can be concluded from tables: each finding is a row with its estimate, its interval and a sentence.

To add a question, write a function from `Results` and margins to findings and name it in `FINDERS`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import pandas as pd

from prunescope.analysis.against_dense import against_dense
from prunescope.analysis.class_correlations import class_correlations
from prunescope.analysis.comparisons import metrics_of
from prunescope.analysis.compositions import compositions
from prunescope.analysis.correlations import correlations
from prunescope.analysis.dead_units import dead_units
from prunescope.analysis.finding import COLUMNS, Finding, Margins, Verdict
from prunescope.analysis.people_findings import people
from prunescope.analysis.people_mis_findings import people_against_mis
from prunescope.analysis.published.corrected import as_published
from prunescope.analysis.results import Results
from prunescope.analysis.trends import trends
from prunescope.analysis.vote_findings import agreement, votes
from prunescope.errors import PrunescopeError, did_you_mean

__all__ = ["COLUMNS", "FINDERS", "Finder", "Finding", "Margins", "Verdict", "find", "table_of_findings"]

Finder = Callable[[Results, Margins], Iterable[Finding]]
OF_PEOPLE: tuple[Finder, ...] = (votes, people, people_against_mis, agreement)
FINDERS: tuple[Finder, ...] = (
    against_dense,
    trends,
    dead_units,
    compositions,
    correlations,
    class_correlations,
    as_published,
    *OF_PEOPLE,
)
SURVEY = "survey"  # the key of a study that holds nothing but answers, and of networks what was asked about


def find(results: Results, margins: Margins | None = None) -> list[Finding]:
    """Return all that can be concluded from the results, in the order of the questions.

    Args:
        margins: in place of the default ones, by metric.

    Raises:
        PrunescopeError: a margin is for maps of a method that the results do not have.
    """
    own = results.own  # conclusions are not about published studies that are drawn along
    _refuse_unknown_methods(own, margins or {})
    finders = OF_PEOPLE if is_survey(own) else FINDERS
    return [finding for finder in finders for finding in finder(own, margins or {})]


def is_survey(results: Results) -> bool:
    """Whether these are surveys alone: of units they hold a sample, which says little of the networks."""
    runs = results.study.get("runs") or {}
    return SURVEY in results.study or (bool(runs) and all(SURVEY in run for run in runs.values()))


def _refuse_unknown_methods(results: Results, margins: Margins) -> None:
    known = [metric for metric in metrics_of(results) if "/" in metric]
    for metric in margins:
        if "/" in metric and metric not in known:
            listed = did_you_mean(metric, known) or (f": there are {', '.join(known)}" if known else "")
            raise PrunescopeError(f"there is a margin for {metric!r}, which was not measured{listed}")


def table_of_findings(findings: Iterable[Finding]) -> pd.DataFrame:
    """Return one row per finding, with the attributes of `Finding` as columns."""
    rows = [[getattr(finding, column) for column in COLUMNS] for finding in findings]
    return pd.DataFrame(rows, columns=COLUMNS)
