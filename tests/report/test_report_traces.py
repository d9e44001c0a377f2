"""What is read back from a figure, against the tables that it was drawn from and the picture itself."""

import json
import math
import re
from functools import partial
from xml.etree import ElementTree

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter
from synthetic import SERIES, write_study

from prunescope.analysis.results import read_results
from prunescope.report import figures, heat_maps, interactive
from prunescope.report.interactive import bring_to_life
from prunescope.report.saved_figures import lay_out, project_looks, save
from prunescope.report.scales import name_places, scale_of
from prunescope.report.traces import ONE_SEED, label_of, marks_of, name_points, stand_for

NAMES = ("<script>alert(1)</script>", '=HYPERLINK("x")', "_$x_{1$ \\ 日本 & co")
SVG = "{http://www.w3.org/2000/svg}"


def live_of(draw, tmp_path, name="it"):
    """Return the figure as the page shows it, and what its script hands over."""
    with project_looks():
        figure = lay_out(draw)
        save(figure, tmp_path / f"{name}.svg")
        live = bring_to_life(figure, name, (tmp_path / f"{name}.svg").read_text("utf-8"))
    assert live.script.startswith("prunescope.figure({")
    return live, json.loads(live.script[len("prunescope.figure(") : -3])


def table_of(live, tmp_path):
    (tmp_path / "it.csv").write_text(live.csv, "utf-8")
    return pd.read_csv(tmp_path / "it.csv", keep_default_na=False, na_values=[""])


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    series = [(name, *entry[1:]) for name, entry in zip(NAMES, SERIES, strict=True)]
    folder = tmp_path_factory.mktemp("traces") / "s"
    return write_study(
        folder, series=series, rates=(0.2, 0.6), seeds=(0, 1), layers=4, classes=("a", "b", "c")
    )


def test_the_numbers_of_a_figure_are_those_of_the_tables(folder, tmp_path):
    results = read_results(folder)
    live, _ = live_of(partial(figures.accuracy_by_rate, results), tmp_path)
    table = table_of(live, tmp_path)
    networks = pd.read_parquet(folder / "tables" / "networks.parquet")
    scores = pd.read_parquet(folder / "tables" / "scores.parquet")
    networks = networks.merge(scores[scores["metric"] == "top1"], on="network")
    panels = {"Pruned, before any retraining": "pruned", "After retraining": "retrained"}
    seeds = table[table["of"] == "one seed"]
    assert len(seeds) == 2 * 3 * 2 * 2  # stages, series, rates, seeds
    for series in NAMES:
        safe = f"'{series}" if series.startswith("=") else series  # a spreadsheet would run it
        for title, stage in panels.items():
            own = networks[(networks["series"] == series) & (networks["stage"] == stage)]
            told = table[(table["panel"] == title) & (table["series"] == safe)]
            each = told[told["of"] == "one seed"]
            assert np.allclose(np.sort(each["y"]), np.sort(own["value"]))
            means = told[told["of"].isna()].set_index("x")
            assert np.allclose(means["y"].sort_index(), own.groupby("rate")["value"].mean())
            for rate, values in own.groupby("rate")["value"]:
                if values.std() == 0:
                    continue  # both at chance: the interval is that of the images
                half = 12.7062 * values.std() / math.sqrt(2)  # t of .975 with one degree of freedom
                ends = means.loc[rate, ["y low", "y high"]]
                assert np.allclose(ends, [values.mean() - half, values.mean() + half], atol=1e-4)
    assert set(table["x axis"]) == {"Rate asked"}
    assert set(table["y axis"]) == {"Top-1 accuracy"}  # the label stands at the left panel only


def test_marks_lie_where_the_picture_has_its_markers(folder, tmp_path):
    _, data = live_of(partial(figures.accuracy_by_rate, read_results(folder)), tmp_path)
    root = ElementTree.fromstring(data["svg"])
    parts = {each.get("id"): each for each in root.iter(f"{SVG}g")}
    for place, (_, ids) in enumerate(data["series"]):
        uses = [use for part in ids for use in parts[part].iter(f"{SVG}use")]
        drawn = sorted((float(use.get("x")), float(use.get("y"))) for use in uses)
        told = sorted(
            (x, y) for _, series, x, y, across, _ in data["marks"] if series == place and not across
        )
        assert np.allclose(told, drawn, atol=0.011)


