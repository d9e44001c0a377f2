import json
import random
import shutil

import numpy as np
import pandas as pd
import pytest
from synthetic_audit import CLASSES, IMAGES, write_audit_folder

from prunescope.analysis.audits import MOST_LOST, MOST_OTHERS, images_to_show, read_audit
from prunescope.errors import PrunescopeError


@pytest.fixture(scope="module")
def whole(tmp_path_factory):
    return write_audit_folder(tmp_path_factory.mktemp("audits") / "whole", measures=("mis", "forgetting"))


@pytest.fixture
def folder(whole, tmp_path):
    return shutil.copytree(whole, tmp_path / "audit")


def refused(folder):
    with pytest.raises(PrunescopeError) as caught:
        read_audit(folder)
    return str(caught.value)


def change(folder, **about):
    path = folder / "audit.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | about))


def rewrite(folder, name, edit):
    path = folder / "tables" / f"{name}.parquet"
    edit(pd.read_parquet(path)).to_parquet(path)


def test_an_audit_is_read_as_two_networks_of_one_series(whole):
    audit = read_audit(whole)
    networks = audit.results.networks.set_index("network")
    assert networks.index.tolist() == ["dense", "pruned"]
    assert networks["stage"].tolist() == ["dense", "pruned"]
    assert networks["final"].tolist() == [False, True]
    assert audit.results.series == ["pruned"]
    assert set(audit.results.forgetting_classes["target"]) == {"pruned"}
    assert networks.loc["dense", "mis"] == pytest.approx(audit.record.metrics["mis_dense"])
    assert audit.same_layers
    assert len(audit.answers) == IMAGES


def test_numbers_are_nan_where_there_are_none(whole, folder):
    number = read_audit(whole).number("top1_drop")
    told = json.loads((whole / "audit.json").read_text())
    assert number.value == told["metrics"]["top1_drop"]
    assert [number.low, number.high] == told["intervals"]["top1_drop"]
    assert number.shown
    metrics = {"nothing": None, "text": "filter", "yes": True, "bare": 3, "nan": float("nan")}
    change(folder, metrics=metrics, intervals={"bare": [None, 4]})
    audit = read_audit(folder)
    assert [audit.number(name).known for name in (*metrics, "never heard of")] == [False] * 3 + [
        True,
        False,
        False,
    ]
    bare = audit.number("bare")
    assert (bare.value, bare.high, bare.bounded, bare.shown) == (3, 4, False, False)


def test_classes_have_names_or_numbers(whole):
    audit = read_audit(whole)
    assert [audit.name_class(i) for i in (0, len(CLASSES), -1)] == [CLASSES[0], f"class {len(CLASSES)}", ""]


def test_a_folder_without_audit_json_is_named(folder):
    (folder / "audit.json").unlink()
    assert f"{folder / 'audit.json'} is missing: expected the folder of an audit" in refused(folder)


@pytest.mark.parametrize(
    ("content", "found"),
    [
        ("", "Expecting value"),
        ('{"audit": 1, "title": "x', "Unterminated string"),
        ("[" * 100_000, "recursion"),
        ("[]", "the whole: Input should be a valid dictionary"),
        ('{"audit": 1}', "title: Field required"),
    ],
)
def test_a_damaged_audit_json_says_what_is_wrong(folder, content, found):
    (folder / "audit.json").write_text(content)
    message = refused(folder)
    assert message.startswith(f"{folder / 'audit.json'} is damaged (")
    assert found in message
    assert message.endswith("run the audit again to write it anew")


@pytest.mark.parametrize(
    ("about", "found"),
    [
        ({"metrics": {"top1_drop": [1]}}, "metrics.top1_drop"),
        ({"intervals": {"top1_drop": [0.1]}}, "intervals.top1_drop"),
        ({"verdict": "perhaps"}, "verdict"),
        ({"conditions": [{"condition": "x > 1"}]}, "conditions.0.held"),
        ({"dense": "a file"}, "dense"),
        ({"names": "abc"}, "names"),
        ({"pruning": {"notes": 3}}, "pruning.notes"),
        ({"images": {"source": "x", "n": "many", "labelled": True}}, "images.n"),
    ],
)
def test_what_is_not_as_it_should_be_is_named(folder, about, found):
    change(folder, **about)
    assert f"is damaged ({found}" in refused(folder)


