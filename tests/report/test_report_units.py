"""What the sections on MIS and on concepts say and draw; nothing is rendered here."""

import shutil
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from synthetic import SERIES, write_study
from synthetic_units import CHANCE, write_unit_study

from prunescope.analysis.results import read_results
from prunescope.errors import PrunescopeError
from prunescope.report import concept_figures, unit_figures
from prunescope.report.concepts import concepts
from prunescope.report.explorer import explorer
from prunescope.report.interactive import table_of_marks
from prunescope.report.panels import panels_of
from prunescope.report.saved_figures import lay_out, project_looks
from prunescope.report.traces import marks_of
from prunescope.report.units import units

SHAPE = {
    "widths": (6, 10),
    "rates": (0.2, 0.6),
    "series": SERIES[:2],
    "classes": ["a", "b", "c", "d"],
    "layers": 2,
}
LAYERS = ["inception0a.branch0.conv", "inception1a.branch1.conv"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_unit_study(tmp_path_factory.mktemp("units") / "s", **SHAPE)


@pytest.fixture(scope="module")
def results(folder):
    return read_results(folder)


@pytest.fixture(scope="module")
def mis(results):
    return units(results)


@pytest.fixture(scope="module")
def dissected(results):
    return concepts(results)


def plot_of(section, name):
    """Return the one plot of a section of this name."""
    [plot] = [plot for plot in section.plots if plot.name == name]
    return plot


def table(folder, name):
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def of(every, network, kind):
    """Return the rows of the units of one kind in one network."""
    return every[(every["network"] == network) & (every["kind"] == kind)]


def rows_of(shown):
    """Return the rows of a table of the page as dictionaries from column to cell."""
    return [dict(zip(shown.columns, row, strict=True)) for row in shown.cells]


def rate_row(shown, series, rate, retrained):
    [row] = [
        row
        for row in rows_of(shown)
        if (row["Series"].text, row["Rate asked"].number, row["Retrained"].text) == (series, rate, retrained)
    ]
    return row


def test_the_table_counts_the_living_and_the_dead_beside_their_means(folder, mis):
    shown = mis.tables[0]
    every = table(folder, "units")
    assert len(shown.rows) == 1 + 2 * 2 * 2
    for series, retrained in (("filters", "yes"), ("filters", "no"), ("weights", "yes")):
        stage = "retrained" if retrained == "yes" else "pruned"
        own = every[every["network"] == f"{series}-0.6-{stage}-seed0"]
        conv = own[own["kind"] == "conv"]
        live = conv[conv["alive"]]
        row = rate_row(shown, series, 0.6, retrained)
        assert (row["Alive"].text, row["Dead"].text) == (str(len(live)), str(16 - len(live)))
        assert row["MIS, live units"].number == pytest.approx(live["mis"].mean())
        assert row["Layers alike"].number == pytest.approx(
            np.mean([live.loc[live["layer"] == layer, "mis"].mean() for layer in LAYERS])
        )
        assert row["As published"].number == pytest.approx(own["mis_published"].mean())
        assert row["Hit rate"].number == pytest.approx(live["hit_rate"].mean())
        low, high = row["MIS, live units"].detail.split("–")
        assert float(low) < row["MIS, live units"].number < float(high)
    assert rate_row(shown, "filters", 0.6, "yes")["Dead"].number > 0


def test_the_paired_mean_is_of_units_alive_everywhere(folder, mis):
    every = table(folder, "units").query("kind == 'conv'")
    always = every.groupby(["layer", "unit"])["alive"].transform("all")
    own = every[always & (every["network"] == "weights-0.2-retrained-seed0")]
    assert 0 < len(own) < 16
    row = rate_row(mis.tables[0], "weights", 0.2, "yes")
    assert row["Paired"].number == pytest.approx(own["mis"].mean())


def test_the_correlation_with_top1_is_that_of_ranks(folder, mis):
    name = "weights-0.6-retrained-seed0"
    logits = of(table(folder, "units"), name, "linear").set_index("class")["mis"]
    classes = table(folder, "classes")
    top1 = classes[classes["network"] == name].set_index("class")["top1"]
    ranks = {
        x: np.argsort(np.argsort(values.loc[list("abcd")])) for x, values in (("m", logits), ("t", top1))
    }
    differences = ranks["m"] - ranks["t"]
    spearman = 1 - 6 * np.sum(differences**2) / (4 * (4**2 - 1))
    row = rate_row(mis.tables[0], "weights", 0.6, "yes")
    assert row["ρ with top-1"].number == pytest.approx(spearman)


def test_the_conditions_are_stated(results):
    [fact] = units(results).facts
    assert fact.text == (
        "similarity classical, slope 16, 500 images, 20 tasks per unit, 9 references a side, difficulty easy"
    )


def test_published_and_corrected_stand_on_one_scale_and_only_the_former_rises(folder, results):
    figure = unit_figures.mis_by_rate(results)
    titles = [ax.get_title() for ax in figure.axes[:2]]
    assert titles == ["As published: dead units scored", "Corrected: live units only"]
    assert len({ax.get_ylim() for ax in figure.axes}) == 1
    scores = table(folder, "scores").set_index(["network", "metric"])["value"]
    ends = {}
    for ax, metric in zip(figure.axes[2:], ("mis_published", "mis"), strict=True):
        expected = [scores[f"filters-{rate}-retrained-seed0", metric] for rate in (0.2, 0.6)]
        assert any(np.allclose(line.get_ydata(), expected) for line in ax.lines if len(line.get_xdata()) == 2)
        dense = scores["dense-seed0", metric]
        assert any(np.allclose(line.get_ydata(), dense) for line in ax.lines)
        assert any(np.allclose(line.get_ydata(), CHANCE[0]) for line in ax.lines)
        ends[metric] = expected[1] - dense
    assert ends["mis_published"] > 0 > ends["mis"]


def test_the_layers_are_in_order_with_the_median_of_their_live_units(folder, results):
    figure = unit_figures.mis_by_layer(results, results.units[results.units["kind"] == "conv"])
    panel = figure.axes[0]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == LAYERS
    assert [tick.get_text() for tick in panel.get_yticklabels()] == ["dense", "20\u00a0%", "60\u00a0%"]
    every = table(folder, "units")
    names = ["dense-seed0", "filters-0.2-retrained-seed0", "filters-0.6-retrained-seed0"]
    live = [
        own[own["alive"]].groupby("layer")["mis"].median() for own in (of(every, n, "conv") for n in names)
    ]
    expected = [medians[LAYERS] for medians in live]
    np.testing.assert_allclose(panel.collections[0].get_array(), expected)


def test_a_layer_without_a_live_unit_is_grey(folder, tmp_path):
    results = read_results(folder)
    conv = results.units[results.units["kind"] == "conv"].copy()
    killed = (conv["layer"] == LAYERS[1]) & (conv["network"] == "filters-0.6-retrained-seed0")
    conv["alive"] = conv["alive"] & ~killed
    values = unit_figures.mis_by_layer(results, conv).axes[0].collections[0].get_array()
    assert values.mask.tolist() == [[False, False], [False, False], [False, True]]


def test_distributions_count_the_dead_and_write_what_does_not_fit(folder, results):
    figure = unit_figures.score_distributions(results, results.units[results.units["kind"] == "conv"])
    labels = [tick.get_text() for tick in figure.axes[0].get_xticklabels()]
    every = table(folder, "units").query("kind == 'conv'")
    dead = [
        int((~every.loc[every["network"] == name, "alive"].astype(bool)).sum())
        for name in ("dense-seed0", "filters-0.2-retrained-seed0", "filters-0.6-retrained-seed0")
    ]
    assert labels == [f"dense\n{dead[0]}", f"20\u00a0%\n{dead[1]}", f"60\u00a0%\n{dead[2]}"]
    assert dead[0] == 0 < dead[1] < dead[2]
    published = every.query("network == 'filters-0.6-retrained-seed0'")["mis_published"]
    share = f"{100 * (published >= 0.975).mean():.0f}\u00a0%"
    assert share in [text.get_text() for text in figure.axes[0].texts]


def test_the_numbers_of_distributions_are_shares_of_all_units(folder, results):
    units = results.units[results.units["kind"] == "conv"]
    with project_looks():
        figure = lay_out(partial(unit_figures.score_distributions, results, units))
    numbers = table_of_marks(panels_of(figure), marks_of(figure))
    assert not numbers.duplicated().any()
    own = numbers[(numbers["panel"] == "filters") & (numbers["x"] == "60\u00a0%")]
    every = table(folder, "units").query("kind == 'conv' and network == 'filters-0.6-retrained-seed0'")
    alive = every["alive"].astype(bool)
    for series, scores in (
        (unit_figures.AS_PUBLISHED, every["mis_published"]),
        (unit_figures.LIVE, every.loc[alive, "mis"]),
    ):
        told = own[own["series"] == series]
        middles = told[told["name"] == "median"]
        assert middles["y"].tolist() == pytest.approx([scores.median()])
        bins = told[told["name"] != "median"]
        shares = bins["name"].str.extract(r"^([\d.]+) %")[0].astype(float)
        assert shares.sum() == pytest.approx(100 * scores.notna().sum() / len(every), abs=0.02)
        for middle, share in zip(bins["y"], shares, strict=True):
            within = ((scores - middle).abs() < 0.0125).sum() / len(every)
            assert share == pytest.approx(100 * within, abs=0.01)


def test_each_logit_stands_at_the_top1_of_its_class(folder, mis):
    plot = plot_of(mis, "mis-by-class")
    every, classes = table(folder, "units"), table(folder, "classes")
    name = "weights-0.6-retrained-seed0"
    mis = of(every, name, "linear").set_index("class")["mis"]
    top1 = classes[classes["network"] == name].set_index("class")["top1"]
    drawn = {tuple(point) for line in plot.draw().axes[1].lines for point in np.round(line.get_xydata(), 9)}
    assert {(round(top1[name], 9), round(mis[name], 9)) for name in "abcd"} <= drawn


def test_of_many_classes_only_the_highest_rate_is_drawn(results):
    rows = [
        {
            "class": f"class {i}",
            "series": series,
            "stage": stage,
            "target": str(rate),
            "rate": rate,
            "mis": 0.8,
            "top1": i / 30,
        }
        for i in range(30)
        for series, stage, rate in (
            ("dense", "dense", 0.0),
            ("filters", "pruned", 0.2),
            ("filters", "pruned", 0.6),
        )
    ]
    figure = unit_figures.mis_by_class(results, pd.DataFrame(rows))
    assert [text.get_text() for text in figure.legends[0].texts] == ["dense", "60\u00a0%"]
    assert [len(line.get_xdata()) for line in figure.axes[0].lines] == [30, 30]


def test_detectors_are_drawn_against_the_weights_left(folder, dissected):
    plot = plot_of(dissected, "concepts-by-weights-left")
    grid = np.array(plot.draw().axes).reshape(3, 2)
    left = [1, (1 - 0.2) ** 1.8, (1 - 0.6) ** 1.8]  # for filters, what cannot be reached is gone
    names = ["dense-seed0", "filters-0.2-retrained-seed0", "filters-0.6-retrained-seed0"]
    counts = (
        table(folder, "detectors").query("control == '' and layer == ''").set_index(["network", "category"])
    )
    for ax, metric in ((grid[1, 0], "detectors"), (grid[2, 0], "unique_detectors")):
        lines = {tuple(np.round(line.get_xydata().ravel(), 6)) for line in ax.lines}
        for category in ("", "object", "color"):
            points = [[x, counts.loc[(name, category), metric]] for x, name in zip(left, names, strict=True)]
            assert tuple(np.round(np.ravel(points), 6)) in lines
        assert ax.get_xscale() == "log"
        assert ax.get_xlim()[0] > ax.get_xlim()[1]
        assert ax.get_ylim()[0] == 0


def test_several_seeds_give_intervals(tmp_path):
    results = read_results(write_unit_study(tmp_path / "s", **SHAPE | {"seeds": (0, 1, 2)}))
    plot = plot_of(concepts(results), "concepts-by-weights-left")
    segments = plot.draw().axes[0].collections[0].get_segments()
    assert sum(np.ptp(segment[:, 1]) > 0 for segment in segments) == 3
    assert "Means of 3 seeds" in plot.caption
    assert "Seed" in units(results).tables[0].columns


def test_controls_stand_beside_the_dense_network(folder, dissected):
    plot = plot_of(dissected, "concept-controls")
    counts = table(folder, "detectors").query("network == 'dense-seed0' and layer == '' and category == ''")
    heights = [[bar.get_height() for bar in bars] for bars in plot.draw().axes[0].containers]
    found = counts.set_index("control")["detectors"]
    assert [bars[0] for bars in heights] == [found[""], found["rotated"], found["untrained"]]


def test_what_was_kept_changed_and_gained_adds_up_to_the_detectors(folder, results, dissected):
    figure = concept_figures.persistence(results)
    scores = table(folder, "scores").set_index(["network", "metric"])["value"]
    kept, changed, gained, lost = ([bar.get_height() for bar in bars] for bars in figure.axes[0].containers)
    for i, rate in enumerate((0.2, 0.6)):
        name = f"filters-{rate}-retrained-seed0"
        assert kept[i] + changed[i] + gained[i] == scores[name, "detectors"]
        assert kept[i] + changed[i] - lost[i] == scores["dense-seed0", "detectors"]
    shown = dissected.tables[0]
    assert rate_row(shown, "filters", 0.6, "yes")["Lost"].number == -lost[1]


def test_unique_detectors_of_layers_and_categories_are_those_of_the_table(folder, dissected):
    plot = plot_of(dissected, "concepts-by-layer")
    counts = table(folder, "detectors").query("control == '' and network == 'weights-0.6-retrained-seed0'")
    by_layer = counts.query("category == ''").set_index("layer")["unique_detectors"]
    np.testing.assert_array_equal(plot.draw().axes[1].collections[0].get_array()[2], by_layer[LAYERS])
    by_category = counts.query("layer == ''").set_index("category")["unique_detectors"]
    folded = dissected.tables[1]
    row = rate_row(folded, "weights", 0.6, "yes")
    assert {name: row[name].number for name in by_category.index if name} == by_category.drop("").to_dict()


@pytest.mark.parametrize(("measures", "made"), [(("mis",), [True, False]), (("dissection",), [False, True])])
def test_each_measure_stands_alone(tmp_path, measures, made):
    results = read_results(write_unit_study(tmp_path / "s", **SHAPE, measures=measures))
    assert [make(results) is not None for make in (units, concepts)] == made
    index = explorer(results).browser.index
    assert [name in index["values"] for name in ("mis", "iou")] == made
    assert index["measures"] == list(measures)


def test_a_study_that_did_not_look_at_units_has_no_such_section(tmp_path):
    results = read_results(write_study(tmp_path / "s"))
    assert [make(results) for make in (units, concepts, explorer)] == [None] * 3


def test_scores_without_the_table_of_units_still_give_means(folder, tmp_path):
    folder = Path(shutil.copytree(folder, tmp_path / "s"))
    for name in ("units", "examples", "detectors"):
        (folder / "tables" / f"{name}.parquet").unlink()
    results = read_results(folder)
    assert [plot.name for plot in units(results).plots] == ["mis-by-rate", "top1-by-mis", "units-alive"]
    assert [plot.name for plot in concepts(results).plots] == ["concepts-by-weights-left", "concepts-kept"]
    assert explorer(results) is None


def test_only_a_dense_network_gives_its_numbers_and_no_curve(tmp_path):
    results = read_results(write_unit_study(tmp_path / "s", **SHAPE | {"series": ()}))
    assert units(results).plots == []
    assert [plot.name for plot in concepts(results).plots] == ["concept-controls"]
    assert len(units(results).tables[0].rows) == 1
    assert [chain["name"] for chain in explorer(results).browser.index["series"]] == ["dense"]


def place(folder, name):
    return folder / ("pictures" if name == "thumbnails" else "tables") / f"{name}.parquet"


@pytest.mark.parametrize("name", ["units", "detectors", "examples", "thumbnails"])
def test_damaged_tables_are_named(folder, tmp_path, name):
    folder = Path(shutil.copytree(folder, tmp_path / "s"))
    path = place(folder, name)
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(PrunescopeError, match=f"{name}.parquet is damaged"):
        read_results(folder)


@pytest.mark.parametrize(
    ("name", "column"),
    [("units", "kind"), ("detectors", "control"), ("examples", "outline"), ("thumbnails", "jpeg")],
)
def test_tables_of_another_version_are_refused(folder, tmp_path, name, column):
    folder = Path(shutil.copytree(folder, tmp_path / "s"))
    path = place(folder, name)
    pd.read_parquet(path).drop(columns=column).to_parquet(path)
    with pytest.raises(PrunescopeError, match=f"{name}.parquet lacks the column '{column}'"):
        read_results(folder)


def test_scores_under_two_conditions_are_not_compared(folder, tmp_path):
    folder = Path(shutil.copytree(folder, tmp_path / "s"))
    path = place(folder, "units")
    every = pd.read_parquet(path)
    every.loc[0, "slope"] = 4.0
    every.to_parquet(path)
    with pytest.raises(PrunescopeError, match=r"several conditions \(slope: 4.0 and 16.0\)"):
        read_results(folder)


def test_two_rows_of_one_unit_are_refused(folder, tmp_path):
    folder = Path(shutil.copytree(folder, tmp_path / "s"))
    path = place(folder, "units")
    every = pd.read_parquet(path)
    pd.concat([every, every.iloc[[3]]]).to_parquet(path)
    with pytest.raises(PrunescopeError, match=f"two values of unit 3 of {LAYERS[0]} for dense-seed0"):
        read_results(folder)


def test_captions_do_not_say_what_is_not_drawn(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "bare")
    path = copy / "tables" / "scores.parquet"
    scores = pd.read_parquet(path)
    of_mis = scores["metric"].str.startswith("mis")
    dense, chance = scores["network"].str.startswith("dense"), scores["metric"].str.startswith("mis_chance")
    scores.loc[of_mis, ["low", "high"]] = np.nan
    scores[~(of_mis & (dense | chance))].to_parquet(path)
    for results, said in ((read_results(folder), True), (read_results(copy), False)):
        caption = plot_of(units(results), "mis-by-rate").caption
        for words in ("Black: the dense network", "otted: chance", "95 % intervals over units"):
            assert (words in caption) == said, words
