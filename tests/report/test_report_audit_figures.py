"""The figures of an audit draw what their tables say, counted here by plain Python."""

import math

import matplotlib
import numpy as np
import pandas as pd
import pytest
from matplotlib.patches import StepPatch

from prunescope.report.audit_distributions import confidences, likeness, reliability, scores_of_units
from prunescope.report.audit_figures import Row, by_layer, dumbbells, fates, speedups, zeros_by_layer
from prunescope.report.concept_figures import FATES
from prunescope.report.theme import RC

NAN = math.nan


@pytest.fixture(autouse=True)
def looks():
    with matplotlib.rc_context(RC):
        yield


def legend(figure):
    return [text.get_text() for text in figure.legends[0].get_texts()]


def lines(ax, marker):
    """Return (x, y) of everything drawn with a marker."""
    return [tuple(map(list, line.get_data())) for line in ax.lines if line.get_marker() == marker]


def layers(share, unreachable):
    return pd.DataFrame(
        {"layer": [f"l{i}" for i in range(len(share))], "share": share, "unreachable": unreachable}
    )


def test_bars_are_as_high_as_the_shares():
    figure = zeros_by_layer({"one": layers([0.25, 0.0, 0.5], [0.5, 0.0, NAN])})
    [ax] = figure.axes
    behind, front = ([bar.get_height() for bar in container] for container in ax.containers)
    assert front == [0.25, 0.0, 0.5]
    assert behind[:2] == [0.5, 0.0]
    assert [label.get_text() for label in ax.get_xticklabels()] == ["l0", "l1", "l2"]
    assert legend(figure) == ["zero", "not zero, but can no longer act"]


def test_the_legend_names_only_what_is_drawn():
    assert legend(zeros_by_layer({"one": layers([0.5], [0.5])})) == ["zero"]
    marked = zeros_by_layer({"one": layers([0.5], [0.5])}, {"l0": 0.25})
    assert legend(marked) == ["zero", "zero in the dense network"]
    assert [ax.get_title(loc="left") for ax in zeros_by_layer({"a": layers([0], [0]), "b": layers([1], [1])}).axes] == [
        "a", "b",
    ]  # fmt: skip


def answers(n=200):
    draw = np.random.default_rng(3)
    label = draw.integers(3, size=n)
    return pd.DataFrame(
        {
            "label": label, "divergence": draw.random(n),
            **{name: np.where(draw.random(n) < 0.7, label, (label + 1) % 3) for name in ("dense", "pruned")},
            **{f"{name}_confidence": np.append(draw.random(n - 1), 1.0) for name in ("dense", "pruned")},
        }
    )  # fmt: skip


def test_reliability_is_the_share_that_is_right_in_each_bin():
    table, bins = answers(), 10
    left, right = reliability(table, bins).axes
    curves = [line.get_data() for line in left.lines[1:]]
    for name, (mean, share), steps in zip(("dense", "pruned"), curves, right.patches, strict=True):
        expected = {}
        for row in table.itertuples():
            sure = getattr(row, f"{name}_confidence")
            place = min(int(sure * bins), bins - 1)
            expected.setdefault(place, []).append((sure, getattr(row, name) == row.label))
        told = [expected[place] for place in sorted(expected)]
        assert list(mean) == pytest.approx([sum(sure for sure, _ in own) / len(own) for own in told])
        assert list(share) == pytest.approx([sum(right for _, right in own) / len(own) for own in told])
        assert isinstance(steps, StepPatch)
        assert list(steps.get_data().values) == pytest.approx([len(own) / len(table) for own in told])


def test_confidences_and_divergences_add_up_to_all_images():
    left, right = confidences(answers()).axes
    for steps in [*left.patches, *right.patches]:
        assert sum(steps.get_data().values) == pytest.approx(1)
    assert len(left.patches) == 2


def test_dumbbells_join_both_values_of_each_row():
    rows = [Row("all", 10, 8), Row("part", 4, NAN)]
    figure = dumbbells({"Units": rows, "Concepts": [Row("all", 3, 2), Row("part", 1, 0)]})
    units, concepts = figure.axes
    assert lines(units, "o") == [([10, 4], [0, 1])]
    assert lines(units, "s")[0][0][0] == 8
    assert math.isnan(lines(units, "s")[0][0][1])
    assert lines(concepts, "s") == [([2, 0], [0, 1])]
    assert [ax.get_xlim()[0] for ax in figure.axes] == [0, 0]
    assert units.get_xlim()[1] > 10
    assert concepts.get_xlim()[1] > 3
    assert [label.get_text() for label in units.get_yticklabels()] == ["all", "part"]


