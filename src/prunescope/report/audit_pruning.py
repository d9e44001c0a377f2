"""What was pruned, told from the weights: how the zeros lie, layer by layer, and how the two are related."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import pandas as pd

from prunescope.analysis.audits import DENSE, PRUNED, Audit
from prunescope.analysis.results import records
from prunescope.report import audit_figures
from prunescope.report.audit_words import Pair, Write, pair_of
from prunescope.report.blocks import Cell, Fact, Plot, Section, Table, number_cell, table_of
from prunescope.report.formats import NO_VALUE, count, percent, quantity, signed, times, whole

STRANDED = 0.02  # from two points on, weights that can no longer act are worth a word beside the zeros
MOST_OPEN = 24  # rows of a table that is not folded
VISIBLE = 0.95  # of a size: what is less is written as a factor too
SEEN = 0.01  # share of zeros from which they can be seen in a figure
OF_LAYERS = (
    "In the table of layers, recognised is what the zeros of the layer tell by themselves; filters, connections (all "
    "weights that read one input) and kernels that are wholly zero are counted. Values: different ones among those "
    "other than 0, where they are few enough to be shared. Unchanged: of the weights other than 0, those that are the "
    "dense network’s own."
)
SIZES: dict[str, tuple[str, Write]] = {  # metrics that both networks have, and how they are written
    "weights": ("Weights", quantity),
    "nonzero": ("Weights other than 0", quantity),
    "zeros": ("Zeros, of convolutions and linear layers", percent),
    "unreachable": ("Zeros and what can no longer act", percent),
    "macs": ("Multiply-accumulates", quantity),
    "file_bytes": ("File", partial(quantity, unit="B")),
}


def pruning(audit: Audit) -> Section:
    """Say what was pruned and how the weights of the two networks are related."""
    pruned, relation = audit.record.pruning, audit.record.relation
    text = [" ".join(filter(None, [pruned.text, *pruned.notes])), relation.text, *relation.notes]
    return Section(
        "pruning",
        "What was pruned",
        text=[part for part in (*text, OF_LAYERS if len(audit.patterns) else "") if part]
        or ["No weights could be looked at."],
        facts=_facts(audit),
        plots=_plots(audit),
        tables=[*_sizes(audit), *_layers(audit)],
    )


def pruning_in_words(audit: Audit) -> list[Fact]:
    """Say in short what was pruned, and how the two networks are related."""
    facts = []
    if text := audit.record.pruning.text:
        zeros, gone = audit.number("zeros_pruned"), audit.number("unreachable_pruned")
        if gone.known and gone.value - zeros.value > STRANDED:
            text += f" With the weights that read or feed only zeros, {percent(gone.value)} of them can no longer act."
        facts.append(Fact("Pruned", text))
    if text := audit.record.relation.text:
        facts.append(Fact("Weights", text))
    return facts


def _facts(audit: Audit) -> list[Fact]:
    """Say how sure one can be of what was recognised: which share of the zeros lies in whole groups of each kind."""
    shares = [f"{name} {percent(share)}" for name, share in audit.record.pruning.evidence.items()]
    return [Fact("Zeros in whole groups", ", ".join(shares))] if shares else []


def _sizes(audit: Audit) -> list[Table]:
    rows = []
    for name, (title, write) in SIZES.items():
        pair = pair_of(audit, name)
        if pair.known:
            rows.append(
                {
                    "": Cell(title),
                    "Dense": number_cell(pair.dense.value, write),
                    "Pruned": number_cell(pair.pruned.value, write),
                    "Left": _left(audit, name, pair),
                }
            )
    if not rows:
        return []
    caption = (
        "The size of both networks. What can no longer act: weights that are zero, read only what is zero, or feed "
        "only that. Multiply-accumulates are those of live inputs and outputs and of weights other than 0; they are no "
        "measured speed. File: the network in float32 under zstd; of two programs, their own files."
    )
    table = table_of(rows, caption, sortable=False)
    return [Table(table.columns, table.rows, caption, narrow=True)]


def _left(audit: Audit, name: str, pair: Pair) -> Cell:
    if (
        name in {"zeros", "unreachable"}
        or not (pair.dense.known and pair.pruned.known)
        or not pair.dense.value
    ):
        return Cell(NO_VALUE, number=math.nan)
    ratio = pair.pruned.value / pair.dense.value
    detail = times(1 / ratio) + " smaller" if 0 < ratio < VISIBLE else ""
    return Cell(percent(ratio), detail, ratio)


def _of(audit: Audit, network: str) -> pd.DataFrame:
    """Return the layers of a network whose weights are known, with what can no longer act of each."""
    layers = audit.results.layers
    own = audit.patterns[audit.patterns["network"] == network]
    gone = layers.loc[layers["network"] == network, ["layer", "unreachable"]]
    table = own.merge(gone, on="layer", how="left")
    share = table["zeros"] / table["weights"].where(table["weights"] > 0)
    return table.assign(share=share.fillna(0.0), unreachable=table["unreachable"].astype(float))


def _same(dense: pd.DataFrame, pruned: pd.DataFrame) -> bool:
    return list(dense["layer"]) == list(pruned["layer"])


def _plots(audit: Audit) -> list[Plot]:
    dense, pruned = _of(audit, DENSE), _of(audit, PRUNED)
    every = pd.concat([dense, pruned])[["share", "unreachable"]]
    if pruned.empty or not (every > SEEN).to_numpy().any():
        return []
    alike = _same(dense, pruned)
    shown = {"The pruned network": pruned}
    marks = None
    if alike:
        marks = dict(zip(dense["layer"].astype(str), dense["share"], strict=True))
        marks = marks if max(marks.values()) > SEEN else None
    elif len(dense) and dense["share"].max() > SEEN:
        shown = {"The dense network": dense, **shown}
    caption = "Share of each layer’s weights that is zero; layers in the order of the network."
    if any((rows["unreachable"] - rows["share"]).max() > SEEN for rows in shown.values()):
        caption += (
            " Paler: not zero, but it reads only zeros or feeds only them, so that it can no longer act."
        )
    if marks:
        caption += " Black: zero in the dense network too."
    elif len(shown) == 1:
        caption += " The dense network has next to no zeros."
    draw = partial(audit_figures.zeros_by_layer, shown, marks)
    alt = f"Bars of the zeros in {count(len(pruned), 'layer')}. The numbers are in the table of this section."
    return [Plot("zeros-by-layer", draw, caption, alt)]


def _layers(audit: Audit) -> list[Table]:
    """List the layers: in one table if both networks have the same, else in one for each."""
    dense, pruned = _of(audit, DENSE), _of(audit, PRUNED)
    own_names = audit.relations["pruned_layer"].fillna(audit.relations["layer"]).astype(str)
    related = dict(zip(own_names, records(audit.relations), strict=True))
    if _same(dense, pruned):
        of_dense = dict(zip(dense["layer"].astype(str), dense["share"], strict=True))
        rows = [_row(row, of_dense, related) for row in records(pruned)]
        return [_table(rows, "Every layer of both networks.")] if rows else []
    return [
        _table(
            [_row(row, {}, {}) for row in records(own)],
            f"Every layer of the {name} network.",
        )
        for name, own in ((DENSE, dense), (PRUNED, pruned))
        if len(own)
    ]


def _table(rows: list[dict[str, Cell]], caption: str) -> Table:
    table = table_of(rows, caption)
    return Table(table.columns, table.rows, caption, sortable=True, folded=len(rows) > MOST_OPEN)


def _row(row: dict[str, Any], dense: dict[str, float], related: dict[str, Any]) -> dict[str, Cell]:
    layer = str(row["layer"])
    some = bool(dense) and max(dense.values()) > 0
    relation = related.get(layer, {})
    return {
        "Layer": Cell(layer),
        "Kind": Cell(str(row["kind"])),
        "Weights": number_cell(row["weights"], whole),
        "Zeros, dense": number_cell(dense[layer] if some else math.nan, percent),
        "Zeros": number_cell(row["share"], percent),
        "Unreachable": number_cell(row["unreachable"], percent),
        "Recognised": Cell(str(row["granularity"])),
        "Filters": _count(row["zero_filters"]),
        "Connections": _count(row["zero_connections"]),
        "Kernels": _count(row["zero_kernels"]),
        "Values": number_cell(row["distinct"], whole),
        "Weights against dense": Cell(_relation(relation)),
        "Unchanged": number_cell(relation.get("kept", math.nan), percent),
        "r with dense": number_cell(relation.get("correlation", math.nan), signed),
    }


def _relation(row: dict[str, Any]) -> str:
    """Say whether a layer's weights are the dense network's; nothing where they are not."""
    for name, word in (
        ("same", "the same"),
        ("rounded", "the same, rounded"),
        ("reordered", "the same, re-ordered"),
    ):
        if row.get(name) is True:
            return word
    return NO_VALUE


def _count(groups: float) -> Cell:
    """Write how many whole groups are zero; none is no number worth reading."""
    return number_cell(groups if groups else math.nan, whole)
