"""The section on forgetting: what it says, draws and shows, against the formulas that its tables are made from."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
from synthetic import SERIES
from synthetic_forgetting import (
    GROUPS,
    IMAGES,
    group_rows,
    harm,
    lost_of,
    name_of,
    relative_of,
    write_forgetting_study,
)

from prunescope.analysis.results import read_results
from prunescope.images.source import ImageSet
from prunescope.measures import all_measures
from prunescope.measures.forgetting_gallery import gallery_images
from prunescope.report import page
from prunescope.report.forgetting import forgetting
from prunescope.report.page import write_report

CLASSES = [f"class {i}" for i in range(10)]
NASTY = ("<script>alert(1)</script>", '"><img src=x onerror=alert(2)>', "_$x_{1$ \\ 日本 & co")


def key(series, target, stage="retrained"):
    return {"series": series, "target": target, "stage": stage}


def edit(folder, name, change):
    path = folder / "tables" / f"{name}.parquet"
    change(pd.read_parquet(path)).to_parquet(path)


def plain(text):
    return text.replace("\u00a0", " ")


def columns(table):
    """Return the cells of a table by column."""
    return {name: [row[i] for row in table.cells] for i, name in enumerate(table.columns)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_forgetting_study(tmp_path_factory.mktemp("forgetting") / "s", layers=4)


@pytest.fixture(scope="module")
def results(folder):
    return read_results(folder)


@pytest.fixture(scope="module")
def section(results):
    return forgetting(results)


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    return forgetting(
        read_results(
            write_forgetting_study(
                tmp_path_factory.mktemp("one") / "s", seeds=(0,), layers=4, series=SERIES[:2]
            )
        )
    )


def plot(section, name):
    [found] = [plot for plot in section.plots if plot.name == name]
    return found


def points(ax):
    """Return the markers of an axes, as (x, y, whether filled), from all lines that have some."""
    return [
        (x, y, line.get_markerfacecolor() != "white")
        for line in ax.lines
        if line.get_marker() not in {"None", None}
        for x, y in line.get_xydata()
    ]


@pytest.mark.parametrize("seeds", [(0,), (0, 1, 2, 3, 4)])
def test_the_tables_of_these_tests_have_the_columns_of_the_measure(tmp_path, seeds):
    shape = {"layers": 4, "seeds": seeds, "rates": (0.6,), "series": SERIES[:1]}
    folder = write_forgetting_study(tmp_path / "s", **shape)
    made = {path.stem: pd.read_parquet(path) for path in (folder / "tables").glob("*.parquet")}
    names = tuple(made["images"]["image"].unique())
    small = np.arange(IMAGES) / 7
    pd.DataFrame({"image": names, "size": small, "kind": ["a", "b"] * (IMAGES // 2)}).to_csv(
        tmp_path / "a.csv", index=False
    )
    test = ImageSet("x", tuple(CLASSES), np.arange(IMAGES) % 10, names, "0", lambda i: np.zeros((8, 8, 3)))
    measure = all_measures()["forgetting"]
    given = {name: made[name] for name in ("networks", "images")}
    found = measure.compare(given, measure.settings(attributes=str(tmp_path / "a.csv")), test, None)
    for name in (name for name in made if name.startswith("forgetting")):
        assert set(made[name]) <= set(found[name])
        found[name].to_parquet(folder / "tables" / f"{name}.parquet")
    section = forgetting(read_results(folder))
    rows = columns(section.tables[0])
    agreement = found["forgetting"].query("metric == 'agreement'")["value"]
    assert [cell.number for cell in rows["Agreement"]] == pytest.approx(list(agreement))
    assert ("Exemplars" in rows) == (len(seeds) > 1)
    assert len(section.galleries[0].rows) == len(gallery_images(found["forgetting_images"]))


def test_a_study_without_the_measure_has_no_section(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, seeds=(0,), rates=(0.4,))
    for path in (folder / "tables").glob("forgetting*.parquet"):
        path.unlink()
    results = read_results(folder)
    assert forgetting(results) is None
    assert results.images.empty


def ranked(stage):
    """Return the names of all images that are lost, by the mean over series and targets, most first."""
    keys = [key(entry[0], target, stage) for entry in SERIES for target in ("0.2", "0.4", "0.6")]
    means = {name_of(i, CLASSES): np.mean([lost_of(each, i, 5) for each in keys]) for i in range(IMAGES)}
    return sorted((name for name in means if means[name] > 0), key=lambda name: -round(means[name], 9))


def test_the_gallery_shows_what_is_lost_most_by_all_final_networks(folder):
    table = pd.read_parquet(folder / "tables" / "forgetting_images.parquet")
    assert gallery_images(table, most=1000) == ranked("retrained") != ranked("pruned")
    assert gallery_images(table) == ranked("retrained")[:24]
    assert gallery_images(table[table["stage"] == "pruned"], most=1000) == ranked("pruned")
    assert gallery_images(table.assign(lost=0.0)) == []
    assert gallery_images(table.iloc[:0]) == []


def test_images_lost_alike_go_by_how_often_they_changed_then_by_their_order():
    rows = [("b", 0.4, 0.4), ("c", 0.4, 0.6), ("a", 0.4, 0.4), ("d", -0.2, 1.0)]
    table = pd.DataFrame(rows, columns=["image", "lost", "changed"]).assign(series="s", stage="pruned")
    assert gallery_images(table) == ["c", "b", "a"]
    retrained = table.assign(stage="retrained", lost=[0.0, 0.0, 0.2, 0.0])
    assert gallery_images(pd.concat([table, retrained])) == ["a"]
    assert gallery_images(pd.concat([table, retrained.assign(series="other")]))[0] == "a"


def test_only_the_answers_that_are_shown_are_read(folder, results):
    shown = set(gallery_images(pd.read_parquet(folder / "tables" / "forgetting_images.parquet")))
    assert set(results.images["image"]) == shown
    assert len(results.images) == len(shown) * len(results.networks)


def test_the_numbers_are_those_of_the_worst_network(section):
    worst = harm(key("filters", "0.6"))
    values = {fact.term: plain(fact.text) for fact in section.numbers}
    assert values == {
        "Least agreement with dense": f"{100 * (0.96 - worst):.1f} %",
        "Most exemplars": f"{70 * worst:.1f} %",
        "Dense top-1 on these": "45.0 %",
        "Classes unlike the average": "8",
    }
    assert plain(section.numbers[0].note) == "of the images: filters at 60 %"
    assert plain(section.numbers[3].note) == "of 10: filters at 60 %, the most"


def test_the_table_has_every_network_before_and_after_retraining(section):
    same, changed = (columns(table) for table in section.tables[:2])
    assert len(same["Series"]) == len(changed["Series"]) == 3 * 3 * 2
    assert [cell.text for cell in same["Retrained"][:2]] == ["no", "yes"]
    assert [cell.number for cell in same["Agreement"][:2]] == pytest.approx(
        [0.96 - harm(key("filters", "0.2", stage)) for stage in ("pruned", "retrained")]
    )
    assert plain(changed["Won"][1].detail).startswith("0.0–")  # a share, whose interval by t reaches below 0
    assert changed["Calibration error"][5].number == pytest.approx(0.25 * harm(key("filters", "0.6")))
    assert changed["Calibration error"][5].detail == "+1.7 to +3.7"


def test_words_name_the_classes_that_are_shown_and_the_rates_where_none_is(section):
    facts = {fact.term: plain(fact.text) for fact in section.facts}
    assert facts["weights: classes"] == (
        "At 60 %, fall more than the average: class 0, class 1 and class 2; fall less than the average: class 9, class "
        "8 and class 7. No class is shown to change unlike the average at 20 % and 40 %."
    )
    assert "7.6 % of the images are exemplars, 1.2 % (0.2–2.2 %) if swapped." in facts["filters"]
    assert "The dense networks are right on 45.0 % of them, on 93.0 % of the others." in facts["filters"]


@pytest.mark.parametrize(
    ("average", "words"),
    [
        (-0.04, "fall more than the average: a; fall less than the average: d; rise, unlike the average: e"),
        (
            0.04,
            "fall, unlike the average: a; rise less than the average: b; rise more than the average: e and d",
        ),
    ],
)
def test_classes_are_said_to_fall_or_rise_as_they_do(tmp_path, average, words):
    folder = write_forgetting_study(
        tmp_path / "s", layers=4, rates=(0.2,), series=SERIES[:1], classes=list("abcde"), attributes=False
    )
    relative = np.array([-0.05, -0.03, 0.0, 0.03, 0.05])
    shown = [True, average > 0, False, True, True]

    def change(rows):
        says = np.tile(np.where(shown, "more than the average", "not shown"), len(rows) // 5)
        own = np.tile(relative, len(rows) // 5)
        return rows.assign(relative=own, change=own + average, says=says)

    edit(folder, "forgetting_classes", change)
    facts = {fact.term: plain(fact.text) for fact in forgetting(read_results(folder)).facts}
    assert facts["filters: classes"] == f"At 20 %, {words}."


def test_what_swapping_gives_is_explained_once_and_not_called_chance(section, alone):
    said = [
        *section.text,
        *(fact.text for fact in section.facts),
        *(table.caption for table in section.tables),
    ]
    said += [each.caption for each in section.plots]
    assert sum("If swapped means" in text for text in said) == 1
    assert not any("by chance" in text for text in said)
    assert "does not say on how many images two sets of dense networks differ" in section.text[0]
    assert "If swapped" in section.tables[0].columns
    assert "If swapped" not in alone.text[0]


def test_captions_say_what_the_intervals_stand_on(section, alone, tmp_path):
    captions = [plot(section, "forgetting-by-rate").caption, *(table.caption for table in section.tables)]
    assert "95 % intervals over seeds, for exemplars over images" in captions[0]
    assert "over seeds, those of exemplars over images" in captions[1]
    assert all("over seeds" in text for text in captions[2:] if "95 %" in text)
    assert sum("p by permutation over images" in text for text in captions) == 1
    one = [each.caption for each in (*alone.plots, *alone.tables) if "95 %" in each.caption]
    assert (
        len(one) == 1 + 2 + 2 + 2 + 2 + 2
    )  # by rate; classes and groups: figures, tables; the first two tables
    assert all("over images" in text and "over seeds" not in text for text in one)
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.4,), series=SERIES[:2])
    edit(folder, "forgetting", lambda t: t.assign(seeds=t["seeds"].where(t["series"] != "weights", 1)))
    both = forgetting(read_results(folder)).tables
    assert "over seeds, or over images where all seeds are one network" in both[1].caption
    assert [
        ("over seeds" in t.caption, "over images" in t.caption) for t in both if "Group" in t.columns
    ] == [
        (True, False),
        (False, True),
    ]


def test_groups_of_few_images_are_in_the_tables_alone(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.2,), series=SERIES[:1])

    def few(rows):
        return rows.assign(n=rows["n"].where(rows["group"] != "0.1 to 0.4", 9))

    edit(folder, "forgetting_groups", few)
    section = forgetting(read_results(folder))
    drawn = plot(section, "forgetting-groups")
    labels = [tick.get_text() for tick in drawn.draw().axes[0].get_yticklabels()]
    assert labels == ["to 0.1", "above 0.4"]
    assert "Left out: 1 group of fewer than 10 images" in plain(drawn.caption)
    [table] = [table for table in section.tables if "Group" in table.columns]
    rows = dict(zip((c.text for c in columns(table)["Group"]), columns(table)["Images"], strict=True))
    assert rows["0.1 to 0.4"].number == 9


def test_exemplars_within_the_band_of_swaps_are_not_called_more(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.2,), series=SERIES[:1])
    [fact, *_] = forgetting(read_results(folder)).facts
    assert (
        "0.8 % of the images are exemplars, 1.2 % (0.2–2.2 %) if swapped: no more than that is shown"
        in plain(fact.text)
    )
    assert "+0.3 points (−0.7 to +1.3: no change is shown)" in plain(fact.text)


def test_attributes_are_named_with_their_direction_and_within_classes(section):
    [text] = [plain(fact.text) for fact in section.facts if fact.term == "filters: attributes"]
    assert text == (
        "At 60 %, being lost goes with less subject_share (ρ −0.32; among images of one class too); with scene "
        "(change of top-1 from −13.0 points for beach to −7.6 points for forest; not shown among images of one class). "
        "Not shown for time."
    )
    [table] = [table for table in section.tables if "Attribute" in table.columns and "Lost" in table.columns]
    assert [cell.number for cell in columns(table)["Lost"][6:9]] == pytest.approx(
        [-3 * harm(key("filters", "0.6")), harm(key("filters", "0.6")), 0.01]
    )


def test_where_top1_rises_nothing_is_said_to_be_lost(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.6,), series=SERIES[:1])
    top1 = "top1_change"
    edit(folder, "forgetting", lambda t: t.assign(value=t["value"].where(t["metric"] != top1, 0.05)))
    edit(folder, "forgetting_groups", lambda t: t.assign(fnr_change=t["fnr_change"] - 0.2))
    [text] = [plain(f.text) for f in forgetting(read_results(folder)).facts if f.term.endswith("attributes")]
    assert text.startswith("At 60 %, being won less goes with less subject_share")
    assert "change of top-1 from +7.0 points for beach to +12.4 points for forest" in text


def test_the_extremes_are_of_all_images_of_a_kind_and_not_of_few(tmp_path):
    """A kind's top-1 counts each class by its images; the mean over classes does not."""
    folder = write_forgetting_study(
        tmp_path / "s", layers=4, rates=(0.6,), series=SERIES[:1], classes=["a", "b"]
    )

    def change(rows):
        rows = rows[rows["attribute"] == "scene"]
        first, many = rows["class"] == "a", rows["class"] == "b"
        rows = rows.assign(n=np.select([first, many], [10, 30], 40), fnr_change=np.where(first, 0.2, 0.0))
        tiny = rows["group"] == "forest"
        beach = rows[~tiny & (rows["group"] == "beach")]
        room = beach.assign(group="room", fnr_change=np.where(beach["class"] == "b", 0.1, 0.0))
        return pd.concat([rows.assign(n=rows["n"].where(~tiny, 4)), room], ignore_index=True)

    edit(folder, "forgetting_groups", change)
    [text] = [plain(f.text) for f in forgetting(read_results(folder)).facts if f.term.endswith("attributes")]
    assert "change of top-1 from −7.5 points for room to −5.0 points for beach" in text


