"""What a study file says of one way to prune: what goes first, how much of it, when, and what happens next."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Annotated, Literal, Self

from pydantic import Field, field_validator, model_validator

from prunescope.errors import PrunescopeError
from prunescope.pruning.granularity import GRANULARITIES
from prunescope.pruning.prune import Norm, Scope
from prunescope.pruning.scores.own import find_score
from prunescope.pruning.selection import Normalise, Rounding
from prunescope.training.gradual import GradualSettings
from prunescope.training.settings import RetrainSettings, Settings

Rate = Annotated[float, Field(ge=0, lt=1)]
Positive = Annotated[float, Field(gt=0)]
Control = Literal["random-mask", "re-initialise"]
CONTROLS: dict[Control, str] = {"random-mask": "random mask", "re-initialise": "re-initialised"}


class SensitivitySettings(Settings):
    """The sweep that finds what each layer tolerates: pruned alone, measured on `validate`, not retrained."""

    rates: tuple[Rate, ...] = Field(
        (0.2, 0.4, 0.6, 0.8, 0.9), min_length=1, description="Rates at which each layer is tried."
    )
    least: float | None = Field(
        None, gt=0, le=1, description="A layer tolerates a rate if top-1 stays at least this."
    )
    drop: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="Without `least`: if top-1 falls by at most this from the dense network's.",
    )
    limit: int | None = Field(None, ge=1, description="Images of validate to measure on; null: all.")


class BudgetSettings(Settings):
    """What a network may cost at most; the smallest rate that meets it is looked for."""

    of: Literal["macs", "weights", "bytes", "milliseconds"] = Field(
        description="macs; weights that still matter; bytes of the saved file; milliseconds of a forward pass."
    )
    left: tuple[Annotated[float, Field(gt=0, le=1)], ...] | None = Field(
        None, min_length=1, description="Budgets as fractions of what the dense network costs."
    )
    at_most: tuple[Positive, ...] | None = Field(
        None, min_length=1, description="Budgets as they are: MACs, weights, bytes or milliseconds."
    )
    runtime: str = Field("pytorch", description="Milliseconds: of the compact network in this runtime.")
    batch: int = Field(1, ge=1, description="Milliseconds: images a forward pass.")

    @model_validator(mode="after")
    def _one_way_to_say_how_much(self) -> Self:
        if (self.left is None) == (self.at_most is None):
            raise ValueError("give either left (fractions of the dense network's) or at_most (absolute)")
        return self


@dataclass(frozen=True)
class Target:
    """How much one pruning of a series takes.

    Attributes:
        text: as the names of networks spell it.
        rate: the fraction removed, against the dense network.
        factor: what the rates of the layers are multiplied by.
        budget: what the network may cost at most; a fraction of the dense network's if `of_dense`.
    """

    text: str
    rate: float | None = None
    factor: float | None = None
    budget: float | None = None
    of_dense: bool = False


class SeriesSettings(Settings):
    """One way to prune, at several rates."""

    series: str = Field(min_length=1, description="Name of the series in tables and figures.")
    granularity: Literal["weight", "filter", "connection", "kernel", "n:m"] = Field(
        description="What is removed as one."
    )
    m: int = Field(4, ge=2, description="n:m: the length of a block of inputs; rates are multiples of 1 / m.")
    score: str = Field("l1", description="What goes first: the lowest score, by name or file.py:function.")
    score_steps: int | None = Field(
        None,
        ge=1,
        description="On how many rungs towards the rate scores are computed anew; null: as their paper does.",
    )
    calibration: int = Field(
        256,
        ge=1,
        description="Images that scores look at: of train, or of validate for those that ask for the accuracy.",
    )
    scope: Scope = Field(
        "layer",
        description="layer: one rate; global: one threshold; erk: Erdos-Renyi kernel; specific: a rate for each layer.",
    )
    rates: tuple[Rate, ...] | None = Field(
        None,
        min_length=1,
        description="Fractions removed, against the dense network; iterative: one a round.",
    )
    per_round: Rate | None = Field(
        None, gt=0, description="Iterative: fraction of what is left removed in each round."
    )
    rounds: int | None = Field(None, ge=1, description="Iterative, with per_round: how many rounds.")
    budget: BudgetSettings | None = Field(
        None, description="Instead of rates: what the network may cost at most."
    )
    layer_rates: dict[str, Rate] | None = Field(
        None, description="Scope specific: globs of layers and their rates; layers not named lose nothing."
    )
    sensitivity: SensitivitySettings | None = Field(
        None, description="Scope specific: find the rate that each layer tolerates by a sweep on validate."
    )
    factors: tuple[Positive, ...] | None = Field(
        None, min_length=1, description="Scope specific: what the rates of the layers are multiplied by."
    )
    schedule: Literal["one-shot", "iterative", "gradual"] = Field(
        "one-shot",
        description="one-shot: from the dense network; iterative: from the one before; gradual: while training.",
    )
    gradual: GradualSettings | None = Field(
        None, description="Schedule gradual: when in the retraining it begins and ends."
    )
    layers: tuple[str, ...] | None = Field(
        None,
        description="Globs of the layers to prune; null: all convolutions, for weight also linear layers.",
    )
    spare: tuple[str, ...] = Field((), description="Globs of layers that are left alone.")
    norm: Norm = Field(
        "remove", description="Filters: remove the channel behind the filter too, or keep it as it is."
    )
    normalise: Normalise | None = Field(
        None,
        description="Global scope: divide scores by their layer's mean or sum; null: mean, for weights none.",
    )
    min_left: int = Field(1, ge=0, description="Groups that each layer keeps at least.")
    min_share: float = Field(0, ge=0, le=1, description="Share of its groups that each layer keeps at least.")
    allow_empty_layers: bool = Field(
        False, description="With min_left 0: whether a layer may lose all its weights."
    )
    rounding: Rounding = Field(
        "round", description="How rate x groups becomes a number; round is half to even."
    )
    round_to: int = Field(
        1,
        ge=1,
        description="Filters and connections: each layer keeps the nearest multiple of it; 8 suits most processors.",
    )
    hold: bool = Field(
        True, description="false lets removed weights grow back, only to repeat studies that did so."
    )
    recalibrate: int | None = Field(
        None,
        ge=2,
        description="After pruning, estimate the batch norms' statistics anew on so many images of train.",
    )
    controls: tuple[Control, ...] = Field(
        (),
        description="Further series: random-mask, as dense in each layer; re-initialise, same masks, fresh weights.",
    )
    retrain: RetrainSettings | None = Field(
        None, description="Retraining of this series, if not the study's."
    )

    @field_validator("score")
    @classmethod
    def _known_score(cls, name: str) -> str:
        try:
            find_score(name)
        except PrunescopeError as error:
            raise ValueError(str(error)) from None
        return name

    @model_validator(mode="after")
    def _channels_are_rounded(self) -> Self:
        if self.round_to > 1 and self.granularity not in {"filter", "connection"}:
            raise ValueError("round_to is a number of channels: only for filters and connections")
        return self

    @model_validator(mode="after")
    def _time_needs_shapes(self) -> Self:
        if self.budget and self.budget.of == "milliseconds" and not GRANULARITIES[self.granularity].shrinks:
            raise ValueError(
                "a budget of milliseconds is met by smaller tensors: only for filters and connections"
            )
        return self

    @model_validator(mode="after")
    def _n_of_m(self) -> Self:
        if self.granularity == "n:m" and (self.scope != "layer" or self.budget is not None):
            raise ValueError("n:m takes the same from every block: leave scope out, and give rates k / m")
        if self.granularity == "n:m" and (self.min_left, self.min_share, self.rounding) != (1, 0, "round"):
            raise ValueError(
                "n:m takes the same from every block: leave out min_left, min_share and rounding"
            )
        return self

    @model_validator(mode="after")
    def _controls_differ(self) -> Self:
        if self.score == "random" and "random-mask" in self.controls:
            raise ValueError(
                "a series of random scores is its own random mask: leave random-mask out of controls"
            )
        return self

    @model_validator(mode="after")
    def _specific(self) -> Self:
        sources = [name for name in ("layer_rates", "sensitivity") if getattr(self, name) is not None]
        if self.scope != "specific" and (sources or self.factors):
            raise ValueError(f"{(*sources, 'factors')[0]} needs scope: specific")
        if self.scope == "specific":
            if len(sources) != 1:
                raise ValueError("scope specific needs either layer_rates or sensitivity")
            if self.budget or (self.layer_rates and (self.rates or self.per_round)):
                raise ValueError(
                    f"{sources[0]} goes with factors{', or with rates' if self.sensitivity else ''}: give no budget"
                    f"{'' if self.sensitivity else ', and no other rates'}"
                )
        return self

    @model_validator(mode="after")
    def _one_way_to_say_how_much(self) -> Self:
        by_round = self.per_round is not None and self.rounds is not None
        given = [self.rates, self.per_round or self.rounds, self.budget, self.factors]
        if self.scope == "specific" and self.layer_rates and not any(given):
            return self  # as they are
        if sum(one is not None for one in given) != 1:
            raise ValueError(
                "give either rates, per_round and rounds, a budget, or factors (scope: specific)"
            )
        if (self.per_round or self.rounds) and not (by_round and self.schedule == "iterative"):
            raise ValueError("per_round and rounds go together, with schedule: iterative")
        return self

    @model_validator(mode="after")
    def _gradual(self) -> Self:
        if self.gradual is not None and self.schedule != "gradual":
            raise ValueError("gradual needs schedule: gradual")
        if self.schedule == "gradual" and (self.budget or self.controls or not self.hold):
            raise ValueError("schedule gradual takes rates or factors, holds its masks, and has no controls")
        if self.schedule == "gradual" and self.granularity == "n:m":
            raise ValueError("n:m takes multiples of 1 / m, and cannot rise gradually: schedule: iterative")
        if self.schedule == "gradual" and self.recalibrate:
            raise ValueError("schedule gradual trains as it prunes: leave recalibrate out")
        if self.schedule == "gradual" and self.retrain and self.retrain.kind != "fine-tune":
            raise ValueError(
                "schedule gradual prunes while the network is fine-tuned: retrain: {kind: fine-tune, …}"
            )
        return self

    @model_validator(mode="after")
    def _networks_have_names_of_their_own(self) -> Self:
        texts = [target.text for target in self.targets]
        if len(set(texts)) < len(texts):
            raise ValueError("two rates are alike to four digits: networks are called by them")
        if self.schedule == "iterative":
            amounts = [target.rate or target.factor or -(target.budget or 0) for target in self.targets]
            if amounts != sorted(amounts):
                raise ValueError(
                    "the rates of iterative pruning must rise from round to round, budgets must fall"
                )
        return self

    def control(self, control: Control) -> str:
        """Return the name of a control's own series."""
        return f"{self.series}, {CONTROLS[control]}"

    @property
    def targets(self) -> tuple[Target, ...]:
        """How much each pruning of the series takes, in order."""
        if self.budget is not None:
            values, of_dense = self.budget.left or self.budget.at_most or (), self.budget.left is not None
            what = f"of {self.budget.of}" if of_dense else self.budget.of
            return tuple(Target(f"{value:.4g} {what}", budget=value, of_dense=of_dense) for value in values)
        rates = self.rates
        if self.per_round is not None and self.rounds is not None:
            rates = tuple(1 - (1 - self.per_round) ** i for i in range(1, self.rounds + 1))
        if rates is not None:
            return tuple(Target(f"{rate:.4g}", rate=rate) for rate in rates)
        return tuple(Target(f"x{factor:.4g}", factor=factor) for factor in self.factors or (1.0,))
