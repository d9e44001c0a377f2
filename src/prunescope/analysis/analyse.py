"""All conclusions of one run or several, as a table and as files."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

import pandas as pd

from prunescope.analysis.csv_text import csv_text
from prunescope.analysis.finding import Finding
from prunescope.analysis.findings import find, table_of_findings
from prunescope.analysis.metric_words import check_margin
from prunescope.analysis.several import read_several
from prunescope.errors import PrunescopeError, describe_os_error

FOLDER = "analysis"


def analyse(
    runs: Path | str | Sequence[Path | str],
    margins: Mapping[str, float] | None = None,
    published: Sequence[Path | str] = (),
) -> pd.DataFrame:
    """Return what can be concluded from the tables of a study, or of several compared.

    Args:
        runs: the folder of a study, runs/NAME, or those of several.
        margins: by measure, the difference that counts as none, in the unit of the measure: {"top1": 0.005} for half
            a point. Others keep their defaults.
        published: folders of published studies to check against the runs; nothing is concluded about them here.

    Returns:
        One row a conclusion: `question`, `measure`, `about`, `estimate`, `low`, `high`, `n`, `resampled`, `method`,
        `p`, `p_holm`, `effect`, `margin`, `verdict`, `sentence`, and the rest of the attributes of `Finding`.

    Raises:
        PrunescopeError: a run cannot be read, the runs cannot be compared, or a margin is of no measure or not above 0.
    """
    return table_of_findings(conclude(runs, margins, published))


def conclude(
    runs: Path | str | Sequence[Path | str],
    margins: Mapping[str, float] | None = None,
    published: Sequence[Path | str] = (),
) -> list[Finding]:
    """Return what `analyse` does as findings."""
    for metric, margin in (margins or {}).items():
        check_margin(metric, margin)
    several = [runs] if isinstance(runs, Path | str) else list(runs)
    results = read_several([Path(run) for run in several], [Path(study) for study in published])
    return find(results, margins)


def write_findings(findings: Sequence[Finding], folder: Path) -> Path:
    """Write `findings.parquet` and `findings.csv` into `folder`/analysis, and return that folder.

    Raises:
        PrunescopeError: they cannot be written.
    """
    table, out = table_of_findings(findings), folder / FOLDER
    try:
        out.mkdir(parents=True, exist_ok=True)
        table.to_parquet(out / "findings.parquet", index=False)
        (out / "findings.csv").write_text(csv_text(table), encoding="utf-8")
    except FileExistsError as error:
        raise PrunescopeError(f"{out} is a file: expected a folder, or none yet") from error
    except OSError as error:
        raise describe_os_error(error, f"writing {out}") from error
    return out
