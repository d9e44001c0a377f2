"""Study files: YAML read with its line numbers, so that an error names file, line, field and likely fix."""

from __future__ import annotations

import copy
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from itertools import groupby
from pathlib import Path
from types import NoneType, UnionType
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin

import yaml
from pydantic import BaseModel, TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from prunescope.errors import NoRoomError, PrunescopeError, describe_os_error, did_you_mean

KeyPath = tuple[Any, ...]  # keys of mappings and indices of lists, from the top
M = TypeVar("M", bound=BaseModel)


@dataclass(frozen=True)
class Document:
    """What a YAML file says, and on which line it says it.

    Attributes:
        path: the file.
        data: plain mappings, lists, text, numbers, booleans and None.
        lines: the line of each key and each item of a list, counted from 1.
        overridden: what was set on the command line, and how it was written there.
    """

    path: Path
    data: dict[Any, Any]
    lines: Mapping[KeyPath, int]
    overridden: Mapping[KeyPath, str] = field(default_factory=dict)

    def line(self, path: KeyPath) -> int:
        """Return the line of `path`, or of the nearest of its ancestors that is in the file."""
        return next(self.lines[above] for above in _upwards(path) if above in self.lines)

    def where(self, path: KeyPath) -> str:
        """Return where `path` was given: `study.yaml:12`, or `--set retrain.epochs`."""
        for above in _upwards(path):
            if above in self.overridden:
                return f"--set {self.overridden[above]}"
            if above in self.lines:
                break
        return f"{self.path}:{self.line(path)}"


def _upwards(path: KeyPath) -> Iterable[KeyPath]:
    return (path[:length] for length in range(len(path), -1, -1))


def _dotted(path: KeyPath) -> str:
    """Write a path as `--set` takes it, with quotes around keys that have dots of their own."""
    return ".".join(f'"{part}"' if "." in str(part) else str(part) for part in path)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


class FieldError(PrunescopeError):
    """What a field asks for is well-formed, but is not there or does not fit."""

    def __init__(self, field: KeyPath, said: str) -> None:
        self.field = field
        super().__init__(said)


@contextmanager
def about(*field: Any) -> Iterator[None]:
    """Note of an error inside which field of the study it is about."""
    try:
        yield
    except NoRoomError:
        raise
    except PrunescopeError as error:
        raise FieldError(field, str(error)) from error


@contextmanager
def located(document: Document | None) -> Iterator[None]:
    """Say of an error about a field where the document gives that field."""
    try:
        yield
    except FieldError as error:
        if document is None:
            raise
        place = document.where(error.field)
        raise PrunescopeError(f"{place}: {_dotted(error.field)}: {error}") from error


# Reading

_TAG = "tag:yaml.org,2002:"
_MERGE = f"{_TAG}merge"


