"""Network Dissection: which units are detectors of which concepts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field, model_validator
from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.images.cache import cached
from prunescope.images.concepts import ConceptSet, open_concepts
from prunescope.images.concepts.joined import limited
from prunescope.images.concepts.label_maps import label_maps
from prunescope.images.concepts.scenes import annotated
from prunescope.images.source import ImageSet
from prunescope.measures.dissection_scores import best_concepts, persistence
from prunescope.measures.measure import MEASURES, Measure, MeasureSettings, Progress, Subject, Tables, refuse
from prunescope.measures.outlines import example_rows
from prunescope.measures.tally import Tally
from prunescope.networks.network import device_of, open_network, origin_of, preprocess_of
from prunescope.probe.examples import Examples
from prunescope.probe.look import Observer, look
from prunescope.probe.sites import Site, find_sites, kind_of, pre_activations, rotated
from prunescope.probe.tails import Tails
from prunescope.probe.tie_keys import tie_keys
from prunescope.training.settings import Precision

Control = Literal["rotated", "untrained"]


class DissectionSettings(MeasureSettings):
    """How units are compared with concepts."""

    places: ClassVar[frozenset[str]] = frozenset({"concepts"})

    concepts: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Sources of annotated images, joined: scenes, broden:DIR, masks:DIR, textures:DIR, colors; "
        "null: the test images of the study, if they come with masks (scenes).",
    )
    limit: int | None = Field(None, ge=1, description="At most so many annotated images.")
    layers: tuple[str, ...] | None = Field(
        None,
        min_length=1,
        description="Globs of the convolutions to dissect; null: all. With layer_output: any modules.",
    )
    layer_output: bool = Field(
        False, description="Dissect what the named modules put out, after their nonlinearity too."
    )
    share: float = Field(0.005, gt=0, lt=1, description="Share of positions above a unit's threshold.")
    iou: float = Field(0.04, gt=0, lt=1, description="A detector's IoU with its concept is above this.")
    side: int | None = Field(
        None, ge=1, description="Pixels a side in which maps and masks are compared; null: at most 112."
    )
    controls: tuple[Control, ...] = Field(
        (), description="Also dissect, of dense networks: rotated (a random basis of each layer), untrained."
    )
    examples: int = Field(4, ge=0, description="Images a side that are kept for the card of a unit.")
    seed: int = Field(0, ge=0, description="Of the limit, of ties between examples, and of the controls.")
    batch: int = Field(64, ge=1, description="Images looked at at once.")
    precision: Precision = Field("fp32", description="Arithmetic of the network: fp32, or bf16 by autocast.")
    memory: float = Field(1.0, gt=0, description="GiB for the tails of activations; more goes to the disk.")

    @model_validator(mode="after")
    def _named(self) -> Self:
        if self.layer_output and self.layers is None:
            raise ValueError("layer_output dissects what named modules put out: name them, layers: [layer4]")
        return self


def dissect(
    network: nn.Module,
    concepts: ConceptSet | str | Sequence[str],
    *,
    data: Path | str | None = None,
    progress: Progress = lambda done, total: None,
    **settings: Any,
) -> pd.DataFrame:
    """Return the concept of every unit of a network, one row a unit.

    Args:
        network: carries its `preprocess`.
        concepts: an opened set, a source (`scenes`, `broden:DIR`, …), or several that are joined.
        data: the folder that relative paths start from.
        settings: further fields of `DissectionSettings`: `layers=["layer4.*"]`, `share=0.005`, …

    Returns:
        `layer, kind, unit, map_of` (the layer whose output was dissected), `fires` (whether it exceeds its
        threshold anywhere), `threshold, concept, category, iou, detector`.

    Raises:
        PrunescopeError: annotations that cannot be used, a wrong layer name, a layer without positions,
            activations that are not finite.

    *Source:* Bau et al., Network Dissection: Quantifying Interpretability of Deep Visual Representations, 2017.
    """
    refuse(settings, "concepts", "controls", "examples")
    chosen = DissectionSettings.chosen(**settings)
    if not isinstance(concepts, ConceptSet):
        concepts = open_concepts(concepts, None if data is None else Path(data), chosen.limit, chosen.seed)
    return _Dissection(network, concepts, chosen, progress).units(examples=0)


def measure_dissection(subject: Subject, settings: DissectionSettings) -> Tables:
    """Dissect every layer; return the tables `units`, `scores`, `detectors` and `examples`."""
    concepts = concepts_of(settings, subject.test, subject.data)
    dissection = _Dissection(subject.network, concepts, settings, subject.progress)
    units = dissection.units(settings.examples)
    counts = [_counts(units, concepts.categories, control="")]
    for control in settings.controls if subject.mask is None else ():
        found = dissection.control(control)
        counts.append(_counts(found, concepts.categories, control))
    tables = {"units": units, "scores": _scores(units), "detectors": pd.concat(counts, ignore_index=True)}
    return tables | ({} if dissection.examples is None else {"examples": dissection.examples})


def concepts_of(settings: DissectionSettings, test: ImageSet, data: Path | None) -> ConceptSet:
    """Return the annotated images of the settings, or else the study's test images with their masks."""
    if settings.concepts is not None:
        return open_concepts(settings.concepts, data, settings.limit, settings.seed)
    if test.masks is None:
        raise PrunescopeError(
            f"dissection needs annotated images, and {test.source} has none: give dissection.concepts, for "
            "example [scenes], [broden:DIR] or [masks:DIR, colors]"
        )
    return limited([annotated(test)], settings.limit, settings.seed)[0]


