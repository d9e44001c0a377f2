"""What is exported computes what PyTorch computes, in the runtimes that read it."""

from __future__ import annotations

import errno
import json
import sys
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from torch import nn

from prunescope.errors import NoRoomError, PrunescopeError
from prunescope.networks.export import export
from prunescope.networks.network import evaluating, example_input, open_network
from prunescope.networks.preprocess import Preprocess
from prunescope.networks.shapes import gather


def scaled(name: str) -> nn.Module:
    """Open a network with random weights through which a signal neither fades nor grows."""
    network = open_network(name, classes=10)
    generator = torch.Generator().manual_seed(0)
    for module in network.modules():
        if isinstance(module, nn.Conv2d | nn.Linear):
            nn.init.kaiming_normal_(module.weight, generator=generator)
        elif isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            module.running_mean.normal_(0, 0.1, generator=generator)
    return network


def images_for(network: nn.Module, count: int) -> torch.Tensor:
    shape = (count, *example_input(network).shape[1:])
    return torch.randn(shape, generator=torch.Generator().manual_seed(1))


def in_onnxruntime(path: Path, images: torch.Tensor) -> torch.Tensor:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    assert [value.name for value in session.get_inputs()] == ["images"]
    assert [value.name for value in session.get_outputs()] == ["logits"]
    return torch.from_numpy(session.run(None, {"images": images.numpy()})[0])


def in_torch_export(path: Path, images: torch.Tensor) -> torch.Tensor:
    program = torch.export.load(path).module()
    with torch.no_grad():
        logits: torch.Tensor = program(images)
    return logits


RUN = {".onnx": in_onnxruntime, ".pt2": in_torch_export}


def require_same(network: nn.Module, path: Path, counts: tuple[int, ...] = (1, 3)) -> None:
    for count in counts:
        images = images_for(network, count)
        with evaluating(network):
            expected = network(images)
        found = RUN[path.suffix](path, images)
        assert found.shape == expected.shape
        assert (found - expected).abs().max() <= 1e-5 * expected.abs().max()


class Toy(nn.Module):
    """Two convolutions and a linear layer on images of 8 pixels."""

    def __init__(self) -> None:
        super().__init__()
        self.preprocess = Preprocess(resize=None, crop=8, mean=(0.1, 0.2, 0.3))
        self.a = nn.Conv2d(3, 6, 3, padding=1)
        self.b = nn.Conv2d(6, 4, 3)
        self.dropout = nn.Dropout(0.5)
        self.fc = nn.Linear(4, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.dropout(torch.relu(self.b(torch.relu(self.a(x)))).mean((2, 3))))
        return logits


@pytest.fixture
def toy() -> Toy:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return Toy().eval()


@pytest.mark.parametrize("name", ["googlenet", "mobilenet_v3_small", "densenet121", "squeezenet1_1"])
def test_onnx_computes_the_same(name: str, tmp_path: Path) -> None:
    network = scaled(f"torchvision/{name}")
    export(network, tmp_path / "network.onnx")
    require_same(network, tmp_path / "network.onnx")


def test_a_program_computes_the_same(tmp_path: Path) -> None:
    network = scaled("prunescope/sprig")
    export(network, tmp_path / "network.pt2")
    require_same(network, tmp_path / "network.pt2")


@pytest.mark.parametrize("suffix", list(RUN))
def test_a_layer_that_gathers_its_inputs(suffix: str, toy: Toy, tmp_path: Path) -> None:
    toy.b = nn.Conv2d(3, 4, 3).eval()
    gather(toy.b, torch.tensor([4, 1, 2]))
    export(toy, tmp_path / f"network{suffix}")
    require_same(toy, tmp_path / f"network{suffix}")


