"""Steps that measure a network: one kind for each measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prunescope.measures import all_measures
from prunescope.measures.measure import Subject
from prunescope.networks.network import preprocess_of
from prunescope.study.steps import Step, Workshop, ancestry, step_kind
from prunescope.training.evaluation import NO_IMAGES


def _measure_with(name: str) -> Callable[[Step, Workshop, Path], None]:
    def run(step: Step, workshop: Workshop, folder: Path) -> None:
        measure = all_measures()[name]
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
        settings = measure.settings.model_validate(step.settings["measure"] | step.places)
        tables = measure.run(subject, settings)
        for table, frame in tables.items():
            frame.to_parquet(folder / f"{table}.parquet", index=False)

    return run


for _name in all_measures():
    step_kind(f"measure-{_name}", all_measures()[_name].version)(_measure_with(_name))
