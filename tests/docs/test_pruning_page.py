"""docs/pruning.md: its studies are studies, its commands print what it says, its tables are what the code knows."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pytest
import yaml
from torch import nn

import prunescope as ps
from cli.call import call
from places import REPOSITORY
from prunescope.pruning.budget import Of
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.prune import Scope
from prunescope.pruning.scores import all_scores
from prunescope.study.document import read_document
from prunescope.study.run import prepare, read_study, run_study
from prunescope.study.series import SeriesSettings
from prunescope.training.settings import RetrainSettings
from study.tiny import document, write_images

PAGE = (REPOSITORY / "docs" / "pruning.md").read_text()
STUDIES = re.findall(r"```yaml\n(.*?)```", PAGE, flags=re.DOTALL)
IN_SHORT = [
    text
    for text in re.findall(r"```yaml\n(.*?)```", (REPOSITORY / "README.md").read_text(), flags=re.DOTALL)
    if "lottery ticket" in text
]
EXAMPLES = re.findall(r"```python\n(.*?)```", PAGE, flags=re.DOTALL)
BLOCKS = re.findall(r"```\n(\$ .*?)```", PAGE, flags=re.DOTALL)
RUN = (
    "greedy", "spread", "by hand", "sensitive", "tolerated", "half the MACs", "gradual", "lottery ticket",
    "recalibrated",
)  # fmt: skip
"""Series that are run, one or more of each section; the others are planned on the network."""


def example(word: str, **names: Any) -> dict[str, Any]:
    """Run the one example of the page that has `word` in it."""
    (code,) = [code for code in EXAMPLES if word in code]
    exec(compile(code, f"docs/pruning.md, {word}", "exec"), names)
    return names


def rows(first: str) -> list[list[str]]:
    """Return the cells of the table whose heading begins with `first`, a list a row."""
    _, _, after = PAGE.partition(f"\n| {first} |")
    lines = after.split("\n\n")[0].splitlines()[2:]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def named(first: str) -> list[str]:
    """Return what the first column of a table names."""
    return [cell.strip("` ") for cell, *_ in rows(first)]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """264 images to train on, 66 to validate with, since scores look at 256."""
    root = tmp_path_factory.mktemp("data")
    write_images(root / "train", per_class=110, seed=1)
    write_images(root / "test", per_class=6, seed=2)
    return root


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Stand in an empty folder with the page's own score in it."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "scores.py").write_text(next(code for code in EXAMPLES if "def spread" in code))
    return tmp_path


def written(folder: Path, text: str) -> Path:
    """Write a study: what the page prints, and what it leaves out as in the tiny study."""
    given = read_document(_file(folder / "part.yaml", text)).data
    around = {name: value for name, value in document().items() if name not in given}
    return _file(folder / "study.yaml", yaml.safe_dump(around) + text)


def _file(path: Path, text: str) -> Path:
    path.write_text(text)
    return path


@pytest.mark.parametrize(
    "text", [*STUDIES, *IN_SHORT], ids=lambda text: re.findall(r"series: (.*?)[,\n]", text)[0]
)
def test_a_study_of_the_page_can_be_planned(folder: Path, data: Path, text: str) -> None:
    settings, read = read_study(written(folder, text))
    plan, *_ = prepare(settings, data, document=read)
    assert {series.series for series in settings.prune} <= {stop.columns["series"] for stop in plan.stops}


def test_studies_of_the_page_run(folder: Path, data: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("prunescope.report.page.write_report", lambda folder: folder / "none")
    parts = [read_document(_file(folder / "part.yaml", text)).data for text in STUDIES]
    (training,) = [part["train"] for part in parts if "train" in part]
    chosen = [series for part in parts for series in part["prune"] if series["series"] in RUN]
    assert len(chosen) == len(RUN)
    retrain = {"epochs": 2, "batch": 32, "optimizer": {"lr": 0.02}}
    study = document(prune=chosen, train=training, retrain=retrain, measure=["size"])
    settings, _ = read_study(_file(folder / "study.yaml", yaml.safe_dump(study)))
    result = run_study(settings, folder / "runs", data=data)
    assert not [outcome.error for outcome in result.failed]
    networks = result.tables["networks"].set_index("network")
    _the_columns_are_there(result.tables)
    for name, target in {
        "half the MACs-0.3 of macs-pruned-seed0": "0.3 of macs",
        "tolerated-x0.5-retrained-seed0": "x0.5",
        "lottery ticket, random mask-0.36-retrained-seed0": "0.36",
        "lottery ticket, re-initialised-0.2-retrained-seed0": "0.2",
    }.items():
        assert networks.loc[name, "target"] == target
    assert "gradual-0.8-pruned-seed0" not in networks.index
    assert (folder / "runs" / "steps" / networks.loc["dense-seed0", "step"] / "states").is_dir()
    sizes = result.tables["scores"].set_index(["network", "metric"])["value"]
    swept = list((folder / "runs" / "steps").glob("sensitivity-*"))
    assert len(swept) == 1 + 4 * 4  # layers and rates, for both series that look at them
    left = {
        name: sizes[name, "macs_effective"] / sizes["dense-seed0", "macs_effective"]
        for name in networks.index
    }
    assert left["half the MACs-0.5 of macs-pruned-seed0"] <= 0.5
    assert left["half the MACs-0.3 of macs-pruned-seed0"] <= 0.3


def _the_columns_are_there(tables: dict[str, Any]) -> None:
    """Compare the page's table of columns with the tables of a study."""
    table = ""
    for name, columns, _ in rows("table"):
        table = name.strip("`") or table
        assert set(re.findall(r"`(\w+)`", columns)) <= set(tables[table].columns)
    assert {"sensitivity", "curves", "networks"} <= {cell.strip("`") for cell, *_ in rows("table")}


