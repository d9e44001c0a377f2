"""Steps that measure a network: one kind for each measure; and those that choose images for all networks."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from prunescope.measures import all_measures
from prunescope.measures.measure import Measure, Subject, Together
from prunescope.networks.network import preprocess_of
from prunescope.study.steps import Step, Workshop, ancestry, step_kind
from prunescope.training.evaluation import NO_IMAGES

CHOSEN_FILE = "chosen.json"
RunStep = Callable[[Step, Workshop, Path], None]
Run = Callable[[Subject, Any], Mapping[str, pd.DataFrame]]


def _measure_with(measure: Measure, measure_network: Run) -> RunStep:
    def run(step: Step, workshop: Workshop, folder: Path) -> None:
        network = workshop.network_of(step.parents[0])
        images = NO_IMAGES
        if measure.looks_at_images:
            images = workshop.images.labelled("test", preprocess_of(network))
        subject = Subject(
            network,
            images,
            workshop.images.test,
            workshop.mask_of(step.parents[0]),
            workshop.data,
            workshop.progress,
            dense=lambda: workshop.network_of(list(ancestry(step))[-1]),
        )
        if measure.together:
            _, choice, *reference = step.parents
            subject = replace(
                subject,
                chosen=_chosen(workshop.store.open(choice.id)),
                reference=workshop.store.open(reference[0].id) if reference else None,
                folder=folder,
            )
        tables = measure_network(subject, _settings(measure, step))
        for table, frame in tables.items():
            frame.to_parquet(folder / f"{table}.parquet", index=False)

    return run


def _choose_with(measure: Measure, together: Together) -> RunStep:
    def run(step: Step, workshop: Workshop, folder: Path) -> None:
        test = workshop.images.test
        predictions = {
            network: _predictions(workshop.store.open(accuracy.id), test.names)
            for network, accuracy in zip(step.places["networks"], step.parents, strict=True)
        }
        chosen = together.choose(_settings(measure, step), test, predictions)
        (folder / CHOSEN_FILE).write_text(json.dumps({"positions": chosen.tolist()}), encoding="utf-8")

    return run


def _settings(measure: Measure, step: Step) -> Any:
    names = step.places.keys() & measure.settings.places
    return measure.settings.model_validate(
        step.settings["measure"] | {name: step.places[name] for name in names}
    )


def _predictions(accuracy: Path, names: Sequence[str]) -> NDArray[np.int64]:
    """Return the class that a network named for each test image, as its accuracy was measured."""
    found = pd.read_parquet(accuracy / "images.parquet", columns=["image", "prediction"])
    return found.set_index("image")["prediction"].loc[list(names)].to_numpy(np.int64)


def _chosen(folder: Path) -> NDArray[np.int64]:
    return np.array(json.loads((folder / CHOSEN_FILE).read_text("utf-8"))["positions"], np.int64)


for _name in all_measures():
    _measure = all_measures()[_name]
    if _measure.run:
        step_kind(f"measure-{_name}", _measure.version)(_measure_with(_measure, _measure.run))
    if _measure.together:
        step_kind(f"choose-{_name}", _measure.version)(_choose_with(_measure, _measure.together))
