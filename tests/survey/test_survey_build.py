from __future__ import annotations

import hashlib
import io
import json
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from made_experiment import made_design
from made_survey_run import CLASSES, DEAD, EMPTY, FINAL, NETWORKS, TASKS, WRONG, made_survey_run
from PIL import Image, PngImagePlugin
from typer.testing import CliRunner

from prunescope.analysis.results import read_results
from prunescope.cli.main import app
from prunescope.errors import PrunescopeError
from prunescope.survey.build import build
from prunescope.survey.design import Design
from prunescope.survey.experiment import Experiment, read_experiment
from prunescope.survey.frozen_pictures import without_notes
from prunescope.survey.trials import answers_of, trials_of
from prunescope.survey.unit_tasks import shares

SMALL = {
    "mis": {"tasks": 9, "catch": 2, "practice": 3, "pool": {"units": 18, "tasks_per_unit": 2}},
    "pairwise": {"tasks": 8, "catch": 2, "practice": 2, "pool": {"images_per_class": 4, "stimuli": ["heat", "map"]}},
    "identification": {"tasks": 10, "catch": 2, "practice": 2, "pool": {"images_per_class": 5, "stimuli": ["map"]}},
}  # fmt: skip


def small(kind: str, **changes: object) -> Design:
    return made_design(kind, **(SMALL[kind] | changes))


@pytest.fixture(scope="module")
def run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return made_survey_run(tmp_path_factory.mktemp("runs") / "made")


@pytest.fixture
def own_run(run: Path, tmp_path: Path) -> Path:
    """A run that a test may spoil."""
    return shutil.copytree(run, tmp_path / "run")


@pytest.fixture(scope="module")
def built(run: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Experiment]:
    folder = tmp_path_factory.mktemp("experiments")
    return {kind: build(run, small(kind), folder / kind) for kind in SMALL}


def of_role(experiment: Experiment, role: str) -> list[dict]:
    return [task for task in experiment.task_of.values() if task["role"] == role]


