from __future__ import annotations

import sys
from pathlib import Path
from urllib.error import URLError

import pytest
import torch
from torch import nn

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.networks.network import example_input, origin_of, preprocess_of

QUICK = {"init_weights": False}
OWN = """
import torch
from torch import nn

class Own(nn.Module):
    def __init__(self, width=4, num_classes=3):
        super().__init__()
        self.conv = nn.Conv2d(3, width, 3)
        self.fc = nn.Linear(width, num_classes)

    def forward(self, x):
        return self.fc(self.conv(x).mean((2, 3)))

def no_classes():
    return Own()

def no_network():
    return "a network"
"""


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The name of a module with networks in the current folder, which is not on the path of Python."""
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.chdir(tmp_path)
    name = f"own_networks_{tmp_path.name.replace('-', '_')}"
    Path(f"{name}.py").write_text(OWN)
    return name


def same_weights(one: nn.Module, other: nn.Module) -> bool:
    a, b = one.state_dict(), other.state_dict()
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_network_of_torchvision_is_what_torchvision_builds() -> None:
    network = ps.open_network("torchvision/squeezenet1_1", classes=7)
    from torchvision.models import SqueezeNet

    assert type(network) is SqueezeNet
    assert not network.training
    assert network(torch.zeros(1, 3, 64, 64)).shape == (1, 7)
    assert preprocess_of(network) == ps.Preprocess()
    assert origin_of(network).model_dump() == {
        "name": "torchvision/squeezenet1_1",
        "classes": 7,
        "options": {},
    }


def test_initial_weights_follow_the_seed_and_leave_the_global_generator_alone() -> None:
    torch.manual_seed(5)
    before = torch.get_rng_state()

    one, again, other = (ps.open_network("prunescope/sprig", seed=seed) for seed in (1, 1, 2))

    assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(one, again)
    assert not torch.equal(one.fc.weight, other.fc.weight)


def test_the_embedded_network() -> None:
    network = ps.open_network("prunescope/sprig", classes=5)

    assert example_input(network).shape == (1, 3, 64, 64)
    assert network(example_input(network)).shape == (1, 5)
    with pytest.raises(PrunescopeError, match=r"takes no options, got \{'width': 2\}"):
        ps.open_network("prunescope/sprig", options={"width": 2})
    with pytest.raises(PrunescopeError, match=r"no weights 'V9' for prunescope/sprig; known: SCENES_V1"):
        ps.open_network("prunescope/sprig", "V9")


def test_a_function_of_ones_own(own: str) -> None:
    network = ps.open_network(f"{own}:Own", classes=6, options={"width": 5})

    assert network.fc.weight.shape == (6, 5)
    assert origin_of(network).options == {"width": 5}
    assert preprocess_of(network) == ps.Preprocess()
    assert preprocess_of(ps.open_network(f"{own}:Own", preprocess=ps.Preprocess(crop=32))).crop == 32


@pytest.mark.parametrize(
    ("name", "arguments", "said"),
    [
        ("torchvision/googlnet", {}, r"no network 'googlnet' in torchvision \(did you mean 'googlenet'"),
        (
            "torchvison/googlenet",
            {},
            r"no network 'torchvison/googlenet' \(did you mean 'torchvision/googlenet'",
        ),
        ("prunescope/spring", {}, r"no network 'spring' in prunescope \(did you mean 'sprig'\?\)"),
        ("googlenet", {}, "did you mean 'torchvision/googlenet'"),
        ("OWN:Own", {"options": {"depth": 3}}, "cannot be built with .*'depth': 3"),
        ("OWN:Own", {"weights": "IMAGENET1K_V1"}, "no published weights 'IMAGENET1K_V1': give a checkpoint"),
        ("OWN:Other", {}, r"cannot import the network '.*:Other'.*has no attribute 'Other'"),
        ("OWN:no_classes", {"classes": 3}, "takes no argument 'classes' or 'num_classes': leave classes out"),
        ("OWN:no_network", {}, "returned str, expected a torch.nn.Module"),
        ("OWN:torch", {}, "is no function that returns a network"),
        ("no_such_module:f", {}, "cannot import the network.*No module named"),
        (":f", {}, "cannot import the network ':f'"),
        ("torchvision/resnet18", {"options": {"depth": 3}}, "cannot be built with .*'depth': 3"),
        (
            "torchvision/resnet18",
            {"weights": "IMAGENET1K_V2"},
            r"no weights 'IMAGENET1K_V2' for torchvision/resnet18 \(did you mean 'IMAGENET1K_V1'\?\); known: "
            r"IMAGENET1K_V1, DEFAULT, or a checkpoint file",
        ),
        ("torchvision/resnet18", {"weights": "absent.pth"}, "no weights file 'absent.pth': check the path"),
        ("absent.safetensors", {}, "no weights file 'absent.safetensors': check the path"),
    ],
)
def test_what_cannot_be_opened_is_said(own: str, name: str, arguments: dict[str, object], said: str) -> None:
    with pytest.raises(PrunescopeError, match=said):
        ps.open_network(name.replace("OWN", own), **arguments)  # type: ignore[arg-type]


def test_published_weights_without_a_connection(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise URLError("no route to host")

    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr(torch.hub, "download_url_to_file", refuse)

    with pytest.raises(PrunescopeError) as caught:
        ps.open_network("torchvision/googlenet", "IMAGENET1K_V1")

    expected = tmp_path / "hub" / "checkpoints" / "googlenet-1378be20.pth"
    assert "no route to host" in str(caught.value)
    assert "https://download.pytorch.org/models/googlenet-1378be20.pth" in str(caught.value)
    assert f"put it at {expected}" in str(caught.value)


def test_the_file_name_of_published_weights_decides_preprocessing_and_options(tmp_path: Path) -> None:
    """EfficientNet-B1's second weights expect 255 -> 240 pixels, bilinear; its first ones 256 -> 240, bicubic.

    GoogLeNet's expect values between -1 and 1, into which `transform_input` turns the usual ones.
    """
    googlenet = ps.open_network("torchvision/googlenet", options=QUICK)
    path = tmp_path / "googlenet-1378be20.pth"
    torch.save(googlenet.state_dict(), path)

    published = ps.open_network("torchvision/googlenet", path)
    own = ps.open_network("torchvision/googlenet", path.rename(tmp_path / "mine.pth"))

    assert published.transform_input
    assert not own.transform_input
    from prunescope.networks.network import FAMILIES

    efficient = {
        name: FAMILIES["torchvision"].published("efficientnet_b1", name)[0]
        for name in ("efficientnet_b1_rwightman-bac287d4.pth", "efficientnet_b1-c27df63c.pth", "other.pth")
    }
    assert [(p.resize, p.crop, p.interpolation) for p in efficient.values()] == [
        (256, 240, "bicubic"),
        (255, 240, "bilinear"),
        (255, 240, "bilinear"),
    ]


def test_saved_and_opened_again_it_is_the_same(tmp_path: Path) -> None:
    preprocess = ps.Preprocess(
        resize=70, crop=64, order="BGR", range=255, mean=(104, 117, 123), std=(1, 1, 1)
    )
    network = ps.open_network(
        "torchvision/googlenet", classes=4, options={"aux_logits": False, **QUICK}, preprocess=preprocess
    )
    network.conv1.bn.running_mean.uniform_()

    ps.save_network(network, tmp_path / "saved.safetensors", {"made": "by a test"})
    again = ps.open_network("saved.safetensors", data=tmp_path)

    assert same_weights(network, again)
    assert not again.training
    assert preprocess_of(again) == preprocess
    assert origin_of(again).classes == 4
    other = ps.open_network(str(tmp_path / "saved.safetensors"), preprocess=ps.Preprocess(crop=96))
    assert preprocess_of(other).crop == 96
    with pytest.raises(
        PrunescopeError, match="holds its own weights and architecture: leave out weights, classes"
    ):
        ps.open_network("saved.safetensors", classes=5, data=tmp_path)


def test_networks_of_ones_own_are_saved_too(own: str, tmp_path: Path) -> None:
    network = ps.open_network(f"{own}:Own", classes=6, options={"width": 5})
    ps.save_network(network, tmp_path / "own.safetensors")

    assert same_weights(network, ps.open_network("own.safetensors"))
    with pytest.raises(PrunescopeError, match="was not opened by prunescope"):
        ps.save_network(nn.Linear(2, 2), tmp_path / "foreign.safetensors")
    with pytest.raises(PrunescopeError, match="carries no preprocessing"):
        preprocess_of(nn.Linear(2, 2))


def test_torchvision_imports_beside_any_torch() -> None:
    from prunescope.networks.operators import torchvision

    assert len(torchvision.models.list_models(module=torchvision.models)) >= 80
    assert torch.ops.torchvision.nms is not None  # an AttributeError, were it unknown
