"""The cells that say which network a row of a table is about."""

from __future__ import annotations

from prunescope.analysis.results import Network, Results
from prunescope.report.blocks import Cell, number_cell
from prunescope.report.formats import NO_VALUE, name_target, percent


def name_cells(network: Network, results: Results) -> dict[str, Cell]:
    """Name series, control, target and rate; columns that say nothing in this study are empty."""
    return {
        "Series": Cell(str(network["series"])),
        "Control": Cell(results.controls.get(network["series"], NO_VALUE)),
        "Target": Cell(NO_VALUE if network["asked"] else name_target(network["target"], network["rate"])),
        results.rate_label: number_cell(network["rate"], percent),
    }
