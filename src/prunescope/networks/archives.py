"""Zip archives of torch that hold programs: what kind they are, and that they do no more than compute.

Neither torch.jit.load nor torch.export.load may be given a file that nobody has looked at. TorchScript has operators
that read and write files. torch.export unpickles, evaluates the expressions and guards that it finds as Python,
writes names into Python source that it runs, and loads compiled libraries. So all of that is looked for first, and
refused; what is left are operators on tensors, which may still be asked to take for ever or all memory.

*Source:* torch/jit/_serialization.py, torch/export/pt2_archive/_package.py, torch/_export/serde/serialize.py and
torch/fx/graph.py of torch 2.13; the operators that take file names, from `torch._C._jit_get_all_schemas()`.
"""

from __future__ import annotations

import ast
import io
import json
import pickle
import re
import warnings
import zipfile
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import torch

from prunescope.errors import PrunescopeError

_MODEL = re.compile(r"models/[\w.-]+\.json|serialized_exported_program\.json")
_CONFIG = re.compile(r"data/(weights|constants)/[\w.-]+_config\.json")
_TENSORS = re.compile(r"data/(weights|constants)/(weight|tensor)_\d+")
_PICKLES = re.compile(r"data/(weights|constants|sample_inputs)/[\w.-]+\.pt|serialized_[a-z_]+\.pt")
_TEXTS = re.compile(
    r"(extra|extra_files)/[\w.-]+|archive_format|archive_version|version|byteorder|\.data/\w+"
)

_FILE_WORDS = re.compile(r"\b(save|from_file|rpc_async|rpc_sync|rpc_remote)\b")
_SCRIPT_OPERATORS = re.compile(r"(?<![\w.])ops\s*\.\s*(\w+)")
_SCRIPT_CLASSES = re.compile(r"\btorch\s*\.\s*classes\s*\.\s*(\w+)")
_COMPUTING = {"aten", "prim", "quantized", "_quantized", "prepacked", "mkldnn_prepacked", "torchvision"}
_EXPORTED = {"aten", "prims", "quantized", "quantized_decomposed", "torchvision"}

