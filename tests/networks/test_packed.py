"""Packed files: the same tensors come back, the file is smaller, and a damaged one is refused."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import save_file

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.networks.checkpoints import METADATA_KEY, read_state, save_state, to_bytes
from prunescope.networks.packed import pack, unpack

State = dict[str, torch.Tensor]
FLOATS = (torch.float64, torch.float32, torch.float16, torch.bfloat16)
OTHERS = (torch.int64, torch.uint8, torch.bool, torch.complex64)
SHAPES = st.one_of(
    st.sampled_from([(), (0,), (3, 0, 2), (1,), (7,), (8,), (2048,)]),
    st.tuples(st.integers(1, 40), st.integers(1, 12), st.integers(1, 4), st.integers(1, 4)),
)


@st.composite
def states(draw: st.DrawFn) -> State:
    """A few tensors: floats with any share of zeros, some of them -0, and what is never packed."""
    state = {}
    for name in draw(st.lists(st.sampled_from(["a", "a.bits", "conv.weight", "ü", "a" * 90]), unique=True)):
        dtype, shape = draw(st.sampled_from(FLOATS + OTHERS)), draw(SHAPES)
        generator = torch.Generator().manual_seed(draw(st.integers(0, 99)))
        keep = torch.rand(shape, generator=generator) < draw(st.sampled_from([0, 0.03, 0.1, 0.5, 0.9, 1]))
        state[name] = ((torch.rand(shape, generator=generator) - 0.5) * 100 * keep).to(dtype)
    return state


def same(first: State, second: State) -> bool:
    return first.keys() == second.keys() and all(
        first[name].dtype == second[name].dtype and torch.equal(first[name], second[name]) for name in first
    )


@settings(deadline=None)
@given(states())
def test_what_was_packed_comes_back(state: State) -> None:
    before = {name: tensor.clone() for name, tensor in state.items()}
    tensors, shapes = pack(state)

    assert same(unpack(tensors, json.loads(json.dumps(shapes)), "a file"), state)
    assert same(state, before)
    for name, tensor in state.items():
        if name not in shapes:
            assert tensors[name] is tensor
        else:
            assert tensors[f"{name}.values"].dtype == tensor.dtype
            assert tensors[f"{name}.values"].numel() == int((tensor != 0).sum())


@settings(deadline=None)
@given(states())
def test_a_packed_file_is_never_larger(state: State) -> None:
    packed, plain = (len(to_bytes(state, {"a": 1}, pack=small)) for small in (True, False))

    assert packed < plain if pack(state)[1] else packed == plain


def test_bits_are_in_the_order_that_the_page_says() -> None:
    tensor = torch.zeros(64, 16)
    tensor[0, 0], tensor[0, 9], tensor[63, 15] = 2, -3, 0.5

    tensors, shapes = pack({"w": tensor})

    assert shapes == {"w": [64, 16]}
    assert tensors["w.bits"].tolist() == [0b1000_0000, 0b0100_0000, *[0] * 125, 0b0000_0001]
    assert tensors["w.values"].tolist() == [2, -3, 0.5]


def test_minus_zero_counts_as_zero_and_comes_back_as_zero() -> None:
    tensors, shapes = pack({"w": torch.full((1000,), -0.0)})

    assert tensors["w.values"].numel() == 0
    assert not torch.signbit(unpack(tensors, shapes, "a file")["w"]).any()


def test_what_becomes_no_smaller_is_left_alone() -> None:
    for tensor in (torch.ones(4000), torch.zeros(8), torch.zeros(0), torch.zeros(4000, dtype=torch.int64)):
        assert pack({"w": tensor}) == ({"w": tensor}, {})
    mostly = torch.zeros(8 * 1000)
    mostly[: 7 * 1000] = 1  # 1 zero of 8 saves 4 000 bytes of values and costs 1 000 bytes of bits
    assert pack({"w": mostly})[1] == {"w": [8000]}
    assert pack({"w": mostly.half()})[1] == {"w": [8000]}
    mostly[:7800] = 1
    assert pack({"w": mostly})[1] == {}


def test_a_tensor_whose_names_are_taken_is_left_alone() -> None:
    state = {"w": torch.zeros(4000), "w.bits": torch.zeros(4000), "w.bits.values": torch.ones(2)}

    assert pack(state)[1] == {}


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16])
def test_a_pruned_network_as_a_packed_file(dtype: torch.dtype, tmp_path: Path) -> None:
    network = ps.open_network("torchvision/googlenet", options={"aux_logits": False, "init_weights": False})
    ps.prune(network, "weight", rate=0.9, scope="global").apply(network)
    network.to(dtype)
    dense, small = tmp_path / "dense.safetensors", tmp_path / "small.safetensors"
    ps.save_network(network, dense)
    ps.save_network(network, small, pack=True)

    share = small.stat().st_size / dense.stat().st_size
    bytes_each = torch.finfo(dtype).bits / 8
    assert share < 1 / 6 if dtype == torch.float32 else share < 1 / 4
    assert share == pytest.approx(0.1 + 1 / 8 / bytes_each, abs=0.01)
    opened = ps.open_network(str(small))
    assert same(dict(opened.state_dict()), dict(network.float().state_dict()))
    assert opened.origin == network.origin
    again = ps.open_network("torchvision/googlenet", small)
    assert same(dict(again.state_dict()), dict(opened.state_dict()))


def test_a_packed_file_read_without_this_package(tmp_path: Path) -> None:
    """Slow, bit by bit, from the description in docs/compact.md."""
    state = {
        "w": torch.randn(20, 5, 3, 3, generator=torch.Generator().manual_seed(0)).relu(),
        "b": torch.ones(3),
    }
    save_state(state, {"record": {}}, tmp_path / "packed.safetensors", pack=True)

    with safe_open(tmp_path / "packed.safetensors", framework="np") as file:
        description = json.loads(file.metadata()[METADATA_KEY])
        assert sorted(file.keys()) == ["b", "w.bits", "w.values"]
        bits, values = file.get_tensor("w.bits").tolist(), iter(file.get_tensor("w.values").tolist())
    (shape,) = description["packed"].values()
    flat = [next(values) if bits[i // 8] >> (7 - i % 8) & 1 else 0.0 for i in range(math.prod(shape))]
    assert torch.equal(torch.tensor(flat).view(shape), state["w"])
    assert next(values, None) is None


def damaged(path: Path, shapes: Any = None, **tensors: torch.Tensor | None) -> Path:
    """Write a packed file of 20 x 20 weights, with some of its parts replaced or left out."""
    packed, found = pack({"w": torch.eye(20)})
    parts = {**packed, **{f"w.{name}": part for name, part in tensors.items()}}
    parts["other"] = torch.ones(2)
    description = {"packed": found if shapes is None else shapes}
    save_file(
        {name: part for name, part in parts.items() if part is not None},
        path,
        metadata={METADATA_KEY: json.dumps(description)},
    )
    return path


def flipped(number: int) -> torch.Tensor:
    bits = np.packbits(np.eye(20, dtype=bool))
    bits[number // 8] ^= 128 >> number % 8
    return torch.from_numpy(bits)


@pytest.mark.parametrize(
    ("parts", "expected"),
    [
        ({"values": torch.ones(19)}, r"20 bits set and 19 values"),
        ({"values": torch.ones(1, 20)}, r"20 values of torch\.float32"),
        ({"values": torch.ones(20).long()}, r"20 values of torch\.int64"),
        ({"bits": flipped(0)}, r"19 bits set and 20 values"),
        ({"bits": flipped(399)}, r"19 bits set and 20 values"),
        ({"bits": torch.zeros(49, dtype=torch.uint8)}, r"has 49 bytes of bits"),
        ({"bits": flipped(0).float()}, r"has 50 bytes of bits"),
        ({"bits": None}, r"'w' should be there as bits and values"),
        ({"values": None}, r"'w' should be there as bits and values"),
        ({"shapes": {"v": [2]}}, r"'v' should be there as bits and values"),
        ({"shapes": {"w": [20, 21]}}, r"of shape \[20, 21\] has 50 bytes of bits"),
        ({"shapes": {"w": [10**9, 10**9]}}, r"has 50 bytes of bits"),
        ({"shapes": {"w": [397]}}, r"of shape \[397\] has 20 bits set"),
        ({"shapes": {"w": [-20, -20]}}, r"has the shape \[-20, -20\]"),
        ({"shapes": {"w": "20x20"}}, r"has the shape '20x20'"),
        ({"shapes": ["w"]}, r"its list of packed tensors is none"),
    ],
)
def test_a_damaged_file(parts: dict[str, Any], expected: str, tmp_path: Path) -> None:
    read_state(damaged(tmp_path / "whole.safetensors"))

    with pytest.raises(PrunescopeError, match=rf"part\.safetensors: a damaged packed file: .*{expected}"):
        read_state(damaged(tmp_path / "part.safetensors", **parts))


def test_a_description_that_is_no_mapping(tmp_path: Path) -> None:
    save_file({"w": torch.ones(2)}, tmp_path / "a.safetensors", metadata={METADATA_KEY: "[1]"})

    with pytest.raises(PrunescopeError, match=r"its description is damaged: expected fields, got \[1\]"):
        read_state(tmp_path / "a.safetensors")
