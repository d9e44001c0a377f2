"""What is measured of the two networks, as parts whose results are kept."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager, nullcontext
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import nn

from prunescope.auditing.answers import check_finite
from prunescope.auditing.classes import Matched
from prunescope.auditing.networks import Audited
from prunescope.auditing.settings import AuditSettings
from prunescope.auditing.times import time_pair
from prunescope.auditing.work import Part, Work
from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.digests import digest_of
from prunescope.measures import all_measures
from prunescope.measures.measure import Subject
from prunescope.networks.network import logits_of, preprocess_of
from prunescope.study.tables import MEASURE_COLUMN
from prunescope.training.evaluation import NO_IMAGES, LabelledPixels, predict

LOGITS_FILE = "logits.npy"
OF_UNITS = ("mis", "dissection", "explanations")  # measures that look inside
OF_CLASSES = ("accuracy", "explanations")  # for which outputs that are not compared do not count
VIEW = 0.05  # by which what two networks see of an image may differ, so that their maps are compared


@dataclass
class Measuring:
    """Plans the parts of an audit.

    Attributes:
        matched: the images with the classes that are compared, and which outputs of each network they are.
        where: threads and device, which decide the last bits.
        data: the folder that relative paths start from.
    """

    pair: tuple[Audited, Audited]
    matched: Matched
    settings: AuditSettings
    where: dict[str, Any]
    data: Path | None
    work: Work
    _inputs: dict[str, dict[str, Any]] = field(default_factory=dict)

    def parts(self) -> list[Part]:
        """Return what is to be done, in order; what cannot be is noted as failed."""
        found = [self.answers(one) for one in self.pair]
        found += [self.measured("size", one) for one in self.pair if one.internals]
        if self.settings.speed is not None:
            found.append(self.speed())
        for name in OF_UNITS:
            settings = getattr(self.settings, name)
            if settings is None:
                continue
            if why := self.why_not(name):
                self.work.failures[name] = why
                continue
            first = self.measured(name, self.pair[0])
            found += [first, self.measured(name, self.pair[1], first)]
        return found

    def why_not(self, name: str) -> str:
        """Return why a measure cannot be done; "" if it can, as far as one knows before."""
        closed = [one.shown for one in self.pair if not one.internals]
        if closed:
            return f"{' and '.join(closed)} cannot be looked into: give the network as a checkpoint"
        measure, settings = all_measures()[name], getattr(self.settings, name)
        try:
            self.inputs(name)
            for one in self.pair:
                measure.check(settings, one.network)
        except PrunescopeError as error:
            return str(error)
        return ""

    def inputs(self, name: str) -> dict[str, Any]:
        """Return what else decides a measure's result, and check it; all files of concepts are read for that."""
        if name not in self._inputs:
            measure = all_measures()[name]
            settings = getattr(self.settings, name, None) or measure.settings()
            self._inputs[name] = measure.inputs(settings, self.matched.test, self.data)
        return self._inputs[name]

    def answers(self, one: Audited) -> Part:
        """Return the part that keeps the logits of all images, (images, classes compared)."""

        def write(folder: Path) -> None:
            with answering(one.network, self.outputs(one)):
                logits = predict(
                    one.network,
                    self.images[one.role],
                    batch=self.settings.accuracy.batch,
                    precision=self.settings.accuracy.precision,
                    on_step=self.work.watcher.progress,
                )
            check_finite(logits, one.role, self.matched.test)
            np.save(folder / LOGITS_FILE, logits.numpy())

        settings = {"batch": self.settings.accuracy.batch, "precision": self.settings.accuracy.precision}
        return Part("accuracy", one.role, self.decisive(one, "accuracy", 1, settings), write, vital=True)

    def measured(self, name: str, one: Audited, first: Part | None = None) -> Part:
        """Return the part that keeps the tables of one measure of one network.

        Args:
            first: of explanations, the part of the dense network, whose maps those of the pruned one are compared with.
        """
        measure = all_measures()[name]
        settings = getattr(self.settings, name, None) or measure.settings()
        together = name in OF_CLASSES
        reference = first if together and self.same_view else None

        def write(folder: Path) -> None:
            subject = Subject(
                one.network,
                self.images[one.role] if measure.looks_at_images else NO_IMAGES,
                self.matched.test,
                data=self.data,
                progress=self.work.watcher.progress,
                folder=folder,
                reference=self.work.folder(reference) if reference else None,
            )
            asked = answering(one.network, self.outputs(one)) if together else nullcontext()
            assert measure.run is not None
            with asked:
                tables = measure.run(subject, settings)
            for table, rows in tables.items():
                rows.to_parquet(folder / f"{table}.parquet", index=False)

        own = settings.model_dump(mode="json", exclude=set(settings.places))
        decisive = self.decisive(one, name, measure.version, own)
        if decisive is not None:
            decisive["inputs"] = self.inputs(name)
            if reference is not None:
                decisive["reference"] = reference.key
                if reference.decisive is None:
                    decisive = None
        return Part(name, one.role, decisive, write)

    def speed(self) -> Part:
        """Return the part that times both networks, which is done anew each time."""
        dense, pruned = self.pair

        def write(folder: Path) -> None:
            assert self.settings.speed is not None
            times = time_pair(dense.network, pruned.network, self.settings.speed, self.work.watcher.progress)
            times.to_parquet(folder / "speed.parquet", index=False)

        return Part("speed", "both", None, write)

    def decisive(
        self, one: Audited, name: str, version: int, settings: Mapping[str, Any]
    ) -> dict[str, Any] | None:
        """Return what decides a result of one network; None where its code cannot be told."""
        if one.identity is None:
            return None
        found = {"version": version, "network": one.identity, "settings": settings, "where": self.where}
        if name == "accuracy" or all_measures()[name].looks_at_images:
            found["images"] = self.matched.test.fingerprint  # of pixels, names and labels
        if name in OF_CLASSES and (outputs := self.outputs(one)) is not None:
            found["outputs"] = digest_of(outputs.astype("<i8").tobytes())
        return found

    def outputs(self, one: Audited) -> NDArray[np.int64] | None:
        """Return which outputs of a network are compared; None: all, in order."""
        return self.matched.dense if one.role == "dense" else self.matched.pruned

    @cached_property
    def images(self) -> dict[str, LabelledPixels]:
        """The images as each network wants them."""
        test, found = self.matched.test, dict[str, LabelledPixels]()
        for one in self.pair:
            wanted = preprocess_of(one.network)
            pixels = cached(test, wanted.resize, wanted.interpolation, progress=self.work.watcher.progress)
            found[one.role] = LabelledPixels(pixels, test.labels, np.arange(len(test)))
        return found

    @property
    def same_view(self) -> bool:
        """Whether both networks see nearly the same part of an image, so that maps fit onto one another."""
        dense, pruned = (preprocess_of(one.network) for one in self.pair)
        if dense.resize is None or pruned.resize is None:
            return (dense.resize, dense.crop) == (pruned.resize, pruned.crop)
        return abs(dense.crop / dense.resize / (pruned.crop / pruned.resize) - 1) <= VIEW

    def logits(self, part: Part) -> torch.Tensor:
        """Return the logits that a part kept."""
        return torch.from_numpy(np.load(self.work.folder(part) / LOGITS_FILE))

    def tables(self, parts: list[Part]) -> dict[str, dict[str, list[pd.DataFrame]]]:
        """Return the tables of all parts that are done: by table, then by measure, one a network."""
        found: dict[str, dict[str, list[pd.DataFrame]]] = {}
        done = {row["step"] for row in self.work.rows if row["status"] == "done"}
        for part in parts:
            if part.key not in done or part.measure in self.work.failures:
                continue
            for file in sorted(self.work.folder(part).glob("*.parquet")):
                table = pd.read_parquet(file)
                table.insert(0, "network", "pruned" if part.network == "both" else part.network)
                if file.stem in MEASURE_COLUMN:
                    table["measure"] = part.measure
                found.setdefault(file.stem, {}).setdefault(part.measure, []).append(table)
        return found


@contextmanager
def answering(network: nn.Module, outputs: NDArray[np.int64] | None) -> Iterator[None]:
    """Let a network put out some of its logits only, in that order."""
    if outputs is None:
        yield
        return
    chosen = torch.from_numpy(outputs)
    hook = network.register_forward_hook(
        lambda module, given, output: logits_of(output).index_select(1, chosen.to(logits_of(output).device))
    )
    try:
        yield
    finally:
        hook.remove()


def program_size(one: Audited) -> pd.DataFrame:
    """Return the table `scores` of a network that cannot be looked into: what its weights alone tell."""
    weights = sum(weight.numel() for weight in one.weights.values())
    zeros = weights - one.nonzero
    values: Mapping[str, float] = {
        "prunable_weights": weights,
        "nonzero": one.nonzero,
        "zeros_prunable": zeros / weights if weights else np.nan,
        "compression_prunable": weights / (weights - zeros) if weights > zeros else np.nan,
        "file_bytes": Path(one.file).stat().st_size,
    }
    return pd.DataFrame(
        {
            "network": one.role,
            "metric": list(values),
            "value": list(values.values()),
            "low": np.nan,
            "high": np.nan,
            "n": 1,
            "measure": "size",
        }
    )
