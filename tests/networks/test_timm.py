"""timm's networks: opened by name, followed, pruned and made smaller."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from torch import nn

import prunescope as ps
from oracles.channels import carry
from prunescope.errors import PrunescopeError
from prunescope.networks.channels import map_channels
from prunescope.networks.layers import find_layers
from prunescope.networks.network import origin_of, preprocess_of
from prunescope.networks.operators import torchvision  # noqa: F401  # which timm imports
from prunescope.networks.timm_family import Timm
from prunescope.pruning.counting import count

timm = pytest.importorskip("timm")
layers = pytest.importorskip("timm.layers")

SMALL = ps.Preprocess(resize=None, crop=64)


@pytest.fixture
def hub(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of torch hub's checkpoints, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    folder = tmp_path / "hub" / "checkpoints"
    folder.mkdir(parents=True)
    return folder


@pytest.fixture
def fetched(monkeypatch: pytest.MonkeyPatch) -> Callable[[Callable[..., str]], None]:
    """Let the Hugging Face hub be a function of the test's own."""
    import huggingface_hub

    return lambda function: monkeypatch.setattr(huggingface_hub, "hf_hub_download", function)


def lively(name: str, **options: object) -> nn.Module:
    """Return a small untrained network whose batch norms do something."""
    network = ps.open_network(f"timm/{name}", classes=5, preprocess=SMALL, options=options)
    draw = torch.Generator().manual_seed(1)
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            for wide in (module.weight, module.running_var):
                nn.init.uniform_(wide, 0.5, 1.5, generator=draw)
            for centred in (module.bias, module.running_mean):
                nn.init.normal_(centred, 0, 0.2, generator=draw)
    return network


def logits(network: nn.Module) -> torch.Tensor:
    image = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    with torch.no_grad():
        return network.double()(image)


def test_it_is_what_timm_builds() -> None:
    network = ps.open_network("timm/resnet18", classes=7, options={"drop_rate": 0.5}, seed=3)

    torch.manual_seed(3)
    expected = timm.create_model("resnet18", num_classes=7, drop_rate=0.5)
    assert type(network) is type(expected)
    assert not network.training
    own = network.state_dict()
    assert all(torch.equal(own[name], tensor) for name, tensor in expected.state_dict().items())
    assert origin_of(network).model_dump() == {
        "name": "timm/resnet18",
        "classes": 7,
        "options": {"drop_rate": 0.5},
    }


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("resnet18", (235, 224, "bicubic", (0.485, 0.456, 0.406))),  # 224 / .95 = 235.8
        ("mobilenetv3_small_100", (256, 224, "bicubic", (0.485, 0.456, 0.406))),
        ("inception_v3", (341, 299, "bicubic", (0.5, 0.5, 0.5))),
        ("resnetv2_50x1_bit", (256, 224, "bicubic", (0.5, 0.5, 0.5))),
    ],
)
def test_what_it_expects_of_images_is_what_timms_own_transform_does(
    name: str, expected: tuple[object, ...]
) -> None:
    found = Timm().preprocess(name)

    assert (found.resize, found.crop, found.interpolation, found.mean) == expected
    config = timm.data.resolve_data_config(pretrained_cfg=timm.get_pretrained_cfg(name).to_dict())
    resize, crop = timm.data.create_transform(**config).transforms[:2]
    assert (found.resize, found.interpolation) == (resize.size, resize.interpolation.value)
    assert (found.crop, found.crop) == tuple(crop.size)
    assert (found.mean, found.std) == (config["mean"], config["std"])


CNNS = ("resnet18d", "mobilenetv3_small_100", "efficientnet_b0", "resnetv2_18", "densenet121")