class _Loader(yaml.SafeLoader):
    """PyYAML with the plain scalars of YAML 1.2: `1e-4` is a number; `no`, `1:30` and dates are text."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 (PyYAML's own way to change them)


for _name, _pattern in {
    "null": r"(~|null|Null|NULL|)\Z",
    "bool": r"(true|True|TRUE|false|False|FALSE)\Z",
    "int": r"([-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z",
    "float": r"([-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN))\Z",
    "merge": r"<<\Z",
}.items():
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(_pattern), None)

_SCALARS: dict[str, Callable[[str], Any]] = {
    f"{_TAG}str": str,
    _MERGE: str,  # where it is no key
    f"{_TAG}null": lambda _: None,
    f"{_TAG}bool": lambda text: text.lower() == "true",
    f"{_TAG}int": lambda text: int(text, {"0o": 8, "0x": 16}.get(text[:2], 10)),
    f"{_TAG}float": lambda text: float(re.sub(r"\.(?=inf|nan)", "", text.lower())),
}

_HINTS = {
    r"'\t'": "indent with spaces, not with tabs",
    "mapping values are not allowed": "put text that holds ': ' in quotes, and look at the indentation",
    "another document": "keep one study in a file, without '---' inside",
    "undefined alias": "define it above with &, or put text that starts with * in quotes",
}


def read_document(path: Path) -> Document:
    """Read a YAML file whose top level is a mapping.

    Raises:
        PrunescopeError: it cannot be read, is not YAML, or says something twice; with file and line.
    """
    try:
        text = path.read_bytes().decode("utf-8-sig")
    except FileNotFoundError:
        near = did_you_mean(path.name, (file.name for file in path.parent.glob("*.y*ml")))
        raise PrunescopeError(f"no file {path}{near}") from None
    except OSError as error:
        raise describe_os_error(error, f"reading {path}") from error
    except UnicodeDecodeError as error:
        line = error.object.count(b"\n", 0, error.start) + 1
        raise PrunescopeError(f"{path}:{line}: not UTF-8 text: save the file as UTF-8") from None
    reader = _Reader(lambda line: f"{path}:{line}")
    data = reader.read(text)
    if not isinstance(data, dict):
        given = "the file is empty" if data is None else f"got {_shown(data)}"
        raise PrunescopeError(
            f"{path}:{reader.lines.get((), 1)}: expected a mapping (key: value), but {given}"
        )
    return Document(path, data, reader.lines)


class _Reader:
    """Turns YAML text into plain data and notes the line of all that it meets."""

    def __init__(self, where: Callable[[int], str]) -> None:
        self.lines: dict[KeyPath, int] = {}
        self._where = where
        self._open: set[int] = set()  # the nodes being read, to see one that holds itself

    def read(self, text: str) -> Any:
        """Return what `text` says; None if it says nothing."""
        try:
            node = yaml.compose(text, Loader=_Loader)
        except yaml.reader.ReaderError as error:
            line = text.count("\n", 0, error.position) + 1
            raise self._error(line, f"the character {chr(int(error.character))!r} is not allowed") from None
        except yaml.MarkedYAMLError as error:
            raise self._syntax_error(error) from None
        return None if node is None else self._value(node, ())

    def _value(self, node: yaml.Node, path: KeyPath) -> Any:
        self.lines.setdefault(path, _line(node))
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node.tag not in (f"{_TAG}map", f"{_TAG}seq"):
            raise self._unknown_tag(node)
        with self._entered(node):
            if isinstance(node, yaml.MappingNode):
                return self._mapping(node, path)
            return [self._value(item, (*path, i)) for i, item in enumerate(node.value)]

    @contextmanager
    def _entered(self, node: yaml.Node) -> Iterator[None]:
        if id(node) in self._open:
            raise self._error(_line(node), "an alias (*) stands inside what it stands for: write it out")
        self._open.add(id(node))
        yield
        self._open.remove(id(node))

    def _mapping(self, node: yaml.MappingNode, path: KeyPath) -> dict[Any, Any]:
        data = {}
        for key, (key_node, value_node) in self._entries(node).items():
            self.lines[*path, key] = _line(key_node)
            data[key] = self._value(value_node, (*path, key))
        return data

    def _entries(self, node: yaml.Node) -> dict[Any, tuple[yaml.Node, yaml.Node]]:
        """Return key node and value node by key; what `<<` merges gives way to what is written here."""
        if not isinstance(node, yaml.MappingNode):
            raise self._error(_line(node), "<< takes a mapping, or a list of them")
        merged: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        own: dict[Any, tuple[yaml.Node, yaml.Node]] = {}
        for key_node, value_node in node.value:
            if key_node.tag == _MERGE:
                sources = value_node.value if isinstance(value_node, yaml.SequenceNode) else [value_node]
                for source in reversed(sources):  # the first of them wins
                    with self._entered(source):
                        merged |= self._entries(source)
                continue
            key = self._scalar(key_node)
            if key in own:
                first = _line(own[key][0])
                raise self._error(_line(key_node), f"{key!r} is given twice, first on line {first}: keep one")
            own[key] = key_node, value_node
        return merged | own

    def _scalar(self, node: yaml.Node) -> Any:
        if not isinstance(node, yaml.ScalarNode):
            raise self._error(
                _line(node), "expected plain text as the key: put text that starts with { or [ in quotes"
            )
        if node.tag not in _SCALARS:
            raise self._unknown_tag(node)
        try:
            return _SCALARS[node.tag](node.value)
        except ValueError:
            raise self._error(_line(node), f"{_shown(node.value)} is not what its tag says") from None

    def _syntax_error(self, error: yaml.MarkedYAMLError) -> PrunescopeError:
        said = " ".join(part for part in (error.context, error.problem) if part)
        hint = next((hint for sign, hint in _HINTS.items() if sign in said), None)
        begun, met = error.context_mark, error.problem_mark
        line = met.line + 1 if met else 1
        if begun is not None and begun.line + 1 != line:
            said += f" (begun on line {begun.line + 1})"
        return self._error(line, f"not valid YAML: {said}; {hint or 'look at indentation and quotes here'}")

    def _unknown_tag(self, node: yaml.Node) -> PrunescopeError:
        return self._error(_line(node), f"the tag {node.tag!r} is not known: leave it out")

    def _error(self, line: int, said: str) -> PrunescopeError:
        return PrunescopeError(f"{self._where(line)}: {said}")


def _line(node: yaml.Node) -> int:
    return int(node.start_mark.line) + 1


# Overriding

_PART = r'(?:"[^"]+"|[^."=\s]+)'


def apply_overrides(document: Document, settings: Iterable[str]) -> Document:
    """Return the document with values of the command line in place of its own.

    Args:
        document: what the file says; stays as it is.
        settings: each `key=value`, with a dotted key ("prune.0.rates"; quotes around a part that has dots)
            and a value in YAML. Mappings on the way that are not there are made.

    Raises:
        PrunescopeError: no `key=value`, no YAML, or a key that leads nowhere.
    """
    data = copy.deepcopy(document.data)
    lines, overridden = dict(document.lines), dict(document.overridden)
    for setting in settings:
        key, value = _parse_setting(setting)
        path = _assign(data, key, value)
        lines = {place: line for place, line in lines.items() if place[: len(path)] != path or place == path}
        overridden = {place: by for place, by in overridden.items() if place[: len(path)] != path}
        overridden[path] = key
    return replace(document, data=data, lines=lines, overridden=overridden)


def _parse_setting(setting: str) -> tuple[str, Any]:
    key, equals, text = setting.partition("=")
    if not equals or not re.fullmatch(rf"{_PART}(\.{_PART})*", key):
        raise PrunescopeError(f"--set {setting}: expected key=value, for example retrain.epochs=2")
    return key, _Reader(lambda _: f"--set {key}").read(text)


def _assign(data: dict[Any, Any], key: str, value: Any) -> KeyPath:
    """Put `value` where the dotted `key` leads, and return the path there."""
    place: Any = data
    path: KeyPath = ()
    for written in re.findall(_PART, key):
        holder, part = place, _key_or_index(place, written.strip('"'), f"--set {key}: {_dotted(path)}")
        path = (*path, part)
        place = holder.get(part) if isinstance(holder, dict) else holder[part]
        if place is None and isinstance(holder, dict):
            place = holder[part] = {}
    holder[part] = value
    return path


def _key_or_index(place: Any, part: str, said: str) -> str | int:
    """Return `part` as the key of a mapping, or as the index of a list that has it."""
    if isinstance(place, dict):
        return part
    if not isinstance(place, list):
        raise PrunescopeError(f"{said} is {_shown(place)}, with no {part!r} in it")
    if not part.isdecimal() or int(part) >= len(place):
        raise PrunescopeError(f"{said} has {len(place)} items, counted from 0, and none at {part!r}")
    return int(part)


# Checking

_KINDS = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "path": "a path",
    "list": "a list",
    "tuple": "a list",
    "dict": "a mapping",
    "model": "a mapping",
    "model_attributes": "a mapping",
}


@dataclass(frozen=True)
class _Place:
    """Where in a document and in the model an error arose.

    Attributes:
        path: as the user wrote it.
        forks: each union on the way: its path, and pydantic's name of the branch that was tried.
        kind: the type that was expected here; None if the model has no such field.
        holder: the type of what holds it.
    """

    path: KeyPath
    forks: tuple[tuple[KeyPath, str], ...]
    kind: Any
    holder: Any


@dataclass(frozen=True)
class _Problem:
    """One thing that is wrong.

    Attributes:
        place: where.
        said: what is wrong, in full.
        expects: what kind of thing was expected, if that is all that is wrong.
        value: what was given instead.
    """

    place: _Place
    said: str = ""
    expects: str = ""
    value: Any = None

    @property
    def is_choice(self) -> bool:
        """Whether one of a few words was expected: in a branch of a union, the sign that another is meant."""
        return self.expects.startswith("'")

    def __str__(self) -> str:
        if not self.expects:
            return self.said
        names = re.findall(r"'([^']*)'", self.expects)
        near = did_you_mean(self.value, names) if isinstance(self.value, str) else ""
        return f"expected {self.expects}, got {_shown(self.value)}{near}"


def validate(document: Document, model: type[M]) -> M:
    """Return the settings in a document as `model`.

    Raises:
        PrunescopeError: a line for each problem, such as ``study.yaml:12: retrain.epoch: unknown field
            (did you mean 'epochs'?); known: epochs, optimizer``.
    """
    try:
        return model.model_validate(document.data)
    except ValidationError as error:
        problems = _prefer([_problem(details, model) for details in error.errors() if _is_own(details)])
    entries = []
    for problem in sorted(problems, key=lambda problem: document.line(problem.place.path)):
        path = problem.place.path
        entries.append(": ".join(filter(None, [document.where(path), _dotted(path), str(problem)])))
    raise PrunescopeError("\n".join(dict.fromkeys(entries)))


def _is_own(details: ErrorDetails) -> bool:
    """Whether an error says something new: to pydantic, a list with a wrong item is also too short."""
    return details["type"] != "too_short" or len(details["input"]) < details["ctx"]["min_length"]


def _problem(details: ErrorDetails, model: type[BaseModel]) -> _Problem:
    """Say one of pydantic's errors in the words of a study file."""
    place, value, context = _follow(details["loc"], model), details["input"], details.get("ctx", {})
    match details["type"]:
        case "union_tag_invalid" | "union_tag_not_found":
            return _tag_problem(place, context)
        case "literal_error" | "enum":
            return _Problem(place, expects=context["expected"], value=value)
        case "extra_forbidden":
            known = list(_fields(place.holder))
            near = did_you_mean(str(place.path[-1]), known)
            said = f"unknown field{near}; known: {', '.join(known)}"
        case "missing":
            said = "required but missing"
        case "value_error" | "assertion_error":
            said = str(context["error"])
        case kind:
            if expects := _KINDS.get(re.sub(r"_(type|parsing|from_float)$", "", kind)):
                return _Problem(place, expects=expects, value=value)
            rule = re.sub("^Input should", "must", details["msg"])
            said = f"{_shown(value)} is not allowed: {rule[0].lower()}{rule[1:]}"
    return _Problem(place, said)


