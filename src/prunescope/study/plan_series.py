"""The steps of one series: how it is pruned at each target, what happens after, and its controls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from torch import nn

from prunescope.errors import PrunescopeError
from prunescope.measures.runtimes import RUNTIMES
from prunescope.networks.channels import ChannelMap
from prunescope.networks.layers import Layer
from prunescope.pruning.allocation import given_rates
from prunescope.pruning.blocks import check_blocks
from prunescope.pruning.granularity import GRANULARITIES, N_OF_M
from prunescope.pruning.prune import Pruning, choose_layers
from prunescope.pruning.scores.own import find_score, source_of
from prunescope.pruning.sensitivity import tested_together
from prunescope.study.images import Part, StudyImages
from prunescope.study.series import CONTROLS, Control, SeriesSettings, Target
from prunescope.study.settings import StudySettings
from prunescope.study.steps import Step
from prunescope.training.course import steps_in
from prunescope.training.gradual import GradualSettings, span
from prunescope.training.recalibrate import batch_norms
from prunescope.training.settings import REPLAYING, REWINDING, RetrainSettings, TrainSettings, steps_of

if TYPE_CHECKING:
    from prunescope.study.plan import Planner, Stop

FRESH = 1_000_003  # added to a seed, for initial weights that are not those of the dense network
DRAWS = 2  # raised where scores draw other random numbers, so that those that draw none stay as they are


@dataclass(frozen=True)
class Way:
    """One series, checked against the network and the images.

    Attributes:
        rewind_step: the step of the dense training that its retraining goes back to.
        together: the layers that the sweep tries together.
    """

    series: SeriesSettings
    retrain: RetrainSettings
    rewind_step: int | None = None
    together: Sequence[tuple[str, ...]] = field(default=())


def make_way(
    series: SeriesSettings,
    study: StudySettings,
    images: StudyImages,
    network: nn.Module,
    layers: Mapping[str, Layer],
    channels: ChannelMap,
) -> Way:
    """Check a series against the network and the images, so that what cannot work is said before any work.

    Raises:
        PrunescopeError: layers that cannot be pruned so, too few images, a step that the training does not reach.
    """
    granularity, score = GRANULARITIES[series.granularity], find_score(series.score)
    score.check(granularity)
    chosen = choose_layers(
        layers,
        granularity,
        series.layers,
        series.spare,
        series.norm,
        channels if granularity.removes_channels else None,
    )
    if granularity is N_OF_M:
        for target in series.targets:
            check_blocks(chosen, target.rate or 0, series.m)
    if series.layer_rates:
        given_rates(series.layer_rates, chosen)
    if series.budget and series.budget.of == "milliseconds":
        RUNTIMES[series.budget.runtime].require()
    _check_images(series, score.needs, images)
    retrain, step = series.retrain or study.retrain, None
    if retrain.rewind_to is not None:
        per_epoch, total = steps_in(images.counts["train"], study.train)
        step = steps_of(retrain.rewind_to, per_epoch)
        if step >= total:
            raise PrunescopeError(
                f"rewind_to {retrain.rewind_to!r} is step {step}, and the training ends after {total}: go back further"
            )
    if series.schedule == "gradual":
        span(series.gradual or GradualSettings(), *steps_in(images.counts["train"], retrain))
    if series.recalibrate:
        batch_norms(network)
    together: Sequence[tuple[str, ...]] = ()
    if series.sensitivity:
        together = tested_together(Pruning(network, series.granularity, **choices_of(series, 0)))
    return Way(series, retrain, step, together)


def choices_of(series: SeriesSettings, seed: int) -> dict[str, Any]:
    """Return the choices of a series in the words of `Pruning`."""
    names = {
        "scope", "layers", "spare", "norm", "normalise", "min_left", "min_share", "allow_empty_layers", "rounding",
        "round_to", "m", "score_steps",
    }  # fmt: skip
    return series.model_dump(mode="json", include=names) | {"by": series.score, "seed": seed}


def _draws(score: str) -> dict[str, int]:
    """Return which random numbers a score draws, if it may: the random one, or one of the user's own."""
    return {"draws": DRAWS} if score == "random" or ":" in score else {}


