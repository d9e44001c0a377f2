"""Study files: what is read, on which line, and what is said when it is wrong."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import BaseModel, ConfigDict, Field, field_validator, model_validator

from prunescope.errors import PrunescopeError
from prunescope.study.document import Document, apply_overrides, read_document, validate


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Write text to x.yaml in the current folder, and return its path."""
    monkeypatch.chdir(tmp_path)

    def to_file(text: str | bytes) -> Path:
        path = Path("x.yaml")
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return path

    return to_file


def said_of(path: Path) -> str:
    with pytest.raises(PrunescopeError) as caught:
        read_document(path)
    return str(caught.value)


# Reading


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e-4", 1e-4),
        ("1E5", 1e5),
        ("-.5", -0.5),
        ("5.", 5.0),
        ("-.inf", -math.inf),
        ("12", 12),
        ("-012", -12),
        ("0o17", 15),
        ("0xff", 255),
        ("true", True),
        ("False", False),
        ("null", None),
        ("~", None),
        ("", None),
        ("yes", "yes"),
        ("off", "off"),
        ("No", "No"),
        ("1:30", "1:30"),
        ("1_000", "1_000"),
        ("2024-01-01", "2024-01-01"),
        ("1.2.3", "1.2.3"),
        ("Zürich 雪", "Zürich 雪"),
        ("'1e-4'", "1e-4"),
        ("!!str 5", "5"),
        ("!!float 5", 5.0),
    ],
)
def test_plain_values_are_those_of_yaml_1_2(write: Any, written: str, meant: object) -> None:
    data = read_document(write(f"key: {written}\n")).data
    assert data == {"key": meant}
    assert type(data["key"]) is type(meant)


# Text that YAML 1.1, which safe_dump writes, leaves without quotes, and that YAML 1.2 reads as a number.
NUMBER_IN_YAML_1_2 = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|0o[0-7]+")
TEXT = st.text().filter(lambda text: not NUMBER_IN_YAML_1_2.fullmatch(text))
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | TEXT
PLAIN = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXT, inner, max_size=4),
    max_leaves=12,
)


@settings(max_examples=150, deadline=None)
@given(data=st.dictionaries(TEXT, PLAIN, min_size=1, max_size=5), flow=st.sampled_from([None, False, True]))
def test_what_is_dumped_is_read_back(
    tmp_path_factory: pytest.TempPathFactory, data: dict[str, Any], flow: bool | None
) -> None:
    path = tmp_path_factory.getbasetemp() / "dumped.yaml"
    path.write_text(yaml.safe_dump(data, default_flow_style=flow), encoding="utf-8")
    assert read_document(path).data == data


STUDY = """\
# A study
network:
  name: resnet
  classes:
    10
retrain: {epochs: 2,
  lr: 1e-4}
prune:
- kind: magnitude
  rates: [.2, .4,
          .6]
-
  kind: random
"""


@pytest.mark.parametrize(
    ("path", "line"),
    [
        ((), 2),
        (("network",), 2),
        (("network", "classes"), 4),
        (("retrain", "epochs"), 6),
        (("retrain", "lr"), 7),
        (("prune",), 8),
        (("prune", 0), 9),
        (("prune", 0, "rates", 1), 10),
        (("prune", 0, "rates", 2), 11),
        (("prune", 1, "kind"), 13),
        (("network", "missing"), 2),
        (("prune", 0, "missing", 3), 9),
    ],
)
def test_lines(write: Any, path: tuple[str | int, ...], line: int) -> None:
    document = read_document(write(STUDY))
    assert document.line(path) == line
    assert document.where(path) == f"x.yaml:{line}"


