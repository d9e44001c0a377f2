"""What the section on speed says, draws and lists, from synthetic times; nothing is rendered here."""

import math
import re

import numpy as np
import pandas as pd
import pytest
from matplotlib.figure import Figure
from synthetic import MACS, SERIES, write_study
from synthetic_speed import DENSE, WHY_NOT, write_speed_study

from prunescope.analysis.results import Results, read_results
from prunescope.errors import PrunescopeError
from prunescope.measures.intervals import t_interval
from prunescope.report import speed_figures
from prunescope.report.placed_labels import Point, place_labels
from prunescope.report.speed import speed
from prunescope.report.speed_findings import findings, on_drift
from prunescope.report.speed_times import fastest_that_keeps, times_of
from prunescope.report.summary import summary
from prunescope.report.theme import QUIET, looks

SHAPE = {"layers": 2, "classes": ["a", "b", "c", "d"], "rates": (0.2, 0.6)}
ONE = {"runtimes": ("pytorch",), "series": SERIES[:1]}
ALL = ("pytorch", "channels-last", "compile", "onnxruntime", "openvino")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_speed_study(tmp_path_factory.mktemp("speed") / "s", **SHAPE)


@pytest.fixture(scope="module")
def results(folder):
    return read_results(folder)


@pytest.fixture(scope="module")
def section(results):
    return speed(results)


def study(folder, **shape):
    return read_results(write_speed_study(folder / "s", **SHAPE | shape))


def edit(folder, change):
    path = folder / "tables" / "speed.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def table(folder, name="speed"):
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def said(found):
    """Return the words of a section, or of a study's results without drawing its section."""
    text = findings(times_of(found)) if isinstance(found, Results) else found.text
    return " ".join(text).replace("\u00a0", " ")


def rows_of(shown):
    return [dict(zip(shown.columns, row, strict=True)) for row in shown.cells]


def one(rows, **wanted):
    """Return the one row whose cells have these texts."""
    names = {"series": "Series", "rate": "Rate asked", "form": "Form", "runtime": "Runtime", "batch": "Batch"}
    [row] = [
        row
        for row in rows
        if all(row[names[key]].text.replace("\u00a0", " ") == text for key, text in wanted.items())
    ]
    return row


def measured(folder, network, runtime, batch, variant):
    every = table(folder)
    [row] = every.query(
        f"network == '{network}' and runtime == '{runtime}' and batch == {batch} and variant == '{variant}'"
    ).to_dict("records")
    return row


# Words


def test_masks_that_bought_nothing_are_told_first_for_each_runtime(folder, section):
    text = section.text[0].replace("\u00a0", " ")
    assert text.startswith("The masks alone bought no speed: ")
    every = table(folder).query("variant == 'masked' and batch == 1 and network.str.contains('retrained')")
    for runtime, name in (("pytorch", "PyTorch"), ("onnxruntime", "ONNX Runtime"), ("openvino", "OpenVINO")):
        speedups = every.loc[every["runtime"] == runtime, "speedup"]
        low, high = t_interval(list(speedups))
        assert f"{speedups.mean():.2f}× ({low:.2f}–{high:.2f}) in {name}" in text
    assert "the mean of 6 networks" in text
    assert f"would have promised up to {0.4**-1.8:.2f}×" in text


@pytest.mark.parametrize(
    ("masks", "claim"),
    [
        (1.3, "The masks alone made networks faster"),
        (0.8, "The masks alone cost time"),
        (1.04, "No speed-up by the masks alone was shown"),  # the interval reaches beyond 5 %
        (1.0, "The masks alone bought no speed"),
    ],
)
def test_each_verdict_on_masks_has_its_words(tmp_path, masks, claim):
    folder = write_speed_study(tmp_path / "s", **SHAPE, runtimes=("pytorch",), masks=masks)
    spread = {"filters": 0.0, "weights": 0.03, "connections, random": -0.03} if masks == 1.04 else {}
    for series, more in spread.items():
        edit(
            folder,
            lambda t, series=series, more=more: t.assign(
                speedup=t["speedup"]
                + more * (t["network"].str.startswith(series) & (t["variant"] == "masked"))
            ),
        )
    text = said(read_results(folder))
    assert text.startswith(f"{claim}: ")
    assert ("multiplied like any other number" in text) == (masks != 1.3)