def _check_images(series: SeriesSettings, needs: str, images: StudyImages) -> None:
    """Raise `PrunescopeError` if there are fewer images than the series wants to look at."""
    wanted: list[tuple[int | None, str, Part]] = [
        (series.recalibrate, "recalibrate", "train"),
        (series.calibration if needs == "calibration" else None, "calibration", "train"),
        (series.calibration if needs == "accuracy" else None, "calibration", "validate"),
        (series.sensitivity.limit or 1 if series.sensitivity else None, "sensitivity.limit", "validate"),
    ]
    for count, name, part in wanted:
        if count is not None and count > (there := images.available(part)):
            raise PrunescopeError(f"{name}: {count} images of {part}, and there are {there}: ask for fewer")


@dataclass(frozen=True)
class Pruned:
    """One pruning of a series: the step that made the mask, and the network that it left."""

    step: Step
    stop: Stop


class SeriesPlanner:
    """Plans one series, for one seed."""

    def __init__(self, planner: Planner, way: Way, dense: Stop, seed: int) -> None:
        self.planner, self.way, self.dense, self.seed = planner, way, dense, seed
        self.series, self.retrain = way.series, way.retrain
        self.sweep = self._sweep() if way.series.sensitivity else []

    def plan(self) -> None:
        """Add the networks of the series and of its controls to the plan."""
        pruned = self._arm(self.series.series)
        for control in self.series.controls:
            if control == "random-mask":
                self._arm(self.series.control(control), control, pruned)
            else:
                self._on_fresh_weights(self.series.control(control), control, pruned)

    def _arm(self, name: str, control: Control | None = None, like: Sequence[Pruned] = ()) -> list[Pruned]:
        """Prune and retrain at every target; `like` gives the densities of each layer, for the random masks."""
        source, made = self.dense, []
        for number, target in enumerate(self.series.targets):
            if self.series.schedule != "iterative":
                source = self.dense
            columns, label = self._columns(name, control, number, target), f"{name}-{target.text}"
            if self.series.schedule == "gradual":
                self._stop(label, "retrained", self._gradual(label, target, source), columns, source)
                continue
            chosen, parents = (
                (self._random_like(), (like[number].step,)) if like else (self._pruning(target), self.sweep)
            )
            step = mask = self.planner.step("prune", f"prune {label}", chosen, source.step, *parents)
            if self.series.recalibrate:
                step = self._recalibration(label, mask)
            source = self._stop(label, "pruned", step, columns, source)
            made.append(Pruned(mask, source))
            if self.retrain.kind != "none":
                retrained = self._retrained(label, source.step, self.retrain.kind)
                source = self._stop(label, "retrained", retrained, columns, source)
        return made

    def _on_fresh_weights(self, name: str, control: Control, pruned: Sequence[Pruned]) -> None:
        """Train the same masks from fresh initial weights."""
        for number, (target, source) in enumerate(zip(self.series.targets, pruned, strict=True)):
            columns, label = self._columns(name, control, number, target), f"{name}-{target.text}"
            step = self._retrained(label, source.stop.step, "re-initialise")
            self._stop(label, "retrained", step, columns, source.stop)

    def _columns(self, name: str, control: Control | None, number: int, target: Target) -> dict[str, Any]:
        return {
            "series": name,
            "granularity": self.series.granularity,
            "score": "random" if control == "random-mask" else self.series.score,
            "scope": self.series.scope,
            "norm": self.series.norm,
            "hold": self.series.hold,
            "schedule": self.series.schedule,
            "retraining": "re-initialise" if control == "re-initialise" else self.retrain.kind,
            "control": CONTROLS[control] if control else None,
            "recalibrate": self.series.recalibrate,
            "seed": self.seed,
            "round": number + 1 if self.series.schedule == "iterative" else 1,
            "rate": target.rate,
            "target": target.text,
            "budget": self.series.budget.of if self.series.budget else None,
        }

    def _stop(self, label: str, stage: str, step: Step, columns: dict[str, Any], parent: Stop) -> Stop:
        return self.planner.stop(
            f"{label}-{stage}-seed{self.seed}", step, columns | {"stage": stage}, parent.network
        )

    def _pruning(self, target: Target) -> dict[str, Any]:
        """Return the settings of a pruning: what `Pruning` takes, how much goes, and what the score looks at."""
        return self._scoring() | {
            "choices": choices_of(self.series, self.seed),
            "target": self._target(target),
        }

    def _scoring(self) -> dict[str, Any]:
        """Return what a score looks at, and what a score of the user's own is."""
        score = find_score(self.series.score)
        found: dict[str, Any] = {"granularity": self.series.granularity} | _draws(self.series.score)
        if source := source_of(self.series.score):
            found["source"] = source
        if score.needs != "weights":
            part: Part = "train" if score.needs == "calibration" else "validate"
            found |= {
                "needs": score.needs,
                "calibration": self.series.calibration,
                "images": self.planner.images.fingerprint[part],
            }
        return found

    def _target(self, target: Target) -> dict[str, Any]:
        if target.budget is not None:
            assert self.series.budget is not None
            budget = self.series.budget.model_dump(mode="json", include={"of", "runtime", "batch"})
            return {"budget": budget | {"amount": target.budget, "of_dense": target.of_dense}}
        amount = {"rate": target.rate} if target.rate is not None else {"factor": target.factor}
        if self.series.sensitivity:
            amount["tolerance"] = self._tolerance()  # type: ignore[assignment]
        if self.series.layer_rates:
            amount["rates"] = self.series.layer_rates  # type: ignore[assignment]
        return amount

    def _tolerance(self) -> dict[str, Any]:
        assert self.series.sensitivity is not None
        return self.series.sensitivity.model_dump(mode="json", include={"least", "drop"})

    def _random_like(self) -> dict[str, Any]:
        choices = choices_of(self.series, self.seed)
        choices |= {
            "by": "random",
            "min_left": 0,
            "min_share": 0.0,
            "allow_empty_layers": True,
            "round_to": 1,
            "score_steps": None,
        }
        if self.series.granularity != N_OF_M.name:
            choices |= {"scope": "specific", "rounding": "round"}
        like = {"granularity": self.series.granularity, "choices": choices, "target": {"like": True}}
        return like | _draws("random")

    def _sweep(self) -> list[Step]:
        """Plan a measurement for each rate and each set of layers that go together, and one of the dense network."""
        settings = self.series.sensitivity
        assert settings is not None
        tries = [((), 0.0), *((layers, rate) for layers in self.way.together for rate in settings.rates)]
        steps = []
        for layers, rate in tries:
            choices = choices_of(self.series, self.seed) | {"scope": "layer"}
            if layers:
                choices |= {"layers": list(layers), "spare": []}
            chosen = self._scoring() | {
                "choices": choices,
                "rate": rate,
                "layers": list(layers),
                "limit": settings.limit,
                "measured_on": self.planner.images.fingerprint["validate"],
            }
            what = f"{rate:.4g} of {', '.join(layers)}" if layers else "nothing"
            steps.append(self.planner.step("sensitivity", f"sensitivity to {what}", chosen, self.dense.step))
        self.planner.swept(self.series.series, self.seed, self._tolerance(), steps)
        return steps

    def _recalibration(self, label: str, pruned: Step) -> Step:
        chosen = {
            "count": self.series.recalibrate,
            "seed": self.seed,
            "images": self.planner.images.fingerprint["train"],
        }
        return self.planner.step("recalibrate", f"recalibrate {label}", chosen, pruned)

    def _retrained(self, label: str, pruned: Step, kind: str) -> Step:
        settings: TrainSettings = self.planner.settings.train if kind in REPLAYING else self.retrain
        start = self.way.rewind_step if kind in REWINDING else 0
        chosen = {
            "hold": self.series.hold,
            "from": {"kind": kind, "step": start},
            **self.planner.training(settings, self.seed),
        }
        parents = [pruned]
        if kind == "weight-rewinding":
            parents.append(self._rewound())
        if kind == "re-initialise":
            chosen |= {"initial_seed": self.seed + FRESH, "network": self.planner.fresh_identity}
        step = self.planner.step("retrain", f"retrain {label}", chosen, *parents)
        if kind == "re-initialise":
            self.planner.opens(step, self.planner.fresh, self.seed + FRESH)
        return step

    def _rewound(self) -> Step:
        number = self.way.rewind_step
        label = f"state of {self.dense.network} after {number} steps"
        return self.planner.step("rewind", label, {"step": number}, self.dense.step)

    def _gradual(self, label: str, target: Target, source: Stop) -> Step:
        gradual = self.series.gradual or GradualSettings()
        chosen = self._pruning(target) | {"gradual": gradual.model_dump(mode="json")}
        chosen["training"] = self.planner.training(self.retrain, self.seed)
        return self.planner.step("gradual", f"prune {label} while training", chosen, source.step, *self.sweep)
