"""What a network's outputs are called: ImageNet's thousand classes, and files that name classes."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path
from typing import Any

from prunescope.errors import PrunescopeError, describe_os_error, did_you_mean, some
from prunescope.networks.network import resolve

IMAGENET = "imagenet"
LARGEST = 16 * 2**20  # bytes; ImageNet-21k's names with all synonyms are 1 MB
_WNID = re.compile(r"n\d{8}(?![^\s,:])")  # at the start of a name, alone or before words: WordNet's number


@cache
def imagenet_wnids() -> tuple[str, ...]:
    """Return the WordNet numbers of ImageNet's 1000 classes, in the order of networks' outputs: sorted."""
    return tuple((Path(__file__).parent / "imagenet_wnids.txt").read_text("ascii").split())


@cache
def imagenet_names() -> tuple[str, ...]:
    """Return the names of ImageNet's 1000 classes as torchvision has them, all different, in the same order."""
    from prunescope.networks.operators import torchvision  # slow to import

    return tuple(torchvision.models.ResNet18_Weights.IMAGENET1K_V1.meta["categories"])


@cache
def _imagenet_keys() -> tuple[dict[str, str], dict[str, str]]:
    """Return the WordNet number of each class of ImageNet by its name, and by all that means no other class."""
    pairs = list(zip(imagenet_names(), imagenet_wnids(), strict=True))
    count = Counter(_plain(name) for name in imagenet_names())  # Cardigan is a dog, cardigan a garment
    loose = {_plain(name): wnid for name, wnid in pairs if count[_plain(name)] == 1}
    return dict(pairs), loose | {wnid: wnid for wnid in imagenet_wnids()}


def _plain(name: str) -> str:
    return re.sub(r"[\s_]+", " ", name).strip().casefold()


def class_key(name: str) -> str:
    """Return what names of one class have in common.

    That is the WordNet number of a class of ImageNet, however it is written; else the name in small letters, with
    one space for spaces and underscores.
    """
    exact, loose = _imagenet_keys()
    plain = _plain(name)
    return exact.get(name) or loose.get(plain, plain)


def keys_of(*lists: Sequence[str]) -> list[list[str]]:
    """Return the keys of the names of several lists: `class_key`, or the names where that makes two of a list one."""
    keys = [[class_key(name) for name in names] for names in lists]
    if all(len(set(own)) == len(own) for own in keys):
        return keys
    return [list(names) for names in lists]


def are_imagenet(names: Iterable[str]) -> bool:
    """Say whether all names, at least one, are of classes of ImageNet."""
    names, known = list(names), set(imagenet_wnids())
    return bool(names) and all(class_key(name) in known for name in names)


def in_words(names: tuple[str, ...]) -> tuple[str, ...]:
    """Return names for people: those of ImageNet's classes, where all are WordNet numbers of it."""
    if not set(names) <= set(imagenet_wnids()):
        return names
    words = dict(zip(imagenet_wnids(), imagenet_names(), strict=True))
    return tuple(words[name] for name in names)


def read_class_names(text: str | Path, data: Path | None = None) -> tuple[str, ...]:
    """Return the names of a network's outputs, in their order.

    A name that starts with a WordNet number of ImageNet, alone or before words, is given as `imagenet_names` has it.

    Args:
        text: `imagenet`, or a file: one name a line; or JSON: a list of names, `{"0": name}`,
            `{"0": [WordNet number, name]}` or `{name: 0}`.
        data: the folder that a relative path starts from.

    Raises:
        PrunescopeError: there is no such file, it cannot be read, or it is of another kind; a name is empty, not
            printable or there twice; an output has no name; there are fewer than two.
    """
    if str(text) == IMAGENET:
        return imagenet_names()
    path = resolve(text, data)
    content = _content(path, str(text))
    try:
        found = _of_json(content) if content.lstrip().startswith(("[", "{")) else _of_lines(content)
        return _checked([_named(name) for name in found])
    except (ValueError, RecursionError) as error:
        what = "brackets too deep" if isinstance(error, RecursionError) else error
        raise PrunescopeError(
            f"{path} does not name classes: {what}. Expected one name a line, or JSON: a list of names, "
            '{"0": name} or {"0": [WordNet number, name]}'
        ) from error


def _content(path: Path, given: str) -> str:
    try:
        if not path.is_file():
            raise PrunescopeError(
                f"no file of class names {str(path)!r}{did_you_mean(given, [IMAGENET])}: give a file with one name a "
                f"line, or {IMAGENET!r}"
            )
        if path.stat().st_size > LARGEST:
            raise PrunescopeError(f"{path} is larger than {LARGEST // 2**20} MiB: it does not name classes")
        return path.read_text("utf-8-sig")
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        raise PrunescopeError(
            f"{path} is no text in UTF-8: expected one class name a line, or JSON"
        ) from error


def _of_lines(content: str) -> list[Any]:
    # A blank line between others would shift what follows it: it stays, as an empty name.
    return list(content.rstrip().split("\n"))


def _of_json(content: str) -> list[Any]:
    found = json.loads(content, object_pairs_hook=_once)
    if isinstance(found, list):
        return found
    if found and all(type(value) is int for value in found.values()):
        found = {str(index): name for index, name in _once([(i, name) for name, i in found.items()]).items()}
    wrong = [key for key in found if not re.fullmatch(r"0|[1-9][0-9]{0,6}", key)]
    if wrong:
        raise ValueError(f"{repr(wrong[0])[:80]} is no number of an output")
    missing = [str(i) for i in range(len(found)) if str(i) not in found]
    if missing:
        raise ValueError(f"it names {len(found)} outputs, and not output {some(missing)}; the first is 0")
    return [found[str(i)] for i in range(len(found))]


def _once(pairs: list[tuple[Any, Any]]) -> dict[Any, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        twice = next(key for key, count in Counter(key for key, _ in pairs).items() if count > 1)
        raise ValueError(f"{repr(twice)[:80]} is there twice")
    return found


def _named(name: Any) -> str:
    """Return one name, of a text or of a pair of a WordNet number and a text."""
    parts = name if isinstance(name, list) and len(name) == 2 else [name]
    if not all(isinstance(part, str) for part in parts):
        raise ValueError(f"{json.dumps(name)[:80]} is no name")
    text = " ".join(parts).strip()
    number = _WNID.match(text)
    if number is None:
        return text
    known = dict(zip(imagenet_wnids(), imagenet_names(), strict=True))
    return known.get(number[0], number[0])


def _checked(names: list[str]) -> tuple[str, ...]:
    if len(names) < 2:
        raise ValueError(f"it has {len(names)} of them, and a network tells at least two apart")
    place: dict[str, int] = {}
    for number, name in enumerate(names, start=1):
        if not name or not name.isprintable():
            raise ValueError(f"number {number} of {len(names)} is {repr(name)[:80] if name else 'empty'}")
        if name in place:
            raise ValueError(f"{repr(name)[:80]} is there twice, as number {place[name]} and {number}")
        place[name] = number
    return tuple(names)
