"""What the sections say and draw, for studies of every shape; nothing is rendered here."""

import numpy as np
import pandas as pd
import pytest
from synthetic import MACS, SERIES, WEIGHTS, write_study
from synthetic_speed import write_speed_study

from prunescope.analysis.results import read_results
from prunescope.report import figures, heat_maps
from prunescope.report.provenance import method, steps
from prunescope.report.sections import accuracy, classes, layers, networks, size, study_sections
from prunescope.report.summary import summary


def words(section):
    """Return all words of a section, spaces made plain."""
    tables = [cell.text for table in section.tables for row in table.cells for cell in row]
    facts = [f"{fact.term} {fact.text}" for fact in section.facts]
    captions = [plot.caption for plot in section.plots]
    return " ".join([*section.text, *section.warnings, *facts, *captions, *tables]).replace("\u00a0", " ")


@pytest.fixture(scope="module")
def plain(tmp_path_factory):
    return read_results(write_study(tmp_path_factory.mktemp("sections") / "plain"))


def study(folder, **shape):
    return read_results(write_study(folder / "study", **shape))


def test_the_summary_tells_what_was_compared_and_that_zeros_lasted(plain):
    text = words(summary(plain))
    assert "1 dense network with 9 networks made by pruning (all retrained): 3 series, 1 seed" in text
    assert "names the right class of 91.2 % of the test images (95 % interval 88.7–93.7 %)" in text
    assert "the rate asked to within 0.1 points, and retraining left every zero in place" in text
    assert "did not last" not in text


def test_the_best_network_at_each_rate_is_the_highest_top1(plain):
    [table] = summary(plain).tables
    assert [row[1].text for row in table.cells] == ["weights"] * 3
    assert [row[2].number for row in table.cells] == pytest.approx(
        [0.912 - 0.06 * r**2 for r in (0.2, 0.4, 0.6)]
    )
    assert [row[3].number for row in table.cells] == pytest.approx([-0.06 * r**2 for r in (0.2, 0.4, 0.6)])


@pytest.mark.parametrize("hold", [True, False])
def test_a_mask_that_was_not_held_is_told(tmp_path, hold):
    folder = write_study(tmp_path / "s", hold=False)
    path = folder / "tables" / "networks.parquet"
    pd.read_parquet(path).assign(hold=hold).to_parquet(path)
    section = summary(read_results(folder))
    text = words(section)
    assert text.count("did not last") == 3
    assert "The zeros of filters did not last: asked for 60.0 %, the network had 60.0 % zeros" in text
    assert "0.3 % after retraining" in text
    assert ("this is a fault" in text) == hold
    assert "left every zero" not in text


def test_accuracy_at_chance_is_told_by_series_and_rate(plain, tmp_path):
    text = words(summary(plain))
    assert "Before retraining, accuracy is at chance" in text
    assert "(10.0 %), for filters at 60 %; connections, random at 60 %." in text
    assert "After retraining, accuracy" not in text
    assert "at chance" not in words(summary(study(tmp_path, rates=(0.1, 0.2))))


def test_a_dense_network_at_chance_is_told_first(tmp_path):
    folder = write_study(tmp_path / "s")
    path = folder / "tables" / "scores.parquet"
    scores = pd.read_parquet(path)
    scores.loc[(scores["network"] == "dense-seed0") & (scores["metric"] == "top1"), "low"] = 0.1
    scores.to_parquet(path)
    assert summary(read_results(folder)).warnings[0].startswith("The dense network itself is at chance")


def test_weights_cut_off_beyond_the_rate_are_told(plain, tmp_path):
    text = words(summary(plain))
    assert (
        "filters: at 60 % asked, 60.0 % of the prunable weights are zero, but 80.8 % can no longer act"
        in text
    )
    assert "weights: at" not in text
    assert "More is gone" not in words(summary(study(tmp_path, series=SERIES[1:])))


def test_failed_steps_are_counted_first_and_listed_with_their_error(tmp_path):
    gone = ("filters-0.4-pruned-seed0", "filters-0.4-retrained-seed0")
    results = study(tmp_path, failed=gone)
    assert summary(results).warnings[0].startswith("2 of 19\u00a0steps failed or were skipped")
    [table] = steps(results).tables
    assert [[cell.text for cell in row] for row in table.cells] == [
        [gone[0], "pruned", "failed", "loss is not finite <after> epoch 2"],
        [gone[1], "retrained", "skipped", "needs a step that failed"],
    ]
    shown = {(row[0].text, row[1].number) for row in networks(results).tables[0].cells}
    assert ("filters", 0.4) not in shown
    assert ("filters", 0.6) in shown


