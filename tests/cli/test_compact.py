"""`prunescope compact`: what it writes, what it says, and what it refuses."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from torch import nn

import prunescope as ps
from cli.call import Called, refused

NAME, WEIGHTS = "prunescope/sprig", "SCENES_V1"
CHOICES = {
    "filter": {"rate": 0.5, "spare": ["conv1.*"]},
    "connection": {"rate": 0.5, "spare": ["conv1.*"]},
    "weight": {"rate": 0.9, "scope": "global"},
}


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a network pruned by each granularity, its mask beside it: `<granularity>.safetensors`."""
    folder = tmp_path_factory.mktemp("pruned")
    for granularity, choice in CHOICES.items():
        network = ps.open_network(NAME, weights=WEIGHTS)
        mask = ps.prune(network, granularity, **choice)
        mask.apply(network)
        ps.save_network(network, folder / f"{granularity}.safetensors")
        mask.save(folder / f"{granularity}.mask.safetensors")
    return folder


def logits(path: Path) -> torch.Tensor:
    images = torch.rand(5, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        found: torch.Tensor = ps.open_network(str(path))(images)
    return found


def same(first: Path, second: Path) -> bool:
    a, b = logits(first), logits(second)
    return bool((a - b).abs().max() <= 1e-5 * a.abs().max())


def said(called: Called, what: str) -> tuple[int, int]:
    """Return (after, before) of one line of the output."""
    (found,) = re.findall(rf"^  {what} +([\d,]+) of ([\d,]+) \(", called.out, flags=re.MULTILINE)
    after, before = (int(number.replace(",", "")) for number in found)
    return after, before


def parameters(path: Path) -> int:
    with safe_open(path, framework="pt") as file:
        return sum(
            math.prod(file.get_slice(name).get_shape())
            for name in file.keys()  # noqa: SIM118
            if name.endswith((".weight", ".bias"))
        )


@pytest.mark.parametrize("granularity", ["filter", "connection"])
def test_a_compact_network_computes_the_same_and_is_described(
    granularity: str, place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    pruned, out = place / f"{granularity}.safetensors", tmp_path / "deep" / "small.safetensors"
    called = prunescope("compact", pruned, "--out", out)
    assert called.code == 0, called.err
    assert same(pruned, out)
    assert called.out.startswith(
        f"{out}: computes what the network with its zeros computes (checked), with\n"
    )
    assert said(called, "weights") == (parameters(out), parameters(pruned))
    assert said(called, "bytes")[0] == out.stat().st_size
    assert said(called, "bytes")[1] == pytest.approx(pruned.stat().st_size, rel=0.01)
    channels, inputs, macs = (said(called, what) for what in ("channels", "inputs", "MACs"))
    mask = ps.Mask.load(pruned.with_suffix(".mask.safetensors"))
    gone = sum(int((~mask.keep[f"{name}.weight"]).sum()) for name in mask.rates)
    assert (channels if granularity == "filter" else inputs)[0] <= (
        channels if granularity == "filter" else inputs
    )[1] - gone
    assert macs[0] < 0.6 * macs[1]
    assert out.stat().st_size < 0.6 * pruned.stat().st_size


def test_single_weights_are_packed_and_nothing_is_promised(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    pruned, out = place / "weight.safetensors", tmp_path / "small.safetensors"
    called = prunescope("compact", pruned, "--out", out)
    assert called.code == 0, called.err
    assert "single weights leave no channel to take out, so nothing gets faster" in called.out
    assert "MACs" not in called.out
    assert said(called, "bytes")[0] == out.stat().st_size
    before, after = ps.open_network(str(pruned)).state_dict(), ps.open_network(str(out)).state_dict()
    assert all(torch.equal(before[name], after[name]) for name in before)


def test_without_a_mask_the_zeros_decide(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    with_mask, alone, small = (tmp_path / f"{name}.safetensors" for name in ("with", "alone", "small"))
    alone.write_bytes((place / "filter.safetensors").read_bytes())
    assert prunescope("compact", place / "filter.safetensors", "--out", with_mask).code == 0
    assert prunescope("compact", alone, "--out", small).code == 0
    assert parameters(small) == parameters(with_mask)
    assert same(alone, small)


def test_a_mask_for_published_weights(place: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    out = tmp_path / "small.safetensors"
    called = prunescope(
        "compact", NAME, "--weights", WEIGHTS, "--mask", "filter.mask.safetensors", "--data", place, "--out", out
    )  # fmt: skip
    assert called.code == 0, called.err
    assert same(place / "filter.safetensors", out)


def test_a_network_without_zeros(prunescope: Callable[..., Called], tmp_path: Path) -> None:
    dense, out = tmp_path / "dense.safetensors", tmp_path / "same.safetensors"
    ps.save_network(ps.open_network(NAME, weights=WEIGHTS), dense)
    called = prunescope("compact", dense, "--out", out)
    assert called.code == 0, called.err
    assert f"{out}: no channel is zero, so nothing gets faster" in called.out
    assert torch.equal(logits(dense), logits(out))


def test_prune_packed_and_in_multiples(prunescope: Callable[..., Called], tmp_path: Path) -> None:
    sizes = {}
    for option in ((), ("--pack",)):
        out = tmp_path / f"w{len(option)}.safetensors"
        assert prunescope("prune", NAME, "--rate", 0.9, *option, "--out", out).code == 0
        sizes[len(option)] = out.stat().st_size
    assert sizes[1] < sizes[0] / 4  # of a small network, in which much is header
    assert torch.equal(logits(tmp_path / "w0.safetensors"), logits(tmp_path / "w1.safetensors"))

    out = tmp_path / "rounded.safetensors"
    said = prunescope("prune", NAME, "--granularity", "filter", "--rate", 0.4, "--round-to", 8, "--out", out)
    assert said.code == 0, said.err
    assert "asked for 40.0%, channels in multiples of 8; of" in said.out
    network, rates = ps.open_network(str(out)), ps.Mask.load(out.with_suffix(".mask.safetensors")).rates
    for name, module in network.named_modules():
        if isinstance(module, nn.Conv2d) and name in rates:
            left = int((module.weight.flatten(1) != 0).any(1).sum())
            assert left % 8 == 0 or left == module.out_channels < 8


# What is refused


def test_a_mask_of_another_network(place: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    mask, out = place / "filter.mask.safetensors", tmp_path / "small.safetensors"
    refused(
        prunescope("compact", "torchvision/squeezenet1_1", "--mask", mask, "--out", out),
        "the mask is for another network: this one has no 'conv2.conv.weight'",
    )
    refused(
        prunescope("compact", place / "filter.safetensors", "--mask", place / "filter.safetensors"),
        "filter.safetensors: not a mask that prunescope saved",
    )
    assert not list(tmp_path.iterdir())


def test_a_mask_that_does_not_go_with_the_channels(prunescope: Callable[..., Called], tmp_path: Path) -> None:
    """One layer of a residual addition alone: its channel is still written by the other."""
    mask = ps.Mask({"layer1.0.conv2.weight": torch.arange(64).view(-1, 1, 1, 1) > 0}, "filter")
    mask.save(tmp_path / "mask.safetensors")
    refused(
        prunescope(
            "compact",
            "torchvision/resnet18",
            "--mask",
            tmp_path / "mask.safetensors",
            "--out",
            tmp_path / "small.safetensors",
        ),
        "layer1.0.conv2",
    )
    assert not (tmp_path / "small.safetensors").exists()


def test_filters_that_go_on_to_emit_a_constant(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    pruned, out = tmp_path / "kept.safetensors", tmp_path / "small.safetensors"
    dense = (NAME, "--weights", WEIGHTS, "--granularity", "filter", "--rate", 0.5)
    assert prunescope("prune", *dense, "--norm", "keep", "--out", pruned).code == 0
    refused(
        prunescope("compact", pruned, "--out", out),
        "what was removed cannot be taken out exactly:\n  conv1.conv: 8 filters",
        "prune with norm: remove",
    )
    assert not out.exists()


def test_files_that_are_not_there(place: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    out = ("--out", tmp_path / "small.safetensors")
    refused(prunescope("compact", tmp_path / "none.safetensors", *out), "no weights file", "none.safetensors")
    refused(
        prunescope("compact", place / "filter.safetensors", "--mask", "none.safetensors", *out),
        "no mask file 'none.safetensors': check the path, or --data",
    )
    refused(prunescope("compact", NAME, "--out", "small.onnx"), "networks are saved as .safetensors")


def test_what_is_read_is_not_overwritten(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    pruned, link = place / "filter.safetensors", tmp_path / "link.safetensors"
    link.symlink_to(pruned)
    before = pruned.read_bytes()
    for out in (pruned, link, pruned.with_suffix(".mask.safetensors")):
        refused(
            prunescope("compact", pruned, "--out", out), f"--out {out} would overwrite what it is made from"
        )
    refused(prunescope("compact", NAME, "--weights", pruned, "--out", pruned), "would overwrite")
    refused(prunescope("prune", pruned, "--rate", 0.5, "--out", pruned), "would overwrite")
    assert pruned.read_bytes() == before


def test_a_damaged_packed_file(place: Path, prunescope: Callable[..., Called], tmp_path: Path) -> None:
    whole, damaged = tmp_path / "whole.safetensors", tmp_path / "damaged.safetensors"
    assert prunescope("compact", place / "weight.safetensors", "--out", whole).code == 0
    with safe_open(whole, framework="pt") as file:
        bits = file.get_tensor("conv2.conv.weight.bits").numpy().tobytes()
    content = bytearray(whole.read_bytes())
    content[content.index(bits)] ^= 1
    damaged.write_bytes(content)
    for command in ("layers", "compact"):
        refused(
            prunescope(command, damaged),
            "damaged.safetensors: a damaged packed file: 'conv2.conv.weight' of shape [",
            "bits set and",
        )


def test_no_permission_or_no_room(
    place: Path, prunescope: Callable[..., Called], small_disk: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    for out in (Path("/proc/none/small.safetensors"), tmp_path / "file" / "small.safetensors"):
        refused(prunescope("compact", place / "filter.safetensors", "--out", out), f"while writing {out}")
    out = small_disk / "small.safetensors"
    refused(
        prunescope("compact", place / "connection.safetensors", "--out", out),
        f"no room left on the disk while writing {out}",
    )
    assert not list(small_disk.iterdir())