def test_a_network_that_series_share_counts_once(tmp_path):
    twin = ("twin", *SERIES[0][1:])
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE | {"series": (SERIES[0], twin)})
    path = folder / "tables" / "networks.parquet"
    networks = pd.read_parquet(path).set_index("network")
    shared, copied = (f"{name}-0.2-retrained-seed0" for name in ("filters", "twin"))
    networks.loc[copied, "step"] = networks.loc[shared, "step"]
    networks.reset_index().to_parquet(path)
    every = table(folder)
    rows = every[every["network"] == shared].assign(network=copied)
    pd.concat([every[every["network"] != copied], rows]).to_parquet(folder / "tables" / "speed.parquet")
    times = times_of(read_results(folder))
    each = [
        measured(folder, name, "pytorch", 1, "masked")["speedup"]
        for name in (shared, "filters-0.6-retrained-seed0", "twin-0.6-retrained-seed0")
    ]
    [mask] = times.of_masks(1)
    assert mask[1:5] == pytest.approx((np.mean(each), *t_interval(each), 3))
    text = said(read_results(folder))
    assert "the mean of 3 networks, with 95 % intervals over networks." in text
    assert "the median of 4 runs" in text  # of the dense network: its own, and one beside each of the others


def test_the_interval_of_a_single_network_is_over_rounds(tmp_path):
    text = said(study(tmp_path, **ONE, rates=(0.6,)))
    assert "over the dense network's at batch 1, with 95 % intervals over rounds." in text


def test_one_mask_that_did_help_is_named_among_those_that_did_not(folder, tmp_path):
    results = study(tmp_path, runtimes=("openvino",))
    name = "weights-0.6-retrained-seed0"
    helped = (
        (results.speed["network"] == name)
        & (results.speed["variant"] == "masked")
        & (results.speed["batch"] == 1)
    )
    results.speed.loc[helped, ["speedup", "low", "high"]] = (1.21, 1.15, 1.27)
    text = said(results)
    assert "Faster none the less: weights at 60 %, masked in OpenVINO, 1.21× (1.15–1.27)." in text


def test_the_best_compact_network_and_the_fastest_that_keeps_its_accuracy(folder, section):
    text = said(section)
    name = "filters-0.6-retrained-seed0"
    best, late = (measured(folder, name, "onnxruntime", batch, "compact") for batch in (1, 16))
    dense = table(folder).query("runtime == 'onnxruntime' and batch == 1 and variant == 'dense'")
    final = dense[dense["network"].str.contains("retrained|dense")]
    latency = final["milliseconds"].median()
    assert (
        f"bought up to {best['speedup']:.2f}× ({best['low']:.2f}–{best['high']:.2f}) in ONNX Runtime at batch 1, "
        f"{latency / best['speedup']:.2f} ms instead of {latency:.1f} ms (filters at 60 %, −7.6 points of top-1), "
        f"and at batch 16 up to {late['speedup']:.2f}×"
    ) in text
    # OpenVINO takes the least time, although ONNX Runtime gains more.
    kept = measured(folder, "filters-0.2-retrained-seed0", "openvino", 1, "compact")
    assert (
        "Of the networks within 1 point of the dense network's top-1, the fastest is filters at 20 % (−0.8 points)"
        in text
    )
    assert f"{kept['speedup']:.2f}× ({kept['low']:.2f}–{kept['high']:.2f}) in OpenVINO." in text


def unsure(folder, batches, low=0.68, high=1.57):
    """Give the compact networks at some batches an interval that includes 1."""
    edit(
        folder,
        lambda t: t.assign(
            **{
                end: t[end].where(
                    (t["variant"] != "compact") | ~t["batch"].isin(batches) | t["why"].notna(), value
                )
                for end, value in (("low", low), ("high", high))
            }
        ),
    )


