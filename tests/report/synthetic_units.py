"""Tables of what the units of a synthetic study respond to, by formulas: `units`, `detectors`, `examples`."""

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

CONCEPTS = (
    ("object", "dog"), ("object", "car"), ("object", "tree"), ("part", "wheel"), ("part", "head"),
    ("scene", "street"), ("texture", "striped"), ("texture", "dotted"), ("color", "red"), ("color", "blue"),
)  # fmt: skip
CATEGORIES = tuple(dict.fromkeys(category for category, _ in CONCEPTS))
CONDITIONS = {
    "similarity": "classical", "slope": 16.0, "images": 500, "image_set": "a1b2", "tasks": 20, "references": 9,
    "difficulty": "easy",
}  # fmt: skip
CHANCE = (0.5, 0.38, 0.62)


def write_unit_study(
    folder: Path,
    *,
    widths: Sequence[int] = (8, 16, 8),
    keep: int = 4,
    images: int = 40,
    measures: Sequence[str] = ("mis", "dissection"),
    **shape: Any,
) -> Path:
    """Write a study of convolutions of so many units, with a linear layer of one unit per class."""
    write_study(folder, **shape)
    tables = folder / "tables"
    networks = pd.read_parquet(tables / "networks.parquet")
    classes = list(shape.get("classes", [f"class {i}" for i in range(10)]))
    rows = list(networks.to_dict("records"))
    units = pd.concat([units_of(row, widths, classes) for row in rows], ignore_index=True)
    detectors = pd.concat([_detectors(row, units) for row in rows], ignore_index=True)
    scores = pd.concat(
        [pd.read_parquet(tables / "scores.parquet"), _scores(rows, units, detectors, measures)],
        ignore_index=True,
    )
    scores.to_parquet(tables / "scores.parquet")
    kept = units.drop(columns=[] if "dissection" in measures else ["concept", "category", "iou", "detector"])
    if "mis" not in measures:
        kept = kept[kept["kind"] == "conv"].drop(
            columns=["alive", "mis", "hit_rate", "mis_published", *CONDITIONS]
        )
    kept.to_parquet(tables / "units.parquet")
    if "dissection" in measures:
        detectors.to_parquet(tables / "detectors.parquet")
    examples = pd.concat(
        [_examples(row, units, measure, keep, images) for row in rows for measure in measures]
    )
    examples.to_parquet(tables / "examples.parquet", index=False)
    (folder / "pictures").mkdir()
    _thumbnails(measures, images).to_parquet(folder / "pictures" / "thumbnails.parquet")
    return folder


def units_of(network: dict[str, Any], widths: Sequence[int], classes: Sequence[str]) -> pd.DataFrame:
    """Return the rows of one network: convolutions, of which pruning filters kills some, and the logits."""
    sizes = [*widths, len(classes)]
    layer = np.repeat(np.arange(len(sizes)), sizes)
    unit = np.concatenate([np.arange(size) for size in sizes])
    conv = layer < len(widths)
    rate = network["rate"]
    place = np.concatenate([np.linspace(0, 1, size, endpoint=False) for size in sizes])
    filters = network["granularity"] == "filter"
    dead = conv & (place * 0.97 < rate) & (layer > 0) & filters
    # Multiples of the golden ratio fill (0, 1) evenly; the logistic quantile makes a bell of them.
    even = ((unit + 1) * 0.6180339887 + layer * 0.37 + 0.1 * network["seed"]) % 1 * 0.98 + 0.01
    fall = {"filters": 0.12, "weights": 0.05}.get(network["series"], 0.2) * rate**2
    fall = fall if network["stage"] == "retrained" else 1.6 * fall
    mis = np.clip(0.77 + 0.05 * np.log(even / (1 - even)) + 0.06 * layer / len(sizes) - fall, 0.02, 0.995)
    # The higher the rate, the more units turn to another concept.
    concept = (unit * 7 + layer * 3 + (even < 0.6 * rate) * (5 + filters)) % len(CONCEPTS)
    iou = np.where(dead, 0.0, np.abs(0.09 * np.cos(2.3 * unit + layer)) * (1 - 0.6 * rate))
    names = [f"inception{i}a.branch{i % 4}.conv" for i in range(len(widths))] + ["fc"]
    nothing = pd.Series([None] * len(unit), dtype=object)
    return pd.DataFrame(
        {
            "network": network["network"],
            "layer": np.array(names, dtype=object)[layer],
            "kind": np.where(conv, "conv", "linear"),
            "unit": unit,
            "alive": ~dead,
            "mis": np.where(dead, math.nan, mis),
            "hit_rate": np.where(dead, math.nan, np.round(mis * 20) / 20),
            "margin": np.where(dead, math.nan, (mis - 0.5) / 4),
            "mis_published": np.where(dead, 0.998, mis),
            "class": nothing.where(conv, np.array(classes, dtype=object)[np.where(conv, 0, unit)]),
            **CONDITIONS,
            "concept": nothing.where(~conv, [CONCEPTS[i][1] for i in concept]),
            "category": nothing.where(~conv, [CONCEPTS[i][0] for i in concept]),
            "iou": np.where(conv, iou, math.nan),
            "detector": nothing.where(~conv, iou > 0.04),
        }
    )


def _detectors(network: dict[str, Any], units: pd.DataFrame) -> pd.DataFrame:
    own = units[(units["network"] == network["network"]) & (units["kind"] == "conv")]
    columns = own.loc[own["detector"].astype(bool), ["layer", "category", "concept"]]
    found = list(columns.itertuples(index=False, name=None))
    controls = {"": 1.0, "rotated": 0.4, "untrained": 0.15} if network["stage"] == "dense" else {"": 1.0}
    rows = []
    for layer, category in itertools.product(("", *own["layer"].unique()), ("", *CATEGORIES)):
        here = [concept for where, kind, concept in found if layer in {"", where} and category in {"", kind}]
        rows += [
            {
                "network": network["network"], "control": control, "layer": layer, "category": category,
                "units": len(own), "detectors": round(share * len(here)),
                "unique_detectors": round(share * len(set(here))),
            }
            for control, share in controls.items()
        ]  # fmt: skip
    return pd.DataFrame(rows)