@pytest.mark.parametrize("suffix", list(RUN))
def test_what_the_network_expects_of_images_goes_along(suffix: str, toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    export(toy, path)
    if suffix == ".onnx":
        found = {entry.key: entry.value for entry in onnx.load(path).metadata_props}["prunescope"]
    else:
        extra = {"prunescope": ""}
        torch.export.load(path, extra_files=extra)
        found = extra["prunescope"]
    assert Preprocess(**json.loads(found)["preprocess"]) == toy.preprocess


@pytest.mark.parametrize("suffix", list(RUN))
def test_a_fixed_batch(suffix: str, toy: Toy, tmp_path: Path) -> None:
    path = tmp_path / f"network{suffix}"
    export(toy, path, images_for(toy, 2), dynamic_batch=False)
    require_same(toy, path, counts=(2,))
    with pytest.raises(Exception, match=r"Got: 3 Expected: 2|2"):
        RUN[suffix](path, images_for(toy, 3))


def test_the_network_is_left_as_it_was(tmp_path: Path) -> None:
    network = scaled("torchvision/googlenet").train()  # its auxiliary heads are run in training
    network.conv1.eval()
    modes = [module.training for module in network.modules()]
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    export(network, tmp_path / "network.onnx")
    assert [module.training for module in network.modules()] == modes
    assert all(torch.equal(tensor, before[name]) for name, tensor in network.state_dict().items())
    require_same(network, tmp_path / "network.onnx", counts=(2,))


def test_nothing_is_printed(toy: Toy, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    for suffix in RUN:
        export(toy, tmp_path / f"network{suffix}")
    assert capfd.readouterr() == ("", "")


class Odd(Toy):
    """Does something between its features and its classifier."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        logits: torch.Tensor = self.fc(self.odd(torch.relu(self.b(self.a(x))).mean((2, 3))))
        return logits

    def odd(self, x: torch.Tensor) -> torch.Tensor:
        raise NotImplementedError


class Branching(Odd):
    def odd(self, x: torch.Tensor) -> torch.Tensor:
        return x * 2 if x.sum() > 0 else x


class Bessel(Odd):
    def odd(self, x: torch.Tensor) -> torch.Tensor:
        return torch.special.bessel_j0(x)


class Untraceable(Odd):
    """What tracing would warn of, and torch.export can say."""

    def odd(self, x: torch.Tensor) -> torch.Tensor:
        for _ in range(int(torch.tensor(x.shape[1]))):
            x = x * 1.1
        return x


@pytest.mark.parametrize(
    ("kind", "suffix", "expected"),
    [
        (
            Branching,
            ".onnx",
            "ONNX cannot say what this network does: the forward pass decides by the values",
        ),
        (Branching, ".pt2", "torch.export cannot say what this network does: the forward pass decides by"),
        (Bessel, ".onnx", "it knows no operator aten::special_bessel_j0: compute"),
    ],
)
def test_what_a_format_cannot_say(
    kind: type[Odd], suffix: str, expected: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(PrunescopeError, match=expected) as caught:
        export(kind().eval(), tmp_path / f"network{suffix}")
    assert "\n" not in str(caught.value)
    assert not list(tmp_path.iterdir())
    assert capfd.readouterr() == ("", "")


def test_what_tracing_cannot_say_goes_through_torch_export(tmp_path: Path) -> None:
    network = Untraceable().eval()
    export(network, tmp_path / "network.onnx")
    require_same(network, tmp_path / "network.onnx")


@pytest.mark.parametrize(
    ("name", "expected"), [("a.onx", r"\.onnx or \.pt2 \(did you mean '\.onnx'\?\)"), ("a", "ends in")]
)
def test_another_suffix(name: str, expected: str, toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=expected):
        export(toy, tmp_path / name)


def test_an_example_of_another_size(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"does not run on an example of 1 x 4 x 8 x 8: .*channels"):
        export(toy, tmp_path / "a.onnx", torch.zeros(1, 4, 8, 8))


@pytest.mark.parametrize("package", ["onnx", "onnxscript"])
def test_without_the_extra(package: str, toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(
        PrunescopeError, match=rf'{package} is not installed: pip install "prunescope\[deploy\]"'
    ):
        export(toy, tmp_path / "a.onnx")


def test_a_full_disk_keeps_the_file_that_was_there(
    toy: Toy, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "a.onnx"
    path.write_bytes(b"before")
    write = Path.write_bytes

    def full(self: Path, content: bytes) -> int:
        write(self, content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", full)
    with pytest.raises(NoRoomError, match="no room left on the disk while writing"):
        export(toy, path)
    monkeypatch.undo()
    assert [(file.name, file.read_bytes()) for file in tmp_path.iterdir()] == [("a.onnx", b"before")]


def test_a_folder_that_is_not_there(toy: Toy, tmp_path: Path) -> None:
    with pytest.raises(PrunescopeError, match=r"No such file or directory while writing .*a\.pt2"):
        export(toy, tmp_path / "none" / "a.pt2")


def test_openvino_reads_it_too(toy: Toy, tmp_path: Path) -> None:
    openvino = pytest.importorskip("openvino")
    gather_into = nn.Conv2d(3, 4, 3).eval()
    gather(gather_into, torch.tensor([5, 0, 3]))
    toy.b = gather_into
    export(toy, tmp_path / "a.onnx")
    images = images_for(toy, 2)
    compiled = openvino.Core().compile_model(tmp_path / "a.onnx", "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
    with torch.no_grad():
        np.testing.assert_allclose(compiled(images.numpy())[0], toy(images).numpy(), rtol=1e-4, atol=1e-5)
