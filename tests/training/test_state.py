"""The file of a training state: it gives back what it was given, and refuses everything else."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given
from hypothesis import settings as testing
from hypothesis import strategies as st

import prunescope as ps
from prunescope.errors import PrunescopeError
from prunescope.training.state import Epoch, PartEpoch, TrainingState

SHARED = torch.randn(3, 2, generator=torch.Generator().manual_seed(0))


def state(**changed: Any) -> TrainingState:
    fields: dict[str, Any] = {
        "step": 7,
        "network": {
            "a.weight": SHARED,
            "b/c.weight": SHARED.T,  # shared, and not contiguous
            "norm.num_batches_tracked": torch.tensor(5),
            "half": torch.tensor([1.5, float("nan")], dtype=torch.bfloat16),
            "none": torch.empty(0, 3),
        },
        "optimizer": {
            "state": {
                0: {"momentum_buffer": SHARED},
                2: {"step": torch.tensor(3.0), "exp_avg": torch.ones(2, dtype=torch.float64)},
                5: {"momentum_buffer": None, "step": 4, "ratio": 0.1},
            },
            "param_groups": [{"lr": 0.1, "betas": [0.9, 0.999], "foreach": None, "params": [0, 2, 5]}],
        },
        "random": {"cpu": torch.get_rng_state()},
        "history": [Epoch(0, 1 / 3, 0.1, 2.5, 0.25, 0.5), Epoch(1, 0.1 + 0.2, 1e-17, 2.5, 0.25)],
        "part": PartEpoch(0.1, 8, 1.5, 0.5),
    }
    return TrainingState(**{**fields, **changed})


def same(one: Any, other: Any) -> bool:
    if isinstance(one, dict):
        return one.keys() == other.keys() and all(same(one[key], other[key]) for key in one)
    if isinstance(one, torch.Tensor):
        return (
            one.dtype == other.dtype
            and one.shape == other.shape
            and one.equal(other) | bool(one.isnan().any())
        )
    return type(one) is type(other) and one == other


@pytest.mark.parametrize(
    "more",
    [
        {},
        {"best": {"a.weight": SHARED + 1}},
        {"mask": ps.Mask({"a.weight": SHARED > 0, "b": torch.tensor(True)}, "weight", {"a": 0.3})},
        {"optimizer": {"state": {}, "param_groups": []}, "history": [], "part": PartEpoch()},
    ],
    ids=["plain", "best", "mask", "nothing done"],
)
def test_what_is_saved_comes_back(more: dict[str, Any], tmp_path: Path) -> None:
    written = state(**more)
    written.save(tmp_path / "state.safetensors")
    read = TrainingState.load(tmp_path / "state.safetensors")
    for field in ("step", "network", "optimizer", "random", "history", "part", "best"):
        assert same(getattr(written, field), getattr(read, field)), field
    assert (read.mask is None) == (written.mask is None)
    if written.mask and read.mask:
        assert same(vars(written.mask), vars(read.mask))
    assert list(tmp_path.iterdir()) == [tmp_path / "state.safetensors"]


def test_a_state_with_a_mask_is_another_state() -> None:
    mask, before = ps.Mask({"a": torch.tensor(True)}, "weight"), state()
    assert before.with_mask(mask).mask is mask
    assert before.mask is None


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    path = tmp_path_factory.mktemp("state") / "state.safetensors"
    state(random={"cpu": torch.arange(9).byte()}).save(path)
    return path.read_bytes()


def read_or_refused(path: Path) -> TrainingState | None:
    try:
        return TrainingState.load(path)
    except PrunescopeError:
        return None


@testing(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(place=st.floats(0, 1, exclude_max=True), flip=st.integers(1, 255), cut=st.booleans())
def test_no_damage_is_taken_for_a_state(
    whole: bytes, tmp_path: Path, place: float, flip: int, cut: bool
) -> None:
    at, path = int(place * len(whole)), tmp_path / "damaged.safetensors"
    damaged = bytearray(whole)
    damaged[at] ^= flip
    path.write_bytes(whole[:at] if cut else bytes(damaged))
    read = read_or_refused(path)
    if read:  # a blank for another, between the fields of the header
        assert same(read.network, state().network)
        assert same(read.optimizer, state().optimizer)
        assert read.step == 7


def test_files_that_are_no_training_states(tmp_path: Path) -> None:
    ps.save_network(ps.open_network("prunescope/sprig"), tmp_path / "network.safetensors")
    ps.Mask({"a": torch.ones(1, dtype=torch.bool)}, "weight").save(tmp_path / "mask.safetensors")
    (tmp_path / "text.safetensors").write_text("no state")
    (tmp_path / "empty.safetensors").write_text("")
    for name in ("network", "mask", "text", "empty", "absent"):
        with pytest.raises(PrunescopeError, match=rf"{name}\.safetensors: not a whole training state"):
            TrainingState.load(tmp_path / f"{name}.safetensors")
    with pytest.raises(PrunescopeError, match="No such file or directory while writing"):
        state().save(tmp_path / "absent" / "state.safetensors")
