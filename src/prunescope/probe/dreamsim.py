"""`dreamsim`: cosine of an embedding that was tuned to people's judgements, by the package of its authors.

*Source:* Fu, Tamir, Sundaram, Chai, Zhang, Dekel & Isola, DreamSim: Learning New Dimensions of Human Visual
Similarity using Synthetic Data, 2023; the ensemble of DINO, CLIP and OpenCLIP (ViT-B/16), 1792 numbers an
image. As in the package, images are squashed to 224 x 224 pixels (bicubic), and of each embedding its mean is
subtracted before it is scaled to length one.
"""

from __future__ import annotations

import contextlib
import importlib.metadata
import importlib.util
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from prunescope.errors import PrunescopeError
from prunescope.images.cache import Progress
from prunescope.images.decode import FILTERS
from prunescope.images.digests import file_digests
from prunescope.images.kept import cache_folder
from prunescope.images.source import ImageSet
from prunescope.networks.network import Device
from prunescope.probe.similarity import SIMILARITIES, WITHOUT_WEIGHTS, Likeness, Similarity

SIDE = 224  # pixels
BATCH = 16

_ENSEMBLE = "https://github.com/ssundaram21/dreamsim/releases/download/v0.2.0-checkpoints/dreamsim_ensemble_checkpoint.zip"
_DINO = "https://dl.fbaipublicfiles.com/dino/dino_vitbase16_pretrain/dino_vitbase16_pretrain.pth"
CODE = "facebookresearch_dino_main"
FILES = {  # what the package reads below its folder, and from where it comes; all but the last hold weights
    "dino_vitb16_pretrain.pth": _ENSEMBLE,
    "clip_vitb16_pretrain.pth.tar": _ENSEMBLE,
    "open_clip_vitb16_pretrain.pth.tar": _ENSEMBLE,
    "ensemble_lora/adapter_config.json": _ENSEMBLE,
    "ensemble_lora/adapter_model.safetensors": _ENSEMBLE,
    "checkpoints/dino_vitbase16_pretrain.pth": _DINO,
    f"{CODE}/hubconf.py": "https://github.com/facebookresearch/dino (its main branch, unpacked)",
}


class DreamSim(Similarity):
    """Cosine of DreamSim embeddings. The network is built when the first image is embedded."""

    name = "dreamsim"
    version = 1

    def __init__(self, folder: Path, device: Device) -> None:
        self.folder = folder
        self.device = device

    def identity(self) -> dict[str, Any]:
        """Return the name, the versions of this and of the package, the device and digests of all weights."""
        files = [name for name in FILES if not name.startswith(CODE)]
        return {
            "name": self.name,
            "version": self.version,
            "package": importlib.metadata.version("dreamsim"),
            "device": self.device,
            "weights": dict(zip(files, file_digests(self.folder, files), strict=True)),
        }

    def compute(self, images: ImageSet, progress: Progress) -> Likeness:
        """Embed each image."""
        embeddings = []
        for batch in squashed(images):
            with torch.no_grad():
                pixels = torch.from_numpy(batch).to(self.device).permute(0, 3, 1, 2) / 255
                embeddings.append(self.model.embed(pixels).float().cpu().numpy())
            progress(sum(map(len, embeddings)), len(images))
        return Likeness(np.concatenate(embeddings), None, "cosine", self.slope)

    @cached_property
    def model(self) -> Any:
        """The network as the package builds it, which downloads whatever is missing in its folder.

        Raises:
            PrunescopeError: the package cannot be imported, or download or build the network.
        """
        # first of all, since the package imports torchvision, which may need help
        importlib.import_module("prunescope.networks.operators")
        try:
            with _hub_folder_kept(), contextlib.redirect_stdout(sys.stderr):  # it prints what it downloads
                package = importlib.import_module("dreamsim")
                return package.dreamsim(pretrained=True, device=self.device, cache_dir=str(self.folder))[0]
        except Exception as error:  # a broken download or file makes its many parts raise almost anything
            raise PrunescopeError(
                f"the package dreamsim failed with {type(error).__name__}: {error}. {_needed(self.folder)}"
            ) from error


@SIMILARITIES.register("dreamsim")
def _open(weights: Path | None, device: Device) -> DreamSim:
    if importlib.util.find_spec("dreamsim") is None:
        raise PrunescopeError(
            f"dreamsim needs its package: pip install 'prunescope[dreamsim]', {WITHOUT_WEIGHTS}"
        )
    similarity = DreamSim(weights or cache_folder() / "dreamsim", device)
    if missing(similarity.folder):
        if weights is not None:  # a folder that was named is used as it is
            raise PrunescopeError(f"the weights of dreamsim are not whole. {_needed(weights)}")
        similarity.folder.parent.mkdir(parents=True, exist_ok=True)
        _ = similarity.model
    return similarity


def missing(folder: Path) -> list[str]:
    """Return the files that the package would have to download."""
    return [name for name in FILES if not (folder / name).is_file()]


def squashed(images: ImageSet) -> Iterator[NDArray[np.uint8]]:
    """Yield batches of whole images squashed to squares, (images, 224, 224, 3) uint8, as the package does."""

    def decode(image: int) -> NDArray[np.uint8]:
        picture = Image.fromarray(images.decode(image))
        return np.asarray(picture.resize((SIDE, SIDE), FILTERS["bicubic"]))

    with ThreadPoolExecutor() as pool:
        for start in range(0, len(images), BATCH):
            yield np.stack(list(pool.map(decode, range(start, min(start + BATCH, len(images))))))


def _needed(folder: Path) -> str:
    lacking = missing(folder)
    if not lacking:
        return f"All its files are in {folder}: fetch damaged ones again, {WITHOUT_WEIGHTS}"
    files = {address: [name for name in lacking if FILES[name] == address] for address in FILES.values()}
    lines = [f"  {', '.join(names)} from {address}" for address, names in files.items() if names]
    return "\n".join([f"Missing in {folder}:", *lines, f"Put them there, {WITHOUT_WEIGHTS}"])


@contextlib.contextmanager
def _hub_folder_kept() -> Iterator[None]:
    """Let the package point torch.hub to its own folder, and point it back afterwards."""
    before = torch.hub.get_dir()
    try:
        yield
    finally:
        torch.hub.set_dir(before)
