"""The section on answers of people: which of two networks they prefer, what they recognise, how far they agree."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import partial

from prunescope.analysis.agreement import OVER, Agreement, agreements
from prunescope.analysis.crossed import Crossed
from prunescope.analysis.recognitions import Recognition, recognitions
from prunescope.analysis.results import Results
from prunescope.analysis.votes import (
    BUSIEST,
    Preference,
    holm_of,
    is_simulated,
    name_of,
    preferences,
    preferences_by_class,
    without_busiest,
)
from prunescope.report import people, vote_figures
from prunescope.report.blocks import Cell, Plot, Section, Table, change_cell, number_cell, table_of
from prunescope.report.formats import NO_VALUE, count, decimal, interval, p_value, percent, whole
from prunescope.report.simulated import marked

WHAT_IT_IS = (
    "People were shown what two networks explain about the same image, and said which is more reasonable, or that "
    "both are alike. Shares are of the answers that prefer one.",
    "Answers of one person go together, and so do answers about one image, and a few people may give many answers. So "
    "intervals resample participants and items; the test of published studies, χ² as if every answer were another "
    "person's, is beside it and claims more than the answers hold.",
)
AGREED_ON = "the side that they chose, and on the network that was on it."


def votes(results: Results) -> Section | None:
    """Show the answers of people, or their totals where only these are known."""
    pairs, named = preferences(results), recognitions(results)
    plots, numbers = people.parts_of(results)
    if not (pairs or named or plots or numbers):
        return None
    by_class = preferences_by_class(results)
    agreed = [each for each in agreements(results) if math.isfinite(each.alpha.estimate)]
    tables = [_table(results, pairs)] if pairs else []
    tables += [_identification(results, named)] if named else []
    tables += [_agreement(agreed)] if agreed else []
    section = Section(
        "votes",
        "What people say",
        text=[*_tasks(plots), *(WHAT_IT_IS if pairs else ())],
        warnings=_only_totals(results),
        plots=[*plots, *_plots(results, pairs, by_class, named, agreed)],
        tables=[*tables, *numbers],
    )
    return marked(section) if is_simulated(results) else section


def _tasks(plots: Sequence[Plot]) -> list[str]:
    """Say what the tasks of MIS are, if people were asked them."""
    return [people.WHAT_TASKS_ARE] if any(plot.name == "right-answers" for plot in plots) else []


def _only_totals(results: Results) -> list[str]:
    if len(results.votes):
        return []
    return [
        "Only totals of the answers are known, not whose they are: there is no interval over participants."
    ]


def _plots(
    results: Results,
    pairs: Sequence[Preference],
    by_class: Sequence[Preference],
    named: Sequence[Recognition],
    agreed: Sequence[Agreement],
) -> list[Plot]:
    plots = []
    if pairs:
        caption = (
            "Left: all answers to each pair of networks. Right: of those that prefer one, the share that prefers the "
            "more pruned network, with 95 % intervals over participants and items, and, thin, as if all answers were "
            "independent. Line: one half."
        )
        alt = f"Answers to {count(len(pairs), 'pair')} of networks. The numbers are in the table of this section."
        plots.append(Plot("votes", partial(vote_figures.draw_votes, results, pairs), caption, alt))
    if by_class:
        known = [pair for pair in pairs if pair.participants]
        caption = "The same for the images of each class, with 95 % intervals over participants and items."
        alt = "Share that prefers the more pruned network, by class. The numbers are among all conclusions."
        draw = partial(vote_figures.draw_by_class, results, known, by_class)
        plots.append(Plot("votes-by-class", draw, caption, alt))
    if named:
        caption = "What people answered who were shown what one network explains, and named its class."
        alt = f"Right, wrong and missing answers for {count(len(named), 'network')}; the numbers are in a table below."
        plots.append(
            Plot("identification", partial(vote_figures.draw_identification, results, named), caption, alt)
        )
    if agreed:
        caption = (
            "How far people agree about the same item, with 95 % intervals over participants and items: on "
            f"{AGREED_ON if pairs else 'the answer that they gave, or which of two images they chose.'}"
        )
        alt = "Krippendorff's α of each stimulus. The numbers are in the table of this section."
        plots.append(Plot("agreement", partial(vote_figures.draw_agreement, agreed), caption, alt))
    return plots


def _table(results: Results, pairs: Sequence[Preference]) -> Table:
    tested, naive = holm_of(pair.crossed.p for pair in pairs), holm_of(pair.p_of_chi2 for pair in pairs)
    rest = {_key(pair): pair for pair in without_busiest(results)}
    rows = []
    for pair, p, p_naive in zip(pairs, tested, naive, strict=True):
        without = rest.get(_key(pair))
        rows.append(
            {
                "Shown": compared(results, pair),
                "Answers": number_cell(sum(pair.counts), whole),
                "Less pruned": number_cell(pair.counts[0], whole),
                "Equal": number_cell(pair.counts[2], whole),
                "More pruned": number_cell(pair.counts[1], whole),
                "Participants": number_cell(pair.participants or math.nan, whole),
                "Share, more pruned": _share(pair),
                "p (Holm)": _p(pair.crossed.p, p),
                "χ² as if independent": _chi2(pair, p_naive),
                f"Share without the {BUSIEST} busiest": _share(without) if without else Cell(NO_VALUE),
            }
        )
    caption = (
        "Answers to each pair of networks: how many prefer the less or the more pruned one. Share: of those that "
        "prefer one, with the 95 % interval over participants and items. Holm's correction is over these "
        f"{count(len(pairs), 'comparison')}."
    )
    return table_of(rows, caption)


def compared(results: Results, pair: Preference) -> Cell:
    """Name what was shown, and below it the two networks."""
    return Cell(pair.stimulus, f"{name_of(pair.one, results)} or {name_of(pair.other, results)}")


def _key(pair: Preference) -> tuple[str, str, str, str]:
    return pair.experiment, pair.stimulus, pair.one, pair.other


def _share(pair: Preference) -> Cell:
    return Cell(percent(pair.share), interval(pair.crossed.low, pair.crossed.high), pair.share)


def _p(p: float, p_holm: float) -> Cell:
    if math.isnan(p):
        return Cell(NO_VALUE, number=math.nan)
    return Cell(p_value(p_holm), f"{p_value(p)} by itself", p_holm)


def _chi2(pair: Preference, p_holm: float) -> Cell:
    if not pair.decided:
        return Cell(NO_VALUE, number=math.nan)
    return Cell(decimal(pair.chi2), f"p {p_value(p_holm)} (Holm)", pair.chi2)


def _identification(results: Results, named: Sequence[Recognition]) -> Table:
    rows = []
    corrected = holm_of(each.change.p for each in named)
    for each, p in zip(named, corrected, strict=True):
        _, unsure, every = each.counts
        rows.append(
            {
                "Network": Cell(name_of(each.network, results)),
                "Answers": number_cell(every, whole),
                "Right class": Cell(
                    percent(each.share), interval(each.crossed.low, each.crossed.high), each.share
                ),
                "Against dense": change_cell(each.change.estimate, each.change.low, each.change.high),
                "p (Holm)": _p(each.change.p, p),
                "Don't know": number_cell(unsure / every if every else math.nan, percent),
                "Participants": number_cell(each.participants or math.nan, whole),
            }
        )
    compared = any(math.isfinite(each.change.p) for each in named)
    caption = "Answers that name the class of what one network shows." + (
        " With 95 % intervals over participants and items; against the network that is pruned least."
        if compared
        else ""
    )
    return table_of(rows, caption)


def _agreement(agreed: Sequence[Agreement]) -> Table:
    rows = [
        {
            "Shown": Cell(each.stimulus),
            "Over": Cell(OVER[each.over]),
            "Participants": Cell(whole(each.participants), _without(each), each.participants),
            "Items": number_cell(each.items, whole),
            "Krippendorff's α": Cell(_signed(each.alpha.estimate), _ends(each.alpha), each.alpha.estimate),
        }
        for each in agreed
    ]
    return table_of(
        rows, "Agreement of people on the same item, of nominal answers. 0 is chance, 1 is perfect."
    )


def _without(each: Agreement) -> str:
    return "" if each.busiest else f"without the {BUSIEST} busiest"


def _ends(found: Crossed) -> str:
    return "" if math.isnan(found.low) else f"{_signed(found.low)} to {_signed(found.high)}"


def _signed(alpha: float) -> str:
    return decimal(alpha).replace("-", "−")
