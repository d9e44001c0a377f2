"""The published studies themselves: what their tables must give. Skipped where they are not found."""

from __future__ import annotations

from pathlib import Path

import krippendorff
import pandas as pd
import pytest
from scipy import stats

from prunescope.analysis.agreement import agreements
from prunescope.analysis.findings import find
from prunescope.analysis.published.corrected import corrected_means
from prunescope.analysis.published.importing import import_published
from prunescope.analysis.recognitions import recognitions
from prunescope.analysis.results import Results, read_results
from prunescope.analysis.votes import preferences

RUNS = {
    "published-googlenet",
    "published-inceptionv1",
    "published-resnet50-dissection",
    "published-vgg-imagenette",
}


@pytest.fixture(scope="module")
def published(real_data: Path) -> Path:
    if not (real_data / "published").is_dir():
        pytest.skip(f"no published tables in {real_data}")
    return real_data / "published"


@pytest.fixture(scope="module")
def studies(published: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Results]:
    imported = import_published(published, tmp_path_factory.mktemp("runs"))
    assert imported.skipped == []
    return {run.name: read_results(run) for run in imported.runs}


def test_every_file_is_recognised(studies: dict[str, Results]) -> None:
    assert set(studies) == RUNS
    for study in studies.values():
        assert not study.study["published"]["source"].startswith("not known")


def test_study_a_with_dead_units_and_without(studies: dict[str, Results], published: Path) -> None:
    found = corrected_means(studies["published-googlenet"])
    assert found is not None
    assert len(found.means) == 24
    own = found.by_series()["local structured, SGD 50"]
    assert [round(each.scored, 3) for each in own] == [0.728, 0.790, 0.854, 0.918]
    assert [round(each.live, 3) for each in own] == [0.673, 0.683, 0.705, 0.748]
    assert round(found.pooled("scored"), 3) == 0.516
    assert round(found.pooled("live"), 3) == 0.773
    assert found.layer == "fc"
    assert (round(found.of_all, 2), round(own[-1].layer, 2)) == (0.12, 0.37)
    for which in ("scored", "live"):
        assert len(found.within(which)) == 6
    units = pd.read_csv(published / "googlenet_pruned_unit_mis.csv.gz")
    conv = units[(units["kind"] == "conv") & (units["method"] == "local_structured")]
    conv = conv[(conv["optimizer"] == "SGD") & (conv["epochs"] == 50)]
    above = (conv["mis"] > 0.99).groupby(conv["rate"]).mean()
    dead = studies["published-googlenet"].networks.set_index("network")
    for rate, share in above.items():
        row = dead.loc[f"local structured, SGD 50-{rate}-retrained-seed0"]
        assert row["units_dead"] / (row["units_dead"] + row["units_alive"]) == pytest.approx(share)
    assert [round(share, 3) for share in above] == [0.193, 0.384, 0.575, 0.765]


def test_study_a_trend_within_each_method(studies: dict[str, Results], published: Path) -> None:
    accuracy = pd.read_csv(published / "googlenet_pruned_accuracy.csv")
    results = studies["published-googlenet"]
    assert len(results.networks) == len(accuracy)
    rows = {
        each.about: each
        for each in find(results)
        if each.question == "trend within a series" and each.measure == "top1"
    }
    own = accuracy[(accuracy["method"] == "global_unstructured") & (accuracy["epochs"] == 50)]
    expected = stats.spearmanr(own["rate"], own["top1"]).statistic
    assert rows["“global unstructured, SGD 50”"].estimate == pytest.approx(expected)
    pooled = next(
        each for each in find(results) if each.question == "as published" and each.about == "all series"
    )
    assert "0.516" in pooled.sentence
    assert "0.773" in pooled.sentence
    assert "inferred" in pooled.sentence