def test_where_no_attribute_is_shown_the_words_say_so(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.2,), series=SERIES[:1])
    [text] = [plain(f.text) for f in forgetting(read_results(folder)).facts if f.term.endswith("attributes")]
    assert text == (
        "At 20 %, being lost is not shown to go with any attribute (subject_share, scene and time)."
    )


def test_curves_are_drawn_against_the_rate_with_what_comes_by_chance(section):
    grid = np.reshape(plot(section, "forgetting-by-rate").draw().axes, (2, 3))
    for (agreement, exemplars, calibration), stage in zip(grid, ("pruned", "retrained"), strict=True):
        harms = [harm(key("filters", target, stage)) for target in ("0.2", "0.4", "0.6")]
        for ax, values in (
            (agreement, [0.96 - lost for lost in harms]),
            (exemplars, [0.7 * lost for lost in harms]),
            (calibration, [0.25 * lost for lost in harms]),
        ):
            drawn = [list(map(tuple, np.round(line.get_xydata(), 9))) for line in ax.lines]
            expected = list(zip((0.2, 0.4, 0.6), np.round(values, 9), strict=True))
            assert expected in drawn
        assert [0.94, 0.94] in [list(line.get_ydata()) for line in agreement.lines]
        assert [0.012] * 3 in [list(line.get_ydata()) for line in exemplars.lines]
    hollow, filled = (
        next(line for line in ax.lines if line.get_marker() == "o").get_markerfacecolor() for ax in grid[:, 0]
    )
    assert hollow == "white" != filled


