"""What ONNX files hold, whoever wrote them: weights in any order and type, beside the file or in it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

import prunescope as ps
from networks.saved_programs import PREPROCESS, images, save, toy
from prunescope.errors import PrunescopeError
from prunescope.networks.export import export
from prunescope.networks.layers import find_layers
from prunescope.networks.onnx_files import looks_like_onnx
from prunescope.networks.programs import open_program, program_format, stored_types

RNG = np.random.default_rng(0)
CONV = RNG.normal(size=(4, 3, 8, 8)).astype(np.float32)
LINEAR = RNG.normal(size=(5, 4)).astype(np.float32)  # (out, in)
STEPS = RNG.integers(-100, 100, size=(5, 4)).astype(np.int8)
SCALES = np.linspace(0.01, 0.05, 5, dtype=np.float32)
ZEROS = np.arange(5, dtype=np.int8)


def write(path: Path, nodes: list[Any], values: dict[str, np.ndarray], **changes: Any) -> Path:
    """Write a network: a convolution over the whole image, then what `nodes` make of its 4 channels."""
    first = [
        helper.make_node("Conv", ["images", "conv"], ["pixels"]),
        helper.make_node("Flatten", ["pixels"], ["features"]),
    ]
    shape = changes.get("shape", ["n", 3, 8, 8])
    graph = helper.make_graph(
        [*first, *nodes],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(value, name) for name, value in {"conv": CONV, **values}.items()],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)
    onnx.save(model, path)
    return path


def of(operator: str, *names: str, out: str = "logits", **attributes: Any) -> Any:
    return helper.make_node(operator, list(names), [out], **attributes)


def as_function(program: nn.Module, features: int = 4) -> torch.Tensor:
    """Return what a linear program multiplies its features by, (out, in), from its answers alone."""
    flat = np.linalg.pinv(CONV.reshape(features, -1)).T.reshape(
        features, 3, 8, 8
    )  # whose features are 1, 0, …
    return program(torch.from_numpy(flat.astype(np.float32))).T


@pytest.mark.parametrize(
    ("nodes", "values", "expected"),
    [
        ([of("Gemm", "features", "w", transB=1)], {"w": LINEAR}, LINEAR),
        ([of("Gemm", "features", "w")], {"w": LINEAR.T.copy()}, LINEAR),
        ([of("MatMul", "features", "w")], {"w": LINEAR.T.copy()}, LINEAR),
        ([of("Identity", "w", out="same"), of("Gemm", "features", "same", transB=1)], {"w": LINEAR}, LINEAR),
        ([of("Transpose", "w", out="t"), of("MatMul", "features", "t")], {"w": LINEAR}, LINEAR),
        (
            [of("Transpose", "w", out="t", perm=[0, 1]), of("Gemm", "features", "t", transB=1)],
            {"w": LINEAR},
            LINEAR,
        ),
        (
            [of("Cast", "w", out="f", to=TensorProto.FLOAT), of("MatMul", "features", "f")],
            {"w": LINEAR.T.astype(np.float16)},
            LINEAR.astype(np.float16).astype(np.float32),
        ),
        (
            [
                of("DequantizeLinear", "w", "scale", "zero", out="f", axis=0),
                of("Gemm", "features", "f", transB=1),
            ],
            {"w": STEPS, "scale": SCALES, "zero": ZEROS},
            (STEPS.astype(np.float32) - ZEROS[:, None]) * SCALES[:, None],
        ),
        (
            [of("DequantizeLinear", "w", "scale", out="f"), of("MatMul", "features", "f")],
            {"w": STEPS.T.copy(), "scale": np.float32(0.02)},
            STEPS * np.float32(0.02),
        ),
        (
            [
                helper.make_node("Constant", [], ["w"], value=numpy_helper.from_array(LINEAR)),
                of("Gemm", "features", "w", transB=1),
            ],
            {},
            LINEAR,
        ),
    ],
)
def test_linear_layers_are_out_by_in(
    nodes: list[Any], values: dict[str, np.ndarray], expected: np.ndarray, tmp_path: Path
) -> None:
    program = open_program(write(tmp_path / "a.onnx", nodes, values), PREPROCESS)
    weights = program.weights()
    assert list(weights) == ["conv", "w"]
    np.testing.assert_array_equal(weights["conv"], CONV)
    np.testing.assert_allclose(weights["w"], expected, rtol=1e-6)
    np.testing.assert_allclose(weights["w"], as_function(program), rtol=1e-3, atol=1e-3)  # as it computes


def test_integers_less_their_zero_point(tmp_path: Path) -> None:
    nodes = [
        helper.make_node("DynamicQuantizeLinear", ["features"], ["q", "s", "z"]),
        of("MatMulInteger", "q", "w", "z", "zero", out="sums"),
        of("Cast", "sums", out="f", to=TensorProto.FLOAT),
        of("Mul", "f", "s"),
    ]
    path = write(tmp_path / "a.onnx", nodes, {"w": STEPS.T.copy(), "zero": ZEROS})
    program = open_program(path, PREPROCESS)
    assert (program.least, program.most) == (1, 1)  # the scale of a batch is that of its largest feature
    np.testing.assert_array_equal(program.weights()["w"], STEPS.astype(np.float32) - ZEROS[:, None])
    assert stored_types(path) == {"float32": 768 / 793, "int8": 25 / 793}


def test_what_is_no_weight_is_left_out(tmp_path: Path) -> None:
    nodes = [of("Gemm", "features", "w", transB=1, out="f"), of("Mul", "f", "scale")]
    path = write(tmp_path / "a.onnx", nodes, {"w": LINEAR, "scale": np.ones((5, 5), np.float32)[:1]})
    assert list(open_program(path, PREPROCESS).weights()) == ["conv", "w"]


@pytest.mark.parametrize("name", ["resnet18", "googlenet", "densenet121", "vgg11_bn"])
def test_layers_that_the_exporter_renamed_have_their_names_again(name: str, tmp_path: Path) -> None:
    network = ps.open_network(f"torchvision/{name}", classes=10, preprocess=ps.Preprocess(crop=64))
    ps.prune(network, "weight", rate=0.5).apply(network)
    if name == "vgg11_bn":
        network.classifier = nn.Sequential(nn.Flatten(1), nn.Linear(512 * 49, 10))
    export(network, tmp_path / "a.onnx", torch.zeros(2, 3, 64, 64))
    own = {f"{name}.weight": layer.module.weight for name, layer in find_layers(network).items()}
    found = open_program(tmp_path / "a.onnx").weights()
    assert sorted(found) == sorted(own)
    assert all(torch.equal(found[key] == 0, own[key] == 0) for key in own)  # each under its own name


def test_weights_beside_the_file(tmp_path: Path) -> None:
    path = save(toy(), "ONNX", tmp_path)
    beside = tmp_path / "beside" / "a.onnx"
    beside.parent.mkdir()
    onnx.save(onnx.load(path), beside, save_as_external_data=True, location="w.data", size_threshold=0)
    assert program_format(beside) == "ONNX"
    program = open_program(beside)
    assert torch.equal(program(images(2)), open_program(path)(images(2)))
    assert list(program.weights()) == list(open_program(path).weights())
    (tmp_path / "beside" / "w.data").write_bytes(b"short")
    with pytest.raises(PrunescopeError, match="not a whole ONNX file"):
        open_program(beside)
    (tmp_path / "beside" / "w.data").unlink()
    with pytest.raises(PrunescopeError, match=r"its weights are in 'w\.data', which is missing: put it into"):
        open_program(beside)


@pytest.mark.parametrize("location", ["../w.data", "/etc/passwd", "a/../../w.data", ""])
def test_weights_in_other_places(location: str, tmp_path: Path) -> None:
    (tmp_path / "w.data").write_bytes(bytes(10_000))
    (tmp_path / "own").mkdir()
    path = tmp_path / "own" / "a.onnx"
    onnx.save(
        onnx.load(save(toy(), "ONNX", tmp_path)),
        path,
        save_as_external_data=True,
        location="w",
        size_threshold=0,
    )
    model = onnx.load(path, load_external_data=False)
    for tensor in model.graph.initializer:
        tensor.external_data[0].value = location
    path.write_bytes(model.SerializeToString())
    with pytest.raises(PrunescopeError, match=r"refused, because it reads .*not in its own folder"):
        open_program(path)


def test_an_operator_that_nobody_knows(tmp_path: Path) -> None:
    path = write(tmp_path / "a.onnx", [of("Mystery", "features", domain="elsewhere")], {})
    with pytest.raises(PrunescopeError, match=r"ONNX Runtime [\d.]+ cannot load it: .*"):
        open_program(path, PREPROCESS)


@pytest.mark.parametrize(
    ("shape", "said"),
    [
        (["n", 3, 9, 8], "takes images of 9 x 8 pixels, .* crops to 8.*only square images"),
        (["n", 3, 9, 9], r"takes images of 9 x 9 pixels, .*--preprocess '\{crop: 9\}'"),
        (["n", 3, 9, "w"], r"takes images of 9 x any pixels"),
        (["n", 1, 8, 8], "takes images of 1 channels"),
        (["n", 3, 64], "takes any x 3 x 64, expected images x 3 x height x width"),
    ],
)
def test_sizes_that_it_states(shape: list[Any], said: str, tmp_path: Path) -> None:
    linear = helper.make_node("Gemm", ["flat", "w"], ["logits"], transB=1)
    flat = helper.make_node("Flatten", ["images"], ["flat"])
    width = int(np.prod([size if isinstance(size, int) else 9 for size in shape[1:]]))
    graph = helper.make_graph(
        [flat, linear],
        "g",
        [helper.make_tensor_value_info("images", TensorProto.FLOAT, shape)],
        [helper.make_tensor_value_info("logits", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(np.ones((2, width), np.float32), "w")],
    )
    onnx.save(
        helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9),
        tmp_path / "a.onnx",
    )
    with pytest.raises(PrunescopeError, match=said):
        open_program(tmp_path / "a.onnx", PREPROCESS)


def test_any_size_is_taken_as_the_preprocessing_says(tmp_path: Path) -> None:
    nodes = [of("Gemm", "features", "w", transB=1)]
    path = write(tmp_path / "a.onnx", nodes, {"w": LINEAR}, shape=["n", "c", "h", "w"])
    assert open_program(path, PREPROCESS).outputs == 5
    with pytest.raises(PrunescopeError, match=r"does not run on images of 3 x 12 x 12, .*crop: 299"):
        open_program(path, {"crop": 12})


def test_what_looks_like_onnx(tmp_path: Path) -> None:
    content = save(toy(), "ONNX", tmp_path).read_bytes()
    path = tmp_path / "a"
    for cut, expected in (
        (len(content), True),
        (len(content) - 1, False),
        (len(content) // 2, False),
        (0, False),
    ):
        path.write_bytes(content[:cut])
        assert looks_like_onnx(path) == expected
    for other in (
        b"<html>",
        bytes(100),
        b"\xff" * 100,
        b"\x08\x08",
        b"\x3a\xff\xff\xff\xff\xff\xff\xff\xff\x7f",
    ):
        path.write_bytes(other)
        assert not looks_like_onnx(path)
