"""What the section on explanations says, draws and shows, against the synthetic tables it is made from."""

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
from synthetic import SERIES
from synthetic_explanations import PROXY, write_explanation_study, write_scores
from test_report_page import Page

from prunescope.analysis.results import read_results
from prunescope.errors import PrunescopeError
from prunescope.measures.intervals import mean_interval, t_interval
from prunescope.report import explanation_words as words
from prunescope.report import page
from prunescope.report.explanation_figures import rate_axis
from prunescope.report.explanation_grids import grids
from prunescope.report.explanation_results import with_explanations
from prunescope.report.explanations import explanations

RATES = [0.5, 0.75, 0.875, 0.9375, 0.96875]
SHAPE = {
    "series": [("weights", "weight", "magnitude", 1.0, 0.2)],
    "rates": RATES,
    "classes": ["tench", "<b>horn</b>", "church"],
    "layers": 2,
}
LAST = "weights-0.96875-retrained-seed0"


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_explanation_study(tmp_path_factory.mktemp("explanations") / "s", **SHAPE)


@pytest.fixture(scope="module")
def section(folder):
    return explanations(read_results(folder))


@pytest.fixture(scope="module")
def shown(folder):
    """The page of the section alone, with every letter of its HTML parsed."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("prunescope.report.sections.SECTIONS", (explanations,))
        patch.setattr(page, "FORMATS", ("svg",))
        return Page(page.write_report(folder).read_text("utf-8"))


def table(folder, name="explanations"):
    return pd.read_parquet(folder / "tables" / f"{name}.parquet")


def change(folder, edit):
    """Edit the table of images, and the scores with it."""
    edited = edit(table(folder))
    edited.to_parquet(folder / "tables" / "explanations.parquet")
    write_scores(folder, edited)
    return with_explanations(read_results(folder))


def rows_of(shown_table):
    return [dict(zip(shown_table.columns, row, strict=True)) for row in shown_table.cells]


def panel(section, name, title):
    [plot] = [plot for plot in section.plots if plot.name == f"explanations-{name}"]
    [ax] = [ax for ax in plot.draw().axes if ax.get_title(loc="left") == title or ax.get_title() == title]
    return ax


def paragraph(section, start):
    """Return what was found, which follows the paragraph that says what it means."""
    [place] = [i for i, text in enumerate(section.text) if text.startswith(start)]
    return section.text[place + 1]


def test_a_study_without_explanations_has_no_section(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "s")
    scores = table(copy, "scores")
    scores[~scores["metric"].str.contains("/")].to_parquet(copy / "tables" / "scores.parquet")
    for path in ("tables/explanations", "tables/explanation_curves", "pictures/explanations"):
        (copy / f"{path}.parquet").unlink()
    assert explanations(read_results(copy)) is None


def test_the_table_puts_both_compressions_beside_what_was_measured(folder, section):
    told, scores = table(folder), table(folder, "scores").set_index(["network", "metric"])["value"]
    rows = rows_of(section.tables[0])
    assert [row["Rate asked"].number for row in rows] == [0, *RATES]
    own = told[told["network"] == LAST]
    last = rows[-1]
    assert last["CR, prunable"].number == pytest.approx(1 / (1 - 0.96875 - 0.0004))
    assert last["CR, all"].number == pytest.approx(scores[LAST, "compression_all"])
    assert last["CR, all"].number < last["CR, prunable"].number
    assert last["ρ with dense"].number == pytest.approx(own["spearman"].mean())
    assert last["Insertion − deletion"].number == pytest.approx((own["insertion"] - own["deletion"]).mean())
    assert last["Proxy, top-1"].number == pytest.approx(own["proxy_correct"].mean())
    assert rows[0]["ρ with dense"].text == "–"  # the dense network is not compared with itself
    assert "Retrained" not in section.tables[0].columns
    assert section.tables[1].folded
    assert rows_of(section.tables[1])[-1]["Empty maps"].number == pytest.approx(own["empty"].mean())


def test_changes_are_over_the_same_images_and_leave_out_those_that_either_lacks(folder, section):
    told = table(folder).assign(faithfulness=lambda t: t["insertion"] - t["deletion"])
    wide = told.pivot(index="image", columns="network", values="faithfulness")
    assert wide[LAST].isna().any()
    differences = (wide[LAST] - wide["dense-seed0"]).dropna()
    cell = rows_of(section.tables[0])[-1]["Change from dense"]
    assert cell.number == pytest.approx(differences.mean())
    unpaired = wide[LAST].mean() - wide["dense-seed0"].mean()
    assert abs(cell.number - unpaired) > 1e-4
    low, high = mean_interval(differences.to_numpy())
    assert cell.detail == f"{low:.3f} to {high:.3f}".replace("-", "−")


def test_without_sizes_compression_follows_from_the_zeros(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "s")
    scores = table(copy, "scores")
    scores[~scores["metric"].str.startswith("compression")].to_parquet(copy / "tables" / "scores.parquet")
    shown = explanations(read_results(copy)).tables[0]
    assert rows_of(shown)[-1]["CR, prunable"].number == pytest.approx(1 / (1 - 0.96875 - 0.0004))
    assert "CR, all" not in shown.columns


@pytest.mark.parametrize(
    ("name", "title", "what"),
    [
        ("likeness", "Spearman’s ρ", "spearman"),
        ("faithfulness", "Insertion − deletion", "faithfulness"),
        ("shape", "Entropy", "entropy"),
        ("shape", "Pointing game", "pointing"),
        ("proxy", "A proxy for people: its top-1", "proxy_top1"),
    ],
)
def test_panels_draw_the_scores_with_their_intervals(folder, section, name, title, what):
    scores = table(folder, "scores").set_index(["metric", "network"]).loc[f"grad-cam/{what}"]
    names = [f"weights-{rate}-retrained-seed0" for rate in RATES]
    ax = panel(section, name, title)
    [line] = [line for line in ax.lines if line.get_marker() == "o"]
    np.testing.assert_allclose(line.get_xdata(), RATES)
    np.testing.assert_allclose(line.get_ydata(), scores.loc[names, "value"])
    bars = [segment[:, 1] for segment in ax.collections[-1].get_segments()]
    np.testing.assert_allclose(bars, scores.loc[names, ["low", "high"]])


def test_chance_random_order_and_the_controls_of_the_proxy_are_drawn(section):
    for title, level in (("Spearman’s ρ", 0.31), ("SSIM", 0.22), ("IoU of the top pixels", 0.12)):
        assert any(np.allclose(line.get_ydata(), level) for line in panel(section, "likeness", title).lines)
    levels = [line.get_ydata()[0] for line in panel(section, "faithfulness", "Insertion − deletion").lines]
    assert 0.0 in levels
    drawn = [line.get_ydata()[0] for line in panel(section, "proxy", "A proxy for people: its top-1").lines]
    assert set(PROXY.values()) <= set(drawn)


def test_rates_that_are_halvings_stand_apart(folder, section):
    ax = panel(section, "likeness", "Spearman’s ρ")
    places = ax.transData.transform([(rate, 0.5) for rate in RATES])[:, 0]
    np.testing.assert_allclose(np.diff(places), np.diff(places)[0], rtol=1e-6)
    assert len(ax.get_xticks()) == 5
    low, high = ax.get_xlim()
    assert low < 0.5
    assert 0.96875 < high < 1


def test_rates_far_apart_stay_linear(tmp_path):
    from matplotlib.figure import Figure

    shape = SHAPE | {"rates": (0.2, 0.4, 0.6)}
    results = read_results(write_explanation_study(tmp_path / "s", **shape))
    ax = Figure().subplots()
    rate_axis(ax, results, 1)
    assert ax.get_xscale() == "linear"


def test_curves_are_those_of_the_table(folder, section):
    curves = table(folder, "explanation_curves")
    own = curves[(curves["network"] == LAST) & (curves["curve"] == "insertion")]
    drawn = [line.get_xydata() for line in panel(section, "curves", "Insertion").lines]
    assert len(drawn) == 6
    assert any(np.allclose(line, own[["fraction", "value"]]) for line in drawn)


def test_likeness_is_set_against_chance_and_is_called_no_quality(folder, tmp_path, section):
    found = paragraph(section, "Likeness")
    own = table(folder).query("network == @LAST")["spearman"].dropna()
    assert f"{own.mean():.2f} (" in found
    assert found.endswith("with dense maps of other images it is 0.31.")
    assert any("no mark of quality" in text for text in section.text)
    copy = shutil.copytree(folder, tmp_path / "s")
    lost = change(copy, lambda t: t.assign(spearman=t["spearman"].where(t["network"] != LAST, 0.3)))
    assert "not shown to be more than with dense maps of other images (0.31" in " ".join(
        words.likeness(lost, "grad-cam")
    )


def test_no_change_is_claimed_where_the_interval_holds_zero(folder, tmp_path, section):
    assert "insertion − deletion falls by 0." in paragraph(section, "Faithfulness")
    copy = shutil.copytree(folder, tmp_path / "s")

    def level(told):
        swing = np.where(np.arange(len(told)) % 2, 0.1, -0.1)
        return told.assign(insertion=0.6 + swing * (told["network"] == LAST), deletion=0.3, confidence=0.8)

    [found] = words.faithfulness(change(copy, level), "grad-cam")
    assert "insertion − deletion shows no change (−0.0" in found
    assert "falls" not in found
    assert "rises" not in found


def test_the_trap_of_confidence_is_told(section):
    [meaning] = [text for text in section.text if text.startswith("Faithfulness")]
    assert "with less confidence, a smaller deletion area is no gain" in meaning


def test_the_proxy_is_called_a_proxy_wherever_it_shows(section):
    [plot] = [plot for plot in section.plots if plot.name == "explanations-proxy"]
    for text in (plot.caption, plot.alt, *(ax.get_title() for ax in plot.draw().axes)):
        assert "A proxy for people" in text
    meaning = next(text for text in section.text if text.startswith("The proxy"))
    assert (
        "83.0\u00a0% of the whole images and 17.0\u00a0% of pictures that show as many random pixels"
        in meaning
    )
    assert "it is not people" in section.tables[0].caption


def test_a_proxy_that_is_not_shown_to_differ_is_said_so(folder, tmp_path, section):
    assert "not shown" not in paragraph(section, "The proxy")
    copy = shutil.copytree(folder, tmp_path / "s")
    swing = {"dense-seed0": 0, LAST: 1}

    def alike(told):
        flipped = (np.arange(len(told)) + told["network"].map(swing).fillna(0)) % 2
        return told.assign(proxy_correct=flipped)

    [found] = words.proxy(change(copy, alike), "grad-cam")
    assert "a difference that is not shown" in found


def test_empty_maps_are_counted_and_warned_of(folder, tmp_path, section):
    most = table(folder).groupby("network")["empty"].mean().max()
    warning = section.warnings[-1]
    assert f"up to {100 * most:.1f}\u00a0% of the images (weights at 75\u00a0%)" in warning
    copy = shutil.copytree(folder, tmp_path / "s")
    assert not words.empties(change(copy, lambda t: t.assign(empty=False)), "grad-cam")


def test_retraining_without_a_control_is_warned_of(folder, tmp_path, section):
    assert section.warnings[0].startswith("The pruned networks were retrained, and the dense one was not")
    copy = shutil.copytree(folder, tmp_path / "s")
    networks = table(copy, "networks")
    for changed in (
        networks.assign(rate=networks["rate"].where(networks["network"] != LAST, 0.0)),
        networks.assign(stage=networks["stage"].replace("retrained", "pruned")),
    ):
        changed.to_parquet(copy / "tables" / "networks.parquet")
        assert not words.without_control(read_results(copy))


def test_classes_with_few_images_are_warned_of(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "study")
    told = table(copy)
    first = told.loc[told["label"] == told["label"].min(), "image"].unique()
    left = told[~told["image"].isin(first)].drop_duplicates("image")["label"].value_counts()
    assert not words.uneven_classes(read_results(folder))
    (warning,) = words.uneven_classes(change(copy, lambda t: t[~t["image"].isin(first)]))
    assert f"0 to {left.max()} images each, the fewest of tench" in warning


def test_maps_of_different_classes_are_warned_of(folder, tmp_path):
    assert not words.other_classes(read_results(folder))
    copy = shutil.copytree(folder, tmp_path / "s")
    other = change(copy, lambda t: t.assign(target=t["target"].where(t["network"] != LAST, 7)))
    [warning] = words.other_classes(other)
    assert "In 20.0\u00a0% of the comparisons the two maps explain different classes" in warning
    tile = grids(other)[0].rows[0][1]
    assert "for tench" in tile.lines  # said below each map, since the row has no one class


def test_grids_show_images_by_rate_with_class_and_answer(folder, section):
    heat, *folded = section.galleries
    assert [gallery.folded for gallery in section.galleries] == [False, True, False, True]
    assert list(heat.columns) == [
        "Image",
        "dense",
        "50\u00a0%",
        "75\u00a0%",
        "87.5\u00a0%",
        "93.8\u00a0%",
        "96.9\u00a0%",
    ]
    assert heat.caption.startswith("One image of each class")
    assert folded[1].caption.startswith("The images whose explanation changed most")
    pictures = pd.read_parquet(folder / "pictures" / "explanations.parquet")
    told = table(folder).set_index(["network", "image"])
    chosen = pictures.loc[pictures["why"] == "changed", "image"].unique()
    for image, row in zip(chosen, folded[1].rows, strict=True):
        original, *_, last = row
        of = told.loc[(LAST, image)]
        [jpeg] = pictures.query(
            "image == @image and kind == 'heat' and network == @LAST and why == 'changed'"
        )["jpeg"]
        assert last.picture.jpeg == jpeg
        assert original.lines[0] == image.rpartition("/")[2]
        assert original.lines[1] == f"is {SHAPE['classes'][of['label']]}"
        assert original.lines[2] == f"explained: {SHAPE['classes'][of['target']]}"
        assert last.good == of["correct"]
        assert last.lines[-1] == ("right" if of["correct"] else f"says {SHAPE['classes'][of['prediction']]}")
        assert ("empty map" in last.lines) == of["empty"]
        likeness = "" if of["empty"] else f"ρ {of['spearman']:.2f} · "
        assert last.lines[-2] == f"{likeness}{100 * of['confidence']:.0f}\u00a0%"


def test_pictures_are_files_beside_a_page_that_needs_no_script(folder, section, shown):
    images = [attributes for tag, attributes in shown.tags if tag == "img"]
    images = [attributes for attributes in images if attributes["src"].startswith("explanations/")]
    assert len(images) == sum(len(gallery.pictures) for gallery in section.galleries)
    for attributes in images:
        assert (folder / "report" / attributes["src"]).read_bytes().startswith(b"\xff\xd8")
        assert len(attributes["alt"]) > 10
    kept = {path.name for path in (folder / "report" / "explanations").iterdir()}
    assert kept == {attributes["src"].rpartition("/")[2] for attributes in images}
    assert not {tag for tag, _ in shown.tags} & {"b"}  # the name of a class is no tag
    assert "<b>horn</b>" in "".join(shown.words)


def test_without_pictures_there_are_no_grids(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "s")
    (copy / "pictures" / "explanations.parquet").unlink()
    assert grids(read_results(copy)) == []


def test_what_was_not_measured_is_left_out(tmp_path):
    absent = ["deletion", "insertion", "pointing", "inside", "proxy_correct"]
    folder = write_explanation_study(
        tmp_path / "s", leave_out=absent, settings={"steps": 0, "proxy": None}, **SHAPE
    )
    (folder / "tables" / "explanation_curves.parquet").unlink()
    scores = table(folder, "scores")
    scores[~scores["metric"].str.startswith("proxy/")].to_parquet(folder / "tables" / "scores.parquet")
    section = explanations(read_results(folder))
    assert [plot.name for plot in section.plots] == [
        "explanations-likeness", "explanations-faithfulness", "explanations-shape",
    ]  # fmt: skip
    assert len(section.plots[1].draw().axes) == 1  # confidence alone
    assert len(section.plots[2].draw().axes) == 2
    assert not any(text.startswith(("Faithfulness", "The proxy")) for text in section.text)
    assert {"Insertion − deletion", "Proxy, top-1"}.isdisjoint(section.tables[0].columns)
    [layer, conditions] = section.facts
    assert layer.text == "layer4"
    assert "deletion" not in conditions.text


@pytest.fixture(scope="module")
def many(tmp_path_factory):
    """Two methods, two seeds, networks explained before retraining too."""
    shape = {"series": SERIES[:2], "rates": (0.2, 0.6), "classes": ["a", "b"], "layers": 2}
    methods = ("grad-cam", "DeepLift")
    stages = ("dense", "pruned", "retrained")
    return write_explanation_study(
        tmp_path_factory.mktemp("many") / "s", methods=methods, seeds=(0, 1), stages=stages, **shape
    )


@pytest.fixture(scope="module")
def section_of_many(many):
    return explanations(read_results(many))


def test_over_seeds_the_mean_of_their_changes_has_a_t_interval(many, section_of_many):
    section = section_of_many
    told = table(many).query("method == 'DeepLift'").assign(f=lambda t: t["insertion"] - t["deletion"])
    means = []
    for seed in range(2):
        wide = told.pivot(index="image", columns="network", values="f")
        means.append((wide[f"weights-0.6-retrained-seed{seed}"] - wide[f"dense-seed{seed}"]).mean())
    [row] = [
        row
        for row in rows_of(section.tables[2])
        if (row["Series"].text, row["Rate asked"].number, row["Retrained"].text) == ("weights", 0.6, "yes")
    ]
    cell = row["Change from dense"]
    assert cell.number == pytest.approx(np.mean(means))
    low, high = t_interval(means)
    assert cell.detail == f"{low:.3f} to {high:.3f}".replace("-", "−")
    assert [table.folded for table in section.tables] == [False, True, True, True]
    assert "Intervals are over seeds." in section.text[0]


def test_each_method_and_stage_has_its_row_of_panels(section_of_many):
    section = section_of_many
    figure = section.plots[0].draw()
    labels = [ax.get_ylabel() for ax in figure.axes if ax.get_ylabel()]
    assert labels == [
        "Grad-CAM,\nbefore retraining", "Grad-CAM", "DeepLift,\nbefore retraining", "DeepLift",
    ]  # fmt: skip
    assert [gallery.folded for gallery in section.galleries].count(False) == 2
    assert len(section.galleries) == 2 * 2 * 2 * 2
    assert list(section.galleries[0].columns) == [
        "Image", "dense", "20\u00a0%, not retrained", "20\u00a0%", "60\u00a0%, not retrained", "60\u00a0%",
    ]  # fmt: skip
    assert "Networks of the first seed." in section.galleries[0].caption
    assert "The tables have the other series and methods." in paragraph(section, "Likeness")


def test_two_maps_of_one_image_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "s")
    told = table(copy)
    pd.concat([told, told.head(1)]).to_parquet(copy / "tables" / "explanations.parquet")
    with pytest.raises(PrunescopeError, match=r"two values of the grad-cam map of tench/picture 0.png"):
        read_results(copy)


def test_a_study_that_says_nothing_of_its_settings_still_has_its_section(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "s")
    (copy / "study.json").write_text(json.dumps({}))
    section = explanations(read_results(copy))
    assert [fact.term for fact in section.facts] == ["Layer, Grad-CAM"]
    assert not math.isnan(rows_of(section.tables[0])[1]["Confidence"].number)
