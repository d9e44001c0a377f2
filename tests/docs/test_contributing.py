"""The worked examples of CONTRIBUTING.md are run as they are printed."""

from __future__ import annotations

import math
import re
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

from prunescope.images.source import SOURCES, open_images
from prunescope.measures.measure import MEASURES, Subject
from prunescope.networks.network import Origin, attach
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.similarity import SIMILARITIES, likeness, open_similarity
from prunescope.pruning.prune import prune
from prunescope.pruning.scores import all_scores
from prunescope.training.evaluation import LabelledPixels, predict

PAGE = Path(__file__).parents[2] / "CONTRIBUTING.md"
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE.read_text(), flags=re.DOTALL)


@pytest.fixture
def names() -> Iterator[dict[str, Any]]:
    """The names that the examples use; what they register is taken out again."""
    open_similarity("classical")  # registers all that there are, once for the process
    registries = (all_scores(), MEASURES, SOURCES, SIMILARITIES)
    with ExitStack() as stack:
        for registry in registries:
            stack.enter_context(registry.unchanged())
        yield {"torch": torch, "nn": nn}


@pytest.fixture
def toy() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = nn.Sequential(
            nn.Conv2d(3, 4, 3),
            nn.ReLU(),
            nn.Conv2d(4, 6, 3),
            nn.AdaptiveAvgPool2d(1),
            nn.Flatten(),
            nn.Linear(6, 2),
        )
    return attach(network.eval(), Preprocess(resize=None, crop=8), Origin(name="toy"))


def run(number: int, names: dict[str, Any]) -> dict[str, Any]:
    """Run one example of the page in the namespace of those before it."""
    exec(compile(EXAMPLES[number], f"CONTRIBUTING.md, example {number + 1}", "exec"), names)
    return names


def test_the_score(names: dict[str, Any], toy: nn.Module) -> None:
    run(0, names)
    run(1, names)["test_largest_is_the_largest_weight_of_each_filter"](toy)
    mask = prune(toy, "filter", by="largest", rate=0.5)
    assert int(mask.keep["0.weight"].sum()) == 2


def test_the_score_in_a_file_of_ones_own(
    toy: nn.Module, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("nearness.py").write_text(EXAMPLES[2])

    mask = prune(toy, "filter", by="nearness.py:to_one", rate=0.5)

    distance = [abs(float(filter_.sum()) - 1) for filter_ in toy[0].weight.detach()]
    nearest = sorted(range(4), key=distance.__getitem__)[:2]
    assert mask.keep["0.weight"].flatten().nonzero().flatten().tolist() == sorted(nearest)


def test_the_measure_and_the_source(names: dict[str, Any], toy: nn.Module) -> None:
    from prunescope.images.cache import cached

    run(3, names)
    run(4, names)
    images = open_images("numbers:6")
    assert images.classes == ("dark", "bright")
    pixels = LabelledPixels(cached(images, None, "bilinear"), images.labels, np.arange(6))
    measure = MEASURES["entropy"]
    scores = measure.run(Subject(toy, pixels, images), measure.settings())["scores"]
    probabilities = predict(toy, pixels).softmax(1).double().numpy()
    by_hand = np.mean([-sum(p * math.log2(p) for p in row) for row in probabilities])
    assert scores.loc[0, "value"] == pytest.approx(by_hand)


def test_the_similarity(names: dict[str, Any]) -> None:
    run(4, names)
    run(5, names)
    alike = likeness(open_images("numbers:6"), open_similarity("mean-colour"))
    assert alike.embeddings is not None
    assert alike.embeddings.tolist() == [[-127.5] * 3, [127.5] * 3] * 3


def test_the_conclusion(names: dict[str, Any]) -> None:
    final = pd.DataFrame({"series": ["a", "b", "c"], "left": [0.2, 0.5, math.nan]})
    [finding] = run(6, names)["heaviest"](SimpleNamespace(final=final), {})
    assert finding.sentence == "“b” has a network with 50.0% of the weights left."
    assert not list(names["heaviest"](SimpleNamespace(final=final[2:]), {}))