def sha(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


# MIS


def test_units_are_live_convolutions_of_every_layer_alike_and_the_same_where_they_are_alive(built):
    asked = {
        network: {(t["layer"], t["unit"]) for t in of_role(built["mis"], "main") if t["network"] == network}
        for network in FINAL
    }
    assert {t["network"] for t in of_role(built["mis"], "main")} == set(FINAL)
    for network, units in asked.items():
        assert not units & DEAD.get(network, set())
        # conv1 has 4 units, so the 18 cannot be 6 6 6; conv2 has 5 that live everywhere and 6 to 10 that live here
        of_layer = Counter(layer for layer, _ in units)
        assert of_layer["conv1"] == 4
        assert sorted([of_layer["conv2"], of_layer["conv3"]]) in ([7, 7], [6, 8])
    assert asked[FINAL[0]] == asked[FINAL[1]]
    assert (
        len(set.intersection(*asked.values()))
        == built["mis"].record["counts"]["units asked in every network"]
    )
    lost = {("conv2", unit) for unit in range(10) if ("conv2", unit) in DEAD[FINAL[2]]}
    assert (
        len(asked[FINAL[0]] & lost) <= 1
    )  # units that live in all networks come first; of conv2 there are 6


def test_a_task_about_a_unit_shows_its_images_in_their_groups(built, run):
    rows = pd.read_parquet(run / "tables" / "unit_tasks.parquet").set_index(
        ["network", "layer", "unit", "task"]
    )
    jpegs = pd.read_parquet(run / "pictures" / "task_images.parquet").set_index("image")["jpeg"]
    tasks = of_role(built["mis"], "main") + of_role(built["mis"], "practice")
    assert len(of_role(built["mis"], "main")) == len(FINAL) * 18 * 2
    for task in tasks:
        row = rows.loc[(task["network"], task["layer"], task["unit"], task["unit_task"])]
        assert task["margin"] == row["margin"]
        assert task["right"] == "positive_query"
        for side in ("positive", "negative"):
            references = [f"{sha(jpegs[row[f'{side}_{k}']])}.jpg" for k in range(9)]
            assert task["pictures"][side] == references
            assert task["pictures"][f"{side}_query"] == [f"{sha(jpegs[row[f'{side}_query']])}.jpg"]


def test_catch_trials_have_their_answer_among_the_references_and_units_of_their_own(built):
    unit_of = {
        role: {(t["layer"], t["unit"]) for t in of_role(built["mis"], role)}
        for role in ("main", "catch", "practice")
    }
    assert not unit_of["main"] & unit_of["catch"]
    assert not unit_of["main"] & unit_of["practice"]
    assert not unit_of["catch"] & unit_of["practice"]
    for task in of_role(built["mis"], "catch"):
        for side in ("positive", "negative"):
            assert task["pictures"][f"{side}_query"][0] in task["pictures"][side]
    places = {
        t["pictures"]["positive"].index(t["pictures"]["positive_query"][0])
        for t in of_role(built["mis"], "catch")
    }
    assert len(places) > 1  # not always the same one


def test_practice_is_the_easiest_of_the_other_units(built, run):
    rows = pd.read_parquet(run / "tables" / "unit_tasks.parquet")
    asked = {(t["layer"], t["unit"]) for t in of_role(built["mis"], "main")}
    best: dict[tuple[str, int], float] = {}
    for row in rows[rows["network"].isin(FINAL) & (rows["layer"] != "fc")].itertuples():
        if (row.layer, row.unit) not in asked:
            best[row.layer, row.unit] = max(best.get((row.layer, row.unit), -9), row.margin)
    expected, of_layer = [], Counter()
    for (layer, _), margin in sorted(best.items(), key=lambda item: -item[1]):
        if of_layer[layer] < 2:
            of_layer[layer] += 1
            expected.append(margin)
    assert [t["margin"] for t in of_role(built["mis"], "practice")][:2] == expected[:2]


def test_no_list_asks_about_a_unit_twice_and_all_tasks_of_a_list_are_of_one_network(built):
    experiment = built["mis"]
    for number, names in enumerate(experiment.tasks_of_list):
        own = [experiment.task_of[name] for name in names]
        main = [task for task in own if task["role"] == "main"]
        assert len({task["network"] for task in own}) == 1
        assert len({(task["layer"], task["unit"]) for task in main}) == len(main) == 9
        assert len(trials_of(experiment, number, 1)) == 11
    assert len(experiment.tasks_of_list) == 3 * 4


def test_other_networks_layers_and_numbers_of_tasks_are_asked_for_in_the_design(run, tmp_path):
    pool = {"networks": ["*-pruned-*"], "layers": ["conv[23]", "fc"], "units": 9, "tasks_per_unit": TASKS}
    experiment = build(run, small("mis", pool=pool, each_sees="all networks"), tmp_path / "out")
    main = of_role(experiment, "main")
    assert {task["network"] for task in main} == {NETWORKS[1], NETWORKS[3]}
    assert Counter(task["layer"] for task in main) == {"conv2": 24, "conv3": 24, "fc": 24}
    assert Counter(Counter((t["network"], t["layer"], t["unit"]) for t in main).values()) == {TASKS: 18}
    for names in experiment.tasks_of_list:
        networks = Counter(
            experiment.task_of[n]["network"] for n in names if experiment.task_of[n]["role"] == "main"
        )
        assert max(networks.values()) - min(networks.values()) <= 1


def test_shares_are_as_equal_as_there_is_room():
    assert shares({"a": 4, "b": 10, "c": 20}, 18) == {"a": 4, "b": 7, "c": 7}
    assert shares({"a": 4, "b": 10, "c": 20}, 34) == {"a": 4, "b": 10, "c": 20}
    assert shares({"a": 5, "b": 5, "c": 5}, 4) == {"a": 2, "b": 1, "c": 1}
    assert shares({"a": 0, "b": 5}, 3) == {"a": 0, "b": 3}


# Pairwise and identification


def stimulus(run: Path, network: str, image: str, kind: str) -> str:
    plain = image.replace("/", "-").removesuffix(".jpg")
    path = (
        run
        / "stimuli"
        / (f"images/{plain}.png" if kind == "image" else f"grad-cam/{network}/{plain}.{kind}.png")
    )
    return f"{sha(path.read_bytes())}.png"


def test_pairs_are_of_each_final_network_with_the_dense_one_and_of_the_same_images(built, run):
    experiment = built["pairwise"]
    main = of_role(experiment, "main")
    images = {}
    for task in main:
        kind = {"heat map": "heat", "explanation map": "map"}[task["stimulus"]]
        images.setdefault((task["one"], task["other"], kind), set()).add(task["image"])
        assert task["condition"] == f"{task['one']} | {task['other']}"
        assert task["right"] is None
        assert task["pictures"] == {
            "original": [stimulus(run, "", task["image"], "image")],
            "one": [stimulus(run, task["one"], task["image"], kind)],
            "other": [stimulus(run, task["other"], task["image"], kind)],
        }
    assert set(images) == {(FINAL[0], other, kind) for other in FINAL[1:] for kind in ("heat", "map")}
    assert len({frozenset(own) for own in images.values()}) == 1
    assert Counter(image.split("/")[0] for image in next(iter(images.values()))) == dict.fromkeys(CLASSES, 4)
    for names in experiment.tasks_of_list:
        seen = [experiment.task_of[name]["image"] for name in names]
        assert len(set(seen)) == len(seen) == 10


def test_obvious_tasks_show_another_photograph_of_another_class(built, run):
    asked = {task["image"] for task in of_role(built["pairwise"], "main")}
    images = [f"{name}/{i}.jpg" for name in CLASSES for i in range(14)]
    names = {
        stimulus(run, FINAL[0], path, kind): (path, kind)
        for kind in ("heat", "map", "image")
        for path in images
    }
    for role in ("catch", "practice"):
        tasks = of_role(built["pairwise"], role)
        assert {task["stimulus"] for task in tasks} == {"heat map", "explanation map"}
        assert not asked & {task["image"] for task in tasks}
        for task in tasks:
            right, right_kind = names[task["pictures"]["one"][0]]
            wrong, wrong_kind = names[task["pictures"]["other"][0]]
            assert task["right"] == "one"
            assert right == task["image"]
            assert right.split("/")[0] != wrong.split("/")[0]
            assert (right_kind, wrong_kind) in (("heat", "heat"), ("map", "image"))


@pytest.mark.parametrize("others", [5, 4])
def test_the_other_photograph_is_of_another_class_also_where_few_are_left(own_run, tmp_path, others):
    path = own_run / "stimuli" / "stimuli.csv"
    table = pd.read_csv(path, dtype=str, keep_default_na=False)
    number = table["image"].str.extract(r"/(\d+)\.", expand=False).astype(int)
    right = ~table["image"].isin([EMPTY[0], WRONG[0]])
    table[((table["class"] == "church") | (number < others + (table["class"] == "tench"))) & right].to_csv(
        path, index=False
    )
    design = small("pairwise", pool={"images_per_class": 4})
    if others == 4:  # nothing but churches is left
        with pytest.raises(PrunescopeError, match="images of at least two classes that are not asked about"):
            build(own_run, design, tmp_path / "out")
        return
    experiment = build(own_run, design, tmp_path / "out")
    names = {stimulus(own_run, FINAL[0], name, "heat"): name for name in table["image"]}
    for task in (*of_role(experiment, "catch"), *of_role(experiment, "practice")):
        assert names[task["pictures"]["other"][0]].split("/")[0] != task["class"]


def test_images_that_are_empty_or_called_wrongly_are_left_out_and_that_is_said(run, tmp_path):
    design = small("identification", pool={"images_per_class": 12, "stimuli": ["map"]})
    experiment = build(run, design, tmp_path / "out")
    shown = {task["image"] for task in experiment.task_of.values()}
    assert not shown & {EMPTY[0], WRONG[0]}
    assert len(shown) == 40
    assert any("2 explained images were left out" in note for note in experiment.record["notes"])
    wrong = small(
        "identification",
        tasks=9,
        catch=0,
        pool={"images_per_class": 13, "stimuli": ["map"], "rightly_named": False},
    )
    shown = {task["image"] for task in build(run, wrong, tmp_path / "wrong").task_of.values()}
    assert shown == {f"{name}/{i}.jpg" for name in CLASSES for i in range(14)} - {EMPTY[0]}
    few = small("identification", pool={"images_per_class": 12, "stimuli": ["map"], "networks": [FINAL[0]]})
    assert (
        build(run, few, tmp_path / "few").record["counts"]["images left out"] == 0
    )  # the dense one names all


def test_pairs_of_the_design_have_the_less_pruned_network_first(run, tmp_path):
    pairs = [[FINAL[2], FINAL[1]]]
    experiment = build(run, small("pairwise", pool={"pairs": pairs, "images_per_class": 4}), tmp_path / "out")
    assert {(t["one"], t["other"]) for t in of_role(experiment, "main")} == {(FINAL[1], FINAL[2])}


def test_identification_shows_every_image_once_to_a_participant(built, run):
    experiment = built["identification"]
    for task in of_role(experiment, "main"):
        assert task["pictures"] == {"map": [stimulus(run, task["network"], task["image"], "map")]}
        assert task["right"] == task["class"] == task["image"].split("/")[0]
    for role in ("catch", "practice"):
        for task in of_role(experiment, role):
            assert task["pictures"] == {"map": [stimulus(run, "", task["image"], "image")]}
    assert [answer.value for answer in answers_of(experiment)] == [*CLASSES, "don't know"]
    assert [answer.keys for answer in answers_of(experiment)] == [("1",), ("2",), ("3",), ("d",)]
    assert "church, garbage truck, tench" in " ".join(experiment.design.instructions)
    for names in experiment.tasks_of_list:
        seen = [experiment.task_of[name]["image"] for name in names]
        assert len(set(seen)) == len(seen)
        classes = Counter(
            experiment.task_of[n]["class"] for n in names if experiment.task_of[n]["role"] == "main"
        )
        assert max(classes.values()) - min(classes.values()) <= 1


def test_classes_with_numbers_need_names(own_run, tmp_path):
    for file in (own_run / "stimuli" / "stimuli.csv",):
        file.write_text(file.read_text().replace(",church,church", ",n03028079,n03028079").replace(
            ",church,,", ",n03028079,,"))  # fmt: skip
    with pytest.raises(
        PrunescopeError, match=r"n03028079, which says nothing.*answers: - \{value: n03028079"
    ):
        build(own_run, small("identification"), tmp_path / "out")
    experiment = build(
        own_run, small("identification"), tmp_path / "out", names=lambda: {"n03028079": "Zion church"}
    )
    assert [(a.value, a.label) for a in answers_of(experiment)] == [
        ("garbage truck", "garbage truck"), ("tench", "tench"), ("n03028079", "Zion church"),
        ("don't know", "Don't know"),
    ]  # fmt: skip


# Frozen


def test_the_same_build_gives_the_same_bytes_and_another_seed_does_not(built, run, tmp_path):
    for kind, experiment in built.items():
        again = build(run, small(kind), tmp_path / kind)
        files = {path.relative_to(again.folder) for path in again.folder.rglob("*") if path.is_file()}
        assert files == {
            p.relative_to(experiment.folder) for p in experiment.folder.rglob("*") if p.is_file()
        }
        for file in files:
            assert (again.folder / file).read_bytes() == (experiment.folder / file).read_bytes(), file
        read_experiment(again.folder, pictures=True)
    other = build(run, small("mis", seed=1), tmp_path / "other")
    assert not other.tasks.equals(built["mis"].tasks)


def test_the_record_says_what_was_built_from_what(built, run):
    record = built["mis"].record
    assert record["name"] == "made-mis"
    assert record["run"]["study"] == "made"
    for file, digest in record["run"]["files"].items():
        assert sha((run / file).read_bytes()) == digest
    assert {"tables/unit_tasks.parquet", "pictures/task_images.parquet"} <= set(record["run"]["files"])
    assert record["counts"]["tasks"] == {"main": 108, "catch": 24, "practice": 3}
    assert record["counts"]["conditions"] == {f"{name} (units)": 36 for name in FINAL}
    assert record["counts"]["participants"] == 12 * 2
    assert set(record["versions"]) >= {"prunescope", "numpy"}


def test_an_experiment_that_was_changed_is_refused(run, tmp_path):
    for file in ("tasks.parquet", "design.yaml", "run/tables/scores.parquet"):
        folder = tmp_path / file.replace("/", "-")
        build(run, small("identification"), folder)
        (folder / file).write_bytes((folder / file).read_bytes() + b" ")
        with pytest.raises(PrunescopeError, match="not what was built"):
            read_experiment(folder)


def test_nothing_but_the_pixels_is_left_of_a_picture(tmp_path):
    pixels = Image.fromarray(np.random.default_rng(0).integers(0, 256, (9, 7, 3), dtype=np.uint8))
    notes, plain = PngImagePlugin.PngInfo(), {}
    for place in ("one", "two"):
        notes.add_text(place, "dense-network", zip=place == "two")
    exif = pixels.getexif()
    exif[0x010E] = "dense-network"
    for form, options in {
        "PNG": {"pnginfo": notes, "exif": exif},
        "JPEG": {"exif": exif, "comment": b"dense-network", "quality": 92},
    }.items():
        file, bare = io.BytesIO(), io.BytesIO()
        pixels.save(file, form, **options)
        pixels.save(bare, form, **({"quality": 92} if form == "JPEG" else {}))
        assert b"dense-network" in file.getvalue()
        plain[form], ending = without_notes(file.getvalue() + b"dense-network", "x")
        assert plain[form] == bare.getvalue()  # and so is as it was, where there are no notes
        assert ending == {"PNG": ".png", "JPEG": ".jpg"}[form]
        assert without_notes(plain[form], "x")[0] == plain[form]


def test_pictures_are_called_by_their_hash_and_say_nothing(built):
    for experiment in built.values():
        for path in experiment.pictures.iterdir():
            assert re.fullmatch(r"[0-9a-f]{64}\.(png|jpg)", path.name)
            assert not any(name.encode() in path.read_bytes() for name in (*NETWORKS, *CLASSES))


def test_what_the_analysis_needs_lies_beside_as_a_smaller_run(built):
    results = read_results(built["mis"].folder / "run")
    assert results.networks["network"].tolist() == NETWORKS
    assert results.networks["top1"].tolist() == pytest.approx([0.9, 0.8, 0.7, 0.6, 0.5])
    asked = {(t["layer"], t["unit"]) for t in of_role(built["mis"], "main")}
    units = pd.read_parquet(built["mis"].folder / "run" / "tables" / "units.parquet")
    keys = list(zip(units["network"], units["layer"], units["unit"], strict=True))
    assert sorted(keys) == sorted((network, *unit) for network in FINAL for unit in asked)
    assert {"mis", "hit_rate", "margin", "alive", "slope"} <= set(units)
    assert "machine" not in results.study
    assert results.study["study"] == "made"
    assert len(read_results(built["pairwise"].folder / "run").units) == 0


def test_the_preview_shows_only_what_lies_beside_it_and_is_marked(built):
    for kind, experiment in built.items():
        page = (experiment.folder / "preview" / "index.html").read_text("utf-8")
        sources = re.findall(r'src="([^"]*)"', page)
        assert sources
        assert all((experiment.folder / "preview" / source).is_file() for source in sources)
        assert not re.findall(r"https?://|@import|url\(", page)
        assert "For researchers" in page
        marked = page.count("✓ correct")
        counts = experiment.record["counts"]["tasks"]
        right = counts["practice"] + 4 + (24 if kind != "pairwise" else 0)
        assert marked == right
        assert experiment.design.consent[1] in page.replace("&#39;", "'")


def test_names_in_a_run_are_no_markup_in_the_preview(own_run, tmp_path):
    path = own_run / "study.json"
    study = json.loads(path.read_text()) | {"title": "<script>alert(1)</script>"}
    path.write_text(json.dumps(study))
    page = (build(own_run, small("mis"), tmp_path / "out").folder / "preview" / "index.html").read_text(
        "utf-8"
    )
    assert "<script" not in page
    assert "&lt;script&gt;alert(1)" in page


# Errors


@pytest.mark.parametrize(
    ("kind", "changes", "said"),
    [
        ("mis", {"pool": {"networks": ["dens-*"]}}, r"pool.networks: no network 'dens-\*' of .*there are: dense-seed0"),
        ("mis", {"pool": {"networks": ["dense-seed1"]}}, "did you mean 'dense-seed0'"),
        ("mis", {"pool": {"layers": ["conv4"]}}, "pool.layers: no layer 'conv4'.*did you mean 'conv"),
        ("mis", {"pool": {"units": 35}}, "35 units are asked for, and dense-seed0 has 34"),
        ("mis", {"pool": {"units": 12, "tasks_per_unit": 5}}, "5 tasks of a unit.*run has 4 of unit"),
        ("mis", {"pool": {"units": 28}, "practice": 9}, "practice: 9 practice tasks.*set pool.units lower"),
        ("mis", {"pool": {"units": 28}, "practice": 0, "catch": 12}, "catch: 12 catch tasks"),
        ("mis", {"pool": {"units": 5}, "tasks": 6, "each_sees": "all networks"}, None),
        ("mis", {"pool": {"units": 4, "tasks_per_unit": 4}, "tasks": 9}, "tasks: 9: .*at most 4 tasks.*pool.units"),
        ("pairwise", {"pool": {"images_per_class": 14}}, "13 of 14 of church, 13 of.*; filters.* to at most 13"),
        ("pairwise", {"pool": {"images_per_class": 13}, "practice": 1}, "are left: set pool.images_per_class lower"),
        ("pairwise", {"pool": {"method": "gradcam"}}, "no maps of 'gradcam'.*did you mean 'grad-cam'"),
        ("pairwise", {"pool": {"pairs": [["dense-seed0", "filters-0.8-seed0"]]}}, "no explanations by 'filters-0.8-s"),
        ("pairwise", {"pool": {"pairs": [["dense-seed0", "dense-seed0"]]}}, "paired with itself"),
        ("pairwise", {"pool": {"pairs": [[FINAL[0], FINAL[1]], [FINAL[1], FINAL[0]]]}}, "a pair is named twice"),
        ("pairwise", {"pool": {"networks": ["dense-*"]}}, "no pair of a pruned network"),
        ("identification", {"pool": {"networks": ["*-pruned-*"], "stimuli": ["map"]}}, "no explanations of filt"),
        ("identification", {"answers": [{"value": "church", "label": "church"}]}, "'garbage truck' is missing"),
        ("mis", {"platform": {"store_ids": "plain"}}, "the packaged consent says.*a consent of your own"),
        ("identification", {"instructions": ["{trial} tasks"]}, r"{trial} is no name.*did you mean 'trials'"),
    ],
)  # fmt: skip
def test_what_cannot_be_built_is_said_with_what_to_change(run, tmp_path, kind, changes, said):
    if said is None:
        assert build(run, small(kind, **changes), tmp_path / "out").tasks_of_list
        return
    with pytest.raises(PrunescopeError, match=said):
        build(run, small(kind, **changes), tmp_path / "out")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("kind", "gone", "said"),
    [
        ("mis", "tables/unit_tasks.parquet", "add `stimuli: true` to the measure `mis`.*only this measure"),
        ("mis", "pictures/task_images.parquet", "task_images.parquet is missing: run the study again"),
        ("mis", "study.json", "study.json is missing"),
        ("mis", "tables/networks.parquet", "networks.parquet is missing"),
        (
            "pairwise",
            "stimuli/stimuli.csv",
            "add `stimuli: true` to the measure `explanations`.*only this measure",
        ),
        (
            "identification",
            "stimuli/grad-cam/dense-seed0/*.map.png",
            "map.png is missing: run the study again",
        ),
    ],
)
def test_a_run_that_lacks_something_says_what_to_do(own_run, tmp_path, kind, gone, said):
    for path in own_run.glob(gone):
        path.unlink()
    with pytest.raises(PrunescopeError, match=said):
        build(own_run, small(kind), tmp_path / "out")