def test_anchors_and_merges(write: Any) -> None:
    document = read_document(
        write("base: &b {rate: .5, seed: 1}\nmore: &m {seed: 3, by: l1}\nown:\n  <<: [*b, *m]\n  rate: .9\n")
    )
    assert document.data["own"] == {"seed": 1, "by": "l1", "rate": 0.9}
    assert (document.line(("own", "seed")), document.line(("own", "rate"))) == (1, 5)
    assert document.data["base"] == {"rate": 0.5, "seed": 1}


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("a: 1\nb: 2\na: 3\n", "x.yaml:3: 'a' is given twice, first on line 1: keep one"),
        ("a:\n\tb: 1\n", r"x.yaml:2: not valid YAML: .*; indent with spaces, not with tabs"),
        ("a: b: c\n", r"x.yaml:1: not valid YAML: mapping values are not allowed here; put text that holds"),
        ("a: 1\nb: 'open\n\n", r"x.yaml:4: not valid YAML: while scanning a quoted .* \(begun on line 2\)"),
        ("a: [1, 2\nb: 3\n", r"x.yaml:2: not valid YAML: while parsing a flow sequence .*indentation"),
        ("a: 1\n---\nb: 2\n", r"x.yaml:2: not valid YAML: .*; keep one study in a file"),
        ("a: *b\n", r"x.yaml:1: not valid YAML: found undefined alias 'b'; define it above"),
        ("a: &a [*a]\n", "x.yaml:1: an alias (*) stands inside what it stands for: write it out"),
        ("a: 1\nb:\n  <<: &b {<<: *b}\n", "x.yaml:3: an alias (*) stands inside what it stands for"),
        ("a: !!python/name:os.system x\n", "x.yaml:1: the tag 'tag:yaml.org,2002:python/name:os.system' is"),
        (
            "a: !mine {b: 1}\n",
            "x.yaml:1: the tag '!mine' is not known: leave it out",
        ),
        ("a: !!int ten\n", "x.yaml:1: 'ten' is not what its tag says"),
        ("a: {{ b }}\n", r"x.yaml:1: expected plain text as the key: put text that starts with { or \["),
        ("a: 1\nb:\n  <<: 3\n", "x.yaml:3: << takes a mapping, or a list of them"),
        ("a: 1\nb: \x01\n", r"x.yaml:2: the character '\\x01' is not allowed"),
        (b"a: 1\nb: \xe4\n", "x.yaml:2: not UTF-8 text: save the file as UTF-8"),
        ("", "x.yaml:1: expected a mapping (key: value), but the file is empty"),
        ("# nothing\n", "x.yaml:1: expected a mapping (key: value), but the file is empty"),
        ("# list\n- 1\n", r"x.yaml:2: expected a mapping (key: value), but got [1]"),
    ],
)
def test_what_is_no_study_file(write: Any, text: str | bytes, said: str) -> None:
    given = said_of(write(text))
    assert given.startswith(said) or re.match(said, given), given


def test_a_missing_file_and_its_neighbour(write: Any) -> None:
    write("a: 1\n")
    assert said_of(Path("z/none.yaml")) == "no file z/none.yaml"
    assert said_of(Path("xx.yaml")) == "no file xx.yaml (did you mean 'x.yaml'?)"


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    assert said_of(tmp_path).startswith("Is a directory while reading")


def test_a_byte_order_mark_is_passed_over(write: Any) -> None:
    assert read_document(write(b"\xef\xbb\xbfa: 1\n")).data == {"a": 1}


# Overriding


def test_values_of_the_command_line(write: Any) -> None:
    document = read_document(write(STUDY))
    changed = apply_overrides(
        document,
        [
            "retrain.epochs=3",
            "prune.0.rates=[.1, 1e-3]",
            "prune.1.by=a=b",
            'layers."layer1.0".rate=.5',
            "network.name=",
        ],
    )
    assert changed.data == {
        "network": {"name": None, "classes": 10},
        "retrain": {"epochs": 3, "lr": 1e-4},
        "prune": [{"kind": "magnitude", "rates": [0.1, 1e-3]}, {"kind": "random", "by": "a=b"}],
        "layers": {"layer1.0": {"rate": 0.5}},
    }
    assert document == read_document(Path("x.yaml"))  # as it was
    assert changed.where(("retrain", "epochs")) == "--set retrain.epochs"
    assert changed.where(("prune", 0, "rates", 1)) == "--set prune.0.rates"
    assert changed.where(("layers", "layer1.0", "rate")) == '--set layers."layer1.0".rate'
    assert changed.where(("retrain", "lr")) == "x.yaml:7"


def test_the_last_override_wins(write: Any) -> None:
    document = read_document(write(STUDY))
    changed = apply_overrides(document, ["retrain.epochs=3", "retrain={}", "retrain.lr=1"])
    assert changed.data["retrain"] == {"lr": 1}
    assert changed.where(("retrain", "epochs")) == "--set retrain"
    assert changed.where(("retrain", "lr")) == "--set retrain.lr"


