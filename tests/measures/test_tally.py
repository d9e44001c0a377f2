"""Lit pixels and their counts against exact fractions, and against torch's own upsampling."""

from __future__ import annotations

from dataclasses import dataclass
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from torch import nn
from torch.nn import functional

from oracles import slow_dissection as oracle
from prunescope.images.cache import Pixels
from prunescope.images.concepts.concept_set import Concept
from prunescope.images.concepts.label_maps import LabelMaps
from prunescope.measures import lit_pixels as lit_pixels_file
from prunescope.measures.dissection_scores import dissection_scores
from prunescope.measures.lit_pixels import lit_pixels
from prunescope.measures.tally import Tally
from prunescope.networks.preprocess import Preprocess
from prunescope.probe.look import look
from prunescope.probe.sites import pre_activations
from prunescope.probe.tails import Tails

CATEGORIES = ("colour", "object", "scene")
RATIOS = [
    ((7, 7), (112, 112)),
    ((14, 14), (112, 112)),
    ((13, 13), (112, 112)),
    ((112, 112), (112, 112)),
    ((5, 9), (31, 17)),
    ((40, 30), (13, 11)),
]


@dataclass(frozen=True)
class Case:
    """Maps of several layers over the same images, with thresholds and labels."""

    maps: list[torch.Tensor]
    thresholds: list[torch.Tensor]
    labels: LabelMaps


def labels_drawn(rng: np.random.Generator, images: int, layers: int, side: int) -> LabelMaps:
    """Return labels of 5 concepts of 3 categories; concept 2 labels pixels and whole images."""
    category_of = np.array([0, 1, 1, 1, 2])
    pixels = np.zeros((images, layers, side, side), np.uint16)
    for place in np.ndindex(images, side, side):
        own = rng.permutation(4)[: rng.integers(layers + 1)] + 1  # each concept in one layer
        pixels[(place[0], slice(0, len(own)), *place[1:])] = own
    image_labels = np.zeros((images, 5), bool)
    image_labels[:, [2, 4]] = rng.random((images, 2)) < 0.4
    annotated = rng.random((images, 3)) < 0.3
    for image in range(images):
        named = {*(np.unique(pixels[image]).astype(int) - 1).tolist()} - {-1}
        named |= {*np.flatnonzero(image_labels[image]).tolist()}
        annotated[image, category_of[sorted(named)]] = True
    concepts = tuple(Concept(CATEGORIES[c], f"concept {i}") for i, c in enumerate(category_of))
    return LabelMaps(pixels, image_labels, annotated, concepts, CATEGORIES, category_of)


@st.composite
def cases(draw: st.DrawFn) -> Case:
    """Draw maps in which ties abound where arithmetic is exact, or else any real numbers."""
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    images, layers = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    exact = draw(st.booleans())
    side = draw(st.sampled_from((1, 2, 4, 8)) if exact else st.integers(1, 9))
    maps = []
    for _ in range(draw(st.integers(1, 2))):
        shape = images, draw(st.integers(1, 3)), draw(st.integers(1, 10)), draw(st.integers(1, 10))
        maps.append(torch.from_numpy(rng.integers(-3, 4, shape) if exact else rng.normal(size=shape)).float())
    share = draw(st.sampled_from((0.0, 0.05, 0.3)))
    thresholds = [
        torch.tensor([oracle.threshold(m[:, u].flatten().tolist(), share) for u in range(m.shape[1])])
        for m in maps
    ]
    return Case(maps, thresholds, labels_drawn(rng, images, layers, side))


def tally_of(case: Case, images: slice = slice(None)) -> Tally:
    sites = [SimpleNamespace(layer=f"layer{i}", units=maps.shape[1]) for i, maps in enumerate(case.maps)]
    own = case.labels
    labels = LabelMaps(
        own.pixels[images],
        own.image_labels[images],
        own.annotated[images],
        own.concepts,
        own.categories,
        own.category_of,
    )
    return Tally(sites, {f"layer{i}": t for i, t in enumerate(case.thresholds)}, labels)


def show(tally: Tally, maps: list[torch.Tensor], batch: int) -> Tally:
    """Show all images to a tally as `look` does: batch by batch, layer by layer."""
    images = len(maps[0])
    for first in range(0, images, batch):
        chosen = np.arange(first, min(first + batch, images))
        for site, own in enumerate(maps):
            tally.see(site, own[chosen], chosen)
    return tally


def same(one: Tally, other: Tally) -> bool:
    return (one.label_pixels == other.label_pixels).all() and all(
        (mine[layer] == theirs[layer]).all()
        for mine, theirs in ((one.intersections, other.intersections), (one.unit_pixels, other.unit_pixels))
        for layer in mine
    )


