"""What each command does, in this process: `prunescope --help` alone is tried as a user would."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pandas as pd
import pytest
import torch

from cli.call import Called, call
from prunescope import Mask, load_tables, open_network
from study.tiny import document, write_data, write_study

COMMANDS = (
    "run",
    "audit",
    "recommend",
    "check",
    "verify",
    "tables",
    "report",
    "layers",
    "prune",
    "compact",
    "export",
    "speed",
    "schema",
    "survey",
)


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with images, a study, and its results with their report."""
    folder = write_data(tmp_path_factory.mktemp("place"))
    write_study(folder)
    with pytest.MonkeyPatch.context() as patch:
        called = call(patch, "run", folder / "study.yaml", "--out", folder / "runs", "--data", folder)
    assert called.code == 0
    return folder


def test_help_is_instant_because_it_imports_nothing_heavy() -> None:
    script = (
        "import sys; from prunescope.cli.main import run; sys.argv = ['prunescope', '--help']\n"
        "try: run()\n"
        "except SystemExit as end: print('CODE', end.code)\n"
        "heavy = ('torch', 'torchvision', 'pandas', 'numpy', 'matplotlib', 'pydantic')\n"
        "print('HEAVY', [m for m in heavy if m in sys.modules])"
    )
    found = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert "CODE 0" in found.stdout
    assert "HEAVY []" in found.stdout
    for command in COMMANDS:
        assert f" {command} " in found.stdout


def test_the_package_runs_as_a_module() -> None:
    found = subprocess.run(
        [sys.executable, "-m", "prunescope", "nonsense"], capture_output=True, text=True, check=False
    )
    assert found.returncode == 2
    assert "nonsense" in found.stderr


def test_run_says_where_its_results_are_and_is_quiet_the_second_time(
    place: Path, prunescope: Callable[..., Called], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "prunescope.report.page.write_report", lambda folder: folder / "report" / "index.html"
    )
    again = prunescope("run", place / "study.yaml", "--out", place / "runs", "--data", place)
    assert again.code == 0
    assert again.out.splitlines() == [
        f"tables: {place}/runs/tiny/tables",
        f"report: {place}/runs/tiny/report/index.html",
    ]
    assert again.err.splitlines() == ["15 steps, 15 of them done already"]


