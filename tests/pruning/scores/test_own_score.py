from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import torch
from torch import nn

import prunescope as ps
from oracles.channels import TOYS
from prunescope.errors import PrunescopeError
from prunescope.networks.layers import find_layers
from prunescope.pruning.granularity import FILTER, WEIGHT
from prunescope.pruning.scores import all_scores
from prunescope.pruning.scores.own import find_score, source_of
from prunescope.pruning.scores.score import ScoreRequest

LARGEST = """
def largest(request):
    return {name: request.weight(name).abs().amax((1, 2, 3), keepdim=True) for name in request.layers}
"""

Write = Callable[..., str]


@pytest.fixture
def write(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Write]:
    """Write a file into the current folder, an empty one; what is imported from it is forgotten afterwards."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)

    def write(text: str, name: str = "mine.py") -> str:
        path = tmp_path / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text)
        return name

    yield write
    for name in set(sys.modules) - before:
        if str(tmp_path) in str(getattr(sys.modules[name], "__file__", "")):
            del sys.modules[name]


def request_for(network: nn.Module) -> ScoreRequest:
    layers = {name: layer for name, layer in find_layers(network).items() if layer.kind == "conv"}
    return ScoreRequest(network, layers, FILTER, torch.Generator().manual_seed(0))


@pytest.fixture
def network() -> nn.Module:
    return TOYS["concat"].network()


def returning(expression: str) -> str:
    return f"import torch\n\ndef own(request):\n    return {expression}\n"


def test_names_of_the_package() -> None:
    for name in all_scores():
        assert find_score(name) is all_scores()[name]
        assert source_of(name) is None
    with pytest.raises(PrunescopeError, match=r"no score 'L1' \(did you mean 'l1'"):
        find_score("L1")


@pytest.mark.parametrize("where", ["mine.py", "./mine.py", "sub/mine.py", "absolute"])
def test_a_function_in_a_file(where: str, write: Write, network: nn.Module, tmp_path: Path) -> None:
    path = str(tmp_path / write(LARGEST)) if where == "absolute" else where
    write(LARGEST, "sub/mine.py" if where == "sub/mine.py" else "mine.py")

    score = find_score(f"{path}:largest")
    scores = score(request_for(network))

    for name in "abcd":
        assert torch.equal(scores[name], getattr(network, name).weight.abs().amax((1, 2, 3), keepdim=True))
    assert score.name == f"{path}:largest"
    assert (score.needs, score.granularities, score.comparable, score.steps) == ("weights", None, False, 1)


def test_a_function_in_a_module(write: Write, network: nn.Module) -> None:
    write("", "own_package/__init__.py")
    write(LARGEST, "own_package/scores.py")

    scores = find_score("own_package.scores:largest")(request_for(network))

    assert list(scores) == list("abcd")
    assert source_of("own_package.scores:largest") == source_of("own_package/scores.py:largest")


def test_it_prunes_by_it(write: Write, network: nn.Module) -> None:
    write(LARGEST)

    mask = ps.prune(network, "filter", by="mine.py:largest", rate=0.5)

    order = network.a.weight.abs().amax((1, 2, 3)).argsort()
    assert (~mask.keep["a.weight"]).flatten().nonzero().flatten().tolist() == sorted(order[:2].tolist())


def test_one_made_with_the_decorator_says_what_it_needs(write: Write, network: nn.Module) -> None:
    write(
        "from prunescope.pruning.scores.score import score\n"
        "@score('mine', needs='calibration', granularities=('filter',), because='of me', comparable=True, steps=3)\n"
        "def own(request): return {}\n"
    )

    for _ in range(2):  # the second time from the same file
        found = find_score("mine.py:own")
    assert (found.needs, found.granularities, found.comparable, found.steps) == (
        "calibration",
        {"filter"},
        True,
        3,
    )
    with pytest.raises(PrunescopeError, match=r"mine\.py:own looks at labelled images"):
        found(request_for(network))
    assert "mine" not in all_scores()


def test_a_changed_file_is_another_score(write: Write, network: nn.Module) -> None:
    decorated = "from prunescope.pruning.scores.score import score\n@score('mine')\n"
    write(decorated + LARGEST.strip())
    before, digest = find_score("mine.py:largest")(request_for(network)), source_of("mine.py:largest")

    write(decorated + LARGEST.strip().replace("abs()", "neg()"))
    after = find_score("mine.py:largest")(request_for(network))

    assert digest != source_of("mine.py:largest")
    assert torch.equal(after["a"], network.a.weight.neg().amax((1, 2, 3), keepdim=True))
    assert not torch.equal(before["a"], after["a"])
    assert source_of("mine.py:largest") == source_of(
        "./mine.py:other"
    )  # the file counts, not how it is called


def test_the_file_runs_once(write: Write) -> None:
    write("from pathlib import Path\nwith Path('ran').open('a') as f: f.write('x')\n" + LARGEST)

    for _ in range(3):
        find_score("mine.py:largest")

    assert Path("ran").read_text() == "x"


def test_scores_are_real_numbers_of_their_own(write: Write) -> None:
    """Selection changes scores in place, which must not be the network's weights."""
    network = nn.Sequential(nn.Conv2d(2, 4, 1))
    layers = find_layers(network, torch.zeros(1, 2, 2, 2))
    for expression, dtype in {
        "request.layers['0'].module.weight": torch.float32,
        "torch.arange(8.).view(2, 4, 1, 1).transpose(0, 1)": torch.float32,
        "torch.arange(8).view(4, 2, 1, 1)": torch.float32,
        "torch.arange(8).view(4, 2, 1, 1) > 1": torch.float32,
        "torch.ones(1, 1, 1, 1).half().expand(4, 2, 1, 1)": torch.float32,
        "torch.ones(4, 2, 1, 1).double()": torch.float64,
    }.items():
        write(returning(f"{{'0': {expression}, 'other': None}}"))
        before = network[0].weight.detach().clone()

        scores = find_score("mine.py:own")(ScoreRequest(network, layers, WEIGHT, torch.Generator()))

        assert list(scores) == ["0"]
        assert scores["0"].dtype == dtype
        assert not scores["0"].requires_grad
        scores["0"].view(-1).mul_(2)
        assert torch.equal(network[0].weight, before)


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("nowhere.py:own", r"no file nowhere.py for the score nowhere.py:own, looked for from .* on"),
        ("mine.py", "mine.py is a file, which may hold several scores: give path/to/file.py:function"),
        ("mine.py:lagest", r"no function 'lagest' in mine.py \(did you mean 'largest'\?\)"),
        ("mine.py:", "no function '' in mine.py"),
        ("mine.py:number", "mine.py:number is of type int, expected a function from a ScoreRequest"),
        (
            "nowhere.at.all:own",
            r"no module 'nowhere.at.all' for the score nowhere.at.all:own: give path/to/file.py",
        ),
        ("nowhere:own", "no module 'nowhere' for the score"),
        (":own", "no module '' for the score"),
        ("mine.nowhere:own", "no module 'mine.nowhere' for the score"),
    ],
)
def test_scores_that_are_not_there(name: str, said: str, write: Write) -> None:
    write(LARGEST + "number = 3\n")

    with pytest.raises(PrunescopeError, match=said):
        find_score(name)


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            "import torch\n\nimport nothing_like_it\n",
            "line 3: ModuleNotFoundError: No module named 'nothing_like_it'",
        ),
        ("x = 1\ndef own(request)\n    pass\n", "line 2: SyntaxError: expected ':'"),
        ("def f():\n    return 1 / 0\n\n\nf()\n", "line 2: ZeroDivisionError: division by zero"),
        (
            "from prunescope.pruning.scores.score import score\n\n@score('l1')\ndef own(request): return {}\n",
            "line 3: ValueError: score 'l1' is registered twice",
        ),
    ],
)
@pytest.mark.parametrize("where", ["mine.py", "mine_broken", "around_broken.inside"])
def test_a_file_that_cannot_be_imported(text: str, said: str, where: str, write: Write) -> None:
    name = {"mine.py": "mine.py", "mine_broken": "mine_broken.py"}.get(where, "around_broken/__init__.py")
    write(text, name)
    write(LARGEST, "around_broken/inside.py")
    for _ in range(2):  # the same the second time: nothing half imported is left
        with pytest.raises(PrunescopeError, match=rf"{where} cannot be imported at .*{name}, {said}"):
            find_score(f"{where}:own")
        assert "mine" not in all_scores()