def test_classes_are_drawn_less_the_mean_and_filled_where_shown(section):
    axes = plot(section, "forgetting-classes").draw().axes
    assert [plain(ax.get_title()) for ax in axes] == ["20 %", "40 %", "60 %"]
    assert [tick.get_text() for tick in axes[0].get_yticklabels()] == CLASSES
    for ax, target in zip(axes, ("0.2", "0.4", "0.6"), strict=True):
        relative = [relative_of(key("filters", target), index, 10) for index in range(10)]
        found = points(ax)
        assert [x for x, *_ in found] == pytest.approx(relative)
        assert [filled for *_, filled in found] == [abs(value) > 0.03 for value in relative]
        bars = [segment[:, 0] for lines in ax.collections for segment in lines.get_segments()]
        np.testing.assert_allclose(bars, [(value - 0.03, value + 0.03) for value in relative])


def test_one_seed_is_told_apart_from_what_pruning_does(alone):
    [warning] = alone.warnings
    assert warning.startswith("One seed. What is said of it is about this very network")
    assert "seeds: [0, 1, 2, 3, 4]" in warning
    assert "xemplar" not in " ".join([*alone.text, *(fact.text + fact.term for fact in alone.facts)])
    assert not any("xemplar" in column for table in alone.tables for column in table.columns)
    assert plot(alone, "forgetting-by-rate").draw().axes[1].get_title() == "Right when dense, wrong now"
    facts = {fact.term: plain(fact.text) for fact in alone.facts}
    assert facts["weights: classes"].startswith("At 40 %, more lost than won: class 0,")
    # What is tested over the images of one seed is the change itself, so that is drawn.
    last = plot(alone, "forgetting-classes").draw().axes[-1]
    lost = harm(key("filters", "0.6"))
    assert [x for x, *_ in points(last)] == pytest.approx(
        [relative_of(key("filters", "0.6"), index, 10) - lost for index in range(10)]
    )
    assert "McNemar over images" in plot(alone, "forgetting-classes").caption


