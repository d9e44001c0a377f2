"""Annotated images by name, and several sources as one set: concepts of one category and name are one."""

from __future__ import annotations

import importlib
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, describe_os_error, did_you_mean
from prunescope.images.concepts.concept_set import (
    COMPUTED_CONCEPTS,
    CONCEPT_SOURCES,
    Annotation,
    Concept,
    ConceptSet,
    first_ten,
    hash_of,
    named,
)
from prunescope.images.source import ImageSet
from prunescope.images.split import stratified_limit

_HOMES = {
    "broden": "prunescope.images.concepts.broden",
    "colors": "prunescope.images.concepts.colors",
    "masks": "prunescope.images.concepts.mask_folder",
    "scenes": "prunescope.images.concepts.scenes",
    "textures": "prunescope.images.concepts.textures",
}


def open_concepts(
    source: str | Sequence[str], data: Path | None = None, limit: int | None = None, seed: int = 0
) -> ConceptSet:
    """Open annotated images.

    Args:
        source: `scheme:argument`, or several: `scenes`, `broden:FOLDER`, `masks:FOLDER,labels=voc`,
            `textures:FOLDER`, and `colors`, which names the colours of the images of all others.
        data: the folder that relative paths start from (default: the current one).
        limit: at most so many images, as evenly as can be over the sources, and over the classes of each.
        seed: what the draw depends on.

    Raises:
        PrunescopeError: a scheme is unknown, a source is given twice, cannot be read, or there is none with
            images; or the limit leaves a source without an image.
    """
    sources = [source] if isinstance(source, str) else list(source)
    twice = [one for one in dict.fromkeys(sources) if sources.count(one) > 1]
    if twice:
        raise PrunescopeError(f"concepts are given twice: {first_ten(twice)}")
    parts: list[ConceptSet] = []
    computed = []
    for one in sources:
        scheme, _, argument = one.partition(":")
        _import(one, scheme)
        try:
            if scheme in COMPUTED_CONCEPTS:
                computed.append(COMPUTED_CONCEPTS[scheme](argument, data))
            else:
                parts.append(CONCEPT_SOURCES[scheme](argument, data))
        except OSError as error:
            raise describe_os_error(error, f"reading the concepts {one!r}") from error
    if not parts:
        raise PrunescopeError(
            f"no source of images among the concepts ({first_ten(sources) or 'none given'}); "
            "name one, such as 'scenes' or 'masks:FOLDER'"
        )
    concepts = join(limited(parts, limit, seed))
    for compute in computed:
        concepts = compute(concepts)
    return concepts


def join(parts: Sequence[ConceptSet]) -> ConceptSet:
    """Return all images of several sets as one; names begin with that of their set where there are several."""
    if len(parts) == 1:
        return parts[0]
    concepts = tuple(dict.fromkeys(concept for part in parts for concept in part.concepts))
    tables = [_renumbering(part, concepts) for part in parts]
    prefixes = _prefixes([part.source for part in parts])
    place = [(which, index) for which, part in enumerate(parts) for index in range(len(part))]

    def annotation(index: int) -> Annotation:
        which, own = place[index]
        found, table = parts[which].annotation(own), tables[which]
        masks = {category: table[mask] for category, mask in found.masks.items()}
        labels = {k: tuple(int(table[c + 1]) - 1 for c in cs) for k, cs in found.labels.items()}
        return replace(found, masks=masks, labels=labels)

    strata = np.array([(which, parts[which].strata[own]) for which, own in place], dtype=np.int64)
    source = " + ".join(part.source for part in parts)
    images = ImageSet(
        source=source,
        classes=(),
        labels=np.zeros(len(place), dtype=np.int64),
        names=tuple(f"{prefixes[which]}/{parts[which].images.names[own]}" for which, own in place),
        fingerprint=hash_of(prefixes, [part.images.fingerprint for part in parts]),
        decode=lambda index: parts[place[index][0]].images.decode(place[index][1]),
    )
    return ConceptSet(
        source=source,
        concepts=concepts,
        images=images,
        annotation=annotation,
        fingerprint=hash_of(prefixes, [part.fingerprint for part in parts], named(concepts)),
        strata=np.unique(strata, axis=0, return_inverse=True)[1].reshape(-1).astype(np.int64),
    )


def _import(source: str, scheme: str) -> None:
    if scheme in _HOMES:
        importlib.import_module(_HOMES[scheme])
    elif scheme not in CONCEPT_SOURCES and scheme not in COMPUTED_CONCEPTS:
        known = sorted({*_HOMES, *CONCEPT_SOURCES, *COMPUTED_CONCEPTS})
        raise PrunescopeError(
            f"no source of concepts {scheme!r} in {source!r}{did_you_mean(scheme, known)}; "
            f"expected 'scheme:argument' with one of {', '.join(known)}"
        )


def _renumbering(part: ConceptSet, concepts: Sequence[Concept]) -> NDArray[np.uint16]:
    """Return the table, (concepts of the part + 1,), from numbers in its masks to those of the whole."""
    number = {concept: c + 1 for c, concept in enumerate(concepts)}
    return np.array([0, *(number[concept] for concept in part.concepts)], dtype=np.uint16)


def _prefixes(sources: Sequence[str]) -> list[str]:
    """Return a short name for each source: its folder's, or else its scheme; numbered where it occurs again."""
    prefixes: list[str] = []
    for source in sources:
        scheme, _, argument = source.partition(":")
        folder = argument.split(",")[0]
        name = prefix = scheme if "=" in folder else Path(folder).name or scheme
        again = 1
        while prefix in prefixes:
            again += 1
            prefix = f"{name}-{again}"
        prefixes.append(prefix)
    return prefixes


def limited(parts: Sequence[ConceptSet], limit: int | None, seed: int) -> list[ConceptSet]:
    """Return at most `limit` images, shared evenly; what a small set cannot fill goes to the larger ones."""
    if limit is None:
        return list(parts)
    if limit < len(parts):
        raise PrunescopeError(f"a limit of {limit} images leaves nothing for some of {len(parts)} sources")
    limited = list(parts)
    left = limit
    for done, which in enumerate(sorted(range(len(parts)), key=lambda which: len(parts[which]))):
        part, share = parts[which], left // (len(parts) - done)
        if share < len(part):
            limited[which] = part.subset(stratified_limit(part.strata, share, seed))
        left -= len(limited[which])
    return limited