class _Dissection:
    """One network's dissection, with what its passes over the images share."""

    def __init__(
        self, network: nn.Module, concepts: ConceptSet, settings: DissectionSettings, progress: Progress
    ) -> None:
        self.network, self.concepts, self.settings, self.progress = network, concepts, settings, progress
        preprocess = preprocess_of(network)
        self.pixels = cached(concepts.images, preprocess.resize, preprocess.interpolation)
        self.labels = label_maps(concepts, preprocess, settings.side)
        self.examples: pd.DataFrame | None = None

    def units(self, examples: int) -> pd.DataFrame:
        """Dissect the network itself; keeps the table `examples`, if any are wanted."""
        return self._dissected(self.network, sites_of(self.network, self.settings), examples)

    def control(self, control: Control) -> pd.DataFrame:
        """Dissect what says how much of it chance would give."""
        seed = self.settings.seed
        if control == "rotated":
            sites = sites_of(self.network, self.settings)
            return self._dissected(
                self.network, {layer: rotated(site, seed) for layer, site in sites.items()}
            )
        network = _untrained(self.network, seed)
        return self._dissected(network, sites_of(network, self.settings))

    def _dissected(self, network: nn.Module, sites: Mapping[str, Site], examples: int = 0) -> pd.DataFrame:
        """Look twice: for the thresholds, and for where each unit exceeds its own."""
        seen, settings = list(sites.values()), self.settings
        memory = int(settings.memory * 2**30)
        with Tails(seen, len(self.pixels), settings.share, memory) as tails:
            kept = (
                Examples(seen, examples, tie_keys(self.concepts.images.names, settings.seed))
                if examples
                else None
            )
            self._look(network, [tails, *([kept] if kept else [])], first=True)
            thresholds, highest = tails.thresholds(), tails.highest()
        tally = Tally(seen, thresholds, self.labels)
        self._look(network, [tally], first=False)
        if kept:
            names = {layer: site.layer for layer, site in sites.items()}
            self.examples = example_rows(kept, names, thresholds, self.concepts.images.names)
        parts = []
        for layer, site in sites.items():
            threshold = thresholds[site.layer]
            fires = highest[site.layer] > threshold
            kind = kind_of(network.get_submodule(layer.partition("#")[0]))
            named = {"layer": layer, "kind": kind, "unit": np.arange(site.units), "map_of": site.layer}
            parts.append(self._units(named, tally.iou(site.layer), threshold.numpy(), fires.numpy()))
        return pd.concat(parts, ignore_index=True)

    def _look(self, network: nn.Module, observers: list[Observer], first: bool) -> None:
        half = 0 if first else len(self.pixels)
        look(
            network,
            self.pixels,
            observers,
            batch=self.settings.batch,
            precision=self.settings.precision,
            progress=lambda done, total: self.progress(half + done, 2 * total),
        )

    def _units(
        self,
        named: dict[str, Any],
        iou: NDArray[np.float64],
        threshold: NDArray[np.float32],
        fires: NDArray[np.bool_],
    ) -> pd.DataFrame:
        """Name the concept of each unit of a layer; iou: (units, concepts)."""
        best, found = best_concepts(iou)
        concepts = [self.concepts.concepts[c] if c >= 0 else None for c in best]
        return pd.DataFrame(
            {
                **named,
                "fires": fires,
                "threshold": threshold,
                "concept": [c and c.name for c in concepts],
                "category": [c and c.category for c in concepts],
                "iou": found,
                "detector": found > self.settings.iou,
            }
        )