@pytest.mark.parametrize(
    ("setting", "said"),
    [
        ("retrain.epochs", "--set retrain.epochs: expected key=value, for example retrain.epochs=2"),
        ("=2", "--set =2: expected key=value"),
        ("retrain..epochs=2", "--set retrain..epochs=2: expected key=value"),
        ("retrain.epochs=[1", "--set retrain.epochs: not valid YAML"),
        ("retrain={a: 1, a: 2}", "--set retrain: 'a' is given twice"),
        (
            "prune.2.kind=x",
            "--set prune.2.kind: prune has 2 items, counted from 0, and none at '2'",
        ),
        ("prune.-1.kind=x", "--set prune.-1.kind: prune has 2 items"),
        ("prune.kind=x", "--set prune.kind: prune has 2 items, counted from 0, and none at 'kind'"),
        (
            "prune.0.rates.3=x",
            "--set prune.0.rates.3: prune.0.rates has 3 items",
        ),
        ("network.name.x=1", "--set network.name.x: network.name is 'resnet', with no 'x' in it"),
    ],
)
def test_overrides_that_lead_nowhere(write: Any, setting: str, said: str) -> None:
    document = read_document(write(STUDY))
    with pytest.raises(PrunescopeError) as caught:
        apply_overrides(document, [setting])
    assert str(caught.value).startswith(said)


# Checking


class Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


Rate = Annotated[float, Field(ge=0, lt=1)]


class Network(Strict):
    name: str
    classes: int = 10
    mean: tuple[float, float, float] = (0.0, 0.0, 0.0)
    batches: tuple[int, ...] = ()

    @field_validator("name")
    @classmethod
    def known(cls, name: str) -> str:
        if name == "resnet81":
            raise ValueError("no network 'resnet81' (did you mean 'resnet18'?)")
        return name


class Optimizer(Strict):
    kind: Literal["sgd", "adam"] = "sgd"
    lr: float = Field(1e-4, gt=0)


class Retrain(Strict):
    epochs: int = Field(1, ge=0)
    optimizer: Optimizer | None = None
    device: Literal["auto", "cpu"] | int = "auto"
    warm_up: int = Field(0, alias="warm-up")

    @model_validator(mode="after")
    def device_is_there(self) -> Retrain:
        if self.device == 99:
            raise ValueError("no device 99 here")
        return self


class Magnitude(Strict):
    by: Literal["magnitude"]
    granularity: Literal["weight", "filter", "connection"] = "weight"
    order: Literal["given", "random"] = "given"  # a word of another field that is also a branch's
    rates: Rate | list[Rate] = 0.5
    layers: dict[str, Rate] = Field(default_factory=dict)


class Random(Strict):
    by: Literal["random"]
    seed: int = 0


class Layer(Strict):
    layer: str
    units: list[int] | Literal["all"] = "all"


class Study(Strict):
    network: Network
    retrain: Retrain = Retrain()
    prune: list[Annotated[Magnitude | Random, Field(discriminator="by")]] = Field(min_length=1)
    extra: Annotated[Magnitude | Random, Field(discriminator="by")] | str | None = None
    probe: list[Layer | str] = Field(default_factory=list)
    plain: Magnitude | Random | None = None
    stages: tuple[Layer, ...] = ()
    pair: tuple[str, Layer] | None = None
    named: Mapping[str, Layer] = Field(default_factory=dict)


WHOLE = """\
network:
  name: resnet18
prune:
  - by: magnitude
    granularity: filter
    rates: [.2, .4]
    layers: {layer1.0: .5}
  - by: random
retrain:
  epochs: 2
  warm-up: 1
  optimizer: {kind: adam, lr: 1e-4}
"""


def problems(path: Path, *settings: str) -> list[str]:
    document = apply_overrides(read_document(path), settings)
    with pytest.raises(PrunescopeError) as caught:
        validate(document, Study)
    return str(caught.value).splitlines()


