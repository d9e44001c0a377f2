"""The figures of a study by name: what each shows, what it takes, and the section of the page that it is from."""

from __future__ import annotations

import re
from collections.abc import Callable
from functools import cached_property
from typing import NamedTuple

from prunescope.analysis.results import Results
from prunescope.errors import PrunescopeError, did_you_mean
from prunescope.report import sections
from prunescope.report.blocks import Plot, Section
from prunescope.report.concepts import concepts
from prunescope.report.explanation_grid_figure import explanation_grid_plots
from prunescope.report.explanations import explanations
from prunescope.report.forgetting import forgetting
from prunescope.report.published import published
from prunescope.report.scores_compared import scores_compared
from prunescope.report.sensitivity import sensitivity
from prunescope.report.speed import speed
from prunescope.report.units import units
from prunescope.report.votes import votes
from prunescope.report.weights_left import weights_left

Make = Callable[[Results], Section | None]


class Named(NamedTuple):
    """One figure.

    Attributes:
        shows: what it shows, in a line.
        needs: what a study must have for it, to follow "needs".
        section: makes the section of the page that holds it.
    """

    shows: str
    needs: str
    section: Make


def explanation_grids(results: Results) -> Section:
    """Hold the grids of explanations, which the page shows as galleries."""
    return Section("explanation-grids", "Explanations", plots=explanation_grid_plots(results))


_ACCURACY = "pruned networks whose accuracy (measure accuracy) was measured"
_COST = _ACCURACY + ", and of which it is known what is left"
_MIS = "pruned networks whose units were scored (measure mis)"
_DISSECTION = "pruned networks that were dissected (measure dissection)"
_EXPLAINED = "networks whose decisions were explained (measure explanations)"
_FORGOT = "networks compared with the dense one image by image (measure forgetting)"
_VOTES = "answers of people (a published study, or a survey)"
_TASKS = "answers of people to tasks of MIS (a survey)"
_TIMED = "networks that were timed and whose accuracy was measured (measures speed, accuracy)"

FIGURES: dict[str, Named] = {
    "top1-by-rate": Named("top-1 accuracy against the rate", _ACCURACY, sections.accuracy),
    "top1-by-cost": Named(
        "top-1 accuracy against the weights really gone and the MACs left", _COST, sections.accuracy
    ),
    "pareto": Named(
        "top-1 accuracy against what a network costs, and the front", _COST, sections.accuracy
    ),
    "saw-tooth": Named(
        "top-1 accuracy over the rounds of pruning and retraining",
        "a series of two rounds or more whose networks were measured right after pruning too",
        sections.accuracy,
    ),
    "top1-by-epoch": Named(
        "validation accuracy, or else the loss, by epoch of retraining",
        "networks retrained for two epochs or more, and their accuracy",
        sections.accuracy,
    ),
    "other-measures-by-rate": Named(
        "top-5, cross-entropy and calibration error against the rate", _ACCURACY, sections.accuracy
    ),
    "weights-left": Named(
        "accuracy and concepts against the weights left, beside controls",
        "a series that loses 90 % of its weights, or one with controls",
        weights_left,
    ),
    "scores-compared": Named(
        "what scores keep that differ in nothing else", "series that differ in their score alone", scores_compared
    ),
    "sensitivity-by-layer": Named(
        "top-1 lost by pruning each layer alone", "a series whose rates were found by a sensitivity sweep", sensitivity
    ),
    "density-by-layer": Named(
        "weights left in each layer", "networks whose size was measured (measure size)", sections.layers
    ),
    "size-by-rate": Named(
        "MACs and file left against the rate", "networks whose size was measured (measure size)", sections.size
    ),
    "top1-by-time": Named("top-1 accuracy against measured time", _TIMED, speed),
    "speedup-by-promise": Named(
        "measured against promised speed-up", "networks that were timed (measure speed)", speed
    ),
    "mis-by-rate": Named("mean MIS against the rate", _MIS, units),
    "top1-by-mis": Named("top-1 accuracy against mean MIS, a point a network", _MIS + " and their accuracy", units),
    "units-alive": Named("live units against the rate", _MIS, units),
    "mis-of-units": Named("distributions of the scores of units", _MIS, units),
    "mis-by-layer": Named("median MIS of each layer", _MIS, units),
    "mis-by-class": Named(
        "MIS of logits against the accuracy of their classes", _MIS + ", logits too, and their accuracy", units
    ),
    "concepts-by-weights-left": Named(
        "accuracy, detectors and concepts by category against the weights left", _DISSECTION, concepts
    ),
    "concepts-by-layer": Named("unique detectors of each layer", _DISSECTION, concepts),
    "concept-controls": Named(
        "detectors of the dense network beside those of controls", "a dissection with controls", concepts
    ),
    "concepts-kept": Named("what became of the dense network’s detectors", _DISSECTION, concepts),
    "explanations-likeness": Named("likeness of maps to the dense network’s", _EXPLAINED, explanations),
    "explanations-faithfulness": Named("areas of deletion and insertion", _EXPLAINED, explanations),
    "explanations-shape": Named("how concentrated maps are, and on what", _EXPLAINED, explanations),
    "explanations-proxy": Named(
        "how often another network names the class of a map", "explanations shown to a proxy", explanations
    ),
    "explanations-curves": Named("curves of deletion and insertion", _EXPLAINED, explanations),
    "explanation-grid": Named(
        "images and maps over compression", "explanations of which pictures were kept", explanation_grids
    ),
    "change-by-class": Named("change of each class’s accuracy", _ACCURACY + " class by class", sections.classes),
    "forgetting-by-rate": Named("what pruned networks forget against the rate", _FORGOT, forgetting),
    "forgetting-classes": Named("change of each class, tested", _FORGOT, forgetting),
    "forgetting-groups": Named(
        "errors by group of images", "a comparison by attributes of images (measure forgetting)", forgetting
    ),
    "right-answers": Named("how often people are right about units of each network", _TASKS, votes),
    "right-by-layer": Named("the same by the layer of the unit", _TASKS, votes),
    "confidence": Named("how often people are right by how sure they are", _TASKS, votes),
    "people-and-mis": Named("people against MIS, unit by unit, with the noise ceiling", _TASKS, votes),
    "slope-of-people": Named("people’s answers by the margin of the task, and slopes of MIS", _TASKS, votes),
    "votes": Named("which network’s explanations people prefer", _VOTES, votes),
    "votes-by-class": Named("the same by the class of the image", _VOTES, votes),
    "identification": Named("how often people name the class of a map", _VOTES, votes),
    "agreement": Named("how far people agree about the same item", _VOTES, votes),
    "published-and-corrected": Named(
        "mean MIS as published and without dead units", "a published study with scores of units", published
    ),
}  # fmt: skip