def sites_of(network: nn.Module, settings: DissectionSettings) -> dict[str, Site]:
    """Return what is dissected: from the name of a layer to the output before its nonlinearity.

    Raises:
        PrunescopeError: a layer that was asked for by name is not there, or has no positions; or none is left.
    """
    own = {
        site.layer: site for site in find_sites(network, settings.layers if settings.layer_output else None)
    }
    sites = own if settings.layer_output else pre_activations(network, settings.layers)
    if settings.layers is None:
        sites = {layer: site for layer, site in sites.items() if own[layer].kind == "conv" and site.is_map}
    flat = [layer for layer, site in sites.items() if not site.is_map]
    if flat:
        raise PrunescopeError(
            f"{flat[0]} puts out no map with rows and columns, and dissection compares positions: leave it out of "
            "dissection.layers"
        )
    if not sites:
        raise PrunescopeError(
            "no convolution of the network puts out a map: name layers, with layer_output: true"
        )
    return sites


def _untrained(network: nn.Module, seed: int) -> nn.Module:
    """Return the same architecture with initial weights.

    Raises:
        PrunescopeError: the network is compact, and its architecture is another's with fewer channels.
    """
    origin, preprocess = origin_of(network), preprocess_of(network)
    if origin.units:
        raise PrunescopeError(
            "a compact network has no untrained form of its own: leave the control 'untrained' out"
        )
    fresh = open_network(
        origin.name, classes=origin.classes, options=origin.options, preprocess=preprocess, seed=seed
    )
    return fresh.to(device_of(network))


def _counts(units: pd.DataFrame, categories: Sequence[str], control: str) -> pd.DataFrame:
    """Count detectors and the distinct concepts among them, by layer and category and over all of either."""
    rows = []
    for layer, own in [("", units), *units.groupby("layer", sort=False)]:
        for category in ("", *categories):
            found = own[own["detector"] & ((own["category"] == category) | (category == ""))]
            unique = len(found[["category", "concept"]].drop_duplicates())
            rows.append((control, layer, category, len(own), len(found), unique))
    return pd.DataFrame(
        rows, columns=["control", "layer", "category", "units", "detectors", "unique_detectors"]
    )


def _scores(units: pd.DataFrame) -> pd.DataFrame:
    found = units[units["detector"]]
    values = {
        "detectors": len(found),
        "unique_detectors": len(found[["category", "concept"]].drop_duplicates()),
        "units_dissected": len(units),
        "units_that_fire": int(units["fires"].sum()),
    }
    return pd.DataFrame(
        {
            "metric": list(values),
            "value": list(map(float, values.values())),
            "low": np.nan,
            "high": np.nan,
            "n": len(units),
        }
    )


def _compare(
    tables: Mapping[str, pd.DataFrame], settings: DissectionSettings, test: ImageSet, data: Path | None
) -> Tables:
    """Compare the concepts of every pruned network with those of the dense network of its seed."""
    if "units" not in tables or "detector" not in tables["units"]:
        return {}
    units = dict(list(tables["units"].dropna(subset=["detector"]).groupby("network")))
    networks = tables["networks"]
    dense = networks[networks["stage"] == "dense"].set_index("seed")["network"]
    rows = [
        (network, metric, float(value), np.nan, np.nan, len(units[network]), "dissection")
        for network, seed in zip(networks["network"], networks["seed"], strict=True)
        if network in units and dense.get(seed) in units and network != dense[seed]
        for metric, value in persistence(units[dense[seed]], units[network]).items()
    ]
    return {
        "scores": pd.DataFrame(rows, columns=["network", "metric", "value", "low", "high", "n", "measure"])
    }


def _inputs(settings: DissectionSettings, test: ImageSet, data: Path | None) -> dict[str, Any]:
    return {"concepts": concepts_of(settings, test, data).fingerprint}


def _pictures(settings: DissectionSettings, test: ImageSet, data: Path | None) -> ImageSet:
    return concepts_of(settings, test, data).images


MEASURES.register("dissection")(
    Measure(
        "dissection",
        1,
        DissectionSettings,
        measure_dissection,
        looks_at_images=False,  # at those of `inputs`
        inputs=_inputs,
        check=lambda settings, network: sites_of(network, settings),
        compare=_compare,
        pictures=_pictures,
    )
)
