"""Archives of torch that would run code or reach files: refused before torch reads them.

Each of those that run a command does so in torch 2.13, when it is given to `torch.export.load` or `torch.jit.load`.
"""

from __future__ import annotations

import io
import json
import os
import pickle
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn

from networks.saved_programs import PREPROCESS, images, save, script, toy
from prunescope.errors import PrunescopeError
from prunescope.networks.archives import archive_format
from prunescope.networks.export import METADATA_KEY
from prunescope.networks.programs import open_program

Change = Callable[[str, bytes], bytes | str]
GRAPH, WEIGHTS = "models/model.json", "weights/model_weights_config.json"


@pytest.fixture(scope="module")
def program(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save(toy(), "torch.export", tmp_path_factory.mktemp("programs"))


def rewrite(path: Path, copy: Path, change: Change, more: dict[str, bytes] | None = None) -> Path:
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(copy, "w") as new:
        for name in old.namelist():
            new.writestr(name, change(name, old.read(name)))
        for name, content in (more or {}).items():
            new.writestr(name, content)
    return copy


def in_json(entry: str, change: Callable[[Any], Any]) -> Change:
    def changed(name: str, content: bytes) -> bytes | str:
        return json.dumps(change(json.loads(content))) if name.endswith(entry) else content

    return changed


def everywhere(value: Any, key: str, text: str) -> Any:
    """Write `text` wherever `key` stands in JSON."""
    if isinstance(value, dict):
        return {name: text if name == key else everywhere(item, key, text) for name, item in value.items()}
    return [everywhere(item, key, text) for item in value] if isinstance(value, list) else value


class Bomb:
    """Makes a folder when it is unpickled."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return os.mkdir, (str(self.folder),)


def pickled(folder: Path) -> bytes:
    content = io.BytesIO()
    torch.save(Bomb(folder), content)
    return content.getvalue()


def refused(path: Path, because: str) -> None:
    with pytest.raises(PrunescopeError, match=f"refused, because .*{because}") as caught:
        open_program(path, PREPROCESS)
    assert "\n" not in str(caught.value)
    assert "load it yourself and give the module from Python" in str(caught.value)


def test_untouched_it_opens(program: Path, tmp_path: Path) -> None:
    same = rewrite(program, tmp_path / "same.pt2", lambda name, content: content)
    assert open_program(same).outputs == 3


def test_a_pickled_example(program: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    path = rewrite(
        program,
        tmp_path / "a.pt2",
        lambda name, content: pickled(made) if name.endswith("sample_inputs/model.pt") else content,
    )
    refused(path, "reading it would run code")
    assert not made.exists()


def test_a_pickled_weight(program: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    config = in_json(WEIGHTS, lambda found: {"config": {**found["config"], "a.bias": PICKLED}})
    path = rewrite(program, tmp_path / "a.pt2", config, {"archive/data/weights/weight_99": pickled(made)})
    refused(path, "some of its weights are pickled")
    assert not made.exists()


PICKLED = {"path_name": "weight_99", "is_param": True, "use_pickle": True, "tensor_meta": None}
OPAQUE = {"path_name": "opaque_obj_0", "is_param": False, "use_pickle": False, "tensor_meta": None}


def test_an_object_of_its_own(program: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    config = in_json("constants/model_constants_config.json", lambda found: {"config": {"k": OPAQUE}})
    more = {"archive/data/constants/opaque_obj_0": pickle.dumps(Bomb(made))}
    refused(rewrite(program, tmp_path / "a.pt2", config, more), "pickled|may be compiled code")
    refused(rewrite(program, tmp_path / "b.pt2", lambda name, content: content, more), "may be compiled code")
    assert not made.exists()


def test_a_compiled_library(program: Path, tmp_path: Path) -> None:
    more = {"archive/data/aotinductor/model/model.so": b"\x7fELF"}
    refused(rewrite(program, tmp_path / "a.pt2", lambda name, content: content, more), r"model\.so.*compiled")


def test_guards_are_not_run(program: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    change = in_json(
        GRAPH, lambda graph: {**graph, "guards_code": [f"__import__('os').mkdir({str(made)!r})"]}
    )
    opened = open_program(rewrite(program, tmp_path / "a.pt2", change))
    assert torch.equal(opened(images(2)), open_program(program)(images(2)))
    assert not made.exists()


@pytest.mark.parametrize(
    "size",
    [
        "__import__('os').mkdir('{made}') + Symbol('s77', positive=True, integer=True)",
        "().__class__.__base__.__subclasses__()",
        'Symbol(\'__import__("os").mkdir("{made}")\')',
        "[s77 for s77 in open('{made}', 'w')]",
        "lambda: 1",
        "Symbol('s77')(1)",
        "(" * 3000,
        "Max" + "(-" * 500 + "1" + ")" * 500,
        "Symbol('s77'",
    ],
)
def test_sizes_that_are_no_arithmetic(size: str, program: Path, tmp_path: Path) -> None:
    made = tmp_path / "made"
    text = size.replace("{made}", str(made))
    change = in_json(GRAPH, lambda graph: everywhere(graph, "expr_str", text))
    refused(rewrite(program, tmp_path / "a.pt2", change), "a size of its is")
    assert not made.exists()


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.ops.aten.from_file.default",
        "torch.ops.aten.save.default",
        "torch.ops.aten.relu.__class__",
        "torch.ops.load_library",
        "torch.ops.inductor._reinterpret_tensor.default",
        "_operator.attrgetter",
        "_operator.__builtins__",
        "#extension:op",
        "os.system",
    ],
)
def test_calls_of_other_things_than_operators(target: str, program: Path, tmp_path: Path) -> None:
    change = in_json(GRAPH, lambda graph: everywhere(graph, "target", target))
    refused(rewrite(program, tmp_path / "a.pt2", change), "it calls")


def test_names_that_are_code(program: Path, tmp_path: Path) -> None:
    evil = "\"a = __import__('os').getcwd()\""
    for entry, said in ((GRAPH, "a value has the name"), (WEIGHTS, "a weight has the name")):
        old = '"relu"' if entry == GRAPH else '"a.weight"'
        change = in_json(entry, lambda found, old=old: json.loads(json.dumps(found).replace(old, evil)))  # type: ignore[misc]
        refused(rewrite(program, tmp_path / "a.pt2", change), said)


def test_inputs_of_types_that_import_modules(program: Path, tmp_path: Path) -> None:
    tree = json.dumps([1, {"type": "collections.defaultdict", "context": "{}", "children_spec": []}])
    change = in_json(GRAPH, lambda graph: everywhere(graph, "in_spec", tree))
    refused(rewrite(program, tmp_path / "a.pt2", change), r"of the type 'collections\.defaultdict'")


def test_a_size_under_the_name_of_a_remark(program: Path, tmp_path: Path) -> None:
    def change(graph: Any) -> Any:
        inner = graph["graph_module"]["graph"]
        inner["sym_int_values"]["custom"] = {"as_expr": {"expr_str": "__import__('os')", "hint": None}}
        return graph

    refused(rewrite(program, tmp_path / "a.pt2", in_json(GRAPH, change)), "a size of its is")


def test_a_second_archive_within(program: Path, tmp_path: Path) -> None:
    """Torch takes the folder of the first entry for all there is, so nothing may lie elsewhere."""
    with zipfile.ZipFile(program) as old:
        parts = {name: old.read(name) for name in old.namelist()}
    evil = {
        name: content.replace(b"torch.ops.aten.relu.default", b"torch.hub.load")
        for name, content in parts.items()
    }
    for number, harmless in enumerate((parts, {"serialized_exported_program.json": b"{}"})):
        path = tmp_path / f"{number}.pt2"
        with zipfile.ZipFile(path, "w") as new:
            for name, content in evil.items():
                new.writestr(name.replace("archive/", "extra/"), content)
            for name, content in harmless.items():
                new.writestr(name, content)
        with pytest.raises(
            PrunescopeError, match=r"refused, because it holds|not a whole file of torch\.export"
        ):
            open_program(path, PREPROCESS)


def test_an_operator_that_is_not_there(program: Path, tmp_path: Path) -> None:
    change = in_json(GRAPH, lambda graph: everywhere(graph, "target", "torch.ops.aten.no_such.default"))
    refused(
        rewrite(program, tmp_path / "a.pt2", change), r"no_such\.default', which torch 2\..* does not have"
    )


def test_a_script_that_makes_objects_of_c(tmp_path: Path) -> None:
    whole = script(toy(), tmp_path / "whole.pt")
    for ending, text in (
        (".py", b"\n# __torch__.torch.classes.c10d.ProcessGroup"),
        ("data.pkl", b"torch.classes.c10d.X"),
    ):
        change: Change = lambda name, old, end=ending, more=text: old + more * name.endswith(end)  # type: ignore[misc]  # noqa: E731
        refused(rewrite(whole, tmp_path / "a.pt", change), r"it makes objects of 'torch\.classes\.c10d'")


def test_two_entries_of_one_name(program: Path, tmp_path: Path) -> None:
    more = {"archive/MODELS/model.json": b"{}"}  # torch looks names up without regard to case
    refused(
        rewrite(program, tmp_path / "a.pt2", lambda name, content: content, more), "two entries of one name"
    )


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"config": 1}', b"\xff", b"1" * 5000])
@pytest.mark.parametrize("entry", [GRAPH, WEIGHTS])
def test_damaged_inside(entry: str, content: bytes, program: Path, tmp_path: Path) -> None:
    change: Change = lambda name, old: content if name.endswith(entry) else old  # noqa: E731
    with pytest.raises(
        PrunescopeError, match=r"not a whole file of torch|cannot read this file of torch"
    ) as caught:
        open_program(rewrite(program, tmp_path / "a.pt2", change), PREPROCESS)
    assert "\n" not in str(caught.value)


def test_a_program_as_torch_saved_it_before_2_8(tmp_path: Path) -> None:
    from torch._export.serde.schema import SCHEMA_VERSION
    from torch._export.serde.serialize import serialize

    exported = torch.export.export(toy(), (images(1),), strict=False)
    artifact = serialize(exported)
    described = json.dumps({"preprocess": PREPROCESS.model_dump()})
    parts = {
        "version": ".".join(map(str, SCHEMA_VERSION)).encode(),
        "serialized_exported_program.json": artifact.exported_program,
        "serialized_state_dict.pt": artifact.state_dict,
        "serialized_constants.pt": artifact.constants,
        "serialized_example_inputs.pt": artifact.example_inputs,
        f"extra_files/{METADATA_KEY}": described.encode(),
    }

    def write(name: str) -> Path:
        with zipfile.ZipFile(tmp_path / name, "w") as archive:
            for part, content in parts.items():
                archive.writestr(part, content)
        return tmp_path / name

    opened = open_program(write("a.pt2"))
    assert opened.preprocess == PREPROCESS
    assert torch.equal(opened(images(1)), toy()(images(1)))
    parts["serialized_constants.pt"] = pickled(tmp_path / "made")
    refused(write("b.pt2"), "reading it would run code")
    assert not (tmp_path / "made").exists()


class Writes(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        torch.save(x, "written-by-a-script")
        return x.mean((2, 3))


class Reads(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return x.mean((2, 3)) + torch.from_file("/etc/passwd", False, 4).sum()


class Reinterprets(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return torch.ops.inductor._reinterpret_tensor(x, [1, 3], [1, 1], 1000000)


@pytest.mark.parametrize(
    ("network", "said"),
    [
        (Writes(), "its code says 'save'"),
        (Reads(), "its code says 'from_file'"),
        (Reinterprets(), "operators of 'inductor'"),
    ],
)
def test_a_script_that_reaches_out(
    network: nn.Module, said: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    refused(script(network, tmp_path / "a.pt"), said)
    assert [file.name for file in tmp_path.iterdir()] == ["a.pt"]


def test_other_archives_are_none(tmp_path: Path) -> None:
    path = tmp_path / "a.zip"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("a.txt", "text")
    assert archive_format(path) is None
    path.write_bytes(b"PK\x03\x04" + bytes(100))
    assert archive_format(path) is None
