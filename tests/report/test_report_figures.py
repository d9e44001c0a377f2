"""The figures that are new with the command `figure`: what they draw, against the tables and slow forms."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from PIL import Image
from synthetic import write_study
from synthetic_explanations import write_explanation_study
from synthetic_roads import write_ticket_study
from synthetic_units import write_unit_study

from prunescope.analysis.results import Results, read_results
from prunescope.errors import PrunescopeError
from prunescope.report.blocks import Plot
from prunescope.report.epoch_figures import epoch_plots
from prunescope.report.explanation_grid_figure import explanation_grid_plots
from prunescope.report.mis_accuracy import alive_plots, mis_accuracy_plots
from prunescope.report.pareto import on_front, pareto_plots
from prunescope.report.saved_figures import lay_out, project_looks
from prunescope.report.saw_tooth import saw_tooth_plots

ODD_NAMES = ("<script>alert(1)</script>", "cost $x$ \\frac", "_hidden", "א" * 30, "n" * 200)


def change(folder: Path, table: str, by: Callable[[pd.DataFrame], pd.DataFrame]) -> Results:
    path = folder / "tables" / f"{table}.parquet"
    by(pd.read_parquet(path)).to_parquet(path)
    return read_results(folder)


def drawn(plot: Plot) -> Figure:
    with project_looks():
        return lay_out(plot.draw)


def plain(text: str) -> str:
    """Return a text with common spaces."""
    return text.replace("\u00a0", " ")


def points_of(ax: Axes, label: str) -> set[tuple[float, float]]:
    """Return the corners of all lines of a series, rounded."""
    lines = [np.asarray(line.get_xydata(), dtype=float) for line in ax.lines if line.get_label() == label]
    return {(round(float(x), 9), round(float(y), 9)) for line in lines for x, y in line}


def top1_of(folder: Path) -> pd.DataFrame:
    """Return the table of networks with their top-1, read without the program."""
    scores = pd.read_parquet(folder / "tables" / "scores.parquet").query("metric == 'top1'")
    networks = pd.read_parquet(folder / "tables" / "networks.parquet")
    return networks.merge(scores[["network", "value"]], on="network").rename(columns={"value": "top1"})


@pytest.fixture
def ticket(tmp_path: Path) -> Path:
    folder = write_ticket_study(tmp_path / "s", rounds=3, layers=3)
    change(folder, "networks", lambda t: t.assign(round=(np.log(1 - t["rate"]) / np.log(0.8)).round()))
    return folder


def test_the_saw_tooth_goes_down_with_pruning_and_up_with_retraining(ticket):
    [plot] = saw_tooth_plots(read_results(ticket))
    networks = top1_of(ticket)
    ax = drawn(plot).axes[0]
    for series in ("magnitude", "magnitude, random mask"):
        expected = {(0.0, networks.query("stage == 'dense'")["top1"].mean())}
        for (stage, number), own in networks[networks["series"] == series].groupby(["stage", "round"]):
            expected.add((2 * number - (stage == "pruned"), own["top1"].mean()))
        assert points_of(ax, series) == {(float(x), round(float(y), 9)) for x, y in expected}
    assert [plain(tick.get_text()) for tick in ax.get_xticklabels()] == [
        "dense",
        "1\n20 %",
        "2\n36 %",
        "3\n48.8 %",
    ]
    assert "re-initialised" not in {line.get_label() for line in ax.lines}
    assert "Not drawn: 1 series without rounds of both" in plain(
        plot.caption
    )  # it has no networks just pruned
    hollow = [line for line in ax.lines if line.get_markerfacecolor() == "white"]
    assert {x % 2 for line in hollow for x in np.asarray(line.get_xdata())} == {1.0}


def test_a_series_of_one_round_has_no_saw_tooth(tmp_path):
    assert saw_tooth_plots(read_results(write_study(tmp_path / "s"))) == []


def test_the_targets_are_not_named_where_series_ask_for_different_ones(ticket):
    other = lambda t: t.assign(  # noqa: E731
        target=np.where(t["series"] == "magnitude", t["target"], t["target"] + " of weights")
    )
    [plot] = saw_tooth_plots(change(ticket, "networks", other))
    assert drawn(plot).axes[0].get_xlabel() == "Round"


def with_curves(folder: Path, epochs: int, validate: Callable[[str], bool]) -> Results:
    """Write curves of all networks but those just pruned; `validate` says which have their accuracy."""
    networks = pd.read_parquet(folder / "tables" / "networks.parquet").query("stage != 'pruned'")
    rows = [
        (
            name,
            epoch,
            0.5 + seed / 100 + epoch / 50 if validate(name) else math.nan,
            2 - epoch / 10 + seed,
            0.1,
        )
        for name, seed in zip(networks["network"], networks["seed"], strict=True)
        for epoch in range(epochs)
    ]
    table = pd.DataFrame(rows, columns=["network", "epoch", "validate_top1", "loss", "lr"])
    table.to_parquet(folder / "tables" / "curves.parquet")
    return read_results(folder)


def test_accuracy_by_epoch_is_the_mean_over_seeds_with_their_band(tmp_path):
    folder = write_study(tmp_path / "s", seeds=(0, 1, 2), layers=3, rates=(0.2, 0.6))
    [plot] = epoch_plots(with_curves(folder, 4, lambda name: True))
    figure = drawn(plot)
    titles = [ax.get_title(loc="left") for ax in figure.axes if ax.has_data()]
    assert titles == ["dense", "filters", "weights", "connections, random"]
    expected = {(epoch + 1.0, round(0.51 + epoch / 50, 9)) for epoch in range(4)}
    assert points_of(figure.axes[1], "20\u00a0%") == points_of(figure.axes[0], "dense") == expected
    # Student's t of three values 0.01 apart: 4.302653 · 0.01 / √3 = 0.024841.
    band = figure.axes[1].collections[0].get_paths()[0].vertices
    assert band[:, 1].min() == pytest.approx(0.51 - 0.0248414, abs=1e-6)
    assert "Means of 3 seeds" in plot.caption


def test_without_accuracy_the_loss_is_drawn_and_said_to_be(tmp_path):
    folder = write_study(tmp_path / "s", layers=3, rates=(0.2,))
    [plot] = epoch_plots(with_curves(folder, 2, lambda name: False))
    assert plot.caption.startswith("Loss on the training images")
    figure = drawn(plot)
    assert figure.axes[0].get_ylabel() == "Training loss"
    assert points_of(figure.axes[1], "20\u00a0%") == {(1.0, 2.0), (2.0, 1.9)}


def test_networks_without_the_number_are_counted(tmp_path):
    folder = write_study(tmp_path / "s", layers=3, rates=(0.2, 0.4))
    [plot] = epoch_plots(with_curves(folder, 2, lambda name: "filters" in name))
    assert "Not drawn: 5 networks without this number" in plain(
        plot.caption
    )  # two series of two rates, and the dense one
    assert [ax.get_title(loc="left") for ax in drawn(plot).axes] == ["filters"]


def test_a_single_epoch_is_no_course(tmp_path):
    folder = write_study(tmp_path / "s", layers=3)
    assert epoch_plots(with_curves(folder, 1, lambda name: True)) == []


def test_accuracy_against_mis_has_a_point_for_each_network(tmp_path):
    folder = write_unit_study(tmp_path / "s", measures=("mis",), layers=3, rates=(0.2, 0.6))
    results = read_results(folder)
    [plot] = mis_accuracy_plots(results)
    published, live = drawn(plot).axes
    for ax, metric in ((published, "mis_published"), (live, "mis")):
        for series in results.series:
            own = results.networks[results.networks["series"] == series]
            expected = {(round(x, 9), round(y, 9)) for x, y in zip(own[metric], own["top1"], strict=True)}
            assert points_of(ax, series) == expected
        dense = results.dense.iloc[0]
        assert points_of(ax, "dense") == {(round(dense[metric], 9), round(dense["top1"], 9))}
    [alive] = alive_plots(results)
    before, after = drawn(alive).axes
    own = results.pruned[results.pruned["series"] == "filters"]
    assert points_of(before, "filters") == set(zip(own["rate"], own["units_alive"], strict=True))
    assert after.get_ylim()[0] == 0


def test_networks_without_mis_are_left_out_and_counted(tmp_path):
    folder = write_unit_study(tmp_path / "s", measures=("mis",), layers=3, rates=(0.2, 0.6))
    gone = lambda t: t[~(t["metric"].isin(["mis", "units_alive"]) & t["network"].str.startswith("weights"))]  # noqa: E731
    results = change(folder, "scores", gone)
    [plot] = mis_accuracy_plots(results)
    assert "Not drawn: 4 networks without MIS" in plain(plot.caption)
    assert points_of(drawn(plot).axes[1], "weights") == set()
    [alive] = alive_plots(results)
    assert "Not drawn: 4 networks without their units looked at" in plain(alive.caption)
    legend = [text.get_text() for text in drawn(alive).legends[0].texts]
    assert legend == ["dense", "filters", "connections, random"]


def test_one_panel_is_enough_where_no_dead_unit_was_scored(tmp_path):
    folder = write_unit_study(tmp_path / "s", measures=("mis",), layers=3, rates=(0.2,))

    def alike(table: pd.DataFrame) -> pd.DataFrame:
        kept = table[table["metric"] != "mis_published"]
        return pd.concat([kept, kept[kept["metric"] == "mis"].assign(metric="mis_published")])

    [plot] = mis_accuracy_plots(change(folder, "scores", alike))
    assert len(drawn(plot).axes) == 1
    assert "Left:" not in plot.caption


@given(st.lists(st.tuples(st.sampled_from([0.1, 0.2, 0.5, 1.0]), st.sampled_from([0.0, 0.3, 0.7, 0.9]))))
def test_the_front_is_what_no_other_point_beats(points):
    def beaten(point: tuple[float, float]) -> bool:
        return any(c <= point[0] and v >= point[1] and (c, v) != point for c, v in points)

    assert on_front(points) == [not beaten(point) for point in points]


def test_the_line_of_the_front_is_the_best_that_a_cost_buys(tmp_path):
    results = read_results(write_study(tmp_path / "s", layers=3))
    [plot] = pareto_plots(results)
    ends = results.networks[results.networks["final"] | (results.networks["stage"] == "dense")]
    for ax, column in zip(drawn(plot).axes, ("left", "macs_left"), strict=True):
        [line] = [line for line in ax.lines if line.get_marker() == "None"]
        corners = np.asarray(line.get_xydata(), dtype=float)
        for cost in np.linspace(ends[column].min(), 1.0, 37)[:-1] + 1e-9:
            best = ends.loc[ends[column] <= cost, "top1"].max()
            spans = [i for i in range(len(corners) - 1) if corners[i + 1, 0] <= cost < corners[i, 0]]
            assert corners[spans[0] + 1, 1] == pytest.approx(best)
        on = on_front([(x, y) for x, y in zip(ends[column], ends["top1"], strict=True)])
        assert f"{sum(on)} of {len(on)} by" in plot.caption


def test_networks_of_unknown_size_are_on_no_front(tmp_path):
    folder = write_study(tmp_path / "s", layers=3, measures=("accuracy",))
    nothing = dict.fromkeys(
        (f"{what}_after_{stage}" for what in ("zeros", "unreachable") for stage in ("pruning", "retraining")),
        math.nan,
    )
    assert pareto_plots(change(folder, "networks", lambda t: t.assign(**nothing))) == []


def test_the_grid_shows_the_pictures_that_were_kept(tmp_path):
    folder = write_explanation_study(tmp_path / "s")
    results = read_results(folder)
    plot = explanation_grid_plots(results)[0]
    figure = drawn(plot)
    images = [ax.images[0].get_array() for ax in figure.axes if ax.images]
    table = results.explanation_pictures
    method = table.loc[table["kind"] == "heat", "method"].iloc[0]
    first = table[table["why"] == "class"].iloc[0]["image"]
    kept = table[(table["image"] == first) & (table["kind"] == "image") | (table["image"] == first)
                 & (table["method"] == method) & (table["network"] == "dense-seed0")]  # fmt: skip
    for jpeg in kept["jpeg"]:
        pixels = np.asarray(Image.open(io.BytesIO(jpeg)).convert("RGB"))
        assert any(image.shape == pixels.shape and (image == pixels).all() for image in images)
    headings = [ax.get_title() for ax in figure.axes if ax.get_title()]
    assert headings[:2] == ["Image", "dense"]


def test_a_damaged_picture_is_named(tmp_path):
    folder = write_explanation_study(tmp_path / "s")
    path = folder / "pictures" / "explanations.parquet"
    table = pd.read_parquet(path)
    table.assign(jpeg=[b"\xff\xd8nothing"] * len(table)).to_parquet(path)
    [plot, *_] = explanation_grid_plots(read_results(folder))
    with pytest.raises(PrunescopeError, match="a picture of the study is damaged"):
        drawn(plot)


@pytest.mark.parametrize("shape", [
    {"rates": (0.5,)}, {"retrain": False}, {"seeds": (0, 1)},
    {"series": [(name, "filter", "l1", 2.6, 0.2) for name in ODD_NAMES]},
])  # fmt: skip
def test_odd_studies_are_drawn_too(tmp_path, shape: dict[str, Any]):
    results = read_results(write_unit_study(tmp_path / "s", layers=3, **shape))
    plots = [
        *mis_accuracy_plots(results),
        *alive_plots(results),
        *pareto_plots(results),
        *saw_tooth_plots(results),
    ]
    assert len(plots) >= 3
    for plot in plots:
        text = " ".join(
            text.get_text() for text in drawn(plot).findobj(lambda part: hasattr(part, "get_text"))
        )
        assert "nan" not in text
    assert json.dumps([plot.caption for plot in plots])  # plain text


def test_only_a_dense_network_has_none_of_these(tmp_path):
    results = read_results(write_unit_study(tmp_path / "s", layers=3, series=()))
    made = (
        mis_accuracy_plots,
        alive_plots,
        pareto_plots,
        saw_tooth_plots,
        epoch_plots,
        explanation_grid_plots,
    )
    assert [make(results) for make in made] == [[]] * len(made)
