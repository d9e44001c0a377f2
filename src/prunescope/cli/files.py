"""Files that commands read and write: the mask beside a network, and the place of what comes out."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from prunescope.errors import PrunescopeError, describe_os_error

if TYPE_CHECKING:
    from torch import nn

    from prunescope.pruning.masks import Mask

MASK_SUFFIX = ".mask.safetensors"


def find_mask(mask: Path | None, network: str, data: Path | None) -> Path | None:
    """Return the file of the mask that was given, or of the one beside a saved network, if there is one."""
    from prunescope.networks.network import is_file_name, resolve

    if mask is not None:
        path = resolve(mask, data)
        if not path.is_file():
            raise PrunescopeError(f"no mask file {str(path)!r}: check the path, or --data")
        return path
    beside = resolve(network, data).with_suffix(MASK_SUFFIX)
    return beside if is_file_name(network) and beside.is_file() else None


def load_mask(path: Path, network: nn.Module) -> Mask:
    """Read the mask of a network; one of another network is refused by its file's name."""
    from prunescope.pruning.masks import Mask

    mask = Mask.load(path)
    try:
        list(mask.pairs(network))
    except PrunescopeError as error:
        raise PrunescopeError(f"{path}: {error}; move it away, or name the right one with --mask") from error
    return mask


def check_out(out: Path, *inputs: Path) -> None:
    """Refuse to save a network as anything but .safetensors, or over what it is made from."""
    if out.suffix != ".safetensors":
        raise PrunescopeError(f"--out {out}: networks are saved as .safetensors")
    for path in inputs:
        try:
            same = out.samefile(path)
        except OSError:  # one of them is not there
            continue
        if same:
            raise PrunescopeError(f"--out {out} would overwrite what it is made from: choose another file")


def make_folder(out: Path) -> None:
    """Make the folder that `out` will lie in."""
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise describe_os_error(error, f"writing {out}") from error
