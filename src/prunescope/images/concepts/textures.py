"""`textures:DIR`: one subfolder of images a texture, each image labelled as a whole."""

from __future__ import annotations

from pathlib import Path

from prunescope.errors import PrunescopeError
from prunescope.images.concepts.arguments import existing_folder, path_and_settings
from prunescope.images.concepts.concept_set import (
    CONCEPT_SOURCES,
    Annotation,
    Concept,
    ConceptSet,
    hash_of,
    named,
    without_classes,
)
from prunescope.images.source import open_images


@CONCEPT_SOURCES.register("textures")
def open_textures(argument: str, data: Path | None) -> ConceptSet:
    """Open images that their subfolder names; `textures:DIR,category=scene` for another category.

    Raises:
        PrunescopeError: no such folder, no subfolders, or one without an image.
    """
    path, settings = path_and_settings("textures", argument, ("category",))
    category = settings.get("category", "texture")
    try:
        images = open_images(f"folder:{existing_folder(path, data)}")
    except PrunescopeError as error:
        raise PrunescopeError(f"'textures:{argument}' takes one subfolder a {category}: {error}") from error
    concepts = tuple(Concept(category, name) for name in images.classes)
    return ConceptSet(
        source=f"textures:{argument}",
        concepts=concepts,
        images=without_classes(images),
        annotation=lambda index: Annotation(labels={category: (int(images.labels[index]),)}),
        fingerprint=hash_of(images.fingerprint, named(concepts)),
        strata=images.labels,
    )