def test_set_changes_a_field_and_a_wrong_one_is_named(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    def checked(change: str) -> Called:
        return prunescope("check", place / "study.yaml", "--data", place, "--out", tmp_path, "--set", change)

    assert "prune weights-0.7" in checked("prune.0.rates=[0.7]").out
    wrong = checked("retrain.epoch=2")
    assert wrong.code == 1
    assert wrong.err.startswith(
        "error: --set retrain.epoch: retrain.epoch: unknown field (did you mean 'epochs'?)"
    )


def test_check_says_what_is_done_and_does_nothing(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    done = prunescope("check", place / "study.yaml", "--data", place, "--out", place / "runs")
    assert done.code == 0
    assert "15 of 15 steps are done" in done.out
    assert done.out.startswith("tiny: study.tiny:tiny, 3 classes, images: 24 train, 6 validate, 18 test\n")
    fresh = prunescope("check", place / "study.yaml", "--data", place, "--out", tmp_path / "none")
    assert "0 of 15 steps are done" in fresh.out
    assert not (tmp_path / "none").exists()


def test_tables_are_listed_and_exported(place: Path, prunescope: Callable[..., Called]) -> None:
    folder = place / "runs" / "tiny"
    listed = prunescope("tables", folder)
    assert f"{folder}/tables/networks.parquet: 5 rows: network, step, series" in listed.out
    assert not list(folder.glob("tables/*.csv"))
    assert prunescope("tables", folder, "--csv").code == 0
    for name, table in load_tables(folder).items():
        exported = pd.read_csv(folder / "tables" / f"{name}.csv", dtype={"target": str})
        assert list(exported.columns) == list(table.columns)
        for column in table:
            pd.testing.assert_series_equal(
                exported[column].dropna(), table[column].dropna(), check_dtype=False, rtol=1e-6
            )


def test_the_tasks_of_units_stay_parquet(
    place: Path, prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    copy = shutil.copytree(place / "runs" / "tiny", tmp_path / "tiny")
    pd.DataFrame({"unit": [1, 2]}).to_parquet(copy / "tables" / "unit_tasks.parquet")
    called = prunescope("tables", copy, "--csv")
    assert f"{copy}/tables/unit_tasks.parquet: 2 rows: unit" in called.out
    assert not (copy / "tables" / "unit_tasks.csv").exists()
    assert (copy / "tables" / "networks.csv").exists()


def test_verify_is_content_with_results_as_they_were_written(
    place: Path, prunescope: Callable[..., Called]
) -> None:
    for folder in (place / "runs", place / "runs" / "tiny"):
        verified = prunescope("verify", folder)
        assert (verified.code, verified.out) == (0, "15 steps, all as they were written\n")


def test_the_report_is_written_anew(place: Path, prunescope: Callable[..., Called]) -> None:
    report = place / "runs" / "tiny" / "report"
    figures = sorted(path.name for path in (report / "figures").iterdir())
    shutil.rmtree(report)
    assert prunescope("report", place / "runs" / "tiny").out == f"report: {report}/index.html\n"
    assert "filters" in (report / "index.html").read_text()
    assert sorted(path.name for path in (report / "figures").iterdir()) == figures != []


def test_layers_are_listed_with_what_can_be_removed(prunescope: Callable[..., Called]) -> None:
    listed = prunescope("layers", "prunescope/sprig")
    rows = {line.split()[0]: line for line in listed.out.splitlines()}
    network = open_network("prunescope/sprig")
    weights = {
        n: m.weight for n, m in network.named_modules() if isinstance(m, torch.nn.Conv2d | torch.nn.Linear)
    }
    assert set(weights) <= set(rows)
    for name, weight in weights.items():
        assert "x".join(map(str, weight.shape)) in rows[name]
        assert f"{weight.numel():,}" in rows[name]
    assert "the classes" in rows["fc"]
    assert f"{sum(weight.numel() for weight in weights.values()):,}" in rows[str(len(weights))]
    assert "for one image of 64 x 64 pixels" in listed.out


def test_prune_writes_a_network_with_its_mask_and_says_what_is_left(
    prunescope: Callable[..., Called], tmp_path: Path
) -> None:
    file = tmp_path / "deep" / "sprig.safetensors"
    said = prunescope(
        "prune",
        "prunescope/sprig",
        "--rate",
        0.4,
        "--granularity",
        "filter",
        "--spare",
        "conv1*,conv2*",
        "--out",
        file,
    )
    assert said.code == 0, said.err
    pruned, mask = open_network(str(file)), Mask.load(file.with_suffix(".mask.safetensors"))
    modules = dict(pruned.named_modules())
    zeros = weights = 0
    for name, rate in mask.rates.items():
        dead = (modules[name].weight.flatten(1) == 0).all(1)
        assert rate == 0.4
        assert int(dead.sum()) == round(0.4 * len(dead))
        zeros, weights = (
            zeros + int(dead.sum()) * modules[name].weight[0].numel(),
            weights + modules[name].weight.numel(),
        )
    assert not any(name.startswith(("conv1", "conv2", "fc")) for name in mask.rates)
    assert f"zeros        {zeros / weights:6.1%}" in said.out
    assert f"of {weights:,} prunable weights" in said.out


def test_the_schema_is_json_about_every_field(prunescope: Callable[..., Called]) -> None:
    schema = json.loads(prunescope("schema").out)
    assert set(document()) <= set(schema["properties"])
    assert schema["required"] == ["study", "network", "images"]
    assert schema["additionalProperties"] is False
