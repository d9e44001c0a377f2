from __future__ import annotations

import copy
import json
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import nn
from torch.nn import functional

import prunescope as ps
from oracles.channels import TOYS, carry
from oracles.compaction import unsettle
from prunescope.errors import PrunescopeError
from prunescope.networks.network import Origin, origin_of
from prunescope.networks.operators import torchvision  # itself, also where its binaries are for another torch
from prunescope.networks.shapes import GatheredConv2d, GatheredLinear, gather, gathered, reshape, ungather


def plain_open(path: Path) -> nn.Module:
    """Open a compact network that prunescope saved, without prunescope."""
    with safe_open(path, framework="pt") as file:
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        origin = json.loads(file.metadata()["prunescope"])["origin"]
    _, name = origin["name"].split("/")
    network = torchvision.models.get_model(name, num_classes=origin["classes"], **origin["options"])
    for name, module in network.named_modules():
        for key in [*module._parameters, *module._buffers]:
            if f"{name}.{key}" in state and key != "num_batches_tracked":
                tensor = state.pop(f"{name}.{key}")
                setattr(module, key, nn.Parameter(tensor) if key in module._parameters else tensor)
        if isinstance(module, nn.Conv2d) and module.groups > 1:
            module.groups = len(module.weight)  # depthwise
        if (inputs := state.get(f"{name}.inputs")) is not None:
            dim = 1 if isinstance(module, nn.Conv2d) else -1
            module.register_forward_pre_hook(lambda _, x, dim=dim, i=inputs: x[0].index_select(dim, i))
    return network.eval()


def make(name: str, granularity: str, crop: int = 64, **options: object) -> tuple[nn.Module, nn.Module]:
    network = ps.open_network(
        f"torchvision/{name}", classes=5, options=options, preprocess=ps.Preprocess(crop=crop)
    )
    grouped = [n for n, m in network.named_modules() if isinstance(m, nn.Conv2d) and m.groups > 1]
    spare = grouped if granularity == "connection" else []
    return network, ps.compact(network, ps.prune(unsettle(network), granularity, rate=0.6, spare=spare))


def image(side: int = 64) -> torch.Tensor:
    return torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(3))


@pytest.mark.parametrize("granularity", ["filter", "connection"])
@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small"])
def test_saved_compact_networks_open_with_and_without_prunescope(
    name: str, granularity: str, tmp_path: Path
) -> None:
    options = {"init_weights": False} if name == "googlenet" else {}
    network, small = make(name, granularity, **options)
    path = tmp_path / "small.safetensors"
    ps.save_network(small, path)

    again, plain = ps.open_network(str(path)), plain_open(path)
    named = ps.open_network(f"torchvision/{name}", path)

    with torch.no_grad():
        expected = small(image())
        assert torch.equal(again(image()), expected)
        assert torch.equal(plain(image()), expected)
        assert torch.equal(named(image()), expected)
    assert origin_of(again) == origin_of(named) == origin_of(small)
    assert again.preprocess == small.preprocess
    for layer in origin_of(small).units:
        assert ps.dense_units(again, layer) == ps.dense_units(small, layer)
        one, other = again.get_submodule(layer), small.get_submodule(layer)
        assert type(one) is type(other)
        assert repr(one) == repr(other)  # sizes, groups
    assert repr(again) == repr(small)
    dense = tmp_path / "dense.safetensors"
    ps.save_network(network, dense)
    assert path.stat().st_size < 0.8 * dense.stat().st_size


def test_a_compact_network_is_saved_packed_too(tmp_path: Path) -> None:
    small = ps.compact(*zeros_inside())
    ps.save_network(small, tmp_path / "plain.safetensors")
    ps.save_network(small, tmp_path / "packed.safetensors", pack=True)

    again = ps.open_network(str(tmp_path / "packed.safetensors"))

    assert all(torch.equal(tensor, again.state_dict()[n]) for n, tensor in small.state_dict().items())
    assert origin_of(again) == origin_of(small)
    assert (tmp_path / "packed.safetensors").stat().st_size < 0.5 * (
        tmp_path / "plain.safetensors"
    ).stat().st_size


def zeros_inside() -> tuple[nn.Module, ps.Mask]:
    """Nine single weights of ten at 0, and then half of the connections."""
    network = unsettle(ps.open_network("prunescope/sprig"))
    mask = ps.prune(network, "connection", rate=0.5)
    ps.prune(network, "weight", rate=0.9).apply(network)
    return network, mask


def test_the_units_of_a_network_that_is_not_compact_are_its_own() -> None:
    network = ps.open_network("prunescope/sprig")

    assert ps.dense_units(network, "conv1.conv") == list(range(16))
    assert ps.dense_units(network, "fc") == list(range(12))
    assert ps.dense_units(nn.Sequential(nn.Linear(3, 2)), "0") == [0, 1]
    with pytest.raises(
        PrunescopeError, match=r"no layer 'conv1.com' in the network \(did you mean 'conv1.conv'"
    ):
        ps.dense_units(network, "conv1.com")


def test_what_identifies_a_dense_network_does_not_speak_of_units() -> None:
    origin = Origin(name="a", classes=2)

    assert origin.model_dump() == {"name": "a", "classes": 2, "options": {}}
    compact = origin.model_copy(update={"units": {"b": [1]}})
    assert Origin.model_validate(compact.model_dump(mode="json")) == compact
    assert Origin.model_validate(origin.model_dump(mode="json")) == origin


