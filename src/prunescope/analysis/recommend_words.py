"""A recommendation in plain words: what is shown, what is not, and what stands in the way of more."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from typing import Any

from prunescope.analysis.kept import COUNTED
from prunescope.analysis.recommendation import TIE, Network, Recommendation
from prunescope.analysis.results import records
from prunescope.analysis.wishes import Wish

Name = Callable[[Network], str]
Answer = dict[str, Any]  # a row of `Recommendation.answers`
OF_COST = (
    *COUNTED,
    "ms_",
    "speedup_",
)  # metrics that are there to be changed: the dense network's is no yardstick
MOST_NAMED = 4
CHOSEN = (
    "What is chosen from many tends to look better than it is, and this was chosen on the images that the study "
    "reports: measure it again on others before you rely on the numbers."
)


def sentences(found: Recommendation) -> list[str]:
    """Say the answer, one thought a sentence."""
    return [
        *choice(found),
        *each_wish(found),
        *dense_itself(found),
        *what_costs(found),
        *first_to_give_way(found),
        *left_out(found),
        *caveats(found),
    ]


def number(value: float, digits: int = 4) -> str:
    """Write a number to so many digits: 0.8372, 12.5, 4,500,123."""
    if math.isnan(value):
        return "not known"
    text = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.{digits}g}"
    return text.replace("-", "−", 1) if value < 0 else text


def signed(value: float) -> str:
    """Write a difference with its sign."""
    return f"{'+' if value > 0 else ''}{number(value, 3)}"


def verdict(answer: Answer) -> str:
    """Say in a few words whether a wish is kept, and how surely."""
    if math.isnan(answer["surplus"]):
        return "not measured"
    if answer["over"] == "counted":
        return "kept" if answer["kept"] else "not kept"
    if not answer["over"]:
        return "kept, no interval" if answer["kept"] else "not kept, no interval"
    if answer["kept"]:
        on_average = " on average" if answer["over"] == "seeds" else ""
        return "kept, shown" if answer["shown"] else f"kept{on_average}, not shown"
    return "not kept" if answer["high"] < 0 else "not kept, but the interval reaches the bound"


def interval(answer: Answer) -> str:
    """Say the interval of a surplus and what it is over, or why there is none."""
    if answer["over"] == "counted":
        return "counted, not estimated"
    if not answer["over"]:
        alike = {0: "", 1: "one network: "}.get(answer["n"], f"the same in all {answer['n']} seeds: ")
        return f"{alike}no interval"
    of = "what the measure resamples" if answer["over"] == "itself" else str(answer["over"])
    number_of = f"{answer['n']:,} " if answer["n"] else ""
    return f"95 %: {signed(answer['low'])} to {signed(answer['high'])} over {number_of}{of}"


def asked(answer: Answer, at_least: bool, strict: bool) -> str:
    """Say a bound: at least 0.847."""
    sense = ("more than" if strict else "at least") if at_least else ("less than" if strict else "at most")
    return f"{sense} {number(answer['bound'])}"


def choice(found: Recommendation, name: Name = str) -> Iterator[str]:
    """Say which network to take, or that none will do and which is nearest; `name` writes a network."""
    whole = f"{_count(len(found.networks), 'network')} in {found.networks['series'].nunique()} series"
    surely = ", intervals and all" if found.sure else ""
    if found.best is None:
        yield f"None of {whole} keeps all that was asked{surely}."
        yield from _nearest(found, name)
        return
    able = found.networks[found.networks["shown" if found.sure else "kept"]]
    aim = "most pruned" if found.by.share else "fastest"
    yield f"Take {_with_cost(found, found.best, name)}."
    yield (
        f"It is the {aim} of the {len(able)} that keep all that was asked{surely}, of {whole}."
        if len(able) > 1
        else f"It is the only one of {whole} that keeps all that was asked{surely}."
    )
    open_yet = [answer["wish"] for answer in found.answers_of(found.best) if not answer["shown"]]
    if open_yet:
        yield f"That it keeps {_listing([f'“{wish}”' for wish in open_yet])} is not shown."
    alike = able[able["cost"] <= able["cost"].min() * (1 + TIE)]
    if len(alike) > 1:
        yield f"{len(alike)} cost the same to within {100 * TIE:g} %; of these it keeps most to spare."
    if found.row_of(found.best)["cost"] >= found.dense["cost"] * (1 - TIE):
        yield "That is no less than the dense network has: nothing that got any smaller keeps all."


def _nearest(found: Recommendation, name: Name) -> Iterator[str]:
    kept = records(found.networks[found.networks["kept"]])
    if found.sure and kept:
        other = Network(kept[0]["series"], kept[0]["target"])
        yield (
            f"Without asking for the whole interval, {len(kept)} would do, first {_with_cost(found, other, name)}; "
            "that they keep it is not shown."
        )
    if found.nearest is None:
        return
    worst = min(found.answers_of(found.nearest), key=lambda answer: answer["relative"])
    yield f"Nearest is {_with_cost(found, found.nearest, name)}."
    if worst["relative"] < 0:
        yield f"What it misses most is “{worst['wish']}”, by {_shortfall(worst)}."


def _shortfall(answer: Answer) -> str:
    share = f"{number(-100 * answer['relative'], 2)} % of"
    if answer["scale"] == abs(answer["dense"]):
        return f"{share} the dense network's value"
    if answer["scale"] == abs(answer["bound"]):
        return f"{share} the bound"
    return number(-answer["surplus"], 2)  # of 0 there is no share


def _with_cost(found: Recommendation, network: Network, name: Name) -> str:
    return f"{name(network)} ({found.by.write(found.row_of(network)['cost'])} {found.by.phrase})"


def each_wish(found: Recommendation) -> Iterator[str]:
    """Say of the network that is recommended, or the nearest, how it answers each wish."""
    if found.shown is None:
        return
    for wish, answer in zip(found.wishes, found.answers_of(found.shown), strict=True):
        if math.isnan(answer["surplus"]):
            yield f"“{wish.text}”: not measured."
            continue
        dense = f" (dense {number(answer['dense'])})" if math.isfinite(answer["dense"]) else ""
        yield (
            f"“{wish.text}”: {wish.metric} is {number(answer['value'])}, asked is "
            f"{asked(answer, wish.at_least, wish.strict)}{dense}; {signed(answer['surplus'])} "
            f"({interval(answer)}): {verdict(answer)}."
        )


def dense_itself(found: Recommendation) -> Iterator[str]:
    """Say, if none will do, which wishes the dense network does not keep either."""
    for wish in found.wishes if found.best is None else ():
        if not wish.metric.startswith(OF_COST) and _dense_misses(found, wish):
            dense = number(found.dense[wish.metric])
            yield f"The dense network does not keep “{wish.text}” either: its {wish.metric} is {dense}."


def _dense_misses(found: Recommendation, wish: Wish) -> bool:
    dense = found.dense[wish.metric]
    surplus = wish.surplus(dense, dense)
    return not (math.isnan(surplus) or wish.holds(surplus))


def what_costs(found: Recommendation, name: Name = str) -> Iterator[str]:
    """Say which wish costs most: what would do without it."""
    if len(found.wishes) < 2:
        return
    prices = found.prices.dropna(subset=["cost"])
    if found.best is not None and prices["saved"].max() <= TIE * found.row_of(found.best)["cost"]:
        aim = "smaller" if found.by.share else "faster"
        yield f"No single wish costs anything: without any one of them, the choice is no {aim}."
        return
    if prices.empty:
        yield "No single wish is the reason: without any one of them, none keeps the others."
        return
    dearest = records(prices.sort_values("cost", kind="stable"))[0]
    other = Network(dearest["series"], dearest["target"])
    yield f"The wish that costs most is “{dearest['wish']}”: without it, {_with_cost(found, other, name)} would do."


def first_to_give_way(found: Recommendation) -> Iterator[str]:
    """Say what gives way first as more is pruned, over all series."""
    never_had = [w.text for w in found.wishes if w.metric.startswith(OF_COST) or _dense_misses(found, w)]
    table = found.gives_way[~found.gives_way["wish"].isin(never_had)]
    firsts = table[table["place"] == 1].groupby("wish", sort=False)["series"].nunique()
    if len(found.wishes) < 2 or firsts.empty:
        return
    firsts = firsts.sort_values(ascending=False, kind="stable")
    series = table["series"].nunique()
    if series == 1:
        yield f"What gives way first as more is pruned is {_listing([f'“{wish}”' for wish in firsts.index])}."
        return
    said = _listing([f"“{wish}” in {count} of {series} series" for wish, count in firsts.items()])
    yield f"What gives way first as more is pruned: {said}."


def left_out(found: Recommendation) -> Iterator[str]:
    """Say which networks were left out, and why."""
    if found.controls:
        yield f"Left out, since they are controls: {'; '.join(found.controls)}."
    if found.without_cost:
        names = "; ".join(map(str, found.without_cost[:MOST_NAMED]))
        more = len(found.without_cost) - MOST_NAMED
        yield f"Left out, since what they cost is not known: {names}{f' and {more} more' if more > 0 else ''}."
    for wish in found.wishes:
        own = found.answers[found.answers["wish"] == wish.text]
        if missing := int(own["surplus"].isna().sum()):
            yield f"“{wish.text}”: not measured of {_count(missing, 'network')}, which count as not keeping it."


def caveats(found: Recommendation) -> Iterator[str]:
    """Say what is not known, and what not to trust."""
    yield from _missed_before(found)
    for wish in found.wishes if found.sure else ():
        own = found.answers[(found.answers["wish"] == wish.text) & found.answers["surplus"].notna()]
        if len(own) and (own["over"] == "").all():
            yield f"“{wish.text}”: there is no interval, so that nobody can be sure; run the study with more seeds."
    if found.seeds == 1:
        yield "There is one seed: how much another training would differ is not known, and is in no interval."
    yield CHOSEN


def _missed_before(found: Recommendation) -> Iterator[str]:
    """Warn of a choice that keeps what networks of its series with less pruned do not: it may be luck."""
    if found.best is None:
        return
    own = found.networks[found.networks["series"] == found.best.series]
    before = own[own["rate"] < found.row_of(found.best)["rate"]]
    missed = before[~before["shown" if found.sure else "kept"]]
    if len(missed):
        yield (
            f"{len(missed)} of the {_count(len(before), 'network')} of {found.best.series} with less pruned do not "
            "keep all that this one keeps: chance may have had its part in the choice."
        )


def _count(number: int, noun: str) -> str:
    return f"{number:,} {noun}{'' if number == 1 else 's'}"


def _listing(items: list[str]) -> str:
    return " and ".join([", ".join(items[:-1]), items[-1]] if len(items) > 1 else items)