def test_seeds_that_are_one_network_are_told(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.4,), series=SERIES[:2])
    weights = "weights"
    for name in ("forgetting", "forgetting_classes"):
        edit(folder, name, lambda t: t.assign(seeds=t["seeds"].where(t["series"] != weights, 1)))
    warnings = forgetting(read_results(folder)).warnings
    assert warnings[0].startswith(
        "One network (for weights): its 5 seeds start from the same weights and are pruned alike"
    )
    assert warnings[1].startswith("5 seeds: tests over so few")


def test_changes_by_group_are_drawn_for_missed_and_for_wrongly_taken(section):
    axes = np.reshape(plot(section, "forgetting-groups").draw().axes, (2, 2))
    for panels, (attribute, groups) in zip(axes, GROUPS.items(), strict=True):
        assert panels[0].get_title() == attribute
        assert [tick.get_text() for tick in panels[0].get_yticklabels()] == list(groups)
        for ax, rate in zip(panels, ("fnr", "fpr"), strict=True):
            expected = [
                row[f"{rate}_change"]
                for target in ("0.2", "0.4", "0.6")
                for row in group_rows(key("filters", target), CLASSES, 5)
                if row["attribute"] == attribute and row["class"] == ""
            ]
            assert [x for x, *_ in points(ax)] == pytest.approx(expected)
    tables = [table for table in section.tables if "Group" in table.columns]
    assert [len(table.rows) for table in tables] == [3 * 6] * 3
    row = {name: cells[-6] for name, cells in columns(tables[0]).items()}
    assert row["Missed, pruned"].number == pytest.approx(0.1 + 1.2 * harm(key("filters", "0.6")))
    assert row["Missed: change"].detail == "+11.0 to +15.0"