def test_rounds_take_what_the_page_says() -> None:
    series = SeriesSettings(series="a", granularity="weight", schedule="iterative", per_round=0.2, rounds=3)
    assert [target.text for target in series.targets] == ["0.2", "0.36", "0.488"]
    assert ".2 three times is .2, .36 and .488" in PAGE


def commands() -> Iterator[tuple[list[str], str]]:
    """Yield each command of the page with what it prints there."""
    for block in BLOCKS:
        line, _, printed = block.removeprefix("$ ").partition("\n")
        yield shlex.split(line)[1:], printed


@pytest.mark.parametrize(("arguments", "printed"), list(commands()))
def test_a_command(
    arguments: list[str], printed: str, monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    code = call(monkeypatch, *arguments).code
    out, err = capfd.readouterr()
    assert code == int(printed.startswith("error:"))
    if "--by" in arguments:  # gradients differ in their last bits from processor to processor
        share = re.compile(r"([\d.]+)%")
        found, expected = ([float(number) for number in share.findall(text)] for text in (out, printed))
        assert found == pytest.approx(expected, abs=2)
        out, printed = share.sub("%", out), share.sub("%", printed)
    assert (out or err) == printed


def test_the_lines_of_python() -> None:
    trained: list[nn.Module] = []
    example("my_training_loop", my_training_loop=trained.append)
    share = ps.count(trained[0]).layers["conv2.conv"]
    assert share.zeros > 0
    asked: list[nn.Module] = []

    def accuracy(network: nn.Module) -> float:
        asked.append(network)
        return float(network.conv1.conv.weight.count_nonzero())

    mask = example("my_accuracy", my_accuracy=accuracy)["mask"]
    assert len(asked) == 1 + 16  # filters of conv1
    assert mask.granularity == "filter"
    mask = example('"conv1.*": 0.3')["mask"]
    assert float(mask.removed("conv1.conv").float().mean()) == pytest.approx(0.3, abs=0.01)
    assert float(mask.removed("fc").float().mean()) == pytest.approx(0.8, abs=0.01)
    names = example("prune_to_budget")
    assert names["found"].reached <= 12e6


def test_every_score_is_in_the_table_as_it_is() -> None:
    scores, said = all_scores(), rows("score")
    assert {cell.split("`")[1] for cell, *_ in said} == set(scores)
    for name, looks, granularities, needs, source in said:
        score = scores[name.split("`")[1]]
        known = sorted(score.granularities) if score.granularities else ["all"]
        assert sorted(granularities.split(", ")) == known, name
        assert needs == score.needs, name
        assert ("†" in name) == score.comparable, name
        steps = re.search(r"in (\d+) steps", looks)
        assert (int(steps[1]) if steps else 1) == score.steps, name
        year = re.search(r"\d{4}(?=, \[)", source)
        assert (year[0] if year else "") in (score.compute.__doc__ or ""), name


def test_the_other_tables_name_all_that_there_is() -> None:
    assert set(named("granularity")) == set(GRANULARITIES)
    for name, _, afterwards in rows("granularity"):
        assert ("ompaction" in afterwards) == GRANULARITIES[name.strip("`")].shrinks
    assert set(named("scope")) == set(get_args(Scope))
    assert named("of") == list(get_args(Of))
    assert set(named("schedule")) == set(get_args(SeriesSettings.model_fields["schedule"].annotation))
    assert set(named("kind")) == set(get_args(RetrainSettings.model_fields["kind"].annotation))


def test_synflow_leaves_branches_a_single_weight() -> None:
    network = ps.open_network("prunescope/sprig", weights="SCENES_V1")
    mask = ps.prune(network, "weight", by="synflow", scope="global", rate=0.9)
    left = [int((~mask.removed(name)).sum()) for name in mask.rates]
    assert f"{left.count(1)} of {len(left)} layers keep a single weight" in " ".join(PAGE.split())
    shared = ps.prune(
        network, "weight", by="synflow", scope="global", rate=0.9, min_share=0.02, score_steps=3
    )
    assert all(float((~shared.removed(name)).float().mean()) >= 0.02 for name in shared.rates)


def test_links_lead_somewhere() -> None:
    headings = {
        re.sub(r"[^\w -]", "", line.lower()).replace(" ", "-")
        for line in re.findall(r"^#+ (.*)$", PAGE, re.M)
    }
    for target in re.findall(r"\]\(([^)]*)\)", PAGE):
        file, _, anchor = target.partition("#")
        if file and not file.startswith("http"):
            assert (REPOSITORY / "docs" / file).exists(), target
        elif not file:
            assert anchor in headings, target
