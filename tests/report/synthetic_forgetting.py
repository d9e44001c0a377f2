"""Tables of what pruning forgets, by formulas, as the measure `forgetting` would leave them."""

from __future__ import annotations

import io
import itertools
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from synthetic import write_study

IMAGES = 60
GROUPS = {"subject_share": ("to 0.1", "0.1 to 0.4", "above 0.4"), "scene": ("beach", "forest", "not known")}
Key = dict[str, Any]


def write_forgetting_study(
    folder: Path, *, attributes: bool = True, seeds: Sequence[int] = (0, 1, 2, 3, 4), **shape: Any
) -> Path:
    """Write a study and its tables of forgetting; images are named `<class>/<number>.png`."""
    write_study(folder, seeds=seeds, **shape)
    tables = folder / "tables"
    networks = pd.read_parquet(tables / "networks.parquet")
    networks["target"] = networks["rate"].map("{:.4g}".format)
    networks.to_parquet(tables / "networks.parquet")
    classes = list(shape.get("classes", [f"class {i}" for i in range(10)]))
    pruned = networks[networks["stage"] != "dense"].drop_duplicates(["series", "target", "stage"])
    keys = pruned[["series", "target", "stage"]].to_dict("records")
    count = len(seeds)
    made = {
        "forgetting": [row for key in keys for row in _numbers(key, count)],
        "forgetting_classes": [row for key in keys for row in class_rows(key, classes, count)],
        "forgetting_images": [row for key in keys for row in _image_rows(key, classes, count)],
        "images": [row for network in networks.to_dict("records") for row in _answers(network, classes)],
    }
    if attributes:
        made["forgetting_groups"] = [row for key in keys for row in group_rows(key, classes, count)]
        made["forgetting_attributes"] = [row for key in keys for row in _attribute_rows(key)]
    for name, rows in made.items():
        table = pd.DataFrame(rows)
        if name == "forgetting_images":
            table["exemplar"] = table["exemplar"].astype("boolean")
        table.to_parquet(tables / f"{name}.parquet")
    (folder / "pictures").mkdir()
    _thumbnails(classes).to_parquet(folder / "pictures" / "thumbnails.parquet")
    return folder


def name_of(image: int, classes: Sequence[str]) -> str:
    """Return the name of an image, whose class goes round."""
    return f"{image % len(classes)}/{image}.png"


def harm(key: Key) -> float:
    """Return how much is lost on average: more at higher rates, by filters, and before retraining."""
    much = 0.3 if key["series"] == "filters" else 0.15
    return (2.0 if key["stage"] == "pruned" else 1.0) * much * float(key["target"]) ** 2


def _numbers(key: Key, seeds: int) -> list[dict[str, Any]]:
    lost = harm(key)
    values = {
        "agreement": 0.96 - lost, "lost": 0.6 * lost, "won": 0.2 * lost, "top1_change": -0.4 * lost,
        "calibration_change": 0.25 * lost, "overconfidence_change": 0.2 * lost,
        "agreement_right": 0.98 - 0.8 * lost, "agreement_wrong": 0.7 - lost,
    }  # fmt: skip
    if seeds > 1:
        values |= {"exemplars": 0.7 * lost, "exemplars_dense_top1": 0.45, "others_dense_top1": 0.93}
        values |= {"exemplars_by_chance": 0.012, "agreement_of_seeds": 0.94}
    over = {"exemplars": "images", "exemplars_by_chance": "swaps"} if seeds > 1 else {}
    rows = []
    for metric, value in values.items():
        width = math.nan if metric == "agreement_of_seeds" else 0.01
        about = {"n": IMAGES, "seeds": seeds, "over": over.get(metric, "seeds" if seeds > 1 else "images")}
        rows.append(
            key | {"metric": metric, "value": value, "low": value - width, "high": value + width} | about
        )
    return rows


def relative_of(key: Key, index: int, classes: int) -> float:
    """Return the change of a class less the mean change: the first classes fall furthest."""
    return harm(key) * (2 * index / max(classes - 1, 1) - 1)


