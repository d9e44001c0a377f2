"""What a set of images is, as a hash: contents, names, labels and classes, but not where it lies."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from prunescope.errors import describe_os_error
from prunescope.images.kept import cache_folder

Entry = list[int | str]  # size in bytes, modification time in ns, digest


def digest_of(content: bytes) -> str:
    """Return the digest of one image."""
    return hashlib.blake2b(content, digest_size=16).hexdigest()


def fingerprint(
    classes: Sequence[str], labels: Iterable[int], names: Iterable[str], digests: Iterable[str]
) -> str:
    """Return the hash of a labelled set, from the digest of each of its images."""
    whole = hashlib.blake2b(repr(tuple(classes)).encode(), digest_size=16)
    for label, name, digest in zip(labels, names, digests, strict=True):
        whole.update(f"{label}\0{name!r}\0{digest}\n".encode())
    return whole.hexdigest()


def file_digests(root: Path, names: Sequence[str]) -> list[str]:
    """Return the digest of each of the files `names` below `root`.

    A file is read only where its size or its modification time are not those of the last time.

    Raises:
        PrunescopeError: a file cannot be read, or the cache folder not written.
    """
    place = cache_folder() / "digests" / f"{digest_of(os.fsencode(root.resolve()))}.json"
    known = _load(place)
    try:
        fresh = {name: _stamp(root / name) for name in names}
        changed = [name for name in names if known.get(name, [])[:2] != fresh[name]]
        with ThreadPoolExecutor() as pool:
            found = list(pool.map(lambda name: digest_of((root / name).read_bytes()), changed))
    except OSError as error:
        raise describe_os_error(error, f"reading {error.filename or root}") from error
    if changed:
        known |= {name: [*fresh[name], digest] for name, digest in zip(changed, found, strict=True)}
        _save(place, known)
    return [str(known[name][2]) for name in names]


def _stamp(path: Path) -> Entry:
    stat = path.stat()
    return [stat.st_size, stat.st_mtime_ns]


def _load(place: Path) -> dict[str, Entry]:
    try:
        known: dict[str, Entry] = json.loads(place.read_text())
    except (OSError, ValueError):  # not there, or damaged: then every file is read again
        return {}
    return known


def _save(place: Path, known: dict[str, Entry]) -> None:
    part = place.with_suffix(f".{os.getpid()}")  # whoever comes last wins, and nobody reads half a file
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        part.write_text(json.dumps(known))
        part.replace(place)
    except OSError as error:
        part.unlink(missing_ok=True)
        raise describe_os_error(error, f"writing {place}") from error
