"""What the analysis of an experiment needs of the run, kept with it: networks, scores, the units asked about."""

from __future__ import annotations

import io
import json
from typing import Any

import pandas as pd

from prunescope.survey.drawn import Drawn
from prunescope.survey.run_folder import RunFolder

WHOLE = ("networks", "steps", "scores", "classes")
OF_THE_MACHINE = ("machine", "command")  # of `study.json`; votes do not depend on them


def frozen_run(run: RunFolder, drawn: Drawn) -> dict[str, bytes]:
    """Return the files of a smaller run, in the layout of a run's folder.

    It has all networks with their scores, and of `units` those that are asked about, in every network asked about,
    whether alive there or not.

    Args:
        run: the run.
        drawn: the tasks.

    Returns:
        From the path of each file to its bytes.
    """
    tables = {name: run.table(name, ()) for name in WHOLE if run.path("tables", f"{name}.parquet").exists()}
    asked = {(task["layer"], task["unit"]) for task in drawn.main if "unit" in task}
    if asked:
        units = run.table("units", ("network", "layer", "unit"))
        among = pd.MultiIndex.from_frame(units[["layer", "unit"]]).isin(asked)
        tables["units"] = units[among & units["network"].isin(drawn.networks).to_numpy()]
    study = {key: value for key, value in run.study.items() if key not in OF_THE_MACHINE}
    files = {f"tables/{name}.parquet": _parquet(table) for name, table in tables.items()}
    return files | {"study.json": _json(study)}


def _parquet(table: pd.DataFrame) -> bytes:
    file = io.BytesIO()
    table.to_parquet(file, index=False)
    return file.getvalue()


def _json(value: Any) -> bytes:
    return (json.dumps(value, indent=2, ensure_ascii=False) + "\n").encode("utf-8")
