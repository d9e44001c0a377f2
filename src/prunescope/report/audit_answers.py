"""The images that the two networks call differently, the furthest apart first."""

from __future__ import annotations

from typing import Any

from prunescope.analysis.audits import GALLERY, Audit, images_to_show
from prunescope.analysis.results import records
from prunescope.report.blocks import Gallery, Picture, Section, Tile
from prunescope.report.formats import percent, shorten

LONGEST = 26  # characters of a line below a picture
KINDS = {
    "lost": ("Newly wrong", "right when dense, wrong when pruned", False),
    "gained": ("Newly right", "wrong when dense, right when pruned", True),
    "changed": ("Called otherwise", "neither answer is right", None),
}


def changed_images(audit: Audit) -> Section | None:
    """Show the images whose answers differ most, and what both networks say."""
    answers = audit.answers
    if not answers["changed"].fillna(False).any():
        return None
    shown = images_to_show(answers)
    rows = {
        row["image"]: row
        for row in records(
            answers[answers["image"].isin([name for names in shown.values() for name in names])]
        )
    }
    jpegs = _jpegs(audit)
    numbers = {image: number for number, image in enumerate(rows)}
    galleries = [
        Gallery(
            [],
            [[_tile(audit, rows[image], numbers[image], jpegs.get(image))] for image in images],
            _caption(audit, kind, len(images)),
            folded=kind != next(kind for kind, images in shown.items() if images),
        )
        for kind, images in shown.items()
        if images
    ]
    text = (
        "The images on which the answers are furthest apart, by the divergence of the two distributions over classes. "
        "They were chosen because they changed: they say what the change looks like, not how much there is of it."
    )
    return Section("changed", "Images that changed", text=[text], galleries=galleries)


def _caption(audit: Audit, kind: str, shown: int) -> str:
    title, meaning, _ = KINDS[kind]
    answers = audit.answers
    changed = answers["changed"].fillna(False)
    lost, gained = (answers[fate].fillna(False) for fate in ("lost", "gained"))
    total = int({"lost": lost, "gained": gained, "changed": changed & ~lost & ~gained}[kind].sum())
    labelled = audit.record.images.labelled
    of = f"{shown:,} of {total:,}" if shown < total else f"all {total:,}"
    return f"{title}: {of} images{f', {meaning}' if labelled else ''}."


def _jpegs(audit: Audit) -> dict[str, bytes]:
    own = audit.results.thumbnails[audit.results.thumbnails["measure"] == GALLERY]
    return dict(zip(own["image"].astype(str), own["jpeg"], strict=True))


def _tile(audit: Audit, row: dict[str, Any], number: int, jpeg: bytes | None) -> Tile:
    image, label = str(row["image"]), audit.name_class(row["label"])
    picture = None
    if jpeg is not None:
        of = f", of the class {label}" if label else ""
        picture = Picture(f"answers/{number}.jpg", jpeg, f"{image}{of}")
    good: bool | None = None
    if label:
        good = bool(row["pruned"] == row["label"]) if row["label"] in (row["dense"], row["pruned"]) else None
    lines = [
        image.rpartition("/")[2],
        *([f"is {label}"] if label else []),
        *(
            f"{name}: {shorten(audit.name_class(row[name]), LONGEST)} {percent(row[f'{name}_confidence'], 0)}"
            for name in ("dense", "pruned")
        ),
    ]
    return Tile(picture, lines, good)