def test_of_many_classes_and_targets_some_are_drawn(tmp_path):
    rates = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6)
    shape = {"layers": 4, "seeds": (0, 1), "rates": rates, "series": SERIES[:1], "attributes": False}
    section = forgetting(
        read_results(
            write_forgetting_study(tmp_path / "s", classes=[f"class {i}" for i in range(60)], **shape)
        )
    )
    drawn = plot(section, "forgetting-classes")
    axes = drawn.draw().axes
    assert [plain(ax.get_title()) for ax in axes] == ["10 %", "30 %", "40 %", "60 %"]
    shown = [tick.get_text() for tick in axes[0].get_yticklabels()]
    assert shown == [f"class {i}" for i in (*range(10), *range(50, 60))]
    assert "Of 60 classes, the 20 of largest change. Of 6 targets, 4 are drawn." in drawn.caption
    [table] = [table for table in section.tables if "Class" in table.columns]
    assert len(table.rows) == 20 * 6
    assert "20 of 60 classes" in table.caption


def test_more_series_than_are_drawn_are_still_in_the_tables(tmp_path):
    series = [(f"way {i}", *SERIES[1][1:]) for i in range(6)]
    shape = {"layers": 4, "seeds": (0, 1), "rates": (0.6,), "series": series, "attributes": False}
    folder = write_forgetting_study(tmp_path / "s", **shape)
    section = forgetting(read_results(folder))
    assert {fact.term.split(":")[0] for fact in section.facts} == {f"way {i}" for i in range(4)}
    assert "tables have 2 more" in section.text[0]
    assert {cell.text for cell in columns(section.tables[0])["Series"]} == {f"way {i}" for i in range(6)}
    assert len(section.galleries) == 6


