"""What the table `speed` of one network says, in sentences: for the command line and for the page."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd

from prunescope.report.formats import listing, percent, times

RUNTIME_NAMES = {
    "pytorch": "PyTorch",
    "channels-last": "PyTorch channels-last",
    "compile": "torch.compile",
    "onnxruntime": "ONNX Runtime",
    "openvino": "OpenVINO",
}
NOTICED = 1.05  # a smaller factor is not worth a word, however sure it is
CLAIMS = {
    "time": "{} is faster than the dense one",
    "nothing": "{} bought nothing",
    "slower": "{} costs time",
    "unclear": "{} was not shown to be faster or slower",
}


def speed_words(speed: pd.DataFrame) -> list[str]:
    """Return what was measured beside what the multiply-accumulates promise, and what bought nothing.

    A variant *bought nothing* where the interval of its speed-up lies within 5 % of 1; it *is faster* where the
    speed-up is 1.05 or more and the interval above 1, and *costs time* where the same holds the other way round.
    All else is not shown, and without an interval nothing is.

    Args:
        speed: the rows of one network (one runtime x batch x variant each), as the measure `speed` returns them.
    """
    if speed.empty:
        return []
    if set(speed["variant"]) == {"dense"}:
        return [
            "Nothing is removed from this network, so there is no speed-up to speak of.",
            *_missing(speed),
        ]
    return [
        *_of_variant(speed, "compact", "The compact network"),
        *_of_variant(speed, "masked", "The mask alone"),
        *_of_variant(speed, "pruned", "The pruned network"),
        *_missing(speed),
    ]


def bought(row: pd.Series[Any] | dict[str, Any]) -> str:
    """Return what a variant's row shows: "time" bought, "slower", "nothing" (within 5 % of 1); else "unclear"."""
    speedup, low, high = (float(row[name]) for name in ("speedup", "low", "high"))
    if 1 / NOTICED <= low <= high <= NOTICED:
        return "nothing"
    if speedup >= NOTICED and low > 1:
        return "time"
    if speedup <= 1 / NOTICED and high < 1:
        return "slower"
    return "unclear"


def _of_variant(speed: pd.DataFrame, variant: str, subject: str) -> list[str]:
    rows = [row for _, row in speed[speed["variant"] == variant].iterrows() if not math.isnan(row["speedup"])]
    if not rows:
        return []
    promised = _promised(speed, rows[0])
    verdicts = {verdict: [row for row in rows if bought(row) == verdict] for verdict in CLAIMS}
    return [
        f"{CLAIMS[verdict].format(subject)}{_too_few(own)}: {_places(own)}{promised}."
        for verdict, own in verdicts.items()
        if own
    ]


def _promised(speed: pd.DataFrame, row: pd.Series[Any]) -> str:
    """Return what the multiply-accumulates of a variant would promise."""
    dense = float(speed.loc[speed["variant"] == "dense", "macs"].iloc[0])
    macs = float(row["macs"])
    if math.isnan(macs) or math.isnan(dense) or not dense:
        return ""
    share = percent(macs / dense)
    factor = times(dense / macs) if macs else times(math.inf)
    if row["variant"] in {"masked", "pruned"}:
        return f"; the {share} of the multiply-accumulates that still act would promise {factor}"
    return f"; its {share} of the multiply-accumulates promise {factor}"


def _places(rows: list[pd.Series[Any]]) -> str:
    """Write speed-ups as 3.30× (3.25–3.36) at batch 1 and 3.40× (3.31–3.49) at batch 16 in PyTorch; …"""
    runtimes: dict[str, list[str]] = {}
    for row in rows:
        runtimes.setdefault(row["runtime"], []).append(f"{_factor(row)} at batch {row['batch']}")
    return "; ".join(f"{listing(found)} in {_name(runtime)}" for runtime, found in runtimes.items())


def _factor(row: pd.Series[Any]) -> str:
    within = "" if math.isnan(row["low"]) else f" ({row['low']:.2f}–{row['high']:.2f})"
    return f"{row['speedup']:.2f}×{within}"


def _too_few(rows: list[pd.Series[Any]]) -> str:
    return ", for which it takes six rounds" if any(math.isnan(row["low"]) for row in rows) else ""


def _missing(speed: pd.DataFrame) -> list[str]:
    """Return one sentence for each reason why a number is missing."""
    reasons: dict[tuple[str, str], list[str]] = {}
    for _, row in speed[speed["why"].notna()].iterrows():
        runtimes = reasons.setdefault((row["variant"], row["why"]), [])
        if _name(row["runtime"]) not in runtimes:
            runtimes.append(_name(row["runtime"]))
    everywhere = speed["runtime"].nunique()
    said = []
    for why in dict.fromkeys(why for _, why in reasons):
        variants = [variant for variant, reason in reasons if reason == why]
        runtimes = list(dict.fromkeys(name for variant in variants for name in reasons[variant, why]))
        place = "" if len(runtimes) == everywhere and variants == ["compact"] else f" in {listing(runtimes)}"
        said.append(f"No {listing(variants).replace(' and ', ' or ')} network was timed{place}: {why}.")
    return said


def _name(runtime: str) -> str:
    return RUNTIME_NAMES.get(runtime, runtime)