def test_a_mark_says_its_values_as_the_axis_writes_them(folder, tmp_path):
    results = read_results(folder)
    _, data = live_of(partial(figures.accuracy_by_rate, results), tmp_path)
    dense = next(
        lines
        for _, series, *_, across, lines in data["marks"]
        if data["series"][series][0] == "dense" and across
    )
    value = results.dense["top1"].mean()
    assert re.match(rf"Top-1 accuracy: {100 * value:.1f}\u00a0% \(\d", dense[0])
    mark = next(
        mark for mark in data["marks"] if data["series"][mark[1]][0] == NAMES[0] and mark[5][-1] == "one seed"
    )
    assert mark[5][0] in {"Rate asked: 20\u00a0%", "Rate asked: 60\u00a0%"}


def test_a_heat_map_tells_every_cell(folder, tmp_path):
    results = read_results(folder)
    live, data = live_of(partial(heat_maps.density_by_layer, results), tmp_path)
    table = table_of(live, tmp_path)
    layers = pd.read_parquet(folder / "tables" / "layers.parquet")
    final = results.final[["network", "series", "rate", "granularity"]]
    left = layers.drop(columns="rate").merge(final, on="network")
    left["left"] = 1 - left["zeros"].where(left["granularity"] != "filter", left["unreachable"])
    means = left.groupby(["series", "rate", "layer"])["left"].mean()
    assert len(table) == len(means) == len(data["marks"])
    plain = [name for name in NAMES if not name.startswith("=")]
    for (series, rate, layer), value in means.items():
        if series in plain:
            row = table[
                (table["panel"] == series)
                & (table["x"] == layer)
                & (table["y"] == f"{100 * rate:.0f}\u00a0%")
            ]
            assert row["value"].item() == pytest.approx(value)
    assert set(table["colour"]) == {"Weights left"}
    assert [panel["cells"] for panel in data["panels"][:3]] == [True] * 3
    assert [panel["bar"] for panel in data["panels"]] == [False, False, False, True]


def test_names_cannot_leave_the_script_or_the_picture(folder, tmp_path):
    live, data = live_of(partial(figures.accuracy_by_rate, read_results(folder)), tmp_path)
    root = ElementTree.fromstring(data["svg"])
    assert not list(root.iter(f"{SVG}script"))
    assert NAMES[0] not in data["svg"]  # there it is escaped
    assert [entry.name for entry in live.legend][1:4] == list(NAMES)
    assert all(entry.series == entry.name for entry in live.legend)
    assert all("<path" in entry.sample for entry in live.legend)
    ids = [each.get("id") for each in root.iter() if each.get("id")]
    assert len(ids) == len(set(ids))
    assert all(each.startswith("it-") for each in ids)
    links = re.findall(r'(?:href="#|url\(#)([^")]+)', data["svg"])
    assert set(links) <= set(ids)
    assert f"{live.height:.2f}" == data["svg"].split('viewBox="0 0 ')[1].split('"')[0].split()[1]
    assert "it-legend" not in data["svg"]


def simple(draw):
    def make():
        figure = Figure(figsize=(4, 3), layout="constrained")
        draw(figure.subplots())
        return figure

    with project_looks():
        return lay_out(make)


