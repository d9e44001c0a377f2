"""Programs answer as the networks that they were saved from; what is no network for images is refused."""

from __future__ import annotations

import copy
import json
import re
import shutil
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn
from torch.nn.utils import prune as torch_prune

import prunescope as ps
from networks.saved_programs import PREPROCESS, SIDE, Toy, images, save, script, toy, trace
from prunescope.errors import PrunescopeError
from prunescope.images.cache import Pixels
from prunescope.networks.export import METADATA_KEY, export
from prunescope.networks.layers import find_layers
from prunescope.networks.programs import Program, open_program, program_format, stored_types
from prunescope.training.evaluation import LabelledPixels, predict

FORMATS = ("TorchScript", "torch.export", "ONNX")
SUFFIXES = {"TorchScript": ".pt", "torch.export": ".pt2", "ONNX": ".onnx"}


def close(found: torch.Tensor, expected: torch.Tensor, rounding: float = 1e-5) -> bool:
    return found.shape == expected.shape and bool(
        (found - expected).abs().max() <= rounding * expected.abs().max()
    )


def photographs(count: int) -> LabelledPixels:
    """Return images of noise, a little larger than the networks want them."""
    side = SIDE + 2
    flat = np.random.default_rng(0).integers(0, 256, count * side * side * 3).astype(np.uint8)
    index = np.array([(side, side, number * side * side * 3) for number in range(count)])
    return LabelledPixels(Pixels(flat, index), np.zeros(count, np.int64), np.arange(count))


@pytest.mark.parametrize("form", FORMATS)
def test_it_answers_as_the_network(form: str, tmp_path: Path) -> None:
    network = toy()
    program = open_program(save(network, form, tmp_path), PREPROCESS)
    assert (program.format, program.outputs, program.probabilities) == (form, 3, False)
    assert (program.least, program.most) == (1, None)
    for count in (1, 5):
        with torch.no_grad():
            assert close(program(images(count)), network(images(count)))


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_what_it_says_of_images_is_what_the_network_says(form: str, precision: Any, tmp_path: Path) -> None:
    network = toy()
    program = open_program(save(network, form, tmp_path), PREPROCESS)
    found = predict(program, photographs(7), batch=4, precision=precision)
    assert close(found, predict(network, photographs(7)))  # float32, whatever is asked of other networks


@pytest.mark.parametrize("form", FORMATS)
def test_its_weights_are_those_of_the_network(form: str, tmp_path: Path) -> None:
    network = toy()
    weights = open_program(save(network, form, tmp_path), PREPROCESS).weights()
    assert list(weights) == ["a.weight", "b.0.weight", "fc.weight"]
    for name in ("a.weight", "fc.weight"):
        assert torch.equal(weights[name], network.state_dict()[name])
    ratio = weights["b.0.weight"] / network.b[0].weight  # ONNX: times what its batch norm multiplies by
    assert close(ratio, ratio[:, :1, :1, :1].expand_as(ratio))


def test_a_frozen_script_keeps_its_weights_apart(tmp_path: Path) -> None:
    network = toy()
    program = open_program(trace(network, tmp_path / "a.pt", frozen=True), PREPROCESS)
    assert list(program.weights()) == ["convolution_0", "convolution_1", "linear_2"]
    assert torch.equal(program.weights()["convolution_0"], network.a.weight)
    assert close(program(images(2)), network(images(2)).detach())


@pytest.mark.parametrize("form", FORMATS)
def test_half_precision(form: str, tmp_path: Path) -> None:
    network = toy()
    path = save(copy.deepcopy(network).half(), form, tmp_path) if form != "TorchScript" else None
    path = path or trace(copy.deepcopy(network).half(), tmp_path / "half.pt", images(1).half())
    program = open_program(path, PREPROCESS)
    found = program(images(3))
    assert found.dtype == torch.float32
    assert close(found, network(images(3)).detach(), 1e-2)
    assert set(stored_types(path)) == {"float16"}


@pytest.mark.parametrize("form", FORMATS)
def test_a_softmax_at_its_end_becomes_its_logarithm(form: str, tmp_path: Path) -> None:
    program = open_program(save(toy(nn.Softmax(1)), form, tmp_path), PREPROCESS)
    assert program.probabilities
    assert close(program(images(3)).softmax(1), toy()(images(3)).softmax(1).detach())