@pytest.mark.parametrize("name", CNNS)
def test_a_cnn_is_followed_pruned_by_filter_and_made_smaller(name: str) -> None:
    network = lively(name)
    channels = map_channels(network)
    assert not channels.fixed
    assert len(channels.norms) == sum(isinstance(m, nn.BatchNorm2d) for m in network.modules())

    mask = ps.prune(network, "filter", rate=0.5)
    smaller = ps.compact(network, mask)
    mask.apply(network)

    assert sum(p.numel() for p in smaller.parameters()) < 0.3 * sum(p.numel() for p in network.parameters())
    torch.testing.assert_close(logits(smaller), logits(network), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", [*CNNS[:2], "regnety_002", "convnext_atto"])
def test_it_is_pruned_by_weight_and_saved_and_opened_again(name: str, tmp_path: Path) -> None:
    network = lively(name)
    found = find_layers(network)
    mask = ps.prune(network, "weight", scope="global", rate=0.75)
    mask.apply(network)

    weights = torch.cat([layer.module.weight.flatten() for layer in found.values()])
    assert float((weights == 0).double().mean()) == pytest.approx(0.75, abs=1e-4)
    ps.save_network(network, tmp_path / "pruned.safetensors", pack=True)
    again = ps.open_network("pruned.safetensors", data=tmp_path)
    assert preprocess_of(again) == SMALL
    assert origin_of(again).name == f"timm/{name}"
    torch.testing.assert_close(logits(again), logits(network), rtol=0, atol=0)


@pytest.mark.parametrize(
    ("name", "layer", "why"),
    [
        ("regnety_002", "s1.b1.conv2.conv", "a grouped convolution"),
        ("convnext_atto", "stem.0", "normalised over its channels by stem.1"),
        ("ecaresnet26t", "layer1.0.conv1", "its channels cannot be followed through this network"),
    ],
)
def test_filters_that_cannot_be_removed_are_refused_by_name(name: str, layer: str, why: str) -> None:
    network = lively(name)

    assert why in map_channels(network).fixed[layer]
    with pytest.raises(PrunescopeError, match="filter pruning cannot remove from these layers"):
        ps.prune(network, "filter", rate=0.5)


def test_code_that_counts_on_numbers_of_channels_is_not_compacted() -> None:
    """CSPNet splits what it computed in the middle; the filter of a blur has a channel for each of its input's."""
    for name, said in (("cs3darknet_focus_s", "stages.0.conv_exp"), ("resnetblur18", "maxpool.1")):
        network = lively(name)
        assert not map_channels(network).fixed
        with pytest.raises(PrunescopeError, match=rf"does not run .*{said}.* relies on numbers of channels"):
            ps.compact(network, ps.prune(network, "filter", rate=0.5))


def test_a_zero_of_standardised_weights_is_none_so_they_are_pruned_by_filter_alone() -> None:
    network = lively("nf_resnet26")
    found = find_layers(network)
    assert {name for name, layer in found.items() if not layer.standardises} == {"head.fc"}
    assert not any(layer.standardises for layer in find_layers(lively("tf_efficientnet_b0")).values())

    for granularity in ("weight", "connection"):
        with pytest.raises(
            PrunescopeError, match=r"stem\.conv: its weights are standardised before they are used"
        ):
            ps.prune(network, granularity, rate=0.5)
    conv = found["stages.0.0.conv2"].module
    conv.gain.data.fill_(1)
    ps.prune(network, "filter", rate=0.5, layers=["stages.0.0.conv2"]).apply(network)
    removed = conv.weight.flatten(1).eq(0).all(1)
    assert removed.sum() == len(removed) // 2
    assert torch.equal(conv(torch.rand(1, conv.in_channels, 8, 8)).flatten(2).eq(0).all(2)[0], removed)


class Activated(nn.Module):
    """A batch norm that holds its activation, as timm's do."""

    def __init__(self, activation: type[nn.Module]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(3, 4, 3, bias=False)
        self.norm = layers.BatchNormAct2d(4, act_layer=activation)
        self.after = nn.Conv2d(4, 6, 3, bias=False)
        self.fc = nn.Linear(6, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(self.after(self.norm(self.conv(x))).mean((2, 3)))


def test_the_activation_inside_a_batch_norm_counts() -> None:
    relu, softplus = carry(Activated(nn.ReLU)), carry(Activated(nn.Softplus))

    assert not map_channels(relu).fixed
    assert "turned into other than 0 on its way to after" in map_channels(softplus).fixed["conv"]
    for network, unreachable in ((relu, 2 * 6 * 9), (softplus, 0)):
        for tensor in (network.conv.weight, network.norm.weight, network.norm.bias):
            tensor.data[:2] = 0
        assert count(network).layers["after"].unreachable == unreachable


def test_buffers_are_left_as_they_were() -> None:
    network = lively("resnetblur18")
    before = {name: buffer.clone() for name, buffer in network.named_buffers()}

    map_channels(network)

    assert len([name for name in before if name.endswith("filt")]) == 4
    for name, buffer in network.named_buffers():
        assert buffer.dtype == before[name].dtype
        assert torch.equal(buffer, before[name])


def test_weights_of_a_file(tmp_path: Path) -> None:
    torch.save({"state_dict": lively("resnet18").state_dict()}, tmp_path / "mine.pth")

    network = ps.open_network("timm/resnet18", "mine.pth", data=tmp_path)

    assert network.fc.weight.shape == (5, 512)
    assert origin_of(network).classes == 5


def test_published_weights_are_fetched_once_and_say_what_they_expect(
    hub: Path, tmp_path: Path, fetched: Callable[[Callable[..., str]], None]
) -> None:
    """timm's ResNet-18: its default weights, a1, are for images resized to 235 pixels; tv's for 256, bilinear."""
    state = timm.create_model("resnet18").state_dict()
    asked = []

    def download(repository: str, name: str) -> str:
        asked.append((repository, name))
        path = tmp_path / f"models--{repository.replace('/', '--')}" / "snapshots" / "abc" / name
        path.parent.mkdir(parents=True)
        save_file(state, path)
        return str(path)

    fetched(download)
    default = ps.open_network("timm/resnet18", "DEFAULT")
    other = ps.open_network("timm/resnet18", "tv_in1k")
    save_file(state, hub / "resnet18.tv_in1k.safetensors")
    put = ps.open_network("timm/resnet18", "tv_in1k")
    given = ps.open_network("timm/resnet18", hub / "resnet18.tv_in1k.safetensors")

    assert asked == [(f"timm/resnet18.{tag}", "model.safetensors") for tag in ("a1_in1k", "tv_in1k")]
    assert [preprocess_of(network).resize for network in (default, other, put, given)] == [235, 256, 256, 256]
    assert torch.equal(put.fc.weight, state["fc.weight"])


def test_weights_without_a_connection(hub: Path, fetched: Callable[[Callable[..., str]], None]) -> None:
    def refuse(*_: str) -> str:
        raise ConnectionError("no route to host")

    fetched(refuse)
    with pytest.raises(PrunescopeError) as caught:
        ps.open_network("timm/resnet18", "DEFAULT")

    assert "https://huggingface.co/timm/resnet18.a1_in1k (no route to host)" in str(caught.value)
    assert f"put it at {hub / 'resnet18.a1_in1k.safetensors'}" in str(caught.value)


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("timm/resnt18", {}, r"no network 'resnt18' in timm \(did you mean 'resnet18'"),
        ("timm/resnet18.a1_in1k", {}, r"no network 'resnet18.a1_in1k' in timm \(did you mean 'resnet18'"),
        ("resnet18", {}, r"did you mean 'timm/resnet18' or 'torchvision/resnet18'\?"),
        ("timm/resnet18", {"options": {"depth": 3}}, "timm/resnet18 cannot be built with .*'depth': 3"),
        (
            "timm/resnet18",
            {"weights": "a1_in2k"},
            r"no weights 'a1_in2k' for timm/resnet18 \(did you mean 'a1_in1k'",
        ),
        (
            "timm/convnext_atto_rms",
            {"weights": "DEFAULT"},
            "timm publishes none on the hub; or give a checkpoint",
        ),
        ("timm/resnet18", {"weights": "absent.pth"}, "no weights file 'absent.pth'"),
    ],
)
def test_what_cannot_be_opened_is_said(name: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(PrunescopeError, match=said):
        ps.open_network(name, **arguments)  # type: ignore[arg-type]


def test_without_timm(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in [name for name in sys.modules if name == "timm" or name.startswith("timm.")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "timm", None)

    with pytest.raises(PrunescopeError, match=r'timm is not installed: pip install "prunescope\[timm\]"'):
        ps.open_network("timm/resnet18")
    with pytest.raises(
        PrunescopeError, match=r"no network 'resnet18' \(did you mean 'torchvision/resnet18'\?\)"
    ):
        ps.open_network("resnet18")
