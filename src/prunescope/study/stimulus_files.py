"""The stimuli of a study as files, ready to be shown to people: `stimuli/` in the study's folder."""

from __future__ import annotations

import csv
import hashlib
import re
import shutil
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from prunescope.analysis.results import records
from prunescope.errors import describe_os_error
from prunescope.images.source import ImageSet
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.networks.preprocess import Preprocess
from prunescope.study.explanation_pictures import MapsOf, draw_explained, pictures_of

FOLDER, LIST, ORIGINALS = "stimuli", "stimuli.csv", "images"
COLUMNS = (
    "file", "kind", "method", "network", "series", "seed", "stage", "target", "compression_prunable",
    "compression_all", "image", "class", "explained_class", "empty",
)  # fmt: skip
OF_NETWORK = ("series", "seed", "stage", "target")
OF_SIZE = ("compression_prunable", "compression_all")
LONGEST = 100  # characters of a name; file systems end at 255 bytes
COMPRESSION = 3  # of PNG: less than half the time of 6, and 1 % more bytes


def write_stimuli(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    maps_of: MapsOf,
    test: ImageSet,
    preprocess: Preprocess,
    settings: ExplanationsSettings | None,
) -> None:
    """Write every explanation of a study as a heat map and an explanation map, and the images that they explain.

    `stimuli/images/<image>.png`, `stimuli/<method>/<network>/<image>.heat.png` and `….map.png` have the size of the
    network's input; `stimuli/stimuli.csv` says of each file what it shows. The folder appears when it is whole,
    in place of the one of an earlier run; without `stimuli: true` in the settings, that one goes.

    Args:
        folder: of the study.
        tables: those of the study, with `explanations`, `networks` and, for the compression, `scores`.
        maps_of: where the maps of a network and a method were kept.
        test: the study's test images.
        preprocess: what the networks see of an image.
        settings: of the measure `explanations`; None if it was not asked for.

    Raises:
        NoRoomError: the disk is full.
        PrunescopeError: the files cannot be written, or maps are missing or damaged.
    """
    place, draft = folder / FOLDER, folder / f".{FOLDER}"
    try:
        shutil.rmtree(draft, ignore_errors=True)  # of a run that was killed
        if settings is not None and settings.stimuli and "explanations" in tables:
            rows = list(_write(draft, tables, maps_of, test, preprocess, settings))
            _list(rows, draft / LIST)
        if (place / LIST).exists():  # else it is not ours
            shutil.rmtree(place)
        if draft.exists():
            draft.rename(place)
    except OSError as error:
        described = describe_os_error(error, f"writing {place}")
        shutil.rmtree(draft, ignore_errors=True)  # it may be what fills the disk
        raise described from error


def file_names(names: Iterable[str]) -> dict[str, str]:
    """Return for each name one that is safe for a file on any system, and no other name's.

    What is neither letter, digit, dot, dash nor underscore becomes a dash, `a/b` thus `a-b`. Where that makes two
    names equal (also to systems that do not tell `A` from `a`), or cuts one, a hash of the name follows.
    """
    plain = {name: re.sub(r"[^A-Za-z0-9._-]+", "-", name).strip(".-") for name in dict.fromkeys(names)}
    taken = Counter(safe.lower() for safe in plain.values())
    return {
        name: safe if safe and len(safe) <= LONGEST and taken[safe.lower()] == 1 else _hashed(name, safe)
        for name, safe in plain.items()
    }


def _hashed(name: str, safe: str) -> str:
    digest = hashlib.blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).hexdigest()
    return f"{safe[:LONGEST]}-{digest}".lstrip("-")


def _write(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    maps_of: MapsOf,
    test: ImageSet,
    preprocess: Preprocess,
    settings: ExplanationsSettings,
) -> Iterator[dict[str, object]]:
    """Write all pictures; yield the line of each in the list."""
    explanations = tables["explanations"]
    images = explanations.drop_duplicates("image")
    names = images["image"].tolist()
    pictures = dict(zip(names, pictures_of(names, test, preprocess), strict=True))
    image_files, network_files = _image_files(names), file_names(explanations["network"])
    for name, label in zip(names, images["label"].tolist(), strict=True):
        path = Path(ORIGINALS, f"{image_files[name]}.png")
        _save(pictures[name], folder / path)
        yield {"file": path.as_posix(), "kind": "image", "image": name, "class": test.classes[label]}
    about = _about_networks(tables)
    for (method, network), own in explanations.groupby(["method", "network"], sort=False):
        place = Path(file_names([str(method)])[str(method)], network_files[str(network)])
        for kind, drawings in draw_explained(own, pictures, maps_of, settings)._asdict().items():
            for row, pixels in zip(records(own), drawings, strict=True):
                path = place / f"{image_files[row['image']]}.{kind}.png"
                _save(pixels, folder / path)
                yield {
                    **row,
                    **about[str(network)],
                    "file": path.as_posix(),
                    "kind": kind,
                    "class": test.classes[row["label"]],
                    "explained_class": test.classes[row["target"]],
                }


def _list(rows: list[dict[str, object]], path: Path) -> None:
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
        writer.writeheader()
        writer.writerows(rows)


def _image_files(names: list[str]) -> dict[str, str]:
    """Return the file name of each image without its own ending: `a/1.JPEG` is `a-1`."""
    bare = {name: re.sub(r"\.[A-Za-z]{3,4}$", "", name) for name in names}
    if len(set(bare.values())) < len(names):
        return file_names(names)
    safe = file_names(bare.values())
    return {name: safe[short] for name, short in bare.items()}


def _about_networks(tables: Mapping[str, pd.DataFrame]) -> dict[str, dict[str, object]]:
    """Return what the list says of each network."""
    about = tables["networks"].set_index("network")[list(OF_NETWORK)]
    if (scores := tables.get("scores")) is not None:
        sizes = scores[scores["metric"].isin(OF_SIZE)].drop_duplicates(["network", "metric"])
        wide = sizes.pivot(index="network", columns="metric", values="value")
        about = about.join(wide.reindex(columns=list(OF_SIZE)))
    return dict(zip(about.index, records(about), strict=True))


def _save(pixels: NDArray[np.uint8], path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path, "PNG", compress_level=COMPRESSION)
