"""The gallery of the most forgotten images: what each network called them."""

from __future__ import annotations

from collections import Counter

import pandas as pd

from prunescope.analysis.results import Results, are_one, records
from prunescope.measures.forgetting_gallery import gallery_images
from prunescope.report.blocks import Gallery, Picture, Tile
from prunescope.report.prunings import Pruning, by_series, drawn

MEASURE = "forgetting"  # whose thumbnails these are
DENSE = ("", "", "dense")  # series, target and stage of the dense networks
MOST_COLUMNS = 7  # targets beside the dense network


def galleries(results: Results, found: list[Pruning]) -> list[Gallery]:
    """Show the most forgotten images with what the networks of all seeds called them, a gallery per series."""
    names = gallery_images(results.forgetting_images)
    if not names or results.images.empty:
        return []
    answers = _answers(results, found)
    pictures = _pictures(results, names)
    made: list[Gallery] = []
    for own in by_series(found).values():
        shown = drawn(own, MOST_COLUMNS)
        rows = [
            [pictures[name], _tile(answers, *DENSE, name)]
            + [_tile(answers, each.series, each.target, each.stage, name) for each in shown]
            for name in names
        ]
        columns = ["Image", "Dense", *(each.name for each in shown)]
        several = any(called.total() > 1 for _, called in answers.values())
        made.append(Gallery(columns, rows, _caption(own[-1], len(names), made, several), folded=bool(made)))
    return made


def _caption(last: Pruning, images: int, before: list[Gallery], several: bool) -> str:
    if before:
        return f"The most forgotten images: {last.series}"
    return (
        f"The {images} images that are lost most, averaged over all series and targets, and what the networks called "
        f"them: {last.series}. {'× 3: so many seeds. ' if several else ''}They were chosen because they are lost, so "
        "they say what forgetting looks like, not how much there is of it; some are lost by chance."
    )


Answers = dict[tuple[str, str, str, str], tuple[str, Counter[str]]]  # the true class, and each label's seeds


def _answers(results: Results, found: list[Pruning]) -> Answers:
    """Return what networks pruned alike called each image; dense ones are of no series.

    Seeds whose networks are one and the same count once.
    """
    once = {each[:3] for each in found if each.seeds == 1 and are_one(each.of(results.networks))}
    if are_one(results.dense):
        once.add(DENSE)
    known = results.networks[["network", "series", "target", "stage"]]
    rows = results.images.astype({"network": object, "image": object}).merge(known, on="network")
    dense = rows["stage"] == "dense"
    rows[["series", "target"]] = rows[["series", "target"]].mask(dense, "")
    classes = _classes(results)
    answers: Answers = {}
    for row in records(rows):
        key = (str(row["series"]), str(row["target"]), str(row["stage"]), str(row["image"]))
        label, prediction = (classes.get(row[name], str(row[name])) for name in ("label", "prediction"))
        if not (key in answers and key[:3] in once):
            answers.setdefault(key, (label, Counter()))[1][prediction] += 1
    return answers


def _classes(results: Results) -> dict[int, str]:
    both = pd.concat([table[["index", "class"]] for table in (results.forgetting_classes, results.classes)])
    return {int(row["index"]): str(row["class"]) for row in records(both.drop_duplicates("index"))}


def _pictures(results: Results, names: list[str]) -> dict[str, Tile]:
    """Return a tile for each image: its thumbnail if there is one, its class and its name."""
    own = results.thumbnails[results.thumbnails["measure"] == MEASURE]
    jpegs = dict(zip(own["image"].astype(str), own["jpeg"], strict=True))
    classes = _classes(results)
    labels = dict(zip(results.images["image"].astype(str), results.images["label"], strict=True))
    tiles = {}
    for place, name in enumerate(names):
        label = classes.get(labels.get(name, -1), "")
        picture = None
        if name in jpegs:
            picture = Picture(f"forgotten/{place}.jpg", jpegs[name], f"{name}, of the class {label}")
        tiles[name] = Tile(picture, [label, name])
    return tiles


def _tile(answers: Answers, series: str, target: str, stage: str, image: str) -> Tile:
    label, called = answers.get((series, target, stage, image), ("", Counter()))
    total = called.total()
    if total == 0:
        return Tile()
    right = called[label] / total
    if total == 1:
        return Tile(None, [*called, "right" if right else "wrong"], bool(right))
    order = sorted(called.items(), key=lambda item: (-item[1], item[0]))
    lines = [f"{name} × {seeds}" for name, seeds in order]
    return Tile(None, [*lines, f"{called[label]} of {total} right"], right > 0.5)
