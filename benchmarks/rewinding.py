"""What a rewound round costs beside its training: pruning, going back, keeping states, writing what it made.

A study of the embedded network on its images: trained for two epochs, then three rounds that are pruned, put back
to the first epoch and trained again. CPU time of the steps of the rounds, against that of their calls of `train`.
"""

from __future__ import annotations

import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from table import Row

import prunescope.study.step_train
from prunescope.study.execute import Execution, Outcome, Watcher
from prunescope.study.run import prepare
from prunescope.study.settings import StudySettings
from prunescope.study.steps import Step, Workshop
from prunescope.study.store import Store

KINDS = ("prune", "rewind", "retrain")
ROUNDS = 3
MOST = 1.1


def rows() -> list[Row]:
    taken: dict[str, float] = {}
    with TemporaryDirectory() as folder:
        watcher = CPUTime(taken)
        original, training = prunescope.study.step_train.train, dict[str, float]()

        def train(*args: Any, **kwargs: Any) -> Any:
            started = time.process_time()
            try:
                return original(*args, **kwargs)
            finally:
                training[watcher.kind] = training.get(watcher.kind, 0.0) + time.process_time() - started

        prunescope.study.step_train.train = train
        plan, images, place, _ = prepare(settings())
        done = Execution(plan, Workshop(Store(Path(folder)), images, place["device"], None), watcher).run()
        assert all(outcome.status == "done" for outcome in done)
    whole, alone = sum(taken[kind] for kind in KINDS), training["retrain"]
    against = f"their training, {alone / ROUNDS * 1e3:.0f} ms"
    return [
        Row("a rewound round", whole / ROUNDS * 1e3, "ms", against, whole / alone, most_ratio=MOST),
        *(Row(f"  {kind}", taken[kind] / ROUNDS * 1e3, "ms", against, taken[kind] / alone) for kind in KINDS),
    ]


class CPUTime(Watcher):
    """Adds up the CPU time of the steps of each kind."""

    def __init__(self, taken: dict[str, float]) -> None:
        self.taken, self.kind, self.started = taken, "", 0.0

    def step(self, step: Step) -> None:
        self.kind, self.started = step.kind, time.process_time()

    def end(self, outcome: Outcome) -> None:
        self.taken[self.kind] = self.taken.get(self.kind, 0.0) + time.process_time() - self.started


def settings() -> StudySettings:
    return StudySettings.model_validate(
        {
            "study": "rewinding",
            "threads": 1,
            "device": "cpu",
            "network": {"name": "prunescope/sprig"},
            "images": {"train": "scenes", "test": "scenes", "limit": {"train": 1000, "test": 24}},
            "train": {"epochs": 2, "batch": 64, "precision": "fp32"},
            "prune": [
                {
                    "series": "rounds",
                    "granularity": "weight",
                    "scope": "global",
                    "schedule": "iterative",
                    "per_round": 0.2,
                    "rounds": ROUNDS,
                }
            ],
            "retrain": {"kind": "weight-rewinding", "rewind_to": "1 epoch"},
            "measure": ["size"],
        }
    )
