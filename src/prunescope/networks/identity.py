"""What tells one network from another, wherever its files lie: digests of its weights and of its source."""

from __future__ import annotations

import hashlib
import inspect
import sys
from pathlib import Path

from torch import nn


def weights_digest(network: nn.Module) -> str:
    """Return a hexadecimal hash of the names and values of all weights and buffers that a network would save."""
    digest = hashlib.blake2b(digest_size=16)
    for name, tensor in network.state_dict().items():
        digest.update(name.encode() + tensor.detach().cpu().contiguous().numpy().tobytes())
    return digest.hexdigest()


def source_digest(name: str) -> str:
    """Return a hexadecimal hash of the file in which a network `package.module:function` is written."""
    source = inspect.getsourcefile(sys.modules[name.partition(":")[0]])
    return hashlib.blake2b(Path(source).read_bytes() if source else b"", digest_size=16).hexdigest()
