"""Budgets, controls, sweeps and comparisons of scores: what results, figures and sections make of them."""

import math

import matplotlib.colors
import numpy as np
import pandas as pd
import pytest
from synthetic import SERIES, write_study
from synthetic_roads import (
    add_sensitivity,
    sensitivity_top1,
    ticket_top1,
    write_score_study,
    write_ticket_study,
)

from prunescope.analysis.results import over_seeds, read_results
from prunescope.measures.intervals import t_interval
from prunescope.report import figures, heat_maps
from prunescope.report.formats import name_target
from prunescope.report.provenance import method
from prunescope.report.scores_compared import scores_compared
from prunescope.report.sections import networks, size, study_sections
from prunescope.report.sensitivity import sensitivity
from prunescope.report.summary import summary
from prunescope.report.theme import COLOURS, looks
from prunescope.report.weights_left import weights_left

SMALL = {"layers": 4, "classes": ["a", "b", "c"]}


def edit(folder, name, change):
    path = folder / "tables" / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)
    return folder


def plain(text):
    return text.replace("\u00a0", " ")


def columns(table):
    """Return the cells of a table by column."""
    return {name: [row[i] for row in table.cells] for i, name in enumerate(table.columns)}


@pytest.fixture(scope="module")
def tickets(tmp_path_factory):
    return read_results(write_ticket_study(tmp_path_factory.mktemp("roads") / "s", **SMALL))


@pytest.fixture(scope="module")
def scored(tmp_path_factory):
    return read_results(write_score_study(tmp_path_factory.mktemp("roads") / "s", **SMALL))


@pytest.mark.parametrize(
    ("target", "written"),
    [
        ("0.4", "40 %"),
        ("1e-05", "0 %"),
        ("x0.5", "×0.5"),
        ("0.5 of macs", "50 % of MACs"),
        ("0.25 of milliseconds", "25 % of ms"),
        ("5 milliseconds", "5 ms"),
        ("1.5e+08 macs", "150 M MACs"),
        ("as we like it", "as we like it"),
    ],
)
def test_targets_are_written_as_people_would(target, written):
    rate = float(target) if target[0].isdigit() and " " not in target else 0.3
    assert plain(name_target(target, rate)) == written


def test_seeds_of_one_budget_belong_together_at_the_mean_of_their_rates(scored):
    found = [estimate for estimate in over_seeds(scored.final, "top1") if estimate.series == "snip"]
    assert [(estimate.target, estimate.seeds) for estimate in found] == [
        ("0.5 of macs", 2),
        ("0.3 of macs", 2),
    ]
    assert [estimate.rate for estimate in found] == pytest.approx([0.5 - 0.01 + 0.004, 0.7 - 0.01 + 0.004])
    own = scored.final.query("series == 'snip' and target == '0.3 of macs'")
    assert (found[1].low, found[1].high) == pytest.approx(t_interval(list(own["top1"])))
    rows = columns(size(scored).tables[0])
    assert len(rows["Target"]) == 1 + 13 * 2
    assert [plain(cell.text) for cell in rows["Target"][:3]] == ["–", "50 % of MACs", "30 % of MACs"]
    assert rows["Rate asked or found"][1].number == pytest.approx(0.492)


def test_two_budgets_that_the_same_rate_meets_stay_apart(tmp_path):
    folder = write_score_study(tmp_path / "s", scores=("l1", "l2", "snip"), **SMALL)
    edit(folder, "networks", lambda t: t.assign(rate=t["rate"].where(t["stage"] == "dense", 0.4)))
    results = read_results(folder)
    estimates = [estimate for estimate in over_seeds(results.final, "top1") if estimate.series == "l1"]
    assert [(estimate.rate, estimate.seeds) for estimate in estimates] == [(0.4, 2), (0.4, 2)]
    assert estimates[0].value != estimates[1].value
    panel = heat_maps.density_by_layer(results).axes[0]
    assert [plain(tick.get_text()) for tick in panel.get_yticklabels()] == ["50 % of MACs", "30 % of MACs"]