def test_where_no_interval_excludes_1_no_speed_up_is_told(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE)
    most = measured(folder, "filters-0.6-retrained-seed0", "pytorch", 1, "compact")["speedup"]
    unsure(folder, (1, 16))
    results = read_results(folder)
    section = speed(results)
    text = said(section)
    assert "bought up to" not in text + " ".join(summary(results).text)
    assert (
        "No speed-up by taking the removed channels out of the tensors was shown" in summary(results).text[1]
    )
    assert f"was shown: at best {most:.2f}× (0.68–1.57) in PyTorch at batch 1" in text
    number = {fact.term: fact for fact in section.numbers}["Compact, at best"]
    assert (number.text, number.note) == ("not shown", f"largest: {most:.2f}× (0.68–1.57) in PyTorch")
    assert [row["Compact, at best"].text for row in rows_of(section.tables[0])] == ["not shown"] * 2


def test_the_best_is_the_best_of_those_that_are_shown(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE)
    edit(folder, lambda t: t.assign(low=t["low"].where(~t["network"].str.startswith("filters-0.6"), 0.9)))
    section = speed(read_results(folder))
    smaller = measured(folder, "filters-0.2-retrained-seed0", "pytorch", 1, "compact")["speedup"]
    assert f"bought up to {smaller:.2f}×" in said(section)
    assert rows_of(section.tables[0])[0]["Compact, at best"].number == smaller


@pytest.mark.parametrize(("batches", "other"), [((1,), 1), ((16,), 16)])
def test_a_batch_at_which_no_speed_up_is_shown_is_told(tmp_path, batches, other):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE)
    unsure(folder, batches)
    [bought] = re.findall(r"[^.]*bought up to.*?none was shown\.", said(read_results(folder)))
    assert bought.endswith(f"; at batch {other} none was shown.")
    assert f"in PyTorch at batch {17 - other}, " in bought


def test_times_of_few_rounds_show_nothing(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE, masks=1.3)
    edit(folder, lambda t: t.assign(low=math.nan, high=math.nan, rounds=1))
    edit(folder, lambda t: t[~t["network"].str.startswith("filters-0.2")])  # of one network, no mean
    section = speed(read_results(folder))
    text = said(section)
    assert text.startswith("No speed-up by the masks alone was shown: 1.3")
    assert "interval" not in text
    assert "faster than" not in text.replace("none was shown to be faster than", "")
    assert section.warnings[0].startswith(
        "All speed-ups have no interval of their own, for which it takes six rounds"
    )
    assert speed(study(tmp_path / "enough", **ONE)).warnings == []


@pytest.mark.parametrize(
    ("series", "rates", "words"),
    [
        (SERIES[1:2], (0.2,), "Of the networks within {}, none was shown to be faster"),
        (
            SERIES[:1],
            (0.4, 0.6),
            "No pruned network is within {}; the nearest is filters at 40 % (−3.4 points).",
        ),
    ],
)
def test_where_no_fast_network_keeps_its_accuracy_the_words_say_so(tmp_path, series, rates, words):
    results = study(tmp_path, series=series, rates=rates, runtimes=("openvino",))
    assert words.format("1 point of the dense network's top-1") in said(results)
    assert fastest_that_keeps(times_of(results).gains) is None


def test_networks_without_a_compact_form_are_named_with_the_reason(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE)
    assert f"No compact form of weights: {WHY_NOT}." in said(read_results(folder))
    odd = "layer block.conv is fixed"
    broken = {"speedup": math.nan, "milliseconds": math.nan, "why": odd}
    edit(
        folder,
        lambda t: t.assign(
            **{
                column: t[column].where(
                    ~(t["network"].str.startswith("filters-0.6") & (t["variant"] == "compact")), value
                )
                for column, value in broken.items()
            }
        ),
    )
    text = said(read_results(folder))
    assert f"No compact form of filters at 60 %: {odd}." in text