def test_a_network_whose_retraining_failed_shows_no_final_numbers(tmp_path):
    results = study(tmp_path, series=SERIES[:1], failed=("filters-0.4-retrained-seed0",))
    [table] = networks(results).tables
    row = dict(zip(table.columns, table.cells[2], strict=True))
    assert row["Top-1, pruned"].text.startswith("49.6")
    assert row["Top-1"].text == "–"


def test_without_failures_one_line_says_so(plain):
    assert "All 19 steps finished (1 reused)." in words(steps(plain))


def test_the_method_names_network_images_series_and_spared_layers(plain):
    text = words(method(plain))
    for part in (
        "Network torchvision/googlenet",
        "Images 4,500 to train, 500 to validate, 500 to test, 10 classes, from scenes",
        "Retraining epochs 10, optimizer sgd, learning_rate 0.01, momentum 0.9",
        "Machine device cpu, threads 2, processor x86-64",
        "Never pruned inception0a.branch0.conv, inception1a.branch1.conv and inception19a.branch3.conv",
        "connections, random connection random layer remove yes one-shot fine-tune 20 %, 40 % and 60 %",
    ):
        assert part in text


def test_layers_spared_by_some_series_are_told_with_their_series(tmp_path):
    folder = write_study(tmp_path / "s")
    path = folder / "tables" / "layers.parquet"
    table = pd.read_parquet(path)
    table["spared"] &= ~table["network"].str.startswith("weights")
    table.to_parquet(path)
    assert "inception19a.branch3.conv (in filters and connections, random)" in words(
        method(read_results(folder))
    )


def drawn(ax):
    """Return every line of an axes as a tuple of its points."""
    return {tuple(map(tuple, np.round(line.get_xydata(), 9))) for line in ax.lines}


def test_the_accuracy_figure_draws_the_tables(plain):
    before, after = figures.accuracy_by_rate(plain).axes
    for ax, column in ((before, 3), (after, 4)):
        for entry in SERIES:
            points = [(r, max(0.1, 0.912 - entry[column] * r**2)) for r in (0.2, 0.4, 0.6)]
            assert tuple(map(tuple, np.round(points, 9))) in drawn(ax)
        low, high = ax.get_ylim()
        assert low < 0.1
        assert 0.912 < high < 1.03
    assert after.get_legend() is None


def test_the_cost_figure_is_against_what_is_really_gone(plain):
    gone, macs = figures.accuracy_by_cost(plain).axes
    filters = [(1 - (1 - r) ** 1.8, 0.912 - 0.21 * r**2) for r in (0.2, 0.4, 0.6)]
    assert tuple(map(tuple, np.round(filters, 9))) in drawn(gone)
    weights = [((1 - r - 0.0004) ** 0.8, 0.912 - 0.06 * r**2) for r in (0.2, 0.4, 0.6)]
    assert tuple(map(tuple, np.round(weights, 9))) in drawn(macs)


def test_each_series_keeps_its_colour_and_marker_on_every_figure(plain):
    looks = set()
    for figure in (figures.accuracy_by_rate(plain), figures.accuracy_by_cost(plain)):
        handles = figure.legends[0].legend_handles
        names = [text.get_text() for text in figure.legends[0].texts]
        looks.add(tuple((n, h.get_color(), h.get_marker()) for n, h in zip(names, handles, strict=True)))
    [look] = looks
    assert [name for name, *_ in look] == ["dense", "filters", "weights", "connections, random"]
    assert len({colour for _, colour, _ in look}) == len({marker for *_, marker in look}) == 4


def test_several_seeds_show_as_dots_beside_their_mean(tmp_path):
    results = study(tmp_path, seeds=(0, 1, 2), series=SERIES[:2])
    _, after = figures.accuracy_by_rate(results).axes
    dots = [line for line in after.lines if line.get_linestyle() == "None"]
    assert [len(line.get_xdata()) for line in dots] == [9, 9]
    assert "Means of 3 seeds" in words(accuracy(results))
    [table] = networks(results).tables
    assert "Seed" in table.columns
    assert len(table.rows) == 3 + 2 * 3 * 3
    assert len(size(results).tables[0].rows) == 1 + 2 * 3