@pytest.mark.parametrize("form", FORMATS)
def test_logits_of_one_pixel(form: str, tmp_path: Path) -> None:
    program = open_program(save(toy(nn.Unflatten(1, (3, 1, 1))), form, tmp_path), PREPROCESS)
    assert close(program(images(2)), toy()(images(2)).detach())


@pytest.mark.parametrize("form", ["torch.export", "ONNX"])
def test_a_fixed_number_of_images(form: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIXES[form]}"
    export(toy(), path, images(4), dynamic_batch=False)
    program = open_program(path)
    assert (program.least, program.most) == (4, 4)
    assert close(program(images(6)), toy()(images(6)).detach())


class ByFours(Toy):
    """Is traced with four images, and knows no other number."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x).view(4, 3)


def test_a_script_that_was_traced_with_four_images(tmp_path: Path) -> None:
    network = ByFours().eval()
    program = open_program(trace(network, tmp_path / "a.pt", images(4)), PREPROCESS)
    assert (program.least, program.most) == (4, 4)
    assert close(program(images(6))[4:], Toy.forward(network, images(6))[4:].detach())


def test_at_most_five_images_at_least_two(tmp_path: Path) -> None:
    exported = torch.export.export(
        toy(), (images(3),), dynamic_shapes=({0: torch.export.Dim("batch", min=2, max=5)},), strict=False
    )
    torch.export.save(exported, tmp_path / "a.pt2")
    program = open_program(tmp_path / "a.pt2", PREPROCESS)
    assert (program.least, program.most) == (2, 5)
    for count in (1, 2, 11):
        assert close(program(images(count)), toy()(images(count)).detach())


class Together(nn.Module):
    """Scales the logits by the largest of the batch where that is large, as dynamic quantisation does."""

    def __init__(self, floor: float) -> None:
        super().__init__()
        self.floor = floor

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x / x.abs().max().clamp(min=self.floor)


@pytest.mark.parametrize("form", FORMATS)
def test_answers_that_depend_on_the_batch_are_asked_for_one_by_one(form: str, tmp_path: Path) -> None:
    largest = float(toy()(images(100)).detach().abs().max())
    program = open_program(save(toy(Together(largest)), form, tmp_path), PREPROCESS)
    assert (program.least, program.most) == (1, 1)
    unusual = torch.cat([images(2), 10 * images(1)])
    assert close(program(unusual)[:2], toy()(images(2)).detach() / largest)


@pytest.mark.parametrize("form", ["torch.export", "ONNX"])
def test_what_prunescope_wrote_of_preprocessing_is_read(form: str, tmp_path: Path) -> None:
    program = open_program(save(toy(), form, tmp_path))
    assert program.preprocess == PREPROCESS
    assert not program.assumed_preprocess
    changed = open_program(tmp_path / f"network{SUFFIXES[form]}", {"order": "BGR"})
    assert changed.preprocess == PREPROCESS.model_copy(update={"order": "BGR"})


def test_without_a_word_on_preprocessing_it_is_assumed(tmp_path: Path) -> None:
    path = trace(toy(), tmp_path / "a.pt", images(1, 224))
    program = open_program(path)
    assert program.preprocess == ps.Preprocess()
    assert program.assumed_preprocess
    assert not open_program(path, {"order": "BGR"}).assumed_preprocess
    with pytest.raises(PrunescopeError, match=r"preprocessing: ordr: .*known: resize, crop"):
        open_program(path, {"ordr": "BGR"})


def test_a_program_has_no_insides_and_needs_no_copy(tmp_path: Path) -> None:
    program = open_program(save(toy(), "ONNX", tmp_path))
    with pytest.raises(PrunescopeError, match="no convolution or linear layer"):
        find_layers(program)
    assert copy.deepcopy(program) is program
    assert program.train().to(memory_format=torch.channels_last)(images(1)).shape == (1, 3)  # type: ignore[call-overload]


@pytest.mark.parametrize("form", FORMATS)
def test_the_contents_tell_the_format_not_the_suffix(form: str, tmp_path: Path) -> None:
    path = save(toy(), form, tmp_path)
    for suffix in (*SUFFIXES.values(), ".bin"):
        other = tmp_path / f"other{suffix}"
        shutil.copy(path, other)
        assert program_format(other) == form
        assert isinstance(open_program(other, PREPROCESS), Program)


def test_a_checkpoint_is_no_program(tmp_path: Path) -> None:
    state = toy().state_dict()
    torch.save(state, tmp_path / "a.pt")
    torch.save(state, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    save_file(state, tmp_path / "a.safetensors")
    ps.save_network(ps.open_network("prunescope/sprig"), tmp_path / "sprig.safetensors")
    for name in ("a.pt", "old.pt", "a.safetensors", "sprig.safetensors"):
        assert program_format(tmp_path / name) is None
    with pytest.raises(PrunescopeError, match=r"no program of TorchScript, torch\.export or ONNX: is it a"):
        open_program(tmp_path / "a.pt")


@pytest.mark.parametrize("call", [program_format, open_program, stored_types])
def test_a_file_that_is_not_there(call: Any, tmp_path: Path) -> None:
    for missing in (tmp_path / "none.onnx", tmp_path):
        with pytest.raises(PrunescopeError, match=r"no file .*check the path"):
            call(missing)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("keep", [0, 1, 0.5, 0.98])
def test_half_a_file(form: str, keep: float, tmp_path: Path) -> None:
    path = save(toy(), form, tmp_path)
    content = path.read_bytes()
    path.write_bytes(content[: int(keep * len(content)) if keep < 1 else 1])
    expected = "not a whole|cannot load" if form != "TorchScript" else "not a whole|is it a checkpoint"
    with pytest.raises(PrunescopeError, match=expected) as caught:
        open_program(path, PREPROCESS)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("form", FORMATS)
def test_a_byte_that_was_changed(form: str, tmp_path: Path) -> None:
    path = save(toy(), form, tmp_path)
    content = bytearray(path.read_bytes())
    place = content.index(toy().a.weight.detach().numpy().tobytes()) + 3
    content[place : place + 2] = b"\x7f\xff"  # a weight becomes NaN; archives have checksums
    content[place - 1 : place + 1] = b"\xff\x7f"
    path.write_bytes(content)
    with pytest.raises(PrunescopeError, match="holds NaN" if form == "ONNX" else "not a whole file of"):
        open_program(path, PREPROCESS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(("value", "said"), [(float("nan"), "holds NaN"), (float("inf"), "holds infinite")])
def test_weights_that_are_no_numbers(form: str, value: float, said: str, tmp_path: Path) -> None:
    network = toy()
    with torch.no_grad():
        network.a.weight[0, 0, 0, 0] = value
    with pytest.raises(PrunescopeError, match=rf"'a\.weight' {said}"):
        open_program(save(network, form, tmp_path), PREPROCESS)


class Sized(nn.Module):
    """Takes images of one size and number of channels."""

    def __init__(self, side: int = 8, channels: int = 3) -> None:
        super().__init__()
        self.fc = nn.Linear(channels * side * side, 3)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.fc(x.flatten(1))


def save_sized(network: nn.Module, form: str, example: torch.Tensor, folder: Path) -> Path:
    path = folder / f"sized{SUFFIXES[form]}"
    if form == "TorchScript":
        return trace(network.eval(), path, example)
    export(network.eval(), path, example)
    return path


@pytest.mark.parametrize("form", FORMATS)
def test_another_size_than_the_preprocessing_gives(form: str, tmp_path: Path) -> None:
    path = save_sized(Sized(10), form, images(2, 10), tmp_path)
    expected = r"takes images of 10 x 10 pixels, its preprocessing crops to 8: .*--preprocess '\{crop: 10\}'"
    with pytest.raises(PrunescopeError, match=expected):
        open_program(path, PREPROCESS)
    assert open_program(path, {"crop": 10}).outputs == 3


def test_a_script_whose_size_nobody_knows(tmp_path: Path) -> None:
    path = script(Sized(10), tmp_path / "a.pt")
    expected = (
        r"does not run on images of 3 x 8 x 8.*shapes cannot be multiplied.*--preprocess '\{crop: 299\}'"
    )
    with pytest.raises(PrunescopeError, match=expected):
        open_program(path, PREPROCESS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize("channels", [1, 4])
def test_images_of_other_channels(form: str, channels: int, tmp_path: Path) -> None:
    example = torch.zeros(2, channels, 8, 8)
    path = save_sized(Sized(8, channels), form, example, tmp_path)
    with pytest.raises(PrunescopeError, match=rf"takes images of {channels} channels .*expected 3"):
        open_program(path, PREPROCESS)


class ChannelsLast(Toy):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return super().forward(x.permute(0, 3, 1, 2))


@pytest.mark.parametrize("form", FORMATS)
def test_channels_last(form: str, tmp_path: Path) -> None:
    path = save_sized(ChannelsLast(), form, torch.zeros(2, 8, 8, 3), tmp_path)
    with pytest.raises(PrunescopeError, match=r"8 channels .*with the channels last: export it with"):
        open_program(path, PREPROCESS)


@pytest.mark.parametrize("form", FORMATS)
def test_what_takes_no_images(form: str, tmp_path: Path) -> None:
    path = save_sized(nn.Linear(192, 3), form, torch.zeros(2, 192), tmp_path)
    with pytest.raises(PrunescopeError, match="x 192, expected images x 3 x height x width"):
        open_program(path, PREPROCESS)


class Two(Toy):
    def forward(self, x: torch.Tensor, y: torch.Tensor) -> torch.Tensor:  # type: ignore[override]
        return super().forward(x + y)


def test_two_inputs(tmp_path: Path) -> None:
    given = (images(2), images(2))
    network = Two().eval()
    torch.export.save(torch.export.export(network, given, strict=False), tmp_path / "a.pt2")
    with warnings.catch_warnings(action="ignore"):
        torch.jit.trace(network, given).save(tmp_path / "a.pt")
        torch.onnx.export(network, given, tmp_path / "a.onnx", dynamo=False, input_names=["x", "y"])
    for suffix, said in (
        (".pt2", "takes 2 inputs"),
        (".pt", r"takes x \(Tensor\), y"),
        (".onnx", r"\(x, y\)"),
    ):
        with pytest.raises(PrunescopeError, match=f"{said}.*expected one tensor of images"):
            open_program(tmp_path / f"a{suffix}", PREPROCESS)


class Embedding(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.float().mean((2, 3))


@pytest.mark.parametrize(
    ("form", "said"), [("torch.export", "takes int64"), ("ONNX", r"takes tensor\(int64\)")]
)
def test_integers_for_images(form: str, said: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIXES[form]}"
    export(Embedding().eval(), path, torch.zeros(2, 3, 8, 8, dtype=torch.int64))
    with pytest.raises(PrunescopeError, match=f"{said}, expected images of floating-point numbers"):
        open_program(path, PREPROCESS)


@pytest.mark.parametrize("form", FORMATS)
@pytest.mark.parametrize(
    ("head", "said"),
    [
        (nn.Unflatten(0, (-1, 1)), "answers 1 of the images with 1 x 1 x 3, expected images x classes"),
        (nn.LazyLinear(1), "with 1 x 1, expected"),
    ],
)
def test_what_puts_out_no_logits(form: str, head: nn.Module, said: str, tmp_path: Path) -> None:
    network = toy(head)
    network(images(1))
    with pytest.raises(PrunescopeError, match=said):
        open_program(save(network, form, tmp_path), PREPROCESS)


class Named(Toy):
    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:  # type: ignore[override]
        return {"logits": super().forward(x)}


def test_what_puts_out_names(tmp_path: Path) -> None:
    torch.export.save(torch.export.export(Named().eval(), (images(1),), strict=False), tmp_path / "a.pt2")
    with pytest.raises(PrunescopeError, match=r"a\.pt2: the network puts out a dict, expected its logits"):
        open_program(tmp_path / "a.pt2", PREPROCESS)


def test_what_was_saved_as_it_trains(tmp_path: Path) -> None:
    network = toy(nn.Dropout(0.5)).train()
    path, state = trace(network, tmp_path / "a.pt"), torch.random.get_rng_state()
    with pytest.raises(PrunescopeError, match=r"answers the same image in two ways.*network\.eval"):
        open_program(path, PREPROCESS)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert open_program(script(network, tmp_path / "b.pt"), PREPROCESS).outputs == 3  # which knows eval


@pytest.mark.parametrize("form", ["torch.export", "ONNX"])
@pytest.mark.parametrize("text", ["{", "[]", '{"preprocess": {"crop": 0}}', "{}"])
def test_a_damaged_word_on_preprocessing(form: str, text: str, tmp_path: Path) -> None:
    path = tmp_path / f"a{SUFFIXES[form]}"
    if form == "ONNX":
        onnx = pytest.importorskip("onnx")
        model = onnx.load(save(toy(), form, tmp_path))
        model.metadata_props[0].value = text
        onnx.save(model, path)
    else:
        exported = torch.export.export(toy(), (images(1),), strict=False)
        torch.export.save(exported, path, extra_files={METADATA_KEY: text})
    with pytest.raises(PrunescopeError, match="what it says of its preprocessing is damaged"):
        open_program(path)
    assert open_program(path, PREPROCESS).preprocess == PREPROCESS


@pytest.mark.parametrize("package", ["onnx", "onnxruntime"])
def test_onnx_without_the_extra(package: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = save(toy(), "ONNX", tmp_path)
    monkeypatch.setitem(sys.modules, package, None)
    assert program_format(path) == "ONNX"
    with pytest.raises(
        PrunescopeError, match=re.escape(f'{package} is not installed: pip install "prunescope[de')
    ):
        open_program(path)


def test_nothing_is_printed_or_drawn(tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    state = torch.random.get_rng_state()
    for form in FORMATS:
        path = save(toy(), form, tmp_path)
        open_program(path, PREPROCESS)
        path.write_bytes(path.read_bytes()[:500])
        with pytest.raises(PrunescopeError):
            open_program(path, PREPROCESS)
    assert capfd.readouterr() == ("", "")
    assert torch.equal(torch.random.get_rng_state(), state)


def test_types_as_they_are_stored(tmp_path: Path) -> None:
    state = toy().state_dict()  # 162 + 6, 216, 4 + 4 + 4 + 4 and a counter, 12 + 3
    state["a.weight"] = state["a.weight"].half()
    state["b.0.weight"] = state["b.0.weight"].bfloat16()
    save_file(state, tmp_path / "a.safetensors")
    torch.save({"state_dict": state}, tmp_path / "a.pt")
    for name in ("a.safetensors", "a.pt"):
        types = stored_types(tmp_path / name)
        assert types == pytest.approx({"bfloat16": 216 / 415, "float16": 162 / 415, "float32": 37 / 415})
        assert list(types) == ["bfloat16", "float16", "float32"]


def test_types_of_a_packed_file_are_those_of_its_weights(tmp_path: Path) -> None:
    network = ps.open_network("prunescope/sprig")
    ps.prune(network, "weight", rate=0.9).apply(network)
    ps.save_network(network, tmp_path / "a.safetensors", pack=True)
    assert stored_types(tmp_path / "a.safetensors") == {"float32": 1}


def test_masks_are_not_counted(tmp_path: Path) -> None:
    network = nn.Sequential(nn.Conv2d(3, 2, 1, bias=False)).half()
    torch_prune.random_unstructured(network[0], "weight", 0.5)
    state: dict[str, Any] = network.state_dict()
    state["0.weight_mask"] = state["0.weight_mask"].float()
    torch.save(state, tmp_path / "a.pt")
    assert stored_types(tmp_path / "a.pt") == {"float16": 1}


def test_a_real_pruned_network_in_onnx(real_data: Path, tmp_path: Path) -> None:
    file = real_data / "weights" / "squeezenet1_0_deep_compression_fp16.safetensors"
    network = ps.open_network("torchvision/squeezenet1_0", file, preprocess=ps.Preprocess(crop=227))
    export(network, tmp_path / "a.onnx")
    program = open_program(tmp_path / "a.onnx")
    assert set(stored_types(file)) == {"float16"}
    weights = program.weights()
    assert list(weights) == [name for name, tensor in network.state_dict().items() if tensor.ndim == 4]
    zeros = sum(int((weight == 0).sum()) for weight in weights.values())
    assert zeros / sum(weight.numel() for weight in weights.values()) == pytest.approx(0.666, abs=5e-4)
    with torch.no_grad():
        assert close(program(images(2, 227)), network(images(2, 227)))
    assert json.loads(json.dumps(program.preprocess.model_dump()))["crop"] == 227
