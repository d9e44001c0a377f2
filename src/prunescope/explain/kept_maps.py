"""Maps kept in a file, so that those of other networks can be compared with them, and pictures made of them."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.explain.explain import Explained
from prunescope.images.digests import digest_of

_KEY = "prunescope"  # one field with all: several would be written in an order that differs from run to run
_TENSORS = ("maps", "targets", "predictions", "confidence")


def maps_file(method: str) -> str:
    """Return the name of the file that keeps the maps of a method."""
    return f"maps-{method}.safetensors"


def write_maps(folder: Path, method: str, explained: Explained, names: Sequence[str]) -> None:
    """Keep the maps of one network and method at their own resolution, in float32; the same maps, the same bytes.

    Args:
        folder: where the file `maps-<method>.safetensors` goes.
        names: (n,) identities of the images.

    Raises:
        PrunescopeError: the file cannot be written.
    """
    about = {"method": method, "layer": explained.layer, "images": _digest(names)}
    tensors = {name: np.ascontiguousarray(getattr(explained, name)) for name in _TENSORS}
    content = save(tensors, {_KEY: json.dumps(about)})
    path = folder / maps_file(method)
    try:
        path.write_bytes(content)
    except OSError as error:
        raise describe_os_error(error, f"writing {path}") from error


def read_maps(folder: Path, method: str, names: Sequence[str] | None = None) -> Explained:
    """Return the maps that `write_maps` kept, in the order of the images in the table `explanations`.

    Args:
        names: (n,) identities of the images that are expected; None: whichever they are.

    Raises:
        PrunescopeError: there are none of this method, the file is damaged, or it is of other images.
    """
    path = folder / maps_file(method)
    if not path.is_file():
        kept = sorted(file.name for file in folder.glob(maps_file("*")))
        raise PrunescopeError(
            f"no maps of {method} in {folder}: it keeps {', '.join(kept) or 'none'}; run the study with that method"
        )
    try:
        with safe_open(path, framework="np") as file:
            about = json.loads((file.metadata() or {})[_KEY])
            tensors = {name: file.get_tensor(name) for name in _TENSORS}
    except (SafetensorError, LookupError, ValueError) as error:
        raise PrunescopeError(f"{path}: no whole file of maps ({error}): run the study again") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    if names is not None and about["images"] != _digest(names):
        raise PrunescopeError(
            f"{path} keeps the maps of other images: explain both networks on the same ones"
        )
    return Explained(**tensors, layer=about["layer"])


def _digest(names: Sequence[str]) -> str:
    return digest_of("\0".join(names).encode("utf-8", "surrogatepass"))
