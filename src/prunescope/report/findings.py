"""All that can be concluded from the study, a row each; and what of it belongs on the first screen."""

from __future__ import annotations

import math
from collections.abc import Sequence

from prunescope.analysis.csv_text import csv_text
from prunescope.analysis.findings import Finding, table_of_findings
from prunescope.report.blocks import Cell, Conclusion, Link, Section, Table
from prunescope.report.formats import NO_VALUE, count, p_value, plural

FILE = "findings.csv"
MOST_TOLD = 7  # on the first screen
MOST_OF_ONE = 2  # of them about one question
TITLES = {  # of the tables, by question; others are called by their question
    "difference": "Differences to the dense network",
    "equivalence": "As good as the dense network?",
    "sweet spot": "Better than the dense network?",
    "trend": "Trends with the rate, over series",
    "trend within a series": "Trends with the rate, within each series",
    "trend by mixed model": "Trends with the rate, by a mixed model",
    "trend, pooled": "Trends with the rate, all series pooled",
    "dead units": "What dead units do to an average",
    "composition": "Averages with the layers' proportions held",
    "correlation": "Which measures go together",
    "linear correlation": "Which measures go together in a line",
    "correlation within series": "Which measures go together within each series",
    "correlation within a network": "Which measures go together over the classes of a network",
    "right answers": "How often people are right",
    "right answers against dense": "How often people are right, against the dense network",
    "right answers by layer": "How often people are right, by layer",
    "people and MIS": "People against MIS",
    "people and MIS, linear": "People against MIS, in a line",
    "slope of MIS": "The slope of MIS that fits people",
    "confidence": "Are people right when they are sure?",
    "votes": "What people prefer",
    "votes as if independent": "What people prefer, as if each answer were another person's",
    "identification": "What people recognise",
    "agreement": "How far people agree",
    "side effects": "What else moves people's answers",
    "mixed model of answers": "Answers of people by a mixed model",
    "as published": "As published, computed again",
}
WHAT_IT_SAYS = (
    "Each row is one conclusion, with the 95 % interval and what was resampled to get it. “Shown”: the test, corrected "
    "for all rows of the same question and measure (Holm), rejects that there is no effect, and the interval leaves it "
    "out. “Not shown” concludes nothing: neither an effect nor that there is none. Only “shown to be equal” says that "
    "two are as good as equal: an equivalence test, with the margin beside it."
)


def anchor(place: int) -> str:
    """Return the address of a finding's row on the page."""
    return f"finding-{place + 1}"


def conclusions(findings: Sequence[Finding], figures: set[str]) -> list[Conclusion]:
    """Return the sentences of the first screen, the weightiest first.

    Args:
        figures: the names of the figures that the page has.
    """
    order = sorted(enumerate(findings), key=lambda pair: -pair[1].weight)
    told: list[Conclusion] = []
    questions: dict[str, int] = {}
    for place, finding in order:
        if finding.weight <= 0 or len(told) == MOST_TOLD:
            break
        if questions.setdefault(finding.question, 0) < MOST_OF_ONE:
            questions[finding.question] += 1
            links = [Link("figure", f"#figure-{finding.figure}")] if finding.figure in figures else []
            told.append(
                Conclusion(finding.sentence, finding.verdict, [*links, Link("row", f"#{anchor(place)}")])
            )
    return told


def findings_section(findings: Sequence[Finding]) -> Section | None:
    """List all findings, a table per question."""
    if not findings:
        return None
    by_question: dict[str, list[tuple[int, Finding]]] = {}
    for place, finding in enumerate(findings):
        by_question.setdefault(finding.question, []).append((place, finding))
    tables = [_table(question, by_question[question]) for question in sorted(by_question, key=_order)]
    return Section(
        "findings",
        "All conclusions",
        text=[f"{count(len(findings), 'conclusion')}. {WHAT_IT_SAYS}"],
        tables=tables,
        links=[Link("All rows as CSV", FILE)],
        files={FILE: csv_text(table_of_findings(findings))},
    )


def _order(question: str) -> int:
    return list(TITLES).index(question) if question in TITLES else len(TITLES)


def _table(question: str, own: Sequence[tuple[int, Finding]]) -> Table:
    columns = ["What", "Conclusion", "Estimate", "n", "p", "Effect", "Margin"]
    whole = [_row(finding) for _, finding in own]
    used = [
        i
        for i, name in enumerate(columns)
        if i < 3 or any(row[i].text not in {NO_VALUE, ""} for row in whole)
    ]
    return Table(
        [columns[i] for i in used],
        [[row[i] for i in used] for row in whole],
        f"{TITLES.get(question, question.capitalize())}: {count(len(own), 'row')}",
        sortable=True,
        folded=True,
        anchors=[anchor(place) for place, _ in own],
    )


def _row(finding: Finding) -> list[Cell]:
    within = (
        f"{_number(finding.low)} to {_number(finding.high)}, over {plural(finding.resampled)}"
        if math.isfinite(finding.low)
        else ""
    )
    return [
        Cell(finding.measure, finding.about),
        Cell(finding.sentence, f"{finding.verdict}; {finding.method}"),
        Cell(_number(finding.estimate), within, finding.estimate),
        Cell(f"{finding.n:,}" if finding.n else NO_VALUE, number=finding.n or math.nan),
        _p(finding),
        Cell(_number(finding.effect), finding.effect_kind, finding.effect),
        Cell(_number(finding.margin), number=finding.margin),
    ]


def _p(finding: Finding) -> Cell:
    if math.isnan(finding.p):
        return Cell(NO_VALUE, number=math.nan)
    corrected = "" if math.isnan(finding.p_holm) else f"Holm {p_value(finding.p_holm)}"
    return Cell(p_value(finding.p), corrected, finding.p)


def _number(value: float) -> str:
    """Write a number of any size to four digits."""
    return NO_VALUE if math.isnan(value) else f"{value:.4g}".replace("-", "−")