def _tag_problem(place: _Place, context: dict[str, Any]) -> _Problem:
    """Say that the field that tells the branches of a union apart is missing or wrong."""
    name = context["discriminator"].strip("'")
    known = (repr(tag) for branch in _branches(place.kind) for tag in _literals(branch, name))
    tags = context.get("expected_tags") or ", ".join(known)
    expects = " or ".join(tags.rsplit(", ", 1))
    here = replace(place, path=(*place.path, name))
    if "tag" not in context:
        return _Problem(here, f"required but missing: expected {expects}")
    return _Problem(here, expects=expects, value=context["tag"])


def _prefer(problems: list[_Problem], depth: int = 0) -> list[_Problem]:
    """Of the branches of each union that were tried, keep the problems of the one that was meant."""
    kept = [problem for problem in problems if len(problem.place.forks) <= depth]
    forked = [problem for problem in problems if len(problem.place.forks) > depth]
    for union, group in groupby(forked, key=lambda problem: problem.place.forks[depth][0]):
        by_branch: dict[str, list[_Problem]] = {}
        for problem in group:
            by_branch.setdefault(problem.place.forks[depth][1], []).append(problem)
        kept += _meant(union, [_prefer(branch, depth + 1) for branch in by_branch.values()])
    return kept


def _meant(union: KeyPath, branches: list[list[_Problem]]) -> list[_Problem]:
    """Return the problems of the branch whose kind fits; where none fits, say all that was expected."""
    fitting = [branch for branch in branches if any(p.place.path != union or not p.expects for p in branch)]
    if not fitting:
        expected = dict.fromkeys(problem.expects for branch in branches for problem in branch)
        return [replace(branches[0][0], expects=" or ".join(expected))]
    return min(fitting, key=lambda branch: (any(p.is_choice for p in branch), len(branch)))