def test_a_network_that_one_runtime_cannot_run_is_named(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE, runtimes=("pytorch", "openvino"))
    edit(
        folder,
        lambda t: t.assign(
            why=t["why"].where(
                (t["runtime"] != "openvino") | ~t["network"].str.startswith("filters-0.2"), "no operator"
            ),
            **{
                column: t[column].where(
                    (t["runtime"] != "openvino") | ~t["network"].str.startswith("filters-0.2")
                )
                for column in ("milliseconds", "speedup", "low", "high", "images_per_second")
            },
        ),
    )
    section = speed(read_results(folder))
    assert "No times of filters at 20 % in OpenVINO: no operator." in said(section)
    row = one(rows_of(section.tables[1]), series="filters", rate="20.0 %", form="compact")
    assert row["OpenVINO"].text == "–"
    assert row["PyTorch"].number > 0


def test_two_seeds_that_differ_leave_the_axes_readable(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE, seeds=(0, 1))
    far = {"filters-0.6-retrained-seed0": 0.7, "filters-0.6-retrained-seed1": 1.4}
    edit(folder, lambda t: t.assign(speedup=t["speedup"] * t["network"].map(far).fillna(1)))
    results = read_results(folder)
    for draw in (speed_figures.accuracy_by_time, speed_figures.speedup_by_promise):
        for ax in panels(draw(results, times_of(results))):
            low, high = ax.get_xlim()
            assert 0 < low < high < 50 * low  # Student's t of two seeds reaches below 0


def test_a_runtime_that_does_not_work_is_named_and_drawn_nowhere(tmp_path):
    results = study(tmp_path, runtimes=ALL[:4], broken={"compile": "no compiler (install g++)"})
    section = speed(results)
    text = said(section)
    assert "No times in torch.compile: no compiler (install g++)." in text
    assert f"No compact form of weights: {WHY_NOT}." in text  # everywhere that anything was timed
    assert not any("torch.compile" in shown.columns for shown in section.tables)
    titles = {ax.get_title() for plot in section.plots for ax in plot.draw().axes}
    assert titles - {""} == {"PyTorch", "PyTorch channels-last", "ONNX Runtime"}


def test_reasons_that_differ_within_a_series_are_told_once(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE, seeds=(0, 1))
    edit(folder, lambda t: t.assign(why=t["why"].where(t["why"].isna(), "first: " + t["network"].str[-1])))
    text = said(read_results(folder))
    assert text.count("No compact form") == 1
    assert (
        "No compact form of weights: first: 0 (the first of 2 reasons; all are in “speed.parquet”)." in text
    )


def test_a_reason_of_one_runtime_does_not_hide_that_of_the_others(tmp_path):
    results = study(tmp_path, runtimes=("pytorch", "compile"), broken={"compile": "no g++"}, seeds=(0, 1))
    text = said(results)
    assert "No times in torch.compile: no g++." in text
    assert f"No compact form of weights: {WHY_NOT}." in text
    assert "reasons" not in text


def test_many_reasons_are_counted(tmp_path):
    series = [(f"weights {i}", "weight", "magnitude", 1.3, 0.06) for i in range(9)]
    folder = write_speed_study(tmp_path / "s", **SHAPE | {"series": series, "runtimes": ("openvino",)})
    edit(
        folder,
        lambda t: t.assign(why=t["why"].where(t["why"].isna(), t["why"] + " in " + t["network"].str[:9])),
    )
    text = findings(times_of(read_results(folder)))[-2]
    assert text.count("No compact form") == 5
    assert text.endswith("4 further reasons are in “speed.parquet”.")


def test_the_dense_network_s_time_is_told_for_every_runtime(folder, section):
    every = table(folder).query("batch == 1 and variant == 'dense' and not network.str.contains('pruned')")
    median = every.groupby("runtime")["milliseconds"].median()
    text = said(section)
    assert f"{median['pytorch']:.1f} ms in PyTorch, {median['onnxruntime']:.1f} ms in ONNX Runtime" in text
    assert "the median of 7 runs" in text
    ratio = median["pytorch"] / median["openvino"]
    assert f"Going from PyTorch to OpenVINO is worth {ratio:.2f}× without any pruning." in text


