"""Train `prunescope/sprig` on `scenes` and write the weights that ship with the package.

    python scripts/train_sprig.py [--out FILE]

Takes two minutes on two cores. The file is float16, which is small; top-1 is measured after rounding to it.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import torch

from prunescope.images.augment import Augment
from prunescope.images.cache import cached
from prunescope.images.source import Role, open_images
from prunescope.networks.checkpoints import save_state
from prunescope.networks.network import open_network, origin_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels, predict
from prunescope.training.loop import train
from prunescope.training.settings import OptimizerSettings, ScheduleSettings, TrainSettings

WEIGHTS = Path(__file__).parents[1] / "src/prunescope/networks/sprig_scenes.safetensors"
SETTINGS = TrainSettings(
    epochs=12,
    batch=64,
    optimizer=OptimizerSettings(lr=0.1, weight_decay=5e-4),
    schedule=ScheduleSettings(name="cosine", warmup=1),
    augment=Augment(crop="random"),
)
SEED = 0


def images(role: Role) -> LabelledPixels:
    """Return all images of one part of `scenes`."""
    found = open_images("scenes", role)
    return LabelledPixels(cached(found, None, "bilinear"), found.labels, np.arange(len(found)))


def top1(network: torch.nn.Module, on: LabelledPixels) -> float:
    """Return the share of images that are classified correctly."""
    return float((predict(network, on).argmax(1) == on.targets).float().mean())


def main() -> None:
    """Train, round to float16, measure, save."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--out", type=Path, default=WEIGHTS)
    out: Path = parser.parse_args().out
    network = open_network("prunescope/sprig", seed=SEED)
    for epoch in train(network, images("train"), SETTINGS, seed=SEED):
        print(
            f"epoch {epoch.epoch + 1}: loss {epoch.loss:.3f}, {epoch.seconds:.0f} s, waited {epoch.waited:.1f} s",
            flush=True,
        )
    state = {k: v.half() if v.is_floating_point() else v for k, v in network.state_dict().items()}
    network.load_state_dict(state)  # copies into float32, rounded as the file will be
    measured = top1(network, images("test"))
    record = {
        "top1": measured,
        "trained_on": "scenes, 6000 images",
        "settings": SETTINGS.model_dump(mode="json"),
    }
    about = {
        "origin": origin_of(network).model_dump(),
        "preprocess": preprocess_of(network).model_dump(),
        "record": record,
    }
    save_state(state, about, out)
    print(f"test top-1 {measured:.4f}; wrote {out} ({out.stat().st_size / 1e3:.0f} kB)")


if __name__ == "__main__":
    main()
