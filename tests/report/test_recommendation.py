"""The page of a recommendation: what it says, draws and lists, and where it may be written."""

from __future__ import annotations

import json
from collections.abc import Callable
from html.parser import HTMLParser
from pathlib import Path

import numpy as np
import pytest
from matplotlib.figure import Figure

from analysis.made_run import sized, write_run
from prunescope.analysis.recommend import recommend
from prunescope.analysis.recommendation import Recommendation
from prunescope.errors import PrunescopeError
from prunescope.report.recommendation import write_recommendation
from prunescope.report.recommendation_figure import RING, front
from prunescope.report.theme import INK, looks

WISHES = ["top1 >= dense - 0.02", "mis <= dense"]
HOSTILE = '<img src=x onerror="alert(1)"> $x_{1$'


class Words(HTMLParser):
    """All text of a page, and its tags."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.tags: list[str] = []
        self.feed(text)

    def handle_data(self, data: str) -> None:
        self.words.append(data)

    def handle_starttag(self, tag: str, attrs: object) -> None:
        self.tags.append(tag)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def write(folder: Path, series: str = "filters") -> Path:
    generator = np.random.default_rng(0)

    def seeds(left: float, top1: float, mis: float) -> list[dict[str, float]]:
        return [
            sized(left, top1=top1 + generator.normal(0, 0.004), mis=mis + generator.normal(0, 0.004))
            for _ in range(3)
        ]

    return write_run(
        folder,
        [sized(1, top1=0.9, mis=0.6) for _ in range(3)],
        {
            "weights": {"0.5": seeds(0.5, 0.91, 0.55), "0.9": seeds(0.1, 0.8, 0.58)},
            series: {
                "0.3": seeds(0.5, 0.9, 0.5),
                "0.6": seeds(0.2, 0.893, 0.59),
                "0.9": seeds(0.02, 0.5, 0.7),
            },
        },
    )


@pytest.fixture
def found(tmp_path: Path) -> Recommendation:
    return recommend(write(tmp_path / "run"), WISHES)


def test_the_page_answers_first_and_lists_everything(found: Recommendation, tmp_path: Path) -> None:
    page = write_recommendation(found, tmp_path / "out")
    assert page == tmp_path / "out" / "report" / "index.html"
    text = Words(page.read_text(encoding="utf-8")).text
    assert "Take filters at 60" in text
    assert text.index("Take filters at 60") < text.rindex("What there is to choose")
    for part in (*WISHES, "What gives way first", "What each wish costs", "Every network", "What was asked"):
        assert part in text
    for row in found.answers.itertuples():
        assert f"{row.value:.4g}" in text
    assert json.loads((tmp_path / "out" / "recommendation.json").read_text(encoding="utf-8"))["best"] == {
        "series": "filters",
        "target": "0.6",
    }
    files = [f"front.{ending}" for ending in ("csv", "js", "png", "svg")]
    assert sorted(path.name for path in (page.parent / "figures").iterdir()) == files


def test_if_none_will_do_the_page_says_so(tmp_path: Path) -> None:
    found = recommend(write(tmp_path / "run"), ["top1 >= dense + 0.05"], sure=True)
    text = Words(write_recommendation(found, tmp_path / "out").read_text(encoding="utf-8")).text
    assert "None of 5 networks in 2 series keeps all that was asked, intervals and all." in text
    assert "Nearest is weights at 50" in text
    assert "What each wish costs" not in text  # of one wish there is nothing to say


def test_names_are_text_wherever_they_come_from(tmp_path: Path) -> None:
    found = recommend(write(tmp_path / "run", HOSTILE), ["top1 >= dense - 0.02"])
    page = Words(write_recommendation(found, tmp_path / "out").read_text(encoding="utf-8"))
    assert page.tags.count("img") == 1  # the figure
    assert HOSTILE in page.text


def test_the_same_tables_give_the_same_bytes(tmp_path: Path) -> None:
    run = write(tmp_path / "run")
    folders = [write_recommendation(recommend(run, WISHES), tmp_path / name).parents[1] for name in "ab"]
    files = [
        {path.relative_to(f): path.read_bytes() for path in f.rglob("*") if path.is_file()} for f in folders
    ]
    assert files[0] == files[1]
    assert len(files[0]) == 6
    again = write_recommendation(recommend(run, WISHES), folders[0])  # in the place of what was there
    assert again.read_bytes() == files[0][again.relative_to(folders[0])]


def _study(folder: Path) -> None:
    (folder / "study.json").write_text("{}", encoding="utf-8")


def _report(folder: Path) -> None:
    (folder / "report").mkdir()


@pytest.mark.parametrize("taken", [_study, _report])
def test_no_other_report_is_written_over(
    found: Recommendation, tmp_path: Path, taken: Callable[[Path], None]
) -> None:
    folder = tmp_path / "taken"
    folder.mkdir()
    taken(folder)
    before = sorted(folder.rglob("*"))
    with pytest.raises(PrunescopeError, match="holds something else: choose another folder"):
        write_recommendation(found, folder)
    assert sorted(folder.rglob("*")) == before


def test_a_file_in_the_way_is_named(found: Recommendation, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", encoding="utf-8")
    with pytest.raises(PrunescopeError, match="while writing"):
        write_recommendation(found, tmp_path / "file")


def panels(figure: Figure) -> dict[str, list[tuple[float, float, str]]]:
    """Return the markers of each panel: x, y, and the colour of their faces."""
    return {
        ax.get_title(): [
            (float(line.get_xdata()[0]), float(line.get_ydata()[0]), str(line.get_markerfacecolor()))
            for line in ax.lines
            if len(line.get_xdata()) == 1 and line.get_marker() not in {None, "None", ""}
        ]
        for ax in figure.axes
    }  # fmt: skip


def test_the_figure_has_a_panel_a_wish_and_tells_who_keeps_all(found: Recommendation) -> None:
    figure = front(found)
    assert list(panels(figure)) == WISHES
    colours = {name: look.colour for name, look in looks(["weights", "filters"], {}).items()}
    networks = found.networks.set_index(["series", "target"])
    for wish, marks in panels(figure).items():
        own = found.answers[found.answers["wish"] == wish]
        for row in own.itertuples():
            network = networks.loc[(row.series, row.target)]
            face = colours[row.series] if network["kept"] else "white"
            assert (pytest.approx(network["cost"]), pytest.approx(row.value), face) in marks
    for ax in figure.axes:
        (ring,) = [line for line in ax.lines if line.get_markersize() == RING["markersize"]]
        assert ring.get_xdata()[0] == pytest.approx(found.row_of(found.best)["cost"])
        assert ring.get_markeredgecolor() == INK
        assert ax.xaxis_inverted()
        assert ax.get_xscale() == "log"


def test_the_front_is_a_staircase_that_nothing_lies_beyond(found: Recommendation) -> None:
    for ax, sign in zip(front(found).axes, (1, -1), strict=True):
        (steps,) = [line for line in ax.lines if len(line.get_xdata()) > 2 and line.get_zorder() == 1.6]
        x, y = np.asarray(steps.get_xdata()), np.asarray(steps.get_ydata())
        assert (np.diff(x) >= 0).all()
        assert (sign * np.diff(y) >= 0).all()
        assert ((np.diff(x) == 0) | (np.diff(y) == 0)).all()
        wish = ax.get_title()
        for row in found.answers[found.answers["wish"] == wish].itertuples():
            cost = found.networks.set_index(["series", "target"]).loc[(row.series, row.target), "cost"]
            reachable = sign * y[x <= cost]
            assert len(reachable) == 0 or sign * row.value <= reachable.max() + 1e-12


def test_a_bar_that_crosses_the_bound_is_one_that_is_not_shown(found: Recommendation) -> None:
    for ax in front(found).axes:
        wish = ax.get_title()
        bars = [
            segment
            for bar in ax.collections
            if hasattr(bar, "get_segments")
            for segment in bar.get_segments()
        ]
        own = found.answers[found.answers["wish"] == wish]
        assert len(bars) == len(own)
        bound = own["bound"].iloc[0]
        crossing = sum(min(bar[:, 1]) < bound < max(bar[:, 1]) for bar in bars)
        assert crossing == ((own["low"] < 0) & (own["high"] > 0)).sum()


@pytest.mark.parametrize("count", [1, 3, 4, 5])
def test_any_number_of_wishes_is_drawn(tmp_path: Path, count: int) -> None:
    wishes = ["top1 >= 0.5", "top1 <= 0.95", "mis >= 0.2", "mis <= 0.9", "zeros >= 0.1"][:count]
    figure = front(recommend(write(tmp_path / "run"), [*wishes, "top1 >= 0.55"]))
    titles = [ax.get_title() for ax in figure.axes]
    assert titles == ["top1 >= 0.5; top1 >= 0.55", *wishes[1:]]


def test_times_and_what_is_not_finite_can_be_drawn(tmp_path: Path) -> None:
    made = {
        "weights": {
            "0.5": [sized(0.5, ms_pytorch_b1=4.0, compression_all=2.0)],
            "0.9": [sized(0.0, ms_pytorch_b1=3.0, compression_all=float("inf"))],
        }
    }
    run = write_run(tmp_path / "run", [sized(1, ms_pytorch_b1=5.0)], made)
    found = recommend(run, "compression_all >= 2", by="fastest")
    figure = front(found)
    assert figure.axes[0].get_xlabel() == "Milliseconds, pytorch at batch 1"
    assert figure.axes[0].get_xscale() == "linear"
    text = Words(write_recommendation(found, tmp_path / "out").read_text(encoding="utf-8")).text
    assert "3 ms in pytorch at batch 1" in text
    found = recommend(run, "ms_pytorch_b1 <= 4")  # of the other one, nothing is left: no logarithm of that
    assert front(found).axes[0].get_xscale() == "linear"
