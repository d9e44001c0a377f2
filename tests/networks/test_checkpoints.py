"""State dicts of others: what they wrap, what they lack, what they would do."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import read_state

NAME = "prunescope/sprig"
State = dict[str, torch.Tensor]


@pytest.fixture(scope="module")
def trained() -> nn.Module:
    return ps.open_network(NAME, classes=5, seed=3)


def holds(path: Path, network: nn.Module, dtype: torch.dtype = torch.float32) -> bool:
    """Open `path` without a word on its classes; is it `network`, seen through `dtype`?"""
    opened, own = ps.open_network(NAME, path).state_dict(), network.state_dict()
    return all(
        torch.equal(opened[name], own[name].to(dtype).float())
        for name in own
        if own[name].is_floating_point()
    ) and all(tensor.dtype in {torch.float32, torch.int64} for tensor in opened.values())


@pytest.mark.parametrize(
    "wrap",
    [
        lambda state: state,
        lambda state: {"state_dict": state, "epoch": 3},
        lambda state: {"model": state, "optimizer": {"lr": 0.1}},
        lambda state: {f"module.{name}": tensor for name, tensor in state.items()},
        lambda state: {"state_dict": {f"module.{name}": tensor for name, tensor in state.items()}},
        lambda state: {k: v for k, v in state.items() if not k.endswith("num_batches_tracked")},
    ],
    ids=["plain", "state_dict", "model", "module.", "both", "old batch norm"],
)
def test_state_dicts_in_the_wild(wrap: Callable[[State], Any], trained: nn.Module, tmp_path: Path) -> None:
    torch.save(wrap(trained.state_dict()), tmp_path / "weights.pth")

    assert holds(tmp_path / "weights.pth", trained)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64])
def test_other_precisions_become_float32(dtype: torch.dtype, trained: nn.Module, tmp_path: Path) -> None:
    state = {k: v.to(dtype) if v.is_floating_point() else v for k, v in trained.state_dict().items()}
    save_file(state, tmp_path / "weights.safetensors")

    assert holds(tmp_path / "weights.safetensors", trained, dtype)


def test_masks_that_torch_left_attached_are_multiplied_in(tmp_path: Path) -> None:
    network = ps.open_network(NAME, classes=5, seed=3)
    for module in (network.conv2.conv, network.fc):
        torch_prune.l1_unstructured(module, "weight", 0.6)
    torch_prune.random_unstructured(network.fc, "bias", 2)
    torch.save(network.state_dict(), tmp_path / "masked.pth")

    opened = ps.open_network(NAME, tmp_path / "masked.pth")

    assert torch.equal(opened.conv2.conv.weight, network.conv2.conv.weight)
    assert torch.equal(opened.fc.bias, network.fc.bias)
    assert int((opened.conv2.conv.weight == 0).sum()) == round(0.6 * 16 * 48 * 9)


def test_auxiliary_heads_and_classes_are_inferred(tmp_path: Path) -> None:
    options = {"init_weights": False}
    with_heads = ps.open_network("torchvision/googlenet", classes=6, options=options)
    state = with_heads.state_dict()
    torch.save(state, tmp_path / "with.pth")
    torch.save({k: v for k, v in state.items() if not k.startswith("aux")}, tmp_path / "without.pth")

    heads = ps.open_network("torchvision/googlenet", tmp_path / "with.pth")
    none = ps.open_network("torchvision/googlenet", tmp_path / "without.pth")

    assert torch.equal(heads.aux1.fc2.weight, with_heads.aux1.fc2.weight)
    assert none.aux1 is None
    assert none.fc.out_features == heads.fc.out_features == heads.aux2.fc2.out_features == 6


def test_a_classifier_that_is_a_convolution_tells_the_classes(tmp_path: Path) -> None:
    network = ps.open_network("torchvision/squeezenet1_1", classes=9)
    torch.save(network.state_dict(), tmp_path / "weights.pt")

    opened = ps.open_network("torchvision/squeezenet1_1", tmp_path / "weights.pt")

    assert opened.classifier[1].out_channels == 9


def test_weights_that_do_not_fit(trained: nn.Module, tmp_path: Path) -> None:
    path = tmp_path / "weights.pth"
    torch.save(trained.state_dict(), path)

    with pytest.raises(PrunescopeError, match=r"has 5 classes, the network 12: give classes=5"):
        ps.open_network(NAME, path, classes=12)
    with pytest.raises(
        PrunescopeError, match=r"another architecture .* tensors missing \(first: .* not in this network"
    ):
        ps.open_network("torchvision/squeezenet1_1", path)
    torch.save({k: v for k, v in trained.state_dict().items() if k != "fc.bias"}, path)
    with pytest.raises(PrunescopeError, match=r"1 tensors missing \(first: 'fc\.bias'\)"):
        ps.open_network(NAME, path)


class RunsCode:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (str(self.mark),)


@pytest.mark.parametrize("zipped", [True, False])
def test_a_file_that_would_run_code_is_refused_and_does_not_run(zipped: bool, tmp_path: Path) -> None:
    path, mark = tmp_path / "evil.pth", tmp_path / "mark"
    torch.save({"a": RunsCode(mark)}, path, _use_new_zipfile_serialization=zipped)

    with pytest.raises(PrunescopeError, match="refused, because reading it would run code"):
        ps.open_network(NAME, path)

    assert not mark.exists()
    torch.load(path, weights_only=False)
    assert mark.exists()  # the trap was armed


def test_a_pickled_module_is_refused(trained: nn.Module, tmp_path: Path) -> None:
    torch.save(trained, tmp_path / "module.pth")

    with pytest.raises(PrunescopeError, match=r"would run code.*network\.state_dict\(\)"):
        ps.open_network(NAME, tmp_path / "module.pth")


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
@pytest.mark.parametrize("share", [0, 0.001, 0.5, 0.999])
def test_a_file_cut_short(share: float, suffix: str, trained: nn.Module, tmp_path: Path) -> None:
    whole, path = tmp_path / f"whole.{suffix}", tmp_path / f"part.{suffix}"
    if suffix == "pth":
        torch.save(trained.state_dict(), whole)
    else:
        ps.save_network(trained, whole)
    content = whole.read_bytes()
    path.write_bytes(content[: int(share * len(content))])

    with pytest.raises(PrunescopeError, match=r"part\..*: not a whole"):
        ps.open_network(NAME, path)


@pytest.mark.parametrize("suffix", ["pth", "safetensors"])
def test_a_page_of_text_in_place_of_weights(suffix: str, tmp_path: Path) -> None:
    path = tmp_path / f"weights.{suffix}"
    path.write_text("<!DOCTYPE html><html><body>404 Not Found</body></html>")

    with pytest.raises(PrunescopeError, match="not a whole"):
        read_state(path)


@pytest.mark.parametrize("content", [{"accuracy": 0.7}, [torch.ones(2)], torch.ones(2)])
def test_a_file_without_a_state_dict(content: object, tmp_path: Path) -> None:
    torch.save(content, tmp_path / "other.pth")

    with pytest.raises(PrunescopeError, match=r"holds no state dict .*save `network\.state_dict\(\)`"):
        read_state(tmp_path / "other.pth")


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_weights_that_are_not_finite(value: float, trained: nn.Module, tmp_path: Path) -> None:
    state = {name: tensor.clone() for name, tensor in trained.state_dict().items()}
    state["fc.weight"][2, 1] = value
    torch.save(state, tmp_path / "nan.pth")

    with pytest.raises(PrunescopeError, match=r"'fc\.weight' holds NaN or infinite values"):
        ps.open_network(NAME, tmp_path / "nan.pth")


def test_weights_without_their_architecture(trained: nn.Module, tmp_path: Path) -> None:
    save_file(trained.state_dict(), tmp_path / "plain.safetensors")

    with pytest.raises(PrunescopeError, match=r"not their architecture: name it, for example open_network\("):
        ps.open_network(str(tmp_path / "plain.safetensors"))


def test_a_folder_that_is_not_there(trained: nn.Module, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match="No such file or directory while writing"):
        ps.save_network(trained, tmp_path / "absent" / "network.safetensors")


def test_real_weights(real_data: Path) -> None:
    googlenet = ps.open_network(
        "torchvision/googlenet", real_data / "weights/googlenet_imagenette128_fp16.safetensors"
    )
    squeezenet = ps.open_network(
        "torchvision/squeezenet1_1", "weights/squeezenet1_1_imagenet_fp16.pth", data=real_data
    )

    assert (googlenet.fc.out_features, googlenet.aux1, googlenet.transform_input) == (10, None, False)
    assert squeezenet.classifier[1].out_channels == 1000
    assert squeezenet.classifier[1].weight.dtype == torch.float32
