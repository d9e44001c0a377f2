"""Which output of either network is which class of the images."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from prunescope.auditing.class_map import read_class_map
from prunescope.errors import PrunescopeError, describe_os_error, did_you_mean, some
from prunescope.images.digests import digest_of
from prunescope.images.folder import scheme_for
from prunescope.images.source import ImageSet, is_scheme, open_images
from prunescope.images.split import limited
from prunescope.networks.class_names import IMAGENET, are_imagenet, imagenet_names, in_words, keys_of
from prunescope.networks.network import resolve

Side = Literal["dense", "pruned"]
Positions = NDArray[np.int64]
LIMIT_SEED = 0
_OFFER = (
    f"name the outputs with --classes FILE or --classes {IMAGENET} (--dense-classes and --pruned-classes where they "
    "differ), or say with --class-map CSV (columns class,dense,pruned) which output is which class"
)


@dataclass(frozen=True)
class Outputs:
    """What a network puts out: how many logits, and the names of their classes where they are known."""

    count: int
    names: tuple[str, ...] | None = None


@dataclass(frozen=True)
class Matched:
    """What can be compared of two networks' answers.

    Attributes:
        test: the images that can be; their classes are `names`. Those without labels stay without.
        names: of the classes compared.
        dense: (names,) the output of the dense network that is each class; None: all its outputs, in order.
        pruned: likewise.
        rule: same: all outputs of both, in order; names: the classes whose names both know; map: as given.
        text: one sentence: how it was found, and what it leaves out.
        left_out: names of the outputs of either network, and of classes of images, that are not compared.
    """

    test: ImageSet
    names: tuple[str, ...]
    dense: Positions | None
    pruned: Positions | None
    rule: Literal["same", "names", "map"]
    text: str
    left_out: dict[str, list[str]]

    def named(self, side: Side) -> dict[int, str]:
        """Return the class that each output of a network is, where it is one that is compared."""
        positions = self.dense if side == "dense" else self.pruned
        outputs = range(len(self.names)) if positions is None else positions.tolist()
        return dict(zip(outputs, self.names, strict=True))


def audited_images(source: str, data: Path | None = None) -> ImageSet:
    """Open images that may be without labels.

    Args:
        source: `scheme:argument`; or a folder: with a subfolder a class, or else of images without labels.
        data: the folder that relative paths start from.

    Raises:
        PrunescopeError: there is no such source or folder, it has no images, or images both beside and in subfolders.
    """
    scheme, colon, _ = source.partition(":")
    try:
        is_folder = bool(source) and resolve(source, data).is_dir()
    except OSError as error:
        raise describe_os_error(error, f"looking for images in {source[:80]!r}") from error
    if not is_folder and (colon or is_scheme(scheme)):
        return open_images(source, "test", data)
    if not is_folder:
        raise PrunescopeError(
            f"no folder {str(resolve(source, data))!r} of images: check the path, or --data; other sources are "
            "'scheme:argument', say 'torchvision:CIFAR10'"
        )
    if is_scheme(source):
        raise PrunescopeError(
            f"{source!r} is a folder and a source of images: write './{source}' or '{source}:'"
        )
    return open_images(f"{scheme_for(source, data)}:{source}", "test", data)


def match_classes(
    test: ImageSet,
    dense: Outputs,
    pruned: Outputs,
    class_map: Path | None = None,
    limit: int | None = None,
) -> Matched:
    """Find out which output of either network is which class of the images.

    Outputs of unknown names are taken to be, in this order: those of the other network, if it has as many; the classes
    of ImageNet, if there are 1000 and the images' classes are of ImageNet; the images' classes in their order, if
    there are as many. Names are compared without regard to case, underscores and spaces, and ImageNet's numbers and
    names are the same class. If both networks then name the same classes in the same order, all outputs compete;
    else only those that both know, and images of other classes are left out.

    Args:
        class_map: CSV file with the columns class (of the images), dense and pruned (name or number of the output),
            which decides instead.
        limit: at most so many images, of the classes that are compared, as even as can be.

    Raises:
        PrunescopeError: it cannot be found out, fewer than two classes are common, or no image is of any.
    """
    found = _matched(test, {"dense": dense, "pruned": pruned}, class_map, limit)
    names = in_words(found.names)
    if names == found.names:
        return found
    shown = replace(found.test, classes=names) if found.test.labelled else found.test
    return replace(found, names=names, test=shown)


def _matched(
    test: ImageSet, outputs: Mapping[str, Outputs], class_map: Path | None, limit: int | None
) -> Matched:
    for side, own in outputs.items():
        _check(side, own)
    if class_map is not None:
        return _by_map(test, outputs, class_map, limit)
    known = {side: _known(side, outputs, test) for side in outputs}
    if any(not one.names for one in known.values()):
        if test.labelled or outputs["dense"].count != outputs["pruned"].count:
            raise _not_known(test, outputs, known)
        return _in_order(limited(test, limit, LIMIT_SEED), outputs["dense"].count)
    return _by_name(test, known, limit)


@dataclass(frozen=True)
class _Known:
    """What the outputs of a network are called, and how that is known; no names: it is not."""

    count: int
    names: tuple[str, ...] = ()
    how: str = ""


def _check(side: str, own: Outputs) -> None:
    if own.count < 2:
        raise PrunescopeError(
            f"the {side} network has {own.count} output, and classes are compared by two or more: give a classifier"
        )
    if own.names is None:
        return
    if len(own.names) != own.count:
        raise PrunescopeError(
            f"{len(own.names)} classes are named for the {side} network, and it has {own.count} outputs: give one name "
            "for each, in their order"
        )
    if twice := [name for name, count in Counter(own.names).items() if count > 1]:
        raise PrunescopeError(
            f"two outputs of the {side} network have the name {twice[0]!r}: give each one of its own"
        )


def _known(side: str, outputs: Mapping[str, Outputs], test: ImageSet) -> _Known:
    own = outputs[side]
    (other,) = (name for name in outputs if name != side)
    if own.names:
        return _Known(own.count, own.names, "of the names given")
    if (theirs := outputs[other].names) and len(theirs) == own.count:
        return _Known(own.count, theirs, f"of the names given for the {other} network")
    if own.count == len(imagenet_names()) and are_imagenet(test.classes):
        return _Known(own.count, imagenet_names(), "taken to be ImageNet's classes in their usual order")
    if own.count == len(test.classes):
        return _Known(
            own.count, test.classes, "taken to be the images' classes in their order (an assumption)"
        )
    return _Known(own.count)


def _in_order(test: ImageSet, count: int) -> Matched:
    """Compare all outputs of networks of which nothing else is known, on images without labels."""
    names = tuple(f"output {i}" for i in range(count))
    text = f"Both networks have {count} outputs, taken to mean the same in the same order{_of_images(test, names, [])}."
    return Matched(test, names, None, None, "same", text, {"dense": [], "pruned": [], "images": []})


def _by_name(test: ImageSet, known: Mapping[str, _Known], limit: int | None) -> Matched:
    dense, pruned = known["dense"], known["pruned"]
    ours, theirs, shown = keys_of(dense.names, pruned.names, test.classes)
    if ours == theirs:
        images, lost = _relabelled(test, dense.names, ours, shown, limit)
        how = min(dense.how, pruned.how, key=len)  # if one adopts the names of the other, those
        text = f"Both networks have {dense.count} outputs, {how}{_of_images(images, dense.names, lost)}."
        return Matched(
            images, dense.names, None, None, "same", text, {"dense": [], "pruned": [], "images": lost}
        )
    place = {key: output for output, key in enumerate(theirs)}
    common = [output for output, key in enumerate(ours) if key in place]
    if len(common) < 2:
        raise _nothing_common(known, len(common))
    names = tuple(dense.names[output] for output in common)
    keys = [ours[output] for output in common]
    kept = set(keys)
    images, lost = _relabelled(test, names, keys, shown, limit)
    text = (
        f"The dense network has {dense.count} outputs, {dense.how}, the pruned one {pruned.count}, {pruned.how}: only "
        f"the {len(common)} classes that both know are compared, and each network chooses among these"
        f"{_of_images(images, names, lost)}."
    )
    positions = np.array(common), np.array([place[key] for key in keys])
    left_out = {
        "dense": [name for name, key in zip(dense.names, ours, strict=True) if key not in kept],
        "pruned": [name for name, key in zip(pruned.names, theirs, strict=True) if key not in kept],
        "images": lost,
    }
    return Matched(images, names, *positions, "names", text, left_out)


def _by_map(test: ImageSet, outputs: Mapping[str, Outputs], path: Path, limit: int | None) -> Matched:
    names, positions = read_class_map(path, outputs)
    keys, shown = keys_of(names, test.classes)
    images, lost = _relabelled(test, names, keys, shown, limit)
    left_out = {"images": lost}
    for side, own in outputs.items():
        rest = np.setdiff1d(np.arange(own.count), positions[side]).tolist()
        left_out[side] = [own.names[i] if own.names else f"output {i}" for i in rest]
    text = (
        f"The {len(names)} classes of {path.name} are compared, of the dense network's {outputs['dense'].count} "
        f"outputs and the pruned one's {outputs['pruned'].count}, and each chooses among these"
        f"{_of_images(images, names, lost)}."
    )
    return Matched(images, names, positions["dense"], positions["pruned"], "map", text, left_out)


def _relabelled(
    test: ImageSet, names: tuple[str, ...], keys: Sequence[str], shown: Sequence[str], limit: int | None
) -> tuple[ImageSet, list[str]]:
    """Return the images of the classes `names`, labelled by them, and the names of the images' other classes.

    Args:
        keys: of `names`.
        shown: of the images' classes.
    """
    if not test.labelled:
        return limited(test, limit, LIMIT_SEED), []
    place = {key: index for index, key in enumerate(keys)}
    number = np.array([place.get(key, -1) for key in shown], dtype=np.int64)
    labels = number[test.labels]
    kept = np.flatnonzero(labels >= 0)
    if not len(kept):
        raise PrunescopeError(
            f"no image is of a class that is compared: the images' classes are {some(test.classes)}, those compared "
            f"{some(names)}{did_you_mean(test.classes[0], names)}. If the images' folders are no classes, give them as "
            f"'unlabelled:PATH'; else {_OFFER}"
        )
    lost = [test.classes[i] for i in np.unique(test.labels[labels < 0])]
    if len(kept) < len(test):
        test = test.subset(kept)
    test = limited(test, limit, LIMIT_SEED)
    if test.classes == names:
        return test, lost
    labels = number[test.labels]
    said = repr((test.fingerprint, names, labels.tolist()))
    fingerprint = digest_of(said.encode("utf-8", "surrogatepass"))
    return replace(test, classes=names, labels=labels, fingerprint=fingerprint), lost


def _of_images(images: ImageSet, names: tuple[str, ...], lost: Sequence[str]) -> str:
    """Say what the images are of, as the end of a sentence."""
    if not images.labelled:
        return f"; the images have no labels{_hint(images)}"
    present = len(np.unique(images.labels))
    of = f"; the images are of {present} of them" if present < len(names) else ""
    return of + (f"; images of other classes are left out ({some(lost)})" if lost else "")


def _hint(images: ImageSet) -> str:
    """Say that the names of images without labels look as if they held them."""
    start = [name.partition("_")[0] for name in images.names]
    classes = {name for name, whole in zip(start, images.names, strict=True) if name and name != whole}
    flat = not any("/" in name for name in images.names) and len(classes) > 1 and all(start)
    if flat and len(set(start)) == len(classes) and (len(classes) < len(start) or are_imagenet(classes)):
        return " (their files' names look like <class>_<rest>: 'flat:PATH' would take labels from them)"
    return ""


def _not_known(
    test: ImageSet, outputs: Mapping[str, Outputs], known: Mapping[str, _Known]
) -> PrunescopeError:
    counts = " and ".join(f"the {side} network {own.count} outputs" for side, own in outputs.items())
    shown = f"the images have {len(test.classes)} classes ({some(test.classes)}), " if test.labelled else ""
    which = " and ".join(side for side, one in known.items() if not one.names)
    strangers = [name for name in test.classes if not are_imagenet([name])]
    thousand = len(imagenet_names()) in (own.count for own in outputs.values())
    near = ""
    if thousand and 0 < 2 * len(strangers) <= len(test.classes):
        near = (
            f"; of the images' classes, all but {some(strangers)} are of ImageNet"
            f"{did_you_mean(strangers[0], imagenet_names())}"
        )
    alike = test.labelled and outputs["dense"].count == outputs["pruned"].count
    without = "; or give the images as 'unlabelled:PATH', for what needs no labels" if alike else ""
    return PrunescopeError(
        f"{shown}{counts}, and what those of the {which} network stand for is not known{near}: {_OFFER}{without}"
    )


def _nothing_common(known: Mapping[str, _Known], common: int) -> PrunescopeError:
    lists = " and ".join(f"the {side} network's {some(one.names)} ({one.how})" for side, one in known.items())
    near = did_you_mean(known["pruned"].names[0], known["dense"].names)
    return PrunescopeError(
        f"two classes or more must be known to both networks, and of {lists}, {common or 'none'} is common{near}: "
        f"{_OFFER}"
    )
