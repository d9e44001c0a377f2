"""docs/compact.md: its commands print what the page says, and its Python runs as it is printed."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

import prunescope as ps
from cli.call import call
from places import REPOSITORY
from prunescope.networks.operators import torchvision

PAGE = (REPOSITORY / "docs" / "compact.md").read_text()
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
BLOCKS = re.findall(r"```\n(\$ .*?)```", PAGE, flags=re.DOTALL)


def commands() -> Iterator[tuple[list[str], str]]:
    """Yield each command of the page with what it prints there."""
    for block in BLOCKS:
        for part in block.split("$ ")[1:]:
            line, _, printed = part.partition("\n")
            yield shlex.split(line)[1:], printed


def example(word: str, **names: Any) -> dict[str, Any]:
    """Run the one example of the page that has `word` in it."""
    (code,) = [code for code in EXAMPLES if word in code]
    exec(compile(code, f"docs/compact.md, {word}", "exec"), names)
    return names


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def test_the_commands(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("onnxruntime")
    ran = []
    for arguments, printed in commands():
        fewer = ["--rounds", "1"] if arguments[0] == "speed" else []
        code = call(monkeypatch, *arguments, *fewer).code
        out, err = capfd.readouterr()
        assert code == 0, err
        ran.append(arguments[0])
        if arguments[0] in {"prune", "compact"}:
            assert out == printed
        elif arguments[0] == "export":  # as large as the version of the exporter makes it
            assert re.sub(r"[\d,]+ bytes", "", out) == re.sub(r"[\d,]+ bytes", "", printed)
        else:  # as fast as the machine is
            assert out.split("\n")[0].split() == printed.split("\n")[0].split()
    assert ran == ["prune", "compact", "export", "speed"]


def test_the_lines_of_python() -> None:
    steps: list[nn.Module] = []

    def one_step(network: nn.Module) -> None:
        network.train()
        optimizer = torch.optim.SGD(network.parameters(), lr=0.01, momentum=0.9, weight_decay=1e-3)
        network(torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(0))).sum().backward()
        optimizer.step()
        steps.append(network.eval())

    names = example("my_training_loop", my_training_loop=one_step, torch=torch)
    assert len(steps) == 2
    images = torch.rand(2, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    assert torch.equal(names["small"](images), names["again"](images))
    example("ps.dense_units", **names)
    example("pack=True", **names)


def pruned(name: str, granularity: str, **choice: Any) -> tuple[nn.Module, nn.Module]:
    """Return a network with random batch norms, pruned; and its compact form."""
    network = ps.open_network(name, classes=7)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for module in network.modules():
            if isinstance(module, nn.BatchNorm2d):
                for tensor in (module.weight, module.bias, module.running_mean, module.running_var):
                    tensor.copy_(torch.rand(tensor.shape, generator=generator) + 0.5)
    mask = ps.prune(network, granularity, rate=0.5, **choice)
    mask.apply(network)
    return network, ps.compact(network, mask)


@pytest.mark.parametrize(
    ("name", "granularity", "gathers"),
    [("mobilenet_v2", "filter", False), ("squeezenet1_1", "connection", True)],
)
def test_a_compact_file_in_plain_torch(name: str, granularity: str, gathers: bool) -> None:
    choice = {"spare": ["features.0*"]} if gathers else {}
    network, small = pruned(f"torchvision/{name}", granularity, **choice)
    ps.save_network(small, "small.safetensors")
    load_compact = example("def load_compact")["load_compact"]
    opened = load_compact(torchvision.models.get_model(name, num_classes=7), "small.safetensors")
    images = torch.rand(2, 3, 96, 96, generator=torch.Generator().manual_seed(0))
    with torch.no_grad():
        expected, found = network(images), opened(images)
    assert (expected - found).abs().max() <= 1e-5 * expected.abs().max()
    weights = sum(parameter.numel() for parameter in opened.parameters())
    assert weights < 0.6 * sum(parameter.numel() for parameter in network.parameters())
    assert any(name.endswith(".inputs") for name in small.state_dict()) == gathers


def test_a_packed_file_in_plain_numpy() -> None:
    network = ps.open_network("prunescope/sprig", weights="SCENES_V1")
    ps.prune(network, "weight", rate=0.9, scope="global").apply(network)
    for pack in (True, False):
        ps.save_network(network, "packed.safetensors", pack=pack)
        tensors = example("def load_packed")["load_packed"]("packed.safetensors")
        state = network.state_dict()
        assert tensors.keys() == state.keys()
        assert all(torch.equal(torch.from_numpy(tensors[name]), state[name]) for name in state)
