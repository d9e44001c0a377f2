"""The tables of a study or an audit as files: which columns each must have, and what a column holds."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq

from prunescope.errors import PrunescopeError
from prunescope.measures.forgetting_gallery import gallery_images

Of = Literal["study", "audit"]  # what a folder is of
Rows = list[tuple[str, str, list[str]]] | None  # conditions, as pyarrow takes them

ALIKE = ("series", "target", "stage")  # what the networks of all seeds share that were pruned alike
GROUP_RATES = ("fnr_dense", "fnr_pruned", "fnr_change", "fpr_dense", "fpr_pruned", "fpr_change")
NEEDED: dict[str, tuple[str, ...]] = {
    "networks": ("network", "step", "series", "seed", "stage", "rate", "parent"),
    "scores": ("network", "metric", "value"),
    "layers": ("network", "layer", "spared", "zeros"),
    "classes": ("network", "index", "class", "n", "top1"),
    "steps": ("step", "status", "reused"),
    "units": ("network", "layer", "kind", "unit"),
    "detectors": ("network", "control", "layer", "category", "detectors", "unique_detectors"),
    "examples": ("network", "measure", "layer", "unit", "side", "rank", "image", "outline"),
    "thumbnails": ("measure", "image", "jpeg"),
    "speed": ("network", "runtime", "batch", "variant", "milliseconds", "speedup"),
    "sensitivity": ("series", "seed", "layer", "layers", "rate", "top1"),
    "explanations": (
        "network", "method", "image", "label", "target", "prediction", "confidence", "correct", "empty",
    ),
    "explanation_curves": ("network", "method", "curve", "fraction", "value"),
    "explanation_pictures": ("method", "network", "image", "kind", "jpeg", "why"),
    "forgetting": (*ALIKE, "metric", "value"),
    "forgetting_classes": (*ALIKE, "index", "class", "n", "dense", "pruned", "change", "relative", "says"),
    "forgetting_images": (*ALIKE, "image", "label", "lost", "changed"),
    "forgetting_groups": (*ALIKE, "attribute", "group", "class", "n", *GROUP_RATES),
    "forgetting_attributes": (*ALIKE, "attribute", "kind", "statistic", "p"),
    "images": ("network", "image", "label", "prediction"),
    "curves": ("network", "epoch", "validate_top1"),
    "votes": ("experiment", "stimulus", "participant", "item", "answer"),
    "participants": ("participant", "excluded"),
}  # fmt: skip
NEEDED_OF_AUDITS: dict[str, tuple[str, ...]] = {  # tables that only audits have
    "answers": (
        "image", "label", "dense", "pruned", "dense_confidence", "pruned_confidence", "divergence",
        "changed", "lost", "gained",
    ),
    "patterns": ("network", "layer", "kind", "weights", "zeros", "granularity"),
    "relations": ("layer",),
}  # fmt: skip
MIS_COLUMNS = ("alive", "mis", "hit_rate", "mis_published")
CONDITIONS = ("similarity", "slope", "images", "image_set", "tasks", "references", "difficulty")
CONCEPT_COLUMNS = ("concept", "category", "iou", "detector")
EXPLANATION_NUMBERS = (
    "spearman", "ssim", "iou", "deletion", "insertion", "pointing", "inside", "gini", "entropy",
)  # fmt: skip
MEASURED_OF_PEOPLE = (
    "answers", "catch_right", "catch_trials", "total_s", "instructions_s", "rarer", "practice_rounds", "blurs",
    "fullscreen_exits", "median_rt_ms",
)  # fmt: skip
NOT_ALWAYS: dict[str, tuple[str, ...]] = {  # only where something was pruned or measured, or has an interval
    "networks": (
        "granularity", "score", "scope", "norm", "hold", "schedule", "retraining",
        "zeros_after_pruning", "zeros_after_retraining",
        "unreachable_after_pruning", "unreachable_after_retraining", "held", "target", "control", "budget",
        "recalibrate", "round",
    ),
    "scores": ("low", "high", "n"),
    "layers": ("unreachable",),
    "steps": ("kind", "label", "error"),
    "units": (*MIS_COLUMNS, "class", *CONDITIONS, *CONCEPT_COLUMNS),
    "speed": (
        "images_per_second", "low", "high", "clock", "rounds", "threads", "peak_bytes", "macs", "device",
        "version", "why",
    ),
    "sensitivity": ("n", "dense_top1", "least", "tolerated"),
    "forgetting": ("low", "high", "n", "seeds", "over"),
    "forgetting_classes": ("change_low", "change_high", "low", "high", "p", "p_holm", "seeds", "test"),
    "forgetting_groups": ("fnr_low", "fnr_high", "fpr_low", "fpr_high", "seeds", "over"),
    "forgetting_attributes": ("p_holm", "within", "p_within", "p_within_holm", "dense", "changed", "n"),
    "explanations": ("layer", *EXPLANATION_NUMBERS, "proxy_correct"),
    "explanation_curves": ("low", "high"),
    "curves": ("loss", "lr"),
    "votes": (
        "image", "class", "left", "right", "network", "chosen", "correct", "layer", "unit", "unit_task", "task",
        "margin", "position", "flipped", "confidence", "rt_ms", "simulated",
    ),
    "participants": (
        "experiment", "simulated", "finished", "left", "why", *MEASURED_OF_PEOPLE,
    ),
    "answers": ("pruned_of_dense",),
    "patterns": ("share", "zero_filters", "zero_connections", "zero_kernels", "n_m", "distinct"),
    "relations": ("pruned_layer", "same", "rounded", "reordered", "kept", "correlation"),
}  # fmt: skip
NUMBERS = (
    "rate", "recalibrate", "round", "zeros_after_pruning", "zeros_after_retraining", "unreachable_after_pruning",
    "unreachable_after_retraining", "held", "value", "low", "high", "zeros", "unreachable", "n", "top1",
    "mis", "hit_rate", "mis_published", "slope", "images", "tasks", "references", "iou",
    "detectors", "unique_detectors",
    "milliseconds", "speedup", "images_per_second", "rounds", "threads", "peak_bytes", "macs",
    "dense_top1", "least", "tolerated", "fraction", "confidence", *EXPLANATION_NUMBERS,
    "dense", "pruned", "change", "change_low", "change_high", "relative", "p", "p_holm", "seeds",
    "lost", "changed", "statistic", "within", "p_within", "p_within_holm",
    *GROUP_RATES, "fnr_low", "fnr_high", "fpr_low", "fpr_high",
    "epoch", "validate_top1", "loss", "lr",
)  # fmt: skip
TYPES = (
    dict.fromkeys(NUMBERS, "float64")
    | dict.fromkeys(("unit", "rank", "batch"), "int64")
    | dict.fromkeys(("alive", "detector", "correct", "empty", "proxy_correct"), "boolean")
    | {"outline": "str"}
)
TYPES_OF = {  # where a table means something else by a name than the others do
    "votes": dict.fromkeys(("unit", "unit_task"), "Int64")
    | dict.fromkeys(("margin", "position", "rt_ms"), "float64")
    | dict.fromkeys(("flipped", "simulated"), "boolean"),
    "participants": dict.fromkeys(("simulated", "finished", "left", "excluded"), "boolean")
    | dict.fromkeys(MEASURED_OF_PEOPLE, "float64"),
    "explanations": dict.fromkeys(("label", "target", "prediction"), "int64"),
    "forgetting_images": {"label": "int64"},
    "images": dict.fromkeys(("label", "prediction"), "int64"),
    "answers": dict.fromkeys(("label", "dense", "pruned"), "int64")
    | dict.fromkeys(("dense_confidence", "pruned_confidence", "pruned_of_dense", "divergence"), "float64")
    | dict.fromkeys(("changed", "lost", "gained"), "boolean"),
    "patterns": dict.fromkeys(
        ("weights", "share", "zero_filters", "zero_connections", "zero_kernels", "distinct"), "float64"
    ),
    "relations": dict.fromkeys(("same", "rounded", "reordered"), "boolean")
    | dict.fromkeys(("kept", "correlation"), "float64"),
}
KEYS = {  # what there is one of in each network: how it is called, and the columns that name it
    "scores": ("{}", "metric"),
    "units": ("unit {1} of {0}", "layer", "unit"),
    "speed": ("the {2} network in {0} at batch {1}", "runtime", "batch", "variant"),
    "explanations": ("the {0} map of {1}", "method", "image"),
    "explanation_curves": ("the {1} curve of {0} at {2}", "method", "curve", "fraction"),
    "patterns": ("{}", "layer"),
}
LARGE = (
    "units",
    "examples",
    "forgetting_images",
    "images",
    "votes",
)  # their texts are a few names, each in many rows
MAY_BE_ABSENT = (
    "scores", "layers", "classes", "units", "detectors", "examples", "thumbnails", "speed", "sensitivity",
    "explanations", "explanation_curves", "explanation_pictures",
    "forgetting", "forgetting_classes", "forgetting_images", "forgetting_groups", "forgetting_attributes", "images",
    "curves", "votes", "participants",
)  # fmt: skip
ABSENT_FROM_AUDITS = ("steps", "patterns", "relations")
PICTURES = {"thumbnails": "thumbnails", "explanation_pictures": "explanations"}  # tables with files of images


def read_tables(folder: Path, of: Of = "study") -> dict[str, pd.DataFrame]:
    """Read all tables of the folder of a study or an audit; one of something that it did not do is empty.

    Raises:
        PrunescopeError: a table is missing, damaged, lacks a column, or contradicts itself.
    """
    names = NEEDED if of == "study" else NEEDED | NEEDED_OF_AUDITS
    tables = {name: _read_table(folder, name, of) for name in names if name != "images"}
    tables["images"] = _read_answers(folder, gallery_images(tables["forgetting_images"]))
    tables["detectors"] = tables["detectors"].fillna({"control": "", "layer": "", "category": ""})
    for name, (what, *keys) in ((name, key) for name, key in KEYS.items() if name in tables):
        twice = tables[name].duplicated(["network", *keys])
        if twice.any():
            network, *values = tables[name].loc[twice, ["network", *keys]].iloc[0]
            path, cell = _path(folder, name), what.format(*values)
            raise PrunescopeError(f"{path} is damaged: two values of {cell} for {network}")
    _refuse_mixed_conditions(tables["units"])
    return tables


def _read_answers(folder: Path, shown: list[str]) -> pd.DataFrame:
    """Read what each network called the images that are shown: of one row per network and image, a few."""
    if not shown:
        return pd.DataFrame(columns=list(NEEDED["images"]))
    return _read_table(folder, "images", rows=[("image", "in", shown)])


def read_answers_of(folder: Path, networks: Sequence[str]) -> pd.DataFrame:
    """Read what some networks of a study called every image: `network, image, label, prediction`.

    Raises:
        PrunescopeError: the table is damaged, or lacks a column.
    """
    if not networks:  # for which Parquet knows no type
        return pd.DataFrame(columns=list(NEEDED["images"]))
    return _read_table(folder, "images", rows=[("network", "in", list(networks))])


def _refuse_mixed_conditions(units: pd.DataFrame) -> None:
    for column in CONDITIONS:
        found = sorted(units[column].dropna().unique())
        if len(found) > 1:
            raise PrunescopeError(
                f"the table units holds MIS under several conditions ({column}: {found[0]} and {found[1]}), which "
                "cannot be compared: measure all networks of a study alike"
            )


def _path(folder: Path, name: str) -> Path:
    if name in PICTURES:
        return folder / "pictures" / f"{PICTURES[name]}.parquet"
    return folder / "tables" / f"{name}.parquet"


def _read_table(folder: Path, name: str, of: Of = "study", rows: Rows = None) -> pd.DataFrame:
    path = _path(folder, name)
    again = f"run the {of} again to write it anew"
    absent = MAY_BE_ABSENT if of == "study" else MAY_BE_ABSENT + ABSENT_FROM_AUDITS
    if not path.exists() and name not in absent:
        raise PrunescopeError(f"{path} is missing: {again}")
    text = "category" if name in LARGE else "object"
    needed = (NEEDED | NEEDED_OF_AUDITS)[name]
    columns = [*needed, *NOT_ALWAYS.get(name, ())]
    own = TYPES | TYPES_OF.get(name, {})
    types = {column: own.get(column, text) for column in columns}
    try:
        table = _read_columns(path, types, rows) if path.exists() else pd.DataFrame()
        missing = [column for column in needed if column not in table]
        if missing and len(table):
            raise PrunescopeError(
                f"{path} lacks the column {missing[0]!r}: it comes from another version of prunescope; {again}"
            )
        # A column without any value has lost its type in the file.
        return table.reindex(columns=columns).astype(types)
    except (OSError, ValueError, TypeError, pa.ArrowException) as error:
        raise PrunescopeError(f"{path} is damaged ({error}): {again}") from error


def _read_columns(path: Path, types: dict[str, str], rows: Rows) -> pd.DataFrame:
    """Read those of the columns that the file has; given `rows`, only the rows of which they are true."""
    names = pq.read_schema(path).names
    if pq.read_metadata(path).num_rows == 0:
        rows = None  # its columns have lost their types, which a condition needs
    repeated = [column for column, kind in types.items() if kind == "category"]
    present = [name for name in types if name in names]
    return pd.read_parquet(path, columns=present, filters=rows, read_dictionary=repeated)
