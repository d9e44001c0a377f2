"""Small published tables as CSV files, for tests of their import."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pandas as pd

RATES = (0.2, 0.4, 0.6)
LAYERS = {"stem": ("conv", 40), "stem_bn": ("batchnorm", 40), "late": ("conv", 60), "fc": ("linear", 50)}


def accuracies() -> pd.DataFrame:
    """Return the accuracies of filters and of connections, chosen at random and by L1, some not retrained."""
    rows = [("none", "", "", 0, 0.0, 0.7, "dense")]
    for rate in RATES:
        rows.append(("local_structured", "", "", 0, rate, 0.01, "not retrained"))
        rows += [
            ("local_structured", "SGD", "0.01", epochs, rate, 0.7 - rate / epochs, "") for epochs in (10, 50)
        ]
        rows += [
            (
                "connection_random",
                "SGD",
                "0.01",
                epochs,
                rate,
                0.72 - rate / 100,
                "mask not held while retraining",
            )
            for epochs in (10, 50)
        ]
        rows.append(("connection_l1", "SGD", "0.01", 50, rate, 0.71, "mask not held while retraining"))
    return pd.DataFrame(
        rows, columns=["method", "optimizer", "learning_rate", "epochs", "rate", "top1", "note"]
    )


def units(seed: int = 0) -> pd.DataFrame:
    """Return units of filters and of connections; of filters, a share `rate` of each convolution scores above .99."""
    rng = np.random.default_rng(seed)
    parts = []
    for method in ("local_structured", "connection_sparsity"):
        for epochs in (10, 50):
            for rate in RATES:
                for layer, (kind, count) in LAYERS.items():
                    mis = np.clip(rng.normal(0.68, 0.1, count), 0.2, 0.985)
                    dead = (
                        (method == "local_structured") & (kind == "conv") & (np.arange(count) < rate * count)
                    )
                    parts.append(
                        pd.DataFrame(
                            {
                                "method": method, "optimizer": "SGD", "epochs": epochs, "rate": rate, "layer": layer,
                                "unit": np.arange(count), "kind": kind, "mis": np.where(dead, 0.9995, mis),
                                "hit_rate": np.where(dead, 1.0, rng.integers(8, 20, count) / 20),
                            }
                        )
                    )  # fmt: skip
    return pd.concat(parts, ignore_index=True)


def dissection(layer: int, units: int = 30) -> pd.DataFrame:
    """Return the concepts of one layer's units, numbered from 1."""
    place = np.arange(units)
    return pd.DataFrame(
        {
            "unit": place + 1,
            "category": np.where(place % 2, "object", "color"),
            "label": [f"{'dog' if i % 4 < 2 else 'red'}{layer}" for i in place],
            "score": np.round(0.02 + 0.002 * place, 4),
            "color-iou": 0.01,
        }
    )


def answers(seed: int = 0, people: int = 40, images: int = 60) -> pd.DataFrame:
    """Return five answers to each pair of compressions and image; person 0 gave many of them."""
    rng = np.random.default_rng(seed)
    rows = []
    for stimulus, first, second in (("heat map", 1, 2), ("heat map", 1, 32), ("explanation map", 2, 32)):
        for image in range(images):
            sides = (first, second) if rng.random() < 0.5 else (second, first)
            for person in {0, *rng.integers(1, people, 4)}:
                answer = rng.choice(["left", "right", "equal"], p=[0.4, 0.35, 0.25])
                rows.append(("pairwise", stimulus, person, image, f"{image % 5}-class", *sides, answer))
    return pd.DataFrame(
        rows,
        columns=["experiment", "stimulus", "participant", "image", "class", "left", "right", "answer"],
    )


def compressions() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "compression_of_convolutions": [1, 2, 4, 32],
            "top1": [0.97, 0.973, 0.96, 0.9],
            "top5": [1.0, 0.999, 0.998, 0.994],
            "whole_model_compression": [1.0, 1.058, 1.09, 1.119],
        }
    )


def totals() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "experiment": ["pairwise", "pairwise"], "stimulus": ["heat map", "explanation map"],
            "left": ["cr1", "cr2"], "right": ["cr2", "cr32"], "n": [2500, 2500], "left_wins": [715, 1082],
            "right_wins": [818, 876], "ties": [967, 542], "chi2": [6.92, ""], "p": ["8.5e-3", ""],
        }
    )  # fmt: skip


def identification() -> pd.DataFrame:
    return pd.DataFrame(
        {"compression": [1, 32], "n": [2500, 2500], "correct": [2146, 2033], "dont_know": [245, 355]}
    )


def write(folder: Path, **tables: pd.DataFrame) -> Path:
    """Write tables as CSV, under names that say nothing."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        table.to_csv(folder / f"{name}.csv", index=False)
    return folder
