"""Accuracy, dense and pruned, on the same images; without labels, how far the two networks agree."""

from __future__ import annotations

from functools import partial

from prunescope.analysis.audits import Audit
from prunescope.report import audit_distributions
from prunescope.report.audit_words import (
    Quantity,
    Write,
    between,
    changed,
    in_points,
    number_of,
    pair_of,
    pair_table,
    plain,
    share,
)
from prunescope.report.blocks import Cell, Plot, Section, Table
from prunescope.report.formats import count, p_value, percent, signed, whole

BINS = 15  # of the calibration error, unless the settings say otherwise
QUANTITIES = (
    Quantity("top1", "Top-1", percent, in_points),
    Quantity("top5", "Top-5", percent, in_points),
    Quantity("cross_entropy", "Cross-entropy", plain(3), plain(3)),
    Quantity("calibration_error", "Calibration error (ECE)", percent, in_points),
    Quantity("confidence", "Mean confidence", percent, in_points),
    Quantity("overconfidence", "Overconfidence", share, in_points),
)
AGREEMENT: tuple[tuple[str, str, Write], ...] = (
    ("agreement", "Images called the same", percent),
    ("agreement_beyond_chance", "Agreement beyond chance (Cohen’s κ)", signed),
    ("divergence", "Mean divergence of the answers (Jensen–Shannon, bits)", plain(3)),
    ("logits_difference", "Largest difference of logits, of the largest logit", "{:.2g}".format),
)


def accuracy(audit: Audit) -> Section:
    """Show accuracy and calibration with paired intervals, or without labels what the two networks agree on."""
    labelled = audit.record.images.labelled
    caption = "Both networks on the same images, with 95 % intervals over images; of changes they are paired."
    if labelled:
        caption += " Overconfidence is mean confidence less top-1. The calibration error has no interval."
        text = (
            "Intervals of a change are paired: they are over images, of the difference between the two answers to the "
            "same image, and so narrower than those of two accuracies would suggest. They say how sure the number is "
            "for these two networks, not what another training would give."
        )
    else:
        text = (
            "Agreement is no accuracy: where the two networks differ, either may be right, and where they agree, both "
            "may be wrong."
        )
    return Section(
        "accuracy",
        "Accuracy" if labelled else "Agreement",
        text=[text],
        plots=_plots(audit),
        tables=[
            *pair_table(audit, QUANTITIES, caption),
            *_agreement(audit),
            *([_right_and_wrong(audit)] if labelled else []),
        ],
    )


def accuracy_in_words(audit: Audit) -> str:
    """Say what became of top-1 and calibration, and on how many images the two differ."""
    said = []
    top1 = pair_of(audit, "top1")
    if top1.dense.known:
        said.append(
            f"Top-1 {changed(top1.change, in_points)}: {percent(top1.dense.value)} dense, "
            f"{percent(top1.pruned.value)} pruned."
        )
    elif not audit.record.images.labelled:
        said.append("The images have no labels, so nothing is said of accuracy.")
    said.append(_differences(audit))
    calibration = pair_of(audit, "calibration_error")
    if calibration.dense.known:
        before, after = percent(calibration.dense.value), percent(calibration.pruned.value)
        way = f"goes from {before} to {after}" if before != after else f"is {before} in both"
        said.append(f"The calibration error {way}.")
    return " ".join(filter(None, said))


def _differences(audit: Audit) -> str:
    """Say how many images the two call otherwise."""
    answers = audit.answers
    n, otherwise = len(answers), int(answers["changed"].fillna(False).sum())
    if not n:
        return ""
    if not otherwise:
        return f"Both call all {count(n, 'image')} the same."
    agreement = audit.number("agreement")
    within = between(agreement, percent)
    text = f"They call {percent(1 - otherwise / n)} of the images the same{f' ({within})' if within else ''}"
    if not audit.record.images.labelled:
        return f"{text}, {whole(otherwise)} of {whole(n)} otherwise."
    lost, gained = (int(answers[fate].fillna(False).sum()) for fate in ("lost", "gained"))
    p = audit.number("top1_p")
    test = f" (McNemar’s exact test: p {_p(p.value)})" if p.known else ""
    return f"{text}; {count(lost, 'image')} are newly wrong and {whole(gained)} newly right{test}."


def _p(p: float) -> str:
    text = p_value(p)
    return text if text.startswith("<") else f"= {text}"


def _agreement(audit: Audit) -> list[Table]:
    rows: list[list[Cell | str]] = [
        [title, number_of(number, write)]
        for name, title, write in AGREEMENT
        if (number := audit.number(name)).known
    ]
    if not rows:
        return []
    equal = audit.record.metrics.get("logits_equal")
    caption = "How far the two networks answer alike."
    if isinstance(equal, bool):
        caption += f" Their logits are {'' if equal else 'not '}equal to within rounding."
    return [Table(["", "Value"], rows, caption, narrow=True)]


def _right_and_wrong(audit: Audit) -> Table:
    known = audit.answers[audit.answers["label"] >= 0]
    dense, pruned = (known[name] == known["label"] for name in ("dense", "pruned"))
    rows: list[list[Cell | str]] = [
        [f"Dense {word}", *(_images(int((own & other).sum()), len(known)) for other in (pruned, ~pruned))]
        for word, own in (("right", dense), ("wrong", ~dense))
    ]
    caption = "How many images each network gets right."
    return Table(["", "Pruned right", "Pruned wrong"], rows, caption, narrow=True)


def _images(images: int, n: int) -> Cell:
    return Cell(whole(images), percent(images / n) if n else "", images)


def _plots(audit: Audit) -> list[Plot]:
    answers = audit.answers.dropna(subset=["dense_confidence", "pruned_confidence"])
    known = answers[answers["label"] >= 0]
    numbers = "The numbers are in the tables of this section."
    if len(known):
        bins = audit.results.settings_of("accuracy").get("bins")
        bins = bins if isinstance(bins, int) and bins > 0 else BINS
        draw = partial(audit_distributions.reliability, known, bins)
        caption = (
            "Left: how often answers of a confidence are right; on the dotted line a network is as sure as it is "
            "right, below it too sure. Marks are larger where there are more images. Right: how many answers have "
            "which confidence."
        )
        return [Plot("reliability", draw, caption, f"Reliability diagram of both networks. {numbers}")]
    if answers.empty:
        return []
    caption = (
        "Left: how sure both networks are of their answers. Right: how far apart the two distributions over classes "
        "are, image by image: 0 bits if they are the same, 1 bit if they have no class in common."
    )
    return [
        Plot(
            "answers",
            partial(audit_distributions.confidences, answers),
            caption,
            f"Histograms of confidence and divergence. {numbers}",
        )
    ]