def test_a_machine_that_changes_its_speed_is_told_and_moves_no_point(tmp_path):
    steady, shaky = (times_of(study(tmp_path / str(drift), drift=drift)) for drift in (0.0, 0.3))
    assert on_drift(steady) == []
    [warning] = on_drift(shaky)
    assert "not equally fast throughout" in warning
    of_dense = [times.table["latency"] / times.table["dense_latency"] for times in (steady, shaky)]
    np.testing.assert_allclose(*of_dense)
    raw = [times.table["milliseconds"] / times.table["dense_latency"] for times in (steady, shaky)]
    assert np.nanmax(np.abs(raw[1] / raw[0] - 1)) > 0.2


@pytest.mark.parametrize("column", ["threads", "device", "version"])
def test_networks_timed_under_other_conditions_are_told(tmp_path, column):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE)
    other = {"threads": 2, "device": "cuda", "version": "0.1"}[column]
    edit(folder, lambda t: t.assign(**{column: t[column].where(t["network"] != "dense-seed0", other)}))
    [warning] = speed(read_results(folder)).warnings
    assert f"not all timed alike: they differ in {column}" in warning


def test_how_the_times_were_taken_is_stated(section):
    facts = {fact.term: fact.text for fact in section.facts}
    assert "medians of 15 rounds, 1 thread, speed-ups by the time that the processor worked" in facts["Timed"]
    assert facts["Runtimes"] == "PyTorch 2.13.0; ONNX Runtime 1.23.0; OpenVINO 2025.3.0"
    assert facts["Device"] == "cpu"


def test_the_summary_tells_the_main_finding(results, tmp_path):
    [_, text] = summary(results).text
    assert text.startswith("The masks alone bought no speed. Of the networks within 1 point")
    hopeless = summary(study(tmp_path, series=SERIES[:1], rates=(0.6,))).text[1]
    assert "bought up to" in hopeless
    assert "No pruned network is within 1 point" in hopeless


# Tables


def test_the_table_of_times_holds_the_times(folder, section):
    latency, throughput = section.tables[1:3]
    for shown, batch in ((latency, 1), (throughput, 16)):
        rows = rows_of(shown)
        assert len(rows) == 1 + 2 * (2 + 1 + 2)  # dense; masked and compact, weights masked only
        for series, rate, form in (("filters", 0.6, "compact"), ("weights", 0.2, "masked")):
            name = f"{series}-{rate}-retrained-seed0"
            shown_form = "masked only" if series == "weights" else form
            row = one(rows, series=series, rate=f"{100 * rate:.1f} %", form=shown_form)
            for runtime, column in (("pytorch", "PyTorch"), ("openvino", "OpenVINO")):
                found = measured(folder, name, runtime, batch, form)
                assert row[column].number == found["milliseconds"]
                assert (
                    f"{found['speedup']:.2f}× ({found['low']:.2f}–{found['high']:.2f})" in row[column].detail
                )
                assert ("/s" in row[column].text) == (batch == 16)
    assert one(rows_of(latency), form="dense")["PyTorch"].detail == ""


def test_what_is_promised_is_the_ratio_of_the_macs(section):
    rows = rows_of(section.tables[1])
    masked = one(rows, series="weights", rate="60.0 %", form="masked only")
    assert masked["Promised"].number == pytest.approx(0.4**-0.8)
    compact = one(rows, series="filters", rate="20.0 %", form="compact")
    assert compact["Promised"].number == pytest.approx(0.8**-1.8)


