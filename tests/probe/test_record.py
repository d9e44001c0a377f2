"""The whole pass on real networks and images, and for users of Python."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from oracles.channels import carry
from probe.toys import Plain, build
from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.source import ImageSet, open_images
from prunescope.networks.network import open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.networks.shapes import dense_units
from prunescope.probe.look import look
from prunescope.probe.record import record
from prunescope.probe.tie_keys import tie_keys
from prunescope.pruning.compaction import compact
from prunescope.pruning.prune import prune
from study.tiny import write_images


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> ImageSet:
    root = tmp_path_factory.mktemp("probe")
    return open_images(f"folder:{write_images(root / 'images', per_class=5)}")


def network() -> nn.Module:
    return carry(build(Plain), side=16)


def test_one_pass_records_everything(images: ImageSet) -> None:
    calls: list[tuple[int, int]] = []
    with record(
        network(), images, share=0.05, examples=2, batch=4, progress=lambda *step: calls.append(step)
    ) as seen:
        assert seen.tails is not None
        assert seen.examples is not None
        assert [site.layer for site in seen.sites] == ["conv", "norm", "last", "fc"]
        assert seen.names == images.names
        assert calls[-1] == (15, 15)
        means = seen.means.array[:, seen.means.columns["norm"]]
        assert means.std(0).min() > 0
        keys = tie_keys(images.names, 0)
        highest, values, maps = seen.examples.highest("norm")
        for unit in range(4):
            assert highest[unit].tolist() == list(np.lexsort((keys, -means[:, unit]))[:2])
        np.testing.assert_array_equal(values, np.take_along_axis(means.T, highest, 1))
        np.testing.assert_allclose(maps.mean((2, 3)), values, rtol=1e-5, atol=1e-6)
        above = maps > seen.tails.thresholds()["norm"].numpy()[:, None, None, None]
        assert 0 < above.mean() < 0.2
    assert seen.means.array.size == 0


def test_units_of_a_compact_network_are_those_of_the_dense_one() -> None:
    """What a unit puts out can be joined by its dense number, whatever was removed around it."""
    network = open_network("prunescope/sprig", weights="SCENES_V1")
    mask = prune(network, "filter", rate=0.5)
    small = compact(network, mask)
    mask.apply(network)

    found, expected = (record(one, "scenes:count=12") for one in (small, network))

    norms = [site for site in found.sites if site.layer.endswith(".bn")]
    assert len(norms) == 37
    for site in norms:
        units = dense_units(small, site.layer.replace(".bn", ".conv"))
        means = expected.means.array[:, expected.means.columns[site.layer]]
        assert 0 < len(units) < means.shape[1]
        here = found.means.array[:, found.means.columns[site.layer]]
        np.testing.assert_allclose(here, means[:, units], rtol=1e-4, atol=1e-5)


def test_probes_of_two_shards_merge_into_the_whole(images: ImageSet) -> None:
    settings = {"share": 0.05, "examples": 3, "batch": 4, "total": 15}
    halves = [images.subset(part) for part in (np.arange(8), np.arange(8, 15))]

    whole = record(network(), images, **settings)
    merged, second = (record(network(), half, **settings) for half in halves)
    merged.merge(second)

    assert merged.names == whole.names
    np.testing.assert_allclose(merged.means.array, whole.means.array, rtol=1e-5, atol=1e-6)
    for layer, expected in whole.tails.thresholds().items():
        torch.testing.assert_close(merged.tails.thresholds()[layer], expected)
        np.testing.assert_array_equal(merged.examples.highest(layer)[0], whole.examples.highest(layer)[0])
        np.testing.assert_array_equal(merged.examples.lowest(layer)[0], whole.examples.lowest(layer)[0])


def test_a_limit_takes_an_equal_share_of_each_class(images: ImageSet) -> None:
    seen = record(network(), images, limit=6)

    assert [name.split("/")[0] for name in seen.names] == ["blue"] * 2 + ["green"] * 2 + ["red"] * 2
    assert seen.means.array.shape == (6, 15)
    assert seen.tails is None
    assert seen.examples is None


def test_probes_of_other_settings_do_not_merge(images: ImageSet) -> None:
    with pytest.raises(PrunescopeError, match="recorded the same"):
        record(network(), images).merge(record(network(), images, share=0.05))


def test_damaged_weights_are_said_with_the_layer(images: ImageSet) -> None:
    damaged = network()
    damaged.last.weight.data[0, 0, 0, 0] = float("nan")

    with pytest.raises(PrunescopeError, match=r"^last puts out NaN"):
        record(damaged, images)
    assert not any(module._forward_hooks for module in damaged.modules())


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_googlenet_on_real_images(real_data: Path, precision: str) -> None:
    """Means and thresholds of a convolution against a pass of the test's own, in the same arithmetic."""
    googlenet = open_network(
        "torchvision/googlenet",
        options={"aux_logits": False, "init_weights": False},
        preprocess=Preprocess(resize=64, crop=64),
    )
    layer = "inception4a.branch2.1.conv"
    source = open_images("flat:imagenet1k_one_per_class", data=real_data).subset(np.arange(24) * 40)
    with record(googlenet, source, layers=[layer, "fc"], share=0.005, batch=8, precision=precision) as seen:
        outputs: list[torch.Tensor] = []
        own = googlenet.get_submodule(layer)
        hook = own.register_forward_hook(lambda _, __, output: outputs.append(output.clone()))
        look(googlenet, cached(source, 64, "bilinear"), [], batch=8, precision=precision)
        hook.remove()

        values = torch.cat(outputs).double()
        tolerance = 1e-6 * values.abs().mean((2, 3)).numpy()
        found = seen.means.array[:, seen.means.columns[layer]]
        assert (np.abs(found - values.mean((2, 3)).numpy()) <= tolerance).all()
        place = 24 * values.shape[2] * values.shape[3] // 200
        ranked = values.transpose(0, 1).flatten(1).sort(1, descending=True).values
        assert torch.equal(seen.tails.thresholds()[layer].double(), ranked[:, place])
