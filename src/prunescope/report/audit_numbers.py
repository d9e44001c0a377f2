"""Every number of an audit by its name, what was not measured, and how to do it again."""

from __future__ import annotations

import math

from prunescope.analysis.audits import Audit, Value
from prunescope.report.blocks import Cell, Fact, Link, Section, Table
from prunescope.report.formats import NO_VALUE
from prunescope.report.provenance import facts_of, flat


def unmeasured(audit: Audit) -> Section | None:
    """Say what was not measured, and why."""
    if not audit.record.not_measured:
        return None
    facts = [Fact(measure, why) for measure, why in audit.record.not_measured.items()]
    return Section("unmeasured", "What was not measured", facts=facts)


def numbers(audit: Audit) -> Section | None:
    """List every metric with its interval, by the name that conditions know."""
    metrics, meanings = audit.record.metrics, audit.record.meanings
    if not metrics:
        return None
    text = (
        "By the names that --fail-if knows, which are the keys of “metrics” in audit.json. Shares are fractions of 1; "
        "what has no value was not measured, or is not defined for these networks."
    )
    rows = [
        [Cell(name), _cell(value), Cell(_interval(audit, name)), Cell(meanings.get(name, ""))]
        for name, value in metrics.items()
    ]
    width = 4 if any(meanings.get(name) for name in metrics) else 3
    columns = ["Name", "Value", "95 % interval", "What it is"]
    table = Table(columns[:width], [row[:width] for row in rows], sortable=True)
    return Section("numbers", "Every number", text=[text], tables=[table])


def reproduce(audit: Audit) -> Section:
    """Say how to get the same numbers again."""
    record = audit.record
    told: dict[str, object] = {
        "Command": record.command,
        "Dense network": record.dense.digest,
        "Pruned network": record.pruned.digest,
        "Images": record.images.fingerprint,
        "Versions": record.versions,
        "Machine": record.machine,
        "Started": record.started,
        "Finished": record.finished,
        "Seconds": {name: f"{seconds:.1f}" for name, seconds in record.seconds.items()},
    }
    text = (
        "The hashes name the weights of each network and all that the images are. With the same settings, versions, "
        "number of threads and kind of device, the same hashes mean the same numbers; only times differ."
    )
    tables = []
    if settings := list(flat(record.settings)):
        tables.append(Table(["Setting", "Value"], settings, "All settings, with their defaults", folded=True))
    links = [Link("audit.json", "../audit.json")]
    links += [Link(name, f"../tables/{name}") for name in audit.results.files]
    return Section(
        "reproduce",
        "How to reproduce",
        text=[text],
        facts=[fact for term, value in told.items() for fact in facts_of(term, value)],
        tables=tables,
        links=links,
    )


def _cell(value: Value) -> Cell:
    """Write a value as a condition would: not in percent, nothing between its digits."""
    if value is None:
        return Cell(NO_VALUE, number=math.nan)
    if isinstance(value, bool):
        return Cell("true" if value else "false")
    if isinstance(value, str):
        return Cell(value)
    return Cell(_written(value), number=value)


def _written(value: float) -> str:
    if not math.isfinite(value):
        return NO_VALUE
    return f"{value:.0f}" if value == int(value) else f"{value:.6g}"


def _interval(audit: Audit, name: str) -> str:
    number = audit.number(name)
    return f"{_written(number.low)} to {_written(number.high)}" if number.bounded else ""