@pytest.mark.parametrize(
    ("kind", "spoilt", "said"),
    [
        ("mis", "tables/unit_tasks.parquet", "unit_tasks.parquet is damaged"),
        ("mis", "study.json", "study.json is damaged"),
        ("pairwise", "stimuli/stimuli.csv", "stimuli.csv is damaged"),
        ("pairwise", "stimuli/grad-cam/dense-seed0/*.heat.png", "heat.png is damaged.*run the study again"),
    ],
)
def test_a_damaged_run_is_said_to_be_damaged(own_run, tmp_path, kind, spoilt, said):
    for path in own_run.glob(spoilt):
        path.write_bytes(path.read_bytes()[: path.stat().st_size // 3])
    with pytest.raises(PrunescopeError, match=said):
        build(own_run, small(kind), tmp_path / "out")


def test_an_image_without_a_picture_and_one_that_is_no_picture(own_run, tmp_path):
    path = own_run / "pictures" / "task_images.parquet"
    table = pd.read_parquet(path)
    table.iloc[1:].to_parquet(path, index=False)
    with pytest.raises(PrunescopeError, match="no picture of the image seen/0"):
        build(own_run, small("mis"), tmp_path / "out")
    table.assign(jpeg=b"GIF89a").to_parquet(path, index=False)
    with pytest.raises(PrunescopeError, match=r"task_images.parquet is damaged .*run the study again"):
        build(own_run, small("mis"), tmp_path / "out")


def test_nothing_is_written_over(run, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "notes.txt").write_text("mine")
    with pytest.raises(PrunescopeError, match="is there already: give another folder"):
        build(run, small("mis"), tmp_path / "out")
    assert (tmp_path / "out" / "notes.txt").read_text() == "mine"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(PrunescopeError, match="is there already"):
        build(run, small("mis"), tmp_path / "file")


# Command line


def test_the_commands_build_and_print_designs(run, tmp_path):
    design = tmp_path / "mine.yaml"
    printed = CliRunner().invoke(app, ["survey", "design", "mis"])
    assert printed.exit_code == 0
    text = printed.output.replace("units: 84", "units: 18").replace("tasks_per_unit: 10", "tasks_per_unit: 2")
    design.write_text(text.replace("tasks: 40", "tasks: 9").replace("catch: 5 ", "catch: 2 "))
    told = CliRunner().invoke(
        app, ["survey", "build", str(run), "--design", str(design), "--out", str(tmp_path / "o")]
    )
    assert told.exit_code == 0, told.output
    assert (
        "108 tasks about 3 conditions on 12 lists of 9, with 2 catch trials each; 5 practice tasks"
        in told.output
    )
    assert "participants wanted: 36, 3 for each list" in told.output
    assert "units of a network are the same in all of them" in told.output
    assert "names neither who asks" in told.output
    assert (tmp_path / "o" / "preview" / "index.html").is_file()


def test_building_needs_neither_torch_nor_network(run, tmp_path):
    code = (
        "import sys, socket\n"
        "def refuse(*args, **kwargs): raise AssertionError('network')\n"
        "socket.socket.connect = refuse\n"
        "from prunescope.survey.build import build\n"
        "build(sys.argv[1], sys.argv[2], sys.argv[3])\n"
        "assert not [name for name in ('torch', 'fastapi', 'sqlalchemy') if name in sys.modules]\n"
    )
    design = tmp_path / "mine.yaml"
    design.write_text("kind: identification\ntasks: 10\npool: {images_per_class: 5}\n")
    subprocess.run([sys.executable, "-c", code, str(run), str(design), str(tmp_path / "out")], check=True)
