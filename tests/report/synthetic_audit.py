"""The folder of a synthetic audit by formulas: `audit.json`, tables and pictures of two networks."""

from __future__ import annotations

import io
import json
import math
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from synthetic_explanations import write_explanation_study
from synthetic_forgetting import write_forgetting_study
from synthetic_speed import write_speed_study
from synthetic_units import write_unit_study

RATE = 0.5
WIDTHS = (8, 16, 8)
CLASSES = ("ant", "bee", "cat", "dog", "elk")
IMAGES = 80
MEASURES = ("mis", "dissection", "explanations", "forgetting", "speed")
NETWORKS = {"dense-seed0": "dense", f"pruned-{RATE}-pruned-seed0": "pruned"}
LEFT_OUT = ("steps", "images", "forgetting_images")
PREPROCESS = {
    "resize": 256, "crop": 224, "interpolation": "bilinear", "mean": [0.485, 0.456, 0.406],
    "std": [0.229, 0.224, 0.225], "order": "RGB", "range": 1,
}  # fmt: skip
CONDITIONS = [
    {"condition": "top1_drop > 0.05", "held": True, "reason": "top1_drop is 0.15, which is > 0.05"},
    {"condition": "agreement < 0.5", "held": False, "reason": "agreement is 0.8, which is not < 0.5"},
]


def write_audit_folder(
    folder: Path,
    *,
    measures: Sequence[str] = MEASURES,
    classes: Sequence[str] = CLASSES,
    labelled: bool = True,
    comparable: bool = True,
    metrics: dict[str, Any] | None = None,
    methods: Sequence[str] = ("grad-cam",),
    **about: Any,
) -> Path:
    """Write an audit; `metrics` and `about` replace what the formulas say.

    Args:
        comparable: whether the pruned network has the layers of the dense one, rather than others.
    """
    tables, pictures = _studies(measures, list(classes), methods)
    tables |= _answers(len(classes), labelled)
    if not labelled:
        for name in ("classes", *(name for name in tables if name.startswith("forgetting"))):
            tables.pop(name, None)
    tables["patterns"] = _patterns(tables["layers"])
    tables["relations"] = _relations(tables["layers"]) if comparable else pd.DataFrame({"layer": []})
    if not comparable:
        for table in tables.values():
            if {"network", "layer"} <= set(table):
                other = (table["network"] == "pruned") & (table["layer"].fillna("") != "")
                table["layer"] = table["layer"].where(~other, "other." + table["layer"].astype(object))
    pictures["thumbnails"] = pd.concat(
        [pictures.get("thumbnails", pd.DataFrame()), _thumbnails(tables["answers"])], ignore_index=True
    )
    for name, table in tables.items():
        _write(table, folder / "tables" / f"{name}.parquet")
    for name, table in pictures.items():
        _write(table, folder / "pictures" / f"{name}.parquet")
    told = _numbers(tables, labelled, methods)
    record = _record(tables, classes, labelled, comparable, told[0] | (metrics or {}), told[1]) | about
    (folder / "audit.json").write_text(json.dumps(record), encoding="utf-8")
    return folder