def concepts_of(labels: LabelMaps, image: int) -> list[list[set[int]]]:
    """Return the concepts of each pixel, whoever says so."""
    whole = set(np.flatnonzero(labels.image_labels[image]).tolist())
    return [
        [whole | {int(c) - 1 for c in pixel if c} for pixel in row]
        for row in labels.pixels[image].transpose(1, 2, 0)
    ]


def slow(case: Case, layer: int) -> oracle.Counts:
    images = range(len(case.maps[layer]))
    return oracle.count(
        case.maps[layer].tolist(),
        case.thresholds[layer].tolist(),
        [concepts_of(case.labels, image) for image in images],
        [set(np.flatnonzero(case.labels.annotated[image]).tolist()) for image in images],
    )


@given(cases(), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_counts_are_those_of_exact_fractions(case: Case, batch: int) -> None:
    tally = show(tally_of(case), case.maps, batch)
    for i, maps in enumerate(case.maps):
        expected, units = slow(case, i), range(maps.shape[1])
        assert tally.intersections[f"layer{i}"].tolist() == [
            [expected.intersections[u, c] for c in range(5)] for u in units
        ]
        assert tally.unit_pixels[f"layer{i}"].tolist() == [
            [expected.unit_pixels[u, c] for c in range(3)] for u in units
        ]
        assert tally.label_pixels.tolist() == [expected.label_pixels[c] for c in range(5)]
        assert tally.iou(f"layer{i}").tolist() == [
            [expected.iou(u, c, case.labels.category_of[c]) for c in range(5)] for u in units
        ]


@given(cases(), st.integers(0, 4), st.integers(1, 4))
@settings(max_examples=60, deadline=None)
def test_shards_merge_into_the_whole(case: Case, cut: int, batch: int) -> None:
    whole = show(tally_of(case), case.maps, 4)
    first = show(tally_of(case, slice(cut)), [maps[:cut] for maps in case.maps], batch)
    first.merge(show(tally_of(case, slice(cut, None)), [maps[cut:] for maps in case.maps], batch))
    assert same(first, whole)


def lit(maps: torch.Tensor, thresholds: torch.Tensor, grid: tuple[int, int]) -> NDArray[np.int64]:
    """Return how often each pixel is said to be lit, (images, units, H, W)."""
    found = np.zeros((*maps.shape[:2], grid[0] * grid[1]), np.int64)
    for some in lit_pixels(maps, thresholds, grid):
        np.add.at(found, (some.images.numpy(), some.units.numpy(), some.pixels.numpy()), 1)
    return found.reshape(*maps.shape[:2], *grid)


def drawn(sides: tuple[int, int], dtype: torch.dtype = torch.float32) -> tuple[torch.Tensor, torch.Tensor]:
    """Return smooth random maps of 4 images and 6 units, and the thresholds that 3 % of their values exceed."""
    noise = torch.randn(4, 6, *sides, generator=torch.Generator().manual_seed(0))
    maps = (noise + functional.avg_pool2d(noise, 3, 1, 1) * 3).to(dtype)
    values = maps.transpose(0, 1).flatten(1)
    return maps, values.topk(int(0.03 * values.shape[1]) + 1).values[:, -1]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize(("sides", "grid"), RATIOS)
def test_lit_are_the_pixels_where_torchs_upsampling_exceeds_the_threshold(
    sides: tuple[int, int], grid: tuple[int, int], dtype: torch.dtype
) -> None:
    maps, thresholds = drawn(sides, dtype)
    upsampled = functional.interpolate(maps, grid, mode="bilinear", align_corners=False)
    expected = upsampled > thresholds[:, None, None]
    assert expected.any()
    assert (lit(maps, thresholds, grid) == expected.numpy()).all()


def test_where_torchs_upsampling_differs_it_rounds() -> None:
    maps = torch.randn(1, 1000, 1, 6, generator=torch.Generator().manual_seed(0))
    thresholds = maps.flatten(2).topk(2).values[0, :, 1]
    limits = thresholds[:, None, None]
    upsampled = functional.interpolate(maps, (8, 18), mode="bilinear", align_corners=False)
    differ = lit(maps, thresholds, (8, 18)) != (upsampled > limits).numpy()
    assert differ.any()  # the pixels in the middle of the position that holds the threshold
    assert (upsampled - limits).abs().numpy()[differ].max() < 1e-6


@pytest.mark.parametrize("half", [torch.bfloat16, torch.float16])
def test_half_precision_is_compared_and_interpolated_in_full(half: torch.dtype) -> None:
    maps, thresholds = drawn((40, 30), half)
    assert (maps == thresholds[:, None, None]).sum() > 6  # there are ties
    thresholds = thresholds.float()
    expected = lit(maps.float(), thresholds, (100, 100))
    assert (lit(maps, thresholds, (100, 100)) == expected).all()


@pytest.mark.parametrize(("values", "patches"), [(1, 1), (150, 7), (1 << 20, 1 << 20)])
def test_blocks_and_memory_order_change_nothing(
    monkeypatch: pytest.MonkeyPatch, values: int, patches: int
) -> None:
    maps, thresholds = drawn((9, 6))
    expected = lit(maps, thresholds, (20, 13))
    monkeypatch.setattr(lit_pixels_file, "_VALUES", values)
    monkeypatch.setattr(lit_pixels_file, "_PATCHES", patches)
    for order in (torch.contiguous_format, torch.channels_last):
        assert (lit(maps.contiguous(memory_format=order), thresholds, (20, 13)) == expected).all()


def test_a_constant_unit_is_never_lit_whatever_rounding_does() -> None:
    maps = torch.linspace(-1, 1, 1000).view(1, 1000, 1, 1).expand(1, 1000, 5, 5)
    upsampled = functional.interpolate(maps, (17, 17), mode="bilinear", align_corners=False)
    assert (upsampled > maps[:, :, :1, :1]).any()  # the means of equal values that exceed them
    assert not lit(maps, maps[0, :, 0, 0], (17, 17)).any()


def test_a_pass_over_images_gives_the_scores_of_the_maps() -> None:
    rng, images = np.random.default_rng(0), 7
    flat, index = (
        rng.integers(0, 256, images * 192).astype(np.uint8),
        [(8, 8, 192 * i) for i in range(images)],
    )
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(inplace=True), nn.Conv2d(4, 6, 3))
    network.preprocess = Preprocess(resize=None, crop=8)
    sites, seen = list(pre_activations(network).values()), {}
    for site in sites:
        site.module.register_forward_hook(lambda module, _, output: seen.update({module: output.clone()}))
    labels = labels_drawn(rng, images, layers=2, side=20)
    pixels = Pixels(flat, np.array(index))
    with Tails(sites, images, share=0.05) as tails:
        look(network, pixels, [tails], batch=images)
        tally = Tally(sites, tails.thresholds(), labels)
    maps = dict(seen)
    look(network, pixels, [tally], batch=images)
    masks = np.array(
        [[[[c in p for p in r] for r in concepts_of(labels, i)] for c in range(5)] for i in range(7)]
    )
    names = [concept.category for concept in labels.concepts]
    for site in sites:
        expected = dissection_scores(
            maps[site.module], masks, categories=names, annotated=labels.annotated, share=0.05
        )
        assert tally.iou(site.layer).ravel().tolist() == expected["iou"].tolist()
        assert expected["iou"].max() > 0


