"""`prunescope analyse` and `ps.analyse`: from a folder to rows and files; names are data; what is wrong is said."""

from __future__ import annotations

import math
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from typer.testing import CliRunner

import prunescope as ps
from analysis.made_run import write_run
from prunescope.analysis.finding import COLUMNS
from prunescope.cli.main import app
from prunescope.errors import PrunescopeError

DENSE = [{"top1": value, "mis": 0.7} for value in (0.90, 0.91, 0.92)]
WORSE = [{"top1": value, "mis": 0.6 + value / 100} for value in (0.80, 0.82, 0.81)]
RANK = {"shown", "not shown", "shown to be equal", "no interval", "described"}


def call(*arguments: object) -> tuple[int, str]:
    result = CliRunner().invoke(app, ["analyse", *map(str, arguments)])
    message = f"{type(result.exception).__name__}: {result.exception}" if result.exception else ""
    return result.exit_code, result.output + message


@pytest.fixture
def run(tmp_path: Path) -> Path:
    return write_run(
        tmp_path / "run", DENSE, {"weights": {"0.5": DENSE, "0.8": WORSE}, "filters": {"0.5": WORSE}}
    )


def test_it_prints_the_sentences_by_question_and_writes_both_files(run: Path) -> None:
    code, text = call(run)
    assert code == 0
    table = pd.read_parquet(run / "analysis" / "findings.parquet")
    assert list(table) == COLUMNS
    assert set(table["verdict"]) <= RANK
    assert len(table) > 10
    lines = text.splitlines()
    for question, own in table.groupby("question", sort=False):
        place = lines.index(f"{question[0].upper()}{question[1:]}")
        assert lines[place + 1 : place + 1 + len(own)] == [f"  {sentence}" for sentence in own["sentence"]]
    csv = pd.read_csv(run / "analysis" / "findings.csv", keep_default_na=False)
    assert csv["sentence"].tolist() == table["sentence"].tolist()


def test_python_returns_the_same_rows(run: Path) -> None:
    call(run)
    table = ps.analyse(run)
    pd.testing.assert_frame_equal(table, pd.read_parquet(run / "analysis" / "findings.parquet"))
    assert (
        ps.analyse(str(run), margins={"top1": 0.5}).query("measure == 'top1'")["margin"].dropna() == 0.5
    ).all()


def test_it_writes_the_same_bytes_again(run: Path) -> None:
    call(run)
    files = {path.name: path.read_bytes() for path in (run / "analysis").iterdir()}
    call(run)
    assert files == {path.name: path.read_bytes() for path in (run / "analysis").iterdir()}


def test_a_margin_of_the_command_line_is_used(run: Path) -> None:
    assert call(run, "--margin", "top1=0.2")[0] == 0
    table = pd.read_parquet(run / "analysis" / "findings.parquet")
    equal = table.query("question == 'equivalence' and measure == 'top1'")
    assert (equal["margin"] == 0.2).all()
    assert "shown to be equal" in set(equal["verdict"])


@pytest.mark.parametrize(
    ("margin", "why"),
    [
        ("top1", "cannot be read: expected METRIC=VALUE"),
        ("top1=one", "cannot be read"),
        ("top1=0", "cannot be used"),
        ("top1=-0.1", "cannot be used"),
        ("top1=nan", "cannot be used"),
        ("top1=inf", "cannot be used"),
        ("top2=0.1", "did you mean 'top1'"),
        ("speed=0.1", "no measure 'speed'"),
    ],
)
def test_a_margin_that_cannot_be_used_says_why(run: Path, margin: str, why: str) -> None:
    code, text = call(run, "--margin", margin)
    assert code == 1
    assert why in text
    assert not (run / "analysis").exists()


def test_a_margin_in_python_is_checked_too(run: Path) -> None:
    with pytest.raises(PrunescopeError, match="no measure 'spead'"):
        ps.analyse(run, margins={"spead": 0.1})


def test_names_are_data(tmp_path: Path) -> None:
    """Names that a terminal, a spreadsheet or rich would take for commands."""
    evil = ["=cmd()", "[bold]x[/bold]", 'a"b,c\nd', "+1", "<script>"]
    run = write_run(tmp_path / "run", DENSE, {name: {"0.5": WORSE} for name in evil})
    code, text = call(run)
    assert code == 0
    assert "[bold]x[/bold]" in text
    assert '“a"b,c d”' in text
    cells = pd.read_csv(run / "analysis" / "findings.csv")["series"].dropna()
    assert not cells.str.startswith(("=", "+", "-", "@")).any()
    assert "'=cmd()" in set(cells)
    assert set(pd.read_parquet(run / "analysis" / "findings.parquet")["series"]) == {*evil, ""}