def test_bars_steps_scatters_dashes_and_spans_are_read():
    def draw(ax):
        ax.bar([0, 1], [3, 4], bottom=[1, 1], label="bars")
        ax.stairs([5, 6], [0, 2, 4], label="steps")
        ax.scatter([1, 2], [7, np.nan], label="dots")
        ax.plot([1, 2], [8, 8], label="dash")
        ax.axvline(1.5, label="line")
        ax.axvspan(1.25, 1.75, label="line")
        ax.plot([1, 2], [9, 10], "o")
        ax.plot([6, 7], [12, 13], label="named")
        (classes,) = ax.plot([6, 7], [12, 13], "o", label="named")
        name_points(classes, ["a cat", "a dog"])
        (first,) = ax.plot([8], [14], "o", label="named first")
        name_points(first, ["a bird"])
        ax.plot([8, 9], [14, 15], label="named first")
        (outline,) = ax.plot([0, 1, 1], [5, 5, 6], label="outline")
        stand_for(outline, [(0.5, 5.5)], ["half of all"])
        stand_for(ax.fill_between([0, 1], [1, 2], label="outline"), [(1.5, 2.5)], ["all"])
        ax.plot([3], [11], "o", label=f"dots{ONE_SEED}")
        ax.plot([1, 1], [2, 3], "o-", label="_child0 of mine")
        ax.fill_between([1, 1.5], [1, 2], [3, 4], label="_child0 of mine")
        ax.set_xticks([0, 1, 2], ["zero", "one\nmore", "two"])

    figure = simple(draw)
    marks = marks_of(figure)
    told = sorted((mark.series, str(mark.x), str(mark.y), mark.one_seed) for mark in marks)
    assert told == sorted(
        [
            ("bars", "0.0", "3.0", False), ("bars", "1.0", "4.0", False),
            ("steps", "1.0", "5.0", False), ("steps", "3.0", "6.0", False),
            ("dots", "1.0", "7.0", False), ("dots", "3.0", "11.0", True),
            ("named", "6.0", "12.0", False), ("named", "7.0", "13.0", False),
            ("named first", "8.0", "14.0", False), ("named first", "9.0", "15.0", False),
            ("outline", "0.5", "5.5", False), ("outline", "1.5", "2.5", False),
            ("dash", "1.5", "8.0", False), ("line", "1.5", "nan", False),
            ("_child0 of mine", "1.0", "2.0", False), ("_child0 of mine", "1.0", "3.0", False),
        ]
    )  # fmt: skip
    assert [mark.name for mark in marks if mark.series == "named"] == ["a cat", "a dog"]
    assert [mark.name for mark in marks if mark.series == "named first"] == ["a bird", ""]
    assert [mark.name for mark in marks if mark.series == "outline"] == ["half of all", "all"]
    line = next(mark for mark in marks if mark.series == "line")
    assert line.x_ends == (1.25, 1.75)
    assert next(mark for mark in marks if mark.series == "_child0 of mine").y_ends == (1, 3)
    scale = scale_of(figure.axes[0], "x")
    assert [scale.write(value) for value in (0.1, 0.9, 7)] == ["zero", "one", "two"]
    assert scale.named
    assert not any(label_of(artist) for artist in figure.axes[0].lines[2:3])


def test_names_of_places_and_formats_are_found_on_axes_that_share_a_scale():
    figure = Figure()
    upper, lower = figure.subplots(2, 1, sharex=True)
    name_places(lower.xaxis, ["a", "b", "c"], 0.5)
    assert [scale_of(upper, "x").write(value) for value in (0.5, 1.5, 2.5)] == ["a", "b", "c"]
    upper.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value} m"))
    assert scale_of(upper, "y").write(2.5) == "2.5 m"
    assert scale_of(lower, "y").write(-2.51234) == "−2.512"


def test_of_very_many_values_the_page_tells_none_and_the_file_all(tmp_path, monkeypatch):
    def make():
        figure = Figure()
        figure.subplots().plot(range(50), range(50), "o", label="many")
        return figure

    assert len(live_of(make, tmp_path)[1]["marks"]) == 50
    monkeypatch.setattr(interactive, "MOST_MARKS", 49)
    live, data = live_of(make, tmp_path)
    assert (data["marks"], data["untold"]) == ([], 50)
    assert len(table_of(live, tmp_path)) == 50


def test_a_figure_without_values_has_no_numbers_to_offer(tmp_path):
    live, data = live_of(lambda: Figure(figsize=(2, 1)), tmp_path)
    assert live.csv == ""
    assert (data["marks"], data["panels"], live.legend) == ([], [], [])


def test_cells_keep_their_colours_on_a_dark_page(tmp_path):
    def draw(ax):
        ax.pcolormesh([[0.0, 1.0]], cmap="gray", edgecolors="white")

    figure = simple(draw)
    save(figure, tmp_path / "m.svg")
    data = bring_to_life(figure, "m", (tmp_path / "m.svg").read_text()).script
    picture = json.loads(data.removeprefix("prunescope.figure(").removesuffix(");\n"))["svg"]
    cells = re.search(r'<g id="m-part0-\d+-cells">.*?</g>', picture, re.DOTALL)[0]
    assert "#ffffff" in cells
    assert "var(" not in cells
    assert "var(" in picture  # the paper around them changes