def _follow(loc: tuple[int | str, ...], model: type[BaseModel]) -> _Place:
    """Walk the types of a model along pydantic's `loc`, and leave out the names of branches it puts there."""
    path: KeyPath = ()
    forks: tuple[tuple[KeyPath, str], ...] = ()
    kind: Any = model
    holder: Any = None
    for part in loc:
        branches = _branches(kind)
        if len(branches) > 1:
            forks = (*forks, (path, str(part)))
            kind = _branch_called(str(part), branches)
        elif part != "[key]":  # which stands behind a key of a mapping that is itself wrong
            path, holder, kind = (*path, part), branches[0], _inside(branches[0], part)
    return _Place(path, forks, kind, holder)


def _branches(kind: Any) -> list[Any]:
    """Return the types that a union offers, None apart; a type that is no union offers itself."""
    origin, arguments = get_origin(kind), get_args(kind)
    if origin is Annotated:
        return _branches(arguments[0])
    if origin in (Union, UnionType):
        branches = [branch for branch in arguments if branch is not NoneType]
        return branches if len(branches) > 1 else _branches(branches[0])
    return [kind]


def _branch_called(tag: str, branches: list[Any]) -> Any:
    """Return the branch that pydantic calls `tag`: its discriminator's value, or the name of its type."""
    choices = [{name for name in _fields(branch) if _literals(branch, name)} for branch in branches]
    discriminators = set.intersection(*choices)
    for branch in branches:
        if any(tag in map(str, _literals(branch, name)) for name in discriminators):
            return branch
    return next((branch for branch in branches if TypeAdapter(branch).validator.title == tag), None)


def _inside(kind: Any, part: int | str) -> Any:
    """Return the type of the field, item or value `part` of a type; None if it has none."""
    if fields := _fields(kind):
        return fields.get(str(part))
    arguments = get_args(kind)
    if get_origin(kind) is tuple:
        return arguments[0] if Ellipsis in arguments else dict(enumerate(arguments)).get(int(part))
    return arguments[-1] if arguments else None


def _fields(kind: Any) -> dict[str, Any]:
    """Return the types of a model's fields by the names that users write; empty for other types."""
    if not (isinstance(kind, type) and issubclass(kind, BaseModel)):
        return {}
    return {
        info.validation_alias if isinstance(info.validation_alias, str) else name: info.annotation
        for name, info in kind.model_fields.items()
    }


def _literals(kind: Any, name: str) -> tuple[Any, ...]:
    """Return the values that the field `name` of a model may have, if it is a `Literal`."""
    annotation = _fields(kind).get(name)
    return get_args(annotation) if get_origin(annotation) is Literal else ()