def class_rows(key: Key, classes: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Return the rows of one pruning; a class is shown to differ where the interval of ± .03 leaves out 0."""
    rows = []
    for index, name in enumerate(classes):
        relative = relative_of(key, index, len(classes))
        change = relative - harm(key)
        shown = abs(relative if seeds > 1 else change) > 0.03
        says = f"{'less' if relative > 0 else 'more'} than the average" if seeds > 1 else "lost"
        row = {
            "index": index, "class": name, "n": IMAGES // len(classes), "dense": 0.9, "pruned": 0.9 + change,
            "change": change, "change_low": change - 0.04, "change_high": change + 0.04, "relative": relative,
            "low": relative - 0.03, "high": relative + 0.03, "t": relative / 0.01, "freedom": 2.0 * seeds - 2,
            "p": 0.001 if shown else 0.4, "p_holm": 0.004 if shown else 1.0, "seeds": seeds,
            "test": "Welch over seeds" if seeds > 1 else "McNemar over images",
            "says": says if shown else "not shown",
        }  # fmt: skip
        rows.append(key | row)
    return rows


def lost_of(key: Key, image: int, seeds: int) -> float:
    """Return the share of the seeds that lose an image: later ones more."""
    return round(seeds * min(1.0, 12 * harm(key) * (image / IMAGES) ** 2)) / seeds


def _image_rows(key: Key, classes: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    rows = []
    for image in range(IMAGES):
        label, lost = image % len(classes), lost_of(key, image, seeds)
        moved = lost > 0.5
        row = {
            "image": name_of(image, classes), "label": label, "dense_label": label,
            "pruned_label": (label + moved) % len(classes), "flip": moved, "exemplar": moved if seeds > 1 else None,
            "dense_right": 1.0, "pruned_right": 1 - lost, "lost": lost, "changed": lost, "seeds": seeds,
        }  # fmt: skip
        rows.append(key | row)
    return rows


def _answers(network: dict[str, Any], classes: Sequence[str]) -> list[dict[str, Any]]:
    """Return what one network called each image: of those that some of five seeds lose, the first seeds lose them."""
    key = {name: network[name] for name in ("series", "target", "stage")}
    rows = []
    for image in range(IMAGES):
        label = image % len(classes)
        lost = 0.0 if network["stage"] == "dense" else lost_of(key, image, 5)
        wrong = network["seed"] < round(5 * lost)
        prediction = (label + wrong * (1 + network["seed"] % 2)) % len(classes)
        row = {"network": network["network"], "image": name_of(image, classes), "label": label}
        rows.append(row | {"prediction": prediction, "confidence": 0.9 - 0.3 * wrong})
    return rows


def group_rows(key: Key, classes: Sequence[str], seeds: int) -> list[dict[str, Any]]:
    """Return the rates by group of one pruning: the first group of each attribute is missed most."""
    rows = []
    groups = [(name, *place) for name, own in GROUPS.items() for place in enumerate(own)]
    for (attribute, place, group), name in itertools.product(groups, ("", *classes)):
        worse = harm(key) * (1.2 - 0.5 * place)
        row = {
            "attribute": attribute, "group": group, "class": name, "n": 20,
            "fpr_dense": 0.01, "fpr_pruned": 0.01 + worse / 10, "fpr_change": worse / 10,
            "fpr_low": worse / 10 - 0.004, "fpr_high": worse / 10 + 0.004,
            "fnr_dense": 0.1, "fnr_pruned": 0.1 + worse, "fnr_change": worse,
            "fnr_low": worse - 0.02, "fnr_high": worse + 0.02,
            "over": "seeds" if seeds > 1 else "images", "seeds": seeds,
        }  # fmt: skip
        rows.append(key | row)
    return rows


def _attribute_rows(key: Key) -> list[dict[str, Any]]:
    """Return what being lost goes with: small subjects, within classes too; scenes overall only; no time."""
    much = harm(key)
    p = 0.0005 if much > 0.04 else 0.3
    found = (
        ("subject_share", "Spearman", -3 * much, p, -3.5 * much, p, -0.2, -0.1),
        ("scene", "share of rank variance", much, p, 0.01, 0.4, 0.05, 0.1),
        ("time", "share of rank variance", 0.01, 0.4, 0.01, 0.5, 0.01, 0.1),
    )
    names = ("attribute", "kind", "statistic", "p", "within", "p_within", "dense", "changed")
    holm = {"p_holm": "p", "p_within_holm": "p_within"}
    rows = [key | dict(zip(names, values, strict=True)) | {"n": IMAGES} for values in found]
    return [row | {name: min(1.0, 3 * row[of]) for name, of in holm.items()} for row in rows]


def _thumbnails(classes: Sequence[str]) -> pd.DataFrame:
    """Return a thumbnail of each image, a disc of its own place and colour."""
    down, across = np.mgrid[:96, :96]
    rows = []
    for image in range(IMAGES):
        disc = (across - 25 - image * 17 % 46) ** 2 + (down - 25 - image * 29 % 46) ** 2 < 500
        colour = np.array([image * 37 % 200 + 40, image * 91 % 200 + 40, image * 53 % 200 + 40])
        pixels = np.where(disc[..., None], colour, 235 - colour // 4).astype(np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG", quality=80)
        rows.append({"measure": "forgetting", "image": name_of(image, classes), "jpeg": file.getvalue()})
    return pd.DataFrame(rows)