def test_a_sound_study_becomes_the_model(write: Any) -> None:
    study = validate(read_document(write(WHOLE)), Study)
    assert study.retrain.optimizer == Optimizer(kind="adam", lr=1e-4)
    assert study.prune[0] == Magnitude(
        by="magnitude", granularity="filter", rates=[0.2, 0.4], layers={"layer1.0": 0.5}
    )
    assert study.retrain.warm_up == 1


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        pytest.param(
            "  epochs: 2",
            "  epoch: 2",
            "x.yaml:10: retrain.epoch: unknown field (did you mean 'epochs'?); "
            "known: epochs, optimizer, device, warm-up",
            id="unknown field",
        ),
        pytest.param(
            "warm-up: 1",
            "warm_up: 1",
            "x.yaml:11: retrain.warm_up: unknown field (did you mean 'warm-up'?); "
            "known: epochs, optimizer, device, warm-up",
            id="known by its alias",
        ),
        pytest.param(
            "warm-up: 1",
            "warm-up: x",
            "x.yaml:11: retrain.warm-up: expected a whole number, got 'x'",
            id="error under an alias",
        ),
        pytest.param(
            "lr: 1e-4",
            "lrr: 1e-4",
            "x.yaml:12: retrain.optimizer.lrr: unknown field (did you mean 'lr'?); known: kind, lr",
            id="unknown field behind an optional",
        ),
        pytest.param(
            "  name: resnet18",
            "  classes: 5",
            "x.yaml:1: network.name: required but missing",
            id="missing field",
        ),
        pytest.param(
            "name: resnet18",
            "name: resnet81",
            "x.yaml:2: network.name: no network 'resnet81' (did you mean 'resnet18'?)",
            id="a validator's own words",
        ),
        pytest.param(
            "epochs: 2", "device: 99", "x.yaml:9: retrain: no device 99 here", id="a validator of a model"
        ),
        pytest.param(
            "name: resnet18",
            "{name: a, classes: ten}",
            "x.yaml:2: network.classes: expected a whole number, got 'ten'",
            id="not a whole number",
        ),
        pytest.param(
            "epochs: 2",
            "epochs: 2.5",
            "x.yaml:10: retrain.epochs: expected a whole number, got 2.5",
            id="a fraction",
        ),
        pytest.param(
            "name: resnet18",
            "{name: a, mean: [1, 2]}",
            "x.yaml:2: network.mean.2: required but missing",
            id="short tuple",
        ),
        pytest.param(
            "name: resnet18",
            "{name: a, batches: 3}",
            "x.yaml:2: network.batches: expected a list, got 3",
            id="not a list",
        ),
        pytest.param(
            "{kind: adam, lr: 1e-4}",
            "[1]",
            "x.yaml:12: retrain.optimizer: expected a mapping, got [1]",
            id="not a mapping",
        ),
        pytest.param(
            "granularity: filter",
            "granularity: filtr",
            "x.yaml:5: prune.0.granularity: expected 'weight', 'filter' or 'connection', got 'filtr' "
            "(did you mean 'filter'?)",
            id="word of a few, in a discriminated union",
        ),
        pytest.param(
            "- by: random",
            "- by: randm",
            "x.yaml:8: prune.1.by: expected 'magnitude' or 'random', got 'randm' (did you mean 'random'?)",
            id="wrong discriminator",
        ),
        pytest.param(
            "- by: random",
            "- seed: 1",
            "x.yaml:8: prune.1.by: required but missing: expected 'magnitude' or 'random'",
            id="no discriminator",
        ),
        pytest.param(
            "- by: random",
            "- {by: random, rate: 1}",
            "x.yaml:8: prune.1.rate: unknown field; known: by, seed",
            id="unknown field in a branch",
        ),
        pytest.param(
            "- by: random", "- random", "x.yaml:8: prune.1: expected a mapping, got 'random'", id="no branch"
        ),
        pytest.param(
            "[.2, .4]",
            "[.2,\n 1.2]",
            "x.yaml:7: prune.0.rates.1: 1.2 is not allowed: must be less than 1",
            id="item of the list in a union",
        ),
        pytest.param(
            "[.2, .4]",
            "1.2",
            "x.yaml:6: prune.0.rates: 1.2 is not allowed: must be less than 1",
            id="number of a union",
        ),
        pytest.param(
            "[.2, .4]",
            "many",
            "x.yaml:6: prune.0.rates: expected a number or a list, got 'many'",
            id="no branch of a union",
        ),
        pytest.param(
            "epochs: 2",
            "device: atuo",
            "x.yaml:10: retrain.device: expected 'auto' or 'cpu' or a whole number, got 'atuo' "
            "(did you mean 'auto'?)",
            id="a word or a number",
        ),
        pytest.param(
            "layer1.0: .5",
            "layer1.0: 2",
            'x.yaml:7: prune.0.layers."layer1.0": 2 is not allowed: must be less than 1',
            id="value of a dict",
        ),
        pytest.param(
            "layer1.0: .5", "3: .5", "x.yaml:7: prune.0.layers.3: expected text, got 3", id="key of a dict"
        ),
        pytest.param(
            "retrain:",
            "extra: {by: random, sed: 1}\nretrain:",
            "x.yaml:9: extra.sed: unknown field (did you mean 'seed'?); known: by, seed",
            id="a union within a union",
        ),
        pytest.param(
            "retrain:",
            "extra: 3\nretrain:",
            "x.yaml:9: extra: expected a mapping or text, got 3",
            id="no branch of a union within a union",
        ),
        pytest.param(
            "retrain:",
            "probe: [conv1, {layer: conv2, units: [1, a]}]\nretrain:",
            "x.yaml:9: probe.1.units.1: expected a whole number, got 'a'",
            id="unions in lists in unions",
        ),
        pytest.param(
            "retrain:",
            "plain: {by: random, sed: 1}\nretrain:",
            "x.yaml:9: plain.sed: unknown field (did you mean 'seed'?); known: by, seed",
            id="the branch whose word agrees, without a discriminator",
        ),
        pytest.param(
            "retrain:",
            f"extra: {list(range(100))}\nretrain:",
            f"x.yaml:9: extra: expected a mapping or text, got {str(list(range(100)))[:77]}...",
            id="a long value is cut",
        ),
    ],
)
def test_one_problem_is_one_line(write: Any, old: str, new: str, said: str) -> None:
    assert WHOLE.count(old) == 1
    assert problems(write(WHOLE.replace(old, new))) == [said]


