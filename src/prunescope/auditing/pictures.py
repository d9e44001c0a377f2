"""Pictures for the page of an audit: images that the two networks call differently, examples of units, explanations."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pandas as pd

from prunescope.analysis.audits import GALLERY, images_to_show
from prunescope.auditing.networks import Audited
from prunescope.auditing.settings import AuditSettings
from prunescope.images.source import ImageSet
from prunescope.measures import all_measures
from prunescope.networks.network import preprocess_of
from prunescope.study.explanation_pictures import MapsOf, write_explanation_pictures
from prunescope.study.pictures import shown_images, write_thumbnails


def write_pictures(
    folder: Path,
    tables: Mapping[str, pd.DataFrame],
    pair: tuple[Audited, Audited],
    test: ImageSet,
    settings: AuditSettings,
    data: Path | None,
    maps_of: MapsOf,
) -> None:
    """Write what the page shows of images into `pictures/` of the audit's folder, as the dense network sees it."""

    def images_of(measure: str) -> ImageSet:
        pictures = None if measure == GALLERY else all_measures()[measure].pictures
        return test if pictures is None else pictures(getattr(settings, measure), test, data)

    preprocess = preprocess_of(pair[0].network)
    shown = shown_images(tables)
    if changed := {name for names in images_to_show(tables["answers"]).values() for name in names}:
        shown[GALLERY] = changed
    write_thumbnails(folder, shown, images_of, preprocess)
    write_explanation_pictures(folder, tables, maps_of, test, preprocess, settings.explanations)
