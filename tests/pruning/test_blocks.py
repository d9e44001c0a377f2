"""n:m and kernels: which weights go, and what masks of them mean to everything that reads masks."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn
from torch.ao.pruning import WeightNormSparsifier

import prunescope as ps
from measures.named import named_images
from oracles.channels import SIDE, carry
from oracles.counting import by_zeroing
from oracles.slow_blocks import blocks_of, may_go
from prunescope.errors import PrunescopeError
from prunescope.measures.measure import Subject
from prunescope.measures.size import SizeSettings, measure_size
from prunescope.measures.variants import variants_of
from prunescope.networks.layers import find_layers
from prunescope.networks.packed import pack, unpack
from prunescope.pruning.blocks import check_blocks, select_within_blocks
from prunescope.training.evaluation import NO_IMAGES


def generator(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@st.composite
def tasks(draw: st.DrawFn) -> dict[str, Any]:
    """Scores with many ties: small whole numbers, of both signs; linear layers and convolutions."""
    m = draw(st.sampled_from([2, 3, 4, 8, 35]))
    kernel = draw(st.sampled_from([(), (1, 1), (3, 2)]))
    shape = (draw(st.integers(1, 3)), m * draw(st.integers(1, 2 if m > 8 else 3)), *kernel)
    seed, share = draw(st.integers(0, 999)), draw(st.sampled_from([0.0, 0.3, 0.8]))
    return {
        "m": m,
        "k": draw(st.integers(0, m - 1)),
        "scores": torch.randint(
            -2, draw(st.sampled_from([3, 99])), shape, generator=generator(seed)
        ).double(),
        "before": torch.rand(shape, generator=generator(seed)) < share,
        "seed": seed,
    }


@settings(max_examples=120, deadline=None)
@given(tasks())
def test_of_every_block_the_lowest_go(task: dict[str, Any]) -> None:
    m, k, scores, before = (task[name] for name in ("m", "k", "scores", "before"))
    given, removed = {"a": scores.clone()}, {"a": before} if before.any() else None

    keep, again = (
        select_within_blocks(given, k / m, m, generator(task["seed"]), removed)["a"] for _ in range(2)
    )

    assert torch.equal(keep, again)
    assert torch.equal(given["a"], scores)
    assert keep.shape == scores.shape
    for block in blocks_of(scores.shape, m):
        gone = {place for place in block if not keep[place]}
        count, surely, ties = may_go(
            {place: float(scores[place]) for place in block}, {p for p in block if before[p]}, k
        )
        assert len(gone) == count
        assert surely <= gone <= surely | ties


@pytest.mark.parametrize("m", [4, 40])
def test_ties_are_drawn_block_by_block(m: int) -> None:
    scores = torch.zeros(100, 4 * m, 2, 5)
    keep = select_within_blocks({"a": scores}, 0.5, m, generator())["a"].view(100, 4, m, 10)
    other = select_within_blocks({"a": scores}, 0.5, m, generator(1))["a"].view(100, 4, m, 10)

    assert (keep.sum(2) == m / 2).all()
    shares = keep.double().mean((0, 1, 3))  # of 4000 blocks
    assert (shares - 0.5).abs().max() < 5 * 0.5 / math.sqrt(4000)
    assert (keep != other).double().mean() == pytest.approx(0.5, abs=0.05)


@pytest.mark.parametrize("zeros", [1, 2, 3])
def test_two_of_four_as_torch_has_it(zeros: int) -> None:
    """torch's own, which the weights of linear layers are given to; it squares them, so that no two are alike."""
    torch.manual_seed(0)
    layer = nn.Linear(64, 24)
    scores = {"0": layer.weight.detach().square()}
    sparsifier = WeightNormSparsifier(sparsity_level=1.0, sparse_block_shape=(1, 4), zeros_per_block=zeros)
    network = nn.Sequential(layer)
    sparsifier.prepare(network, [{"tensor_fqn": "0.weight"}])
    sparsifier.step()
    sparsifier.squash_mask()

    keep = select_within_blocks(scores, zeros / 4, 4, generator())["0"]

    assert torch.equal(keep, layer.weight != 0)


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
def test_scores_that_are_no_numbers_are_refused(bad: float) -> None:
    scores = torch.rand(4, 8, 3, 3)
    scores[1, 2, 0, 0] = bad
    with pytest.raises(PrunescopeError, match="the scores of conv2 hold NaN or infinite"):
        select_within_blocks({"conv2": scores}, 0.5, 4, generator())


