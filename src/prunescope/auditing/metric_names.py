"""The numbers of an audit by name: what each one is, and what has to be measured for it."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass

from prunescope.auditing.relation import KINDS
from prunescope.auditing.settings import AuditSettings
from prunescope.explain.methods import METHODS
from prunescope.measures.explanation_scores import LIKENESS
from prunescope.measures.explanations import ExplanationsSettings
from prunescope.measures.runtimes import RUNTIMES
from prunescope.measures.speed import SpeedSettings
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.recognised_layer import CHANNELS, MIXED, NONE, UNKNOWN

ENDS = {
    "dense": "of the dense network",
    "pruned": "of the pruned network",
    "compact": "of the pruned network without the channels that are gone",
    "change": "pruned − dense",
    "rise": "pruned − dense",
    "drop": "dense − pruned",
    "left": "pruned / dense",
}
BOTH = ("dense", "pruned")
CHANGE, RISE, DROP, LEFT = ((*BOTH, end) for end in ("change", "rise", "drop", "left"))

PRUNED = (
    NONE,
    *(name for name in GRANULARITIES if name != "n:m"),
    CHANNELS,
    MIXED,
    UNKNOWN,
)  # beside 2:4 and the like


@dataclass(frozen=True)
class Quantity:
    """What a number is.

    Attributes:
        what: in words.
        unit: share (of 1), images, bits, …; "" for a number without one, "text" or "true or false" for what is none.
        measure: the measure that it comes from.
        ends: what its name ends in, if there are several of it.
        labels: whether it needs labels of the images.
        values: the texts that it may be, if those are known; of `granularity` also "2:4" and the like.
    """

    what: str
    unit: str
    measure: str
    ends: tuple[str, ...] = ()
    labels: bool = False
    values: tuple[str, ...] = ()


@dataclass(frozen=True)
class Metric:
    """One number of an audit.

    Attributes:
        quantity: what it is.
        end: what its name ends in; "" if there is one of it.
        detail: the runtime, or the method of explanation, that it is of, as settings call it.
        batch: of a time or a speed-up.
    """

    quantity: Quantity
    end: str = ""
    detail: str = ""
    batch: int = 0

    @property
    def meaning(self) -> str:
        """What it is, in words."""
        batch = f"batch {self.batch}" if self.batch else ""
        parts = [self.quantity.what, self.detail, batch, ENDS.get(self.end, "")]
        return ", ".join(part for part in parts if part)


QUANTITIES = {
    "top1": Quantity("share of images called right", "share", "accuracy", DROP, labels=True),
    "top1_p": Quantity("McNemar's exact p of as many lost as gained", "", "accuracy", labels=True),
    "top5": Quantity("share of images whose class is among the five highest", "share", "accuracy", DROP, labels=True),
    "cross_entropy": Quantity("mean cross-entropy", "nats", "accuracy", RISE, labels=True),
    "calibration_error": Quantity("expected calibration error", "share", "accuracy", RISE, labels=True),
    "overconfidence": Quantity("mean confidence − top1", "share", "accuracy", RISE, labels=True),
    "lost": Quantity("share of images that only the dense network calls right", "share", "accuracy", labels=True),
    "gained": Quantity("share of images that only the pruned network calls right", "share", "accuracy", labels=True),
    "classes_lost": Quantity("classes shown to fall (McNemar, Holm)", "classes", "accuracy", labels=True),
    "classes_gained": Quantity("classes shown to rise (McNemar, Holm)", "classes", "accuracy", labels=True),
    "worst_class": Quantity("of classes of 10 images, the one that falls most", "text", "accuracy", labels=True),
    "worst_class_drop": Quantity("by how much the accuracy of the worst class falls", "share", "accuracy", labels=True),
    "worst_group": Quantity("of groups of 10 images, the one where more are missed", "text", "forgetting",
                            labels=True),
    "worst_group_rise": Quantity("by how much the missed images of the worst group rise", "share", "forgetting",
                                 labels=True),
    "agreement": Quantity("share of images that both networks call the same", "share", "accuracy"),
    "agreement_beyond_chance": Quantity("Cohen's kappa of what they call the images", "", "accuracy"),
    "changed": Quantity("share of images that they call otherwise", "share", "accuracy"),
    "divergence": Quantity("mean Jensen-Shannon divergence of their probabilities", "bits", "accuracy"),
    "confidence": Quantity("mean probability of the class named", "share", "accuracy", CHANGE),
    "logits_difference": Quantity("largest difference of two logits / largest logit", "", "accuracy"),
    "logits_equal": Quantity("whether logits differ by at most 0.0001 of the largest", "true or false", "accuracy"),
    "weights": Quantity("weights of convolutions and linear layers", "weights", "size", LEFT),
    "nonzero": Quantity("weights of convolutions and linear layers other than 0", "weights", "size", LEFT),
    "zeros": Quantity("share of the weights of convolutions and linear layers that is 0", "share", "size", BOTH),
    "unreachable": Quantity("share of them that is 0 or cannot act on the logits", "share", "size", BOTH),
    "compression": Quantity("weights of convolutions and linear layers other than 0, dense / pruned", "times", "size"),
    "compression_reachable": Quantity("those of them that can act on the logits, dense / pruned", "times", "size"),
    "parameters": Quantity("all parameters of a forward pass", "parameters", "size", LEFT),
    "macs": Quantity("multiply-accumulates of an image, of weights that can act", "", "size", LEFT),
    "file_bytes": Quantity("the network in float32 under zstd; of two programs, their files", "bytes", "size", BOTH),
    "file_left": Quantity("file_bytes, pruned / dense", "", "size"),
    "dead_layers": Quantity("layers of the pruned network that are wholly 0", "layers", "size"),
    "granularity": Quantity("what was pruned, told from the zeros", "text", "size", values=PRUNED),
    "relation": Quantity("what the pruned network's weights are to the dense one's", "text", "size",
                         values=KINDS),
    "weight_correlation": Quantity("correlation of the weights that are left with the dense ones", "", "size"),
    "units_alive": Quantity("convolution units that are alive", "units", "mis", BOTH),
    "units_dead": Quantity("convolution units that are dead", "units", "mis", BOTH),
    "mis": Quantity("mean MIS of live convolution units", "", "mis", CHANGE),
    "mis_layers": Quantity("MIS averaged over layers", "", "mis", CHANGE),
    "mis_paired": Quantity("mean MIS of the units alive in both networks", "", "mis", CHANGE),
    "mis_published": Quantity("mean MIS with dead units scored, as published", "", "mis", BOTH),
    "mis_chance": Quantity("mean MIS of units that know nothing of the images", "", "mis"),
    "hit_rate": Quantity("mean hit rate of live convolution units", "share", "mis", CHANGE),
    "detectors": Quantity("units that detect a concept", "units", "dissection", LEFT),
    "unique_detectors": Quantity("distinct concepts detected", "concepts", "dissection", LEFT),
    "concept_jaccard": Quantity("concepts detected in both networks / in either", "share", "dissection"),
    "concepts_kept": Quantity("units that detect the same concept in both", "units", "dissection"),
    "concepts_changed": Quantity("units that detect another concept than before", "units", "dissection"),
    "concepts_lost": Quantity("units that only detect one in the dense network", "units", "dissection"),
    "concepts_gained": Quantity("units that only detect one in the pruned network", "units", "dissection"),
    "proxy_whole": Quantity("share of whole images whose class the proxy names", "share", "explanations", labels=True),
    "proxy_random": Quantity("the same of as many random pixels as maps show", "share", "explanations", labels=True),
}  # fmt: skip
_TIMES = {  # of a runtime and a batch
    "ms": Quantity("milliseconds of a batch", "ms", "speed", (*BOTH, "compact")),
    "speedup": Quantity("time of the dense network / of the pruned one", "times", "speed"),
    "speedup_compact": Quantity("the same of the pruned one, compacted", "times", "speed"),
}
OF_MAPS = {  # of a method of explanation
    **{name: Quantity(f"{name} with the dense network's map", "", "explanations") for name in LIKENESS},
    **{f"{name}_chance": Quantity(f"{name} with the dense network's map of another image", "", "explanations")
       for name in LIKENESS},
    "deletion": Quantity("area under the deletion curve", "", "explanations", CHANGE),
    "insertion": Quantity("area under the insertion curve", "", "explanations", CHANGE),
    "faithfulness": Quantity("insertion − deletion", "", "explanations", CHANGE),
    "confidence": Quantity("probability of the class explained", "share", "explanations", CHANGE),
    "pointing": Quantity("share of maps that are highest on the object", "share", "explanations", CHANGE, labels=True),
    "inside": Quantity("share of the relevance that lies on the object", "share", "explanations", CHANGE, labels=True),
    "object_share": Quantity("share of the image that is object", "share", "explanations", CHANGE, labels=True),
    "gini": Quantity("concentration of the maps", "", "explanations", CHANGE),
    "entropy": Quantity("entropy of the maps", "", "explanations", CHANGE),
    "empty": Quantity("share of maps without a value above 0", "share", "explanations", CHANGE),
    "proxy_top1": Quantity("share of maps whose class the proxy names", "share", "explanations", CHANGE, labels=True),
}  # fmt: skip


def identifier(name: str) -> str:
    """Return the name of a runtime or method as conditions write it: channels_last."""
    return re.sub(r"\W", "_", name)


def place(runtime: str, batch: int) -> str:
    """Return what names of times and speed-ups say of where they were taken: onnxruntime_b1."""
    return f"{identifier(runtime)}_b{batch}"


def known_metrics(settings: AuditSettings | None = None, batches: Iterable[int] = ()) -> dict[str, Metric]:
    """Return every number that an audit can have, by name, whether it is asked for or not.

    Times are of all runtimes, maps of all methods that have a name.

    Args:
        settings: those of the audit, for batches and methods that are not known otherwise.
        batches: more of them.
    """
    chosen = settings or AuditSettings()
    speed, explanations = chosen.speed or SpeedSettings(), chosen.explanations or ExplanationsSettings()
    found = dict(_named("{}", QUANTITIES))
    for runtime in RUNTIMES:
        for batch in dict.fromkeys((*speed.batches, *batches)):
            found |= _named(f"{{}}_{place(runtime, batch)}", _TIMES, runtime, batch)
    for method in dict.fromkeys((*METHODS, *explanations.methods)):
        found |= _named(f"{identifier(method)}_{{}}", OF_MAPS, method)
    return found


def described() -> list[tuple[str, Quantity]]:
    """Return each quantity with the pattern of its names, for people: `top1_{dense,pruned,drop}`."""
    of = {"{}": QUANTITIES, "{}_RUNTIME_bBATCH": _TIMES, "METHOD_{}": OF_MAPS}
    return [
        (pattern.format(base) + (f"_{{{','.join(quantity.ends)}}}" if quantity.ends else ""), quantity)
        for pattern, quantities in of.items()
        for base, quantity in quantities.items()
    ]


def _named(
    pattern: str, quantities: Mapping[str, Quantity], detail: str = "", batch: int = 0
) -> Iterator[tuple[str, Metric]]:
    for base, quantity in quantities.items():
        for end in quantity.ends or ("",):
            name = pattern.format(base) + (f"_{end}" if end else "")
            yield name, Metric(quantity, end, detail, batch)


def meanings(names: Iterable[str], settings: AuditSettings | None = None) -> dict[str, str]:
    """Say in words what numbers are, by name."""
    names = list(names)
    known = known_metrics(settings, batches_in(" ".join(names)))
    return {name: known[name].meaning for name in names if name in known}


def batches_in(text: str) -> list[int]:
    """Return the batches that names of times in a text are of."""
    return [int(batch) for batch in re.findall(r"_b([1-9][0-9]{0,5})(?![0-9])", text)]