def _write(table: pd.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    table.to_parquet(path, index=False)


def _studies(
    measures: Sequence[str], classes: list[str], methods: Sequence[str]
) -> tuple[dict[str, pd.DataFrame], dict[str, pd.DataFrame]]:
    """Let the writers of studies make the tables of each measure, and name the networks as an audit does."""
    shape: dict[str, Any] = {
        "series": (("pruned", "filter", "l1", 0.6, 0.3),), "rates": (RATE,), "retrain": False,
        "layers": 6, "classes": classes,
    }  # fmt: skip
    units = tuple(name for name in ("mis", "dissection") if name in measures)
    tables: dict[str, pd.DataFrame] = {}
    pictures: dict[str, pd.DataFrame] = {}
    with tempfile.TemporaryDirectory() as temporary:
        made = [
            write_unit_study(Path(temporary) / "units", widths=WIDTHS, measures=units or ("mis",), **shape)
        ]
        if "explanations" in measures:
            stages = ("dense", "pruned")
            made.append(
                write_explanation_study(Path(temporary) / "maps", stages=stages, methods=methods, **shape)
            )
        if "forgetting" in measures:
            made.append(write_forgetting_study(Path(temporary) / "forgetting", seeds=(0,), **shape))
        if "speed" in measures:
            made.append(write_speed_study(Path(temporary) / "speed", **shape))
        for study in made:
            for found, name in ((tables, "tables"), (pictures, "pictures")):
                for path in sorted((study / name).glob("*.parquet")):
                    if path.stem not in LEFT_OUT:
                        _add(found, path.stem, _renamed(pd.read_parquet(path)))
    if not units:
        for name in ("units", "examples", "thumbnails"):
            tables.pop(name, None)
            pictures.pop(name, None)
    tables["scores"] = tables["scores"].drop_duplicates(["network", "metric"], ignore_index=True)
    if "speed" in tables:
        of_pruned = (tables["speed"]["network"] == "pruned") & (tables["speed"]["runtime"] != "openvino")
        tables["speed"] = tables["speed"][of_pruned].replace({"variant": {"masked": "pruned"}})
    tables["networks"] = tables["networks"].assign(target="", stage=tables["networks"]["network"])
    return tables, pictures


def _add(found: dict[str, pd.DataFrame], name: str, table: pd.DataFrame) -> None:
    if name in {"scores", "thumbnails"} and name in found:
        table = pd.concat([found[name], table], ignore_index=True)
    found.setdefault(name, table)
    if name in {"scores", "thumbnails"}:
        found[name] = table


def _renamed(table: pd.DataFrame) -> pd.DataFrame:
    if "network" in table:
        table["network"] = table["network"].replace(NETWORKS)
    if "target" in table and "series" in table:
        table["target"] = ""
    return table


def _answers(classes: int, labelled: bool) -> dict[str, pd.DataFrame]:
    """Return what both networks say: the dense one errs on every tenth image, the pruned one on every fourth."""
    i = np.arange(IMAGES)
    label = i % classes
    dense = np.where(i % 10 == 3, (label + 1) % classes, label)
    pruned = np.where(i % 4 == 1, (label + 2) % classes, label)
    right = {"dense": dense == label, "pruned": pruned == label}
    changed = dense != pruned
    known = {"lost": right["dense"] & ~right["pruned"], "gained": ~right["dense"] & right["pruned"]}
    nothing = pd.array([pd.NA] * IMAGES, dtype="boolean")
    return {
        "answers": pd.DataFrame(
            {
                "image": [f"{k}/{j}.png" for j, k in zip(i, label, strict=True)],
                "label": label if labelled else np.full(IMAGES, -1), "dense": dense, "pruned": pruned,
                "dense_confidence": 0.9 - 0.3 * (i % 7) / 7, "pruned_confidence": 0.8 - 0.4 * (i % 9) / 9,
                "pruned_of_dense": 0.5, "divergence": np.where(changed, 0.4 + 0.004 * i, 0.02), "changed": changed,
                **{fate: value if labelled else nothing for fate, value in known.items()},
            }
        )
    }  # fmt: skip


def _patterns(layers: pd.DataFrame) -> pd.DataFrame:
    zeros = (layers["zeros"] * layers["weights"]).round()
    filters = layers["network"].eq("pruned") & (zeros > 0)
    return pd.DataFrame(
        {
            **{name: layers[name] for name in ("network", "layer", "kind", "weights")},
            "zeros": zeros, "share": zeros / layers["weights"], "granularity": np.where(filters, "filter", "none"),
            "covered": 1.0, "zero_filters": np.where(filters, 31, 0), "zero_connections": 0, "zero_kernels": 0,
            "n_m": "", "distinct": np.nan,
        }
    )  # fmt: skip


def _relations(layers: pd.DataFrame) -> pd.DataFrame:
    names = layers.loc[layers["network"] == "dense", "layer"].tolist()
    return pd.DataFrame({"layer": names, "same": False, "correlation": np.linspace(0.99, 0.91, len(names))})


def _thumbnails(answers: pd.DataFrame) -> pd.DataFrame:
    rows = []
    for place, image in enumerate(answers["image"]):
        pixels = np.full((32, 32, 3), (place * 37 % 255, place * 91 % 255, 120), dtype=np.uint8)
        file = io.BytesIO()
        Image.fromarray(pixels).save(file, "JPEG")
        rows.append({"measure": "answers", "image": image, "jpeg": file.getvalue()})
    return pd.DataFrame(rows)


def _numbers(
    tables: dict[str, pd.DataFrame], labelled: bool, methods: Sequence[str]
) -> tuple[dict[str, Any], dict[str, list[float]]]:
    """Return metrics and intervals: levels from the tables, every interval of a change ± .02 around it."""
    answers = tables["answers"]
    scores = tables["scores"].set_index(["network", "metric"])
    found: dict[str, Any] = {"agreement": 1 - float(answers["changed"].mean()), "logits_equal": False}
    found |= {
        "divergence": float(answers["divergence"].mean()),
        "granularity": "filter",
        "relation": "fine-tuned",
    }
    intervals = {"agreement": [found["agreement"] - 0.08, found["agreement"] + 0.08]}

    def both(name: str, dense: float, pruned: float, change: str = "change", width: float = 0.02) -> None:
        sign = -1 if change == "drop" else 1
        found.update(
            {f"{name}_dense": dense, f"{name}_pruned": pruned, f"{name}_{change}": sign * (pruned - dense)}
        )
        if width:
            value = found[f"{name}_{change}"]
            intervals[f"{name}_{change}"] = [value - width, value + width]

    if labelled:
        right = [float((answers[name] == answers["label"]).mean()) for name in ("dense", "pruned")]
        both("top1", *right, "drop")
        both("calibration_error", 0.02, 0.07, "rise", width=0)
        found["top1_p"] = 0.0004
    for what in ("zeros", "unreachable"):
        own = tables["layers"].assign(n=lambda layers, what=what: layers[what] * layers["weights"])
        sums = own.groupby("network")[["n", "weights"]].sum()
        found |= {
            f"{what}_{name}": float(sums["n"][name] / sums["weights"][name]) for name in ("dense", "pruned")
        }
    for name in (
        "mis",
        "mis_paired",
        "units_alive",
        "units_dead",
        "hit_rate",
        "detectors",
        "unique_detectors",
    ):
        if ("pruned", name) in scores.index:
            levels = [float(scores.loc[(network, name), "value"]) for network in ("dense", "pruned")]
            both(name, *levels, width=0.02 if name == "mis_paired" else 0)
    for name in (*(f"concepts_{fate}" for fate in ("kept", "changed", "lost", "gained")), "concept_jaccard"):
        if ("pruned", name) in scores.index:
            found[name] = float(scores.loc[("pruned", name), "value"])
    if ("dense", "mis_chance") in scores.index:
        found["mis_chance"], intervals["mis_chance"] = 0.5, [0.38, 0.62]
    for method in methods if "explanations" in tables else ():
        stem = method.replace("-", "_")
        for what in ("spearman", "ssim", "iou"):
            row = scores.loc[("pruned", f"{method}/{what}")]
            found[f"{stem}_{what}"] = float(row["value"])
            intervals[f"{stem}_{what}"] = [float(row["low"]), float(row["high"])]
            found[f"{stem}_{what}_chance"] = float(scores.loc[("pruned", f"{method}/{what}_chance"), "value"])
        for what in ("deletion", "insertion", "faithfulness", "confidence", "gini", "empty"):
            levels = [float(scores.loc[(name, f"{method}/{what}"), "value"]) for name in ("dense", "pruned")]
            both(f"{stem}_{what}", *levels)
    return found, intervals


def _record(
    tables: dict[str, pd.DataFrame],
    classes: Sequence[str],
    labelled: bool,
    comparable: bool,
    metrics: dict[str, Any],
    intervals: dict[str, list[float]],
) -> dict[str, Any]:
    weights = int(tables["patterns"].query("network == 'dense'")["weights"].sum())
    side = {
        "format": "checkpoint", "architecture": "torchvision/googlenet", "stored": {"float32": 1.0},
        "preprocess": PREPROCESS, "weights": weights, "outputs": len(classes), "internals": True,
    }  # fmt: skip
    return {
        "audit": 1,
        "title": "small.pth against large.pth",
        "dense": side | {"shown": "large.pth", "file": "/files/large.pth", "digest": "aa" * 8},
        "pruned": side
        | {"shown": "small.pth", "file": "/files/small.pth", "digest": "bb" * 8}
        | {"stored": {"float16": 0.98, "float32": 0.02}, "preprocess": PREPROCESS | {"order": "BGR", "crop": 227}},
        "images": {
            "source": "folder:images", "n": IMAGES, "labelled": labelled, "classes": len(classes) if labelled else 0,
            "fingerprint": "cc" * 8,
        },
        "classes": {
            "rule": "names", "compared": len(classes), "text": "Classes were matched by name.",
            "left_out": {"dense": ["emu", "fox"], "pruned": [], "images": []},
        },
        "names": list(classes),
        "comparable": comparable,
        "why_not": "" if comparable else "the networks have different layers",
        "pruning": {
            "granularity": "filter", "share": 0.3, "pruned": 1, "untouched": 2,
            "text": "About a third of the weights are zero, as whole filters.", "notes": ["One layer is untouched."],
            "evidence": {"filter": 1.0, "connection": 0.2},
        },
        "relation": {"kind": "fine-tuned", "text": "The weights that are left were trained further."},
        "metrics": metrics,
        "intervals": {name: ends for name, ends in intervals.items() if math.isfinite(sum(ends))},
        "not_measured": {"forgetting": "the images have no labels"} if not labelled else {},
        "conditions": CONDITIONS,
        "verdict": "failed",
        "warnings": ["The two networks see different parts of an image."],
        "settings": {"accuracy": {"bins": 15}, "explanations": {"share": 0.1, "steps": 8, "target": "dense"}},
        "seconds": {"accuracy": 1.5, "mis": 20.25},
        "versions": {"prunescope": "0.1.0", "torch": "2.13.0"},
        "machine": {"device": "cpu", "threads": 2},
        "command": "prunescope audit large.pth small.pth --images images",
        "started": "2025-03-01T10:00:00+00:00",
        "finished": "2025-03-01T10:03:00+00:00",
    }  # fmt: skip
