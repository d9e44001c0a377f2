"""The classification data sets of torchvision: `torchvision:CIFAR10`; downloaded only if `?download` asks."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.images.decode import read_image, to_rgb
from prunescope.images.digests import digest_of, file_digests, fingerprint
from prunescope.images.source import SOURCES, ImageSet, Role
from prunescope.images.split import split
from prunescope.networks.operators import torchvision


@dataclass(frozen=True)
class Layout:
    """How one data set of torchvision tells its parts, labels and files.

    Attributes:
        parts: the arguments that select the part for each role; None where the set has no parts of its own.
        labels: the attribute with a label, or a pair (path, label), per image.
        files: the attribute with a path, or such a pair, per image; None where pixels are kept in memory.
    """

    parts: Mapping[Role, Mapping[str, object]] | None
    labels: str
    files: str | None = None


def _split(train: str, test: str) -> Mapping[Role, Mapping[str, object]]:
    return {"train": {"split": train}, "test": {"split": test}}


_FLAG: Mapping[Role, Mapping[str, object]] = {"train": {"train": True}, "test": {"train": False}}
_TRAIN_TEST = _split("train", "test")
_TRAINVAL_TEST = _split("trainval", "test")

SETS = {
    "CIFAR10": Layout(_FLAG, "targets"),
    "CIFAR100": Layout(_FLAG, "targets"),
    "Country211": Layout(_TRAIN_TEST, "targets", "samples"),
    "DTD": Layout(_TRAIN_TEST, "_labels", "_image_files"),
    "EuroSAT": Layout(None, "targets", "samples"),
    "FGVCAircraft": Layout(_TRAINVAL_TEST, "_labels", "_image_files"),
    "FashionMNIST": Layout(_FLAG, "targets"),
    "Flowers102": Layout(_TRAIN_TEST, "_labels", "_image_files"),
    "Food101": Layout(_TRAIN_TEST, "_labels", "_image_files"),
    "GTSRB": Layout(_TRAIN_TEST, "_samples", "_samples"),
    "Imagenette": Layout(_split("train", "val"), "_samples", "_samples"),
    "KMNIST": Layout(_FLAG, "targets"),
    "MNIST": Layout(_FLAG, "targets"),
    "OxfordIIITPet": Layout(_TRAINVAL_TEST, "_labels", "_images"),
    "STL10": Layout(_TRAIN_TEST, "labels"),
    "SVHN": Layout(_TRAIN_TEST, "labels"),
    "StanfordCars": Layout(_TRAIN_TEST, "_samples", "_samples"),
    "USPS": Layout(_FLAG, "targets"),
}


@SOURCES.register("torchvision")
def open_torchvision(argument: str, role: Role, data: Path | None) -> ImageSet:
    """Open a data set that torchvision reads, where torchvision keeps it below `data`.

    EuroSAT has no parts of its own: a stratified, seeded fifth of it is its test part.

    Raises:
        PrunescopeError: no such data set, it is not there, or it is damaged.
    """
    name, _, option = argument.partition("?")
    if name not in SETS:
        raise PrunescopeError(f"no data set {name!r}{did_you_mean(name, SETS)}; known: {', '.join(SETS)}")
    if option not in {"", "download"}:
        raise PrunescopeError(f"the only option is 'torchvision:{name}?download', and {option!r} was given")
    root = (data or Path.cwd()).expanduser()
    layout = SETS[name]
    dataset = _construct(name, layout.parts[role] if layout.parts else {}, root, option == "download")
    images = _in_memory(name, role, dataset) if layout.files is None else _in_files(name, dataset, root)
    if layout.parts is None:
        return images.subset(split(images.labels, 0.2, seed=0)[role == "test"])
    return images


def _construct(name: str, part: Mapping[str, object], root: Path, download: bool) -> Any:
    try:
        with warnings.catch_warnings():  # some read files in ways that numpy will not allow for ever
            warnings.simplefilter("ignore")
            return getattr(torchvision.datasets, name)(root, download=download, **part)
    except ImportError as error:
        raise PrunescopeError(
            f"torchvision needs {error.name} for {name}: pip install {error.name}"
        ) from error
    except Exception as error:  # a part missing or damaged makes torchvision raise almost anything
        raise PrunescopeError(
            f"torchvision cannot open {name} ({', '.join(f'{k}={v}' for k, v in part.items()) or 'whole'}) "
            f"below {root}: {error}; "
            f"put its files there in torchvision's layout, or fetch them with 'torchvision:{name}?download'"
        ) from error


def _in_memory(name: str, role: Role, dataset: Any) -> ImageSet:
    def decode(index: int) -> NDArray[np.uint8]:
        return to_rgb(dataset[index][0])

    count = len(dataset)
    names = tuple(f"{name}/{role}/{index:06d}" for index in range(count))
    return _labelled(name, dataset, names, [digest_of(decode(i).tobytes()) for i in range(count)], decode)


def _in_files(name: str, dataset: Any, root: Path) -> ImageSet:
    paths = [
        Path(entry[0] if isinstance(entry, tuple) else entry)
        for entry in getattr(dataset, str(SETS[name].files))
    ]
    names = tuple(path.relative_to(root).as_posix() for path in paths)
    return _labelled(name, dataset, names, file_digests(root, names), lambda index: read_image(paths[index]))


def _labelled(
    name: str,
    dataset: Any,
    names: tuple[str, ...],
    digests: list[str],
    decode: Callable[[int], NDArray[np.uint8]],
) -> ImageSet:
    labels = np.array(
        [
            int(entry[1] if isinstance(entry, tuple) else entry)
            for entry in getattr(dataset, SETS[name].labels)
        ],
        dtype=np.int64,
    )
    known = getattr(dataset, "classes", range(labels.max(initial=0) + 1))
    classes = tuple(", ".join(each) if isinstance(each, tuple) else str(each) for each in known)
    return ImageSet(
        source=f"torchvision:{name}",
        classes=classes,
        labels=labels,
        names=names,
        fingerprint=fingerprint(classes, labels.tolist(), names, digests),
        decode=decode,
    )
