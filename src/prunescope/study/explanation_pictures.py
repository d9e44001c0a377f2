"""Pictures of explanations for the report: some images of a study as every network of the first seed explains them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from PIL import Image

from prunescope.explain.kept_maps import read_maps
from prunescope.explain.stimuli import Stimuli, draw_stimuli
from prunescope.images.augment import Images, centre_crops
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.networks.preprocess import Preprocess

FILE = Path("pictures", "explanations.parquet")
COLUMNS = ("why", "method", "network", "image", "kind", "jpeg")
SHOWN = 12  # images of each kind of choice
SIDE = 128  # pixels at most
QUALITY = 85

Row = tuple[str, str, str, str, bytes]  # method, network, image, kind, jpeg
MapsOf = Callable[[str, str], Path]  # from the name of a network and a method to the folder of its maps


def write_explanation_pictures(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    maps_of: MapsOf,
    test: ImageSet,
    preprocess: Preprocess,
    settings: ExplanationsSettings | None,
) -> None:
    """Write the pictures that the report shows into `pictures/explanations.parquet` of a study's folder.

    Its columns are `why` an image was chosen ("class" or "changed", see `gallery`), `method`, `network`, `image`,
    `kind` and `jpeg`. The kinds are "image", the photograph itself, with neither method nor network; "heat", and
    "map", the explanation map. An image chosen for both reasons is there twice.

    Args:
        folder: of the study.
        tables: those of the study, with `explanations` and `networks`; without them, old pictures go.
        maps_of: where the maps of a network and a method were kept.
        test: the study's test images.
        preprocess: what the networks see of an image.
        settings: of the measure `explanations`; None if it was not asked for.

    Raises:
        PrunescopeError: maps are missing or damaged.
    """
    path = folder / FILE
    if settings is None or "explanations" not in tables:
        path.unlink(missing_ok=True)
        return
    explained = of_first_seed(tables["explanations"], tables["networks"])
    chosen = gallery(explained)
    names = list(dict.fromkeys(name for some in chosen.values() for name in some))
    pictures = dict(zip(names, pictures_of(names, test, preprocess), strict=True))
    drawn: dict[str, list[Row]] = {name: [("", "", name, "image", jpeg(pictures[name]))] for name in names}
    for row in _explained_rows(explained, pictures, maps_of, settings):
        drawn[row[2]].append(row)
    rows = [(why, *row) for why, some in chosen.items() for name in some for row in drawn[name]]
    table = pd.DataFrame(rows, columns=list(COLUMNS))
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}")
    table.to_parquet(draft, index=False)
    draft.replace(path)


def of_first_seed(explanations: pd.DataFrame, networks: pd.DataFrame) -> pd.DataFrame:
    """Return the explanations by networks of the first seed that has any."""
    known = networks[networks["network"].isin(explanations["network"])]
    first = known.loc[known["seed"] == known["seed"].iloc[0], "network"]
    chosen: pd.DataFrame = explanations[explanations["network"].isin(first)]
    return chosen


def gallery(explanations: pd.DataFrame) -> dict[str, list[str]]:
    """Choose images to show by the first method, at most twelve for each reason.

    Returns:
        "class": the first image of each class; "changed": those whose maps are least like the dense network's
        (Spearman's correlation, its mean over the networks that have one), the least alike first.
    """
    own = explanations[explanations["method"] == explanations["method"].iloc[0]]
    each = own.drop_duplicates("image").sort_values("label", kind="stable")
    likeness = own.groupby("image", sort=False)["spearman"].mean().dropna().sort_values(kind="stable")
    return {
        "class": each.drop_duplicates("label")["image"].head(SHOWN).tolist(),
        "changed": likeness.head(SHOWN).index.tolist(),
    }


def pictures_of(names: list[str], test: ImageSet, preprocess: Preprocess) -> Images:
    """Return what the networks see of the named images, (images, crop, crop, 3) uint8."""
    pixels = cached(test, preprocess.resize, preprocess.interpolation)
    places = {name: index for index, name in enumerate(test.names)}
    return centre_crops([pixels[places[name]] for name in names], preprocess.crop)


def draw_explained(
    own: pd.DataFrame,
    pictures: Mapping[str, NDArray[np.uint8]],
    maps_of: MapsOf,
    settings: ExplanationsSettings,
) -> Stimuli:
    """Draw the pictures of one network and method, for those of its images that are among `pictures`.

    Args:
        own: all rows of the table `explanations` of that network and method: its maps were kept in their order.
        pictures: from the name of an image to what the network saw of it.
        maps_of: where the maps were kept.
        settings: what an explanation map shows.
    """
    network, method = own["network"].iloc[0], own["method"].iloc[0]
    names = own["image"].tolist()
    kept = read_maps(maps_of(network, method), method, names)
    wanted = own["image"].isin(pictures.keys()).to_numpy()
    chosen = [name for name in names if name in pictures]
    return draw_stimuli(
        np.stack([pictures[name] for name in chosen]),
        kept.maps[wanted],
        chosen,
        share=settings.share,
        background=settings.background,
        seed=settings.seed,
    )


def _explained_rows(
    explanations: pd.DataFrame,
    pictures: Mapping[str, NDArray[np.uint8]],
    maps_of: MapsOf,
    settings: ExplanationsSettings,
) -> Iterator[Row]:
    for (method, network), own in explanations.groupby(["method", "network"], sort=False):
        drawn = draw_explained(own, pictures, maps_of, settings)
        shown = [name for name in own["image"] if name in pictures]
        for kind, drawings in drawn._asdict().items():
            yield from (
                (str(method), str(network), name, kind, jpeg(pixels))
                for name, pixels in zip(shown, drawings, strict=True)
            )


def jpeg(pixels: NDArray[np.uint8]) -> bytes:
    """Return a picture as JPEG, at most 128 pixels a side, its colours as finely resolved as its brightness."""
    picture = Image.fromarray(pixels)
    picture.thumbnail((SIDE, SIDE), Image.Resampling.LANCZOS)
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=QUALITY, subsampling=0)
    return file.getvalue()
