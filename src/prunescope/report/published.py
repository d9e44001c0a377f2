"""The section of a published study: where it is from, what was inferred, and its numbers as published and corrected."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import partial
from typing import Any

from matplotlib.figure import Figure

from prunescope.analysis.published.corrected import Corrected, MeanMis, corrected_means, is_published
from prunescope.analysis.results import Results
from prunescope.analysis.votes import Preference, holm_of, preferences
from prunescope.report import figures
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, number_cell, table_of
from prunescope.report.formats import (
    NO_VALUE,
    decimal,
    interval,
    listing,
    name_target,
    p_value,
    percent,
    shorten,
    signed,
)
from prunescope.report.theme import INK, looks, page_width
from prunescope.report.votes import compared

PANELS = (
    ("scored", "As published: dead units scored"),
    ("live", "Corrected: set aside"),
    ("layer", ""),
)


def published(results: Results) -> Section | None:
    """Say where a published study is from; show its numbers as they were published beside the corrected ones."""
    if not is_published(results):
        return None
    record = results.study["published"]
    means, pairs = corrected_means(results), preferences(results)
    tables = [*([_means(results, means)] if means else []), *([_pairs(results, pairs)] if pairs else [])]
    return Section(
        "published",
        "Published and corrected" if means or pairs else "Where the numbers are from",
        text=_text(means, pairs),
        facts=_facts(record),
        plots=_plots(results, means) if means else [],
        tables=tables,
    )


def _text(means: Corrected | None, pairs: list[Preference]) -> list[str]:
    text = []
    if means:
        text.append(
            "A unit that was pruned away puts out the same for every image. Scored anyway, with ties broken by the "
            "order of images that are sorted by class, it looks perfectly interpretable. Which units these are is "
            "inferred here, since the tables do not say it."
        )
    if pairs:
        text.append(
            "As published, every answer counts as another person's. Corrected, intervals and tests are over "
            "participants and items, with Holm's correction over all comparisons."
        )
    return text


def _facts(record: Mapping[str, Any]) -> list[Fact]:
    files = [f"{file['name']} (SHA-256 {file['sha256'][:12]}…)" for file in record.get("file") or []]
    facts = [Fact("Source", str(record.get("source", ""))), Fact("Files", listing(files))]
    facts += [Fact("Inferred", sentence) for sentence in record.get("inferred") or []]
    return facts + [Fact("To know", sentence) for sentence in record.get("notes") or []]


def _plots(results: Results, means: Corrected) -> list[Plot]:
    caption = (
        "Mean MIS of all convolution and linear units against the rate, on one scale: as published, and with units "
        f"above 0.99 set aside. Right: the share of {means.layer} among the units that are averaged, which grows as "
        f"others are set aside (dotted: of all units). Pooled over {len(means.means)} networks, Pearson's correlation "
        f"with the rate is {signed(means.pooled('scored'))} and {signed(means.pooled('live'))}."
    )
    alt = f"Mean MIS with and without dead units, for {listing(results.series)}. The numbers are in the table below."
    return [Plot("published-and-corrected", partial(draw_published, results, means), caption, alt)]


def draw_published(results: Results, means: Corrected) -> Figure:
    """Draw the means with dead units, without them, and the share of the layer that grows most."""
    figure = Figure(figsize=(page_width(), 3.3), layout="constrained")
    panels = figure.subplots(1, len(PANELS), width_ratios=(1, 1, 0.8))
    panels[1].sharey(panels[0])
    panels[1].tick_params(labelleft=False)
    series = means.by_series()
    styles = looks(results.series, results.controls)
    for ax, (which, title) in zip(panels, PANELS, strict=True):
        ax.set_title(title or f"Share of {shorten(means.layer, 16)}", fontsize=7.5)
        for name, own in series.items():
            look, x = styles[name], [each.rate for each in own]
            y = [getattr(each, which) for each in own]
            ax.plot(x, y, color=look.colour, marker=look.marker, label=name)
        figures.label_rates(ax, results)
    panels[2].axhline(means.of_all, color=INK, linewidth=0.8, linestyle=(0, (1, 2)))
    panels[2].yaxis.set_major_formatter(figures.PERCENT)
    panels[2].set_ylim(bottom=0)
    panels[0].set_ylabel("Mean MIS of conv. and linear units")
    shown = [(shorten(name), figures.handle(styles[name])) for name in series]
    figures.legend_below(figure, shown)
    return figure


def _means(results: Results, means: Corrected) -> Table:
    rows = []
    for each in (mean for own in means.by_series().values() for mean in own):
        rows.append(
            {
                "Series": Cell(each.series),
                results.rate_label: Cell(name_target(each.target, each.rate), number=each.rate),
                "Dead (inferred)": number_cell(each.dead, percent),
                "Mean MIS as published": number_cell(each.scored, decimal),
                "Dead units set aside": number_cell(each.live, decimal),
                f"Share of {means.layer}": number_cell(each.layer, percent),
                "ρ with the rate, published": _rho(means, each, "scored"),
                "ρ, corrected": _rho(means, each, "live"),
            }
        )
    caption = (
        "Mean MIS of convolution and linear units. ρ: Spearman's correlation with the rate within the series. Over all "
        f"{len(means.means)} networks Pearson's r is {decimal(means.pooled('scored'))} as published and "
        f"{decimal(means.pooled('live'))} with dead units set aside; pooled, it mixes what happens within series with "
        "what differs between them."
    )
    return table_of(rows, caption)


def _rho(means: Corrected, each: MeanMis, which: str) -> Cell:
    return number_cell(means.within(which).get(each.series, math.nan), signed)


def _pairs(results: Results, pairs: list[Preference]) -> Table:
    naive, tested = holm_of(pair.p_of_chi2 for pair in pairs), holm_of(pair.crossed.p for pair in pairs)
    rows = []
    for pair, p_naive, p in zip(pairs, naive, tested, strict=True):
        low, high = pair.as_if_independent
        rows.append(
            {
                "Shown": compared(results, pair),
                "χ², as published": Cell(decimal(pair.chi2), f"p {p_value(pair.p_of_chi2)}", pair.chi2),
                "p with Holm": number_cell(p_naive, p_value),
                "Share, as if independent": Cell(percent(pair.share), interval(low, high), pair.share),
                "Share, over participants and items": Cell(
                    percent(pair.share), interval(pair.crossed.low, pair.crossed.high), pair.share
                ),
                "p over participants and items, with Holm": number_cell(p, p_value)
                if math.isfinite(p)
                else Cell(NO_VALUE, "only totals", math.nan),
            }
        )
    caption = (
        "Answers to each pair of networks: of those that prefer one, the share that prefers the more pruned one, with "
        "its 95 % interval as if answers were independent, and over participants and items."
    )
    return table_of(rows, caption)
