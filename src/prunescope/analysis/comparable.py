"""Which runs can be looked at together: what they are called, and what keeps them apart."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import combinations
from pathlib import Path
from typing import Any

import pandas as pd

from prunescope.analysis.results import Results
from prunescope.analysis.tables import CONDITIONS
from prunescope.errors import PrunescopeError

# Settings that decide what a number means. Those of MIS are columns of the table `units`: `CONDITIONS`.
DECIDING = {
    "accuracy": ("bins",),
    "dissection": ("concepts", "limit", "layer_output", "share", "iou", "side"),
    "explanations": ("target", "choose", "limit", "share", "steps", "baseline", "masks", "seed"),
}
WORDS = {"similarity": "the similarity", "image_set": "the set of images", "images": "the number of images"}


def told_apart(folders: Sequence[Path], runs: Sequence[Results]) -> list[str]:
    """Name each run by its study, those that share a name by as much of their folders as tells them apart.

    Raises:
        PrunescopeError: one of them is given twice, or is a copy of another.
    """
    paths = [folder.resolve() for folder in folders]
    for (one, first), (other, second) in combinations(zip(paths, runs, strict=True), 2):
        if one == other or (first.study and first.study == second.study):
            copied = "is given twice" if one == other else f"is a copy of {one}: both hold the same run"
            raise PrunescopeError(f"{other} {copied}; give each run once")
    own = [str(run.study.get("study") or path.name) for path, run in zip(paths, runs, strict=True)]
    names, depth = list(own), 0
    while len(set(names)) < len(names):
        depth += 1
        names = [
            name if own.count(name) == 1 else "/".join(path.parts[-depth:])
            for name, path in zip(own, paths, strict=True)
        ]
    return names


def refuse_unlike(runs: Mapping[str, Results]) -> None:
    """Refuse runs whose numbers do not mean the same.

    Raises:
        PrunescopeError: networks, test images, conditions of MIS or settings of another measure differ.
    """
    for (one, first), (other, second) in combinations(runs.items(), 2):
        for difference in differences(first, second):
            hint = "write a report of each"
            if ("published" in first.study) != ("published" in second.study):
                published = one if "published" in first.study else other
                hint = f"{published} is a published study, which can be drawn along: give it with --published"
            raise PrunescopeError(f"{one} and {other} cannot be compared: {difference}; {hint}")


def differences(first: Results, second: Results) -> Iterator[str]:
    """Yield what differs between two runs that decides what their numbers mean."""
    yield from _of_networks(first, second)
    yield from _of_images(first, second)
    for column in CONDITIONS:
        one, other = (_only(run.units[column]) for run in (first, second))
        if one is not None and other is not None and one != other:
            yield f"MIS was measured under other conditions ({WORDS.get(column, column)}: {one} and {other})"
    for measure, keys in DECIDING.items():
        own, others = first.settings_of(measure), second.settings_of(measure)
        for key in keys:
            if key in own and key in others and own[key] != others[key]:
                yield f"{measure} was measured otherwise ({key}: {_shown(own[key])} and {_shown(others[key])})"


def _of_networks(first: Results, second: Results) -> Iterator[str]:
    if dense_steps(first).items() & dense_steps(second).items():
        return  # one and the same, however it is described
    one, other = (dict((run.study.get("settings") or {}).get("network") or {}) for run in (first, second))
    for key in ("name", "classes", "options", "preprocess"):
        if key in one and key in other and one[key] != other[key]:
            what = "" if key == "name" else f" ({key})"
            yield f"their networks differ{what}: {_shown(one[key])} and {_shown(other[key])}"


def _of_images(first: Results, second: Results) -> Iterator[str]:
    one, other = (run.study.get("images") or {} for run in (first, second))
    for key, what in (("source", "their images"), ("test", "their numbers of test images")):
        if one.get(key) is not None and other.get(key) is not None and one[key] != other[key]:
            yield f"{what} differ ({_shown(one[key])} and {_shown(other[key])})"
            return
    classes = [_class_names(run) for run in (first, second)]
    if all(map(len, classes)) and classes[0] != classes[1]:
        yield "their classes differ"
        return
    labels = [_labels(run) for run in (first, second)]
    if all(map(len, labels)) and not labels[0].equals(labels[1]):
        yield "their test images have other names or labels"


def dense_steps(run: Results) -> dict[int, str]:
    """Return the hash of the dense network of each seed."""
    return {int(seed): str(step) for seed, step in zip(run.dense["seed"], run.dense["step"], strict=True)}


def _class_names(run: Results) -> list[str]:
    one = run.classes[run.classes["network"].isin(run.dense["network"].head(1))]
    return [str(name) for name in one.sort_values("index")["class"]]


def _labels(run: Results) -> pd.Series[Any]:
    answers = run.answers_of([str(name) for name in run.dense["network"].head(1)])
    return answers.set_index(answers["image"].astype(str))["label"].sort_index()


def _only(column: pd.Series[Any]) -> Any:
    known = column.dropna().unique()
    return known[0] if len(known) else None


def _shown(value: Any) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 80 else text[:79] + "…"