def test_networks_are_listed_with_their_budget_and_the_rate_found_for_each_seed(scored):
    rows = columns(networks(scored).tables[0])
    of_snip = [i for i, cell in enumerate(rows["Series"]) if cell.text == "snip"]
    assert "Control" not in rows
    assert [rows["Rate asked or found"][i].number for i in of_snip] == pytest.approx(
        [0.504, 0.704, 0.484, 0.684]
    )


def test_the_summary_compares_rates_only_where_they_were_asked(scored):
    assert not any("rate asked" in text for text in summary(scored).text)
    [best] = summary(scored).tables
    assert [plain(row[0].text) for row in best.cells] == ["50 % of MACs", "30 % of MACs"]


def test_warnings_name_the_first_of_many_series(scored):
    [stranded] = [text for text in summary(scored).warnings if text.startswith("More is gone")]
    assert stranded.count("can no longer act") == 4
    assert "and 9 further series" in stranded


def test_controls_have_a_paler_colour_of_their_series(tickets):
    styles = looks(tickets.series, tickets.controls)
    assert styles["magnitude"].colour == COLOURS[0]
    hues = [matplotlib.colors.rgb_to_hsv(matplotlib.colors.to_rgb(look.colour)) for look in styles.values()]
    assert hues[1][0] == hues[2][0] == pytest.approx(hues[0][0], abs=0.01)
    assert hues[1][1] < hues[0][1]
    assert len({look.marker for look in styles.values()}) == 3


def test_the_curve_of_a_ticket_is_drawn_against_what_is_left(tickets):
    [plot] = weights_left(tickets).plots
    assert [ax.get_title() for ax in plot.draw().axes] == [
        "Top-1 accuracy",
        "Detectors",
        "Unique detectors",
    ]
    top1 = plot.draw().axes[0]
    lines = [line for line in top1.lines if len(line.get_xdata()) == 16]
    assert lines[0].get_linestyle() == "-"
    assert len({str(line._unscaled_dash_pattern) for line in lines}) == 3
    left = 0.8 ** np.arange(1, 17) - 0.0004  # what is zero, not what was asked
    for line, control in zip(lines, (None, "random mask", "re-initialised"), strict=True):
        np.testing.assert_allclose(line.get_xdata(), left, atol=1e-6)
        expected = [ticket_top1(control, -math.log(0.8**i)) for i in range(1, 17)]
        np.testing.assert_allclose(line.get_ydata(), expected, atol=0.007)
    assert top1.get_xscale() == "log"
    assert top1.get_xlim()[0] > 1 > top1.get_xlim()[1]


def test_the_table_of_weights_left_has_the_controls_beside_their_series(tickets):
    [table] = weights_left(tickets).tables
    rows = columns(table)
    assert list(rows) == [
        "Series", "Rate asked", "Weights left", "Top-1", "Top-1, random mask", "Top-1, re-initialised",
        "Detectors", "Detectors, random mask", "Detectors, re-initialised", "Unique detectors",
        "Unique detectors, random mask", "Unique detectors, re-initialised",
    ]  # fmt: skip
    assert [cell.number for cell in rows["Weights left"]] == pytest.approx(
        list(0.8 ** np.arange(1, 17) - 0.0004), abs=1e-6
    )
    final = tickets.final.query("series == 'magnitude, re-initialised'").groupby("rate")["top1"].mean()
    assert [cell.number for cell in rows["Top-1, re-initialised"]] == pytest.approx(list(final))


