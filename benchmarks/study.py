"""What a study costs beside its computing: one step, and a whole study that is found finished.

The step is one of a kind of its own that writes 1 MiB and computes nothing, run by `Execution`: hash, lock,
write, checksums and the move into place. The study has 200 steps of the embedded network on a few images; it
is run again as it is, and once more with its tables and its report to be made anew, as after a new step.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from pictures import generated
from table import Row

import prunescope.networks.families
import prunescope.report.page
import prunescope.study.run
from prunescope.networks.network import open_network, save_network
from prunescope.study.execute import Execution, Watcher
from prunescope.study.plan import Plan, Stop
from prunescope.study.run import run_study
from prunescope.study.settings import StudySettings
from prunescope.study.steps import Step, Workshop, step_kind
from prunescope.study.store import Store

RESULT = os.urandom(2**20)
EMPTY_STEPS = 50
MOST_STEP, MOST_STUDY = 50.0, 2000.0  # milliseconds
RATES = tuple(round(0.03 * number, 2) for number in range(1, 24))
REPEATS = 3
PARTS = {
    "planning": (prunescope.study.run, "prepare"),
    "finding": (Execution, "run"),
    "gathering": (prunescope.study.run, "gather_tables"),
    "writing tables": (prunescope.study.run, "write_tables"),
    "report": (prunescope.report.page, "write_report"),
    "reading tables": (prunescope.study.run, "load_tables"),
}


def rows() -> list[Row]:
    with TemporaryDirectory() as folder:
        return [empty_step(Path(folder) / "empty"), *finished_study(Path(folder) / "study")]


@step_kind("empty", version=1)
def _write_result(step: Step, workshop: Workshop, folder: Path) -> None:
    (folder / "result.bin").write_bytes(RESULT)


def empty_step(folder: Path) -> Row:
    steps = [
        Step("empty", f"step {number}", {"number": number}, {"threads": 1}) for number in range(EMPTY_STEPS)
    ]
    plan = Plan([Stop(step.label, step, {}) for step in steps], {step.label: [] for step in steps})
    started = time.perf_counter()
    execution = Execution(plan, Workshop(Store(folder), None, "cpu", None), Watcher())  # type: ignore[arg-type]
    done = execution.run()
    taken = (time.perf_counter() - started) / EMPTY_STEPS * 1e3
    assert all(outcome.status == "done" for outcome in done)
    return Row("a step that writes 1 MiB and computes nothing, wall clock", taken, "ms", most=MOST_STEP)


def finished_study(folder: Path) -> list[Row]:
    generated(folder / "images", count=24, side=64, classes=12)
    save_network(open_network("prunescope/sprig"), folder / "network.safetensors")
    result = run_study(settings(folder), folder / "runs")
    assert not result.failed
    steps = len(result.tables["steps"])
    with ProcessPoolExecutor(1, mp_context=get_context("spawn"), max_tasks_per_child=1) as pool:
        again, anew = (
            [pool.submit(run_again, folder, forget).result() for _ in range(REPEATS)]
            for forget in (False, True)
        )
    return [
        *parts(f"a finished study of {steps} steps, beyond imports", again, MOST_STUDY),
        *parts("the same, tables and report made anew", anew, None),
    ]


def parts(name: str, runs: list[dict[str, float]], most: float | None) -> list[Row]:
    median = {part: statistics.median(run[part] for run in runs) for part in runs[0]}
    wall, cpu = median.pop("wall"), median.pop("all")
    return [
        Row(f"{name}, wall clock", wall, "ms", most=most),
        Row(name, cpu, "ms", most=most),
        *(Row(f"  {part}", one, "ms", f"all of it, {cpu:.0f} ms", one / cpu) for part, one in median.items()),
    ]


def settings(folder: Path) -> StudySettings:
    """Return a study of three ways to prune at 23 rates: 3 steps a network, and the dense one."""
    ways: list[dict[str, Any]] = [
        {"series": "weights", "granularity": "weight", "scope": "global"},
        {"series": "filters", "granularity": "filter"},
        {"series": "connections", "granularity": "connection", "score": "random"},
    ]
    return StudySettings.model_validate(
        {
            "study": "finished",
            "threads": 1,
            "device": "cpu",
            "network": {"name": str(folder / "network.safetensors")},
            "images": {"test": f"folder:{folder / 'images'}"},
            "prune": [{**way, "rates": RATES} for way in ways],
            "retrain": {"kind": "none"},
        }
    )


def run_again(folder: Path, forget: bool) -> dict[str, float]:
    """Run a finished study in a fresh process and return milliseconds: wall clock, and CPU time of all and parts.

    Args:
        folder: where the study is.
        forget: whether its tables and its report are to be made anew.
    """
    if forget:
        (folder / "runs" / "finished" / prunescope.study.run.ABOUT).unlink()
    torch.set_num_threads(1)
    taken: dict[str, float] = {}
    for part, (home, name) in PARTS.items():
        setattr(home, name, timed(part, getattr(home, name), taken))
    started = time.perf_counter()
    timed("all", prunescope.study.run.run_study, taken)(settings(folder), folder / "runs")
    return {"wall": (time.perf_counter() - started) * 1e3, **taken}


def timed(part: str, function: Callable[..., Any], taken: dict[str, float]) -> Callable[..., Any]:
    def run(*args: Any, **kwargs: Any) -> Any:
        started = time.process_time()
        try:
            return function(*args, **kwargs)
        finally:
            taken[part] = taken.get(part, 0.0) + (time.process_time() - started) * 1e3

    return run