def test_layers_that_gather_read_what_they_say() -> None:
    draw = torch.Generator().manual_seed(0)
    conv, linear = nn.Conv2d(3, 4, 3, padding=1), nn.Linear(3, 2)
    inputs = torch.tensor([4, 0, 5])
    seen = []
    conv.register_forward_hook(lambda _, x, y: seen.append(tuple(x[0].shape)))
    plain = copy.deepcopy(conv), copy.deepcopy(linear)
    maps, vectors = torch.randn(2, 6, 5, 5, generator=draw), torch.randn(2, 7, 6, generator=draw)

    gather(conv, inputs)
    gather(linear, inputs)

    assert type(conv) is GatheredConv2d
    assert type(linear) is GatheredLinear
    assert torch.equal(conv(maps), functional.conv2d(maps[:, [4, 0, 5]], conv.weight, conv.bias, padding=1))
    assert torch.equal(
        linear(vectors), functional.linear(vectors[..., [4, 0, 5]], linear.weight, linear.bias)
    )
    assert torch.equal(gathered(conv, maps), maps[:, [4, 0, 5]])
    assert torch.equal(gathered(linear, vectors), vectors[..., [4, 0, 5]])
    assert gathered(plain[0], maps) is maps
    assert list(conv.state_dict()) == ["weight", "bias", "inputs"]
    assert seen == [(2, 6, 5, 5)]  # hooks go on
    ungather(conv)
    assert type(conv) is nn.Conv2d
    assert list(conv.state_dict()) == ["weight", "bias"]


def test_frozen_and_channels_last_survive_new_shapes() -> None:
    network = TOYS["depthwise"].network().to(memory_format=torch.channels_last)
    network.a.weight.requires_grad_(False)
    kept = torch.tensor([True, False, True, True])
    keeps = {f"{n}.weight": kept.view(4, 1, 1, 1) for n in ("a", "depth")} | {
        "a.bias": kept,
        "depth.bias": kept,
    }
    state = ps.compact(network, ps.Mask(keeps, "filter")).state_dict()

    reshape(network, state)
    network.load_state_dict(state)

    assert network.depth.groups == network.depth.in_channels == network.depth.out_channels == 3
    assert network.a.out_channels == network.point.in_channels == 3
    assert [n for n, p in network.named_parameters() if not p.requires_grad] == ["a.weight"]
    assert network.a.weight.is_contiguous(memory_format=torch.channels_last)
    assert network(image(8)).shape == (2, 4)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            {"a.weight": torch.zeros(9, 3, 3, 3)},
            r"a.weight is \(9, 3, 3, 3\) there, \(4, 3, 3, 3\) in the dense",
        ),
        ({"a.weight": torch.zeros(4, 3, 1, 1)}, r"a.weight is \(4, 3, 1, 1\) there"),
        ({"a.weight": torch.zeros(0, 3, 3, 3)}, r"a.weight is \(0, 3, 3, 3\) there"),
        ({"a.weight": torch.zeros(4, 3)}, r"a.weight is \(4, 3\) there"),
        ({"grouped.weight": torch.zeros(4, 2, 3, 3)}, r"grouped.weight is \(4, 2, 3, 3\) there"),
        ({"grouped.weight": torch.zeros(6, 1, 3, 3)}, r"grouped.weight is \(6, 1, 3, 3\) there"),
        ({"point.inputs": torch.arange(3)}, "point.inputs does not fit its weight"),
        ({"point.inputs": torch.arange(4) - 1}, "point.inputs does not fit its weight"),
        ({"point.inputs": torch.arange(4) + 1}, "point.inputs does not fit its weight"),
        ({"point.inputs": torch.arange(4).float()}, "point.inputs does not fit its weight"),
    ],
)
def test_shapes_that_no_smaller_form_has(change: dict[str, torch.Tensor], said: str) -> None:
    network = carry(TOYS["depthwise"].build())
    with pytest.raises(PrunescopeError, match=f"small.file holds no smaller form of this network: {said}"):
        reshape(network, {**network.state_dict(), **change}, "small.file")


def test_compact_files_that_are_damaged_or_opened_as_something_else(tmp_path: Path) -> None:
    small = ps.compact(*zeros_inside())
    path = tmp_path / "small.safetensors"
    ps.save_network(small, path)
    with safe_open(path, framework="pt") as file:
        description = json.loads(file.metadata()["prunescope"])

    with pytest.raises(PrunescopeError, match=r"has its own number of classes: leave out classes=5"):
        ps.open_network("prunescope/sprig", path, classes=5)
    with pytest.raises(PrunescopeError, match="belongs to another architecture"):
        ps.open_network("torchvision/squeezenet1_1", path)
    damaged = tmp_path / "damaged.safetensors"
    for units in ("all", {"fc": [0, 1]}, {"nothing": [0]}):
        description["origin"]["units"] = units
        save_file(load_file(path), damaged, {"prunescope": json.dumps(description)})
        with pytest.raises(PrunescopeError, match="its description is damaged"):
            ps.open_network(str(damaged))


@pytest.mark.parametrize("order", [torch.contiguous_format, torch.channels_last])
@pytest.mark.parametrize("shape", [(2, 6, 5, 4), (1, 6, 1, 1), (3, 6, 1, 7)])
def test_a_gathering_convolution_reads_its_channels_in_either_memory_order(
    shape: tuple[int, ...], order: torch.memory_format
) -> None:
    x = torch.randn(shape, generator=torch.Generator().manual_seed(0)).contiguous(memory_format=order)
    inputs = torch.tensor([5, 0, 3])
    plain = nn.Conv2d(3, 2, 1)
    gathering = copy.deepcopy(plain)
    gather(gathering, inputs)
    one, other = (x.detach().clone(memory_format=torch.preserve_format).requires_grad_() for _ in range(2))

    found, expected = gathering(one), plain(other[:, inputs])
    found.square().sum().backward()
    expected.square().sum().backward()

    assert torch.allclose(found, expected)
    assert torch.allclose(one.grad, other.grad)
    assert found.is_contiguous(memory_format=order)
