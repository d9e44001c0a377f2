"""`scenes` as an image source: `scenes`, `scenes:seed=3`, `scenes:seed=3,count=2000`."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np

from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.images.scenes.attributes import describe
from prunescope.images.scenes.concepts import CLASSES
from prunescope.images.scenes.render import render
from prunescope.images.source import SOURCES, ImageSet, Role

VERSION = 1  # raise it with every change that alters a pixel, a label, a mask or an attribute
COUNTS: dict[Role, int] = {"train": 6000, "test": 2000}
LARGEST = 2**32 - 1


@SOURCES.register("scenes")
def scenes(argument: str, role: Role, data: Path | None = None) -> ImageSet:
    """Open the embedded scenes. Picture i is decided by the seed, the role and i alone.

    Args:
        argument: empty, or settings such as `seed=3,count=2000`; by default seed 0 and 6000 or 2000 pictures.
        role: "train" and "test" are different pictures of the same kind.
        data: not needed.

    Raises:
        PrunescopeError: the argument has an unknown setting or one that is out of its range.
    """
    settings = _settings(argument)
    seed, count = settings.get("seed", 0), settings.get("count", COUNTS[role])
    known = f"scenes version {VERSION}, seed {seed}, {role}, {count}"
    return ImageSet(
        source=f"scenes:{argument}" if argument else "scenes",
        classes=CLASSES,
        labels=np.arange(count, dtype=np.int64) % len(CLASSES),
        names=tuple(f"{role}/{i:06d}" for i in range(count)),
        fingerprint=hashlib.blake2b(known.encode(), digest_size=16).hexdigest(),
        decode=lambda i: render(seed, role, int(i)).pixels.copy(),
        masks=lambda i: {name: mask.copy() for name, mask in render(seed, role, int(i)).masks.items()},
        attributes=lambda i: describe(render(seed, role, int(i))),
    )


def _settings(argument: str) -> dict[str, int]:
    """Return the settings in a text such as `seed=3,count=2000`."""
    smallest = {"seed": 0, "count": 1}
    settings: dict[str, int] = {}
    for setting in filter(None, argument.split(",")):
        name, _, value = setting.partition("=")
        if name not in smallest:
            raise PrunescopeError(
                f"no setting {name!r} of scenes{did_you_mean(name, smallest)}; "
                "expected for example 'scenes:seed=3,count=2000'"
            )
        if name in settings:
            raise PrunescopeError(f"{name} is given twice in 'scenes:{argument}'; give it once")
        if not (value.isascii() and value.isdigit() and smallest[name] <= int(value) <= LARGEST):
            raise PrunescopeError(
                f"{name} of scenes is a whole number from {smallest[name]} to {LARGEST}, not {value!r}; "
                "expected for example 'scenes:seed=3,count=2000'"
            )
        settings[name] = int(value)
    return settings