def test_the_size_of_compact_and_packed_networks_is_shown_where_it_says_something(plain, tmp_path):
    of_masks = size(plain).tables[0]
    assert not any("ompact" in column for column in of_masks.columns)
    assert "ompact" not in of_masks.caption
    shown = size(read_results(write_speed_study(tmp_path / "s"))).tables[0]
    assert shown.columns == [*of_masks.columns, "Compact or packed"]
    assert "Packed, where no channel leaves: one bit for each weight" in shown.caption
    small = {(row[0].text, row[1].number): row[-1] for row in shown.cells}
    assert small["dense", 0.0].text == "–"
    assert small["filters", 0.4].number == pytest.approx(4 * WEIGHTS * 0.6**1.8)
    assert small["filters", 0.4].detail == f"{MACS * 0.6**1.8 / 1e6:.0f}\u00a0M MACs"
    assert small["weights", 0.4].number == pytest.approx(4 * WEIGHTS * (0.6 + 1 / 32))
    assert small["weights", 0.4].detail == "packed"


def test_without_retraining_one_panel_and_no_second_columns(tmp_path):
    results = study(tmp_path, retrain=False)
    assert len(figures.accuracy_by_rate(results).axes) == 1
    [table] = networks(results).tables
    assert not any("pruned" in column for column in table.columns)
    assert {"Zeros", "Top-1"} <= set(table.columns)
    assert "right after pruning." in words(summary(results))


@pytest.mark.parametrize("count", [20, 60])
def test_every_layer_has_its_column_in_the_order_of_the_network(tmp_path, count):
    results = study(tmp_path, layers=count)
    figure = heat_maps.density_by_layer(results)
    panels = figure.axes[:3]
    names = [f"inception{i}a.branch{i % 4}.conv" for i in range(count)]
    assert [tick.get_text() for tick in panels[-1].get_xticklabels()] == names
    left = panels[0].collections[0].get_array()
    assert left.shape == (3, count)
    rates = [0.97 if r > 0.97 else r for r in 0.6 * (0.8 + 0.4 * np.sin(np.arange(count)) ** 2)]
    expected = np.array([1 - min(1.0, 1.3 * r) for r in rates])
    expected[[0, 1, count - 1]] = 1
    np.testing.assert_allclose(left[2], expected)
    assert sum(patch.get_hatch() is not None for patch in panels[0].patches) == 3


def test_the_class_figure_shows_the_change_against_the_dense_network(plain):
    [plot] = classes(plain).plots
    values = plot.draw().axes[0].collections[0].get_array()
    expected = 0.21 * 0.6**2 * (np.sin(2 * np.arange(10)) - 1)  # filters at .6; the dense one has no slope
    np.testing.assert_allclose(values[:, 2], np.maximum(expected, -1), atol=1e-12)
    assert values.shape == (10, 9)


def test_of_many_classes_the_twenty_that_change_most_are_shown(tmp_path):
    results = study(tmp_path, series=SERIES[:1], classes=[f"class {i}" for i in range(60)])
    section = classes(results)
    assert "Of 60 classes, the 20 whose top-1 changes most" in words(section)
    shown = {int(tick.get_text().split()[1]) for tick in section.plots[0].draw().axes[0].get_yticklabels()}
    assert shown == set(np.argsort(np.sin(2 * np.arange(60)))[:20])


@pytest.mark.parametrize(
    ("shape", "anchors"),
    [
        ({"series": ()}, ["summary", "size", "method", "networks", "failed", "reproduce"]),
        ({"series": (), "failed": ("dense-seed0",)}, ["summary", "method", "failed", "reproduce"]),
        ({"measures": ("size",)}, ["summary", "layers", "size", "method", "networks", "failed", "reproduce"]),
        (
            {"measures": ("accuracy",), "series": SERIES[:1]},
            ["summary", "accuracy", "layers", "classes", "method", "networks", "failed", "reproduce"],
        ),
    ],
)
def test_what_was_not_measured_is_left_out(tmp_path, shape, anchors):
    results = study(tmp_path, **shape)
    made = [section.anchor for section in study_sections(results)]
    assert [anchor for anchor in made if anchor != "findings"] == anchors


def test_tables_of_measures_may_be_absent(tmp_path):
    folder = write_study(tmp_path / "s")
    for name in ("scores", "layers", "classes"):
        (folder / "tables" / f"{name}.parquet").unlink()
    results = read_results(folder)
    assert [make(results) for make in (accuracy, layers, size, classes)] == [None] * 4
    assert len(networks(results).tables[0].rows) == 10
