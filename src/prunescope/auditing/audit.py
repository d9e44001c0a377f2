"""`audit`: two networks compared on the same images, whoever made them."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch

from prunescope.auditing.classes import Outputs, audited_images, match_classes
from prunescope.auditing.comparison import Comparison
from prunescope.auditing.gate import answer, check_conditions
from prunescope.auditing.metric_names import meanings
from prunescope.auditing.networks import Audited, Given, borrowed, open_audited, refuse_same, refuse_swapped
from prunescope.auditing.out import prepare
from prunescope.auditing.settings import audit_settings
from prunescope.auditing.work import at_work
from prunescope.errors import PrunescopeError
from prunescope.images.source import ImageSet
from prunescope.networks.class_names import read_class_names
from prunescope.networks.export import first_line
from prunescope.networks.network import resolve
from prunescope.study.circumstances import command, machine, versions
from prunescope.study.execute import Watcher
from prunescope.study.steps import where

FORMAT = 1
Names = str | Path | Sequence[str] | None  # of classes: a file, the word imagenet, or the names themselves


@dataclass(frozen=True)
class Audit:
    """What an audit found.

    Attributes:
        about: what `audit.json` holds.
        tables: by name; those of a study, of two networks called "dense" and "pruned", and `answers` (one row an
            image), `patterns` (a layer of a network) and `relations` (a layer that both have).
        report: the page, if it was written.
    """

    about: dict[str, Any]
    tables: dict[str, pd.DataFrame]
    report: Path | None = None

    @property
    def metrics(self) -> dict[str, Any]:
        """Every number by its name, the names that conditions know; None where it has no value."""
        found: dict[str, Any] = self.about["metrics"]
        return found

    @property
    def intervals(self) -> dict[str, list[float]]:
        """95 % intervals by the names of the numbers that have one."""
        found: dict[str, list[float]] = self.about["intervals"]
        return found

    @property
    def passed(self) -> bool:
        """Whether none of the conditions to fail was met."""
        return bool(self.about["verdict"] != "failed")

    @property
    def reasons(self) -> list[str]:
        """Why it did not pass, a sentence for each condition that was met or has no answer."""
        return [each["reason"] for each in self.about["conditions"] if each["held"] is not False]


def audit(
    dense: Given,
    pruned: Given,
    images: ImageSet | str | Path,
    *,
    network: str | None = None,
    dense_preprocess: Mapping[str, Any] | None = None,
    pruned_preprocess: Mapping[str, Any] | None = None,
    dense_classes: Names = None,
    pruned_classes: Names = None,
    class_map: Path | str | None = None,
    concepts: Sequence[str] = (),
    masks: str | None = None,
    speed: bool = False,
    skip: Collection[str] = (),
    settings: Mapping[str, Mapping[str, Any]] | None = None,
    limit: int | None = None,
    fail_if: Sequence[str] = (),
    any_order: bool = False,
    out: Path | str | None = None,
    data: Path | str | None = None,
    device: str = "auto",
    watcher: Watcher | None = None,
) -> Audit:
    """Compare two networks on the same images: what was pruned, and what that did.

    Each part is kept in the cache when it is done, so that an audit that was stopped goes on, and the next one finds
    the dense network measured. Live modules are measured anew each time.

    Args:
        dense: a live module, which carries its `preprocess`; a file (a checkpoint, a network that prunescope saved,
            TorchScript, torch.export, ONNX); or `NAME@WEIGHTS`, an architecture with a checkpoint or published weights.
        pruned: likewise.
        images: a set; a source such as `folder:imagenette/val`; or a folder, with a subfolder a class or without.
        network: the architecture of checkpoints that do not say it.
        dense_preprocess: fields of `Preprocess` that differ from what the network says of itself.
        pruned_preprocess: likewise.
        dense_classes: names of the network's outputs: a list, a file, or `imagenet`; needed where the two networks, or
            images and networks, do not have the same classes in the same order.
        pruned_classes: likewise.
        class_map: a CSV file with the columns `class, dense, pruned`: which outputs a class of the images is.
        concepts: sources of annotated images (`broden:DIR`, `masks:DIR`, …), to dissect both networks.
        masks: folder of masks of the objects in the images, for explanations.
        speed: time both networks, in turns.
        skip: measures to leave out: mis, dissection, explanations, forgetting.
        settings: measure to those of its settings that differ from the defaults.
        limit: at most so many images, classes as even as can be.
        fail_if: conditions on the metrics, `top1_drop > 0.01`; see `Audit.passed`.
        any_order: also compare where the dense network is the smaller one.
        out: folder for `audit.json`, tables and the page; None: nothing is written.
        data: the folder that relative paths start from.
        device: cpu, cuda, mps; auto: cuda where there is one.
        watcher: is told of progress.

    Raises:
        PrunescopeError: a network, the images or a condition cannot be used as they are, or both networks are one.
    """
    started, watcher = datetime.now(UTC), watcher or Watcher()
    folder = None if data is None else Path(data)
    place = _place(device)
    test = images if isinstance(images, ImageSet) else audited_images(str(images), folder)
    own = [name for name in ("masks", "attributes") if getattr(test, name) is not None]
    chosen = audit_settings(
        settings or {}, concepts=_several(concepts), masks=masks, own=own, speed=speed, skip=_several(skip)
    )
    asked = check_conditions(_several(fail_if), chosen, test.labelled)
    with borrowed(dense, pruned), at_work(watcher) as work:
        pair = (
            open_audited(dense, "dense", network, dense_preprocess, folder),
            open_audited(pruned, "pruned", network, pruned_preprocess, folder),
        )
        refuse_same(*pair)
        if not any_order:
            refuse_swapped(*pair)
        for one in pair:
            if one.internals:
                one.network.to(place["device"])
        matched = match_classes(
            test,
            _outputs(pair[0], dense_classes, folder),
            _outputs(pair[1], pruned_classes, folder),
            None if class_map is None else resolve(class_map, folder),
            limit,
        )
        if out is not None:
            prepare(Path(out), images, folder)
        comparison = Comparison(pair, matched, chosen, _several(skip), place, folder, work)
        tables, metrics, intervals = comparison.everything()
        answered = answer(asked, metrics, intervals, comparison.not_measured())
        about = {
            "audit": FORMAT,
            "title": f"{pair[1].shown} against {pair[0].shown}",
            "dense": pair[0].described(),
            "pruned": pair[1].described(),
            "images": {
                "source": test.source,
                "n": len(matched.test),
                "labelled": test.labelled,
                "classes": len(test.classes),
                "fingerprint": matched.test.fingerprint,
            },
            "classes": {
                "rule": matched.rule,
                "compared": len(matched.names),
                "text": matched.text,
                "left_out": matched.left_out,
            },
            "names": list(matched.names),
            "comparable": not comparison.apart,
            "why_not": comparison.apart,
            "pruning": comparison.recognised.overall,
            "relation": comparison.relation.overall,
            "metrics": metrics,
            "intervals": intervals,
            "meanings": meanings(metrics, chosen),
            "not_measured": comparison.not_measured(),
            "conditions": answered,
            "verdict": _verdict(answered),
            "warnings": comparison.warnings(any_order),
            "settings": chosen.model_dump(mode="json"),
            "seconds": comparison.seconds(),
            "versions": versions(*(("captum",) if "explanations" in tables else ())),
            "machine": machine(place),
            "command": command(),
            "started": started.isoformat(timespec="seconds"),
            "finished": datetime.now(UTC).isoformat(timespec="seconds"),
        }
        about = _plain(about)
        report = None if out is None else comparison.write(Path(out), about, tables)
    return Audit(about, tables, report)


def _outputs(one: Audited, names: Names, data: Path | None) -> Outputs:
    read = read_class_names(names, data) if isinstance(names, str | Path) else names
    return Outputs(one.outputs, None if read is None else tuple(read))


def _several(given: Collection[str]) -> tuple[str, ...]:
    """Take a text for a list of one."""
    return (given,) if isinstance(given, str) else tuple(given)


def _place(device: str) -> dict[str, Any]:
    place = where(None, device)
    try:
        torch.zeros(1, device=place["device"]).item()
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise PrunescopeError(f"no device {device!r} here ({first_line(error)}): give cpu or auto") from error
    return place


def _verdict(answered: Sequence[Mapping[str, Any]]) -> str:
    if not answered:
        return "not asked"
    return "passed" if all(each["held"] is False for each in answered) else "failed"


def _plain(value: Any) -> Any:
    """Return what JSON can say: numbers of numpy as Python's, None for what is not finite."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [_plain(one) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
