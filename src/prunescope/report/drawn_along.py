"""What to know of published studies that are drawn beside one's own."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd

from prunescope.analysis.results import Results
from prunescope.report.blocks import Fact
from prunescope.report.formats import listing


def drawn_along(results: Results, drawn: pd.DataFrame) -> str:
    """Say, for a caption, which curves are published; nothing where none is.

    Args:
        drawn: the networks that the figure shows; the column `series` is read.
    """
    if not drawn["series"].isin(results.published).any():
        return ""
    sources = [study["source"] for study in results.study["drawn_along"].values()]
    return (
        f" Grey, thin and dashed, with open markers: published by {listing(sources)}, under other conditions "
        "(“What was done” says which): compare the course of curves, not their level."
    )


def facts_of_published(results: Results) -> Iterator[Fact]:
    """Yield for each published study that is drawn along where it is from, and in what it differs."""
    for name, study in (results.study.get("drawn_along") or {}).items():
        differs = [f"Against this study: {'; '.join(study['differs'])}."] if study["differs"] else []
        unknown = [] if differs else ["What it does not say of its network and its images may differ."]
        text = " ".join([f"{study['source']}.", *differs, *unknown, *study["inferred"]])
        yield Fact(f"Published, drawn along: {name}", text)
