"""Published files that are known: by their content, so that a table of anyone else is never taken for theirs."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from prunescope.errors import describe_os_error


@dataclass(frozen=True)
class KnownStudy:
    """What the files of a publication do not say themselves.

    Attributes:
        name: of the run folder.
        source: the citation.
        settings: as in `study.json`, as far as they are known.
        images: likewise.
        conditions: columns of the table `units`.
        remarks: what a reader must know, in sentences: what the paper states and the tables cannot show.
    """

    name: str
    title: str
    source: str
    settings: dict[str, Any]
    images: dict[str, Any]
    conditions: dict[str, str] = field(default_factory=dict)
    remarks: tuple[str, ...] = ()


_A = KnownStudy(
    "published-googlenet",
    "Published: GoogLeNet pruned on ImageNet",
    "von Rad & Seuffert, Investigating the Effect of Network Pruning on Performance and Interpretability, "
    "arXiv 2409.19727, 2024",
    {"network": {"name": "torchvision/googlenet", "weights": "IMAGENET1K_V1"}},
    {"classes": 1000, "source": "ImageNet"},
    {"similarity": "dreamsim", "difficulty": "easy"},
    (
        "The paper's correlation of rate and MIS, r = 0.12, pooled other series, placeholders that were typed in and a "
        "dense network of another architecture: it cannot be computed from its tables.",
        "One seed, no intervals; rates were chosen on the images that are reported.",
    ),
)
_INCEPTION = KnownStudy(
    "published-inceptionv1",
    "Published: MIS of the units of InceptionV1",
    "Zimmermann, Klindt & Brendel, Measuring Mechanistic Interpretability at Scale Without Humans, 2024",
    {"network": {"name": "InceptionV1"}},
    {"source": "ImageNet"},
    {"similarity": "dreamsim", "difficulty": "easy"},
)
_RESNET = KnownStudy(
    "published-resnet50-dissection",
    "Published: Network Dissection of ResNet-50",
    "Network Dissection of ResNet-50 on ImageNet with the concepts of Broden; method: Bau et al., Network "
    "Dissection: Quantifying Interpretability of Deep Visual Representations, 2017",
    {"network": {"name": "ResNet-50"}},
    {"source": "Broden"},
)
_C = KnownStudy(
    "published-vgg-imagenette",
    "Published: explanations of a pruned VGG-16, judged by people",
    "Merkle et al., arXiv 2302.08878, 2023",
    {"network": {"name": "VGG-16"}},
    {"classes": 10, "source": "Imagenette"},
    remarks=(
        "Compression counts convolution weights alone: 32 is 1.119 for the whole network.",
        "One seed for each compression, no intervals of the accuracies.",
    ),
)
KNOWN = {
    "dfb4aa15d40070318fc3568149d625d81bb0661e48342bf93c6b2e351916c15c": _A,
    "d3bdff11eb84a0c7eb83cd7f8d73fcc5a0645dab6ddd720f23663c9447aa5789": _A,
    "4cf03a733c1142b4db3a2739544c64182ca6e22e74c1da32d57bfbf2c286f1b0": _INCEPTION,
    "923f4882db8ed6dad3027b9d51bbe3eff3876f2eaa47f53aa2c63f9ec2561f45": _C,
    "78fa431d346ae6355451b411e621dc0b926754d83cfe54868a11a4dea09eb7e3": _C,
    "3ec1e2a26a4039acdd9cfbd5f0892232a1fb819192b562443c446e0a784b0dac": _C,
    "6d24d4e0ccf1dfcd25d31b3dd50f36c9a68574d32ec53ad3aa2584013648a342": _C,
    "26d0157da9c92a1697c9fabf61e39dc1c079611a27c2f4bdc68a20a2d77827ba": _RESNET,
    "232cc24902e89ee45b7abb91adc2b22995ac73c4634984f28467c59535a183b2": _RESNET,
    "b5f49610e1e006641b363de16047927a82e4b49720e746f99fcd6e680c985d5c": _RESNET,
    "9320af96d46f7d5b0ca68a75e69d2d992af4b3946f202ececea91f272cfa74ca": _RESNET,
}


def digest_of_file(path: Path) -> str:
    """Return the SHA-256 of a file."""
    try:
        return hashlib.sha256(path.read_bytes()).hexdigest()
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error


def known_study(digests: Iterable[str]) -> KnownStudy | None:
    """Return the publication that all of the files are from, None if any of them is not known."""
    found = {id(study): study for study in map(KNOWN.get, digests)}
    return next(iter(found.values())) if len(found) == 1 else None
