"""A recommendation as a page: the answer, the front, what gives way first, what each wish costs, every network."""

from __future__ import annotations

import math
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from prunescope.analysis import recommend_words as words
from prunescope.analysis.recommendation import Network, Recommendation
from prunescope.analysis.results import records
from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, Verdict, number_cell
from prunescope.report.formats import NO_VALUE, count, listing, name_target
from prunescope.report.page import Page, write_page
from prunescope.report.recommendation_figure import front

JSON = "recommendation.json"
OTHERS = ("study.json", "audit.json")  # folders with these have reports of their own
HOW = (
    "A wish is kept if the mean over seeds is on the right side of its bound, each network paired with the dense one "
    "of its seed. It is shown if the whole 95 % interval is: Student's t over seeds; with one seed, of top-1 over the "
    "images, each beside the dense network's answer, and of other metrics as their measure gives it, where the dense "
    "network does not enter. Not shown is not the same as equal."
)


def write_recommendation(found: Recommendation, folder: Path) -> Path:
    """Write `recommendation.json` and `report/index.html` into a folder; return the page.

    Raises:
        PrunescopeError: the folder holds something else, or cannot be written.
    """
    _refuse_other(folder)
    title = found.title
    page = Page(kind="Recommendation", title=title, name=found.study)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        (folder / JSON).write_text(found.to_json(), encoding="utf-8")
    except OSError as error:
        raise describe_os_error(error, f"writing {folder / JSON}") from error
    return write_page(
        folder,
        page,
        lambda: [
            _answer(found),
            _front(found),
            _gives_way(found),
            *_prices(found),
            _networks(found),
            _asked(found),
        ],
    )


def _refuse_other(folder: Path) -> None:
    """Refuse to put a page in the place of another one."""
    taken = (folder / "report").exists() and not (folder / JSON).exists()
    if taken or any((folder / name).exists() for name in OTHERS):
        raise PrunescopeError(
            f"{folder} holds something else: choose another folder for this page, one that is not there yet"
        )


def _answer(found: Recommendation) -> Section:
    name = _namer(found)
    first, *rest = words.choice(found, name)
    return Section(
        "answer",
        "Answer",
        verdict=Verdict(first, found.best is not None, " ".join(rest)),
        text=[
            *words.dense_itself(found),
            *words.what_costs(found, name),
            *words.first_to_give_way(found),
            *words.left_out(found),
        ],
        warnings=list(words.caveats(found)),
        tables=[_wishes_table(found, found.shown)] if found.shown else [],
    )


def _namer(found: Recommendation) -> Callable[[Network], str]:
    """Return what writes a network as reports do: filters at 40 %."""
    rates = {(row["series"], row["target"]): row["rate"] for row in records(found.networks)}
    return lambda network: f"{network.series} at {name_target(network.target, rates[network])}"


def _wishes_table(found: Recommendation, network: Network) -> Table:
    rows = []
    for wish, answer in zip(found.wishes, found.answers_of(network), strict=True):
        known = math.isfinite(answer["surplus"])
        dense = f"dense {words.number(answer['dense'])}" if math.isfinite(answer["dense"]) else ""
        rows.append(
            [
                Cell(wish.text, words.asked(answer, wish.at_least, wish.strict) if known else ""),
                Cell(words.number(answer["value"]) if known else NO_VALUE, dense, answer["value"]),
                Cell(words.signed(answer["surplus"]), words.interval(answer)) if known else Cell(NO_VALUE),
                Cell(words.verdict(answer), good=_good(answer) if known else None),
            ]
        )
    caption = f"How {_namer(found)(network)} answers each wish. {HOW}"
    return Table(["Wish", "Value", "To spare", "Verdict"], rows, caption)


def _good(row: dict[str, Any]) -> bool | None:
    """Whether something is shown to be kept, or is not kept; None in between."""
    return True if row["shown"] else None if row["kept"] else False


def _front(found: Recommendation) -> Section:
    metrics = list(dict.fromkeys(wish.metric for wish in found.wishes))
    seeds = f" Small dots: each of {found.seeds} seeds." if found.seeds > 1 else ""
    caption = (
        f"Every network: {listing(metrics)} against {found.by.axis.lower()}, of which there is less towards the right. "
        "Grey steps: the best that is to be had at each cost; the labels are its rates. Dashed: the bound of a wish; "
        "networks in the grey do not keep it. Bars: the 95 % interval of what there is to spare, so that one that "
        f"crosses the bound is not shown to keep it.{seeds}"
    )
    alt = (
        f"{listing(metrics)} against {found.by.axis.lower()}, for {listing(list(found.series))}. "
        "The numbers are in the tables of this page."
    )
    fronts = {}
    for wish in found.wishes:
        own = found.answers[(found.answers["wish"] == wish.text) & found.answers["front"]]
        fronts[wish.metric] = f"{len(own)} of {len(found.networks)} by {wish.metric}"
    text = (
        "On the front are the networks that no other beats both in cost and in what is to be kept: "
        f"{listing(list(fronts.values()))}."
    )
    return Section(
        "front",
        "What there is to choose",
        text=[text],
        plots=[Plot("front", partial(front, found), caption, alt)],
    )


