"""A run in a notebook: what came out of it, its figures and its tables, shown in place."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from functools import cached_property, partial
from pathlib import Path

import pandas as pd
from markupsafe import Markup
from matplotlib.figure import Figure

from prunescope.analysis.findings import Finding, find, table_of_findings
from prunescope.analysis.metric_words import check_margin
from prunescope.analysis.results import TABLES_AS_THEY_ARE, Results
from prunescope.analysis.several import read_several
from prunescope.report.figure_names import Figures
from prunescope.report.findings import conclusions
from prunescope.report.saved_figures import NO_METADATA, lay_out, project_looks
from prunescope.report.summary import summary
from prunescope.report.theme import WIDTH

DOTS = 2  # of a screen, for each that a figure is shown at
SCREEN = 96  # dots per inch
# Names are names: no formulas are made of their dollar signs.
BEGIN, END = Markup('<div class="tex2jax_ignore mathjax_ignore">'), Markup("</div>")


class Run:
    """One study, or several compared. A notebook shows what came out of it.

    Attributes:
        results: all that was read.
    """

    def __init__(self, results: Results, margins: Mapping[str, float] | None = None) -> None:
        self.results = results
        self._margins = margins

    @property
    def networks(self) -> pd.DataFrame:
        """One row per network, with all its metrics; `Results` says what the columns are."""
        return self.results.networks

    @property
    def tables(self) -> dict[str, pd.DataFrame]:
        """The tables that hold anything, by name."""
        tables = {name: getattr(self.results, name) for name in ("networks", "layers", *TABLES_AS_THEY_ARE)}
        return {name: table for name, table in tables.items() if len(table)}

    @property
    def findings(self) -> pd.DataFrame:
        """One row per conclusion: its estimate, interval, n, test and sentence."""
        return table_of_findings(self._findings)

    @property
    def figures(self) -> list[str]:
        """The names that `figure` takes."""
        return list(self._figures.plots)

    def figure(self, name: str, width: float = WIDTH) -> Figure:
        """Return a figure, the same as in the report; as the last thing of a cell it is shown.

        Args:
            width: inches of one that is as wide as a page.

        Raises:
            PrunescopeError: there is none of that name.
        """
        plot = self._figures[name]
        with project_looks(width):
            figure = lay_out(plot.draw)
        # matplotlib shows figures in a notebook only if pyplot was asked to.
        setattr(figure, "_repr_png_", partial(_png, figure))  # noqa: B010
        return figure

    @cached_property
    def _findings(self) -> list[Finding]:
        return find(self.results, self._margins)

    @cached_property
    def _figures(self) -> Figures:
        return Figures(self.results)

    def __repr__(self) -> str:
        study = self.results.study
        return f"Run({study.get('study') or study.get('title') or ''!r}, {len(self.networks)} networks)"

    def _repr_html_(self) -> str:
        """Say what was done and what came out, and name the figures."""
        said = summary(self.results.own, conclusions(self._findings, set(self.figures)))
        study = self.results.study
        parts = [Markup("<h3>{}</h3>").format(study.get("title") or study.get("study") or "Pruning study")]
        parts += [Markup("<p>{}</p>").format(text) for text in said.text]
        parts += [Markup("<p><strong>Note.</strong> {}</p>").format(text) for text in said.warnings]
        parts.append(
            _items(Markup("{} <em>({})</em>").format(each.text, each.verdict) for each in said.conclusions)
        )
        shown = ((name, self._figures.shows(name)) for name in self.figures)
        parts.append(Markup("<p>Figures, by <code>.figure(name)</code>:</p>"))
        parts.append(_items(Markup("<code>{}</code>: {}").format(name, shows) for name, shows in shown))
        return BEGIN + Markup("\n").join(parts) + END


def open_run(
    runs: Path | str | Sequence[Path | str],
    published: Sequence[Path | str] = (),
    margins: Mapping[str, float] | None = None,
) -> Run:
    """Open the results of a study to look at in a notebook.

    Args:
        runs: the folder of a study that was run, or those of several to compare.
        published: folders of published studies (`prunescope import-published`) to draw along.
        margins: by metric, a difference that counts as none; the default ones for others.

    Raises:
        PrunescopeError: a run cannot be read, the runs cannot be compared, or a margin is of no measure or not above 0.
    """
    for metric, margin in (margins or {}).items():
        check_margin(metric, margin)
    folders = [runs] if isinstance(runs, Path | str) else list(runs)
    return Run(
        read_several([Path(folder) for folder in folders], [Path(each) for each in published]), margins
    )


def _items(items: Iterable[Markup]) -> Markup:
    return Markup("<ul>{}</ul>").format(Markup("").join(Markup("<li>{}</li>").format(item) for item in items))


def _png(figure: Figure) -> tuple[bytes, dict[str, int]]:
    """Return a picture of a figure, and the size in dots of a screen that a notebook gives it."""
    picture = io.BytesIO()
    with project_looks():
        figure.savefig(picture, format="png", dpi=DOTS * SCREEN, metadata=NO_METADATA["png"])
    width, height = figure.get_size_inches()
    return picture.getvalue(), {"width": round(SCREEN * width), "height": round(SCREEN * height)}