def test_each_runtime_is_summed_up(folder, section):
    rows = rows_of(section.tables[0])
    assert len(rows) == 3 * 2
    row = one(rows, runtime="OpenVINO", batch="16")
    every = table(folder).query(
        "runtime == 'openvino' and batch == 16 and not network.str.contains('pruned')"
    )
    assert row["Masks alone"].number == pytest.approx(every.query("variant == 'masked'")["speedup"].mean())
    assert row["Compact, at best"].number == every.query("variant == 'compact'")["speedup"].max()
    assert "filters at 60\u00a0%, −7.6\u00a0points" in row["Compact, at best"].detail
    kept = measured(folder, "filters-0.2-retrained-seed0", "openvino", 16, "compact")
    assert row["Fastest within 1 point of dense"].number == kept["speedup"]
    assert "−0.8\u00a0points" in row["Fastest within 1 point of dense"].detail


def test_what_each_network_weighs(folder, section):
    rows = rows_of(section.tables[3])
    assert len(rows) == 1 + 3 * 2
    row = one(rows, series="filters", rate="60.0 %")
    scores = (
        table(folder, "scores").query("network == 'filters-0.6-retrained-seed0'").set_index("metric")["value"]
    )
    for column, metric in (
        ("MACs, effective", "macs_effective"),
        ("MACs, compact", "macs_compact"),
        ("Weights, compact", "weights_compact"),
        ("File", "file_bytes"),
        ("File, compact", "file_bytes_compact"),
        ("File, packed", "file_bytes_packed"),
    ):
        assert row[column].number == scores[metric]
    peak = measured(folder, "filters-0.6-retrained-seed0", "pytorch", 16, "compact")["peak_bytes"]
    assert row["Peak memory, batch 16"].number == peak
    assert row["Peak memory, batch 16"].detail == "of 168\u00a0MB"
    assert row["File, compact"].detail.startswith("zstd ")


# Figures


def series_lines(ax, look, hollow=None):
    """Return the markers of a series in a panel, as points in the order in which they were drawn."""
    return [
        tuple(line.get_xydata()[0])
        for line in ax.lines
        if line.get_color() == look.colour
        and line.get_marker() == look.marker
        and (hollow is None or (line.get_markerfacecolor() == "white") == hollow)
    ]


def panels(figure):
    return [ax for ax in figure.axes if ax.get_title()]


def test_accuracy_is_drawn_against_the_time_of_the_form_that_one_would_use(folder, results):
    times = times_of(results)
    figure = speed_figures.accuracy_by_time(results, times)
    styles = looks(results.series, results.controls)
    every = panels(figure)
    assert [ax.get_title() for ax in every] == ["PyTorch", "ONNX Runtime", "OpenVINO"] * 2
    top1 = table(folder, "scores").query("metric == 'top1'").set_index("network")["value"]
    dense = table(folder).query(
        "runtime == 'onnxruntime' and variant == 'dense' and not network.str.contains('pruned')"
    )
    for ax, batch in ((every[1], 1), (every[4], 16)):
        base = dense.loc[dense["batch"] == batch, "milliseconds"].median()
        for series, variant in (("filters", "compact"), ("weights", "masked")):
            expected = []
            for rate in (0.2, 0.6):
                name = f"{series}-{rate}-retrained-seed0"
                latency = base / measured(folder, name, "onnxruntime", batch, variant)["speedup"]
                expected.append((latency if batch == 1 else 1000 * batch / latency, top1[name]))
            drawn = series_lines(ax, styles[series], hollow=variant == "masked")
            np.testing.assert_allclose(drawn, expected)
            assert series_lines(ax, styles[series], hollow=variant != "masked") == []
        [black] = [line for line in ax.lines if line.get_marker() == "o" and line.get_color() == "#1b1f24"]
        x = base if batch == 1 else 1000 * batch / base
        np.testing.assert_allclose(black.get_xydata(), [(x, top1["dense-seed0"])])
        assert ax.get_xscale() == "log"
    assert every[0].get_xlim() == every[2].get_xlim() != every[3].get_xlim()


