"""The folder of an audit, read and joined: all that its page is made from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Literal, NamedTuple

import pandas as pd
from pydantic import BaseModel, ConfigDict, ValidationError

from prunescope.analysis.results import Results, join_tables, read_record
from prunescope.analysis.tables import ALIKE, read_tables
from prunescope.errors import PrunescopeError

VERSION = 1  # of audit.json
DENSE, PRUNED = "dense", "pruned"  # what the networks are called in the tables
GALLERY = "answers"  # the measure whose thumbnails are those of the images that changed
MOST_LOST, MOST_OTHERS = 24, 12  # images of a gallery
Value = bool | int | float | str | None


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="ignore", ser_json_inf_nan="constants")


class Side(_Part):
    """One of the two networks, as `audit.json` describes it.

    Attributes:
        shown: what the page calls it.
        stored: share of its weights by type, as its file stores them.
        weights: numbers in its convolutions and linear layers.
        internals: whether its layers could be looked at; a program only answers.
    """

    shown: str
    file: str = ""
    format: str
    architecture: str = ""
    stored: dict[str, float] = {}
    preprocess: dict[str, Any] = {}
    weights: int | None = None
    outputs: int | None = None
    digest: str = ""
    internals: bool = True


class Images(_Part):
    """The images of an audit."""

    source: str
    n: int
    labelled: bool
    classes: int = 0
    fingerprint: str = ""


class Classes(_Part):
    """How the classes of the two networks and of the images were matched."""

    rule: str = "same"
    compared: int = 0
    text: str = ""
    left_out: dict[str, list[str]] = {}


class Told(_Part):
    """What weights tell: a sentence, more of them, and by granularity the share of the zeros in whole groups of it."""

    text: str = ""
    notes: list[str] = []
    evidence: dict[str, float] = {}


class Answered(_Part):
    """One condition of `--fail-if`, and whether it held; None: a number that it needs is not known."""

    condition: str
    held: bool | None
    reason: str = ""


class Record(_Part):
    """What `audit.json` holds."""

    audit: int
    title: str
    dense: Side
    pruned: Side
    images: Images
    classes: Classes = Classes()
    names: list[str] = []
    comparable: bool
    why_not: str = ""
    pruning: Told = Told()
    relation: Told = Told()
    metrics: dict[str, Value]
    intervals: dict[str, tuple[float | None, float | None]] = {}
    meanings: dict[str, str] = {}
    not_measured: dict[str, str] = {}
    conditions: list[Answered] = []
    verdict: Literal["passed", "failed", "not asked"]
    warnings: list[str] = []
    settings: dict[str, Any] = {}
    seconds: dict[str, float] = {}
    versions: dict[str, Any] = {}
    machine: dict[str, Any] = {}
    command: str = ""
    started: str = ""
    finished: str = ""


class Number(NamedTuple):
    """A metric and its 95 % interval; NaN where there is none."""

    value: float
    low: float
    high: float

    @property
    def known(self) -> bool:
        """Whether it was measured."""
        return math.isfinite(self.value)

    @property
    def bounded(self) -> bool:
        """Whether it has an interval."""
        return math.isfinite(self.low) and math.isfinite(self.high)

    @property
    def shown(self) -> bool:
        """Whether its interval leaves out 0."""
        return self.low > 0 or self.high < 0


@dataclass(frozen=True)
class Audit:
    """One audit.

    Attributes:
        record: what `audit.json` says.
        results: the tables that an audit shares with a study, of two networks, "dense" and "pruned", both of seed 0;
            what became of the dense one is one series at one target, both called "pruned".
        answers: one row an image: `image`, `label` (-1: unlabelled), `dense` and `pruned` (the class that each
            names), `dense_confidence`, `pruned_confidence`, `pruned_of_dense`, `divergence` (bits), `changed`,
            `lost`, `gained`.
        patterns: one row a layer of each network: how its zeros lie.
        relations: one row a layer that both have: how near its weights are to each other.
    """

    record: Record
    results: Results
    answers: pd.DataFrame
    patterns: pd.DataFrame
    relations: pd.DataFrame

    def number(self, name: str) -> Number:
        """Return a metric with its interval, as NaN where it was not measured or is no number."""
        value = self.record.metrics.get(name)
        if value is None or isinstance(value, bool | str):
            return Number(math.nan, math.nan, math.nan)
        low, high = self.record.intervals.get(name, (None, None))
        return Number(float(value), math.nan if low is None else low, math.nan if high is None else high)

    @cached_property
    def same_layers(self) -> bool:
        """Whether both networks have layers of the same names, so that these can be set side by side."""
        layers = self.results.layers if len(self.results.layers) else self.patterns
        of = {str(name): set(own["layer"]) for name, own in layers.groupby("network", sort=False)}
        return of.get(DENSE) == of.get(PRUNED)

    def name_class(self, index: int) -> str:
        """Return the name of a class; that of no class is empty."""
        if index < 0:
            return ""
        return self.record.names[index] if index < len(self.record.names) else f"class {index}"


def read_audit(folder: Path) -> Audit:
    """Read the folder of an audit.

    Raises:
        PrunescopeError: a table or `audit.json` is missing, damaged, contradicts itself or comes from another version.
    """
    record = _read_record(folder / "audit.json")
    tables = read_tables(folder, of="audit")
    found = sorted(tables["networks"]["network"].astype(str))
    if found != sorted((DENSE, PRUNED)):
        raise PrunescopeError(
            f"{folder / 'tables' / 'networks.parquet'} is damaged: expected the networks dense and pruned, found "
            f"{', '.join(found) or 'none'}; run the audit again to write it anew"
        )
    own: dict[str, pd.DataFrame] = {name: tables.pop(name) for name in ("answers", "patterns", "relations")}
    results = join_tables({"settings": _as_of_a_study(record.settings)}, _called_pruned(tables), folder)
    return Audit(record, results, **own)


def images_to_show(answers: pd.DataFrame) -> dict[str, list[str]]:
    """Choose the images of a gallery: those on which the answers of the two networks differ most.

    Args:
        answers: the table of that name.

    Returns:
        by what became of it, "lost", "gained" or "changed" (all else that is called otherwise), the names of the
        images, the most divergent first; ties by the order of the table.
    """
    changed = answers[answers["changed"].astype("boolean").fillna(False)]
    ordered = changed.sort_values("divergence", ascending=False, kind="stable", na_position="last")
    lost, gained = (ordered[fate].astype("boolean").fillna(False) for fate in ("lost", "gained"))
    kinds = {
        "lost": ordered[lost].head(MOST_LOST),
        "gained": ordered[gained].head(MOST_OTHERS),
        "changed": ordered[~(lost | gained)].head(MOST_OTHERS if lost.any() else MOST_LOST),
    }
    return {kind: [str(name) for name in rows["image"]] for kind, rows in kinds.items()}


def _called_pruned(tables: dict[str, pd.DataFrame]) -> dict[str, pd.DataFrame]:
    """Name the networks and the one series for themselves, whatever the tables call them."""
    networks = tables["networks"]
    same: Any = networks["network"].astype(str)
    tables["networks"] = networks.assign(
        series=same, stage=same, seed=0, retraining="none", target=same.where(same == PRUNED)
    ).sort_values("network", kind="stable", ignore_index=True)
    for name in (name for name, table in tables.items() if set(ALIKE) <= set(table)):
        if name != "networks":
            tables[name] = tables[name].assign(**dict.fromkeys(ALIKE, PRUNED))
    return tables


def _as_of_a_study(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Return settings by measure in the form in which `study.json` has them."""
    own = [(name, values) for name, values in settings.items() if isinstance(values, Mapping)]
    return {"measure": [{"name": name, "settings": dict(values)} for name, values in own]}


def _read_record(path: Path) -> Record:
    given = read_record(path, "an audit", "prunescope audit … --out FOLDER")
    if isinstance(given, dict) and given.get("audit", VERSION) != VERSION:
        raise PrunescopeError(
            f"{path} comes from another version of prunescope: run the audit again to write it anew"
        )
    try:
        return Record.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "the whole"
        raise PrunescopeError(
            f"{path} is damaged ({where}: {first['msg']}): run the audit again to write it anew"
        ) from error