@pytest.mark.parametrize(
    ("expression", "said"),
    [
        ("[1, 2]", "mine.py:own returned list, expected a dict of layer to tensor"),
        (
            "{'b': torch.ones(2, 1, 1, 1)}",
            r"returned no scores of a \(4, 1, 1, 1\), c \(3, 1, 1, 1\), d \(3, 1, 1, 1\): one tensor for each",
        ),
        ("{}", r"no scores of a \(4, 1, 1, 1\), b \(2, 1, 1, 1\), c \(3, 1, 1, 1\) and 1 more"),
        (
            "{n: request.weight(n) for n in request.layers}",
            r"a tensor of \(4, 3, 3, 3\) for a, expected a tensor of \(4, 1, 1, 1\): a real number for each filter of",
        ),
        (
            "{n: torch.ones(4) for n in request.layers}",
            r"a tensor of \(4,\) for a, expected a tensor of \(4, 1, 1, 1\)",
        ),
        (
            "{n: torch.ones(4, 1, 1, 1, dtype=torch.cfloat) for n in request.layers}",
            r"a tensor of \(4, 1, 1, 1\) complex for a, expected",
        ),
        ("{n: 1.0 for n in request.layers}", r"returned float for a, expected a tensor of \(4, 1, 1, 1\)"),
        (
            "{n: request.layer for n in request.layers}",
            r"failed at .*mine.py, line 4: AttributeError: 'ScoreRequest'",
        ),
    ],
)
def test_results_that_are_none(expression: str, said: str, write: Write, network: nn.Module) -> None:
    write(returning(expression))

    with pytest.raises(PrunescopeError, match=said):
        find_score("mine.py:own")(request_for(network))


def test_errors_that_say_what_to_do_are_passed_on(write: Write, network: nn.Module) -> None:
    write(
        "from prunescope.errors import PrunescopeError\ndef own(request): raise PrunescopeError('spare it')\n"
    )

    with pytest.raises(PrunescopeError, match=r"^spare it$"):
        find_score("mine.py:own")(request_for(network))


def test_not_a_number_is_caught_by_selection(write: Write, network: nn.Module) -> None:
    write(
        returning(
            "{n: request.weight(n).sum((1, 2, 3), keepdim=True) * float('nan') for n in request.layers}"
        )
    )

    with pytest.raises(PrunescopeError, match="the scores of a hold NaN"):
        ps.prune(network, "filter", by="mine.py:own", rate=0.5)


@pytest.mark.parametrize("name", ["nowhere.py:own", "nowhere:own"])
def test_no_digest_of_what_is_not_there(name: str, write: Write) -> None:
    with pytest.raises(PrunescopeError, match=r"no (file|module) '?nowhere"):
        source_of(name)