def test_the_gallery_says_what_each_network_called_an_image(section, folder):
    first, *others = section.galleries
    assert [gallery.folded for gallery in (first, *others)] == [False, True, True]
    assert [plain(column) for column in first.columns] == ["Image", "Dense", "20 %", "40 %", "60 %"]
    image, dense, _, _, last = first.rows[0]
    number = int(image.picture.alt.split("/")[1].split(".")[0])
    label = number % 10
    wrong = round(5 * lost_of(key("filters", "0.6"), number, 5))
    assert image.lines[0] == f"class {label}"
    assert list(dense.lines) == [f"class {label} × 5", "5 of 5 right"]
    assert (dense.good, last.good) == (True, 5 - wrong > 2)
    called = {line.rpartition(" × ")[0]: int(line.rpartition(" × ")[2]) for line in last.lines[:-1]}
    assert called == {
        name: seeds
        for name, seeds in (
            (f"class {label}", 5 - wrong),
            (f"class {(label + 1) % 10}", -(-wrong // 2)),
            (f"class {(label + 2) % 10}", wrong // 2),
        )
        if seeds
    }
    assert last.lines[-1] == f"{5 - wrong} of 5 right"
    thumbnails = pd.read_parquet(folder / "pictures" / "thumbnails.parquet").set_index("image")["jpeg"]
    assert image.picture.jpeg == thumbnails[name_of(number, CLASSES)]


def test_the_gallery_counts_seeds_that_are_one_network_once(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, rates=(0.6,), series=SERIES[:2])
    scores = pd.read_parquet(folder / "tables" / "scores.parquet")
    dense = scores["network"].str.startswith("dense")
    pruned = scores["network"].str.startswith("weights")
    scores["value"] = scores["value"].mask(dense, 0.9).mask(pruned, 0.8)
    scores.to_parquet(folder / "tables" / "scores.parquet")
    edit(folder, "forgetting", lambda t: t.assign(seeds=t["seeds"].where(t["series"] != "weights", 1)))
    filters, weights = forgetting(read_results(folder)).galleries
    assert "× 3: so many seeds." in filters.caption
    for (_, dense_tile, of_filters), (_, _, of_weights) in zip(filters.rows, weights.rows, strict=True):
        assert dense_tile.lines[-1] == "right"
        assert of_filters.lines[-1].endswith("of 5 right")
        assert of_weights.lines[-1] in {"right", "wrong"}
        assert "×" not in "".join([*dense_tile.lines, *of_weights.lines])


def test_with_one_seed_the_gallery_says_right_or_wrong(alone):
    image, dense, *_, last = alone.galleries[0].rows[0]
    assert dense.lines[-1] == "right"
    assert last.lines == [f"class {(int(image.lines[0].split()[1]) + 1) % 10}", "wrong"]


def test_images_without_a_thumbnail_are_still_named(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, seeds=(0, 1), rates=(0.6,), series=SERIES[:1])
    (folder / "pictures" / "thumbnails.parquet").unlink()
    tile = forgetting(read_results(folder)).galleries[0].rows[0][0]
    assert tile.picture is None
    assert tile.lines[1].endswith(".png")


def test_names_cannot_put_anything_into_the_page(tmp_path, monkeypatch):
    monkeypatch.setattr(page, "FORMATS", ("svg",))
    monkeypatch.setattr("prunescope.report.sections.SECTIONS", (forgetting,))
    series = [(NASTY[0], *SERIES[0][1:])]
    folder = write_forgetting_study(
        tmp_path / "s", layers=4, seeds=(0, 1), rates=(0.6,), series=series, classes=list(NASTY)
    )
    for name in ("forgetting_images", "images"):
        edit(folder, name, lambda t: t.assign(image=t["image"].replace("2/59.png", NASTY[1])))
    html = write_report(folder).read_text("utf-8")
    assert "<script>alert" not in html
    assert "<img src=x" not in html
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in html
    files = sorted((folder / "report" / "forgotten").iterdir())
    assert html.count('src="forgotten/') == len(files) > 0
    before = {path: path.read_bytes() for path in (folder / "report").rglob("*") if path.is_file()}
    write_report(folder)
    assert before == {path: path.read_bytes() for path in (folder / "report").rglob("*") if path.is_file()}


def test_seeds_of_one_dense_network_are_said_to_be_no_evidence_on_pruning(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, series=SERIES[:2])
    few = "5 seeds: tests over so few"
    assert [text[: len(few)] for text in forgetting(read_results(folder)).warnings] == [few]

    def one_sample(rows):
        return rows.assign(
            test=np.where(rows["series"] == SERIES[0][0], "one-sample t over seeds", rows["test"])
        )

    edit(folder, "forgetting_classes", one_sample)
    warning, _ = forgetting(read_results(folder)).warnings
    assert warning.startswith(f"One dense network for all seeds (for {SERIES[0][0]}).")
    assert "not shown that pruning did it" in warning


def test_rates_that_are_written_alike_are_all_drawn(tmp_path):
    folder = write_forgetting_study(tmp_path / "s", layers=4, series=SERIES[:1], rates=(0.5, 0.9976, 0.9981))
    section = forgetting(read_results(folder))
    titles = [plain(ax.get_title()) for ax in plot(section, "forgetting-classes").draw().axes]
    assert titles == ["50 %", "0.9976", "0.9981"]
    legend = plot(section, "forgetting-groups").draw().legends[0]
    assert [plain(text.get_text()) for text in legend.get_texts()] == titles
