"""The page of an audit: what it says of two networks, and what it may not say."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import pandas as pd
import pytest
from synthetic_audit import CLASSES, IMAGES, MEASURES, write_audit_folder
from test_report_page import NAMES, Page
from unit_pages import handed_over, index_of

from prunescope.analysis.audits import Audit, read_audit
from prunescope.auditing.metric_names import known_metrics
from prunescope.report import audit as audit_page
from prunescope.report import page
from prunescope.report.audit import SECTIONS, write_audit
from prunescope.report.audit_accuracy import accuracy, accuracy_in_words
from prunescope.report.audit_answers import changed_images
from prunescope.report.audit_classes import classes, classes_in_words
from prunescope.report.audit_compared import compared
from prunescope.report.audit_concepts import concepts
from prunescope.report.audit_explanations import explanations_in_words
from prunescope.report.audit_numbers import numbers, unmeasured
from prunescope.report.audit_pruning import pruning, pruning_in_words
from prunescope.report.audit_speed import speed, speed_in_words
from prunescope.report.audit_summary import summary, verdict
from prunescope.report.audit_units import explorer, units_in_words
from prunescope.report.formats import percent

ALL = (
    "verdict", "summary", "compared", "pruning", "accuracy", "classes", "changed", "speed", "units", "concepts",
    "explorer", "explanations", "numbers", "reproduce",
)  # fmt: skip


def spaced(text):
    return text.replace("\u00a0", " ")


def write(folder, made=SECTIONS, **shape):
    """Write an audit and its page with some sections and figures in one format, which takes a part of the time."""
    write_audit_folder(folder, **shape)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        patch.setattr(audit_page, "SECTIONS", made)
        assert write_audit(folder) == folder / "report" / "index.html"
    return folder


def parsed(folder):
    return Page((folder / "report" / "index.html").read_text("utf-8"))


def sections(shown):
    return [attributes["id"] for tag, attributes in shown.tags if tag == "section"]


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write(tmp_path_factory.mktemp("whole") / "audit", methods=("grad-cam", "gradient"))


@pytest.fixture(scope="module")
def audit(whole):
    return read_audit(whole)


@pytest.fixture(scope="module")
def shown(whole):
    return parsed(whole)


@pytest.fixture(scope="module")
def other(tmp_path_factory):
    """Return an audit of networks with different layers."""
    return write(tmp_path_factory.mktemp("other") / "audit", made=(explorer,), comparable=False)


@pytest.fixture(scope="module")
def unlabelled(tmp_path_factory):
    return write(
        tmp_path_factory.mktemp("unlabelled") / "audit", labelled=False, measures=("mis",), conditions=[],
        verdict="not asked",
    )  # fmt: skip


def edited(tmp_path, edit=lambda tables: None, **shape):
    """Return an audit of which `edit` changed tables, each read and written by name."""
    folder = write_audit_folder(tmp_path / "audit", **{"measures": (), **shape})
    edit(folder / "tables")
    return read_audit(folder)


def rewrite(path, change):
    change(pd.read_parquet(path)).to_parquet(path)


def test_the_page_goes_from_the_verdict_to_how_to_reproduce_it(shown):
    assert tuple(sections(shown)) == ALL
    assert "Audit of two networks · 2025-03-01" in "".join(shown.words)


def test_every_number_is_there_by_its_name_and_in_full(whole, shown):
    told = json.loads((whole / "audit.json").read_text())
    header, *rows = shown.tables["numbers"]
    assert header == ["Name", "Value", "95 % interval"]
    assert [row[0] for row in rows] == list(told["metrics"])
    for name, value, interval in rows:
        metric = told["metrics"][name]
        if isinstance(metric, bool | str):
            assert value == str(metric).lower()
        else:
            assert float(value) == pytest.approx(metric, rel=1e-5)
        if name in told["intervals"]:
            assert [float(end) for end in interval.split(" to ")] == pytest.approx(
                told["intervals"][name], rel=1e-5
            )
        else:
            assert interval == ""


def test_meanings_stand_beside_the_numbers_if_they_are_told(tmp_path):
    section = numbers(edited(tmp_path, metrics={"nothing": None}, meanings={"nothing": "what there is not"}))
    rows = {row[0].text: row for row in section.tables[0].cells}
    assert [cell.text for cell in rows["nothing"]] == ["nothing", "–", "", "what there is not"]
    assert rows["top1_drop"][3].text == ""


def test_the_page_asks_for_no_number_that_an_audit_does_not_have(whole, monkeypatch):
    asked = set()
    number = Audit.number

    def spy(self, name):
        asked.add(name)
        return number(self, name)

    monkeypatch.setattr(Audit, "number", spy)
    read = read_audit(whole)
    for make in SECTIONS:
        if make is not numbers:
            make(read)
    known = set(known_metrics())
    endings = ("_change", "_rise", "_drop")  # of which one is there
    stems = {name.removesuffix(end) for name in known for end in endings if name.endswith(end)}
    missing = {name for name in asked - known if not name.endswith(endings)}
    assert not missing
    assert {name.removesuffix(end) for name in asked for end in endings if name.endswith(end)} & stems >= {
        "top1", "top5", "cross_entropy", "calibration_error", "confidence", "overconfidence", "mis", "mis_paired",
        "grad_cam_faithfulness", "gradient_confidence",
    }  # fmt: skip


def test_the_same_tables_give_the_same_bytes(whole, tmp_path):
    copy = shutil.copytree(whole, tmp_path / "audit")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        write_audit(copy)

    def contents(folder):
        return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}

    assert contents(copy) == contents(whole)


def test_the_page_needs_no_network_and_its_links_lead_somewhere(whole, shown):
    ids = shown.values("id")
    assert len(ids) == len(set(ids))
    for address in [*shown.values("href"), *shown.values("src"), *shown.values("xlink:href")]:
        if address.startswith("#"):
            assert address[1:] in ids
        elif not address.startswith("data:image/png;"):
            assert ":" not in address
            assert (whole / "report" / address).is_file()


def test_neither_torch_nor_pyplot_is_imported():
    code = "import sys, prunescope.report.audit; print(sorted({'torch', 'matplotlib.pyplot'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


# The verdict


@pytest.mark.parametrize(
    ("held", "said", "good"),
    [
        ([True], "Failed. Of 1 condition, 1 holds.", False),
        ([True, False, True], "Failed. Of 3 conditions, 2 hold.", False),
        ([False, False], "Passed. Of 2 conditions, none holds.", True),
        (
            [False, None],
            "Failed. Of 2 conditions, none holds and 1 could not be answered, which fails too.",
            False,
        ),
    ],
)
def test_the_verdict_is_said_in_words(tmp_path, held, said, good):
    conditions = [
        {"condition": f"x > {i}", "held": each, "reason": f"for {i}"} for i, each in enumerate(held)
    ]
    section = verdict(edited(tmp_path, conditions=conditions, verdict="passed" if good else "failed"))
    assert spaced(f"{section.verdict.text} {section.verdict.note}") == said
    assert section.verdict.good is good
    words = {True: "holds: fails", False: "does not hold: passes", None: "no answer: fails"}
    assert [[cell.text for cell in row] for row in section.tables[0].cells] == [
        [f"x > {i}", words[each], f"for {i}"] for i, each in enumerate(held)
    ]


def test_without_conditions_there_is_no_verdict(unlabelled):
    assert "verdict" not in sections(parsed(unlabelled))


# What was compared


def test_what_differs_between_the_networks_is_said_beside_it(audit):
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in compared(audit).tables[0].cells}
    assert [spaced(text) for text in rows["Stored as"]] == [
        "float32",
        "98 % float16 and 2 % float32",
        "differs",
    ]
    assert rows["Channels"] == ["RGB", "BGR", "differs"]
    assert rows["Input, centre crop"] == ["224 px", "227 px", "differs"]
    assert rows["Short side, resized to"] == ["256 px", "256 px", ""]
    assert rows["Read from"] == ["/files/large.pth", "/files/small.pth", ""]
    facts = {fact.term: fact.text for fact in compared(audit).facts}
    assert facts["Left out"] == "2 classes of the dense network: emu and fox"
    assert "side by side one by one" in facts["Layers"]


def test_a_network_that_only_answers_is_told_apart(tmp_path):
    section = compared(
        edited(
            tmp_path, comparable=False, why_not="small.onnx cannot be looked into",
            pruned={"shown": "small.onnx", "format": "ONNX", "internals": False},
        )
    )  # fmt: skip
    rows = {row[0].text: [cell.text for cell in row[1:]] for row in section.tables[0].cells}
    assert rows["Layers looked at"] == ["yes", "no: it only answers", "differs"]
    assert rows["Format"][1] == "ONNX program"
    assert rows["Channels"] == ["RGB", "–", "differs"]
    assert "small.onnx cannot be looked into" in {fact.term: fact.text for fact in section.facts}["Layers"]


# What was pruned


def test_layers_have_their_zeros_and_what_can_no_longer_act(whole, audit):
    [_, table] = pruning(audit).tables
    rows = {row[0].text: dict(zip(table.columns, row, strict=True)) for row in table.cells}
    layers = pd.read_parquet(whole / "tables" / "layers.parquet").query("network == 'pruned'")
    assert list(rows) == layers["layer"].tolist()
    for layer in layers.itertuples():
        row = rows[layer.layer]
        assert row["Zeros"].number == pytest.approx(layer.zeros, abs=1e-4)
        assert row["Unreachable"].number == pytest.approx(layer.unreachable)
        assert row["Recognised"].text == ("filter" if layer.zeros else "none")
    assert [
        rows[name]["r with dense"].text for name in (layers["layer"].iloc[0], layers["layer"].iloc[-1])
    ] == [
        "0.99",
        "0.91",
    ]


def test_networks_of_other_layers_have_a_table_each(other):
    section = pruning(read_audit(other))
    assert [table.caption.split(".")[0] for table in section.tables[1:]] == [
        "Every layer of the dense network",
        "Every layer of the pruned network",
    ]
    assert {row[0].text.startswith("other.") for row in section.tables[2].cells} == {True}


def test_zeros_of_the_dense_network_are_not_hidden(tmp_path):
    def prune_both(tables):
        rewrite(tables / "patterns.parquet", lambda table: table.assign(zeros=0.25 * table["weights"]))

    section = pruning(edited(tmp_path, prune_both))
    assert "Black: zero in the dense network too." in section.plots[0].caption
    table = section.tables[-1]
    assert {row[table.columns.index("Zeros, dense")].number for row in table.cells} == {0.25}


def test_without_zeros_there_is_no_figure_of_zeros(tmp_path):
    def fill(tables):
        rewrite(tables / "patterns.parquet", lambda table: table.assign(zeros=1.0))
        rewrite(tables / "layers.parquet", lambda table: table.assign(zeros=0.0, unreachable=0.0))

    assert not pruning(edited(tmp_path, fill)).plots
    assert pruning(edited(tmp_path / "again")).plots


def test_what_is_stranded_is_said_beside_the_zeros(tmp_path):
    facts = pruning_in_words(edited(tmp_path, metrics={"zeros_pruned": 0.3, "unreachable_pruned": 0.6}))
    assert "60.0 % of them can no longer act" in spaced(facts[0].text)
    facts = pruning_in_words(edited(tmp_path, metrics={"zeros_pruned": 0.3, "unreachable_pruned": 0.31}))
    assert "no longer act" not in facts[0].text


def test_a_layer_keeps_its_relation_whatever_it_is_called_in_the_dense_network(tmp_path):
    def rename(tables):
        changes = {"same": [True, False, False, False, False, False], "kept": [1.0, 0.5, 0.5, 0.5, 0.5, 0.5]}
        rewrite(
            tables / "relations.parquet",
            lambda table: table.assign(
                pruned_layer=table["layer"], layer="before." + table["layer"], **changes
            ),
        )

    table = pruning(edited(tmp_path, rename)).tables[-1]
    first = dict(zip(table.columns, table.cells[0], strict=True))
    assert (first["Weights against dense"].text, first["Unchanged"].number) == ("the same", 1.0)
    assert [row[table.columns.index("r with dense")].text for row in table.cells[::5]] == ["0.99", "0.91"]
    assert table.cells[1][table.columns.index("Weights against dense")].text == "–"


# Accuracy


def test_accuracy_is_said_with_its_paired_interval(audit):
    assert spaced(accuracy_in_words(audit)) == (
        "Top-1 falls by 15.0 points (13.0 to 17.0 points): 90.0 % dense, 75.0 % pruned. They call 70.0 % of the images "
        "the same (62.0 to 78.0 %); 16 images are newly wrong and 4 newly right (McNemar’s exact test: p < 0.001). "
        "The calibration error goes from 2.0 % to 7.0 %."
    )


def test_a_drop_that_is_not_shown_is_not_said_to_fall(tmp_path):
    said = accuracy_in_words(edited(tmp_path, intervals={"top1_drop": [-0.01, 0.31]}))
    assert spaced(said).startswith("Top-1 is not shown to change (−15.0 points, −31.0 to +1.0 points)")


def test_right_and_wrong_are_counted_by_hand(whole, audit):
    table = pd.read_parquet(whole / "tables" / "answers.parquet")
    counts = {(a, b): 0 for a in (True, False) for b in (True, False)}
    for row in table.itertuples():
        counts[row.dense == row.label, row.pruned == row.label] += 1
    last = accuracy(audit).tables[-1]
    assert [[cell.number for cell in row[1:]] for row in last.cells] == [
        [counts[True, True], counts[True, False]],
        [counts[False, True], counts[False, False]],
    ]
    assert sum(counts.values()) == IMAGES


def test_networks_that_agree_everywhere_are_said_to(tmp_path):
    def agree(tables):
        rewrite(
            tables / "answers.parquet",
            lambda t: t.assign(pruned=t["dense"], changed=False, lost=False, gained=False),
        )

    audit = edited(
        tmp_path, agree, metrics={"top1_pruned": 0.9, "top1_drop": 0.0}, intervals={"top1_drop": [0, 0]}
    )
    assert "Top-1 is the same" in accuracy_in_words(audit)
    assert f"Both call all {IMAGES}\u00a0images the same." in accuracy_in_words(audit)
    assert changed_images(audit) is None


def test_without_labels_nothing_is_said_of_accuracy(unlabelled):
    shown = parsed(unlabelled)
    text = "".join(shown.words)
    assert [name for name in sections(shown) if name in ("accuracy", "classes")] == ["accuracy"]
    assert "Top-1" not in text
    assert "Agreement is no accuracy" in text
    assert "The images have no labels, so nothing is said of accuracy." in text
    assert "newly" not in text.lower()
    assert [name for name in ("reliability", "answers") if f"figure-{name}" in shown.values("id")] == [
        "answers"
    ]


# Classes


def test_classes_that_are_shown_to_change_are_named(audit):
    rows = audit.results.forgetting_classes
    lost = rows[(rows["says"] != "not shown") & (rows["change"] < 0)].sort_values("change")
    said = classes_in_words(audit)
    assert spaced(said).startswith(
        f"{len(lost)} of {len(CLASSES)} classes are shown to lose: {lost['class'].iloc[0]} ("
    )


def test_classes_of_one_image_are_not_judged(tmp_path):
    def shrink(tables):
        rewrite(tables / "forgetting_classes.parquet", lambda table: table.assign(n=1))

    audit = edited(tmp_path, shrink, measures=("forgetting",))
    assert spaced(classes_in_words(audit)) == (
        "No class has more than 1 image, so nothing can be said of single classes."
    )
    assert "change-by-class" not in [plot.name for plot in classes(audit).plots]


def test_of_many_classes_those_that_change_most_are_drawn(tmp_path):
    names = [f"class {i:02}" for i in range(45)]

    def enough(tables):
        rewrite(tables / "forgetting_classes.parquet", lambda table: table.assign(n=20))

    section = classes(edited(tmp_path, enough, measures=("forgetting",), classes=names))
    [plot] = [plot for plot in section.plots if plot.name == "change-by-class"]
    assert plot.caption.startswith("Of 45 classes, the 20 of largest change.")
    assert len(section.tables[0].rows) == 45


# Images that changed


def test_the_images_that_changed_are_shown_with_both_answers(whole, audit):
    [lost, gained, otherwise] = changed_images(audit).galleries
    table = pd.read_parquet(whole / "tables" / "answers.parquet").set_index("image")
    assert [gallery.folded for gallery in (lost, gained, otherwise)] == [False, True, True]
    assert lost.caption == "Newly wrong: all 16 images, right when dense, wrong when pruned."
    first = table[table["lost"]].sort_values("divergence", ascending=False).iloc[0]
    tile = lost.rows[0][0]
    assert list(tile.lines) == [
        first.name.rpartition("/")[2],
        f"is {CLASSES[first['label']]}",
        f"dense: {CLASSES[first['dense']]} {percent(first['dense_confidence'], 0)}",
        f"pruned: {CLASSES[first['pruned']]} {percent(first['pruned_confidence'], 0)}",
    ]
    assert tile.good is False
    assert tile.picture.jpeg.startswith(b"\xff\xd8")
    assert gained.rows[0][0].good is True
    assert otherwise.rows[0][0].good is None


def test_images_without_thumbnails_are_still_named(tmp_path):
    folder = write_audit_folder(tmp_path / "audit", measures=())
    (folder / "pictures" / "thumbnails.parquet").unlink()
    galleries = changed_images(read_audit(folder)).galleries
    assert {tile.picture for gallery in galleries for row in gallery.rows for tile in row} == {None}


# Speed, units, concepts, explanations


def test_speed_claims_no_more_than_is_shown(audit):
    text = [spaced(said) for said in speed(audit).text]
    assert text[0].startswith(
        "The compact network is faster than the dense one: 1.99× (1.97–2.02) at batch 1"
    )
    assert text[1].startswith("The pruned network bought nothing: 0.99× (0.98–1.01) at batch 1")
    assert "batch 16" in text[1]
    assert "batch 16" not in speed_in_words(audit)


def test_what_was_not_timed_is_said(tmp_path):
    def fail(tables):
        nothing = dict.fromkeys(("milliseconds", "speedup", "low", "high"), float("nan"))
        rewrite(tables / "speed.parquet", lambda table: table.assign(why="it does not run.", **nothing))

    section = speed(edited(tmp_path, fail, measures=("speed",)))
    assert len(section.text) == 1
    assert "it does not run" in section.text[0]
    assert not section.plots
    assert not section.tables


def test_units_are_compared_one_by_one_only_if_they_can_be(audit, other):
    assert "Over the units alive in both, the mean falls by 0.080" in units_in_words(audit)
    said = units_in_words(read_audit(other))
    assert "alive in both" not in said
    assert "units of the pruned network are dead" in said


def test_what_became_of_detectors_adds_up_to_the_metrics(audit, other):
    table = concepts(audit).tables[0]
    rows = {row[0].text: [cell.number for cell in row[5:]] for row in table.cells}
    assert list(table.columns[5:]) == ["Kept", "Changed", "Gained", "Lost"]
    expected = [audit.record.metrics[f"concepts_{fate}"] for fate in ("kept", "changed", "gained", "lost")]
    assert rows["all"] == expected
    assert [
        sum(own) for own in zip(*(own for name, own in rows.items() if name != "all"), strict=True)
    ] == expected
    assert len(concepts(read_audit(other)).tables[0].columns) == 5


def test_concepts_that_one_network_alone_detects_are_named(whole, audit):
    units = pd.read_parquet(whole / "tables" / "units.parquet")
    units = units[units["detector"] == True]  # noqa: E712
    found = {
        name: {
            f"{concept} ({category})"
            for concept, category in zip(own["concept"], own["category"], strict=True)
        }
        for name, own in units.groupby("network")
    }
    facts = {fact.term: fact.text for fact in concepts(audit).facts}
    assert facts["Concepts lost"] == " and ".join(sorted(found["dense"] - found["pruned"]))
    assert "Concepts gained" not in facts


def test_cards_show_both_networks_or_one_at_a_time(whole, other):
    assert index_of(whole)["series"] == [
        {"name": "dense and pruned", "networks": [[0, "dense"], [1, "pruned"]]}
    ]
    index = index_of(other)
    assert [(chain["name"], chain["networks"]) for chain in index["series"]] == [
        ("the dense network", [[0, "dense"]]),
        ("the pruned network", [[1, "pruned"]]),
    ]
    assert index["called"] == "Units of"
    own = {name: i for i, (name, *_) in enumerate(index["layers"]) if name.startswith("other.")}
    before = sum(width for *_, width in index["layers"][: min(own.values())])
    for place, there in ((0, False), (1, True)):
        [_, columns] = handed_over(other / "report" / "units" / f"{place}.js", "network")
        assert (columns["alive"][before] >= 0) is there


def test_a_browser_names_the_network_that_conditions_are_on(whole, other, open_page):
    page = open_page(whole / "report" / "index.html", "#unit=inception1a.branch1.conv:0").page
    page.wait_for_selector("#card h3")
    assert page.inner_text("#explorer-found").endswith("of them dead in the pruned network.")
    page.select_option("#explorer-choice [name=network]", label="dense")
    assert page.inner_text("#explorer-found").endswith("of them dead in the dense network.")
    assert page.is_visible("[name=fall]")
    page = open_page(other / "report" / "index.html", "#explorer").page
    page.wait_for_selector("#explorer-list tbody tr[data-unit]")
    assert page.inner_text("#explorer-found").endswith("of them dead in the dense network.")
    assert page.is_hidden("[name=fall]")


def test_likeness_is_set_against_maps_of_other_images(tmp_path, audit):
    assert "; with dense maps of other images it is 0.31;" in explanations_in_words(audit)
    said = explanations_in_words(
        edited(tmp_path, measures=("explanations",), metrics={"grad_cam_spearman_chance": 0.9})
    )
    assert "which is not shown to be more than with dense maps of other images (0.90)" in said


def test_two_methods_have_tables_of_their_own(shown):
    rows = shown.tables["explanations"]
    assert [row[1:3] for row in rows if row[0] == "Spearman’s ρ"] == [
        [row[1], "0.310"] for row in rows if row[0] == "Spearman’s ρ"
    ]
    assert sum(row[0] == "Spearman’s ρ" for row in rows) == 2


def test_what_was_not_measured_says_why(tmp_path):
    section = unmeasured(edited(tmp_path, not_measured={"mis": "a.onnx cannot be looked into"}))
    assert [(fact.term, fact.text) for fact in section.facts] == [("mis", "a.onnx cannot be looked into")]
    assert unmeasured(edited(tmp_path / "all", not_measured={})) is None


# Little and hostile input


def test_an_audit_of_next_to_nothing_still_has_a_page(tmp_path):
    folder = write_audit_folder(tmp_path / "audit", measures=())
    about = json.loads((folder / "audit.json").read_text())
    kept = ("audit", "title", "images", "comparable")
    side = {"shown": "a.pth", "format": "checkpoint"}
    about = {name: about[name] for name in kept} | {
        "dense": side,
        "pruned": side,
        "metrics": {},
        "verdict": "not asked",
    }
    (folder / "audit.json").write_text(json.dumps(about))
    for path in (folder / "tables").glob("*.parquet"):
        if path.stem not in ("networks", "answers"):
            path.unlink()
    about = json.loads((folder / "audit.json").read_text()) | {
        "metrics": {},
        "intervals": {},
        "not_measured": {},
    }
    (folder / "audit.json").write_text(json.dumps(about))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(page, "FORMATS", ("svg",))
        write_audit(folder)
    shown = parsed(folder)
    assert sections(shown) == ["summary", "compared", "pruning", "accuracy", "changed", "reproduce"]
    assert "nan" not in " ".join(shown.words).lower().split()


def test_compact_networks_are_told_by_what_is_left(tmp_path):
    metrics = {"weights_left": 0.4, "nonzero_left": 0.38, "zeros_pruned": 0.05}
    facts = {fact.term: spaced(fact.text) for fact in summary(edited(tmp_path, metrics=metrics)).numbers}
    assert facts["Weights left"] == "38.0 %"
    assert "Weights that are zero" not in facts


@pytest.fixture(scope="module")
def nasty(tmp_path_factory):
    side = {
        "shown": NAMES[0],
        "file": NAMES[1],
        "format": NAMES[2],
        "architecture": NAMES[0],
        "stored": {NAMES[1]: 1.0},
    }
    return write(
        tmp_path_factory.mktemp("nasty") / "audit",
        classes=[*NAMES, "d", "e"], title=NAMES[0], dense=side, pruned=side | {"preprocess": {NAMES[0]: NAMES[1]}},
        conditions=[{"condition": NAMES[0], "held": True, "reason": NAMES[1]}], warnings=[NAMES[2]],
        why_not=NAMES[0], pruning={"text": NAMES[0], "notes": [NAMES[1]], "evidence": {NAMES[2]: 0.5}},
        relation={"text": NAMES[1]}, metrics={NAMES[0]: NAMES[1], NAMES[2]: 3}, command=NAMES[2],
        settings={NAMES[0]: {NAMES[1]: NAMES[2]}}, not_measured={NAMES[0]: NAMES[1]}, meanings={NAMES[2]: NAMES[0]},
    )  # fmt: skip


def test_names_cannot_put_anything_into_the_page(nasty, shown):
    found = parsed(nasty)
    assert {tag for tag, _ in found.tags} <= {tag for tag, _ in shown.tags}
    scripts = sum(tag == "script" for tag, _ in found.tags)
    assert scripts == sum(tag == "script" for tag, _ in shown.tags)
    assert not [name for _, attributes in found.tags for name in attributes if name.startswith("on")]
    text = "".join(found.words)
    assert all(text.count(name) > 4 for name in NAMES)
    pictures = [Path(address) for address in found.values("src") if not address.startswith("data:")]
    assert all((nasty / "report" / path).is_file() and ".." not in path.parts for path in pictures)


def test_every_measure_that_is_drawn_is_told_to_those_who_do_not_see_it(shown):
    figures = [
        attributes for tag, attributes in shown.tags if tag == "img" and "figures/" in attributes["src"]
    ]
    assert len(figures) == len(shown.values("data-figure")) >= 12
    assert all(len(figure["alt"]) > 25 for figure in figures)


def test_measures_of_the_synthetic_audit_are_all_there(audit):
    assert set(MEASURES) == {"mis", "dissection", "explanations", "forgetting", "speed"}
    assert audit.results.measured("mis")
