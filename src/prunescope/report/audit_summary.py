"""What an audit comes to: the verdict on the conditions that were given, and in short what was found."""

from __future__ import annotations

from prunescope.analysis.audits import Answered, Audit
from prunescope.report.audit_accuracy import accuracy_in_words
from prunescope.report.audit_classes import classes_in_words
from prunescope.report.audit_concepts import concepts_in_words
from prunescope.report.audit_explanations import explanations_in_words
from prunescope.report.audit_pruning import STRANDED, pruning_in_words
from prunescope.report.audit_speed import speed_in_words
from prunescope.report.audit_units import units_in_words
from prunescope.report.audit_words import in_points, pair_of, signed_with
from prunescope.report.blocks import Cell, Fact, Section, Table, Verdict
from prunescope.report.formats import count, percent, whole


def verdict(audit: Audit) -> Section | None:
    """Say which conditions held, if any were given."""
    conditions = audit.record.conditions
    if not conditions:
        return None
    rows = [
        [Cell(each.condition), Cell(_outcome(each), good=each.held is False), Cell(each.reason)]
        for each in conditions
    ]
    table = Table(["Fails if", "Found", "Why"], rows, narrow=True)
    return Section("verdict", "Verdict", verdict=_verdict(audit), tables=[table])


def _verdict(audit: Audit) -> Verdict:
    conditions = audit.record.conditions
    held = sum(each.held is True for each in conditions)
    unanswered = sum(each.held is None for each in conditions)
    said = [f"{held or 'none'} {'hold' if held > 1 else 'holds'}"]
    if unanswered:
        said.append(f"{unanswered} could not be answered, which fails too")
    failed = audit.record.verdict == "failed"
    note = f"Of {count(len(conditions), 'condition')}, {' and '.join(said)}."
    return Verdict("Failed." if failed else "Passed.", not failed, note)


def _outcome(each: Answered) -> str:
    if each.held is None:
        return "no answer: fails"
    return "holds: fails" if each.held else "does not hold: passes"


def summary(audit: Audit) -> Section:
    """Say in short what was found, a sentence or two a measure."""
    facts = pruning_in_words(audit)
    told = {
        "Accuracy" if audit.record.images.labelled else "Agreement": accuracy_in_words(audit),
        "Classes": classes_in_words(audit),
        "Speed": speed_in_words(audit),
        "Units": units_in_words(audit),
        "Concepts": concepts_in_words(audit),
        "Explanations": explanations_in_words(audit),
    }
    facts += [Fact(term, text) for term, text in told.items() if text]
    return Section(
        "summary",
        "In short",
        text=[_extent(audit)],
        numbers=_numbers(audit),
        warnings=audit.record.warnings,
        facts=facts,
    )


def _extent(audit: Audit) -> str:
    record = audit.record
    images = count(record.images.n, "image")
    return f"{record.pruned.shown}, called pruned, is compared with {record.dense.shown}, called dense, on {images}."


def _numbers(audit: Audit) -> list[Fact]:
    """Return the few numbers to see first."""
    found = []
    zeros, gone, agreement = (
        audit.number(name) for name in ("zeros_pruned", "unreachable_pruned", "agreement")
    )
    top1 = pair_of(audit, "top1")
    left = audit.number("nonzero_left")
    if left.known and audit.number("weights_left").value < 1:
        found.append(Fact("Weights left", percent(left.value), "of the dense network’s, zeros not counted"))
    elif zeros.known:
        more = gone.known and gone.value - zeros.value > STRANDED
        note = f"{percent(gone.value)} can no longer act" if more else "of convolutions and linear layers"
        found.append(Fact("Weights that are zero", percent(zeros.value), note))
    if top1.dense.known:
        note = f"{signed_with(in_points)(top1.change.value)} from dense"
        found.append(Fact("Top-1, pruned", percent(top1.pruned.value), note))
    if agreement.known:
        found.append(Fact("Called the same", percent(agreement.value), "of the images, right or wrong"))
    alive, unique = (pair_of(audit, name) for name in ("units_alive", "unique_detectors"))
    if alive.dense.known and alive.pruned.known:
        found.append(
            Fact(
                "Live units", whole(alive.pruned.value), f"of {whole(alive.dense.value)} in the dense network"
            )
        )
    if unique.dense.known and unique.pruned.known:
        found.append(
            Fact(
                "Concepts detected",
                whole(unique.pruned.value),
                f"{whole(unique.dense.value)} in the dense network",
            )
        )
    return found