def test_bytes_that_are_no_text_are_damage(folder):
    (folder / "audit.json").write_bytes(b"\xff\xfe\x00")
    assert "is damaged" in refused(folder)


def test_another_version_is_not_damage(folder):
    change(folder, audit=2)
    assert "comes from another version of prunescope: run the audit again" in refused(folder)


@pytest.mark.parametrize("name", ["networks", "answers"])
def test_a_table_that_is_missing_is_named(folder, name):
    (folder / "tables" / f"{name}.parquet").unlink()
    assert f"{name}.parquet is missing: run the audit again to write it anew" in refused(folder)


def test_tables_of_what_was_not_measured_may_be_absent(folder):
    for path in (folder / "tables").glob("*.parquet"):
        if path.stem not in ("networks", "answers"):
            path.unlink()
    shutil.rmtree(folder / "pictures")
    audit = read_audit(folder)
    assert audit.patterns.empty
    assert audit.results.units.empty
    assert not audit.results.measured("mis")


def test_a_table_that_is_damaged_is_named(folder):
    (folder / "tables" / "answers.parquet").write_bytes(b"PAR1 and then nothing")
    message = refused(folder)
    assert "answers.parquet is damaged" in message
    assert "run the audit again" in message


def test_a_column_that_is_missing_is_named(folder):
    rewrite(folder, "answers", lambda table: table.drop(columns="divergence"))
    assert "answers.parquet lacks the column 'divergence'" in refused(folder)


def test_other_networks_than_two_are_refused(folder):
    rewrite(folder, "networks", lambda table: table.replace({"network": {"pruned": "smaller"}}))
    message = refused(folder)
    assert "expected the networks dense and pruned, found dense, smaller" in message


def test_two_rows_of_one_layer_contradict_each_other(folder):
    rewrite(folder, "patterns", lambda table: pd.concat([table, table.head(1)]))
    layer = read_layer(folder)
    assert f"patterns.parquet is damaged: two values of {layer} for dense" in refused(folder)


def read_layer(folder):
    return pd.read_parquet(folder / "tables" / "patterns.parquet")["layer"].iloc[0]


def answers(n, seed, labelled=True):
    draw = random.Random(seed)
    rows = []
    for place in range(n):
        dense, pruned, label = (draw.randrange(3) for _ in range(3))
        known = labelled and label < 3
        rows.append(
            {
                "image": f"{place}.png", "divergence": draw.choice([0.1, 0.5, 0.9, float("nan")]),
                "changed": dense != pruned, "lost": (dense == label) & (pruned != label) if known else pd.NA,
                "gained": (dense != label) & (pruned == label) if known else pd.NA,
            }
        )  # fmt: skip
    columns = ["image", "divergence", "changed", "lost", "gained"]
    return pd.DataFrame(rows, columns=columns).astype(dict.fromkeys(("changed", "lost", "gained"), "boolean"))


@pytest.mark.parametrize("labelled", [True, False])
@pytest.mark.parametrize(("n", "seed"), [(0, 0), (7, 1), (300, 2)])
def test_the_images_shown_are_the_most_divergent_of_their_kind(n, seed, labelled):
    table = answers(n, seed, labelled)
    shown = images_to_show(table)
    kinds = {"lost": [], "gained": [], "changed": []}
    for row in table.itertuples():  # by plain sorting of plain lists
        if row.changed:
            fates = [
                fate for fate in ("lost", "gained") if not pd.isna(getattr(row, fate)) and getattr(row, fate)
            ]
            fate = (fates or ["changed"])[0]
            far = -1.0 if np.isnan(row.divergence) else row.divergence
            kinds[fate].append((-far, row.Index, row.image))
    most = {"lost": MOST_LOST, "gained": MOST_OTHERS, "changed": MOST_OTHERS if kinds["lost"] else MOST_LOST}
    assert shown == {kind: [image for *_, image in sorted(own)[: most[kind]]] for kind, own in kinds.items()}
    if n == 300 and labelled:
        assert [len(own) for own in shown.values()] == [MOST_LOST, MOST_OTHERS, MOST_OTHERS]