def test_several_runs_need_a_folder_of_their_own(run: Path, tmp_path: Path) -> None:
    other = write_run(tmp_path / "other", DENSE, {"weights": {"0.6": WORSE}})
    code, text = call(run, other)
    assert code == 1
    assert "--out" in text
    code, text = call(run, other, "--out", tmp_path / "both")
    assert code == 0, text
    table = pd.read_parquet(tmp_path / "both" / "analysis" / "findings.parquet")
    assert {"run: weights", "other: weights"} <= set(table["series"])


def test_each_of_several_runs_is_compared_with_its_own_dense_network(tmp_path: Path) -> None:
    runs = [
        write_run(
            tmp_path / name,
            [{"top1": value} for value in dense],
            {"weights": {"0.5": [{"top1": value} for value in pruned]}},
        )
        for name, dense, pruned in (
            ("one", (0.90, 0.91, 0.92), (0.80, 0.80, 0.83)),
            ("other", (0.60, 0.61, 0.63), (0.55, 0.57, 0.57)),
        )
    ]
    for run in runs:  # of networks with equal steps, one is kept
        for path in (run / "tables" / f"{name}.parquet" for name in ("networks", "steps")):
            own = pd.read_parquet(path)
            own.assign(step=run.name + own["step"]).to_parquet(path)
    table = ps.analyse(runs).query("question == 'difference' and series != ''").set_index("series")
    assert table["estimate"].to_dict() == pytest.approx({"one: weights": -0.1, "other: weights": -0.05})
    assert table["resampled"].eq("seed").all()


def test_a_published_study_that_is_drawn_along_is_in_no_conclusion(run: Path, tmp_path: Path) -> None:
    along = write_run(
        tmp_path / "theirs", DENSE, {"weights": {"0.5": WORSE}}, published={"source": "a paper"}
    )
    alone, table = ps.analyse(run), ps.analyse(run, published=[along])
    pd.testing.assert_frame_equal(table, alone)


def test_only_a_dense_network_says_that_nothing_follows(tmp_path: Path) -> None:
    code, text = call(write_run(tmp_path / "run", DENSE, {}))
    assert code == 0
    assert "Nothing can be concluded" in text
    assert ps.analyse(tmp_path / "run").empty


def test_a_folder_that_is_no_run_is_refused(tmp_path: Path) -> None:
    code, text = call(tmp_path)
    assert code == 1
    assert "study.json is missing" in text


def test_where_nothing_can_be_written_it_is_said(run: Path) -> None:
    (run / "analysis").write_text("mine")
    code, text = call(run)
    assert code == 1
    assert "expected a folder" in text


def test_an_empty_table_of_units_and_missing_tables_are_no_error(run: Path) -> None:
    for name in ("units", "classes"):
        pd.DataFrame().to_parquet(run / "tables" / f"{name}.parquet")
    before = ps.analyse(run)
    shutil.rmtree(run / "pictures", ignore_errors=True)
    assert len(before) == len(ps.analyse(run)) > 10


def test_neither_torch_nor_statsmodels_is_imported(run: Path) -> None:
    code = (
        "import sys, prunescope as ps; ps.analyse(sys.argv[1]); "
        "sys.exit(bool({'torch', 'statsmodels', 'matplotlib'} & set(sys.modules)))"
    )
    subprocess.run([sys.executable, "-c", code, str(run)], check=True, timeout=120)


def test_every_row_is_whole(run: Path) -> None:
    table = ps.analyse(run)
    assert table["sentence"].str.endswith(".").all()
    assert table["method"].ne("").all()
    with_interval = table["low"].notna()
    assert table.loc[with_interval, "resampled"].ne("").all()
    assert table.loc[~with_interval, "resampled"].eq("").all()
    shown = table["verdict"].isin(["shown", "not shown"])
    assert table.loc[shown, "p"].notna().all()
    assert (table["p_holm"].dropna() >= table.loc[table["p_holm"].notna(), "p"] - 1e-12).all()
    assert not table["sentence"].str.contains("nan", case=False).any()
    assert math.isfinite(table["weight"].max())