def _gives_way(found: Recommendation) -> Section:
    rates = {(row["series"], row["target"]): row["rate"] for row in records(found.networks)}
    order = {name: number for number, name in enumerate(found.series)}
    table = found.gives_way.sort_values("series", key=lambda column: column.map(order), kind="stable")
    rows = []
    for row in records(table):
        named = {
            key: name_target(row[key], rates[row["series"], row[key]]) if row[key] else ""
            for key in ("since", "until", "at", "again")
        }
        kept = named["since"] if named["since"] == named["until"] else f"{named['since']} to {named['until']}"
        rows.append(
            [
                Cell(row["series"]),
                Cell(row["wish"]),
                Cell(kept if row["since"] else "nowhere"),
                Cell(named["at"] or "nowhere"),
                Cell(named["again"] or NO_VALUE),
                Cell(str(row["place"]) if row["place"] else NO_VALUE, number=row["place"] or math.nan),
            ]
        )
    columns = ["Series", "Wish", "Kept", "Gives way at", "Kept again at", "Order"]
    caption = (
        "Each series from its lowest rate up: where a wish is kept, and the first rate at which it is not any longer. "
        "Order 1 gives way first. Where a wish is kept again at a higher rate, chance may have decided."
    )
    return Section("gives-way", "What gives way first", tables=[Table(columns, rows, caption)])


def _prices(found: Recommendation) -> list[Section]:
    if len(found.wishes) < 2:
        return []
    name, rows = _namer(found), []
    for row in records(found.prices):
        other = Network(row["series"], row["target"])
        rows.append(
            [
                Cell(row["wish"]),
                Cell(name(other) if row["series"] else "none"),
                number_cell(row["cost"], found.by.write),
                Cell(found.by.write(row["saved"]) if row["saved"] > 0 else NO_VALUE, number=row["saved"]),
            ]
        )
    columns = ["Without the wish", "This would do", found.by.axis, "Less by"]
    caption = "What each wish costs: the network that would be taken if it alone were given up."
    return [Section("prices", "What each wish costs", tables=[Table(columns, rows, caption)])]


def _networks(found: Recommendation) -> Section:
    rows = []
    for row in records(found.networks):
        network = Network(row["series"], row["target"])
        cost = found.by.write(row["cost"])
        within = f"{found.by.write(row['cost_low'])} to {found.by.write(row['cost_high'])}"
        rows.append(
            [
                Cell(row["series"]),
                Cell(name_target(row["target"], row["rate"]), number=row["rate"]),
                Cell(cost, within if math.isfinite(row["cost_low"]) else "", row["cost"]),
                *(_answer_cell(answer) for answer in found.answers_of(network)),
                Cell("yes" if row["shown"] else "not shown" if row["kept"] else "no", good=_good(row)),
            ]
        )
    columns = ["Series", "Rate or target", found.by.axis, *(wish.text for wish in found.wishes), "Keeps all"]
    caption = (
        "Every network, the cheapest first; of each wish the value, and below it what there is to spare, with its "
        "interval. ◆: the best at its cost (the grey steps of the figure). Click a heading to sort."
    )
    return Section("networks", "Every network", tables=[Table(columns, rows, caption, sortable=True)])


def _answer_cell(answer: dict[str, Any]) -> Cell:
    if math.isnan(answer["surplus"]):
        return Cell(NO_VALUE, "not measured", math.nan)
    value = words.number(answer["value"]) + (" ◆" if answer["front"] else "")
    within = f"{words.signed(answer['low'])} to {words.signed(answer['high'])}"
    estimated = answer["over"] not in {"", "counted"}
    return Cell(
        value, words.signed(answer["surplus"]) + (f" ({within})" if estimated else ""), answer["value"]
    )


def _asked(found: Recommendation) -> Section:
    facts = [
        Fact("To be kept", "; ".join(wish.text for wish in found.wishes)),
        Fact("To be least", f"{found.by.axis} (by {found.by.name})"),
        Fact(
            "Taken if", "every interval keeps its wish (sure)" if found.sure else "every mean keeps its wish"
        ),
        Fact("Study", f"{found.study}, {count(found.seeds, 'seed')}"),
    ]
    if found.shown:
        facts.append(Fact("Networks", ", ".join(found.row_of(found.shown)["networks"])))
    return Section("asked", "What was asked", facts=facts)
