"""Every figure of the page can be had by name, and text in a figure keeps to its place."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path

import pytest
from matplotlib.figure import Figure
from matplotlib.text import Text
from synthetic import write_study
from synthetic_explanations import write_explanation_study
from synthetic_forgetting import write_forgetting_study
from synthetic_roads import add_sensitivity, write_score_study, write_ticket_study
from synthetic_speed import write_speed_study
from synthetic_units import write_unit_study

from prunescope.analysis.results import read_results
from prunescope.errors import PrunescopeError
from prunescope.report.figure_names import FIGURES, Figures
from prunescope.report.saved_figures import lay_out, project_looks
from prunescope.report.sections import SECTIONS, make_sections
from prunescope.report.theme import page_width

STUDIES: dict[str, Callable[[Path], Path]] = {
    "units": lambda folder: write_unit_study(folder, layers=3),
    "tickets": lambda folder: write_ticket_study(folder, rounds=4, layers=3),
    "scores": lambda folder: write_score_study(folder, layers=3),
    "speed": lambda folder: write_speed_study(folder, layers=3),
    "explanations": write_explanation_study,
    "forgetting": lambda folder: write_forgetting_study(folder, layers=3, seeds=(0, 1)),
}
NOT_SYNTHETIC = {  # made by the tests of published studies, or above from tables of their own
    "saw-tooth", "top1-by-epoch", "sensitivity-by-layer",
    "votes", "votes-by-class", "identification", "agreement", "published-and-corrected",
    "right-answers", "right-by-layer", "confidence", "people-and-mis", "slope-of-people",
}  # fmt: skip


@pytest.fixture(scope="module")
def studies(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Figures]:
    root = tmp_path_factory.mktemp("names")
    return {name: Figures(read_results(write(root / name))) for name, write in STUDIES.items()}


def test_every_figure_of_a_page_is_known_by_name_and_the_same(studies):
    for figures in studies.values():
        page = [plot for section in make_sections(SECTIONS, figures.results) for plot in section.plots]
        for plot in page:
            assert figures[plot.name].caption == plot.caption
        others = figures.plots.keys() - {plot.name for plot in page}
        assert all(
            name.startswith("explanation-grid") for name in others
        )  # which the page shows as galleries
        assert not figures.plots.keys() & figures.missing.keys()
        assert all(figures.shows(name) for name in figures.plots)


def test_no_name_is_listed_that_is_never_made(studies):
    made = {name for figures in studies.values() for name in figures.plots}
    assert FIGURES.keys() - NOT_SYNTHETIC <= made


def test_a_name_that_there_is_not_is_named_with_those_near(studies):
    with pytest.raises(PrunescopeError, match=r"no figure 'top-1-by-rates' \(did you mean 'top1-by-rate'"):
        studies["units"]["top-1-by-rates"]
    with pytest.raises(
        PrunescopeError, match="no figure saw-tooth of these results: it needs a series of two rounds"
    ):
        studies["units"]["saw-tooth"]
    with pytest.raises(PrunescopeError, match=r"there are only pareto$"):
        studies["units"]["pareto-2"]


def test_a_sweep_gives_its_figure(tmp_path):
    folder = write_study(tmp_path / "s", layers=4)
    assert "sensitivity-by-layer" in Figures(read_results(folder)).missing
    add_sensitivity(folder)
    assert "sensitivity-by-layer" in Figures(read_results(folder)).plots


def side_by_side(titles: list[str], label: str = "", ticks: list[str] | None = None) -> Callable[[], Figure]:
    def draw() -> Figure:
        figure = Figure(figsize=(page_width(), 2), layout="constrained")
        for ax, title in zip(figure.subplots(1, len(titles)), titles, strict=True):
            ax.set_title(title)
            ax.set_xlabel(label)
            if ticks:
                ax.set_xticks(range(len(ticks)), ticks)
        return figure

    return draw


def boxes_apart(texts: list[Text]) -> bool:
    boxes = sorted((text.get_window_extent() for text in texts), key=lambda box: box.x0)
    return all(one.x1 <= other.x0 for one, other in itertools.pairwise(boxes))


def titles_of(figure: Figure) -> list[Text]:
    return [part for part in figure.findobj(Text) if part.get_text() and part.get_fontweight() == "bold"]


def test_titles_and_labels_that_would_touch_are_broken_and_say_the_same():
    titles = ["filters of every layer, at once", "connections, in five rounds", "weights, one threshold"]
    with project_looks():
        whole = lay_out(side_by_side(titles[:2], "Rate asked"))
        figure = lay_out(side_by_side(titles, "Mean MIS of all the convolution units that are alive"))
    assert [text.get_text() for text in titles_of(whole)] == titles[:2]  # which have room
    assert [text.get_text().replace("\n", " ") for text in titles_of(figure)] == titles
    assert boxes_apart(titles_of(figure))
    labels = [ax.xaxis.label for ax in figure.axes]
    assert all("\n" in label.get_text() for label in labels)
    assert boxes_apart(labels)
    assert max(label.get_window_extent().x1 for label in labels) <= figure.bbox.width


def test_a_word_that_cannot_be_broken_gets_smaller_letters():
    with project_looks(3.5):
        figure = lay_out(side_by_side(["Deletion", "Insertion", "Calibration", "Confidence"]))
    titles = titles_of(figure)
    assert boxes_apart(titles)
    assert max(title.get_window_extent().x1 for title in titles) <= figure.bbox.width
    assert all(5 <= title.get_fontsize() <= 9 and "\n" not in title.get_text() for title in titles)
    assert min(title.get_fontsize() for title in titles) < 7


def test_ticks_that_would_touch_stand_upright():
    few, many = ["20 %", "80 %"], [f"{i} % of weights" for i in range(10, 80, 10)]
    with project_looks():
        flat, upright = (lay_out(side_by_side(["a", "b"], "", ticks)) for ticks in (few, many))
    assert {tick.get_rotation() for ax in flat.axes for tick in ax.get_xticklabels()} == {0}
    for ax in upright.axes:
        assert {tick.get_rotation() for tick in ax.get_xticklabels()} == {90}
        assert boxes_apart(ax.get_xticklabels())


def test_a_figure_is_as_wide_as_asked_and_what_was_set_before_returns():
    before = page_width()
    with project_looks(3.5):
        figure = lay_out(side_by_side(["a", "b"]))
        with pytest.raises(ZeroDivisionError), project_looks(2.0):
            1 / 0  # noqa: B018
        assert page_width() == 3.5
    assert figure.get_size_inches()[0] == 3.5
    assert page_width() == before


def test_the_page_of_figures_names_them_all():
    page = (Path(__file__).parents[2] / "docs" / "figures.md").read_text("utf-8")
    assert {name for name in FIGURES if f"`{name}`" not in page} == set()