def test_scores_are_shares_of_all_units_so_that_outlines_shrink_as_units_die():
    live = np.array([0.7, 0.7, 0.9])
    figure = scores_of_units({"dense": (live, 3), "pruned": (live[:2], 4)}, (0.5, 0.4, 0.6), None)
    [ax] = figure.axes
    totals = [sum(patch.get_data().values) for patch in ax.patches if isinstance(patch, StepPatch)]
    assert totals == pytest.approx([1.0, 0.5, 0.5])  # the pruned one is drawn as outline and filled
    assert "chance, 95 % of units" in legend(figure)
    without = scores_of_units({"dense": (live, 3)}, (NAN, NAN, NAN), (live, live[::-1]))
    assert "chance, 95 % of units" not in legend(without)
    assert lines(without.axes[1], "o") == [([0.7, 0.7, 0.9], [0.9, 0.7, 0.7])]


def test_layers_of_both_networks_share_a_panel_or_have_one_each():
    dense, pruned = pd.Series([0.7, 0.8], ["a", "b"]), pd.Series([0.6, NAN], ["a", "b"])
    [ax] = by_layer([{"dense": dense, "pruned": pruned}], "MIS").axes
    assert lines(ax, "o") == [([0, 1], [0.7, 0.8])]
    two = by_layer([{"dense": dense}, {"pruned": pruned.rename({"a": "x"})}], "MIS").axes
    assert [ax.get_title(loc="left") for ax in two] == ["The dense network", "The pruned network"]
    assert [label.get_text() for label in two[1].get_xticklabels()] == ["x", "b"]


def test_of_many_layers_every_second_or_third_is_named():
    values = pd.Series(np.linspace(0, 1, 250), [f"layer{i}" for i in range(250)])
    [ax] = by_layer([{"dense": values}], "MIS").axes
    assert [label.get_text() for label in ax.get_xticklabels()][:3] == ["layer0", "layer3", "layer6"]


def test_what_was_lost_lies_left_and_what_there_is_right():
    figure = fates(
        [("object", {"kept": 3, "changed": 2, "lost": 4, "gained": 1}), ("part", {"gained": 2})], FATES
    )
    [ax] = figure.axes
    bars = dict(zip(FATES, ax.containers, strict=True))
    assert next((bar.get_x() + bar.get_width(), bar.get_width()) for bar in bars["lost"]) == (-4, -4)
    right = {
        fate: [(bar.get_x(), bar.get_width()) for bar in bars[fate]] for fate in ("kept", "changed", "gained")
    }
    assert [right[fate][0] for fate in ("kept", "changed", "gained")] == [(0, 3), (3, 2), (5, 1)]
    assert right["gained"][1] == (0, 2)


def test_likeness_is_a_share_of_the_images_with_its_chance():
    values = np.array([0.2, 0.4, 0.9, -0.3])
    figure = likeness({"Grad-CAM": {"ρ": (values, 0.1), "SSIM": (values, NAN)}})
    first, second = figure.axes
    assert sum(bar.get_height() for bar in first.patches) == pytest.approx(1)
    assert [line.get_xdata()[0] for line in first.lines] == pytest.approx([values.mean(), 0.1])
    assert len(second.lines) == 1
    assert legend(figure) == ["mean", "mean with dense maps of other images"]


def test_speedups_have_the_line_of_the_dense_network():
    figure = speedups(
        [("PyTorch, batch 1", {"pruned": (1.0, 0.9, 1.1)}), ("ONNX", {"compact": (3.0, NAN, NAN)})]
    )
    [ax] = figure.axes
    assert next(line.get_data() for line in ax.lines if line.get_marker() == "s")[0] == [1.0]
    assert next(line.get_data() for line in ax.lines if line.get_marker() == "D")[0] == [3.0]
    low, high = ax.get_xlim()
    assert low <= 0.8
    assert high >= 3
    assert legend(figure) == ["dense", "pruned", "compact"]
