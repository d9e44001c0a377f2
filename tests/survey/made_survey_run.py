"""A small run as `prunescope run` leaves it, with tasks of units and stimuli, drawn here."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

NETWORKS = ["dense-seed0", "filters-0.5-pruned-seed0", "filters-0.5-retrained-seed0",
            "filters-0.8-pruned-seed0", "filters-0.8-retrained-seed0"]  # fmt: skip
FINAL = [NETWORKS[0], NETWORKS[2], NETWORKS[4]]
LAYERS = {"conv1": ("conv", 4), "conv2": ("conv", 10), "conv3": ("conv", 20), "fc": ("linear", 3)}
DEAD = {NETWORKS[4]: {("conv2", 1), ("conv2", 2), ("conv2", 3), ("conv2", 4), ("conv3", 0)}}
TASKS, REFERENCES, SEEN = 4, 9, 40
CLASSES = ["church", "garbage truck", "tench"]
EXPLAINED = 14  # images of a class
EMPTY = ("church/3.jpg", NETWORKS[4])
WRONG = ("tench/5.jpg", NETWORKS[2])
SIDE = 16


def pixels(seed: int) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (SIDE, SIDE, 3), dtype=np.uint8)


def encoded(seed: int, form: str, **options: Any) -> bytes:
    file = io.BytesIO()
    Image.fromarray(pixels(seed)).save(file, form, **options)
    return file.getvalue()


def made_survey_run(folder: Path) -> Path:
    """Write a run of one dense network and two pruned and retrained ones."""
    for part in ("tables", "pictures", "stimuli"):
        (folder / part).mkdir(parents=True)
    study = {"study": "made", "title": "A made study", "settings": {"measure": [{"name": "mis"}]},
             "machine": {"device": "cpu"}, "command": "run made.yaml"}  # fmt: skip
    (folder / "study.json").write_text(json.dumps(study))
    tables = {"networks": _networks(), "steps": _steps(), "scores": _scores(), "units": _units(),
              "unit_tasks": _unit_tasks(), "explanations": _explanations()}  # fmt: skip
    for name, table in tables.items():
        table.to_parquet(folder / "tables" / f"{name}.parquet", index=False)
    jpegs = [{"image": f"seen/{i}", "jpeg": encoded(i, "JPEG", quality=92)} for i in range(SEEN)]
    pd.DataFrame(jpegs).to_parquet(folder / "pictures" / "task_images.parquet", index=False)
    _stimuli(folder / "stimuli")
    return folder


def _networks() -> pd.DataFrame:
    rows = []
    for place, name in enumerate(NETWORKS):
        stage = "dense" if not place else "retrained" if place % 2 == 0 else "pruned"
        rows.append({"network": name, "step": f"step{place}", "series": "dense" if not place else "filters", "seed": 0,
                     "stage": stage, "rate": [0, 0.5, 0.5, 0.8, 0.8][place], "retraining": "fine-tune",
                     "parent": NETWORKS[place - 1] if place else None, "granularity": "filter"})  # fmt: skip
    return pd.DataFrame(rows)


def _steps() -> pd.DataFrame:
    return pd.DataFrame(
        [{"step": f"step{i}", "status": "done", "reused": False} for i in range(len(NETWORKS))]
    )


def _scores() -> pd.DataFrame:
    rows = [
        {"network": name, "metric": metric, "value": 0.9 - 0.1 * place, "low": 0.8, "high": 1.0, "n": 10}
        for place, name in enumerate(NETWORKS)
        for metric in ("top1", "mis")
    ]
    return pd.DataFrame(rows)


def alive(network: str, layer: str, unit: int) -> bool:
    return (layer, unit) not in DEAD.get(network, set())


def _units() -> pd.DataFrame:
    rows = []
    for network in NETWORKS:
        for layer, (kind, units) in LAYERS.items():
            for unit in range(units):
                live = alive(network, layer, unit)
                rows.append({"network": network, "layer": layer, "kind": kind, "unit": unit, "alive": live,
                             "mis": 0.7 if live else None, "hit_rate": 0.8 if live else None, "margin": 0.1,
                             "similarity": "classical", "slope": 16.0})  # fmt: skip
    return pd.DataFrame(rows)


def _unit_tasks() -> pd.DataFrame:
    rng = np.random.default_rng(5)
    rows = []
    for network in NETWORKS:
        for layer, (_, units) in LAYERS.items():
            for unit in range(units):
                for task in range(TASKS if alive(network, layer, unit) else 0):
                    names = [f"seen/{i}" for i in rng.permutation(SEEN)]
                    row: dict[str, Any] = {"network": network, "layer": layer, "unit": unit, "task": task,
                                           "margin": rng.normal(0.1, 0.1),
                                           "positive_query": names.pop(), "negative_query": names.pop()}  # fmt: skip
                    row |= {f"positive_{k}": names.pop() for k in range(REFERENCES)}
                    row |= {f"negative_{k}": names.pop() for k in range(REFERENCES)}
                    rows.append(row)
    return pd.DataFrame(rows)


def explained_images() -> list[tuple[str, str]]:
    return [(f"{name}/{i}.jpg", name) for name in CLASSES for i in range(EXPLAINED)]


def _explanations() -> pd.DataFrame:
    rows = [
        {"network": network, "method": "grad-cam", "image": image, "label": CLASSES.index(name),
         "target": CLASSES.index(name), "prediction": 0, "confidence": 0.9, "correct": (image, network) != WRONG,
         "empty": (image, network) == EMPTY}
        for network in FINAL
        for image, name in explained_images()
    ]  # fmt: skip
    return pd.DataFrame(rows)


def _stimuli(folder: Path) -> None:
    columns = ["file", "kind", "method", "network", "image", "class", "explained_class", "empty"]
    rows = []
    for number, (image, name) in enumerate(explained_images()):
        plain = image.replace("/", "-").removesuffix(".jpg")
        _save(folder / "images" / f"{plain}.png", 1000 + number)
        rows.append([f"images/{plain}.png", "image", "", "", image, name, "", ""])
        for place, network in enumerate(FINAL):
            for kind in ("heat", "map"):
                file = f"grad-cam/{network}/{plain}.{kind}.png"
                _save(folder / file, 10_000 * (place + 1) + 2 * number + (kind == "map"))
                rows.append(
                    [file, kind, "grad-cam", network, image, name, name, str((image, network) == EMPTY)]
                )
    with (folder / "stimuli.csv").open("w", newline="") as file_:
        csv.writer(file_).writerows([columns, *rows])


def _save(path: Path, seed: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encoded(seed, "PNG"))
