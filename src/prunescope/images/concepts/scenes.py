"""`scenes` as annotated images: the test part of the embedded pictures, whose every pixel is known."""

from __future__ import annotations

from pathlib import Path
from typing import cast

import numpy as np

from prunescope.images.concepts.concept_set import (
    CONCEPT_SOURCES,
    Annotation,
    Concept,
    ConceptSet,
    hash_of,
    named,
    without_classes,
)
from prunescope.images.scenes import CONCEPTS
from prunescope.images.source import ImageSet, Masks, open_images

WHOLE = "scene"  # one for all pixels of a picture, so it is a label of the image

OFFSETS = dict(zip(CONCEPTS, np.cumsum([0, *map(len, CONCEPTS.values())]).tolist(), strict=False))


@CONCEPT_SOURCES.register("scenes")
def open_scenes(argument: str, data: Path | None) -> ConceptSet:
    """Open the embedded scenes with their masks: `scenes`, `scenes:seed=3,count=500`.

    Raises:
        PrunescopeError: the argument has an unknown setting or one that is out of its range.
    """
    return annotated(open_images(f"scenes:{argument}", "test"))


def annotated(images: ImageSet) -> ConceptSet:
    """Return scenes, or some of them, with their masks as annotations."""
    masks = cast(Masks, images.masks)
    concepts = tuple(Concept(category, name) for category, names in CONCEPTS.items() for name in names)

    def annotation(index: int) -> Annotation:
        found = {
            category: np.where(mask, mask + np.uint16(OFFSETS[category]), np.uint16(0))[None]
            for category, mask in masks(index).items()
        }
        whole = int(found.pop(WHOLE)[0, 0, 0]) - 1
        return Annotation(masks=found, labels={WHOLE: (whole,)})

    return ConceptSet(
        source=images.source,
        concepts=concepts,
        images=without_classes(images),
        annotation=annotation,
        fingerprint=hash_of(images.fingerprint, named(concepts)),
        strata=images.labels,
    )