def test_study_c_as_published(studies: dict[str, Results], published: Path) -> None:
    results = studies["published-vgg-imagenette"]
    pairs = {(each.stimulus, each.one, each.other): each for each in preferences(results)}
    assert round(pairs["heat map", "dense-seed0", "CR 2"].chi2, 3) == 6.920
    assert round(pairs["explanation map", "dense-seed0", "CR 32"].chi2, 3) == 12.889
    assert round(pairs["explanation map", "CR 2", "CR 32"].chi2, 3) == 21.673
    told = pd.read_csv(published / "vgg16_imagenette_votes.csv").replace(
        {"cr1": "dense-seed0", "cr2": "CR 2", "cr32": "CR 32"}
    )
    for row in told.to_dict("records"):
        pair = pairs[row["stimulus"], row["left"], row["right"]]
        assert pair.counts == (row["left_wins"], row["right_wins"], row["ties"])
        assert pair.p_of_chi2 == pytest.approx(row["p"], rel=0.05)
    assert [each.counts for each in recognitions(results)] == [
        (2146, 245, 2500), (2160, 224, 2500), (2033, 355, 2500),
    ]  # fmt: skip


def test_study_c_over_participants_claims_less(studies: dict[str, Results]) -> None:
    found = [each for each in find(studies["published-vgg-imagenette"]) if each.question == "votes"]
    assert len(found) == 5
    for each, pair in zip(found, preferences(studies["published-vgg-imagenette"]), strict=True):
        low, high = pair.as_if_independent
        assert each.low < low < each.estimate < high < each.high
    shown = [each.about for each in found if each.verdict == "shown"]
    assert shown == ["explanation map: CR 2 or CR 32"]  # of five that were each significant as published


def test_study_c_agreement(studies: dict[str, Results], published: Path) -> None:
    found = {
        (each.stimulus, each.over): each
        for each in agreements(studies["published-vgg-imagenette"])
        if each.busiest
    }
    assert round(found["heat map", "winner"].alpha.estimate, 3) == 0.207
    assert round(found["explanation map", "winner"].alpha.estimate, 3) == 0.311
    votes = pd.read_csv(published / "vgg16_imagenette_pairwise_votes.csv")
    for stimulus, rounded in (("heat map", 0.126), ("explanation map", 0.236)):
        own = votes[votes["stimulus"] == stimulus]
        items = own[["image", "class", "left", "right"]].astype(str).agg("|".join, axis=1)
        expected = krippendorff.alpha(
            value_counts=pd.crosstab(items, own["answer"]).to_numpy(), level_of_measurement="nominal"
        )
        alpha = found[stimulus, "answer"].alpha
        assert alpha.estimate == pytest.approx(expected)
        assert alpha.estimate == pytest.approx(rounded, abs=1e-3)
        assert alpha.low < alpha.estimate < alpha.high


def test_dense_networks(studies: dict[str, Results], published: Path) -> None:
    inception = studies["published-inceptionv1"]
    units = pd.read_csv(published / "inceptionv1_dense_unit_mis.csv.gz")
    conv = units[~units["layer"].str.contains("softmax")]
    assert inception.networks["mis"].tolist() == pytest.approx([conv["mis"].mean()])
    assert inception.networks["units_dead"].tolist() == [0]
    layers = [
        pd.read_csv(published / "network_dissection" / f"resnet50_imagenet_layer{i}.csv").assign(
            layer=f"layer{i}"
        )
        for i in range(1, 5)
    ]
    detectors = pd.concat(layers).query("score > 0.04")
    resnet = studies["published-resnet50-dissection"]
    assert resnet.networks["detectors"].tolist() == [len(detectors)] == [1754]
    assert resnet.networks["unique_detectors"].tolist() == [
        detectors[["category", "label"]].drop_duplicates().shape[0]
    ]
    by_layer = resnet.detectors.query("category == '' and layer != ''").set_index("layer")["detectors"]
    assert by_layer.to_dict() == detectors.groupby("layer").size().to_dict()