class Figures:
    """The figures that can be made of some results."""

    def __init__(self, results: Results) -> None:
        self.results = results
        self._made: dict[Make, list[Plot]] = {}

    def __getitem__(self, name: str) -> Plot:
        """Return a figure.

        Raises:
            PrunescopeError: there is none of that name, or these results have nothing for it.
        """
        kind = _kind(name)
        if kind not in FIGURES:
            near = did_you_mean(name, FIGURES)
            raise PrunescopeError(f"no figure {name!r}{near}: `prunescope figure --list RUN` lists them")
        found = self._of(FIGURES[kind].section)
        plot = next((plot for plot in found if plot.name == name), None)
        if plot is None:
            others = [plot.name for plot in found if _kind(plot.name) == kind]
            why = f"there are only {', '.join(others)}" if others else f"it needs {FIGURES[kind].needs}"
            raise PrunescopeError(f"no figure {name} of these results: {why}")
        return plot

    def shows(self, name: str) -> str:
        """Say in a line what a figure shows; where there are several of a kind, of what."""
        several = sum(_kind(other) == _kind(name) for other in self.plots) > 1
        return self.plots[name].alt if several else FIGURES[_kind(name)].shows

    @cached_property
    def plots(self) -> dict[str, Plot]:
        """All figures that there are, by name."""
        made = (self._of(section) for section in dict.fromkeys(each.section for each in FIGURES.values()))
        order = list(FIGURES)
        found = [plot for plots in made for plot in plots]
        return {plot.name: plot for plot in sorted(found, key=lambda plot: order.index(_kind(plot.name)))}

    @property
    def missing(self) -> dict[str, str]:
        """The names of the figures that these results have nothing for, and what each needs."""
        there = {_kind(name) for name in self.plots}
        return {name: named.needs for name, named in FIGURES.items() if name not in there}

    def _of(self, section: Make) -> list[Plot]:
        if section not in self._made:
            made = sections.make_sections([section], self.results)
            self._made[section] = [plot for each in made for plot in each.plots]
        return self._made[section]


def _kind(name: str) -> str:
    """Return the name under which a figure is listed: those of further series end in a number."""
    return re.sub(r"-[0-9]+$", "", name)
