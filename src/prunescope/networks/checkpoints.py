"""Weights on disk: reading state dicts that others made, without running their code, and saving our own."""

from __future__ import annotations

import contextlib
import json
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import nn

from prunescope.errors import PrunescopeError, describe_os_error
from prunescope.networks import packed

State = dict[str, torch.Tensor]
METADATA_KEY = "prunescope"
_WRAPPERS = ("state_dict", "model_state_dict", "model", "net")
_MASKED = "_orig"


def read_state(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a state dict and the metadata beside it (empty unless prunescope saved the file).

    What `read_stored` returns, with half precision as float32.

    Raises:
        PrunescopeError: the file is missing, damaged, of another kind, would run code, or holds NaN.
    """
    state, metadata = read_stored(path)
    for name, tensor in state.items():
        if tensor.is_floating_point():
            state[name] = tensor.float()
            if not torch.isfinite(state[name]).all():
                raise PrunescopeError(
                    f"{path}: {name!r} holds NaN or infinite values: the weights are unusable"
                )
    return state, metadata


def read_stored(path: Path) -> tuple[State, dict[str, Any]]:
    """Read a state dict, each tensor in the type that it is stored in, and the metadata beside it.

    Masks that `torch.nn.utils.prune` left attached (`weight_orig`, `weight_mask`) are multiplied in, wrappers
    such as `{"state_dict": …}` and the prefix `module.` are taken off, packed tensors are unpacked.

    Raises:
        PrunescopeError: the file is missing, damaged, of another kind, or would run code.
    """
    if not path.is_file():
        raise PrunescopeError(f"no weights file {str(path)!r}: check the path, or --data")
    state, metadata = _read_safetensors(path) if path.suffix == ".safetensors" else _read_pickle(path)
    return {name.removeprefix("module."): tensor for name, tensor in bake_masks(state).items()}, metadata


def _read_safetensors(path: Path) -> tuple[State, dict[str, Any]]:
    try:
        with safe_open(path, framework="pt") as file:
            metadata = json.loads((file.metadata() or {}).get(METADATA_KEY, "{}"))
            state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
    except (SafetensorError, json.JSONDecodeError) as error:
        raise PrunescopeError(f"{path}: not a whole safetensors file ({error}): fetch it again") from error
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    if not isinstance(metadata, dict):
        raise PrunescopeError(f"{path}: its description is damaged: expected fields, got {metadata!r}")
    return packed.unpack(state, metadata.pop(packed.KEY, {}), str(path)), metadata


def _read_pickle(path: Path) -> tuple[State, dict[str, Any]]:
    try:
        with warnings.catch_warnings(action="ignore"):  # torch's, about pickles that it then refuses
            content = torch.load(path, map_location="cpu", weights_only=True)
    except PermissionError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except (pickle.UnpicklingError, RuntimeError, EOFError, ValueError, KeyError, OSError) as error:
        if "GLOBAL" in str(error):  # torch's word for a function or class that the file asks for
            raise PrunescopeError(
                f"{path}: refused, because reading it would run code that it carries. Only tensors are read: "
                "where you trust it, load it yourself and save `network.state_dict()` as .safetensors"
            ) from error
        raise PrunescopeError(
            f"{path}: not a whole checkpoint of torch ({type(error).__name__} while reading): fetch it again"
        ) from error
    for key in _WRAPPERS:
        if isinstance(content, Mapping) and isinstance(content.get(key), Mapping):
            content = content[key]
    if not isinstance(content, Mapping) or not all(isinstance(v, torch.Tensor) for v in content.values()):
        raise PrunescopeError(f"{path}: holds no state dict (names to tensors): save `network.state_dict()`")
    return {str(name): tensor for name, tensor in content.items()}, {}


def bake_masks(state: Mapping[str, torch.Tensor]) -> State:
    """Multiply the masks of `torch.nn.utils.prune` into the weights that they belong to."""
    baked = {}
    for name, tensor in state.items():
        if name.endswith(_MASKED) and (mask := name.removesuffix(_MASKED) + "_mask") in state:
            baked[name.removesuffix(_MASKED)] = tensor * state[mask].to(tensor.dtype)
        elif not (name.endswith("_mask") and name.removesuffix("_mask") + _MASKED in state):
            baked[name] = tensor
    return baked


def load_state(network: nn.Module, state: State, source: str) -> None:
    """Copy `state` into `network`; every tensor must be there, of the right shape.

    Raises:
        PrunescopeError: the weights are those of another architecture or of another number of classes.
    """
    own = network.state_dict()
    missing = [name for name in own if name not in state and not name.endswith("num_batches_tracked")]
    foreign = [name for name in state if name not in own]
    other = [name for name in own if name in state and own[name].shape != state[name].shape]
    if not missing and not foreign and not other:
        network.load_state_dict(state, strict=False)
        return
    if not missing and not foreign and (classes := classes_of(own, state)):
        raise PrunescopeError(
            f"{source} has {classes[1]} classes, the network {classes[0]}: give classes={classes[1]}"
        )
    problems = [
        f"{len(names)} {what} (first: {names[0]!r})"
        for names, what in (
            (missing, "tensors missing"),
            (foreign, "tensors not in this network"),
            (other, "tensors of another shape"),
        )
        if names
    ]
    raise PrunescopeError(
        f"{source} belongs to another architecture than this network: {', '.join(problems)}"
    )


def classes_of(own: Mapping[str, torch.Tensor], state: Mapping[str, torch.Tensor]) -> tuple[int, int] | None:
    """Return (outputs of `own`, outputs of `state`) if that is all in which their shapes differ."""
    differing = {
        (
            tuple(own[name].shape[:1]),
            tuple(state[name].shape[:1]),
            own[name].shape[1:] == state[name].shape[1:],
        )
        for name in own
        if name in state and own[name].shape != state[name].shape
    }
    if len(differing) != 1:
        return None
    ((mine, theirs, same_rest),) = differing
    return (mine[0], theirs[0]) if same_rest and mine and theirs else None


def save_state(
    state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any], path: Path, pack: bool = False
) -> None:
    """Write tensors as safetensors, with `metadata` as JSON in its header; `pack` leaves out what is 0."""
    write_whole(to_bytes(state, metadata, pack), path)


def to_bytes(state: Mapping[str, torch.Tensor], metadata: Mapping[str, Any], pack: bool = False) -> bytes:
    """Return what `save_state` writes."""
    if pack:
        state, shapes = packed.pack(state)
        metadata = {**metadata, packed.KEY: shapes} if shapes else metadata
    tensors = {name: tensor.detach().cpu().contiguous().clone() for name, tensor in state.items()}
    return save(tensors, {METADATA_KEY: json.dumps(metadata, sort_keys=True)} if metadata else None)


def write_whole(content: bytes, path: Path) -> None:
    """Write a file whole or not at all: one that is there already is replaced, or stays as it is."""
    draft = path.with_name(f".{path.name}.part")
    try:
        draft.write_bytes(content)
        draft.replace(path)
    except OSError as error:
        raise describe_os_error(error, f"writing {path}") from error
    finally:  # also where somebody interrupts
        with contextlib.suppress(OSError):
            draft.unlink()
