"""What the cards of units show: the files beside the page hold the examples of the tables, each image once."""

import base64
import json
import shutil
import zlib

import pandas as pd
import pytest
from synthetic_units import write_unit_study
from unit_pages import LAYERS, SHAPE, contents, handed_over, report_on, table_of

from prunescope.report.cards import BLOCK


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return report_on(write_unit_study(tmp_path_factory.mktemp("cards") / "s", **SHAPE))


def copy_of(folder, target, *without):
    shutil.copytree(folder, target, ignore=shutil.ignore_patterns("report", *without))
    return target


def images_of(folder):
    [images] = handed_over(folder / "report" / "examples" / "images.js", "images")
    return images


def block_of(folder, layer, unit):
    """Return the examples of a layer's units, and which of the units this one is."""
    name = f"{LAYERS.index(layer)}-{unit // BLOCK}"
    told, packed = handed_over(folder / "report" / "examples" / f"{name}.js", "examples")
    assert told == name
    return json.loads(zlib.decompress(base64.b64decode(packed))), unit % BLOCK


def networks_of(folder):
    return list(table_of(folder, "networks")["network"])


def test_the_examples_of_a_unit_are_those_of_the_table_by_rank(folder):
    images, networks = images_of(folder), networks_of(folder)
    blocks = {}
    for row in table_of(folder, "examples").to_dict("records"):
        key = row["layer"], row["unit"]
        if key not in blocks:
            blocks[key] = block_of(folder, *key)
        measures, unit = blocks[key]
        own, at = measures[row["measure"]], networks.index(row["network"])
        assert own["keep"] == 4
        place = unit * 4 + row["rank"]
        assert images[own[row["side"]][at][place]] == [row["image"], 1]
        if row["side"] == "highest":
            assert own["outlines"][at][place] == row["outline"]


def test_there_is_a_file_for_so_many_units_of_each_layer(folder):
    files = {path.name for path in (folder / "report" / "examples").iterdir()}
    assert files == {"images.js", "0-0.js", "1-0.js", "1-1.js", "2-0.js"}
    measures, _ = block_of(folder, LAYERS[1], 39)
    assert len(measures["mis"]["highest"][0]) == (40 - BLOCK) * 4


def test_each_image_is_kept_once(folder):
    examples = table_of(folder, "examples")
    pictures = pictures_of(folder)
    used = examples[["measure", "image"]].drop_duplicates()
    files = {path.name: path.read_bytes() for path in (folder / "report" / "thumbnails").iterdir()}
    assert len(files) == len(used) < len(examples) / 4
    measures, unit = block_of(folder, LAYERS[0], 0)
    for measure, own in measures.items():
        number = own["highest"][0][unit]
        assert files[f"{number}.jpg"] == pictures[measure, images_of(folder)[number][0]]


def pictures_of(folder):
    table = pd.read_parquet(folder / "pictures" / "thumbnails.parquet")
    return table.set_index(["measure", "image"])["jpeg"]


def test_the_order_of_the_rows_of_examples_does_not_matter(folder, tmp_path):
    copy = copy_of(folder, tmp_path / "s")
    path = copy / "tables" / "examples.parquet"
    table_of(copy, "examples").sample(frac=1, random_state=0).to_parquet(path)
    report_on(copy)
    names = [[name for name, _ in images_of(each)] for each in (copy, folder)]
    for layer, unit in ((LAYERS[0], 0), (LAYERS[1], 35), (LAYERS[2], 2)):
        (mixed, _), (plain, _) = block_of(copy, layer, unit), block_of(folder, layer, unit)
        for measure in plain:
            for side in ("highest", "lowest"):
                shown = [
                    [known[i] for network in each[measure][side] for i in network or ()]
                    for known, each in zip(names, (mixed, plain), strict=True)
                ]
                assert shown[0] == shown[1] != []


def test_without_pictures_the_cards_name_the_images(folder, tmp_path):
    copy = report_on(copy_of(folder, tmp_path / "s", "pictures"))
    assert list((copy / "report" / "thumbnails").iterdir()) == []
    assert {there for _, there in images_of(copy)} == {0}


def test_units_that_have_fewer_examples_and_networks_that_lack_a_layer_leave_gaps(folder, tmp_path):
    copy = copy_of(folder, tmp_path / "s")
    gone = "weights-0.6-retrained-seed0"
    for name in ("units", "examples"):
        table = table_of(copy, name)
        table = table[~((table["network"] == gone) & (table["layer"] == "fc"))]
        if name == "examples":
            table = table[(table["unit"] != 1) | (table["rank"] != 3)]
        table.to_parquet(copy / "tables" / f"{name}.parquet")
    report_on(copy)
    networks = networks_of(folder)
    own = block_of(copy, "fc", 0)[0]["mis"]
    assert own["highest"][networks.index(gone)] is None
    dense = own["highest"][0]
    assert [dense[unit * 4 + 3] == -1 for unit in range(3)] == [False, True, False]
    [_, columns] = handed_over(copy / "report" / "units" / f"{networks.index(gone)}.js", "network")
    assert columns["alive"][-3:] == columns["mis"][-3:] == [-1, -1, -1]
    assert -1 not in columns["alive"][:-3]


def test_a_study_without_examples_has_no_files_for_them(folder, tmp_path):
    copy = copy_of(folder, tmp_path / "s", "examples.parquet", "pictures")
    report_on(copy)
    folders = {path.name for path in (copy / "report").iterdir() if path.is_dir()}
    assert folders == {"figures", "units"}


def test_a_layer_without_examples_says_so_on_its_cards(open_page, folder, tmp_path):
    copy = copy_of(folder, tmp_path / "s")
    table = table_of(copy, "examples")
    table[table["layer"] != "fc"].to_parquet(copy / "tables" / "examples.parquet")
    report_on(copy)
    opened = open_page(copy / "report" / "index.html", "#unit=fc:1")
    opened.page.wait_for_selector("#card h3")
    assert opened.page.inner_text("#card .found") == "No images were kept for this layer."
    assert opened.page.locator("#card svg").count() == 0


def test_the_same_tables_give_the_same_bytes(folder, tmp_path):
    copy = report_on(copy_of(folder, tmp_path / "s"))
    assert contents(copy / "report") == contents(folder / "report")