def test_what_is_said_of_a_ticket_holds_of_its_intervals(tickets):
    text = plain(" ".join(weights_left(tickets).text))
    estimates = {estimate[:2]: estimate for estimate in over_seeds(tickets.final, "top1")}
    own = [estimate for key, estimate in estimates.items() if key[0] == "magnitude"]
    above = [each for each in own if each.low > estimates["magnitude, random mask", each.target].high]
    assert 0 < len(above) < 16
    assert f"above its control (random mask) at {len(above)} of 16 levels" in text
    [dense] = over_seeds(tickets.dense, "top1")
    sparsest = max(each.rate for each in own if each.high >= dense.low)
    assert f"reaches the dense network's has {100 * (1 - sparsest - 0.0004):.1f} %" in text


def test_weights_left_is_for_sparse_networks_and_for_controls(tmp_path):
    assert weights_left(read_results(write_study(tmp_path / "shallow", **SMALL))) is None
    deep = read_results(write_study(tmp_path / "deep", rates=(0.5, 0.9), **SMALL))
    assert len(weights_left(deep).plots[0].draw().axes) == 1
    few = read_results(write_ticket_study(tmp_path / "few", rounds=2, seeds=(0,), detectors=False, **SMALL))
    assert weights_left(few) is not None


def test_a_control_on_fresh_weights_has_a_row_beside_the_ticket_whose_mask_it_has(tickets):
    rows = columns(networks(tickets).tables[0])
    assert len(rows["Series"]) == 3 + 3 * 3 * 16
    series = [cell.text for cell in rows["Series"]]
    fresh, ticket = series.index("magnitude, re-initialised"), series.index("magnitude")
    assert rows["Control"][fresh].text == "re-initialised"
    assert rows["Top-1, pruned"][fresh].text == "–"
    top1 = tickets.networks.set_index("network")["top1"]
    for place, name in ((fresh, "magnitude, re-initialised"), (ticket, "magnitude")):
        assert rows["Top-1"][place].number == pytest.approx(top1[f"{name}-0.2-retrained-seed0"])
    assert rows["Top-1, pruned"][ticket].number == pytest.approx(top1["magnitude-0.2-pruned-seed0"])


def test_densities_of_controls_are_not_drawn_again(tickets):
    assert [ax.get_title() for ax in heat_maps.density_by_layer(tickets).axes[:-1]] == ["magnitude"]


def test_the_method_writes_the_words_of_the_field(tickets, tmp_path):
    [series, *_] = method(tickets).tables
    rows = columns(series)
    assert [cell.text for cell in rows["Control"]] == ["–", "random mask", "re-initialised"]
    assert [cell.text for cell in rows["Retraining"]] == ["weight rewinding"] * 2 + ["re-initialised"]
    folder = write_study(
        tmp_path / "s", series=SERIES[1:2], settings={"prune": [{"series": "weights", "m": 8}]}
    )
    edit(folder, "networks", lambda t: t.assign(granularity="n:m", scope="erk", recalibrate=512.0))
    row = {name: cells[0].text for name, cells in columns(method(read_results(folder)).tables[0]).items()}
    assert row["Granularity"] == "n:m, blocks of 8 inputs"
    assert row["Scope"] == "Erdős–Rényi kernel"
    assert row["Batch norms recalibrated"] == "on 512 images"


def test_a_series_pruned_while_training_has_no_network_just_pruned(tmp_path):
    folder = write_study(tmp_path / "s", series=SERIES[:1], **SMALL)

    def while_training(table):
        left = table[table["stage"] != "pruned"]
        return left.assign(
            parent=left["parent"].where(left["stage"] == "dense", "dense-seed0"), schedule="gradual"
        )

    results = read_results(edit(folder, "networks", while_training))
    made = {section.anchor: section for section in study_sections(results)}
    assert {"accuracy", "layers", "size", "classes"} <= set(made)
    assert "3 networks made by pruning (all retrained)" in plain(made["summary"].text[0])
    assert "the rate asked to within 0.1 points" in plain(made["summary"].text[0])
    assert len(made["networks"].tables[0].rows) == 1 + 3
    assert len(figures.accuracy_by_rate(results).axes) == 1
    assert columns(made["method"].tables[0])["Schedule"][0].text == "gradual, during training"


