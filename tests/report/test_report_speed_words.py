"""What is said of measured speed: the numbers of the table, and the right verdict on them."""

from __future__ import annotations

import math
from typing import Any

import pandas as pd
import pytest

from prunescope.report.speed_words import bought, speed_words

NAN = math.nan
MACS = {"dense": 1000.0, "masked": 250.0, "compact": 240.0}


def table(*rows: tuple[Any, ...]) -> pd.DataFrame:
    """Build a table from rows (runtime, batch, variant, speedup, low, high, why)."""
    names = ("runtime", "batch", "variant", "speedup", "low", "high", "why")
    filled = [dict(zip(names, (*row, None) if len(row) == 6 else row, strict=True)) for row in rows]
    return pd.DataFrame([{**row, "macs": NAN if row["why"] else MACS[row["variant"]]} for row in filled])


DENSE = ("onnxruntime", 1, "dense", 1.0, 1.0, 1.0)


def test_a_mask_that_bought_nothing_beside_a_compact_network_that_did() -> None:
    assert speed_words(
        table(
            DENSE,
            ("onnxruntime", 1, "masked", 0.99, 0.97, 1.01),
            ("onnxruntime", 1, "compact", 3.30, 3.25, 3.36),
            ("onnxruntime", 16, "dense", 1.0, 1.0, 1.0),
            ("onnxruntime", 16, "masked", 1.003, 1.002, 1.004),  # sure, but nobody would notice
            ("onnxruntime", 16, "compact", 3.4, 3.3, 3.5),
            ("pytorch", 1, "dense", 1.0, 1.0, 1.0),
            ("pytorch", 1, "masked", 1.2, 0.9, 1.4),  # large, but not sure
            ("pytorch", 1, "compact", 1.5, 1.4, 1.6),
        )
    ) == [
        "The compact network is faster than the dense one: 3.30× (3.25–3.36) at batch 1 and 3.40× (3.30–3.50) "
        "at batch 16 in ONNX Runtime; 1.50× (1.40–1.60) at batch 1 in PyTorch; its 24.0\u00a0% of the "
        "multiply-accumulates promise 4.2×.",
        "The mask alone bought nothing: 0.99× (0.97–1.01) at batch 1 and 1.00× (1.00–1.00) at batch 16 in ONNX "
        "Runtime; the 25.0\u00a0% of the multiply-accumulates that still act would promise 4.0×.",
        "The mask alone was not shown to be faster or slower: 1.20× (0.90–1.40) at batch 1 in PyTorch; the "
        "25.0\u00a0% of the multiply-accumulates that still act would promise 4.0×.",
    ]


def test_what_was_not_timed_is_said_with_its_reason() -> None:
    why = "single weights leave no channel to take out"
    said = speed_words(
        table(
            DENSE,
            ("onnxruntime", 1, "masked", 1.0, 0.98, 1.02),
            ("onnxruntime", 1, "compact", NAN, NAN, NAN, why),
            ("compile", 1, "dense", NAN, NAN, NAN, "torch.compile failed: no compiler"),
            ("compile", 1, "masked", NAN, NAN, NAN, "torch.compile failed: no compiler"),
            ("compile", 1, "compact", NAN, NAN, NAN, why),
        )
    )
    assert said[0].startswith("The mask alone bought nothing: 1.00×")
    assert said[1:] == [
        f"No compact network was timed: {why}.",
        "No dense or masked network was timed in torch.compile: torch.compile failed: no compiler.",
    ]


def test_a_dense_network_has_no_speed_up() -> None:
    assert speed_words(table(DENSE)) == [
        "Nothing is removed from this network, so there is no speed-up to speak of."
    ]
    assert speed_words(table(DENSE).iloc[:0]) == []


def test_a_table_that_was_on_disk_says_the_same(tmp_path: Any) -> None:
    speed = table(DENSE, ("onnxruntime", 1, "masked", 0.99, 0.97, 1.01))
    speed.to_parquet(tmp_path / "speed.parquet")
    assert speed_words(pd.read_parquet(tmp_path / "speed.parquet")) == speed_words(speed)


@pytest.mark.parametrize(
    ("speedup", "low", "high", "verdict"),
    [
        (1.06, 1.01, 1.10, "time"),
        (1.06, 0.99, 1.10, "unclear"),
        (1.04, 1.03, 1.05, "nothing"),
        (0.97, 0.96, 0.98, "nothing"),
        (0.80, 0.70, 0.90, "slower"),
        (0.80, 0.70, 1.10, "unclear"),
        (1.03, 1.02, 1.10, "unclear"),
        (2.0, NAN, NAN, "unclear"),  # too few rounds for an interval
        (1.0, NAN, NAN, "unclear"),
        (0.5, NAN, NAN, "unclear"),
    ],
)
def test_the_verdict(speedup: float, low: float, high: float, verdict: str) -> None:
    assert bought({"speedup": speedup, "low": low, "high": high}) == verdict


def test_without_an_interval_nothing_is_claimed() -> None:
    said = speed_words(
        table(
            DENSE,
            ("onnxruntime", 1, "masked", 0.8, NAN, NAN),
            ("onnxruntime", 1, "compact", 2.0, NAN, NAN),
        )
    )
    unclear = "was not shown to be faster or slower, for which it takes six rounds"
    assert said[0].startswith(f"The compact network {unclear}: 2.00× at batch 1 in ONNX Runtime;")
    assert said[1].startswith(f"The mask alone {unclear}: 0.80× at batch 1 in ONNX Runtime;")
    assert len(said) == 2


def test_a_slower_network_is_said_to_be_slower() -> None:
    said = speed_words(table(DENSE, ("onnxruntime", 1, "masked", 0.8, 0.7, 0.9)))
    assert said[0].startswith("The mask alone costs time: 0.80× (0.70–0.90) at batch 1 in ONNX Runtime;")
