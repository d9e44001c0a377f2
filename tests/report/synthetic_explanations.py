"""Tables and pictures of explanations of a synthetic study, by formulas, as the measure would leave them."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image
from synthetic import top1_of, write_study

from prunescope.measures.intervals import mean_interval

MEANS = (
    "spearman", "ssim", "iou", "deletion", "insertion", "faithfulness", "confidence", "pointing", "inside",
    "object_share", "gini", "entropy",
)  # fmt: skip
CHANCE = {"spearman_chance": 0.31, "ssim_chance": 0.22, "iou_chance": 0.12}
SETTINGS = {
    "methods": ["grad-cam"], "layer": None, "options": {}, "target": "dense", "networks": "final",
    "choose": "stratified", "limit": 500, "share": 0.1, "steps": 8, "baseline": "mean",
    "proxy": {"network": "torchvision/squeezenet1_1"},
}  # fmt: skip


def write_explanation_study(
    folder: Path,
    *,
    methods: Sequence[str] = ("grad-cam",),
    images: int = 40,
    stages: Sequence[str] = ("dense", "retrained"),
    shown: int = 3,
    leave_out: Sequence[str] = (),
    settings: dict[str, Any] | None = None,
    **shape: Any,
) -> Path:
    """Write a study whose networks explain so many images; the columns in `leave_out` were not measured."""
    write_study(folder, **shape)
    classes = list(shape.get("classes", [f"class {i}" for i in range(10)]))
    losses = {entry[0]: entry[3:] for entry in shape.get("series", ())}
    networks = pd.read_parquet(folder / "tables" / "networks.parquet")
    networks = networks[networks["stage"].isin(stages)]
    rows = list(networks.to_dict("records"))
    told = pd.concat(
        [_images_of(row, method, images, classes, losses) for row in rows for method in methods],
        ignore_index=True,
    )
    told[list(leave_out)] = math.nan
    told.to_parquet(folder / "tables" / "explanations.parquet")
    write_scores(folder, told)
    curves = pd.concat([_curves(row, method) for row in rows for method in methods], ignore_index=True)
    curves.to_parquet(folder / "tables" / "explanation_curves.parquet")
    (folder / "pictures").mkdir()
    _pictures(networks, told, shown).to_parquet(folder / "pictures" / "explanations.parquet")
    study = json.loads((folder / "study.json").read_text())
    study["settings"]["measure"] = [
        {"name": "explanations", "settings": SETTINGS | {"methods": list(methods)} | (settings or {})}
    ]
    (folder / "study.json").write_text(json.dumps(study))
    return folder


def write_scores(folder: Path, told: pd.DataFrame) -> None:
    """Average the table `explanations` into the table `scores`, in place of what that had of them."""
    path = folder / "tables" / "scores.parquet"
    scores = pd.read_parquet(path)
    rows = []
    for (network, method), own in told.groupby(["network", "method"], sort=False):
        columns = own.assign(faithfulness=own["insertion"] - own["deletion"])
        for what in MEANS:
            if len(values := columns[what].dropna().to_numpy()):
                rows.append((network, f"{method}/{what}", values.mean(), *mean_interval(values), len(values)))
        if own["spearman"].notna().any():
            rows += [
                (network, f"{method}/{what}", value, value - 0.02, value + 0.02, len(own))
                for what, value in CHANCE.items()
            ]
        rows.append((network, f"{method}/empty", own["empty"].mean(), math.nan, math.nan, len(own)))
        if len(named := own["proxy_correct"].dropna()):
            rows.append(
                (network, f"{method}/proxy_top1", named.mean(), *mean_interval(named.to_numpy()), len(named))
            )
    dense = [name for name in told["network"].unique() if name.startswith("dense")]
    rows += [
        (name, metric, level, level - 0.03, level + 0.03, 40)
        for name in dense
        for metric, level in PROXY.items()
    ]
    columns = ["network", "metric", "value", "low", "high", "n"]
    new = pd.DataFrame(rows, columns=columns).assign(measure="explanations")
    pd.concat([scores[~scores["metric"].str.contains("/")], new], ignore_index=True).to_parquet(path)


PROXY = {"proxy/whole": 0.83, "proxy/random": 0.17}


def _images_of(
    network: dict[str, Any], method: str, images: int, classes: list[str], losses: dict[str, Any]
) -> pd.DataFrame:
    """Return what is told of each image: the sparser, the less like dense and the less confident."""
    i = np.arange(images)
    wave = np.sin(2.3 * i + len(method) + network["seed"])
    dense, rate = network["stage"] == "dense", network["rate"]
    label = i % len(classes)
    right = (i * 0.618 % 1) < top1_of(network, losses, len(classes))
    prediction = np.where(right, label, (label + 1) % len(classes))
    target = np.where((i * 0.618 % 1) < 0.912, label, (label + 1) % len(classes))  # as the dense network says
    confidence = np.clip(0.85 - 0.3 * rate**2 + 0.1 * wave, 0.02, 0.99)
    empty = (i % 13 == 5) & (rate > 0.5)
    likeness = np.nan if dense else np.clip(0.98 - 0.6 * rate**2 + 0.12 * wave, -1, 1)
    table = pd.DataFrame(
        {
            "network": network["network"], "method": method, "layer": "layer4" if "cam" in method else "",
            "image": [f"{classes[k]}/picture {j}.png" for j, k in zip(i, label, strict=True)],
            "label": label, "target": target, "prediction": prediction, "confidence": confidence, "correct": right,
            "empty": empty,
            "spearman": likeness, "ssim": likeness - 0.05, "iou": likeness - 0.15,
            "deletion": 0.4 * confidence + 0.02 * wave, "insertion": 0.75 * confidence - 0.03 * wave,
            "pointing": (i % 5 < 4).astype(float), "inside": 0.55 - 0.1 * rate + 0.1 * wave, "object_share": 0.3,
            "gini": 0.6 + 0.1 * rate + 0.05 * wave, "entropy": 0.8 - 0.1 * rate + 0.05 * wave,
            "proxy": label, "proxy_correct": ((i * 0.37) % 1 < 0.6 - 0.2 * rate).astype(float),
        }
    )  # fmt: skip
    table.loc[
        empty,
        [
            "spearman",
            "ssim",
            "iou",
            "deletion",
            "insertion",
            "pointing",
            "inside",
            "object_share",
            "gini",
            "entropy",
        ],
    ] = math.nan
    return table


def _curves(network: dict[str, Any], method: str) -> pd.DataFrame:
    fraction = np.linspace(0, 1, 9)
    top = 0.85 - 0.3 * network["rate"] ** 2
    parts = []
    for curve, values in (
        ("deletion", 0.1 + (top - 0.1) * (1 - fraction) ** 2),
        ("insertion", 0.1 + (top - 0.1) * (1 - (1 - fraction) ** 3)),
    ):
        parts.append(
            pd.DataFrame(
                {
                    "network": network["network"], "method": method, "curve": curve, "fraction": fraction,
                    "value": values, "low": values - 0.04, "high": values + 0.04, "n": 40,
                }
            )
        )  # fmt: skip
    return pd.concat(parts)


def _pictures(networks: pd.DataFrame, told: pd.DataFrame, shown: int) -> pd.DataFrame:
    """Draw the first images as one of a class, and the last ones as those that changed most."""
    first = networks.loc[networks["seed"] == networks["seed"].iloc[0], ["network", "rate"]]
    names = list(told["image"].unique())
    rows = []
    for why, chosen in (("class", names[:shown]), ("changed", names[-shown:] + names[:1])):
        for image in chosen:
            place = names.index(image)
            rows.append((why, "", "", image, "image", _jpeg(place, 0, "image")))
            rows += [
                (why, method, network, image, kind, _jpeg(place, rate, kind))
                for method in told["method"].unique()
                for network, rate in zip(first["network"], first["rate"], strict=True)
                for kind in ("heat", "map")
            ]
    return pd.DataFrame(rows, columns=["why", "method", "network", "image", "kind", "jpeg"])


def _jpeg(place: int, rate: float, kind: str) -> bytes:
    down, across = np.mgrid[:64, :64]
    x, y = 20 + place * 17 % 26 + 15 * rate, 20 + place * 29 % 26
    near = np.exp(-((across - x) ** 2 + (down - y) ** 2) / 200)[..., None]
    picture = 90 + 60 * np.sin(across[..., None] / (4 + place % 5) + np.array([0, 1, 2])) * np.cos(
        down[..., None] / 9
    )
    if kind == "heat":
        picture = (1 - 0.7 * near) * picture + 0.7 * near * np.array([253, 231, 37])
    if kind == "map":
        picture = np.where(near > 0.6, picture, 0)
    file = io.BytesIO()
    Image.fromarray(np.clip(picture, 0, 255).astype(np.uint8)).save(file, "JPEG", quality=85)
    return file.getvalue()