@pytest.mark.parametrize("given", ["stages: [{layer: a}, %s]", "pair: [a, %s]", "named: {b: %s}"])
def test_known_fields_are_found_in_every_container(write: Any, given: str) -> None:
    (said,) = problems(write(WHOLE + given % "{layer: c, unit: all}"))
    assert said.endswith("unit: unknown field (did you mean 'units'?); known: layer, units")


def test_the_word_that_agrees_outweighs_the_number_of_problems(write: Any) -> None:
    said = problems(write(WHOLE + "plain: {by: random, rates: .1, granularity: filter}\n"))
    assert said == [
        "x.yaml:13: plain.rates: unknown field; known: by, seed",
        "x.yaml:13: plain.granularity: unknown field; known: by, seed",
    ]


def test_an_empty_list_where_one_is_needed(write: Any) -> None:
    (said,) = problems(write("network: {name: a}\nprune: []\n"))
    assert (
        said == "x.yaml:2: prune: [] is not allowed: list should have at least 1 item after validation, not 0"
    )


def test_all_problems_are_said_in_the_order_of_the_file(write: Any) -> None:
    said = problems(write("prun: 3\nretrain:\n  epochs: -1\nnetwork:\n  classes: ten\n"))
    assert said == [
        "x.yaml:1: prune: required but missing",
        "x.yaml:1: prun: unknown field (did you mean 'prune'?); "
        "known: network, retrain, prune, extra, probe, plain, stages, pair, named",
        "x.yaml:3: retrain.epochs: -1 is not allowed: must be greater than or equal to 0",
        "x.yaml:4: network.name: required but missing",
        "x.yaml:5: network.classes: expected a whole number, got 'ten'",
    ]


def test_problems_of_the_command_line_are_said_to_be_there(write: Any) -> None:
    said = problems(write(WHOLE), "retrain.epoch=2", "prune.0.rates=[.5, 2]")
    assert said == [
        "--set prune.0.rates: prune.0.rates.1: 2 is not allowed: must be less than 1",
        "--set retrain.epoch: retrain.epoch: unknown field (did you mean 'epochs'?); "
        "known: epochs, optimizer, device, warm-up",
    ]


def test_a_document_is_a_plain_value(write: Any) -> None:
    assert read_document(write("a: 1\n")) == Document(Path("x.yaml"), {"a": 1}, {(): 1, ("a",): 1})