_SAFE_NAME = re.compile(r"[\w.:/+ -]*")  # no quote, bracket, line break or backslash
_SYMBOL = re.compile(r"[a-z]+\d+|\d*\.?\d*(e[+-]?\d+)?")  # the number is one of Float('1.5')
_LONGEST = 2000  # characters of an expression
_FUNCTIONS = {
    "Symbol", "Integer", "Float", "Rational", "Add", "Mul", "Pow", "Max", "Min", "Mod", "floor", "ceiling",
    "And", "Or", "Not", "Equality", "Unequality", "LessThan", "StrictLessThan", "GreaterThan", "StrictGreaterThan",
    "Eq", "Ne", "Le", "Lt", "Ge", "Gt", "FloorDiv", "ModularIndexing", "Where", "PythonMod", "CleanDiv",
    "CeilToInt", "FloorToInt", "CeilDiv", "LShift", "RShift", "PowByNatural", "FloatPow", "FloatTrueDiv",
    "IntTrueDiv", "TruncToFloat", "TruncToInt", "RoundToInt", "RoundDecimal", "ToFloat", "Identity",
}  # fmt: skip
_ARITHMETIC = (ast.Expression, ast.BinOp, ast.UnaryOp, ast.Compare, ast.BoolOp, ast.keyword, ast.Load)
_SIGNS = (ast.operator, ast.unaryop, ast.cmpop, ast.boolop)
_OPERATOR = re.compile(
    r"_operator\.(getitem|add|sub|mul|truediv|floordiv|mod|pow|neg|pos|eq|ne|lt|le|gt|ge|and_|or_|not_)"
    r"|math\.[a-z]\w*|torch\._?sym_\w+"
    r"|torch\.ops\.higher_order\.(wrap_with_set_grad_enabled|wrap_with_autocast|cond)"
)
_TREES = {None, "builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}
_DAMAGE = (
    zipfile.BadZipFile, zlib.error, OSError, EOFError, ValueError, LookupError, TypeError, AttributeError,
    RuntimeError,
)  # fmt: skip
_UNREAD = {  # said about the program, or quoted wherever it is used
    "stack_trace", "nn_module_stack", "source_fn_stack", "torch_fn", "from_node", "custom", "as_string", "as_strings",
    "guards_code",  # the one who loads takes them out again
}  # fmt: skip


def archive_format(path: Path) -> Literal["TorchScript", "torch.export"] | None:
    """Return "TorchScript" or "torch.export" if the file is such an archive, as its entries say; None: it is not."""
    try:
        with zipfile.ZipFile(path) as archive:
            names = set(_names(archive))
    except _DAMAGE:
        return None
    if any(_MODEL.fullmatch(name) for name in names):
        return "torch.export"
    return "TorchScript" if "constants.pkl" in names else None


def refuse_more_than_tensors(path: Path, kind: str) -> None:
    """Look at all that an archive holds before torch reads it.

    Raises:
        PrunescopeError: reading or running it would do more than compute with tensors, or it is damaged.
    """
    if archive_format(path) != kind:  # cut short, it may end in an archive that it held
        raise _damaged(path, kind)
    look = _look_at_script if kind == "TorchScript" else _look_at_exported
    try:
        with zipfile.ZipFile(path) as archive:
            names = _names(archive)
            if len({name.lower() for name in names}) < len(names):
                raise _Refused("it holds two entries of one name")
            if archive.testzip() is not None:
                raise _damaged(path, kind)
            for name, entry in zip(names, archive.infolist(), strict=True):
                look(name, lambda entry=entry: archive.read(entry))  # type: ignore[misc]
    except _Refused as refused:
        raise PrunescopeError(
            f"{path}: refused, because {refused}: only programs that compute with tensors are opened. Where you trust "
            "it, load it yourself and give the module from Python"
        ) from refused
    except _DAMAGE as error:
        raise _damaged(path, kind) from error


class _Refused(Exception):
    """What an archive would do, in words that follow "because"."""


def _damaged(path: Path, kind: str) -> PrunescopeError:
    return PrunescopeError(f"{path}: not a whole file of {kind}: fetch or save it again")


def _names(archive: zipfile.ZipFile) -> list[str]:
    """Return the names of the entries without the one folder that they lie in, as torch takes it from the first."""
    names = archive.namelist()
    folder = f"{names[0].partition('/')[0]}/" if names else ""
    inside = all(name.startswith(folder) for name in names)
    return [name.removeprefix(folder) for name in names] if inside else names


def _look_at_script(name: str, read: Callable[[], bytes]) -> None:
    code = name.lower().endswith(".py")
    if not code and not name.lower().endswith(".pkl"):
        return
    text = read().decode("utf-8" if code else "latin-1")
    for namespace in _SCRIPT_CLASSES.findall(text):
        if namespace != "quantized":
            raise _Refused(f"it makes objects of 'torch.classes.{namespace}'")
    if code and (found := _FILE_WORDS.search(text)):
        raise _Refused(f"its code says {found[1]!r}, which reaches files or other machines")
    for namespace in _SCRIPT_OPERATORS.findall(text) if code else []:
        if namespace not in _COMPUTING:
            raise _Refused(f"its code asks for operators of {namespace!r}")


def _look_at_exported(name: str, read: Callable[[], bytes]) -> None:
    if name.endswith("/") or _TENSORS.fullmatch(name) or _TEXTS.fullmatch(name):
        return
    if _PICKLES.fullmatch(name):
        _look_at_pickle(read())
    elif _CONFIG.fullmatch(name):
        for key, weight in json.loads(read())["config"].items():
            if not _SAFE_NAME.fullmatch(key):
                raise _Refused(f"a weight has the name {key!r}")
            if weight["use_pickle"] or not _TENSORS.fullmatch(f"data/weights/{weight['path_name']}"):
                raise _Refused(
                    "some of its weights are pickled, and reading those would run code that it carries"
                )
    elif _MODEL.fullmatch(name):
        _look_at_graph(json.loads(read()))
    else:
        raise _Refused(f"it holds {name!r}, which may be compiled code")


def _look_at_pickle(content: bytes) -> None:
    if not content:
        return
    try:
        with warnings.catch_warnings(action="ignore"):
            torch.load(io.BytesIO(content), map_location="cpu", weights_only=True)
    except pickle.UnpicklingError as error:
        raise _Refused("reading it would run code that it carries") from error


def _look_at_graph(graph: Any) -> None:
    """Look at every string that torch.export makes an operator, an expression, a name or a type of."""
    for key, text in _strings(graph):
        if key in {"target", "as_operator"}:
            if not _computes(text):
                raise _Refused(f"it calls {text!r}")
        elif key == "expr_str":
            if not _is_arithmetic(text):
                raise _Refused(f"a size of its is {text[:80]!r}")
        elif key in {"in_spec", "out_spec"}:
            _look_at_tree(json.loads(text)) if text else None
        elif key in {"name", "as_name"}:
            if text and not text.isidentifier():
                raise _Refused(f"a value has the name {text[:80]!r}")
        elif not _SAFE_NAME.fullmatch(text):
            raise _Refused(f"a name in it is {text[:80]!r}")


def _strings(value: Any, key: str = "") -> Iterator[tuple[str, str]]:
    """Yield every string in JSON that is read as more than text, with its key; and every key, with none."""
    if isinstance(value, str) and key not in _UNREAD:
        yield key, value
    elif isinstance(value, list):
        for item in value:
            yield from _strings(item, key)
    elif isinstance(value, dict):
        for name, item in value.items():
            yield "", name
            yield from _strings(item, name)


def _computes(target: str) -> bool:
    if _OPERATOR.fullmatch(target):
        return True
    parts = target.split(".")
    if len(parts) != 5 or parts[:2] != ["torch", "ops"] or parts[2] not in _EXPORTED:
        return False
    if _FILE_WORDS.fullmatch(parts[3]):
        return False
    try:
        found = getattr(getattr(getattr(torch.ops, parts[2]), parts[3]), parts[4])
    except AttributeError as error:
        raise _Refused(f"it calls {target!r}, which torch {torch.__version__} does not have") from error
    return isinstance(found, torch._ops.OpOverload)


def _is_arithmetic(expression: str) -> bool:
    """Say whether an expression, which sympy will evaluate as Python, only adds up numbers and named sizes."""
    try:
        nodes = list(ast.walk(ast.parse(expression, mode="eval"))) if len(expression) <= _LONGEST else []
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return bool(nodes) and all(map(_is_harmless, nodes))


def _is_harmless(node: ast.AST) -> bool:
    if isinstance(node, ast.Call):
        return isinstance(node.func, ast.Name) and node.func.id in _FUNCTIONS
    if isinstance(node, ast.Name):
        return node.id in _FUNCTIONS | {"true", "false", "oo", "int_oo"} or bool(_SYMBOL.fullmatch(node.id))
    if isinstance(node, ast.Constant):
        if isinstance(node.value, str):
            return bool(_SYMBOL.fullmatch(node.value))
        return isinstance(node.value, int | float)
    return isinstance(node, (*_ARITHMETIC, *_SIGNS))


def _look_at_tree(tree: Any) -> None:
    """Look at how inputs and outputs are nested: other types than the plain ones import modules by name."""
    if isinstance(tree, dict):
        if "type" in tree and tree["type"] not in _TREES:
            raise _Refused(f"its inputs or outputs are of the type {tree['type']!r}")
        for value in tree.values():
            _look_at_tree(value)
    elif isinstance(tree, list):
        for value in tree:
            _look_at_tree(value)
