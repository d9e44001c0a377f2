"""Pictures for the report: thumbnails of the images that its tables name, and of explanations."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pandas as pd
from PIL import Image

from prunescope.images.augment import centre_crops
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet
from prunescope.measures import all_measures
from prunescope.measures.forgetting_gallery import gallery_images
from prunescope.networks.preprocess import Preprocess
from prunescope.study.explanation_pictures import write_explanation_pictures
from prunescope.study.plan import Plan
from prunescope.study.stimulus_files import write_stimuli
from prunescope.study.store import Store

FILE = Path("pictures", "thumbnails.parquet")
SIDE = 96  # pixels
QUALITY = 80

TASKS = "unit_tasks"  # the table whose images people are to be shown
TASK_IMAGES = Path("pictures", "task_images.parquet")
TASK_QUALITY = 92


def seen(images: ImageSet, names: set[str], preprocess: Preprocess) -> Iterator[tuple[str, Image.Image]]:
    """Yield the name of each of the named images, and the part of it that the network sees."""
    pixels = cached(images, preprocess.resize, preprocess.interpolation)
    for index, name in enumerate(images.names):
        if name in names:
            (crop,) = centre_crops([pixels[index]], preprocess.crop)
            yield name, Image.fromarray(crop)


def thumbnails(images: ImageSet, names: set[str], preprocess: Preprocess) -> Iterator[tuple[str, bytes]]:
    """Yield the name and a small JPEG of each of the named images: the part of it that the network sees."""
    for name, picture in seen(images, names, preprocess):
        yield name, _jpeg(picture.resize((SIDE, SIDE), Image.Resampling.LANCZOS), QUALITY)


def _jpeg(picture: Image.Image, quality: int) -> bytes:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=quality)
    return file.getvalue()


def write_pictures(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    plan: Plan,
    store: Store,
    test: ImageSet,
    data: Path | None,
) -> None:
    """Write what the report of a study shows into `pictures/` of its folder, and stimuli beside it if asked for."""

    def images_of(measure: str) -> ImageSet:
        pictures = all_measures()[measure].pictures
        assert pictures is not None  # of what the report shows
        return pictures(plan.measured[measure], test, data)

    write_thumbnails(folder, shown_images(tables), images_of, plan.preprocess)
    write_task_images(folder, tables.get(TASKS), images_of, plan.preprocess)
    maps = {
        network: step
        for network, steps in plan.measures.items()
        for step in steps
        if step.kind == "measure-explanations"
    }
    for write in (write_explanation_pictures, write_stimuli):
        write(
            folder,
            tables,
            lambda network, method: store.open(maps[network].id),
            test,
            plan.preprocess,
            plan.measured.get("explanations"),  # type: ignore[arg-type]
        )


def shown_images(tables: Mapping[str, pd.DataFrame]) -> dict[str, set[str]]:
    """Return by measure the images that the report shows: examples of units, and those most forgotten."""
    shown = {}
    if (examples := tables.get("examples")) is not None:
        shown = {str(name): set(own["image"]) for name, own in examples.groupby("measure")}
    if (forgotten := tables.get("forgetting_images")) is not None:
        shown["forgetting"] = set(gallery_images(forgotten))
    return shown


def write_thumbnails(
    folder: Path,
    shown: Mapping[str, set[str]],
    images_of: Callable[[str], ImageSet],
    preprocess: Preprocess,
) -> None:
    """Write one thumbnail of every image that is shown into `pictures/thumbnails.parquet`; if none is, old ones go.

    Args:
        shown: by measure, the names of images.
        images_of: from a measure to the images that it names.
        preprocess: what the network sees of an image.
    """
    rows = []
    for measure, names in shown.items():
        if names:
            rows += [(measure, *found) for found in thumbnails(images_of(measure), names, preprocess)]
    table = pd.DataFrame(rows, columns=["measure", "image", "jpeg"])
    _write(table if shown else None, folder / FILE)


def write_task_images(
    folder: Path,
    tasks: pd.DataFrame | None,
    images_of: Callable[[str], ImageSet],
    preprocess: Preprocess,
) -> None:
    """Write each image of the tasks of units, as the network sees it, into `pictures/task_images.parquet`.

    Args:
        tasks: the table `unit_tasks`; None if it was not asked for: then files of an earlier run go.
        images_of: from a measure to the images that it names.
        preprocess: what the network sees of an image.
    """
    if tasks is None:
        _write(None, folder / TASK_IMAGES)
        return
    columns = [column for column in tasks if str(column).startswith(("positive_", "negative_"))]
    names = {name for column in columns for name in tasks[column].unique()}
    rows = [
        (name, _jpeg(picture, TASK_QUALITY)) for name, picture in seen(images_of("mis"), names, preprocess)
    ]
    _write(pd.DataFrame(rows, columns=["image", "jpeg"]), folder / TASK_IMAGES)


def _write(table: pd.DataFrame | None, path: Path) -> None:
    """Write a table in the place of the one of an earlier run, or only remove that."""
    if table is None:
        path.unlink(missing_ok=True)
        return
    path.parent.mkdir(exist_ok=True)
    draft = path.with_name(f".{path.name}")
    table.to_parquet(draft, index=False)
    draft.replace(path)