def _scores(
    networks: list[dict[str, Any]], units: pd.DataFrame, detectors: pd.DataFrame, measures: Sequence[str]
) -> pd.DataFrame:
    rows = []
    of_network = dict(list(units.groupby("network")))
    conv = units[units["kind"] == "conv"]
    always = conv.pivot(index="network", columns=["layer", "unit"], values="alive").all()
    whole = detectors.query("control == '' and layer == '' and category == ''").set_index("network")
    for network in networks:
        own = of_network[network["network"]]
        conv = own[own["kind"] == "conv"].set_index(["layer", "unit"])
        live = conv.loc[conv["alive"].astype(bool), "mis"]
        error = 1.96 * live.std() / math.sqrt(len(live))
        found: dict[str, tuple[str, float, float, float]] = {}

        def add(measure, metric, value, low=math.nan, high=math.nan, found=found):
            found[metric] = (measure, float(value), low, high)

        add("mis", "mis", live.mean(), live.mean() - error, live.mean() + error)
        add("mis", "mis_layers", live.groupby("layer").mean().mean())
        add("mis", "mis_paired", conv.loc[always[always].index, "mis"].mean())
        add("mis", "mis_published", own["mis_published"].mean())
        add("mis", "hit_rate", conv["hit_rate"].mean())
        add("mis", "mis_chance", *CHANCE)
        add("mis", "units_alive", conv["alive"].sum())
        add("mis", "units_dead", (~conv["alive"].astype(bool)).sum())
        for metric in ("detectors", "unique_detectors"):
            add("dissection", metric, whole.loc[network["network"], metric])
        if network["stage"] != "dense":
            dense = of_network[f"dense-seed{network['seed']}"]
            dense = dense[dense["kind"] == "conv"].set_index(["layer", "unit"])
            was, now = dense["detector"].astype(bool), conv["detector"].astype(bool)
            same = dense["concept"] == conv["concept"]
            add("dissection", "concepts_kept", (was & now & same).sum())
            add("dissection", "concepts_changed", (was & now & ~same).sum())
            add("dissection", "concepts_lost", (was & ~now).sum())
            add("dissection", "concepts_gained", (~was & now).sum())
            before, after = set(dense.loc[was, "concept"]), set(conv.loc[now, "concept"])
            add("dissection", "concept_jaccard", len(before & after) / max(1, len(before | after)))
        rows += [
            (network["network"], metric, value, low, high, len(live), measure)
            for metric, (measure, value, low, high) in found.items()
            if measure in measures
        ]
    return pd.DataFrame(rows, columns=["network", "metric", "value", "low", "high", "n", "measure"])


def outline_of(image: int) -> str:
    """Return the outline of the activation in an image: a disc-like shape around its bright spot."""
    x, y = spot_of(image)
    corners = [(x + 22 * math.cos(t / 8 * math.pi), y + 18 * math.sin(t / 8 * math.pi)) for t in range(16)]
    return (
        "M" + "L".join(f"{round(min(max(a, 0), 96))} {round(min(max(b, 0), 96))}" for a, b in corners) + "Z"
    )


def spot_of(image: int) -> tuple[int, int]:
    return 25 + image * 17 % 46, 25 + image * 29 % 46


def _examples(
    network: dict[str, Any], units: pd.DataFrame, measure: str, keep: int, images: int
) -> pd.DataFrame:
    own = units[units["network"] == network["network"]]
    if measure == "dissection":
        own = own[own["kind"] == "conv"]
    rows, ranks = len(own), np.tile(np.arange(keep), len(own))
    outlines = np.array([outline_of(image) for image in range(images)], dtype=object)
    layer = own["layer"].factorize()[0]
    parts = []
    for side, turn in (("highest", 0), ("lowest", images // 2)):
        shift = int(2 * network["rate"]) + turn
        image = (np.repeat(own["unit"].to_numpy() * 5 + layer * 11 + shift, keep) + 3 * ranks) % images
        parts.append(
            pd.DataFrame(
                {
                    "network": network["network"], "measure": measure,
                    "layer": np.repeat(own["layer"].to_numpy(), keep), "unit": np.repeat(own["unit"].to_numpy(), keep),
                    "side": side, "rank": ranks, "image": np.char.mod(f"{measure}/%d.png", image).astype(object),
                    "activation": 3.0 - ranks if side == "highest" else ranks - 3.0,
                    "outline": outlines[image] if side == "highest" else np.full(rows * keep, "", dtype=object),
                }
            )
        )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def _thumbnails(measures: Sequence[str], images: int) -> pd.DataFrame:
    down, across = np.mgrid[:96, :96]
    rows = []
    for place, measure in enumerate(measures):
        for image in range(images):
            x, y = spot_of(image)
            glow = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 500)
            tint = np.array(
                [(image * 37 + 90 * place) % 200 + 40, image * 91 % 200 + 40, image * 53 % 200 + 40]
            )
            pixels = np.clip(
                0.35 * tint + 200 * glow[..., None] * tint / 255 + 20 * (across % 12 < 3)[..., None], 0, 255
            )
            file = io.BytesIO()
            Image.fromarray(pixels.astype(np.uint8)).save(file, "JPEG", quality=80)
            rows.append({"measure": measure, "image": f"{measure}/{image}.png", "jpeg": file.getvalue()})
    return pd.DataFrame(rows)
