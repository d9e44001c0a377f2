"""Where the object of an image's class is, on the pixels that the network sees."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, describe_os_error, some
from prunescope.explain.maps import Masks
from prunescope.images.concepts.label_maps import sample_points
from prunescope.images.concepts.mask_image import read_marked
from prunescope.images.digests import digest_of, file_digests
from prunescope.images.folder import EXTENSIONS
from prunescope.images.scenes.concepts import CONCEPTS, concept_id
from prunescope.images.source import ImageSet
from prunescope.networks.network import resolve

if TYPE_CHECKING:
    from prunescope.networks.preprocess import Preprocess

CATEGORY = "object"  # of concepts, among which the classes are


def object_masks(
    test: ImageSet,
    indices: Iterable[int],
    preprocess: Preprocess,
    folder: str | Path | None = None,
    data: Path | None = None,
) -> Masks | None:
    """Return the object of each image's class, cut as the network's centre crop is.

    Args:
        test: the images. Scenes know their objects themselves.
        indices: (n,), those whose objects are wanted.
        preprocess: how the network's images are resized and cropped; each pixel of the crop takes the pixel of the
            mask at its centre.
        folder: masks to use instead: a PNG an image, with its relative name (`dog/1.jpg`: `dog/1.png` or
            `dog/1.jpg.png`), not 0 where the object is.
        data: the folder that a relative `folder` starts from.

    Returns:
        (n, crop, crop), without a pixel where the object is not known; None if that is so for all.

    Raises:
        PrunescopeError: the folder is not there, masks cannot be read, or are not of the shape of their images (all
            are looked at, the first ten are named).
    """
    chosen = [int(index) for index in indices]
    found = (
        _known_by_source(test, chosen)
        if folder is None
        else _read(test, chosen, mask_files(test, resolve(folder, data), required=False))
    )
    masks = np.zeros((len(chosen), preprocess.crop, preprocess.crop), np.bool_)
    for mask, index in zip(masks, chosen, strict=True):
        if index in found:
            mask[:] = _cropped(*found[index], preprocess)
    return masks if found else None


def masks_fingerprint(test: ImageSet, folder: str | Path, data: Path | None = None) -> str:
    """Return the hash of all masks in `folder` that belong to the images.

    Raises:
        PrunescopeError: the folder is not there, cannot be read, or has no mask of any image.
    """
    root = resolve(folder, data)
    files = mask_files(test, root)
    digests = file_digests(root, [path.relative_to(root).as_posix() for path in files.values()])
    pairs = (f"{test.names[index]}\0{digest}" for index, digest in zip(files, digests, strict=True))
    return digest_of("\n".join(pairs).encode("utf-8", "surrogatepass"))


def mask_files(test: ImageSet, folder: Path, required: bool = True) -> dict[int, Path]:
    """Return the mask of each image that has one in `folder`, by index; `required`: there must be one.

    Raises:
        PrunescopeError: the folder is not there, cannot be read, or lacks a mask of any image; or one fits several.
    """
    there = _pngs(folder)
    files: dict[int, Path] = {}
    owners: dict[Path, str] = {}
    for index, name in enumerate(test.names):
        path = next((there[own] for own in _names_of(name) if own in there), None)
        if path is None:
            continue
        if path in owners:
            raise PrunescopeError(
                f"the mask {path} fits both {owners[path]} and {name}: give each its own, named {name}.png"
            )
        files[index], owners[path] = path, name
    if required and not files:
        raise PrunescopeError(
            f"no mask in {folder} fits an image of {test.source}: expected names such as "
            f"{_names_of(test.names[0])[-1]}, and {some(sorted(there)) if there else 'no PNG file'} is there"
        )
    return files


def _names_of(image: str) -> list[str]:
    """Return the names that the mask of an image may have, the less ambiguous one first."""
    ending = Path(image).suffix
    stem = [f"{image.removesuffix(ending)}.png"] if ending.lower() in EXTENSIONS else []
    return [f"{image}.png", *stem]


def _pngs(folder: Path) -> dict[str, Path]:
    """Return the PNG files below `folder` by their relative name, its ending in small letters."""
    if not folder.is_dir():
        raise PrunescopeError(
            f"the folder of masks {folder} is {'not a folder' if folder.exists() else 'not there'}; relative paths "
            "start from the data folder, or from the current one if none is given"
        )
    try:
        paths = [path for path in folder.rglob("*") if path.suffix.lower() == ".png"]
    except OSError as error:
        raise describe_os_error(error, f"reading {folder}") from error
    return {path.relative_to(folder).with_suffix(".png").as_posix(): path for path in sorted(paths)}


Sized = tuple[NDArray[np.bool_], tuple[int, int]]
"""A mask, and (height, width) of its image."""


def _known_by_source(test: ImageSet, indices: Iterable[int]) -> dict[int, Sized]:
    """Return the objects that the source of the images knows, by index."""
    found: dict[int, Sized] = {}
    if test.masks is None or not test.labelled:
        return found
    for index in indices:
        name = test.classes[test.labels[index]]
        if name not in CONCEPTS[CATEGORY]:
            continue
        mask = test.masks(index).get(CATEGORY)
        if mask is not None:
            found[index] = (np.asarray(mask == concept_id(CATEGORY, name)), (mask.shape[0], mask.shape[1]))
    return found


def _read(test: ImageSet, indices: Iterable[int], files: Mapping[int, Path]) -> dict[int, Sized]:
    found: dict[int, Sized] = {}
    broken: list[PrunescopeError] = []
    for index in indices:
        if index not in files:
            continue
        try:
            mask = read_marked(files[index])
            height, width, _ = test.decode(index).shape
            _check_shape(mask, (height, width), files[index], test.names[index])
            found[index] = mask, (height, width)
        except PrunescopeError as error:
            broken.append(error)
    if broken:
        more = [f"  … and {len(broken) - 10} more"] if len(broken) > 10 else []
        lines = [f"{len(broken)} masks cannot be used:", *(f"  {error}" for error in broken[:10]), *more]
        raise broken[0] if len(broken) == 1 else PrunescopeError("\n".join(lines))
    return found


def _check_shape(mask: NDArray[np.bool_], size: tuple[int, int], path: Path, name: str) -> None:
    """Check that a mask covers the whole image: of the same size, or scaled and rounded to whole pixels."""
    (rows, columns), (height, width) = mask.shape, size
    if abs(rows * width - columns * height) > max(size):
        raise PrunescopeError(
            f"{path} is {columns} x {rows} pixels, and its image {name} {width} x {height}: a mask covers the whole "
            "image, in its size or scaled without changing its shape"
        )


def _cropped(mask: NDArray[np.bool_], size: tuple[int, int], preprocess: Preprocess) -> NDArray[np.bool_]:
    """Return what the network sees of a mask, (crop, crop)."""
    rows, columns = sample_points(size, (mask.shape[0], mask.shape[1]), preprocess, preprocess.crop)
    seen: NDArray[np.bool_] = mask[rows[:, None], columns] & (rows >= 0)[:, None] & (columns >= 0)
    return seen
