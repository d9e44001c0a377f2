"""From the folder of an audit to its page: the verdict first, then what was compared, then each measure."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

from prunescope.analysis.audits import Audit, read_audit
from prunescope.report.audit_accuracy import accuracy
from prunescope.report.audit_answers import changed_images
from prunescope.report.audit_classes import classes
from prunescope.report.audit_compared import compared
from prunescope.report.audit_concepts import concepts
from prunescope.report.audit_explanations import explanations
from prunescope.report.audit_numbers import numbers, reproduce, unmeasured
from prunescope.report.audit_pruning import pruning
from prunescope.report.audit_speed import speed
from prunescope.report.audit_summary import summary, verdict
from prunescope.report.audit_units import explorer, units
from prunescope.report.blocks import Section
from prunescope.report.page import Page, write_page

SECTIONS: tuple[Callable[[Audit], Section | None], ...] = (
    verdict,
    summary,
    compared,
    pruning,
    accuracy,
    classes,
    changed_images,
    speed,
    units,
    concepts,
    explorer,
    explanations,
    unmeasured,
    numbers,
    reproduce,
)


def write_audit(folder: Path) -> Path:
    """Write `report/index.html` and the files beside it into the folder of an audit; same tables, same bytes.

    Raises:
        PrunescopeError: a table or `audit.json` is missing or damaged, or the page cannot be written.
    """
    audit = read_audit(folder)
    title = audit.record.title
    page = Page(kind="Audit of two networks", title=title, name=title, finished=audit.record.finished[:10])
    return write_page(folder, page, lambda: [made for make in SECTIONS if (made := make(audit)) is not None])
