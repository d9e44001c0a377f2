"""How sure people say they are, and whether they are right more often when they are."""

from __future__ import annotations

from dataclasses import dataclass

from prunescope.analysis.crossed import NO_INTERVAL, Crossed
from prunescope.analysis.results import Results
from prunescope.analysis.right_answers import difference_of_right, judged, share_of_right


@dataclass(frozen=True)
class Confidence:
    """The answers of one experiment by level of confidence.

    Attributes:
        levels: the levels that were given, from the least confident.
        answers: how many answers each has.
        shares: the share of right ones among them.
        change: that share at the highest level less that at the lowest; no interval where there is one level.
    """

    experiment: str
    levels: tuple[int, ...]
    answers: tuple[int, ...]
    shares: tuple[Crossed, ...]
    change: Crossed
    participants: int


def confidence_of(results: Results) -> list[Confidence]:
    """Return the share of right answers by level of confidence, of each experiment that asked for it."""
    found = []
    for experiment, every, _ in judged(results):
        rows = every[every["confidence"].notna()]
        levels = sorted(int(level) for level in rows["confidence"].unique())
        if not levels:
            continue
        of_level = [rows["confidence"] == level for level in levels]
        change = difference_of_right(rows, of_level[-1], of_level[0]) if len(levels) > 1 else NO_INTERVAL
        counts = tuple(int(own.sum()) for own in of_level)
        shares = tuple(share_of_right(rows[own]) for own in of_level)
        people = int(rows["participant"].nunique())
        found.append(Confidence(experiment, tuple(levels), counts, shares, change, people))
    return found