def test_bars_reach_over_the_interval_both_ways(folder, results):
    ax = panels(speed_figures.accuracy_by_time(results, times_of(results)))[1]
    look = looks(results.series, results.controls)["filters"]
    found = measured(folder, "filters-0.6-retrained-seed0", "onnxruntime", 1, "compact")
    point = series_lines(ax, look)[1]
    low, high = (point[0] * found["speedup"] / found[end] for end in ("high", "low"))
    bars = [np.ravel(bar.get_segments()[0]) for bar in ax.collections if hasattr(bar, "get_segments")]
    assert any(np.allclose(bar, (low, point[1], high, point[1])) for bar in bars)
    scores = (
        table(folder, "scores").set_index(["network", "metric"]).loc[("filters-0.6-retrained-seed0", "top1")]
    )
    assert any(np.allclose(bar, (point[0], scores["low"], point[0], scores["high"])) for bar in bars)


def test_measured_stands_against_promised_with_the_identity(folder, results):
    figure = speed_figures.speedup_by_promise(results, times_of(results))
    ax = panels(figure)[2]
    look = looks(results.series, results.controls)["filters"]
    for variant in ("masked", "compact"):
        expected = [
            (
                MACS
                / (found := measured(folder, f"filters-{rate}-retrained-seed0", "openvino", 1, variant))[
                    "macs"
                ],
                found["speedup"],
            )
            for rate in (0.2, 0.6)
        ]
        np.testing.assert_allclose(series_lines(ax, look, hollow=variant == "masked"), expected)
    assert ax.get_xlim() == ax.get_ylim()
    [identity] = [line for line in ax.lines if line.get_linestyle() == "--" and line.get_color() == QUIET]
    np.testing.assert_allclose(identity.get_xydata().T, [ax.get_xlim(), ax.get_ylim()])


def texts(ax):
    return [text for text in ax.texts if text.get_text()]


@pytest.mark.parametrize("draw", [speed_figures.accuracy_by_time, speed_figures.speedup_by_promise])
def test_no_label_covers_another_or_a_point(tmp_path, draw):
    results = study(tmp_path, rates=(0.2, 0.3, 0.4, 0.5, 0.6, 0.7))
    figure = draw(results, times_of(results))
    figure.draw_without_rendering()
    written = 0
    for ax in panels(figure):
        boxes = [text.get_window_extent() for text in texts(ax)]
        written += len(boxes)
        for i, box in enumerate(boxes):
            assert box.count_overlaps(boxes[:i]) == 0
            spots = ax.transData.transform(
                [line.get_xydata()[0] for line in ax.lines if len(line.get_xdata()) == 1]
            )
            assert not any(box.contains(*spot) for spot in spots)
            frame = ax.get_window_extent()
            assert frame.x0 - 1 <= box.x0
            assert box.x1 <= frame.x1 + 1
    assert written > 5 * len(panels(figure))


def test_a_label_without_room_is_left_out_and_one_with_room_is_written():
    figure = Figure(figsize=(3, 3))
    ax = figure.subplots()
    ax.set(xlim=(0, 10), ylim=(0, 10))
    crowd = [Point(5, 5, (5, 5, 5, 5), f"{i} %", "black") for i in range(30)]
    alone = Point(1, 1, (1, 1, 1, 1), "alone", "black")
    figure.draw_without_rendering()
    place_labels(ax, [*crowd, alone])
    names = [text.get_text() for text in ax.texts]
    assert "alone" in names
    assert 1 < len(names) < 31


def test_several_seeds_are_means_with_their_interval_and_one_row_each(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE, seeds=(0, 1, 2))
    results = read_results(folder)
    section = speed(results)
    assert "Means of 3 seeds" in section.plots[0].caption
    assert "Seed" in section.tables[1].columns
    assert len(section.tables[1].rows) == 3 * (1 + 2 * 2)
    ax = panels(section.plots[1].draw())[0]
    look = looks(results.series, results.controls)["filters"]
    speedups = [
        measured(folder, f"filters-0.6-retrained-seed{seed}", "pytorch", 1, "compact")["speedup"]
        for seed in range(3)
    ]
    point = series_lines(ax, look, hollow=False)[1]
    assert point[1] == pytest.approx(np.mean(speedups))
    low, high = t_interval(speedups)
    bars = [np.ravel(bar.get_segments()[0]) for bar in ax.collections if hasattr(bar, "get_segments")]
    assert any(np.allclose(bar, (point[0], low, point[0], high)) for bar in bars)


