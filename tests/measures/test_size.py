"""Size of a network small enough to count by hand."""

from __future__ import annotations

import pandas as pd
import pytest
import torch
from safetensors.torch import save
from torch import nn

from measures.named import named_images
from prunescope.measures.measure import Subject
from prunescope.measures.size import SizeSettings, measure_size
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.pruning.masks import Mask
from prunescope.pruning.prune import prune
from prunescope.training.evaluation import NO_IMAGES


class Toy(nn.Module):
    """3 -> 2 channels (3x3, 4 pixels), 2 -> 4 channels (1x1), mean, 4 -> 2 classes: 54 + 8 + (8 + 2) weights."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = Preprocess(resize=None, crop=4)
        self.a = nn.Conv2d(3, 2, 3, padding=1, bias=False)
        self.b = nn.Conv2d(2, 4, 1, bias=False)
        self.fc = nn.Linear(4, 2)
        with torch.no_grad():
            for parameter in self.parameters():
                parameter.fill_(0.5)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.b(self.a(x)).mean((2, 3)))
        return logits


def measured(network: nn.Module, mask: Mask | None = None) -> tuple[dict[str, float], pd.DataFrame]:
    if mask is not None:
        mask.apply(network)
    tables = measure_size(Subject(network.eval(), NO_IMAGES, named_images(), mask), SizeSettings())
    scores = tables["scores"]
    assert scores[["low", "high"]].isna().all(axis=None)
    return dict(zip(scores["metric"], scores["value"], strict=True)), tables["layers"].set_index("layer")


def test_a_dense_network() -> None:
    scores, layers = measured(Toy())
    raw = len(save({name: t.contiguous() for name, t in Toy().state_dict().items()}))
    zstd = scores.pop("file_bytes_zstd")
    assert 0 < zstd < scores["file_bytes"]  # one value all over
    assert scores == {
        "weights": 72, "prunable_weights": 70, "nonzero": 72,
        "zeros_prunable": 0, "zeros_all": 0, "unreachable_prunable": 0, "unreachable_all": 0,
        "compression_prunable": 1, "compression_all": 1, "compression_reachable": 1,
        "macs_dense": 54 * 16 + 8 * 16 + 8, "macs_effective": 54 * 16 + 8 * 16 + 8, "file_bytes": raw,
        "weights_compact": 72, "macs_compact": 54 * 16 + 8 * 16 + 8,
        "file_bytes_compact": raw, "file_bytes_compact_zstd": zstd, "file_bytes_packed": raw,
    }  # fmt: skip
    assert layers["kind"].to_dict() == {"a": "conv", "b": "conv", "fc": "linear"}
    assert layers["kernel"].to_dict() == {"a": "3x3", "b": "1x1", "fc": "1x1"}
    assert layers["weights"].to_dict() == {"a": 54, "b": 8, "fc": 8}
    assert layers["out_channels"].to_dict() == {"a": 2, "b": 4, "fc": 2}
    assert layers["in_channels"].to_dict() == {"a": 3, "b": 2, "fc": 4}
    assert not layers["spared"].any()
    assert layers["rate"].isna().all()


def test_a_filter_gone_takes_the_weights_that_read_it() -> None:
    keep = torch.tensor([True, False]).view(2, 1, 1, 1)
    mask = Mask({"a.weight": keep}, "filter", {"a": 0.5})
    scores, layers = measured(Toy(), mask)
    # 27 zeros in a; b reads the dead channel with 4 of its 8 weights
    assert scores["prunable_weights"] == 54  # only what was to be pruned: a
    assert scores["nonzero"] == 72 - 27
    assert scores["zeros_prunable"] == 27 / 54
    assert scores["zeros_all"] == 27 / 72
    assert scores["unreachable_prunable"] == 27 / 54
    assert scores["unreachable_all"] == 31 / 72
    assert scores["compression_prunable"] == 2
    assert scores["compression_all"] == 72 / 45
    assert scores["compression_reachable"] == 72 / 41
    assert scores["macs_effective"] == 27 * 16 + 4 * 16 + 8
    assert scores["held"] == 1
    assert scores["weights_compact"] == 72 - 31
    assert scores["macs_compact"] == scores["macs_effective"]
    assert scores["file_bytes"] - scores["file_bytes_compact"] == pytest.approx(4 * 31, abs=8)  # header aside
    assert 0 < scores["file_bytes_compact_zstd"] < scores["file_bytes_compact"]
    assert layers["spared"].to_dict() == {"a": False, "b": True, "fc": True}
    assert layers["rate"].fillna(-1).to_dict() == {"a": 0.5, "b": -1, "fc": -1}
    assert layers["kept"].to_dict() == {"a": 27, "b": 8, "fc": 8}
    assert layers["zeros"].to_dict() == {"a": 0.5, "b": 0, "fc": 0}
    assert layers["unreachable"].to_dict() == {"a": 0.5, "b": 0.5, "fc": 0}
    assert layers["units_alive"].to_dict() == {"a": 1, "b": 4, "fc": 2}
    assert layers["macs_effective"].to_dict() == {"a": 432, "b": 64, "fc": 8}


def test_nothing_left_is_an_infinite_compression_not_an_error() -> None:
    mask = Mask({"b.weight": torch.zeros(4, 2, 1, 1, dtype=torch.bool)}, "weight", {"b": 0.99})
    scores, _ = measured(Toy(), mask)
    assert scores["compression_prunable"] == float("inf")
    assert scores["zeros_prunable"] == 1
    assert scores["unreachable_all"] == pytest.approx((54 + 8 + 8) / 72)  # the biases alone reach the logits


def test_connections_that_are_gathered() -> None:
    keep = torch.tensor([True, False, True]).view(1, 3, 1, 1)
    scores, _ = measured(Toy(), Mask({"a.weight": keep}, "connection", {"a": 1 / 3}))
    assert scores["weights_compact"] == 72 - 2 * 9
    assert scores["macs_compact"] == scores["macs_effective"] == 36 * 16 + 8 * 16 + 8


@pytest.mark.parametrize("granularity", ["weight", "filter"])
def test_of_what_cannot_be_compacted_nothing_leaves(granularity: str) -> None:
    if granularity == "weight":
        keep = torch.arange(54).view(2, 3, 3, 3) < 20
        mask = Mask({"a.weight": keep}, granularity, {"a": 0.6})
    else:  # a class: it is never taken out
        mask = Mask({"fc.weight": torch.tensor([[True], [False]])}, granularity, {"fc": 0.5})
    scores, _ = measured(Toy(), mask)
    assert scores["macs_effective"] < scores["macs_compact"] == scores["macs_dense"]
    for metric in ("weights", "file_bytes"):
        assert scores[f"{metric}_compact"] == scores[metric]
    assert scores["file_bytes_compact_zstd"] == scores["file_bytes_zstd"]


def test_what_grew_back_is_not_removed_again() -> None:
    keep = torch.tensor([True, False]).view(2, 1, 1, 1)
    network, mask = Toy(), Mask({"a.weight": keep}, "filter", {"a": 0.5})
    mask.apply(network)
    with torch.no_grad():
        network.a.weight[1, 0] = 0.25  # 9 of the 27 weights removed
    tables = measure_size(Subject(network.eval(), NO_IMAGES, named_images(), mask), SizeSettings())
    scores = dict(zip(tables["scores"]["metric"], tables["scores"]["value"], strict=True))
    assert scores["held"] == pytest.approx(18 / 27)
    assert scores["weights_compact"] == scores["weights"] == 72
    assert scores["macs_compact"] == scores["macs_dense"]


def test_a_file_without_its_zeros() -> None:
    network = open_network("prunescope/sprig", weights="SCENES_V1")
    mask = prune(network, "weight", rate=0.9, scope="global")
    scores, _ = measured(network, mask)
    expected = sum(
        min(tensor.nbytes, tensor.numel() / 8 + int((tensor != 0).sum()) * tensor.element_size())
        for tensor in network.state_dict().values()
    )
    dense = sum(tensor.nbytes for tensor in network.state_dict().values())
    header = scores["file_bytes"] - dense  # of which a packed tensor needs up to three times as much
    assert expected < scores["file_bytes_packed"] < expected + 3 * header
    assert scores["file_bytes_packed"] < scores["file_bytes"] / 3
