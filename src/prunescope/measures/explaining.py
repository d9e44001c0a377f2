"""One network's explanations of some images: made by a method, compared with another network's, scored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.explain.attribution import find_method
from prunescope.explain.concentration import entropy, gini
from prunescope.explain.explain import Explained, explain_pixels
from prunescope.explain.faithfulness import Faithfulness, areas, faithfulness
from prunescope.explain.likeness import likeness, others
from prunescope.explain.localisation import inside, pointing
from prunescope.explain.maps import Maps, Masks, empty, upsample
from prunescope.explain.object_masks import object_masks
from prunescope.explain.proxy import Proxy, open_proxy, random_tops
from prunescope.explain.stimuli import explanation_map
from prunescope.explain.top import top
from prunescope.images.augment import Images, centre_crops
from prunescope.images.source import ImageSet
from prunescope.measures.explanation_scores import LIKENESS, explanation_curves, score_table, share_row
from prunescope.measures.measure import Progress
from prunescope.networks.identity import weights_digest
from prunescope.networks.network import device_of, preprocess_of
from prunescope.training.evaluation import LabelledPixels

if TYPE_CHECKING:
    from prunescope.measures.explanations import ExplanationsSettings

TOGETHER = 256  # images whose maps are held at the size of the network's input at once

Indices = NDArray[np.int64]
Columns = dict[str, Any]


@dataclass(frozen=True)
class Found:
    """What one method says of one network.

    Attributes:
        images: rows of the table `explanations`.
        chance: `spearman, ssim, iou` of each map with the reference's map of another image, if there is a reference.
        curves: rows of the table `explanation_curves`; none where no image has a curve.
    """

    images: pd.DataFrame
    chance: pd.DataFrame | None
    curves: pd.DataFrame


class Explaining:
    """One network, and the images that it explains.

    Args:
        images: decoded for the network's preprocessing.
        shown: the same images, with their names and what else their source knows.
        data: the folder that relative paths in settings start from.
    """

    def __init__(
        self,
        network: nn.Module,
        images: LabelledPixels,
        shown: ImageSet,
        settings: ExplanationsSettings,
        data: Path | None,
    ) -> None:
        self.network, self.images, self.shown, self.settings = network, images, shown, settings
        self.preprocess = preprocess_of(network)
        self.data = data

    @cached_property
    def proxy(self) -> Proxy | None:
        """The network that names what explanation maps show, opened when it is first asked."""
        chosen = self.settings.proxy
        if chosen is None:
            return None
        proxy = open_proxy(chosen, self.shown.classes, self.data)
        if weights_digest(proxy.network) == weights_digest(self.network):
            raise PrunescopeError(
                "the proxy is the network whose explanations it is to judge: give an independent one"
            )
        proxy.network.to(device_of(self.network))
        return proxy

    def maps(self, method: str, reference: Explained | None, progress: Progress) -> Explained:
        """Explain the images; the reference's targets are the dense network's predictions, if those are asked for."""
        settings = self.settings
        targets: Indices | Literal["prediction"] = "prediction"
        if settings.target == "label":
            targets = self.shown.labels
        elif settings.target == "dense" and reference is not None:
            targets = reference.targets
        return explain_pixels(
            self.network,
            self.images,
            targets,
            method,
            layer=layer_of(settings, method),
            options=settings.options.get(method, {}),
            batch=settings.batch,
            names=self.shown.names,
            progress=progress,
        )

    def found(
        self, method: str, explained: Explained, reference: Explained | None, progress: Progress
    ) -> Found:
        """Score the maps, some images at a time."""
        other = others(self.shown.names, self.settings.seed)
        rows, chances, curves = [], [], []
        for part in self._parts():
            maps = upsample(explained.maps[part], self.preprocess.crop)
            columns = self._said(method, explained, part) | {"empty": empty(maps)}
            columns |= self._likeness(maps, part, reference, part)
            chances.append(pd.DataFrame(self._likeness(maps, part, reference, other[part])))
            curves.append(self._faithfulness(maps, part, explained.targets[part], progress))
            columns |= {"deletion": areas(curves[-1].deletion), "insertion": areas(curves[-1].insertion)}
            of_label = explained.targets[part] == self.shown.labels[part]
            columns |= self._localisation(maps, part, of_label) | {
                "gini": gini(maps),
                "entropy": entropy(maps),
            }
            rows.append(pd.DataFrame(columns | self._recognition(maps, part, of_label)))
        chance = None if reference is None or len(self.shown) < 2 else pd.concat(chances, ignore_index=True)
        both = {
            curve: np.concatenate([getattr(one, curve) for one in curves])
            for curve in ("deletion", "insertion")
        }
        averaged = explanation_curves(method, both, curves[0].fractions)
        return Found(pd.concat(rows, ignore_index=True), chance, averaged)

    def proxy_controls(self) -> pd.DataFrame:
        """Return how often the proxy names the class of whole images, and of as many random pixels as maps show."""
        if self.proxy is None:
            return score_table([])
        hits: dict[str, list[NDArray[np.bool_]]] = {"proxy/whole": [], "proxy/random": []}
        side, settings = self.preprocess.crop, self.settings
        for part in self._parts():
            whole, labels = self._crops(part), self.shown.labels[part]
            drawn = random_tops(len(part), side, side, settings.share, self._names(part), settings.seed)
            hits["proxy/whole"].append(self.proxy.name_classes(whole) == labels)
            hits["proxy/random"].append(self.proxy.name_classes(self._only(drawn, whole)) == labels)
        return score_table([share_row(metric, np.concatenate(found)) for metric, found in hits.items()])

    def _parts(self) -> list[Indices]:
        whole = np.arange(len(self.shown))
        return [whole[first : first + TOGETHER] for first in range(0, len(whole), TOGETHER)]

    def _names(self, part: Indices) -> list[str]:
        return [self.shown.names[i] for i in part]

    def _said(self, method: str, explained: Explained, part: Indices) -> Columns:
        labels, predictions = self.shown.labels[part], explained.predictions[part]
        return {
            "method": method,
            "layer": explained.layer or "",
            "image": self._names(part),
            "label": labels,
            "target": explained.targets[part],
            "prediction": predictions,
            "confidence": explained.confidence[part],
            "correct": predictions == labels,
        }

    def _likeness(self, maps: Maps, part: Indices, reference: Explained | None, to: Indices) -> Columns:
        """Compare maps of the images `part` with the reference's maps of the images `to`."""
        if reference is None:
            return dict.fromkeys(LIKENESS, np.full(len(part), np.nan))
        compared = upsample(reference.maps[to], self.preprocess.crop)
        table = likeness(maps, compared, self._names(part), self.settings.share, self.settings.seed)
        return {name: table[name].to_numpy() for name in LIKENESS}

    def _faithfulness(self, maps: Maps, part: Indices, targets: Indices, progress: Progress) -> Faithfulness:
        settings, images = self.settings, self.images
        if not settings.steps:
            none = np.full((len(part), 2), np.nan)
            return Faithfulness(none, none, np.array([0.0, 1.0]))
        return faithfulness(
            self.network,
            LabelledPixels(images.pixels, images.labels, images.indices[part]),
            maps,
            targets,
            names=self._names(part),
            steps=settings.steps,
            baseline=settings.baseline,
            batch=settings.batch,
            precision=settings.precision,
            seed=settings.seed,
            progress=lambda done, total: progress(int(part[0]) + done, len(self.shown)),
        )

    def _localisation(self, maps: Maps, part: Indices, of_label: NDArray[np.bool_]) -> Columns:
        """Ask whether maps lie on the object of the image's class; not those that explain another class."""
        objects = object_masks(self.shown, part, self.preprocess, self.settings.masks, self.data)
        if objects is None:
            return dict.fromkeys(("pointing", "inside", "object_share"), np.full(len(part), np.nan))
        within = inside(maps, objects)
        found = {
            "pointing": pointing(maps, objects),
            "inside": within,
            "object_share": np.where(np.isnan(within), np.nan, objects.mean(axis=(1, 2))),
        }
        return {name: np.where(of_label, values, np.nan) for name, values in found.items()}

    def _recognition(self, maps: Maps, part: Indices, of_label: NDArray[np.bool_]) -> Columns:
        """Ask the proxy what the explanation maps of the image's class show; an empty one shows it nothing."""
        named, right = np.full(len(part), -1), np.full(len(part), np.nan)
        shown = np.flatnonzero(~empty(maps) & of_label)
        if self.proxy is None:
            return {"proxy": named, "proxy_correct": right}
        if len(shown):
            names = [self.shown.names[i] for i in part[shown]]
            highest = top(maps[shown], names, self.settings.share, self.settings.seed)
            named[shown] = self.proxy.name_classes(self._only(highest, self._crops(part[shown])))
        right[of_label] = named[of_label] == self.shown.labels[part[of_label]]
        return {"proxy": named, "proxy_correct": right}

    def _crops(self, part: Indices) -> Images:
        """Return images as the network sees them, (part, crop, crop, 3) uint8."""
        images = self.images
        return centre_crops([images.pixels[i] for i in images.indices[part]], self.preprocess.crop)

    def _only(self, tops: Masks, pictures: Images) -> Images:
        """Show only some pixels of each picture."""
        background = self.settings.background
        pairs = zip(pictures, tops, strict=True)
        return np.stack([explanation_map(picture, chosen, background) for picture, chosen in pairs])


def layer_of(settings: ExplanationsSettings, method: str) -> str | None:
    """Return the layer that a method is to look at, if it looks at one."""
    return settings.layer if find_method(method).of_layer else None