def test_scores_stand_in_the_order_of_what_they_end_with(scored):
    section = scores_compared(scored)
    final = scored.final.query("target == '0.5 of macs'").groupby("series")["top1"].mean()
    order = list(final.sort_values(ascending=False).index)
    rows = columns(section.tables[0])
    assert [cell.text for cell in rows["Score"]] == order
    assert [cell.number for cell in rows["Top-1"]] == pytest.approx(list(final[order]))
    before = scored.pruned.query("target == '0.5 of macs'").set_index(["series", "seed"])["top1"]
    after = scored.retrained.query("target == '0.5 of macs'").set_index(["series", "seed"])["top1"]
    change = (after - before)[order[0]]
    assert rows["Change"][0].number == pytest.approx(change.mean())
    low, high = t_interval(list(change))
    assert plain(rows["Change"][0].detail) == f"+{100 * low:.1f} points to +{100 * high:.1f} points"
    labels = [tick.get_text() for tick in section.plots[0].draw().axes[0].get_yticklabels()]
    assert labels == order


def test_scores_whose_intervals_overlap_are_not_called_better(scored, tmp_path):
    rows = columns(scores_compared(scored).tables[1])
    low = float(rows["Top-1"][0].detail.split("–")[0])
    for top1, behind in list(zip(rows["Top-1"], rows["Against the best"], strict=True))[1:]:
        high = float(plain(top1.detail).split("–")[1].split()[0])
        assert (behind.detail == "intervals overlap") == (high >= low)
    assert 0 < sum(cell.detail != "" for cell in rows["Against the best"]) < 12
    text = plain(scores_compared(scored).text[0])
    assert "no other is shown to be worse. None is shown to be better than random." in text
    folder = write_score_study(tmp_path / "s", scores=("random", "l1", "l2"), seeds=(0,), **SMALL)

    def apart(table):
        best = (table["metric"] == "top1") & table["network"].str.startswith("l2")
        return table.assign(**{c: table[c].where(~best, table[c] + 0.2) for c in ("value", "low", "high")})

    text = plain(" ".join(scores_compared(read_results(edit(folder, "scores", apart))).text))
    assert "l2 ends highest" in text
    assert "above all others. Not shown to be better than random: l1." in text


def test_only_series_that_differ_in_nothing_else_are_compared(tmp_path):
    folder = write_score_study(tmp_path / "s", scores=("random", "l1", "l2", "snip"), seeds=(0,), **SMALL)
    edit(folder, "networks", lambda t: t.assign(scope=t["series"].map({"snip": "global"}).fillna("layer")))
    rows = columns(scores_compared(read_results(folder)).tables[0])
    assert {cell.text for cell in rows["Score"]} == {"random", "l1", "l2"}
    edit(
        folder, "networks", lambda t: t.assign(retraining=t["series"].map({"l2": "none"}).fillna("fine-tune"))
    )
    assert scores_compared(read_results(folder)) is None


def test_of_many_targets_four_are_drawn_and_all_are_in_tables(tmp_path):
    budgets = (0.9, 0.8, 0.7, 0.6, 0.5, 0.4)
    folder = write_score_study(
        tmp_path / "s", scores=("l1", "l2", "snip"), budgets=budgets, seeds=(0,), **SMALL
    )
    section = scores_compared(read_results(folder))
    assert len(section.plots[0].draw().axes) == 8
    assert [table.folded for table in section.tables] == [False, True, False, False, True, False]
    assert "Of 6 targets, 4 are drawn" in section.plots[0].caption


@pytest.fixture(scope="module")
def swept(tmp_path_factory):
    folder = write_study(tmp_path_factory.mktemp("roads") / "s", layers=57)
    return read_results(add_sensitivity(folder, layers=57, together=(3, 7, 11)))


