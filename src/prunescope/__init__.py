"""Prune a vision network and see what that did.

The names below are imported when they are first used, so that `import prunescope` is instant.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from prunescope.analysis.analyse import analyse
    from prunescope.analysis.recommend import recommend
    from prunescope.analysis.slope_fit import fit_slope
    from prunescope.auditing.audit import audit
    from prunescope.errors import PrunescopeError
    from prunescope.explain.explain import attribute
    from prunescope.images.concepts import open_concepts
    from prunescope.images.source import open_images
    from prunescope.measures.dissection import dissect
    from prunescope.measures.dissection_scores import dissection_scores
    from prunescope.measures.explanations import explanations
    from prunescope.measures.forgetting import forgetting
    from prunescope.measures.mis import mis
    from prunescope.measures.mis_scores import mis_scores
    from prunescope.measures.speed import speed
    from prunescope.networks.export import export
    from prunescope.networks.network import open_network, save_network
    from prunescope.networks.preprocess import Preprocess
    from prunescope.networks.shapes import dense_units
    from prunescope.probe.record import record
    from prunescope.pruning.budget import Budget, prune_to_budget
    from prunescope.pruning.calibration import Calibration
    from prunescope.pruning.compaction import compact
    from prunescope.pruning.counting import count
    from prunescope.pruning.masks import Mask, hold
    from prunescope.pruning.prune import Pruning, prune
    from prunescope.report.notebook import open_run
    from prunescope.study.run import run_study
    from prunescope.study.tables import load_tables

_HOMES = {
    "Budget": "pruning.budget",
    "Calibration": "pruning.calibration",
    "Mask": "pruning.masks",
    "Preprocess": "networks.preprocess",
    "PrunescopeError": "errors",
    "Pruning": "pruning.prune",
    "analyse": "analysis.analyse",
    "attribute": "explain.explain",
    "audit": "auditing.audit",
    "compact": "pruning.compaction",
    "count": "pruning.counting",
    "dense_units": "networks.shapes",
    "dissect": "measures.dissection",
    "dissection_scores": "measures.dissection_scores",
    "explanations": "measures.explanations",
    "export": "networks.export",
    "fit_slope": "analysis.slope_fit",
    "forgetting": "measures.forgetting",
    "hold": "pruning.masks",
    "load_tables": "study.tables",
    "mis": "measures.mis",
    "mis_scores": "measures.mis_scores",
    "open_concepts": "images.concepts",
    "open_images": "images.source",
    "open_network": "networks.network",
    "open_run": "report.notebook",
    "prune": "pruning.prune",
    "prune_to_budget": "pruning.budget",
    "recommend": "analysis.recommend",
    "record": "probe.record",
    "run_study": "study.run",
    "save_network": "networks.network",
    "speed": "measures.speed",
}
__all__ = [
    "Budget",
    "Calibration",
    "Mask",
    "Preprocess",
    "PrunescopeError",
    "Pruning",
    "analyse",
    "attribute",
    "audit",
    "compact",
    "count",
    "dense_units",
    "dissect",
    "dissection_scores",
    "explanations",
    "export",
    "fit_slope",
    "forgetting",
    "hold",
    "load_tables",
    "mis",
    "mis_scores",
    "open_concepts",
    "open_images",
    "open_network",
    "open_run",
    "prune",
    "prune_to_budget",
    "recommend",
    "record",
    "run_study",
    "save_network",
    "speed",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'prunescope' has no attribute {name!r}")
    return getattr(import_module(f"prunescope.{_HOMES[name]}"), name)


def __dir__() -> list[str]:
    return __all__
