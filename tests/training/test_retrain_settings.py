"""What may be said of retraining, and moments of a training as text."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from prunescope.errors import PrunescopeError
from prunescope.training.settings import RetrainSettings, steps_of

REWINDING = ["learning-rate-rewinding", "weight-rewinding"]


@given(st.integers(0, 10_000), st.integers(1, 500), st.sampled_from(["", "s"]))
def test_a_moment_in_steps(count: int, per_epoch: int, plural: str) -> None:
    assert steps_of(f"{count} step{plural}", per_epoch) == count
    assert steps_of(f"{count} epoch{plural}", per_epoch) == count * per_epoch


@pytest.mark.parametrize(
    "text", ["", "5", "epoch", "-1 steps", "1.5 epochs", "1 epochs 3 steps", "two epochs"]
)
def test_what_is_no_moment(text: str) -> None:
    with pytest.raises(PrunescopeError, match=r"is no moment of a training: say it as 500 steps or 2 epochs"):
        steps_of(text, 10)
    with pytest.raises(ValidationError, match="is no moment of a training: say it as 500 steps or 2 epochs"):
        RetrainSettings.model_validate({"kind": "weight-rewinding", "rewind_to": text})


@pytest.mark.parametrize("kind", REWINDING)
def test_rewinding_goes_back_to_the_first_epoch_unless_told(kind: Any) -> None:
    assert RetrainSettings(kind=kind).rewind_to == "1 epoch"
    assert RetrainSettings.model_validate({"kind": kind, "rewind_to": None}).rewind_to == "1 epoch"
    assert RetrainSettings(kind=kind, rewind_to="0 steps").rewind_to == "0 steps"
    assert RetrainSettings().rewind_to is None


@pytest.mark.parametrize("kind", ["fine-tune", "none", "re-initialise"])
def test_only_rewinding_rewinds(kind: Any) -> None:
    assert RetrainSettings(kind=kind).rewind_to is None
    with pytest.raises(ValidationError, match=f"rewind_to belongs to .*: leave it out of {kind}"):
        RetrainSettings(kind=kind, rewind_to="1 epoch")


@pytest.mark.parametrize("kind", [*REWINDING, "re-initialise"])
def test_what_replays_the_training_has_no_settings_of_its_own(kind: str) -> None:
    with pytest.raises(
        ValidationError, match="replays the study's train: leave out epochs, optimizer, or say it under train"
    ):
        RetrainSettings.model_validate({"kind": kind, "epochs": 10, "optimizer": {"lr": 0.1}})


def test_fine_tuning_has_its_own_settings() -> None:
    assert RetrainSettings.model_validate({"epochs": 3}).epochs == 3