def worked(pixels: list[list[list[int]]], image_labels: list[list[int]], annotated: list[list[int]]) -> Tally:
    """Show a unit that lights the left half of two images of 2 x 2 pixels, each with one layer of labels."""
    labels = LabelMaps(
        np.array(pixels, np.uint16)[:, None],
        np.array(image_labels, bool),
        np.array(annotated, bool),
        (Concept("object", "cat"), Concept("scene", "street")),
        ("object", "scene"),
        np.array([0, 1]),
    )
    site = SimpleNamespace(layer="a", units=1)
    tally = Tally([site], {"a": torch.tensor([0.5])}, labels)
    tally.see(0, torch.tensor([1.0, 0.0]).expand(2, 1, 2, 2), np.arange(2))
    return tally


def test_lit_pixels_go_into_the_union_only_where_the_category_is_annotated() -> None:
    tally = worked([[[1, 0], [0, 0]], [[0, 0], [0, 0]]], [[0, 0], [0, 1]], [[1, 0], [0, 1]])
    assert tally.unit_pixels["a"].tolist() == [[2, 2]]  # of 4 lit pixels, 2 are in either's images
    assert tally.label_pixels.tolist() == [1, 4]
    assert tally.intersections["a"].tolist() == [[1, 2]]
    assert tally.iou("a").tolist() == [[1 / 2, 2 / 4]]


def test_a_concept_of_the_whole_image_counts_once_where_pixels_carry_it_too() -> None:
    tally = worked([[[1, 1], [0, 0]], [[0, 0], [0, 0]]], [[1, 0], [0, 0]], [[1, 1], [1, 1]])
    assert tally.label_pixels.tolist() == [4, 0]
    assert tally.intersections["a"].tolist() == [[2, 0]]
    assert tally.iou("a").tolist() == [[2 / 6, 0]]  # 4 lit and 4 labelled share 2