def test_a_sweep_is_drawn_by_layer_and_rate_with_what_each_tolerates(swept):
    section = sensitivity(swept)
    panel = section.plots[0].draw().axes[0]
    rates = (0.2, 0.4, 0.6, 0.8, 0.9)
    shown = [i for i in range(57) if i not in (7, 11)]  # which go with 3
    expected = [[max(0.0, 0.9 - sensitivity_top1(i, rate)) for i in shown] for rate in rates]
    np.testing.assert_allclose(panel.collections[0].get_array(), expected)
    names = [tick.get_text() for tick in panel.get_figure().axes[0].get_xticklabels()]
    assert names[3] == "inception3a.branch3.conv +2"
    marks = panel.collections[1].get_segments()
    for i, mark in zip(shown, marks, strict=True):
        tolerated = [
            rate for rate in rates if all(sensitivity_top1(i, r) >= 0.88 for r in rates if r <= rate)
        ]
        assert mark[0][1] == len(tolerated)


def test_the_words_on_a_sweep_name_images_threshold_and_the_layers_at_either_end(swept):
    how, ends = map(plain, sensitivity(swept).text)
    assert "on 450 images of “validate”: these choices never saw the test images" in how
    assert "stays at 88.0 % or more" in how
    assert "the dense network is right on 90.0 % of these images" in how
    assert ends.startswith("filters: the most sensitive layers are inception0a.branch0.conv (20 %)")
    top1 = {i: sensitivity_top1(i, 0.9) for i in range(57) if i not in (7, 11)}
    assert (
        f"Of 55 layers or groups of layers, {sum(v >= 0.88 for v in top1.values())} tolerate the highest"
        in ends
    )
    assert "and all of them the lowest" in ends


def test_choices_made_on_the_test_images_are_called_so(tmp_path):
    folder = write_study(tmp_path / "s", settings={"images": {"select_on": "test"}})
    text = sensitivity(read_results(add_sensitivity(folder))).text[0]
    assert "of the test set, as the study asks (select_on: test)" in text
    assert "never saw" not in text


def test_series_that_share_a_sweep_share_a_panel_and_seeds_the_least_that_they_tolerate(tmp_path):
    folder = add_sensitivity(write_study(tmp_path / "s"), ["filters", "weights"], seeds=(0, 1))
    edit(
        folder,
        "sensitivity",
        lambda t: t.assign(
            tolerated=t["tolerated"].where((t["seed"] == 0) | (t["layer"] != t["layer"][0]), 0.0)
        ),
    )
    section = sensitivity(read_results(folder))
    panel, _ = section.plots[0].draw().axes
    assert panel.get_title() == "filters and weights"
    assert panel.collections[1].get_segments()[0][0][1] == 0
    assert columns(section.tables[0])["Tolerated"][0].text == "none"
    both = np.mean([sensitivity_top1(5, 0.9, seed) for seed in (0, 1)])
    assert columns(section.tables[0])["Top-1 at 90\u00a0%"][5].number == pytest.approx(both)


def test_a_study_without_a_sweep_has_no_such_section(tmp_path):
    assert sensitivity(read_results(write_study(tmp_path / "s"))) is None


def test_a_control_is_no_rival_and_many_rates_are_told_by_their_ends(tickets):
    assert summary(tickets).tables == []
    rates = columns(method(tickets).tables[0])["Rates asked"]
    assert {plain(cell.text) for cell in rates} == {"16, 20 % to 97.2 %"}


def test_many_series_do_not_move_points_off_the_axes(scored):
    ax = figures.accuracy_by_cost(scored).axes[0]
    ax.figure.draw_without_rendering()
    box = ax.get_window_extent()
    for line in ax.lines:
        if len(line.get_xdata()) == 2 and line.get_marker() not in ("", "None"):
            x = line.get_transform().transform(line.get_xydata())[:, 0]
            assert box.x0 <= x.min() <= x.max() <= box.x1