class Blocks(nn.Module):
    """`b` and `fc` read 8 channels, `c` 4."""

    def __init__(self) -> None:
        super().__init__()
        self.a = nn.Conv2d(3, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.b = nn.Conv2d(8, 4, 3, padding=1, bias=False)
        self.c = nn.Conv2d(4, 8, 1)
        self.fc = nn.Linear(8, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = nn.functional.leaky_relu(self.norm(self.a(x)), 0.1)
        x = nn.functional.leaky_relu(self.b(x), 0.1)
        return self.fc(self.c(x).mean((2, 3)))


@pytest.fixture
def network() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return carry(Blocks())


@pytest.mark.parametrize(
    ("rate", "m", "message"),
    [
        (
            0.3,
            4,
            "rate 0.3 is impossible where k of every 4 weights go: it is k/4, one of 0, 0.25, 0.5, 0.75",
        ),
        (1.0, 4, "one of 0, 0.25, 0.5, 0.75"),
        (-0.25, 4, "one of 0, 0.25, 0.5, 0.75"),
        (0.5, 3, "one of 0, 0.3333, 0.6667"),
        (0.5, 1, "m 1 is impossible"),
    ],
)
def test_rates_that_are_no_number_of_weights_a_block(
    network: nn.Module, rate: float, m: int, message: str
) -> None:
    layers = {name: layer for name, layer in find_layers(network).items() if name != "a"}
    with pytest.raises(PrunescopeError, match=message):
        check_blocks(layers, rate, m)
    check_blocks(layers, 0.25, 4)
    check_blocks({}, 0.3333, 3)


@pytest.mark.parametrize("choice", [{"min_left": 2}, {"min_share": 0.6}, {"rounding": "floor"}])
def test_what_blocks_leave_no_choice_of_is_refused(network: nn.Module, choice: dict[str, Any]) -> None:
    with pytest.raises(PrunescopeError, match="leave min_left, min_share and rounding out"):
        ps.prune(network, "n:m", rate=0.5, spare=["a"], **choice)


def test_layers_whose_inputs_are_no_multiple_are_named(network: nn.Module) -> None:
    with pytest.raises(
        PrunescopeError, match=r"(?s)a: 3 inputs are no multiple of 8\n  c: 4 .*spare: \[a, c\]"
    ):
        check_blocks(find_layers(network), 0.5, 8)
    with pytest.raises(PrunescopeError, match=r"(?s)a: 3 inputs are no multiple of 4.*--spare 'a'"):
        ps.prune(network, "n:m", rate=0.5)
    grouped = carry(nn.Sequential(nn.Conv2d(3, 8, 1), nn.Conv2d(8, 8, 1, groups=2), nn.Flatten()))
    with pytest.raises(PrunescopeError, match=r"(?s)1: a grouped convolution"):
        ps.prune(grouped, "n:m", rate=0.5, spare=["0"])


def kinds(network: nn.Module) -> dict[str, ps.Mask]:
    return {
        "n:m": ps.prune(network, "n:m", rate=0.5, spare=["a"]),
        "kernel": ps.prune(network, "kernel", rate=0.6, min_left=0),
    }


@pytest.mark.parametrize("granularity", ["n:m", "kernel"])
def test_masks_by_blocks_and_kernels_everywhere(network: nn.Module, granularity: str, tmp_path: Path) -> None:
    mask = kinds(network)[granularity]

    mask.save(tmp_path / "mask.safetensors")
    loaded = ps.Mask.load(tmp_path / "mask.safetensors")
    assert (loaded.granularity, loaded.rates) == (granularity, mask.rates)
    assert all(torch.equal(loaded.keep[name], keep) for name, keep in mask.keep.items())

    dense = {name: weight.clone() for name, weight in network.state_dict().items()}
    steps = torch.optim.SGD(network.parameters(), 0.1, momentum=0.9, weight_decay=1e-2)
    images, labels = torch.randn(4, 3, SIDE, SIDE, generator=generator()), torch.tensor([0, 1, 2, 0])
    with ps.hold(network, mask):
        for _ in range(3):
            steps.zero_grad()
            nn.functional.cross_entropy(network.train()(images), labels).backward()
            steps.step()
            assert mask.held(network) == 1
    assert all(not torch.equal(dense[name], weight) for name, weight in network.named_parameters())

    removed = {name: (~mask.keep[f"{name}.weight"]).expand_as(dense[f"{name}.weight"]) for name in mask.rates}
    counted, reached = ps.count(network.eval()), by_zeroing(network, SIDE)
    for name, layer in counted.layers.items():
        assert layer.zeros == (int(removed[name].sum()) if name in removed else 0)
        assert layer.unreachable == int((~reached[f"{name}.weight"]).sum())
        assert layer.macs_effective == int(reached[f"{name}.weight"].sum()) * layer.layer.positions

    with pytest.raises(PrunescopeError, match=f"a mask by {granularity} leaves no channel to take out"):
        ps.compact(network, mask)
    packed, shapes = pack(network.state_dict())
    unpacked = unpack(packed, shapes, "here")
    assert all(torch.equal(unpacked[name], tensor) for name, tensor in network.state_dict().items())


@pytest.mark.parametrize(("granularity", "groups"), [("n:m", "single weights"), ("kernel", "kernels")])
def test_what_measures_say_of_blocks_and_kernels(network: nn.Module, granularity: str, groups: str) -> None:
    mask = kinds(network)[granularity]
    mask.apply(network)
    variants = variants_of(network, mask, None, torch.randn(2, 3, SIDE, SIDE, generator=generator()))
    assert variants["compact"].candidate is None
    assert variants["compact"].why == f"{groups} leave no channel to take out"
    assert variants["masked"].macs < 0.8 * variants["dense"].macs

    scores, sizes = {}, {}
    for when in ("held", "grown back"):
        table = measure_size(Subject(network, NO_IMAGES, named_images(), mask), SizeSettings())["scores"]
        scores[when] = dict(zip(table["metric"], table["value"], strict=True))
        sizes[when] = {key: value for key, value in scores[when].items() if key.endswith("_compact")}
        with torch.no_grad():
            network.c.weight.fill_(0.5)
    gone = sum(int((~mask.keep[f"{name}.weight"]).expand(layer.weight_shape).sum()) for name, layer in
               find_layers(network).items() if name in mask.rates)  # fmt: skip
    assert scores["held"]["zeros_prunable"] == pytest.approx(gone / scores["held"]["prunable_weights"])
    assert scores["held"]["held"] == 1
    assert scores["grown back"]["held"] < 1
    assert sizes["held"]["weights_compact"] == sum(p.numel() for p in network.parameters())
    assert sizes["held"]["weights_compact"] == sizes["grown back"]["weights_compact"]


def test_kernels_by_hand() -> None:
    """Of a 2 x 2 convolution, each kernel of four weights is one group; the sum of |w| decides."""
    network = carry(nn.Sequential(nn.Conv2d(3, 2, 2, bias=False), nn.Flatten(), nn.Linear(98, 2)))
    sums = torch.tensor([[1.0, 6.0, 3.0], [5.0, 2.0, 4.0]])
    with torch.no_grad():
        network[0].weight.copy_((sums / 4)[:, :, None, None].expand(2, 3, 2, 2))
    mask = ps.prune(network, "kernel", rate=0.5)

    assert list(mask.rates) == ["0"]  # linear layers are not asked, since each kernel there is one weight
    assert mask.keep["0.weight"][:, :, 0, 0].tolist() == [[False, True, False], [True, False, True]]
    further = ps.prune(network, "kernel", rate=0.83, previous=mask)
    assert further.keep["0.weight"][:, :, 0, 0].tolist() == [[False, True, False], [False, False, False]]


def test_kernels_of_linear_layers_and_of_1x1_convolutions_are_single_weights(network: nn.Module) -> None:
    by_kernel = ps.prune(network, "kernel", rate=0.5, layers=["c", "fc"])
    by_weight = ps.prune(network, "weight", rate=0.5, layers=["c", "fc"])
    assert all(torch.equal(by_kernel.keep[name], keep) for name, keep in by_weight.keep.items())


def test_rounds_of_n_of_m_add_up(network: nn.Module) -> None:
    first = ps.prune(network, "n:m", by="random", rate=0.25, spare=["a"], seed=1)
    second = ps.prune(network, "n:m", rate=0.75, spare=["a"], previous=first)
    for name, keep in second.keep.items():
        assert not (keep & ~first.keep[name]).any()
        assert all(sum(bool(keep[place]) for place in block) == 1 for block in blocks_of(keep.shape, 4))


def test_packed_files_by_kernel_shrink(tmp_path: Path) -> None:
    network = ps.open_network("prunescope/sprig", weights="SCENES_V1")
    ps.prune(network, "kernel", rate=0.9).apply(network)
    sizes = []
    for packs in (False, True):
        file = tmp_path / f"{packs}.safetensors"
        ps.save_network(network, file, pack=packs)
        opened = ps.open_network(str(file)).state_dict()
        assert all(torch.equal(opened[name], tensor) for name, tensor in network.state_dict().items())
        sizes.append(file.stat().st_size)
    assert sizes[1] < 0.35 * sizes[0]
