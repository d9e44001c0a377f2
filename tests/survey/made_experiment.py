"""Small experiments of each kind, with pictures that are drawn here."""

from __future__ import annotations

import io
import json
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from PIL import Image

from prunescope.survey.design import Design, packaged
from prunescope.survey.experiment import TASK_COLUMNS, Experiment, picture_name, write_experiment

CLASSES = ["church", "garbage truck", "tench"]
NETWORKS = ["dense", "filters@0.5", "filters@0.8"]
SIDE = 48


@cache
def picture(seed: int) -> bytes:
    rng = np.random.default_rng(seed)
    colours = rng.integers(0, 256, (4, 4, 3), dtype=np.uint8)
    file = io.BytesIO()
    Image.fromarray(colours).resize((SIDE, SIDE), Image.Resampling.NEAREST).save(file, "PNG")
    return file.getvalue()


def made_design(kind: str, **changes: Any) -> Design:
    small = {
        "tasks": 6,
        "catch": 2,
        "practice": 2,
        "answers_per_task": 2,
        "timing": {"lock_ms": 0, "feedback_ms": 0},
    }
    return Design.model_validate(packaged(kind) | small | changes)


def made_experiment(folder: Path, kind: str, lists: int = 3, **changes: Any) -> Experiment:
    """Write an experiment with so many lists, each of 6 tasks and 2 catch trials, and 2 practice tasks for all."""
    design = made_design(kind, **changes)
    pictures: dict[str, bytes] = {}

    def draw() -> str:
        content = picture(len(pictures))
        name = picture_name(content, ".png")
        pictures[name] = content
        return name

    rows, dealt = [], []
    wanted = [(role, None) for role in ["practice"] * design.practice]
    wanted += [
        (role, list_) for list_ in range(lists) for role in ["main"] * design.tasks + ["catch"] * design.catch
    ]
    for number, (role, list_) in enumerate(wanted):
        row = {"task": f"t{number:05d}", "role": role} | _task(kind, number, role, draw)
        rows.append(row)
        if list_ is not None:
            dealt.append({"list": list_, "task": row["task"]})
    record = {
        "name": f"made-{kind}",
        "title": design.title,
        "kind": kind,
        "classes": CLASSES,
        "run": {"study": "made"},
    }
    tasks = pd.DataFrame(rows).reindex(columns=list(TASK_COLUMNS))
    return write_experiment(folder, design, tasks, pd.DataFrame(dealt), pictures, record)


def _task(kind: str, number: int, role: str, draw: Any) -> dict[str, Any]:
    network, class_ = NETWORKS[number % 3], CLASSES[number % 3]
    match kind:
        case "mis":
            slots = {"negative": 9, "positive": 9, "positive_query": 1, "negative_query": 1}
            own = {"network": network, "condition": network, "layer": "conv1", "unit": number, "unit_task": 0,
                   "margin": 0.1 * (number % 5 - 1), "right": "positive_query", "stimulus": "units"}  # fmt: skip
        case "pairwise":
            slots = {"original": 1, "one": 1, "other": 1}
            other = NETWORKS[1 + number % 2]
            own = {"one": "dense", "other": other, "condition": f"dense | {other}", "image": f"{class_}/{number}.jpg",
                   "class": class_, "right": None if role == "main" else "one", "stimulus": "heat map"}  # fmt: skip
        case _:
            slots = {"map": 1}
            own = {"network": network, "condition": network, "image": f"{class_}/{number}.jpg", "class": class_,
                   "right": class_, "stimulus": "explanation map"}  # fmt: skip
    shown = {slot: [draw() for _ in range(count)] for slot, count in slots.items()}
    return own | {"pictures": json.dumps(shown)}