# Missing pieces


def test_a_study_without_times_has_no_such_section_and_says_nothing_of_it(tmp_path):
    results = read_results(write_study(tmp_path / "s", **SHAPE))
    assert speed(results) is None
    assert len(summary(results).text) == 1


def test_without_accuracy_there_are_times_and_no_figure_of_accuracy(tmp_path):
    section = speed(study(tmp_path, **ONE, measures=("size",)))
    assert [plot.name for plot in section.plots] == ["speedup-by-promise"]
    assert "top-1" not in said(section)
    assert "Top-1" not in section.tables[1].columns
    assert "points" not in said(section)


def test_without_size_the_table_of_weights_holds_the_memory_alone(tmp_path):
    section = speed(study(tmp_path, **ONE, measures=("accuracy",)))
    assert section.tables[-1].columns == [
        "Series",
        "Rate asked",
        "Peak memory, batch 1",
        "Peak memory, batch 16",
    ]
    without = speed(study(tmp_path / "o", measures=("accuracy",), series=(), runtimes=("openvino",)))

    assert len(without.tables) == 2


def test_only_a_dense_network_has_times_and_no_figure(tmp_path):
    section = speed(study(tmp_path, series=()))
    assert section.plots == []
    assert section.numbers == []
    [text] = section.text
    assert text.startswith("The dense network takes ")
    assert len(section.tables) == 3
    assert len(section.tables[0].rows) == 1


def test_one_runtime_and_one_batch_give_one_panel(tmp_path):
    section = speed(study(tmp_path, runtimes=("pytorch",), batches=(1,)))
    assert [len(panels(plot.draw())) for plot in section.plots] == [1, 1]
    assert re.search(r"Going from|batch 16", said(section)) is None
    assert section.numbers[0].text == "1.00×"


def test_weights_alone_are_drawn_hollow_at_the_dense_network_s_time(tmp_path):
    results = study(tmp_path, series=SERIES[1:2], runtimes=("pytorch",), batches=(1,))
    [ax] = panels(speed_figures.accuracy_by_time(results, times_of(results)))
    assert ax.get_xscale() == "linear"
    low, high = ax.get_xlim()
    assert high / low > 1.5  # scatter is not blown up to an effect
    assert len(series_lines(ax, looks(results.series, results.controls)["weights"], hollow=True)) == 2
    assert low < DENSE["pytorch"] < high


def test_nothing_timed_at_all_says_why_and_no_more(tmp_path):
    section = speed(study(tmp_path, runtimes=("compile",), broken={"compile": "no compiler"}))
    assert section.text == ["No times: no compiler."]
    assert not section.plots
    assert not section.tables


def test_a_network_that_was_not_timed_is_left_out(tmp_path):
    folder = write_speed_study(tmp_path / "s", **SHAPE | ONE)
    edit(folder, lambda t: t[~t["network"].isin(["filters-0.6-retrained-seed0", "dense-seed0"])])
    section = speed(read_results(folder))
    rows = rows_of(section.tables[1])
    assert {row["Form"].text for row in rows} == {"masked", "compact"}
    assert ("filters", 0.6) not in {(row["Series"].text, row["Rate asked"].number) for row in rows}
    assert "in PyTorch at batch 1." in said(section)  # one run


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: pd.concat([t, t.iloc[[1]]]), "two values of the masked network in pytorch at batch 1 for"),
        (lambda t: t.drop(columns="speedup"), "speed.parquet lacks the column 'speedup'"),
    ],
)
def test_a_damaged_table_is_named(tmp_path, change, message):
    folder = write_speed_study(tmp_path / "s", **SHAPE)
    path = folder / "tables" / "speed.parquet"
    rows = pd.read_parquet(path).query("network == 'filters-0.2-retrained-seed0'").reset_index(drop=True)
    change(rows).to_parquet(path)
    with pytest.raises(PrunescopeError, match=re.escape(message)):
        read_results(folder)
